// Package needs finds what tests need and not every machine has: a Python with torch,
// photographs, a Slurm cluster, a browser, the XLA plugin. A test that lacks one is skipped with
// a message that says how to get it.
//
// The environment variable NB201_REQUIRE turns such skips into failures. It lists needs by name
// ([Names]), separated by commas; a test that lacks one of them fails. A run that requires what
// it provides therefore proves that the tests of these things have run. "To end a test" below is
// to skip it, or to fail it if NB201_REQUIRE lists the need.
//
// Only tests may import this package, and they must not call t.Skip themselves.
package needs

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// RequireVariable is the environment variable that lists the needs that no test may lack.
const RequireVariable = "NB201_REQUIRE"

// nightlyVariable enables the tests that take minutes, unless it is "" or "0". The value "all" also
// enables those that take hours.
const nightlyVariable = "NB201_NIGHTLY"

// A need is something that a test may lack.
type need struct {
	name     string // in NB201_REQUIRE
	variable string // the environment variable that names the thing, or ""
	get      string // how to get it, or if variable is not empty, what to set that to
}

// needs lists all needs, by name.
var needs = []need{
	{"axe", "NB201_AXE", "the path of axe.min.js, such as the one that `make axe` prints"},
	{"chromium", "", "install chromium"},
	{"clients", "NB201_CHECK_CLIENTS", "the path of a script that checks the answers of the Python clients"},
	{"compiler", "", "run `nb201 setup --device cuda13 --compiler`"},
	{"cpu", "", "run the test without NB201_TEST_DEVICE=cuda"},
	{"cuda-wheels", "NB201_CUDA_WHEELS", "a site-packages directory with JAX's CUDA plugin and NVIDIA's wheels"},
	{"full-size", "NB201_FULLSIZE", "a directory on a disk with 22 GB free, for a benchmark of all architectures"},
	{"golden", "", "unset NB201_GOLDEN, or add the file to the directory that it names"},
	{"gpu", "", "set NB201_TEST_DEVICE to cuda or cuda:N on a machine with an NVIDIA GPU"},
	{"instructions", "", "use a processor that has this instruction set"},
	{"jpegs", "NB201_JPEGS", "a directory with train/CLASS/*.jpg and test/CLASS/*.jpg of 32x32 pixels"},
	{"kernels", "", "use the plugin of `nb201 setup`"},
	{"long", "", "run make long, or go test without -short"},
	{"nightly", nightlyVariable, "1 for what takes minutes, all for what takes hours"},
	{"no-driver", "", "run the test on a machine without an NVIDIA driver"},
	{"photos", "NB201_PHOTOS", "a directory with cifar-10-batches-py and cifar-10-batches-bin"},
	{"pictures", "NB201_PICTURES", "a directory with train/CLASS/*.jpg, such as the one of NB201_JPEGS"},
	{"plugin", "", "run `make setup`"},
	{"programs", "", "install it, or add it to PATH"},
	{"published", "NB201_PUBLISHED", "a directory with the published NATS-Bench files of architectures 0 and 11"},
	{"python", "NB201_PYTHON", "a Python with the packages of tools/requirements.txt and Pillow, such as the one of `make python`"},
	{"root", "", "run the test as root, outside a container or in one with CAP_SYS_ADMIN and CAP_MKNOD"},
	{"slurm", "", "install slurm-client, slurmctld, slurmd and munge"},
	{"system", "", "run the test on Linux with /proc, /dev/shm, /dev/full and pseudo-terminals"},
	{"user", "", "run the test as another user than root, for whom file modes count"},
	{"wheel", "NB201_DIST", "the directory dist that `make wheel` makes"},
}

// Names lists the needs that NB201_REQUIRE may name, in order.
func Names() []string {
	var names []string
	for _, n := range needs {
		names = append(names, n.name)
	}
	return names
}

// Variables lists the environment variables that name what tests need.
func Variables() []string {
	var variables []string
	for _, n := range needs {
		if n.variable != "" {
			variables = append(variables, n.variable)
		}
	}
	return variables
}

