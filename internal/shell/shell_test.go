package shell

import (
	"os/exec"
	"testing"
)

// TestQuote checks that a shell prints quoted words unchanged.
func TestQuote(t *testing.T) {
	for _, text := range []string{
		"", "a", "/home/a/b-c_d.e", "a b", "it's", "''", `"`, `\`, "$HOME `id` $(id)", "a\nb", "*", "--x=1,2", "~", "!", "ä", "#",
	} {
		out, err := exec.Command("sh", "-c", "printf %s "+Quote(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q as %s: %q, %v", text, Quote(text), out, err)
		}
	}
	for text, want := range map[string]string{"/a/b": "/a/b", "": "''", "it's": `'it'\''s'`} {
		if got := Quote(text); got != want {
			t.Errorf("%q: %s, want %s", text, got, want)
		}
	}
}
