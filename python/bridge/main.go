// Command bridge is libnb201, the C shared library behind the Python package nb201. Python sends requests
// as JSON and receives pickles, which it reads faster than any other format. bridge.h declares the
// interface; server.go lists the requests.
//
// The library allocates each reply and the caller frees it with nb201_free: neither side keeps memory of
// the other. Calls may come from any thread. In a process that was forked after it loaded the library,
// calls return an error instead of waiting for threads that do not exist there.
package main

// #include "bridge.h"
import "C"

import (
	"runtime/debug"
	"unsafe"
)

var answering = newServer()

// Little of what reading an architecture allocates lives longer than the call, so collecting it less often
// saves time and costs little memory.
func init() { debug.SetGCPercent(400) }

// nb201_go_call answers a request: see nb201_call in bridge.h.
//
//export nb201_go_call
func nb201_go_call(request *C.char, length C.size_t, reply **C.char, replyLength *C.size_t) C.int32_t {
	text, err := answering.answer(C.GoBytes(unsafe.Pointer(request), C.int(length)))
	status := C.int32_t(C.BRIDGE_REPLY)
	if err != nil {
		text, status = encodeError(err), C.BRIDGE_ERROR
	}
	*reply, *replyLength = (*C.char)(C.CBytes(text)), C.size_t(len(text))
	return status
}

func main() {} // a shared library of cgo needs one
