package configs

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// namePattern matches the names that CheckName accepts.
var namePattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// CheckName refuses a name of a dataset key or an evaluation set that cannot be part of a file name or
// of a Python client's key SET@EPOCH. The error begins with the name.
func CheckName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%.80q: use up to 64 letters, digits, '.', '_' and '-', the first a letter or a digit", name)
	}
	return nil
}

// CheckRecipeName is like [CheckName] for the name of a recipe, which must not be a number: a number
// stands for the published recipe of that many epochs.
func CheckRecipeName(name string) error {
	if strings.Trim(name, "0123456789") == "" && name != "" {
		return fmt.Errorf("%.80q: a number stands for the published recipe of that many epochs; use another name", name)
	}
	if _, err := strconv.ParseFloat(name, 64); err == nil || slices.Contains(notText, strings.ToLower(name)) {
		return fmt.Errorf("%.80q: programs that read tables take it for a number or a missing value; use another name", name)
	}
	return CheckName(name)
}

// notText lists words, in lower case, that programs such as pandas do not read as text in a table.
// [strconv.ParseFloat] accepts the others: nan, inf and infinity.
var notText = []string{"na", "null", "none", "true", "false"}
