// Package programs keeps compiled programs on disk. A program that was compiled before,
// in any process, is loaded instead of compiled again.
//
// Compiling a program takes XLA seconds to minutes, and what comes out is serialised by
// PJRT, the C interface of XLA's plugins, in a fraction of a second. go-xla does not
// reach that part of the interface, but it takes plugins that the program brings
// (pjrt.RegisterPreloadedPlugin). Intercept loads a plugin, copies its table of functions,
// puts one of our own in the place of PJRT_Client_Compile and gives go-xla the copy. On its
// way to the compiler a program for the CPU is given the calls of internal/kernels.
//
// A program's key holds all that it depends on: the program before compiling, compile
// options, the plugin's file, platform and device, environment, and the CPU or NVIDIA's
// libraries. A file that is damaged, or that XLA does not take, is removed, and its
// program compiled; so is one that does not run (FallBack), and one whose process crashes, by
// the next process.
package programs

import (
	"os"
	"path/filepath"

	"early.nb201/quiet"

	"nb201/internal/usage"
	"nb201/internal/userdir"
)

func init() { quiet.End() } // go-xla, which this package imports, is initialised

// Off is the value of NB201_PROGRAMS with which no program is kept.
const Off = "off"

// Directory is where programs are kept: $NB201_PROGRAMS, by default programs in
// userdir.Cache; "" when that variable is "off". Who can write there can make this program
// run code of theirs. Its errors are usage errors.
func Directory() (string, error) {
	switch dir := os.Getenv("NB201_PROGRAMS"); {
	case dir == Off:
		return "", nil
	case dir != "":
		return filepath.Abs(dir)
	}
	cache, err := userdir.Cache()
	if err != nil {
		return "", usage.Errorf("no directory for compiled programs (%w): set NB201_PROGRAMS to one, or to off", err)
	}
	return filepath.Join(cache, "programs"), nil
}

// Kept counts the programs in a directory, and their bytes.
func Kept(dir string) (programs int, bytes int64, err error) {
	files, bytes, err := store{dir: dir}.list()
	for _, f := range files {
		if !temporary(f) {
			programs++
		}
	}
	return programs, bytes, err
}
