// Convolutions of feature maps [images, rows, cols, channels] in float32 with weights
// [taps, taps, in, out], padded by taps/2 at the start of either axis, and their gradient
// for the weights.

#ifndef NB201_CONV_H_
#define NB201_CONV_H_

#include <stdbool.h>
#include <stddef.h>

// What a convolution's input and output are. in_step is 2 where the input is spread
// with zeros between its pixels (the gradient for the input of a convolution of stride
// 2), out_step is the stride; else they are 1. taps is 1 or 3.
struct conv {
	long taps;
	long images;
	long in_rows, in_cols, in, in_step;
	long rows, cols, out, out_step;
};

// conv_can reports whether this processor has the instructions that the functions below use:
// AVX2 and FMA.
bool conv_can(void);

// conv_scratch is how many floats of zeros a thread needs for itself: an image within its
// padding, if it has any. The functions below leave the padding as it is.
size_t conv_scratch(const struct conv *c);

// conv_forward makes the output of an image: y[i, j, o] is the sum over a, b and k of
// x[i*out_step + a - taps/2, j*out_step + b - taps/2, k] * w[a, b, k, o], in this order, which is
// the same on every machine. The number of output channels is a multiple of CONV_BLOCK.
void conv_forward(const struct conv *c, const float *x, const float *w, float *y, long image, float *scratch);

// conv_weights adds to dw[a, b, k, o] the sum over an image's i and j of
// x[i*out_step + a - taps/2, j*out_step + b - taps/2, k] * dy[i, j, o].
void conv_weights(const struct conv *c, const float *x, const float *dy, float *dw, long image, float *scratch);

enum { CONV_BLOCK = 16 };

#endif
