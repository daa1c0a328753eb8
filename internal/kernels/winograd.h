// Convolutions of 3x3 taps with stride 1 by Winograd's algorithm F(2x2, 3x3), which needs 16 products where
// sums over the taps need 36: tiles of 2x2 outputs are computed from 4x4 inputs, in 16 separate products of
// matrices (Lavin and Gray, Fast Algorithms for Convolutional Neural Networks, 2015). The gradients of the
// weights are the exact adjoint.

#ifndef NB201_WINOGRAD_H_
#define NB201_WINOGRAD_H_

#include <stdbool.h>
#include <stddef.h>

#include "conv.h"

// WINOGRAD_PARTS is the number of products, and WINOGRAD_TILES that of the tiles which are computed together.
enum { WINOGRAD_PARTS = 16, WINOGRAD_TILES = 16 };

// winograd_can reports whether a convolution can be computed in this way.
bool winograd_can(const struct conv *c);

// winograd_weights returns the number of floats of transformed weights, [parts, in, out], or of their
// gradients. winograd_transform computes transformed weights from w, [3, 3, in, out], and winograd_order the
// gradient dw of w from that of the transformed weights.
long winograd_weights(const struct conv *c);
void winograd_transform(const struct conv *c, const float *w, float *transformed);
void winograd_order(const struct conv *c, const float *gradients, float *dw);

// winograd_scratch returns the number of floats that the functions below need for their tiles.
size_t winograd_scratch(const struct conv *c);

// winograd_tiles collects tiles, of one image or several, until there are enough of them.
struct winograd_tiles {
	struct conv product; // of a part of the tiles
	long cols;           // of the output
	float *split, *made; // parts of tiles, [parts, tiles, channels]: of inputs, and of outputs
	long tiles;
	long at[WINOGRAD_TILES]; // where outputs go
};

// winograd_begin begins to collect tiles in scratch memory.
void winograd_begin(struct winograd_tiles *t, const struct conv *c, float *scratch);

// winograd_pixels computes n outputs of a padded image (conv.h) as conv_pixels does, from transformed weights. at is where
// the image begins in each. They are complete after winograd_flush.
void winograd_pixels(struct winograd_tiles *t, const struct conv *c, const float *padded, long row, long at, const struct conv_output *outputs, int n);
void winograd_flush(struct winograd_tiles *t, const struct conv_output *outputs, int n);

// winograd_gradients adds to the gradients of the transformed weights what an image and the gradient dy of its
// output contribute. The sums are complete after winograd_flush_gradients.
void winograd_gradients(struct winograd_tiles *t, const struct conv *c, const float *padded, long row, const float *dy, float *gradients);
void winograd_flush_gradients(struct winograd_tiles *t, float *gradients);

#endif
