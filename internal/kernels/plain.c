// The kernels in plain C, for every processor.

#include "table.h"

const struct kernel_set kernels_plain = KERNEL_SET("plain");
