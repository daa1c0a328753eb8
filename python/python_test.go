package python

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/buildtest"
	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/resultstest"
)

// build builds a command of this module, or with -buildmode=c-shared the library, and returns its path.
func build(t *testing.T, pkg, name string, flags ...string) string {
	t.Helper()
	to := filepath.Join(t.TempDir(), name)
	if err := buildtest.Build(to, pkg, flags...); err != nil {
		t.Fatal(err)
	}
	return to
}

// TestPython runs the unit tests of the Python package in tests, in this directory, those that take many seconds
// shortened.
func TestPython(t *testing.T) { unittests(t) }

// TestPythonLong runs whole those that TestPython shortens.
func TestPythonLong(t *testing.T) {
	needs.Long(t, "opens thousands of benchmarks")
	out := unittests(t, "-k", "test_ten_thousand_opens", "-k", "test_hundred_threads", "-k", "test_fifty_forks", "-k", "test_same_history")
	if !strings.Contains(out, "Ran 4 tests") {
		t.Errorf("not four tests:\n%s", out)
	}
}

// unittests runs all unit tests, shortened, or whole those that flags of Python's unittest select. It returns what they
// print. nb201 is in their PATH, and they have two campaigns of synthetic trials: all of a few architectures, and few
// short ones.
func unittests(t *testing.T, selected ...string) string {
	t.Helper()
	python := needs.Python(t)
	library := build(t, "./bridge", "libnb201.so", "-buildmode=c-shared")
	binary := build(t, "../cmd/nb201", "nb201")
	var trials []results.Trial
	for _, arch := range []int{0, 12, 1462} {
		trials = append(trials, resultstest.Published(arch)...)
	}
	campaign := resultstest.Fill(t, trials...)
	small := resultstest.Fill(t, resultstest.Grid(0, 1, 2)...)
	c := exec.Command(python, append([]string{"-W", "error::ResourceWarning", "-m", "unittest", "discover", "-s", "tests", "-t", ".", "-v"}, selected...)...)
	c.Env = append(os.Environ(), "PYTHONPATH=.", "PYTHONDONTWRITEBYTECODE=1", "NB201_LIBRARY="+library, "NB201_TEST_CAMPAIGN="+campaign.Dir, "NB201_TEST_SMALL_CAMPAIGN="+small.Dir,
		"PATH="+filepath.Dir(binary)+string(os.PathListSeparator)+os.Getenv("PATH"), "XDG_CACHE_HOME="+t.TempDir())
	if len(selected) > 0 {
		c.Env = append(c.Env, "NB201_TEST_LONG=1")
	}
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Logf("%s", out)
	return string(out)
}
