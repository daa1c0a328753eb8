package backend

/*
#include <malloc.h>

// A training step allocates and frees buffers of many megabytes. By default glibc maps each from
// the kernel and unmaps it again, and the kernel zeroes every page each time. These settings keep
// the buffers in one heap that never shrinks. They apply only to arenas made later, so they are
// made before the Go runtime starts its threads. Figures are in docs/performance.md.
#ifdef __GLIBC__
__attribute__((constructor)) static void keep_buffers(void) {
	mallopt(M_MMAP_MAX, 0);
	mallopt(M_ARENA_MAX, 1);
	mallopt(M_TRIM_THRESHOLD, -1); // never
	mallopt(M_TOP_PAD, 256 << 20);
}
#endif
*/
import "C"