// required returns the needs that NB201_REQUIRE lists.
func required() ([]string, error) {
	var required []string
	for name := range strings.SplitSeq(os.Getenv(RequireVariable), ",") {
		switch name = strings.TrimSpace(name); {
		case name == "":
		case !slices.Contains(Names(), name):
			return nil, fmt.Errorf("%s: unknown name %q; use %s", RequireVariable, name, strings.Join(Names(), ", "))
		default:
			required = append(required, name)
		}
	}
	return required, nil
}

// meet ends the test if missing, the reason why a need is not met, is not nil: the test fails if
// NB201_REQUIRE lists the need, and is skipped otherwise.
func meet(t testing.TB, name string, missing error) {
	t.Helper()
	required, err := required()
	if err != nil {
		t.Fatal(err)
	}
	if missing == nil {
		return
	}
	n := find(name)
	how := n.get
	if n.variable != "" {
		how = "set it to " + n.get
	}
	if slices.Contains(required, name) {
		t.Fatalf("%s requires %s: %v; %s", RequireVariable, name, missing, how)
	}
	t.Skipf("needs %s: %v; %s", name, missing, how)
}

// find returns the need with a name, which must exist.
func find(name string) need {
	return needs[slices.IndexFunc(needs, func(n need) bool { return n.name == name })]
}

// value returns the value of a need's variable, and ends the test if that is not set.
func value(t testing.TB, name string) string {
	t.Helper()
	variable := find(name).variable
	v := os.Getenv(variable)
	var missing error
	if v == "" {
		missing = fmt.Errorf("%s is not set", variable)
	}
	meet(t, name, missing)
	return v
}

// unless returns an error of the given text unless ok.
func unless(ok bool, text string) error {
	if ok {
		return nil
	}
	return errors.New(text)
}

// Python returns the path of the Python with the clients and torch.
func Python(t testing.TB) string { t.Helper(); return value(t, "python") }

// PythonIfSet is [Python] for a test that can do without, and then tests less: it returns "" if
// NB201_PYTHON is not set, unless a Python is required.
func PythonIfSet(t testing.TB) string {
	t.Helper()
	required, err := required()
	if err != nil {
		t.Fatal(err)
	}
	if slices.Contains(required, "python") {
		return Python(t)
	}
	return os.Getenv(find("python").variable)
}

// Clients returns the path of the checker of the Python clients, which [Python] runs.
func Clients(t testing.TB) string { t.Helper(); return value(t, "clients") }

// Axe returns the path of axe-core, which a browser runs in a page to find faults of accessibility.
func Axe(t testing.TB) string { t.Helper(); return value(t, "axe") }

// Chromium returns the path of the browser.
func Chromium(t testing.TB) string {
	t.Helper()
	var err error
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		var path string
		if path, err = exec.LookPath(name); err == nil {
			return path
		}
	}
	meet(t, "chromium", err)
	return ""
}

// Photos returns the data directory with photographs in both versions of CIFAR-10.
func Photos(t testing.TB) string { t.Helper(); return value(t, "photos") }

// JPEGs returns the directory with JPEG photographs in class directories.
func JPEGs(t testing.TB) string { t.Helper(); return value(t, "jpegs") }

// Pictures returns the directory with JPEG files for benchmarks of the readers.
func Pictures(t testing.TB) string { t.Helper(); return value(t, "pictures") }

// Published returns the directory with published records.
func Published(t testing.TB) string { t.Helper(); return value(t, "published") }

// CUDAWheels returns the site-packages directory with JAX's plugin for CUDA.
func CUDAWheels(t testing.TB) string { t.Helper(); return value(t, "cuda-wheels") }

// Wheel returns the directory with the wheel for x86-64.
func Wheel(t testing.TB) string { t.Helper(); return value(t, "wheel") }

// FullSize returns the directory to make a benchmark of full size in.
func FullSize(t testing.TB) string { t.Helper(); return value(t, "full-size") }

// Nightly ends a test that takes minutes, unless [IsNightly].
func Nightly(t testing.TB) {
	t.Helper()
	meet(t, "nightly", unless(IsNightly(), nightlyVariable+" is not set"))
}

// IsNightly reports whether NB201_NIGHTLY enables what takes minutes.
func IsNightly() bool {
	value := os.Getenv(nightlyVariable)
	return value != "" && value != "0"
}

