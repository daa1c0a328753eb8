package backend

// #include <malloc.h>
import "C"

// tuneMalloc keeps the large buffers of a step inside one heap: glibc would map
// and unmap them from the kernel, zeroed page by page, at every step. Figures in
// docs/performance.md.
func tuneMalloc() {
	const never = 1 << 30
	C.mallopt(C.M_MMAP_MAX, 0)
	C.mallopt(C.M_ARENA_MAX, 1)
	C.mallopt(C.M_TRIM_THRESHOLD, never)
	C.mallopt(C.M_TOP_PAD, 256<<20)
}
