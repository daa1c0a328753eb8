package crash

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/buildtest"
)

func TestCrash(t *testing.T) {
	binary := filepath.Join(t.TempDir(), "crasher")
	if err := buildtest.Build(binary, "./testdata/crasher"); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, traceback, want string }{
		{"watched call segv", "", "nb201: /opt/plugin.so crashed (SIGSEGV): run it again; GOTRACEBACK=all shows where"},
		{"watched thread segv", "", "nb201: /opt/plugin.so crashed (SIGSEGV): run it again; GOTRACEBACK=all shows where"},
		{"watched call bus", "", "nb201: /opt/plugin.so crashed (SIGBUS: a part of its file is missing or cannot be read): run it again; GOTRACEBACK=all shows where"},
		{"watched thread abort", "", "nb201: /opt/plugin.so crashed (SIGABRT): run it again; GOTRACEBACK=all shows where"},
		{"watched call ill", "", "nb201: /opt/plugin.so crashed (SIGILL: this processor lacks an instruction): run it again; GOTRACEBACK=all shows where"},
		{"unwatched call segv", "", "nb201: C code crashed (SIGSEGV); GOTRACEBACK=all shows where"},
		{"watched go panic", "", "panic: runtime error: invalid memory address"}, // ours, with its stack
		{"watched call segv", "all", "goroutine "},
	} {
		t.Run(c.args, func(t *testing.T) {
			var suspects []string
			for _, name := range []string{"a", "b"} {
				path := filepath.Join(t.TempDir(), name)
				if err := os.WriteFile(path, nil, 0o666); err != nil {
					t.Fatal(err)
				}
				suspects = append(suspects, path)
			}
			command := exec.Command(binary, append(strings.Fields(c.args), suspects...)...)
			for _, v := range os.Environ() {
				if !strings.HasPrefix(v, "GOTRACEBACK=") {
					command.Env = append(command.Env, v)
				}
			}
			if c.traceback != "" {
				command.Env = append(command.Env, "GOTRACEBACK="+c.traceback)
			}
			out, _ := command.CombinedOutput()
			text, code := string(out), command.ProcessState.ExitCode()
			for _, path := range suspects {
				if _, err := os.Lstat(path); (err != nil) != strings.HasPrefix(c.want, "nb201: ") {
					t.Errorf("%s: %v", path, err)
				}
			}
			if strings.HasPrefix(c.want, "nb201: ") {
				if text != c.want+"\n" || code != 1 || Sentence(text) == "" {
					t.Errorf("exit code %d, %q, want 1 and %q", code, text, c.want)
				}
			} else if !strings.Contains(text, c.want) || code != 2 {
				t.Errorf("exit code %d, %q, want 2 and %q", code, text, c.want)
			}
		})
	}
}
