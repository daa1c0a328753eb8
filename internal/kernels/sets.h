// The sets of functions for the instruction sets that processors may have, and the choice of one.

#ifndef NB201_SETS_H_
#define NB201_SETS_H_

#include <stdbool.h>

#include "conv.h"
#include "mix.h"
#include "norm.h"

// The kernels' numbers of channels must be multiples of CHANNELS, whatever the instruction set.
enum { CHANNELS = 8 };

// kernel_set has the functions for an instruction set: those of conv.h and norm.h with the same names, those of mix_loops.h,
// those of winograd_loops.h, and relu, which computes y = max(x, 0) for n floats and keeps NaN. What they compute is the same, bit for bit,
// in all sets, but the numbers of channels whose neighbours share a vector, and n, must be multiples of lanes.
struct kernel_set {
	const char *name;
	long lanes;
	void (*relu)(const float *x, float *y, long n);
	void (*conv_pixels)(const struct conv *c, const float *padded, long row, const float *w, float *y, const struct finish *f);
	void (*conv_weights)(const struct conv *c, const float *padded, long row, const float *dy, long dy_row, float *gradients);
	void (*norm_measure)(const float *x, long pixels, long channels, struct norm_moments *moments);
	void (*norm_sums)(const float *x, const float *mean, const float *dy, double *of_dy, double *of_products, long pixels, long channels);
	void (*norm_gradient)(const float *x, const float *dy, const float *factor, const float *slope, const float *term, float *dx,
		long pixels, long channels);
	// mix_itself finishes a map x, and mix_average the average of an image x, or the adjoint of that.
	void (*mix_itself)(const float *x, float *y, long pixels, long channels, const struct finish *f);
	void (*mix_average)(const struct mix *m, bool is_adjoint, const float *x, float *y, const struct finish *f, float *scratch);
	// See winograd_loops.h.
	void (*winograd_split)(const float *x, long row, long channels, float *parts, long stride);
	void (*winograd_join)(const float *parts, long stride, long channels, float *y, long row, const struct finish *f);
	void (*winograd_spread)(const float *dy, long row, long channels, float *parts, long stride);
};

extern const struct kernel_set kernels_avx512, kernels_avx2, kernels_plain; // the first two on x86-64 only

// kernels_chosen returns the set that this process uses: the one that the environment variable NB201_KERNELS
// names, or the best that this processor has if the variable names none, or none that it has.
const struct kernel_set *kernels_chosen(void);

// kernels_for returns the set for this number of channels, a multiple of CHANNELS: the chosen one, or the
// next smaller one if the chosen one's vectors do not divide the channels.
const struct kernel_set *kernels_for(long channels);

// kernels_has reports whether this processor has the set of a name.
bool kernels_has(const char *name);

#endif
