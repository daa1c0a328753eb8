// Package prose checks the text of this repository: no comment, string, script or page contains a
// phrase that docs/style.md bans, and every link of a page leads to a file and a heading.
package prose

import (
	"bufio"
	"cmp"
	"fmt"
	"go/scanner"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nb201/internal/repository"
)

// ban is a row of the table of banned phrases.
type ban struct {
	banned, allowed *regexp.Regexp
	instead         string
}

// cell splits a row of a Markdown table, whose cells may hold escaped bars.
var cell = regexp.MustCompile(`(?:\\\||[^|])+`)

// bans reads the table of banned phrases of docs/style.md.
func bans(t *testing.T) []ban {
	t.Helper()
	_, table, ok := strings.Cut(repository.Read(t, "docs/style.md"), "\n| banned |")
	if !ok {
		t.Fatal("docs/style.md has no table of banned phrases")
	}
	var list []ban
	for _, line := range strings.Split(table, "\n")[2:] {
		cells := cell.FindAllString(line, -1)
		if len(cells) != 3 {
			break
		}
		var patterns [2]*regexp.Regexp
		for i := range patterns {
			text := strings.ReplaceAll(strings.Trim(cells[i], " `"), `\|`, "|")
			if text != "" {
				patterns[i] = regexp.MustCompile("(?i)" + text)
			}
		}
		list = append(list, ban{patterns[0], patterns[1], strings.TrimSpace(cells[2])})
	}
	if len(list) < 10 {
		t.Fatalf("docs/style.md bans %d phrases: its table was not read", len(list))
	}
	return list
}

// match returns the first banned phrase in text, or "".
func (b ban) match(text string) string {
	for _, at := range b.banned.FindAllStringIndex(text, -1) {
		excepted := b.allowed != nil && slices.ContainsFunc(b.allowed.FindAllStringIndex(text, -1), func(a []int) bool {
			return a[0] <= at[0] && at[1] <= a[1]
		})
		if !excepted {
			return text[at[0]:at[1]]
		}
	}
	return ""
}

// passage is text that people read, and where it begins.
type passage struct {
	file string
	line int
	text string
}

// passages returns the comments and strings of a Go file; of other files, the paragraphs.
func passages(file string, content []byte) []passage {
	if filepath.Ext(file) == ".go" {
		return goPassages(file, content)
	}
	var found []passage
	p := passage{file: file}
	lines := bufio.NewScanner(strings.NewReader(string(content)))
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimLeft(strings.TrimSpace(lines.Text()), "#>/* ") // of comments and quotations
		if line == "" {
			found = append(found, p)
			p = passage{file: file}
			continue
		}
		if p.text == "" {
			p.line = n
		}
		p.text += line + " "
	}
	return append(found, p)
}

// goPassages joins the lines of a comment, so that a phrase that is broken over lines is found.
func goPassages(file string, content []byte) []passage {
	var found []passage
	set := token.NewFileSet()
	f := set.AddFile(file, -1, len(content))
	var s scanner.Scanner
	s.Init(f, content, nil, scanner.ScanComments)
	last := -1 // the line of the last comment
	for {
		pos, kind, text := s.Scan()
		switch kind {
		case token.EOF:
			return found
		case token.COMMENT:
			line := f.Line(pos)
			if last >= 0 && line == last+1 && found[len(found)-1].text[0] == '/' {
				found[len(found)-1].text += " " + strings.TrimSpace(strings.TrimPrefix(text, "//"))
			} else {
				found = append(found, passage{file, line, strings.Join(strings.Fields(text), " ")})
			}
			last = line
		case token.STRING:
			found = append(found, passage{file, f.Line(pos), strings.Join(strings.Fields(text), " ")})
			last = -1
		}
	}
}

// read reports whether people read the file at a path from the root as prose of this project.
func read(path string) bool {
	switch {
	case path == "docs/style.md", path == "internal/prose/prose_test.go":
		return false // they quote what is banned
	case strings.Contains(path, "testdata/"), strings.HasPrefix(path, "bench/results/"):
		return false
	}
	switch filepath.Ext(path) {
	case ".go", ".md", ".sh", ".yml", ".py", ".c", ".h":
		return true
	case ".json":
		return strings.HasPrefix(path, "docs/")
	}
	return slices.Contains([]string{"Makefile", ".ci/run", "bench/run"}, path)
}

func TestNoBannedPhrase(t *testing.T) {
	list := bans(t)
	files := 0
	var faults []string
	repository.Walk(t, func(name string) error {
		if !read(name) {
			return nil
		}
		files++
		for _, p := range passages(name, []byte(repository.Read(t, name))) {
			for _, b := range list {
				if phrase := b.match(p.text); phrase != "" {
					faults = append(faults, fmt.Sprintf("%s:%d: %q: write %s", p.file, p.line, phrase, cmp.Or(b.instead, "something else")))
				}
			}
		}
		return nil
	})
	if files < 300 {
		t.Errorf("only %d files were read", files)
	}
	for _, fault := range faults {
		t.Error(fault)
	}
}

func TestBans(t *testing.T) {
	list := bans(t)
	for text, banned := range map[string]bool{
		"Tell how far a campaign is":                      true,
		"key \"a\" stands there twice":                    true,
		"N stands for the cells in a stage":               false,
		"%s is no file":                                   true,
		"there is no file":                                false,
		"the run is no longer alive":                      false,
		"an architecture that there is not":               true,
		"--retry-failed has trials that failed begin":     false, // a verb far away: left to readers
		"// begun is what a run has begun":                true,
		"// parse parses what is there in a file":         true,
		"// Name returns the name of the dataset":         false,
		"a dataset of your own":                           false,
		"write over files of the name that are there":     true,
		"checks the definition against the files":         false,
		"holds the files of a dataset against its digest": true,
	} {
		found := slices.ContainsFunc(list, func(b ban) bool { return b.match(text) != "" })
		if found != banned {
			t.Errorf("%q: banned %v, want %v", text, found, banned)
		}
	}
}
