// Batch normalisation in training of a feature map [pixels, channels] in float32, and its gradients.
// The number of channels must be a multiple of CHANNELS (sets.h).

#ifndef NB201_NORM_H_
#define NB201_NORM_H_

// norm_moments holds the moments of a number of pixels: for each channel their mean, and the sum of
// the squares of their differences from it.
struct norm_moments {
	long pixels;
	double *mean, *squares;
};

// norm_measure adds pixels, which begin at x, to moments.
void norm_measure(const float *x, long pixels, long channels, struct norm_moments *moments);

// norm_join adds other, the moments of other pixels, to moments.
void norm_join(struct norm_moments *moments, const struct norm_moments *other, long channels);

// norm_finish computes, from the moments of all pixels and from scale and shift, the mean, the biased variance, and the
// factor and term with which norm_scale normalises. All are [channels].
void norm_finish(const struct norm_moments *all, const float *scale, const float *shift, float epsilon, long channels,
	float *mean, float *variance, float *factor, float *term);

// norm_scale computes y = factor*x + term, where factor and term are [channels]. y may be x.
void norm_scale(const float *x, const float *factor, const float *term, float *y, long pixels, long channels);

// norm_sums adds, for each channel, the sum of dy over the pixels to of_dy, and the sum of
// dy * (x - mean) to of_products. If of_dy is NULL, it leaves out the first.
void norm_sums(const float *x, const float *mean, const float *dy, double *of_dy, double *of_products, long pixels, long channels);

// norm_gradient computes dx = factor*dy + slope*x + term, where factor, slope and term are [channels].
void norm_gradient(const float *x, const float *dy, const float *factor, const float *slope, const float *term, float *dx,
	long pixels, long channels);

#endif
