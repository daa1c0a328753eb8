// Package quantity formats numbers for people.
package quantity

import (
	"fmt"

	"github.com/dustin/go-humanize/english"
)

// Format formats a number of things: "1 trial", "2 trials". (english.Plural would group digits,
// which no other number in the output does.)
func Format(n int, what string) string {
	return fmt.Sprintf("%d %s", n, english.PluralWord(n, what, ""))
}

// Rounded formats a number without decimals, or with three digits if it is below 100.
func Rounded(v float64) string {
	if v >= 100 || v == 0 {
		return fmt.Sprintf("%.0f", v)
	}
	return fmt.Sprintf("%.3g", v)
}
