package state

import (
	"math"
	"strconv"

	"github.com/dustin/go-humanize"
)

// Rate formats a number of trials or images per unit of time: 1,260 or, with three significant
// digits if it is below 100, 12.6 and 0.0126.
func Rate(v float64) string {
	if v >= 99.95 {
		return humanize.Comma(int64(math.Round(v)))
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}
