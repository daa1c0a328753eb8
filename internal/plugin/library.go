package plugin

/*
#cgo linux LDFLAGS: -ldl
#include <stdlib.h>
#include "library.h"
*/
import "C"

import (
	"debug/elf"
	"errors"
	"path/filepath"
	"strings"
	"unsafe"
)

// Preload loads NVIDIA's libraries from where the plugin at path looks for them, as JAX does
// before it loads its plugin. These libraries load one another by name, which then finds
// them whatever their own search paths and LD_LIBRARY_PATH say: cuDNN compiles kernels with
// NVRTC, and NVRTC 13.0 does not find its builtins, which lie beside it. Preload skips
// libraries that are not there and returns an error for each that cannot be loaded. No
// driver is needed. Call it before the plugin is loaded and after NVIDIA_TF32_OVERRIDE is
// set, which the libraries read.
func Preload(path string) []error {
	var failed []error
	directories := searched(path)
	for _, name := range []string{
		"cudart", "nvrtc-builtins", "nvrtc", "nvJitLink", "cublasLt", "cublas", "nccl", "cupti",
		"cusparse", "cusolver", "cufft", "cudnn",
	} {
		for _, dir := range directories {
			files, _ := filepath.Glob(filepath.Join(dir, "lib"+name+".so.*")) // the pattern is good
			for _, file := range files {
				if err := load(file); err != nil {
					failed = append(failed, err)
				}
			}
			if len(files) > 0 {
				break // as the loader does
			}
		}
	}
	return failed
}

// load loads a shared library for as long as the process lives.
func load(path string) error {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	complaint := C.library_load(name)
	if complaint == nil {
		return nil
	}
	defer C.free(unsafe.Pointer(complaint))
	return errors.New(C.GoString(complaint))
}

// driverLibrary returns the file of the CUDA driver's library that XLA would load, or "".
func driverLibrary() string {
	path := C.library_driver()
	defer C.free(unsafe.Pointer(path))
	if path == nil {
		return ""
	}
	file, err := filepath.EvalSymlinks(C.GoString(path))
	if err != nil {
		return C.GoString(path)
	}
	return file
}

// searched lists the directories in which the plugin at path looks for libraries, by its own
// account (DT_RPATH), and those in which JAX looks for it; none for a file that is no plugin.
func searched(path string) []string {
	file, err := elf.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	var directories []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		lists, _ := file.DynString(tag) // a damaged file is reported when it is loaded
		for _, list := range lists {
			for _, origin := range origins(path) {
				for _, dir := range filepath.SplitList(list) {
					directories = append(directories, filepath.Clean(strings.ReplaceAll(dir, "$ORIGIN", origin)))
				}
			}
		}
	}
	for _, dir := range directories {
		if root, of12 := strings.CutSuffix(dir, "/cublas/lib"); of12 { // it has a directory for each library, and not all of them here
			directories = append(directories, root+"/cuda_nvrtc/lib", root+"/nvjitlink/lib", root+"/cusolver/lib")
		}
	}
	return directories
}

// origins are the directories of the plugin at path: that of path, and if path is a link,
// that of the file, beside which its libraries lie.
func origins(path string) []string {
	dirs := []string{filepath.Dir(path)}
	if file, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(file) != dirs[0] {
		dirs = append(dirs, filepath.Dir(file))
	}
	return dirs
}
