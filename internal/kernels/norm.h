// Batch normalisation in training of a feature map [pixels, channels] in float32, and its
// gradients. The number of channels is a multiple of NORM_BLOCK.

#ifndef NB201_NORM_H_
#define NB201_NORM_H_

enum { NORM_BLOCK = 16 };

// norm_moments are those of a number of pixels: per channel their mean, and the sum of
// the squares of their distances from it.
struct norm_moments {
	long pixels;
	double *mean, *squares;
};

// norm_measure adds the pixels from x on to moments.
void norm_measure(const float *x, long pixels, long channels, struct norm_moments *moments);

// norm_join adds the moments of other pixels to moments.
void norm_join(struct norm_moments *moments, const struct norm_moments *other, long channels);

// norm_scale makes y = factor*x + term, factor and term per channel.
void norm_scale(const float *x, const float *factor, const float *term, float *y, long pixels, long channels);

// norm_sums adds to of_dy the sum of dy over pixels, and to of_products that of
// dy * (x - mean), per channel.
void norm_sums(const float *x, const float *mean, const float *dy, double *of_dy, double *of_products, long pixels, long channels);

// norm_gradient makes dx = factor*dy + slope*x + term, each of these per channel.
void norm_gradient(const float *x, const float *dy, const float *factor, const float *slope, const float *term, float *dx,
	long pixels, long channels);

#endif
