// Package crash ends the process in one sentence, with exit code 1, when C code crashes:
// an XLA plugin whose file is damaged, or one with a fault. Go's runtime would print the
// stacks of all goroutines, some two hundred lines that say nothing of the C code. It still
// does, and so for a debugger, where GOTRACEBACK is set; and for crashes of Go code.
//
// Go passes on a fault in C code to the handler that was there before it started
// (os/signal, "Go programs that use cgo or SWIG"); crash.c installs one. It takes none
// from abort, by which XLA ends at a failed check, so Watch installs that one over Go's.
package crash

// #include <stdlib.h>
// #include "crash.h"
import "C"

import (
	"regexp"
	"unsafe"
)

// Sentence returns the part of a crash's sentence that says what crashed and how, from a line
// of a process's stderr; "" where the line is none.
func Sentence(line string) string { return sentence.FindString(line) }

var sentence = regexp.MustCompile(`[^:]+ crashed \(SIG[^)]*\)`)

// Watch makes the sentence name a library that is to be loaded, and advise the user. The last
// call holds.
func Watch(library, advice string) {
	who, mend := C.CString(library), C.CString(advice)
	defer C.free(unsafe.Pointer(who))
	defer C.free(unsafe.Pointer(mend))
	C.crash_watch(who, mend)
}

// Suspect makes a crash remove the file at path: a compiled program from a cache, which may be
// what crashes, and would at each start.
func Suspect(path string) { C.crash_suspect(C.CString(path)) } // for as long as the process lives
