// Package blocks gives memory to XLA: a program that imports it replaces parts of C's malloc, for all C code in its
// process.
//
// XLA allocates all intermediate feature maps of a step as one block, up to more than a GiB, with posix_memalign,
// and frees it after the step. Memory is expensive to get from Linux, which zeroes every page. Therefore
// blocks of 16 MiB and more come from memory that the process keeps when they are freed:
//
//   - A smaller block does not take the memory of a block of more than twice its size. glibc's heap lets buffers
//     that live longer into the memory of the last step, so that the next step needs more.
//   - Linux is asked for pages of 2 MiB (madvise), which cost fewer misses in the processor's tables.
//
// The blocks' addresses are reserved when the process starts: 1 TiB of virtual memory, which is not used until it is
// written. Everything else comes from malloc, with one heap that never shrinks. Blocks come from it too if the process may
// not reserve addresses (ulimit -v). With another C library than glibc, nothing changes. Figures are in
// docs/performance.md.
package blocks

// #cgo linux LDFLAGS: -ldl
import "C"
