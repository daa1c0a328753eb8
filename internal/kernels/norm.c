#include "norm.h"

#include <math.h>

#include "sets.h"

// Products and sums are rounded separately, so that the bits do not depend on the compiler. (GCC does so
// anyway with -std=c11.)
#pragma STDC FP_CONTRACT OFF

void norm_measure(const float *x, long pixels, long channels, struct norm_moments *moments) {
	kernels_for(channels)->norm_measure(x, pixels, channels, moments);
}

void norm_join(struct norm_moments *moments, const struct norm_moments *other, long channels) {
	double before = (double)moments->pixels, n = (double)other->pixels, all = before + n;
	for (long c = 0; c < channels; c++) {
		double apart = other->mean[c] - moments->mean[c];
		moments->squares[c] += other->squares[c] + apart * apart * (before * n / all);
		moments->mean[c] += apart * (n / all);
	}
	moments->pixels += other->pixels;
}

void norm_finish(const struct norm_moments *all, const float *scale, const float *shift, float epsilon, long channels,
	float *mean, float *variance, float *factor, float *term) {
	for (long c = 0; c < channels; c++) {
		double exact = all->squares[c] / (double)all->pixels, by = scale[c] / sqrt(exact + epsilon);
		mean[c] = (float)all->mean[c];
		variance[c] = (float)exact;
		factor[c] = (float)by;
		term[c] = (float)(shift[c] - all->mean[c] * by);
	}
}

void norm_scale(const float *x, const float *factor, const float *term, float *y, long pixels, long channels) {
	struct finish f = {.y = y, .factor = factor, .offset = term};
	kernels_for(channels)->mix_itself(x, y, pixels, channels, &f);
}

void norm_sums(const float *x, const float *mean, const float *dy, double *of_dy, double *of_products, long pixels, long channels) {
	kernels_for(channels)->norm_sums(x, mean, dy, of_dy, of_products, pixels, channels);
}

void norm_gradient(const float *x, const float *dy, const float *factor, const float *slope, const float *term, float *dx,
	long pixels, long channels) {
	kernels_for(channels)->norm_gradient(x, dy, factor, slope, term, dx, pixels, channels);
}
