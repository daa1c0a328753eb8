package inert

import (
	"bytes"
	"errors"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
)

func TestText(t *testing.T) {
	for s, want := range map[string]string{
		"":                        "",
		"cifar10-valid":           "cifar10-valid",
		`C:\new "x" 100 %`:        `C:\new "x" 100 %`,
		"Größe 画像 ½\u00a0km":      "Größe 画像 ½\u00a0km",
		"\ufffd":                  "\ufffd",
		"a\nb\r\tc":               `a\nb\r\tc`,
		"d\x1b[2J\x1b]0;owned\a":  `d\x1b[2J\x1b]0;owned\a`,
		"\u009b31m":               `\u009b31m`, // CSI in one character
		"txt\u202egnp.exe":        `txt\u202egnp.exe`,
		"\u2066left\u2069":        `\u2066left\u2069`,
		"zero\u200bwidth\ufeff":   `zero\u200bwidth\ufeff`,
		"line\u2028break\u2029":   `line\u2028break\u2029`,
		"\xff\x00\x7f\U000e0041":  `\xff\x00\x7f\U000e0041`,
		"cut off \xe2\x82":        `cut off \xe2\x82`,
		"private \ue000 surr\xed": `private \ue000 surr\xed`,
	} {
		if got := Text(s); got != want {
			t.Errorf("%q is shown as %q, not %q", s, got, want)
		}
		if IsInert(s) != (s == want) {
			t.Errorf("IsInert(%q) = %v", s, IsInert(s))
		}
	}
}

func TestFprintf(t *testing.T) {
	type name string
	var b bytes.Buffer
	n, err := Fprintf(&b, "\x1b[A%s\t%-6s|%*d|%.2f|%v|%v|%q|%v\n", "a\nb", "c\x1b", 4, 7, 1.5, errors.New("no\rline"), name("\x1b[31m"), "\a", 90*time.Second)
	want := "\x1b[Aa\\nb\tc\\x1b    |   7|1.50|no\\rline|\\x1b[31m|\"\\a\"|1m30s\n"
	if b.String() != want || n != len(want) || err != nil {
		t.Errorf("%q, %d, %v\nwant %q", b.String(), n, err, want)
	}
	b.Reset()
	if _, err := Fprintf(&b, "%v %v %d", nil, []string{"x\n"}, []int{1}); err != nil || b.String() != "<nil> [x\\n] [1]" {
		t.Errorf("%q, %v", b.String(), err)
	}
}

func FuzzText(f *testing.F) {
	for _, s := range []string{"", "a", "\x1b[2J", "\u202e", "\xff\xfe", "\\x1b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		shown := Text(s)
		if !utf8.ValidString(shown) || !IsInert(shown) || Text(shown) != shown || IsInert(s) != (shown == s) {
			t.Errorf("%q is shown as %q", s, shown)
		}
		for _, r := range shown {
			if unicode.Is(unicode.C, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
				t.Errorf("%q is shown with %U", s, r)
			}
		}
	})
}

func TestMarshalers(t *testing.T) {
	type named string
	v := struct {
		A string
		B named
		C []any
		D map[named]*string
		E int
	}{"a\x1b[2J", "b\u202e", []any{"c\n", 1.5, nil}, map[named]*string{"d\t": new(string)}, 7}
	text, err := json.Marshal(v, json.WithMarshalers(Marshalers()))
	if want := `{"A":"a\\x1b[2J","B":"b\\u202e","C":["c\\n",1.5,null],"D":{"d\\t":""},"E":7}`; err != nil || string(text) != want {
		t.Errorf("%s, error %v, want %s", text, err, want)
	}
}
