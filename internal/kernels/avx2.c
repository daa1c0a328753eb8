// The kernels for AVX2.

#if defined(__x86_64__) || defined(NB201_EMULATED)

#define NB201_AVX2
#include "table.h"

const struct kernel_set kernels_avx2 = KERNEL_SET("avx2");

#endif
