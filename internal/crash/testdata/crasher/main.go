// Command crasher crashes as its arguments say: watched or not, in a call, on a thread that C
// made or in Go, and how.
package main

/*
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <fcntl.h>

static void *act(void *what) {
	if (!strcmp(what, "segv")) *(volatile int *)0 = 1;
	if (!strcmp(what, "abort")) abort();
	if (!strcmp(what, "ill")) __builtin_trap();
	if (!strcmp(what, "bus")) {
		char name[] = "/tmp/crashXXXXXX";
		int file = mkstemp(name);
		unlink(name);
		char *map = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0);
		*(volatile char *)map;
	}
	return NULL;
}

static void on_thread(char *what) {
	pthread_t thread;
	pthread_create(&thread, NULL, act, what);
	pthread_join(thread, NULL);
}
*/
import "C"

import (
	"os"
	"unsafe"

	"nb201/internal/crash"
)

func main() {
	if os.Args[1] == "watched" {
		crash.Watch("/opt/plugin.so", "run it again")
	}
	for _, path := range os.Args[4:] {
		crash.Suspect(path)
	}
	what := C.CString(os.Args[3])
	switch os.Args[2] {
	case "call":
		C.act(unsafe.Pointer(what))
	case "thread":
		C.on_thread(what)
	case "go":
		var p *int
		*p = 1
	}
}
