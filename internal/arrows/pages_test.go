package arrows

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/internal/repository"
)

var (
	variable = regexp.MustCompile(`\b(NB201_[A-Z][A-Z0-9_]*[A-Z0-9])\b`)
	// unlisted matches names that users and developers never set: guards of C headers, and variables
	// that tests set for processes that they start.
	unlisted = regexp.MustCompile(`^NB201_(.*_H|(TEST|BENCH_FAKE)(_.*)?)$`)
	declared = regexp.MustCompile(`(?m)^func ((?:Test|Fuzz|Benchmark)[A-Z]\w*)\(`)
	named    = regexp.MustCompile("`((?:Test|Fuzz|Benchmark)[A-Z][A-Za-z0-9]*)`")
	rowOf    = regexp.MustCompile("(?m)^\\| `([a-z0-9/-]+)` \\|")
)

// sources returns the repository's files with one of the extensions, without saved tables of bench:
// their texts, by name.
func sources(t *testing.T, extensions ...string) map[string]string {
	t.Helper()
	texts := map[string]string{}
	repository.Walk(t, func(name string) error {
		if slices.Contains(extensions, path.Ext(name)) && !strings.HasPrefix(name, "bench/results/") {
			texts[name] = repository.Read(t, name)
		}
		return nil
	})
	return texts
}

// CONTRIBUTING.md must explain every environment variable and every need, and no others.
func TestContributing(t *testing.T) {
	page := repository.Read(t, "CONTRIBUTING.md")
	want := []string{"NB201_TEST_DEVICE"}
	for _, text := range sources(t, ".go", ".sh", ".py", ".yml", "") {
		want = append(want, captured(variable, text, "")...)
	}
	want = slices.DeleteFunc(want, func(v string) bool { return v != "NB201_TEST_DEVICE" && unlisted.MatchString(v) })
	slices.Sort(want)
	want = slices.Compact(want)
	got := slices.DeleteFunc(captured(variable, page, ""), func(v string) bool { return v == "NB201_TEST" })
	if !slices.Equal(got, want) {
		t.Errorf("the page explains %q, want %q", got, want)
	}
	_, ledger, _ := strings.Cut(page, "## The skip ledger")
	ledger, _, _ = strings.Cut(ledger, "\n## ")
	if got := captured(rowOf, ledger, ""); !slices.Equal(got, needs.Names()) {
		t.Errorf("the page lists the needs %q, want %q", got, needs.Names())
	}
}

// The tests that pages for developers name must exist. internal/prose checks their links.
func TestPages(t *testing.T) {
	tests := map[string]bool{}
	for name, text := range sources(t, ".go") {
		if strings.HasSuffix(name, "_test.go") {
			for _, test := range captured(declared, text, "") {
				tests[test] = true
			}
		}
	}
	for _, name := range []string{"CONTRIBUTING.md", "CHANGELOG.md", "docs/developing.md"} {
		page := repository.Read(t, name)
		for _, test := range captured(named, page, "") {
			if !tests[test] {
				t.Errorf("%s names the test %s, which does not exist", name, test)
			}
		}
	}
}

// docs/developing.md must list every directory of layers with what it may import, and every
// target of the Makefile.
func TestDeveloping(t *testing.T) {
	page := repository.Read(t, "docs/developing.md")
	_, folders, _ := strings.Cut(page, "\n## Folders")
	folders, _, _ = strings.Cut(folders, "\n## ")
	got := map[string][]string{}
	for line := range strings.Lines(folders) {
		cells := strings.Split(strings.TrimSpace(line), "|")
		if len(cells) != 5 || !strings.Contains(cells[1], "`") {
			continue
		}
		got[strings.Trim(cells[1], " `/")] = captured(regexp.MustCompile("`([^`]+)`"), cells[3], "")
	}
	for folder, imports := range layers {
		if strings.HasSuffix(folder, ofTests) {
			continue
		}
		if want := slices.Sorted(slices.Values(imports)); !slices.Equal(got[folder], want) {
			t.Errorf("the page says that %s imports %q, want %q", folder, got[folder], want)
		}
	}
	for folder := range got {
		if info, err := os.Stat(filepath.Join(repository.Root, folder)); err != nil || !info.IsDir() {
			t.Errorf("the page lists %s: %v", folder, err)
		}
	}
	targets := captured(rule, repository.Read(t, "Makefile"), " ")
	_, listed, _ := strings.Cut(page, "\n## Make targets")
	listed, _, _ = strings.Cut(listed, "\n## ")
	if got := captured(rowOf, listed, ""); !slices.Equal(got, targets) {
		t.Errorf("the page lists the targets %q, want %q", got, targets)
	}
}
