// The table of the functions for the instruction set of lanes.h.

#include "conv_loops.h"
#include "mix_loops.h"
#include "norm_loops.h"
#include "winograd_loops.h"

TARGET static void NAMED(relu)(const float *x, float *y, long n) {
	for (long i = 0; i < n; i += LANES)
		lanes_store(y + i, lanes_relu(lanes_load(x + i)));
}

#define KERNEL_SET(set) { \
	.name = set, .lanes = LANES, .relu = NAMED(relu), .conv_pixels = NAMED(conv_pixels), .conv_weights = NAMED(conv_weights), \
	.norm_measure = NAMED(norm_measure), .norm_sums = NAMED(norm_sums), .norm_gradient = NAMED(norm_gradient), \
	.mix_itself = NAMED(mix_itself), .mix_average = NAMED(mix_average), \
	.winograd_split = NAMED(winograd_split), .winograd_join = NAMED(winograd_join), .winograd_spread = NAMED(winograd_spread), \
}
