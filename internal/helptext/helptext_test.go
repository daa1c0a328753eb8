package helptext

import (
	"reflect"
	"strings"
	"testing"
)

const sample = `sample does something with DIR, in a sentence that needs two lines of a page and
continues here.

Words:
  name          its text, which continues
                below itself
  a long name   another text
  - a bullet of several words that may wrap on a narrow terminal
  - another one

Another paragraph.
`

func TestParse(t *testing.T) {
	want := []Block{
		{Text: "sample does something with DIR, in a sentence that needs two lines of a page and continues here."},
		{Text: "Words:", Apart: true},
		{Text: "its text, which continues below itself", Name: "name", Item: true, Indent: 2, Hang: 16},
		{Text: "another text", Name: "a long name", Item: true, Indent: 2, Hang: 16},
		{Text: "a bullet of several words that may wrap on a narrow terminal", Name: "-", Item: true, Indent: 2, Hang: 4},
		{Text: "another one", Name: "-", Item: true, Indent: 2, Hang: 4},
		{Text: "Another paragraph.", Apart: true},
	}
	if got := Parse(sample); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v", got)
	}
	if got := Parse(""); got != nil {
		t.Errorf("%+v", got)
	}
	for i, heading := range []bool{false, true, false, false, false, false} {
		if got := want[i].IsHeading(want[i+1]); got != heading {
			t.Errorf("%q is a heading: %t", want[i].Text, got)
		}
	}
}

func TestWrap(t *testing.T) {
	const narrow = `sample does something with DIR, in a
sentence that needs two lines of a page
and continues here.

Words:
  name          its text, which
                continues below itself
  a long name   another text
  - a bullet of several words that may
    wrap on a narrow terminal
  - another one

Another paragraph.
`
	if got := Wrap(sample, 40); got != narrow {
		t.Errorf("40 columns:\n%s\nwant\n%s", got, narrow)
	}
	if got := Wrap(sample, 80); got != sample {
		t.Errorf("80 columns:\n%s", got)
	}
	// Where the names leave little room, texts go below them.
	if got, want := Wrap("  a name of many words  and its text\n  short                 text\n", 30), "  a name of many words\n      and its text\n  short\n      text\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	words := func(text string) string { return strings.Join(strings.Fields(text), " ") }
	for width := 20; width < 100; width++ {
		if got := Wrap(sample, width); words(got) != words(sample) {
			t.Errorf("%d columns change the words:\n%s", width, got)
		}
	}
}

func TestWrapCommands(t *testing.T) {
	const commands = `  nb201 train 0 --dataset digits --seed 1 --out demo
  nb201 setup      # installs what training needs on a GPU
  nb201 doctor`
	const want = `  nb201 train 0 --dataset \
        digits --seed 1 --out \
        demo
  # installs what training needs
  # on a GPU
  nb201 setup
  nb201 doctor`
	if got := WrapCommands(commands, 32); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if got := WrapCommands(commands, 98); got != commands {
		t.Errorf("%s", got)
	}
}

func TestRoff(t *testing.T) {
	const want = `.PP
sample does something with DIR, in a sentence that needs two lines of a page and continues here.
.SS Words
.TP
\fBname\fR
its text, which continues below itself
.TP
\fBa long name\fR
another text
.IP \(bu 2
a bullet of several words that may wrap on a narrow terminal
.IP \(bu 2
another one
.PP
Another paragraph.
`
	if got := Roff(sample); got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	for text, want := range map[string]string{
		`.pth files`: `\&.pth files`, `a\b`: `a\eb`, `--to it's`: `\-\-to it\(aqs`, "~/x `y` a^b": `\(ti/x \(gay\(ga a\(hab`, "'x": `\(aqx`,
	} {
		if got := Escape(text); got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
	}
	if got, want := Usage("nb201 data get KEY --to DIR [flags]", 3), `\fBnb201 data get\fR \fIKEY\fR \-\-to \fIDIR\fR [flags]`; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	if got, want := Commands("  nb201 arch 0\n    continued"), ".EX\nnb201 arch 0\n  continued\n.EE\n"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
}
