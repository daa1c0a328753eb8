package layout

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/creack/pty"
	"github.com/mattn/go-runewidth"

	"nb201/internal/needs"
)

// open opens a pseudo-terminal of this many columns. read closes it and returns what was written.
func open(t *testing.T, columns uint16) (tty *os.File, read func() string) {
	t.Helper()
	own, tty, err := pty.Open()
	needs.System(t, err)
	t.Cleanup(func() { own.Close(); tty.Close() })
	if err := pty.Setsize(tty, &pty.Winsize{Rows: 24, Cols: columns}); err != nil {
		t.Fatal(err)
	}
	all := make(chan string)
	go func() {
		text, _ := io.ReadAll(own) // ends with an error when the terminal is closed
		all <- string(text)
	}()
	return tty, func() string {
		tty.Close()
		return strings.ReplaceAll(<-all, "\r\n", "\n")
	}
}

func TestWidth(t *testing.T) {
	for columns, want := range map[uint16]int{0: 80, 10: 60, 60: 60, 120: 120} {
		tty, _ := open(t, columns)
		if got := Width(tty); got != want {
			t.Errorf("%d columns: %d, want %d", columns, got, want)
		}
		if got := Width(NewText(tty)); got != want {
			t.Errorf("%d columns, text: %d, want %d", columns, got, want)
		}
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	defer w.Close()
	for _, w := range []io.Writer{w, new(bytes.Buffer), NewText(new(bytes.Buffer)), NewText(w)} {
		if got := Width(w); got != 0 {
			t.Errorf("%T: %d", w, got)
		}
	}
}

func TestColours(t *testing.T) {
	tty, _ := open(t, 80)
	for _, test := range []struct {
		noColor, term string
		w             io.Writer
		want          bool
	}{
		{"", "xterm", tty, true}, {"", "", tty, true}, {"1", "xterm", tty, false}, {"0", "xterm", tty, false},
		{"", "dumb", tty, false}, {"", "xterm", new(bytes.Buffer), false},
	} {
		t.Setenv("NO_COLOR", test.noColor)
		t.Setenv("TERM", test.term)
		if got := Colours(test.w); got != test.want {
			t.Errorf("%+v: %t", test, got)
		}
	}
}

func TestWrap(t *testing.T) {
	for _, test := range []struct{ text, want string }{
		{"", ""},
		{"short\n", "short\n"},
		{"exactly 20 columns..\n", "exactly 20 columns..\n"},
		{"a sentence of several words\nnext", "a sentence of\n  several words\nnext"},
		{"  an indented line of words", "  an indented line\n    of words"},
		{"rate      3 trials an hour", "rate      3 trials\n          an hour"},
		{"  name   a text of words\n", "  name   a text of\n         words\n"},
		{"a name that is long  and its text", "a name that is long\n  and its text"},
		{"run `nb201 data get cifar10 --data x` now", "run\n  `nb201 data get cifar10 --data x`\n  now"},
		{"/a/path/that/is/wider/than/the/terminal it", "/a/path/that/is/wider/than/the/terminal\n  it"},
		{"画像画像画像 画像画像", "画像画像画像\n  画像画像"},
	} {
		if got := Wrap(test.text, 20); got != test.want {
			t.Errorf("%q:\n%q\nwant\n%q", test.text, got, test.want)
		}
		if got := Wrap(test.text, 0); got != test.text {
			t.Errorf("%q without a terminal: %q", test.text, got)
		}
	}
}

// A line may be written in pieces.
func TestText(t *testing.T) {
	long := strings.Repeat("word ", 15) + "end\n"
	want := strings.Repeat("word ", 11) + "word\n  word word word end\n"
	tty, read := open(t, 60)
	w := NewText(tty)
	for _, piece := range []string{long[:30], long[30:40], long[40:] + "next", "\n"} {
		if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Fatal(n, err)
		}
	}
	if got := read(); got != want+"next\n" {
		t.Errorf("%q", got)
	}
	var plain bytes.Buffer
	fmt.Fprint(NewText(&plain), long, "open")
	if plain.String() != long+"open" {
		t.Errorf("%q", &plain)
	}
}

func TestTable(t *testing.T) {
	numbers := func(w io.Writer) *Table {
		table := NewNumbers(w, 2)
		fmt.Fprintln(table, "dataset\tseed\ttraining loss\ttraining top-1\tevaluation loss\tevaluation top-1\t")
		fmt.Fprintln(table, "cifar10\t777\t0.1\t20\t0.3\t40\t")
		return table
	}
	words := func(w io.Writer) *Table {
		table := NewTable(w, 1)
		fmt.Fprintln(table, "dataset\tformat\timages to train\timages to test\tpath of the images")
		fmt.Fprintln(table, "cifar10\tpython\t50000\t10000\t/data")
		return table
	}
	properties := func(w io.Writer) *Table {
		table := NewProperties(w)
		fmt.Fprintln(table, "machine\tlinux")
		fmt.Fprintln(table, "plugin cpu\t"+strings.Repeat("word ", 11)+"end")
		return table
	}
	for name, test := range map[string]struct {
		table        func(io.Writer) *Table
		narrow, wide string
	}{
		"numbers": {
			numbers,
			`  dataset  seed  training loss  training top-1
  cifar10   777            0.1              20

  dataset  seed  evaluation loss  evaluation top-1
  cifar10   777              0.3                40
`,
			`  dataset  seed  training loss  training top-1  evaluation loss  evaluation top-1
  cifar10   777            0.1              20              0.3                40
`,
		},
		"words": {
			words,
			`dataset  format  images to train  images to test
cifar10  python  50000            10000

dataset  path of the images
cifar10  /data
`,
			`dataset  format  images to train  images to test  path of the images
cifar10  python  50000            10000           /data
`,
		},
		"properties": {
			properties,
			`machine     linux
plugin cpu  word word word word word word word word word
            word word end
`,
			`machine     linux
plugin cpu  word word word word word word word word word word word end
`,
		},
	} {
		tty, read := open(t, 60)
		if err := test.table(tty).Flush(); err != nil {
			t.Error(err)
		}
		if got := read(); got != test.narrow {
			t.Errorf("%s, 60 columns:\n%s\nwant\n%s", name, got, test.narrow)
		}
		var plain bytes.Buffer
		if err := test.table(&plain).Flush(); err != nil || plain.String() != test.wide {
			t.Errorf("%s, no terminal: %v\n%s\nwant\n%s", name, err, &plain, test.wide)
		}
		for columns := uint16(60); columns < 90; columns++ {
			tty, read := open(t, columns)
			if err := test.table(tty).Flush(); err != nil {
				t.Error(err)
			}
			for line := range strings.Lines(read()) {
				if n := runewidth.StringWidth(strings.TrimSuffix(line, "\n")); n > int(columns) {
					t.Errorf("%s: %d columns in %d: %s", name, n, columns, line)
				}
			}
		}
	}
}
