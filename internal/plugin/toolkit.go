package plugin

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nb201/internal/usage"
	"nb201/internal/userdir"
)

// Toolkit is a directory with the two parts of NVIDIA's CUDA toolkit that XLA needs to compile for
// a GPU: the assembler, bin/ptxas, and the mathematical functions, nvvm/libdevice/libdevice.10.bc.
// XLA's flag for the directory is xla_gpu_cuda_data_dir.
type Toolkit struct {
	Directory string `json:"directory"` // absolute
	Version   string `json:"version"`   // of ptxas
	Source    string `json:"source"`    // how it was found, such as "nvcc on PATH"
}

// The paths of a toolkit's parts.
const (
	ptxasPath     = "bin/ptxas"
	libdevicePath = "nvvm/libdevice/libdevice.10.bc"
)

// FindToolkit returns the toolkit for the CUDA plugin at path: the one beside it, as pip lays out
// wheels, else an installed one, else that of Triton, which comes with PyTorch. Triton has another
// layout, so FindToolkit makes a directory in the user's cache directory with links to its files.
// FindToolkit skips a toolkit whose ptxas does not run or is older than XLA accepts. Its errors are
// usage errors.
func FindToolkit(path string) (Toolkit, error) {
	return findToolkit(path, systemToolkits())
}

// systemToolkits lists the directories in which toolkits are usually installed, newest first.
func systemToolkits() []string {
	versions, _ := filepath.Glob("/usr/local/cuda-1[23]*") // the pattern is valid
	slices.Reverse(versions)
	return slices.Concat([]string{"/usr/local/cuda"}, versions, []string{"/opt/cuda", "/usr/lib/cuda"})
}

func findToolkit(path string, system []string) (Toolkit, error) {
	type place struct{ directory, source string }
	var places []place
	for _, origin := range origins(path) {
		for _, dir := range []string{"../../nvidia/cu13", "../../nvidia/cuda_nvcc", "../nvidia/cu13", "../nvidia/cuda_nvcc"} {
			places = append(places, place{filepath.Join(origin, dir), "beside the plugin"})
		}
	}
	if nvcc, err := exec.LookPath("nvcc"); err == nil {
		if nvcc, err = filepath.EvalSymlinks(nvcc); err == nil {
			places = append(places, place{filepath.Dir(filepath.Dir(nvcc)), "nvcc on PATH"})
		}
	}
	for _, variable := range []string{"CUDA_HOME", "CUDA_PATH"} {
		if dir := os.Getenv(variable); filepath.IsAbs(dir) {
			places = append(places, place{dir, variable})
		}
	}
	for _, dir := range system {
		places = append(places, place{dir, "its usual place"})
	}
	var faults []string
	consider := func(directory, source, ptxas, libdevice string) (Toolkit, bool) {
		v, err := checkToolkit(ptxas, libdevice)
		if err != nil && isDirectory(directory) {
			faults = append(faults, err.Error())
		}
		return Toolkit{directory, v, source}, err == nil
	}
	for _, p := range places {
		if t, ok := consider(p.directory, p.source, filepath.Join(p.directory, ptxasPath), filepath.Join(p.directory, libdevicePath)); ok {
			return t, nil
		}
	}
	for _, origin := range origins(path) {
		triton := filepath.Join(origin, "../../triton/backends/nvidia")
		ptxas, libdevice := filepath.Join(triton, "bin/ptxas"), filepath.Join(triton, "lib/libdevice.10.bc")
		t, ok := consider(triton, "Triton", ptxas, libdevice)
		if !ok {
			continue
		}
		var err error
		if t.Directory, err = linkToolkit(ptxas, libdevice); err != nil {
			faults = append(faults, err.Error())
			continue
		}
		return t, nil
	}
	found := "the plugin has neither beside it, and no CUDA toolkit is installed"
	if len(faults) > 0 {
		found = strings.Join(faults, "; ")
	}
	return Toolkit{}, usage.Errorf("XLA cannot compile for a GPU without NVIDIA's ptxas and libdevice.10.bc (%s); "+
		"run `%s --force` (with --compiler if only the compiler is installed), or set CUDA_HOME to the directory of a CUDA toolkit", found, SetupCommand(CUDA13))
}

// ptxasRelease matches the version in the output of ptxas --version.
var ptxasRelease = regexp.MustCompile(`\bV((\d+)\.(\d+)\.\d+)`)

// checkToolkit returns the version of ptxas, or an error if XLA cannot use it or libdevice.
func checkToolkit(ptxas, libdevice string) (string, error) {
	for _, file := range []string{ptxas, libdevice} {
		if !isFile(file) {
			return "", fmt.Errorf("%s does not exist", file)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute) // enough for a slow network disk
	defer cancel()
	output, err := exec.CommandContext(ctx, ptxas, "--version").Output()
	if err != nil {
		return "", fmt.Errorf("%s does not run: %w", ptxas, err)
	}
	said := ptxasRelease.FindSubmatch(output)
	if said == nil {
		return "", fmt.Errorf("%s --version shows no version", ptxas)
	}
	version := string(said[1])
	major, err1 := strconv.Atoi(string(said[2]))
	minor, err2 := strconv.Atoi(string(said[3]))
	if err := cmp.Or(err1, err2); err != nil {
		return "", fmt.Errorf("%s has the version %s: %w", ptxas, version, err)
	}
	if major < 11 || major == 11 && minor < 8 { // the first version for the H100, and XLA's minimum
		return "", fmt.Errorf("%s has the version %s, but XLA needs 11.8 or later", ptxas, version)
	}
	return version, nil
}

// linkToolkit makes a toolkit directory of links to the files and returns its path.
func linkToolkit(ptxas, libdevice string) (string, error) {
	sum := sha256.Sum256([]byte(ptxas + "\n" + libdevice))
	name := filepath.Join("toolkits", hex.EncodeToString(sum[:8]))
	fill := func(base string) (string, error) {
		dir := filepath.Join(base, name)
		return dir, cmp.Or(link(ptxas, filepath.Join(dir, ptxasPath)), link(libdevice, filepath.Join(dir, libdevicePath)))
	}
	if base, err := userdir.Cache(); err == nil {
		if dir, err := fill(base); err == nil {
			return dir, nil
		}
	}
	// The cache directory may not exist, or may not be writable.
	base, err := userdir.Temp()
	if err != nil {
		return "", err
	}
	return fill(base)
}

// link makes path a link to file. Several processes may do so at the same time.
func link(file, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	err := os.Symlink(file, path)
	if !errors.Is(err, fs.ErrExist) {
		return err
	}
	if target, _ := os.Readlink(path); target != file {
		return fmt.Errorf("%s is not a link to %s", path, file)
	}
	return nil
}
