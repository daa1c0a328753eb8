package python

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"nb201/internal/needs"
)

// build builds a command of this module, or with -buildmode=c-shared the library, and returns its path.
func build(t *testing.T, pkg, name string, flags ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), name)
	c := exec.Command("go", append(append([]string{"build", "-buildvcs=false", "-tags", "minimal", "-o", to}, flags...), pkg)...)
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return to
}

// TestPython runs the unit tests of the Python package in tests, in this directory and with nb201 in PATH.
func TestPython(t *testing.T) {
	python := needs.Python(t)
	library := build(t, "./bridge", "libnb201.so", "-buildmode=c-shared")
	binary := build(t, "../cmd/nb201", "nb201")
	c := exec.Command(python, "-W", "error::ResourceWarning", "-m", "unittest", "discover", "-s", "tests", "-t", ".", "-v")
	c.Env = append(os.Environ(), "PYTHONPATH=.", "PYTHONDONTWRITEBYTECODE=1", "NB201_LIBRARY="+library,
		"PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"), "XDG_CACHE_HOME="+t.TempDir())
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
}
