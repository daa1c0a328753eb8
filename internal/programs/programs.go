// Package programs keeps compiled programs on disk. A program that any process has compiled
// before is loaded instead of compiled again.
//
// XLA takes seconds to minutes to compile a program. PJRT, the C interface of XLA's plugins, can
// serialise the result in a fraction of a second. go-xla does not use that part of the interface,
// but it accepts plugins that are loaded already (pjrt.RegisterPreloadedPlugin). [Intercept],
// where to start reading, loads a plugin, copies its table of functions, replaces
// PJRT_Client_Compile in the copy and registers the copy with go-xla. A program for the CPU also
// gets the calls of internal/kernels on its way to the compiler.
//
// The key of a program is a hash of everything that it depends on: the program before compiling,
// compile options, the plugin's file, platform and device, the environment, and the CPU or NVIDIA's
// libraries. A file that is damaged, or that XLA does not load, is removed and its program
// compiled again. So is a program that fails to run ([FallBack]), and one that crashes its
// process: the next process removes it.
package programs

import (
	"os"
	"path/filepath"

	"early.nb201/quiet"

	"nb201/internal/usage"
	"nb201/internal/userdir"
)

func init() { quiet.End() } // go-xla, which this package imports, has been initialised by now

// StoreOff is the value of NB201_PROGRAMS that turns the store of compiled programs off.
const StoreOff = "off"

// Directory returns the directory of compiled programs: $NB201_PROGRAMS, or "programs" in
// [userdir.Cache] if that is not set. It returns "" if NB201_PROGRAMS is [StoreOff]. Anyone who can
// write to the directory can make this program run their code. Its errors are usage errors.
func Directory() (string, error) {
	switch dir := os.Getenv("NB201_PROGRAMS"); {
	case dir == StoreOff:
		return "", nil
	case dir != "":
		return filepath.Abs(dir)
	}
	cache, err := userdir.Cache()
	if err != nil {
		return "", usage.Errorf("no directory for compiled programs (%w); set NB201_PROGRAMS to a directory, or to off", err)
	}
	return filepath.Join(cache, "programs"), nil
}

// Kept returns the number of programs in dir, and the total size in bytes of the store's files
// there, including temporary ones.
func Kept(dir string) (programs int, bytes int64, err error) {
	files, bytes, err := store{dir: dir}.list()
	for _, f := range files {
		if !temporary(f) {
			programs++
		}
	}
	return programs, bytes, err
}
