package backend

import (
	"os"
	"testing"
)

func TestSetFlags(t *testing.T) {
	for before, want := range map[string]string{
		"":                    "--a=1 --b=2",
		" --b=3 ":             "--b=3 --a=1",
		"--a --ab=4 --b=true": "--a --ab=4 --b=true",
		"--a=1 --b=2":         "--a=1 --b=2", // as a child of this process finds them
		"flags.txt":           "flags.txt",
	} {
		t.Setenv("XLA_FLAGS", before)
		if err := setFlags(map[string]string{"b": "2", "a": "1"}); err != nil {
			t.Fatal(err)
		}
		if got := os.Getenv("XLA_FLAGS"); got != want {
			t.Errorf("%q becomes %q, want %q", before, got, want)
		}
	}
}
