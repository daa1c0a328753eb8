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

// Preload loads NVIDIA's libraries from the directories in which the plugin at path looks for them,
// as JAX does before it loads its plugin. The libraries load each other by name, and a library that
// is loaded already is found whatever the search paths are. This matters because cuDNN compiles
// kernels with NVRTC, and NVRTC 13.0 does not find its builtins, although they are in the same
// directory. Preload skips missing libraries and returns an error for each that cannot be loaded.
// It needs no driver. Call it before the plugin is loaded and after NVIDIA_TF32_OVERRIDE is set,
// which the libraries read.
func Preload(path string) []error {
	var failed []error
	directories := libraryDirectories(path)
	for _, name := range []string{
		"cudart", "nvrtc-builtins", "nvrtc", "nvJitLink", "cublasLt", "cublas", "nccl", "cupti",
		"cusparse", "cusolver", "cufft", "cudnn",
	} {
		for _, dir := range directories {
			files, _ := filepath.Glob(filepath.Join(dir, "lib"+name+".so.*")) // the pattern is valid
			for _, file := range files {
				if err := load(file); err != nil {
					failed = append(failed, err)
				}
			}
			if len(files) > 0 {
				break // the first directory wins, as in the loader
			}
		}
	}
	return failed
}

// load loads a shared library and never unloads it.
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

// driverLibrary returns the path of the CUDA driver's library that XLA would load, or "".
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

// libraryDirectories lists the directories in which the plugin at path looks for libraries (its
// DT_RPATH and DT_RUNPATH), and those in which JAX does so for it. It returns none for a file that
// is not a plugin.
func libraryDirectories(path string) []string {
	file, err := elf.Open(path)
	if err != nil {
		return nil
	}
	defer file.Close()
	var directories []string
	for _, tag := range []elf.DynTag{elf.DT_RPATH, elf.DT_RUNPATH} {
		lists, _ := file.DynString(tag) // loading a damaged file will report it
		for _, list := range lists {
			for _, origin := range origins(path) {
				for _, dir := range filepath.SplitList(list) {
					directories = append(directories, filepath.Clean(strings.ReplaceAll(dir, "$ORIGIN", origin)))
				}
			}
		}
	}
	for _, dir := range directories {
		if root, of12 := strings.CutSuffix(dir, "/cublas/lib"); of12 { // CUDA 12 has a directory for each library, but DT_RPATH lacks some of them
			directories = append(directories, root+"/cuda_nvrtc/lib", root+"/nvjitlink/lib", root+"/cusolver/lib")
		}
	}
	return directories
}

// origins lists the directories of the plugin at path: that of path and, if path is a link, that of
// its target, which has the libraries beside it.
func origins(path string) []string {
	dirs := []string{filepath.Dir(path)}
	if file, err := filepath.EvalSymlinks(path); err == nil && filepath.Dir(file) != dirs[0] {
		dirs = append(dirs, filepath.Dir(file))
	}
	return dirs
}
