// The kernels for AVX-512.

#if defined(__x86_64__) || defined(NB201_EMULATED)

#define NB201_AVX512
#include "table.h"

const struct kernel_set kernels_avx512 = KERNEL_SET("avx512");

#endif
