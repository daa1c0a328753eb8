package backend

/*
#include <malloc.h>

// A step allocates and frees buffers of many megabytes. glibc would map each from the
// kernel and give it back, to be zeroed page by page again; these settings keep them
// in one heap that never shrinks. They hold for arenas made later, so they are made
// before the Go runtime starts its threads. Figures in docs/performance.md.
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
