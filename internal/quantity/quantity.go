// Package quantity formats numbers of things.
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
