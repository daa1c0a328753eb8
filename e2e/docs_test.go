package e2e

import (
	"bufio"
	"bytes"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nb201/internal/backend/devicetest"
	"nb201/internal/buildtest"
	"nb201/internal/needs"
	"nb201/internal/plugin"
	"nb201/internal/schematest"
	"nb201/internal/shell"
)

// update rewrites the output in the pages' console blocks from this run.
var update = flag.Bool("update-docs", false, "write the output of this run into the console blocks of README.md and docs")

// manual is the order of a reader who follows the manual from the start: all pages run in one
// directory, so that a page may use what an earlier one made. Other pages come after these.
var manual = []string{
	"README.md", "docs/train.md", "docs/recipes.md", "docs/datasets.md", "docs/campaigns.md", "docs/evaluate.md", "docs/sizes.md", "docs/clusters.md",
	"docs/query-and-export.md", "docs/serve.md", "docs/reproducing.md",
}

// pages returns the paths of the manual and of all other pages in root and its docs.
func pages(t *testing.T, root string) []string {
	t.Helper()
	list := slices.Clone(manual)
	for _, pattern := range []string{"*.md", "docs/*.md", "docs/*/*.md"} {
		found, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			t.Fatal(err)
		}
		for _, path := range found {
			page, err := filepath.Rel(root, path)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Contains(list, page) {
				list = append(list, page)
			}
		}
	}
	return list
}

// block is a fenced block of a page that can be run.
type block struct {
	page     string
	language string // console or python
	line     int    // of the opening fence, from 1
	lines    []string
	// skip says why this block is not run: the comment <!-- not run: REASON --> above it.
	skip string
	// compiles reports that this block needs the compiler for GPUs: the comment
	// <!-- needs: compiler --> above it.
	compiles bool
	// python reports that this block runs .venv/bin/python: the comment <!-- needs: python --> above it.
	python bool
}

// reasons lists the accepted reasons not to run a block.
var reasons = []string{
	"needs a GPU", "needs a cluster", "needs the published file", "needs CIFAR-10", "needs ImageNet", "downloads", "run by .ci/run", "takes hours",
}

// languages lists the languages of blocks. Only console and python are run.
var languages = []string{"console", "python", "go", "json", ""}

var notRun = regexp.MustCompile(`^<!-- not run: (.+) -->$`)

// blocks returns the console and python blocks of a page.
func blocks(page, text string) ([]block, error) {
	var found []block
	var open *block
	above := ""
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(line, "```")
		if trimmed := strings.TrimSpace(line); open == nil && (strings.HasPrefix(trimmed, "~~~") || !isFence && strings.HasPrefix(trimmed, "```") || isFence && !slices.Contains(languages, fence)) {
			return nil, fmt.Errorf("%s:%d: %q begins no block; use ``` at the start of the line and one of the languages %q", page, i+1, line, languages)
		}
		switch {
		case open != nil && line == "```":
			if open.language == "console" || open.language == "python" {
				found = append(found, *open)
			}
			open = nil
		case open != nil:
			open.lines = append(open.lines, line)
		case isFence:
			open = &block{page: page, language: fence, line: i + 1, compiles: above == "<!-- needs: compiler -->", python: above == "<!-- needs: python -->"}
			if m := notRun.FindStringSubmatch(above); m != nil {
				open.skip = m[1]
				if !slices.Contains(reasons, m[1]) {
					return nil, fmt.Errorf("%s:%d: %q is not a reason not to run a block; use one of %s", page, i, m[1], strings.Join(reasons, ", "))
				}
			}
		}
		if strings.TrimSpace(line) != "" {
			above = line
		}
	}
	if open != nil {
		return nil, fmt.Errorf("%s:%d: the block does not end", page, open.line)
	}
	return found, nil
}

// step is a command of a console block and the output that the page shows for it.
type step struct {
	command []string // its lines, as in the page
	output  []string
}

func (s step) script() string {
	return strings.TrimPrefix(strings.Join(s.command, "\n"), "$ ")
}

