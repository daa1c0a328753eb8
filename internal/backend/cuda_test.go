package backend

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/configs"
	"nb201/internal/plugin"
	"nb201/internal/programs"
	"nb201/internal/usage"
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

// Kernels are on or off, and nothing else.
func TestKernelsVariable(t *testing.T) {
	for value, want := range map[string]bool{"": false, Off: false, On: true, "yes": false} {
		t.Setenv(KernelsVariable, value)
		got, err := wantKernels()
		if got != want || usage.Is(err) != (value == "yes") {
			t.Errorf("%q: %t, %v", value, got, err)
		}
	}
}

// The first set of flags for a GPU has all of them; each later one lacks what may have failed. Maps
// of float32 are in NCHW.
func TestFlagSets(t *testing.T) {
	t.Setenv(FlagsVariable, "xla_gpu_cuda_data_dir=/toolkit")
	t.Setenv("XLA_FLAGS", "")
	for _, name := range []string{"GOPJRT_CUDA_CHECKS", "NVIDIA_TF32_OVERRIDE"} { // restores them
		t.Setenv(name, "")
	}
	for _, precision := range configs.Precisions() {
		_, o, err := prepareCUDA(plugin.Plugin{Path: filepath.Join(t.TempDir(), "cuda.so")}, 0, precision)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, flags := range o.Flags {
			text := ""
			for _, f := range []struct{ flag, value, letter string }{
				{"xla_gpu_force_conv_nchw", "true", "L"}, {"xla_gpu_enable_command_buffer", graphs["xla_gpu_enable_command_buffer"], "G"},
				{"xla_gpu_command_buffer_scheduling_mode", "CONCURRENT", "C"}, {"xla_gpu_exclude_nondeterministic_ops", "true", "R"},
			} {
				if flags[f.flag] == f.value {
					text += f.letter
				}
			}
			if flags["xla_gpu_cuda_data_dir"] != "/toolkit" {
				t.Errorf("%s: the user's flag is missing in %v", precision, flags)
			}
			got = append(got, text)
		}
		want := []string{"GCR", "GR", "R", "G", ""}
		if precision == configs.FP32 || precision == configs.TF32 {
			want = []string{"LGCR", "LGR", "LR", "LG", ""}
		}
		if o.Kernels != 0 { // off by default
			t.Errorf("%s: programs of %d sets call nb201's kernels", precision, o.Kernels)
		}
		if !slices.Equal(got, want) || o.FullPrecision != (precision != configs.TF32) {
			t.Errorf("%s: sets %q, want %q; in full precision: %t", precision, got, want, o.FullPrecision)
		}
	}
}
