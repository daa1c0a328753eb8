package programs

import (
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

	"nb201/internal/infile"
	plugins "nb201/internal/plugin"
)

// writeEnvironment writes the environment variables that influence how XLA, or a library that it
// calls, compiles or runs a program.
func writeEnvironment(w io.Writer, variables []string) error {
	for _, variable := range slices.Sorted(slices.Values(variables)) {
		name, value, _ := strings.Cut(variable, "=")
		if !changesCode.MatchString(name) || strings.HasPrefix(name, "TF_CPP_") { // TF_CPP_ variables are about logging
			continue
		}
		fmt.Fprintf(w, "%q\n", variable)
		if name == "XLA_FLAGS" && value != "" && !strings.HasPrefix(value, "-") { // the name of a file of flags
			flags, err := infile.Read(value, infile.MaxText)
			if err != nil {
				return err
			}
			fmt.Fprintf(w, "%q\n", flags)
		}
	}
	return nil
}

var changesCode = regexp.MustCompile(`^(?:XLA_.*|TF_.*|CUBLAS.*|CUDNN.*|NVIDIA_TF32_OVERRIDE|NPROC|LD_LIBRARY_PATH)$`)

// writeProcessor writes the CPU's model and features, for which XLA generates code, and the number of
// cores, among which it divides the work.
func writeProcessor(w io.Writer) error {
	fmt.Fprintln(w, runtime.GOARCH, runtime.NumCPU())
	text, err := os.ReadFile("/proc/cpuinfo")
	if errors.Is(err, fs.ErrNotExist) { // not Linux: the programs are for this host only
		name, err := os.Hostname()
		fmt.Fprintln(w, name)
		return err
	}
	first, _, _ := strings.Cut(string(text), "\n\n") // the first core; all are alike
	for _, line := range modelLines.FindAllString(first, -1) {
		fmt.Fprintln(w, line)
	}
	return err
}

// modelLines matches the lines of /proc/cpuinfo that are the same for all CPUs of a model, with
// the names used on x86 and ARM.
var modelLines = regexp.MustCompile(`(?m)^(?:vendor_id|cpu family|model|model name|stepping|flags|` +
	`CPU (?:implementer|architecture|variant|part|revision)|Features)\s*:.*$`)

// writeNVIDIA writes the versions of the driver and of NVIDIA's libraries that the plugin at path
// uses.
func writeNVIDIA(w io.Writer, path string) error {
	driver := plugins.DriverVersion()
	if driver == "" {
		return errors.New("there is no NVIDIA driver")
	}
	fmt.Fprintln(w, driver)
	elsewhere := filepath.SplitList(os.Getenv("LD_LIBRARY_PATH"))
	return writeLibraries(w, path, append(elsewhere, "/usr/local/cuda/lib64", "/usr/lib/x86_64-linux-gnu", "/usr/lib64"))
}

// writeLibraries writes the names, sizes and times of NVIDIA's libraries: those beside the plugin at
// path, as pip lays them out, and cuDNN and cuBLAS in the directories elsewhere. A program depends
// on them because XLA calls the kernels of theirs that were fastest when it compiled the program.
// The files are too large to hash.
func writeLibraries(w io.Writer, path string, elsewhere []string) error {
	var found []string
	for _, root := range []string{"../nvidia", "../../nvidia"} {
		err := filepath.WalkDir(filepath.Join(filepath.Dir(path), root), func(path string, entry fs.DirEntry, err error) error {
			if err == nil && !entry.IsDir() && strings.Contains(entry.Name(), ".so") {
				found = append(found, path)
			}
			return err
		})
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	for _, dir := range elsewhere {
		for _, pattern := range []string{"libcudnn*.so*", "libcublas*.so*"} {
			files, _ := filepath.Glob(filepath.Join(dir, pattern)) // fails only if dir contains a malformed pattern
			found = append(found, files...)
		}
	}
	if len(found) == 0 {
		return fmt.Errorf("NVIDIA's libraries are neither beside %s nor in LD_LIBRARY_PATH, so their versions are unknown", path)
	}
	for _, file := range found {
		info, err := os.Stat(file)
		if err != nil {
			return err
		}
		fmt.Fprintln(w, file, info.Size(), info.ModTime().UnixNano())
	}
	return nil
}