// steps splits a console block at its prompts. A line that ends in a backslash continues.
func (b block) steps() ([]step, error) {
	var list []step
	continues := false
	for i, line := range b.lines {
		switch {
		case continues:
			last := &list[len(list)-1]
			last.command = append(last.command, line)
		case strings.HasPrefix(line, "$ "):
			list = append(list, step{command: []string{line}})
		case len(list) == 0:
			return nil, fmt.Errorf("%s:%d: a console block begins with a command, after \"$ \"", b.page, b.line+1+i)
		default:
			last := &list[len(list)-1]
			last.output = append(last.output, line)
			continue
		}
		continues = strings.HasSuffix(line, `\`)
	}
	return list, nil
}

var (
	number   = regexp.MustCompile(`-?\d[\d,]*(\.\d+)?(e[-+]?\d+)?`)
	duration = regexp.MustCompile(`(#[hms])+\b`)
	chart    = regexp.MustCompile(`[┤┼╭╮╰╯]`)
)

// shape returns a line of output without what differs from run to run: numbers and spacing.
func shape(line string) string {
	line = number.ReplaceAllString(strings.Join(strings.Fields(line), " "), "#")
	return duration.ReplaceAllString(line, "#s")
}

// shapes returns the shapes of the lines, without learning curves and blank lines.
func shapes(lines []string) []string {
	var list []string
	for _, line := range lines {
		if s := shape(line); s != "" && !chart.MatchString(line) {
			list = append(list, s)
		}
	}
	return list
}

// matches reports whether got has the lines of want, in which "..." is any number of lines.
func matches(want, got []string) bool {
	switch {
	case len(want) == 0:
		return len(got) == 0
	case want[0] == "...":
		return matches(want[1:], got) || len(got) > 0 && matches(want, got[1:])
	}
	return len(got) > 0 && got[0] == want[0] && matches(want[1:], got[1:])
}

func TestMatches(t *testing.T) {
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		{"a b", "a b", true},
		{"a b", "a", false},
		{"a", "a b", false},
		{"...", "", true},
		{"a ...", "a b c", true},
		{"... #", "# # #", true},
		{"... # end", "# # # end", true},
		{"a ... c", "a b", false},
	} {
		if ok := matches(strings.Fields(c.want), strings.Fields(c.got)); ok != c.ok {
			t.Errorf("%q matches %q: %v, want %v", c.got, c.want, ok, c.ok)
		}
	}
}

// TestDocs runs the console and python blocks of README and docs as they are pasted, and
// compares what they print, but for numbers, with the pages. With -short it runs those of README alone.
func TestDocs(t *testing.T) {
	needs.Program(t, "make")
	needs.Program(t, "curl")
	devicetest.Open(t)
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	reader := reader{dir: dir, root: root}
	if err := os.Mkdir(filepath.Join(dir, "bin"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(build(t), filepath.Join(dir, "bin", "nb201")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"configs", "testdata", "tools", "docs"} {
		if err := os.Symlink(filepath.Join(root, name), filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	read := pages(t, root)
	if !needs.IsLong() {
		read = read[:1]
	} else if needs.PythonIfSet(t) != "" {
		provideLibrary(t, root)
	}
	for _, page := range read {
		t.Run(page, func(t *testing.T) { reader.run(t, page) })
	}
	for _, made := range []string{"demo", "tour", "sets"} { // two campaigns, and the definition of a dataset
		if made = filepath.Join(dir, made); isDir(made) { // -run may have chosen pages that do not make it
			schematest.CheckDir(t, made)
		}
	}
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

// reader runs the pages below root in dir.
type reader struct{ dir, root string }

func (r reader) run(t *testing.T, page string) {
	path := filepath.Join(r.root, page)
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	list, err := blocks(page, string(content))
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(string(content), "\n")
	moved := 0 // lines that the update has added so far
	for _, b := range list {
		if b.skip != "" {
			t.Logf("%s:%d: not run: %s", page, b.line, b.skip)
			continue
		}
		written := b.lines
		run := func(t *testing.T) { written = r.console(t, b) }
		switch {
		case b.language == "python":
			t.Run(fmt.Sprintf("line %d", b.line), func(t *testing.T) {
				r.command(t, b, needs.Python(t), "-c", strings.Join(b.lines, "\n"))
			})
		case b.compiles:
			t.Run(fmt.Sprintf("line %d", b.line), func(t *testing.T) {
				_, err := plugin.Compiler()
				needs.Compiler(t, err)
				run(t)
			})
		case b.python:
			t.Run(fmt.Sprintf("line %d", b.line), func(t *testing.T) {
				r.providePython(t)
				run(t)
			})
		default:
			run(t)
		}
		at := b.line + moved
		lines = slices.Replace(lines, at, at+len(b.lines), written...)
		moved += len(written) - len(b.lines)
	}
	if *update {
		if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")), 0o666); err != nil {
			t.Fatal(err)
		}
	}
}

// provideLibrary lets Python import the package nb201 below root.
func provideLibrary(t *testing.T, root string) {
	t.Helper()
	library := filepath.Join(t.TempDir(), "libnb201.so")
	if err := buildtest.Build(library, "nb201/python/bridge", "-buildmode=c-shared"); err != nil {
		t.Fatal(err)
	}
	t.Setenv("PYTHONPATH", filepath.Join(root, "python"))
	t.Setenv("PYTHONDONTWRITEBYTECODE", "1")
	t.Setenv("NB201_LIBRARY", library)
}

// providePython makes .venv/bin/python run the Python of NB201_PYTHON.
func (r reader) providePython(t *testing.T) {
	t.Helper()
	text := "#!/bin/sh\nexec " + shell.Quote(needs.Python(t)) + " \"$@\"\n"
	path := filepath.Join(r.dir, ".venv", "bin", "python")
	err := os.MkdirAll(filepath.Dir(path), 0o777)
	if err == nil {
		err = os.WriteFile(path, []byte(text), 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// console runs a console block, compares what its commands print with the page, and returns the
// block's lines with the output of this run, where the page shows whole output.
func (r reader) console(t *testing.T, b block) (lines []string) {
	t.Helper()
	steps, err := b.steps()
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range steps {
		var got []string
		ok := true
		if script, isServer := strings.CutSuffix(r.script(t, s), " &"); isServer {
			got = r.background(t, script, len(s.output))
		} else {
			got, ok = r.command(t, b, "bash", "-c", script)
		}
		if !ok {
			t.Fatalf("%s:%d: later commands depend on this one", b.page, b.line)
		}
		lines = append(lines, s.command...)
		switch want := shapes(s.output); {
		case len(s.output) == 0:
		case *update && !slices.Contains(s.output, "..."):
			lines = append(lines, got...)
		case !matches(want, shapes(got)):
			t.Errorf("%s:%d: %s\nthe page shows\n%s\nprinted, numbers apart:\n%s", b.page, b.line, s.script(), strings.Join(want, "\n"), strings.Join(got, "\n"))
			fallthrough
		default:
			lines = append(lines, s.output...)
		}
	}
	return lines
}

// script returns the script that runs a step. For make demo that is the training alone, because the
// binary is already built and the XLA plugin installed.
func (r reader) script(t *testing.T, s step) string {
	script := s.script()
	if command, _, _ := strings.Cut(script, "#"); strings.TrimSpace(command) != "make demo" {
		return script
	}
	recipe, err := exec.Command("make", "-C", r.root, "--no-print-directory", "-n", "demo").Output()
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(recipe)), "\n")
	return lines[len(lines)-1]
}

// background starts a command that runs until the page ends, and returns the first n lines that it
// prints.
func (r reader) background(t *testing.T, script string, n int) (lines []string) {
	t.Helper()
	c := exec.CommandContext(t.Context(), "bash", "-c", "exec "+script)
	var errs bytes.Buffer
	c.Dir, c.Stderr = r.dir, &errs
	out, err := c.StdoutPipe()
	if err == nil {
		err = c.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Wait() }) // the context of the test has ended by then, which killed it
	late := time.AfterFunc(time.Minute, func() { _ = c.Process.Kill() })
	defer late.Stop()
	for text := bufio.NewScanner(out); len(lines) < n && text.Scan(); {
		lines = append(lines, text.Text())
	}
	if len(lines) < n {
		_ = c.Wait()
		t.Errorf("%s ends: %s", script, errs.String())
	}
	return lines
}

// command runs a command of a block and returns the lines of its standard output.
func (r reader) command(t *testing.T, b block, name string, args ...string) (lines []string, ok bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var out, errs bytes.Buffer
	c := exec.CommandContext(ctx, name, args...)
	c.Dir, c.Stdout, c.Stderr = r.dir, &out, &errs
	began := time.Now()
	err := c.Run()
	t.Logf("%s:%d: %.1f s: %s", b.page, b.line, time.Since(began).Seconds(), args[len(args)-1])
	if err != nil {
		t.Errorf("%s:%d: %s\n%v\n%s%s", b.page, b.line, args[len(args)-1], err, out.String(), errs.String())
		return nil, false
	}
	return strings.Split(strings.TrimRight(out.String(), "\n"), "\n"), true
}
