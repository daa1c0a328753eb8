package seal

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"nb201/internal/needs"
)

const object = "{\n  \"a\": 1,\n  \"b\": [2, 3]\n}"

func TestOpen(t *testing.T) {
	text := Seal([]byte(object))
	if got, sealed, err := Open(text); string(got) != object || !sealed || err != nil {
		t.Errorf("opened: %q, %v, %v", got, sealed, err)
	}
	for i := range text {
		for bit := range 8 {
			text[i] ^= 1 << bit
			if _, sealed, err := Open(text); sealed && err == nil {
				t.Errorf("a change of bit %d of byte %d is not detected", bit, i)
			}
			text[i] ^= 1 << bit
		}
	}
	for _, other := range []string{"", "{}", object, object + "\n", string(text) + "\n", string(text[:len(text)-1]), string(text[len(text)-70:])} {
		if _, sealed, err := Open([]byte(other)); sealed || err != nil {
			t.Errorf("%q: %v, %v", other, sealed, err)
		}
	}
}

// TestPython checks a seal with the Python code in the package's documentation.
func TestPython(t *testing.T) {
	python := needs.Program(t, "python3")
	path := filepath.Join(t.TempDir(), "sealed.json")
	text := Seal([]byte(object))
	for _, want := range []string{"True\n", "False\n"} {
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command(python, "-c", `import hashlib, sys
b = open(sys.argv[1], "rb").read()
print(hashlib.sha256(b[:-68] + b"0" * 64 + b[-4:]).hexdigest().encode() == b[-68:-4])`, path).CombinedOutput()
		if err != nil || string(out) != want {
			t.Errorf("python says %s, %v; want %s", out, err, want)
		}
		text[5] ^= 1
	}
}
