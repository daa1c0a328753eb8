package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Every command that opens a device refuses, in one sentence, a value of XLA_FLAGS at which XLA would
// end the process. A value that XLA accepts is passed on.
func TestXLAFlags(t *testing.T) {
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "c"), os.DirFS(campaign)); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir)
	if _, stderr, code := nb201(strings.Fields("plan c --archs 4 --datasets digits --epochs 2 --seeds 777,778 --channels 2 --cells 1 --workers 0")...); code != 0 {
		t.Fatal(stderr)
	}
	if err := os.WriteFile("flags", []byte("--xla_of_a_file\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	train := "train 0 --dataset digits --epochs 1 --seed 1 --channels 2 --cells 1 --out new"
	commands := []string{train, "run c", "latency 0 --dataset digits --channels 2 --cells 1", "verify c --reevaluate"}
	for flags, want := range map[string]string{
		"--no_such_flag": "XLA_FLAGS contains a flag that the XLA plugin does not know: --no_such_flag; correct or unset it",
		"--xla_cpu_enable_fast_math=false --one=1  --two": "does not know: --one=1 --two; correct or unset it",
		"--xla_cpu_enable_fast_math=perhaps":              "contains a value that XLA does not accept: --xla_cpu_enable_fast_math=perhaps; correct",
		"xla_cpu_enable_fast_math=false":                  "taken as a file name; the file cannot be opened: xla_cpu_enable_fast_math=false; correct",
		"flags":                                           "does not know: --xla_of_a_file",
	} {
		t.Setenv("XLA_FLAGS", flags)
		for _, command := range commands {
			_, stderr, code := nb201(strings.Fields(command)...)
			if code != 2 || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("XLA_FLAGS=%s nb201 %s: code %d, %s", flags, command, code, stderr)
			}
		}
	}
	t.Setenv("XLA_FLAGS", "--xla_cpu_enable_fast_math=false")
	if _, stderr, code := nb201(strings.Fields(train)...); code != 0 {
		t.Errorf("code %d, %s", code, stderr)
	}
}
