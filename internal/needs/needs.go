// Package needs finds what a test needs and not every machine has: a Python, photographs, a
// Slurm cluster, the XLA plugin. A test that lacks it skips, and the skip says how to get it.
//
// The skips form a ledger. NB201_REQUIRE lists needs by their names ([Names]), separated by
// commas; where a test lacks one of these it fails. So a run that provides a thing shows that
// the tests of it have run.
//
// Package needs is for tests, and no test skips but through it.
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

// RequireVariable names the environment variable that lists the needs which must be met.
const RequireVariable = "NB201_REQUIRE"

// nightlyVariable asks for the tests that take minutes, with the value "all" for those that
// take hours too.
const nightlyVariable = "NB201_NIGHTLY"

// A need is a thing that a test may lack.
type need struct {
	name     string // in NB201_REQUIRE
	variable string // the environment variable whose value it is, or ""
	get      string // how to get it; of a variable, what to set it to
}

// needs lists all needs, by name.
var needs = []need{
	{"clients", "NB201_CHECK_CLIENTS", "the path of a script that checks the answers of the Python clients"},
	{"compiler", "", "run `nb201 setup --device cuda13 --compiler`"},
	{"cpu", "", "run the test without NB201_TEST_DEVICE=cuda"},
	{"cuda-wheels", "NB201_CUDA_WHEELS", "a site-packages directory with JAX's CUDA plugin and NVIDIA's wheels"},
	{"full-size", "NB201_FULLSIZE", "a directory on a disk with 10 GB free, for a benchmark of all architectures"},
	{"golden", "", "unset NB201_GOLDEN, or add the file to the directory that it names"},
	{"gpu", "", "set NB201_TEST_DEVICE to cuda or cuda:N on a machine with an NVIDIA GPU"},
	{"jpegs", "NB201_JPEGS", "a directory with train/CLASS/*.jpg and test/CLASS/*.jpg of 32x32 pixels"},
	{"kernels", "", "use an x86-64 processor with AVX2 and FMA and the plugin of `nb201 setup`"},
	{"long", "", "run go test without -short"},
	{"nightly", nightlyVariable, "1 for what takes minutes, all for what takes hours"},
	{"photos", "NB201_PHOTOS", "a directory with cifar-10-batches-py and cifar-10-batches-bin"},
	{"pictures", "NB201_PICTURES", "a directory with CLASS/*/*.jpg, such as ImageNet's"},
	{"plugin", "", "run `make setup`"},
	{"programs", "", "install it, or add it to PATH"},
	{"published", "NB201_PUBLISHED", "a directory with the published NATS-Bench files of architectures 0 and 11"},
	{"python", "NB201_PYTHON", "a Python with the packages of tools/requirements.txt and Pillow, such as the one of `make python`"},
	{"root", "", "run the test as root, outside a container or in one with CAP_SYS_ADMIN and CAP_MKNOD"},
	{"slurm", "", "install slurm-client, slurmctld, slurmd and munge"},
	{"system", "", "run the test on Linux with /proc, /dev/shm, /dev/full and pseudo-terminals"},
	{"undriven", "", "run the test on a machine without an NVIDIA driver"},
	{"user", "", "run the test as a user whom file modes bind, not as root"},
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

// meet ends the test if missing is not nil: it fails if NB201_REQUIRE lists the need, and skips
// if not.
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

// find returns the need of a name.
func find(name string) need {
	return needs[slices.IndexFunc(needs, func(n need) bool { return n.name == name })]
}

// value returns the value of the variable of a need, and ends the test if it is not set.
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

// PythonIfSet returns what [Python] does, or "" where NB201_PYTHON is not set and not required:
// for a test that does less without it.
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

// Photos returns the data directory with photographs in both versions of CIFAR-10.
func Photos(t testing.TB) string { t.Helper(); return value(t, "photos") }

// JPEGs returns the directory with JPEG photographs in class directories.
func JPEGs(t testing.TB) string { t.Helper(); return value(t, "jpegs") }

// Pictures returns the directory with pictures to measure the readers of pictures on.
func Pictures(t testing.TB) string { t.Helper(); return value(t, "pictures") }

// Published returns the directory with published records.
func Published(t testing.TB) string { t.Helper(); return value(t, "published") }

// CUDAWheels returns the site-packages directory with JAX's plugin for CUDA.
func CUDAWheels(t testing.TB) string { t.Helper(); return value(t, "cuda-wheels") }

// FullSize returns the directory to make a benchmark of full size in.
func FullSize(t testing.TB) string { t.Helper(); return value(t, "full-size") }

// Nightly ends a test that takes minutes unless NB201_NIGHTLY is set.
func Nightly(t testing.TB) { t.Helper(); value(t, "nightly") }

// IsNightly reports whether NB201_NIGHTLY asks for what takes minutes.
func IsNightly() bool { return os.Getenv(nightlyVariable) != "" }

// IsNightlyAll reports whether NB201_NIGHTLY asks for what takes hours.
func IsNightlyAll() bool { return os.Getenv(nightlyVariable) == "all" }

// Long ends a test with -short. The reason says what takes long.
func Long(t testing.TB, reason string) { t.Helper(); meet(t, "long", unless(!testing.Short(), reason)) }

// Plugin ends a test that needs the XLA plugin for the CPU: err says why there is none.
func Plugin(t testing.TB, err error) { t.Helper(); meet(t, "plugin", err) }

// Compiler ends a test that needs a plugin that compiles for GPUs: err says why there is none.
func Compiler(t testing.TB, err error) { t.Helper(); meet(t, "compiler", err) }

// Kernels ends a test that needs the kernels for the CPU, unless missing, which says why there
// are none, is "".
func Kernels(t testing.TB, missing string) {
	t.Helper()
	meet(t, "kernels", unless(missing == "", missing))
}

// GPU ends a test that needs a GPU where the tests run on the CPU.
func GPU(t testing.TB, onGPU bool, reason string) { t.Helper(); meet(t, "gpu", unless(onGPU, reason)) }

// CPU ends a test that needs the CPU where the tests run on a GPU.
func CPU(t testing.TB, onGPU bool, reason string) { t.Helper(); meet(t, "cpu", unless(!onGPU, reason)) }

// Undriven ends a test that needs a machine without an NVIDIA driver: version is the driver's,
// or "".
func Undriven(t testing.TB, version string) {
	t.Helper()
	meet(t, "undriven", unless(version == "", "this machine has driver "+version))
}

// Golden ends a test whose golden vectors are missing: err says which.
func Golden(t testing.TB, err error) { t.Helper(); meet(t, "golden", err) }

// Slurm ends a test where a program of a Slurm cluster is not installed.
func Slurm(t testing.TB) {
	t.Helper()
	for _, program := range []string{"munged", "slurmctld", "slurmd", "sbatch"} {
		_, err := exec.LookPath(program)
		if _, err2 := os.Stat(filepath.Join("/usr/sbin", program)); err2 != nil {
			meet(t, "slurm", err)
		}
	}
}

// Program returns the path of a program, and ends the test if PATH has none.
func Program(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	meet(t, "programs", err)
	return path
}

// Root ends a test that only root can do: err says what the system refused.
func Root(t testing.TB, err error) { t.Helper(); meet(t, "root", err) }

// AsRoot ends a test unless root runs it.
func AsRoot(t testing.TB) { t.Helper(); Root(t, unless(os.Geteuid() == 0, "this user is not root")) }

// User ends a test that needs a user whom file modes bind: root reads and writes everything.
func User(t testing.TB) {
	t.Helper()
	meet(t, "user", unless(os.Geteuid() != 0, "root reads and writes every file"))
}

// System ends a test that needs something of the operating system: err says what it lacks.
func System(t testing.TB, err error) { t.Helper(); meet(t, "system", err) }
