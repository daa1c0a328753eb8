package plugin

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/internal/usage"
)

func TestParseRecord(t *testing.T) {
	const empty = "47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU"
	for text, want := range map[string]string{
		"a.so,sha256=" + empty + ",0\nb-1.dist-info/RECORD,,\n": "",
		`"a, b.so",sha256=` + empty + ",0\r\n":                  "",
		"":                                                      "",
		"a.so,sha256=" + empty + "=,0\n":                        "instead of a SHA-256",
		"a.so,md5=1B2M2Y8AsgTpgAmY7PhCfg,0\n":                   "instead of a SHA-256",
		"a.so,sha256=AAAA,0\n":                                  "instead of a SHA-256",
		"a.so\n":                                                "wrong number of fields",
		"../a.so,sha256=" + empty + ",0\n":                      "is outside the directory",
		"/a.so,sha256=" + empty + ",0\n":                        "is outside the directory",
		"a.so,sha256=" + empty + ",0\n\"b.so\n,":                "RECORD",
	} {
		files, err := parseRecord([]byte(text))
		switch {
		case want == "" && err != nil:
			t.Errorf("%q: %v", text, err)
		case want == "":
			for _, sum := range files {
				if sum != "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855" {
					t.Errorf("%q: %v", text, files)
				}
			}
		case want != "RECORD" && (err == nil || !strings.Contains(err.Error(), want)), err == nil:
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
}

func FuzzParseRecord(f *testing.F) {
	f.Add([]byte("a.so,sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0\nb-1.dist-info/RECORD,,\n"))
	f.Add([]byte("\"a, b\",,\n"))
	f.Fuzz(func(t *testing.T, text []byte) {
		files, err := parseRecord(text)
		if err != nil {
			return
		}
		for name, sum := range files {
			if !filepath.IsLocal(name) || len(sum) != 64 {
				t.Errorf("%q: %s", name, sum)
			}
		}
	})
}

// A library that is cut short anywhere is refused before it is loaded.
func TestFingerprint(t *testing.T) {
	compiler := needs.Program(t, "cc")
	dir := t.TempDir()
	source, library := filepath.Join(dir, "e.c"), filepath.Join(dir, "my_cpu.so")
	if err := os.WriteFile(source, []byte("char large[100000] = {1}; void *GetPjrtApi(void) { return large; }\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	build := func(flags ...string) []byte {
		t.Helper()
		if out, err := exec.Command(compiler, append(flags, "-o", library, source)...).CombinedOutput(); err != nil {
			t.Fatalf("%v %s", err, out)
		}
		text, err := os.ReadFile(library)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
	whole := build("-shared", "-fPIC")
	stripped := build("-shared", "-fPIC", "-s")
	cases := map[string]struct {
		content []byte
		want    string
	}{
		"whole": {whole, ""}, "stripped": {stripped, ""},
		"empty": {nil, "cut short, after 0 bytes"}, "text": {[]byte("not elf, but rather long for all that"), "not a shared library"},
	}
	for _, n := range []int{1, 10, 63, 64, 1000, len(whole) / 2, len(whole) - 1} {
		cases[strings.Repeat("x", n%97)+"cut"] = struct {
			content []byte
			want    string
		}{whole[:n], "cut short, after"}
	}
	for name, c := range cases {
		if err := os.WriteFile(library, c.content, 0o777); err != nil {
			t.Fatal(err)
		}
		sum, err := Fingerprint(Plugin{Device: CPU, Path: library, Source: FromEnvironment})
		if c.want == "" {
			if want, _, _ := HashFile(library); err != nil || sum != want {
				t.Errorf("%s: %q, %v", name, sum, err)
			}
			continue
		}
		if !usage.Is(err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), library) ||
			!strings.HasSuffix(err.Error(), "; correct or unset GOMLX_BACKEND") {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}