// IsNightlyAll reports whether NB201_NIGHTLY enables what takes hours.
func IsNightlyAll() bool { return os.Getenv(nightlyVariable) == "all" }

// Long ends a test that takes seconds, unless [IsLong]. The reason says what is slow.
func Long(t testing.TB, reason string) { t.Helper(); meet(t, "long", unless(IsLong(), reason)) }

// IsLong reports whether go test runs without -short. `make test` runs with it, and `make long` runs
// the tests that call Long or IsLong without it.
func IsLong() bool { return !testing.Short() }

// Plugin ends a test that needs the XLA plugin for the CPU if err, which says why it is missing,
// is not nil.
func Plugin(t testing.TB, err error) { t.Helper(); meet(t, "plugin", err) }

// Compiler ends a test that needs a plugin that compiles for GPUs if err, which says why it is
// missing, is not nil.
func Compiler(t testing.TB, err error) { t.Helper(); meet(t, "compiler", err) }

// Kernels ends a test that needs the CPU kernels if missing, which says why they are, is not "".
func Kernels(t testing.TB, missing string) {
	t.Helper()
	meet(t, "kernels", unless(missing == "", missing))
}

// Instructions ends a test that needs an instruction set, unless this processor has it.
func Instructions(t testing.TB, name string, has bool) {
	t.Helper()
	meet(t, "instructions", unless(has, "this processor does not have "+name))
}

// GPU ends a test that needs a GPU, unless the tests run on one. The reason says why it does.
func GPU(t testing.TB, onGPU bool, reason string) { t.Helper(); meet(t, "gpu", unless(onGPU, reason)) }

// CPU ends a test that needs the CPU if the tests run on a GPU. The reason says why it does.
func CPU(t testing.TB, onGPU bool, reason string) { t.Helper(); meet(t, "cpu", unless(!onGPU, reason)) }

// NoDriver ends a test that needs a machine without an NVIDIA driver if the driver's version is
// not "".
func NoDriver(t testing.TB, version string) {
	t.Helper()
	meet(t, "no-driver", unless(version == "", "this machine has driver "+version))
}

// Golden ends a test whose golden vectors are missing if err, which says which ones, is not nil.
func Golden(t testing.TB, err error) { t.Helper(); meet(t, "golden", err) }

// Slurm ends a test that starts a Slurm cluster if one of its programs is not installed.
func Slurm(t testing.TB) {
	t.Helper()
	for _, program := range []string{"munged", "slurmctld", "slurmd", "sbatch"} {
		_, err := exec.LookPath(program)
		if _, err2 := os.Stat(filepath.Join("/usr/sbin", program)); err2 != nil {
			meet(t, "slurm", err)
		}
	}
}

// Program returns the path of a program, and ends the test if the program is not on PATH.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	meet(t, "programs", err)
	return path
}

// CC returns the C compiler that cgo uses.
func CC(t testing.TB) string {
	t.Helper()
	name, err := exec.Command("go", "env", "CC").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(name))
}

// emulatorVariable is the environment variable with a command, such as an emulator of another processor,
// that runs the programs that tests compile with [CC].
const emulatorVariable = "NB201_EMULATOR"

// Compiled returns a command that runs a program that [CC] has compiled.
func Compiled(program string) *exec.Cmd {
	words := append(strings.Fields(os.Getenv(emulatorVariable)), program)
	return exec.Command(words[0], words[1:]...)
}

// Root ends a test that needs root's rights if err, which is what the system refused, is not nil.
func Root(t testing.TB, err error) { t.Helper(); meet(t, "root", err) }

// AsRoot ends a test unless it runs as root.
func AsRoot(t testing.TB) { t.Helper(); Root(t, unless(os.Geteuid() == 0, "this user is not root")) }

// User ends a test of file modes if it runs as root, who reads and writes every file.
func User(t testing.TB) {
	t.Helper()
	meet(t, "user", unless(os.Geteuid() != 0, "root reads and writes every file"))
}

// System ends a test that needs something of the operating system if err, which says what is
// missing, is not nil.
func System(t testing.TB, err error) { t.Helper(); meet(t, "system", err) }
