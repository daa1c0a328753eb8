// Convolutions of feature maps [images, rows, cols, channels] in float32 with weights [taps, taps,
// in, out], padded by taps/2 at the start of each axis, and the gradients of the weights.

#ifndef NB201_CONV_H_
#define NB201_CONV_H_

#include <stdbool.h>
#include <stddef.h>

#include "finish.h"

// conv describes a convolution. taps is 1 or 3; at 1, both steps are 1. The input is [images, in_rows,
// in_cols, in], the output [images, rows, cols, out]. out is a multiple of CHANNELS (sets.h). out_step is
// the stride, 1 or 2. in_step is 2 if the input is spread with zeros between its pixels, as for the gradient
// of the input of a convolution of stride 2, and otherwise 1.
struct conv {
	long taps;
	long images;
	long in_rows, in_cols, in, in_step;
	long rows, cols, out, out_step;
};

// conv_output is what becomes of one of several convolutions of the same input.
struct conv_output {
	const float *weights;        // transformed for Winograd's algorithm if that computes it
	float *y;                    // of the first image
	const struct finish *finish; // or NULL
};

// conv_scratch returns the number of floats of scratch memory that each thread needs for conv_pad. They
// must be zero at first, and afterwards belong to conv_pad for this convolution.
size_t conv_scratch(const struct conv *c, bool relu);

// conv_pad prepares an image, [in_rows, in_cols, in], for the functions below. It returns the image with its
// padding, and sets row to the number of floats from one of its rows to the next: a copy within the zeros of
// scratch, or image itself if it needs no padding. With relu, for a multiple of CHANNELS, it always copies
// and replaces negative numbers by 0.
const float *conv_pad(const struct conv *c, const float *image, bool relu, float *scratch, long *row);

// conv_pixels computes the output of a padded image: y[i, j, o] is the sum over a, b and k of
// padded[i*out_step + a, j*out_step + b, k] * w[a, b, k, o], added in this order on every machine. If
// conv_is_narrow, the products of even k and those of odd k are added up separately, in this order. f may be NULL.
void conv_pixels(const struct conv *c, const float *padded, long row, const float *w, float *y, const struct finish *f);

// conv_weights adds to the gradient of the weight [a, b, k, o] the sum over i and j, for one padded image, of
// padded[i*out_step + a, j*out_step + b, k] * dy[i, j, o], added in this order. There are dy_row floats from
// one row of dy to the next. The gradients are in an order that depends on the shape; conv_order copies them
// to dw, [taps, taps, in, out].
void conv_weights(const struct conv *c, const float *padded, long row, const float *dy, long dy_row, float *gradients);
void conv_order(const struct conv *c, const float *gradients, float *dw);

// conv_is_narrow reports whether there is only one vector's worth of output channels, 8, and in is even.
bool conv_is_narrow(const struct conv *c);

// conv_is_turned reports whether conv_weights sums up the gradients as [taps, out, taps, in], with vectors of
// input channels: more of them than of 8 output channels fit into the registers at once.
bool conv_is_turned(const struct conv *c);

// input_of, output_of and weights_of return the number of floats of an image in the input and in the output,
// and of the weights.
static inline long input_of(const struct conv *c) { return c->in_rows * c->in_cols * c->in; }
static inline long output_of(const struct conv *c) { return c->rows * c->cols * c->out; }
static inline long weights_of(const struct conv *c) { return c->taps * c->taps * c->in * c->out; }

// aligned returns floats rounded up to whole cache lines. Parts of scratch memory begin at multiples of them.
static inline size_t aligned(size_t floats) { return (floats + 15) / 16 * 16; }

#endif
