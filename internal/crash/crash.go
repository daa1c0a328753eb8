// Package crash handles crashes of C code, such as that of a damaged or faulty XLA plugin:
// the process prints one sentence and exits with code 1. Go's runtime would print the stacks
// of all goroutines, about two hundred lines that do not mention the C code. It still does
// if GOTRACEBACK is set, and for crashes of Go code.
//
// Go forwards a fault in C code to the handler that was installed before Go started
// (os/signal, "Go programs that use cgo or SWIG"); crash.c installs one. Go does not forward
// the signal of abort, with which XLA ends after a failed check, so [Watch] replaces Go's
// handler for it.
package crash

// #include <stdlib.h>
// #include "crash.h"
import "C"

import (
	"regexp"
	"unsafe"
)

// Sentence returns the part of a line of stderr that says what crashed and how, or "" if the
// line does not report a crash.
func Sentence(line string) string { return sentence.FindString(line) }

var sentence = regexp.MustCompile(`[^:]+ crashed \(SIG[^)]*\)`)

// Watch makes the sentence of a crash name a library, which is about to be loaded, and advise
// the user. A later call replaces both.
func Watch(library, advice string) {
	cLibrary, cAdvice := C.CString(library), C.CString(advice)
	defer C.free(unsafe.Pointer(cLibrary))
	defer C.free(unsafe.Pointer(cAdvice))
	C.crash_watch(cLibrary, cAdvice)
}

// Suspect makes a crash remove the file at path. The file is a compiled program from a cache:
// if it caused the crash, it would crash every later process too.
func Suspect(path string) { C.crash_suspect(C.CString(path)) } // for as long as the process lives
