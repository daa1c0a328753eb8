package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"
)

// manual writes all pages and returns their directory.
func manual(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "share", "man1") // man makes it
	if stdout, stderr, code := nb201("man", "--to", dir); code != 0 || stderr != "" || !strings.HasSuffix(stdout, "/man1/nb201.1\n") {
		t.Fatalf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	return dir
}

// render formats a page as man does, in lines of this many columns. A warning fails the test.
func render(t *testing.T, path, columns string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), needs.Program(t, "groff"), "-man", "-ww", "-Kutf8", "-Tutf8", "-P-cbou", "-rcR=1", "-rLL="+columns+"n", path)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.String() != "" {
		t.Fatalf("%s: %v, stderr %q", filepath.Base(path), err, &stderr)
	}
	return string(out)
}

// squeezed returns text with every run of white space as one space.
func squeezed(text string) string { return strings.Join(strings.Fields(text), " ") }

// The page of each command has all that its help has: the words of the description, each flag with its
// text and default, the lines of the examples, and the exit codes.
func TestManualPages(t *testing.T) {
	dir := manual(t)
	pages, err := filepath.Glob(filepath.Join(dir, "*.1"))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	root := newRootCommand()
	addLibraryCommands(root)
	for _, c := range manualCommands(root) {
		c.InitDefaultHelpFlag()
		names = append(names, filepath.Join(dir, manualName(c)+".1"))
		page := render(t, names[len(names)-1], "78")
		text := squeezed(page)
		about, _ := helpOf(c)
		for line := range strings.Lines(about) {
			for _, cellText := range regexp.MustCompile(` {2,}`).Split(strings.TrimSpace(line), -1) { // the name and the text of an item
				if want := strings.TrimSuffix(squeezed(cellText), ":"); !strings.Contains(text, strings.TrimPrefix(want, "- ")) {
					t.Errorf("%s lacks %q", manualName(c), want)
				}
			}
		}
		flags := strings.Split(strings.TrimRight(c.LocalFlags().FlagUsages(), "\n"), "\n")
		for _, flag := range flags {
			if want := squeezed(flag); !strings.Contains(text, want) {
				t.Errorf("%s lacks the flag %q", manualName(c), want)
			}
		}
		for line := range strings.Lines(c.Example) {
			if want := strings.TrimSpace(line); !strings.Contains(page, want+"\n") {
				t.Errorf("%s lacks the example %q", manualName(c), want)
			}
		}
		for _, code := range exitCodes {
			if !strings.Contains(text, code[0]+" "+code[1]) {
				t.Errorf("%s lacks the exit code %s", manualName(c), code[0])
			}
		}
		for _, want := range []string{"ENVIRONMENT", "TERM dumb prints plain lines"} {
			if !strings.Contains(text, want) {
				t.Errorf("%s lacks %q", manualName(c), want)
			}
		}
	}
	slices.Sort(names)
	if !slices.Equal(pages, names) {
		t.Errorf("pages %q, commands %q", pages, names)
	}

	first := render(t, filepath.Join(dir, "nb201.1"), "78")
	for _, v := range environment {
		if !strings.Contains(squeezed(first), v.names+" "+v.about) {
			t.Errorf("nb201(1) lacks %s", v.names)
		}
		for name := range strings.FieldsSeq(v.commands) {
			if c, _, err := root.Find([]string{name}); err != nil || c == root {
				t.Errorf("%s: no command %q", v.names, name)
			}
		}
	}
	// A list keeps its rows.
	if want := "\n       --chunk I/N\n              train only chunk I/N of the plan, I from 1 to N\n"; !strings.Contains(render(t, filepath.Join(dir, "nb201-run.1"), "78"), want) {
		t.Errorf("nb201-run(1) lacks %q", want)
	}
}

// man(1) finds a page by its name.
func TestManualIsFound(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), needs.Program(t, "man"), "nb201-data-get")
	cmd.Env = append(os.Environ(), "MANPATH="+filepath.Dir(manual(t)), "MANPAGER=cat", "MANWIDTH=80")
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "nb201-data-get - Download CIFAR-10") {
		t.Errorf("%v\n%s", err, out)
	}
}

func TestManualIsReproducible(t *testing.T) {
	read := func(dir string) string {
		text, err := os.ReadFile(filepath.Join(dir, "nb201-train.1"))
		if err != nil {
			t.Fatal(err)
		}
		return string(text)
	}
	first := read(manual(t))
	if second := read(manual(t)); first != second || !strings.Contains(first, `.TH NB201\-TRAIN 1 "" "nb201 `+release+`"`) {
		t.Errorf("%.100q and %.100q", first, second)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "86400")
	if dated := read(manual(t)); !strings.Contains(dated, `.TH NB201\-TRAIN 1 "1970-01-02" `) {
		t.Errorf("%.100q", dated)
	}
	t.Setenv("SOURCE_DATE_EPOCH", "today")
	if _, stderr, code := nb201("man", "--to", t.TempDir()); code != 2 || stderr != "nb201: SOURCE_DATE_EPOCH=today: use a number of seconds since 1970, or unset it\n" {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

// man replaces its earlier pages, and a page by somebody else only with --force: then it writes none.
func TestManualKeepsFiles(t *testing.T) {
	dir := manual(t)
	if _, stderr, code := nb201("man", "--to", dir); code != 0 {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
	theirs, first := filepath.Join(dir, "nb201-verify.1"), filepath.Join(dir, "nb201.1")
	if err := os.WriteFile(theirs, []byte(".TH theirs"), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(first); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := nb201("man", "--to", dir)
	if want := "nb201: cannot write " + theirs + ": it already exists; name another file, or replace it with --force\n"; code != 2 || stderr != want {
		t.Errorf("code %d, stderr %q; want %q", code, stderr, want)
	}
	if _, err := os.Stat(first); err == nil {
		t.Error("pages were written")
	}
	if _, stderr, code := nb201("man", "--to", dir, "--force"); code != 0 {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
	if text, err := os.ReadFile(theirs); err != nil || !strings.HasPrefix(string(text), manualMark) {
		t.Errorf("%.50q, %v", text, err)
	}
	if _, stderr, code := nb201("man", "--to", first+"/below"); code != 2 || !strings.HasPrefix(stderr, "nb201: cannot make the directory "+first+"/below: ") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}
