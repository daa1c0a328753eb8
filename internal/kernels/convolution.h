// A convolution of several images, forward, in the faster of two ways: directly (conv.h) or by Winograd's
// algorithm (winograd.h).

#ifndef NB201_CONVOLUTION_H_
#define NB201_CONVOLUTION_H_

#include <stdbool.h>
#include <stddef.h>

#include "conv.h"

struct convolution {
	struct conv shape;
	bool relu;            // before the convolution
	const float *weights; // transformed for Winograd's algorithm, in memory of the convolution, or as they were given
	float *transformed;   // that memory, or NULL
	long group;           // how many images to compute together, so that Winograd's tiles are enough
};

// convolution_prepare takes the weights w, [taps, taps, in, out], for a convolution with a shape. It returns false if
// there is no memory. convolution_free frees the memory that it has allocated.
bool convolution_prepare(struct convolution *c, const float *w);
void convolution_free(struct convolution *c);

// convolution_scratch returns how many floats of scratch memory convolution_images needs. They must be zeros at
// first, and may be used again only for convolutions of the same shape.
size_t convolution_scratch(const struct convolution *c);

// convolution_images computes n outputs of neighbouring images x by convolutions which differ in their weights only. c is
// one of them. Where an output's finish reads another output, that one comes first.
void convolution_images(const struct convolution *c, const float *x, long images, const struct conv_output *outputs, int n, float *scratch);

// groups_of returns the number of groups into which images are divided, of size each, and in_group that of the images
// of one: the last may have fewer.
static inline long groups_of(long images, long size) { return (images + size - 1) / size; }
static inline long in_group(long images, long size, long group) {
	long left = images - group * size;
	return left < size ? left : size;
}

#endif
