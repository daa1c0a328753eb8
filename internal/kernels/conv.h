// Convolutions of feature maps [images, rows, cols, channels] in float32 with weights [taps, taps,
// in, out], padded by taps/2 at the start of each axis, and the gradients of the weights.

#ifndef NB201_CONV_H_
#define NB201_CONV_H_

#include <stdbool.h>
#include <stddef.h>

// conv describes a convolution. taps is 1 or 3. The input is [images, in_rows, in_cols, in], the
// output [images, rows, cols, out]. out_step is the stride, 1 or 2. in_step is 2 if the input is
// spread with zeros between its pixels, as for the gradient of the input of a convolution of stride
// 2, and otherwise 1.
struct conv {
	long taps;
	long images;
	long in_rows, in_cols, in, in_step;
	long rows, cols, out, out_step;
};

// conv_can reports whether this processor has the instructions that the functions below use: AVX2
// and FMA.
bool conv_can(void);

// conv_scratch returns the number of floats of scratch memory that each thread needs, for an image
// with its padding. They must be zero at first; the functions below do not change the padding.
size_t conv_scratch(const struct conv *c);

// conv_forward computes the output of an image: y[i, j, o] is the sum over a, b and k of
// x[i*out_step + a - taps/2, j*out_step + b - taps/2, k] * w[a, b, k, o], added in this order on
// every machine. If out is LANES (lanes.h) and in is even, the products of even k and those of odd k are
// added up separately, in this order. The number of output channels must be a multiple of LANES.
void conv_forward(const struct conv *c, const float *x, const float *w, float *y, long image, float *scratch);

// conv_weights adds to the gradient of the weight [a, b, k, o] the sum over i and j, for one image, of
// x[i*out_step + a - taps/2, j*out_step + b - taps/2, k] * dy[i, j, o]. The gradients are in an order
// that depends on the shape; conv_order copies them to dw, [taps, taps, in, out].
void conv_weights(const struct conv *c, const float *x, const float *dy, float *gradients, long image, float *scratch);
void conv_order(const struct conv *c, const float *gradients, float *dw);

#endif
