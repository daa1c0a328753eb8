package programs

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"testing"
)

func TestEnvironment(t *testing.T) {
	flags := filepath.Join(t.TempDir(), "flags")
	written := func(variables ...string) string {
		t.Helper()
		var b bytes.Buffer
		if err := writeEnvironment(&b, variables); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	none := written()
	for variable, counts := range map[string]bool{
		"XLA_FLAGS=--xla_cpu_enable_fast_math=true": true, "NVIDIA_TF32_OVERRIDE=0": true, "CUBLAS_WORKSPACE_CONFIG=:4096:8": true,
		"TF_CPP_MIN_LOG_LEVEL=3": false, "CUDA_VISIBLE_DEVICES=1": false, "HOME=/root": false,
	} {
		if got := written("A=1", variable) != none; got != counts {
			t.Errorf("%s counts: %v", variable, got)
		}
	}
	if written("XLA_FLAGS=-a", "NPROC=2") != written("NPROC=2", "XLA_FLAGS=-a") {
		t.Error("the order of variables counts")
	}
	if written("XLA_A=1", "XLA_B=2") == written("XLA_A=1\nXLA_B=2") {
		t.Error("two variables are like one")
	}
	var texts []string
	for _, text := range []string{"--xla_a=1", "--xla_a=2"} {
		if err := os.WriteFile(flags, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		texts = append(texts, written("XLA_FLAGS="+flags))
	}
	if texts[0] == texts[1] {
		t.Error("the content of a file of flags does not count")
	}
	if err := writeEnvironment(new(bytes.Buffer), []string{"XLA_FLAGS=" + flags + "x"}); err == nil {
		t.Error("a file of flags that is not there is no error")
	}
}

func TestProcessor(t *testing.T) {
	var once, again bytes.Buffer
	if err := writeProcessor(&once); err != nil {
		t.Fatal(err)
	}
	if err := writeProcessor(&again); err != nil {
		t.Fatal(err)
	}
	if once.String() != again.String() || bytes.Count(once.Bytes(), []byte("\n")) < 2 {
		t.Errorf("%q, then %q", &once, &again)
	}
}

// Libraries count wherever they are, and by what changes when they are installed again.
func TestLibraries(t *testing.T) {
	site, elsewhere := t.TempDir(), t.TempDir()
	path := filepath.Join(site, "jax_plugins", "xla_cuda13", "plugin.so")
	written := func() string {
		t.Helper()
		var b bytes.Buffer
		if err := writeLibraries(&b, path, []string{elsewhere, filepath.Join(site, "none")}); err != nil {
			t.Fatal(err)
		}
		return b.String()
	}
	if err := writeLibraries(new(bytes.Buffer), path, []string{elsewhere}); err == nil {
		t.Error("without libraries there is no error")
	}
	seen := map[string]bool{}
	for _, file := range []string{
		filepath.Join(elsewhere, "libcudnn.so.9"), filepath.Join(elsewhere, "libcublasLt.so.13"),
		filepath.Join(site, "nvidia", "cu13", "lib", "libcufft.so.12"), filepath.Join(site, "jax_plugins", "nvidia", "cudnn", "lib", "libcudnn.so.9"),
	} {
		for _, content := range []string{"", "longer"} {
			if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o777), os.WriteFile(file, []byte(content), 0o666)); err != nil {
				t.Fatal(err)
			}
			key := written()
			if seen[key] {
				t.Errorf("%s of %d bytes does not count", file, len(content))
			}
			seen[key] = true
		}
	}
	key := written()
	if err := os.WriteFile(filepath.Join(elsewhere, "libc.so.6"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if written() != key {
		t.Error("a library of another maker counts")
	}
}
