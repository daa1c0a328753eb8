// How the kernels divide channels into vectors of 8 floats, the registers of AVX2.

#ifndef NB201_LANES_H_
#define NB201_LANES_H_

// Numbers of channels must be multiples of LANES. A block of neighbouring channels that is processed
// at once has 1 to MOST_VECTORS vectors.
enum { LANES = 8, MOST_VECTORS = 3 };

#ifdef __x86_64__

#define AVX2 __attribute__((target("avx2,fma")))
#define INLINED static inline __attribute__((always_inline)) AVX2

// vectors_at_once returns how many vectors of the channels that are left to process next: 2, or 3 if
// only one would remain after that, since a single vector keeps the processor less busy. The bits of a
// channel do not depend on its block.
static inline long vectors_at_once(long channels) {
	long left = channels / LANES;
	return left == 1 || left == 3 ? left : 2;
}

#endif

#endif
