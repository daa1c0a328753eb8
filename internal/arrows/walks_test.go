package arrows

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nb201/internal/repository"
)

var (
	step     = regexp.MustCompile("^ *- `([^`]+)` ([A-Za-z_0-9, ]+)(\\(again: )?")
	function = map[string]string{ // a declaration, by the language of a file
		".go": `(?m)^func (\([^)]*\) )?%s[\[(]`,
		".c":  `(?m)^[a-z][a-z_0-9 ]*[ *]%s\(`,
	}
)

// The walks must name functions that exist in the files, and mark a file that they enter
// again.
func TestWalks(t *testing.T) {
	passed := map[string]bool{}
	steps := 0
	for line := range strings.Lines(repository.Read(t, "docs/walks.md")) {
		m := step.FindStringSubmatch(line)
		if m == nil {
			if strings.HasPrefix(line, "## ") {
				passed = map[string]bool{}
			}
			continue
		}
		steps++
		file, names := m[1], m[2]
		if again := m[3] != ""; again != passed[file] {
			t.Errorf("%s: entered before is %t, but its mark (again: ...) is %t", file, passed[file], again)
		}
		passed[file] = true
		text, err := os.ReadFile(filepath.Join(repository.Root, file))
		if err != nil {
			t.Error(err)
			continue
		}
		for name := range strings.SplitSeq(names, ",") {
			name = strings.TrimSpace(name)
			declaration := regexp.MustCompile(strings.Replace(function[filepath.Ext(file)], "%s", name, 1))
			if !declaration.Match(text) {
				t.Errorf("%s declares no function %s", file, name)
			}
		}
	}
	if steps < 30 {
		t.Errorf("found only %d steps on the page", steps)
	}
}
