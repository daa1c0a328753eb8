package backend

import (
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/programs"
)

func TestReadFlags(t *testing.T) {
	for text, want := range map[string]programs.Flags{
		"":                         {},
		"  a=1 --b=x,y  c= ":       {"a": "1", "b": "x,y", "c": ""},
		"off":                      nil,
		"xla_gpu_autotune_level=0": {"xla_gpu_autotune_level": "0"},
		"a=b=c":                    {"a": "b=c"},
	} {
		if got, err := readFlags(text); err != nil || !maps.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%q: %v, %v; want %v", text, got, err, want)
		}
	}
	for _, text := range []string{"a", "=1", "a=1,b off", "--"} {
		if got, err := readFlags(text); err == nil || !strings.Contains(err.Error(), FlagsVariable) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

// The user's flags take precedence over this package's, and NB201_CUDA_FLAGS over XLA_FLAGS, which
// may name a file.
func TestMerge(t *testing.T) {
	file := filepath.Join(t.TempDir(), "flags")
	if err := os.WriteFile(file, []byte("--b=7\n--d=1\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	ours := []programs.Flags{{"a": "1", "b": "1"}, {"a": "2", "c": "2", "bc": "2"}}
	for _, test := range []struct {
		set       string
		own, want programs.Flags
	}{
		{"", nil, programs.Flags{"a": "2", "b": "1", "c": "2", "bc": "2"}},
		{"--b=5 --a", nil, programs.Flags{"c": "2", "bc": "2"}},
		{file, nil, programs.Flags{"a": "2", "c": "2", "bc": "2"}},
		{file + ".none", nil, programs.Flags{"a": "2", "b": "1", "c": "2", "bc": "2"}},
		{"--b=5", programs.Flags{"b": "9", "e": ""}, programs.Flags{"a": "2", "b": "9", "c": "2", "bc": "2", "e": ""}},
	} {
		t.Setenv("XLA_FLAGS", test.set)
		if got := mergeFlags(test.own, ours...); !maps.Equal(got, test.want) {
			t.Errorf("XLA_FLAGS=%s, %v: %v, want %v", test.set, test.own, got, test.want)
		}
	}
}
