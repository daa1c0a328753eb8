package programs

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
)

// environment writes the variables that change what XLA and the libraries it calls make
// of a program.
func environment(w io.Writer, variables []string) error {
	for _, variable := range slices.Sorted(slices.Values(variables)) {
		name, value, _ := strings.Cut(variable, "=")
		if !changesCode.MatchString(name) || strings.HasPrefix(name, "TF_CPP_") { // the latter are of logging
			continue
		}
		fmt.Fprintf(w, "%q\n", variable)
		if name == "XLA_FLAGS" && value != "" && !strings.HasPrefix(value, "-") { // it names a file of flags
			flags, err := os.ReadFile(value)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%q\n", flags)
		}
	}
	return nil
}

var changesCode = regexp.MustCompile(`^(?:XLA_.*|TF_.*|CUBLAS.*|CUDNN.*|NVIDIA_TF32_OVERRIDE|NPROC|LD_LIBRARY_PATH)$`)

// hashFile writes a file's SHA-256.
func hashFile(w io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return err
	}
	fmt.Fprintf(w, "%x\n", h.Sum(nil))
	return nil
}

// processor writes the CPU's model and features, for which XLA makes its code, and the
// number of cores, among which it divides the work.
func processor(w io.Writer) error {
	fmt.Fprintln(w, runtime.GOARCH, runtime.NumCPU())
	text, err := os.ReadFile("/proc/cpuinfo")
	if errors.Is(err, fs.ErrNotExist) { // not on Linux; then programs are of this machine alone
		name, err := os.Hostname()
		fmt.Fprintln(w, name)
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n\n") // core; all are alike
	for _, line := range ofModel.FindAllString(first, -1) {
		fmt.Fprintln(w, line)
	}
	return err
}

// ofModel are the lines of /proc/cpuinfo that all cores of a model have, by x86's and
// ARM's names.
var ofModel = regexp.MustCompile(`(?m)^(?:vendor_id|cpu family|model|model name|stepping|flags|CPU (?:implementer|architecture|variant|part|revision)|Features)\s*:.*$`)

// nvidia writes the driver's version and the files of NVIDIA's libraries, which lie
// where pip has them beside a plugin; XLA calls some of them by what it found fastest
// when it compiled. They are too large to be read.
func nvidia(w io.Writer, plugin string) error {
	driver, err := os.ReadFile("/proc/driver/nvidia/version")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "%s\n", driver)
	libraries := 0
	for _, root := range []string{"../nvidia", "../../nvidia"} {
		err := filepath.WalkDir(filepath.Join(filepath.Dir(plugin), root), func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() || !strings.Contains(entry.Name(), ".so") {
				return err
			}
			info, err := os.Stat(path)
			if err != nil {
				return err
			}
			fmt.Fprintln(w, path, info.Size(), info.ModTime().UnixNano())
			libraries++
			return nil
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	if libraries == 0 {
		return fmt.Errorf("NVIDIA's libraries do not lie beside %s, so that nothing tells their versions", plugin)
	}
	return nil
}
