#include "convolution.h"

#include <stdlib.h>

#include "winograd.h"

bool convolution_prepare(struct convolution *c, const float *w) {
	c->weights = w, c->transformed = NULL, c->group = 1;
	if (!winograd_can(&c->shape))
		return true;
	c->transformed = malloc((size_t)winograd_weights(&c->shape) * sizeof(float));
	if (c->transformed == NULL)
		return false;
	winograd_transform(&c->shape, w, c->transformed);
	c->weights = c->transformed;
	long tiles = c->shape.rows * c->shape.cols / 4;
	c->group = tiles < WINOGRAD_TILES ? WINOGRAD_TILES / tiles : 1;
	return true;
}

void convolution_free(struct convolution *c) { free(c->transformed); }

size_t convolution_scratch(const struct convolution *c) {
	return aligned(conv_scratch(&c->shape, c->relu)) + (winograd_can(&c->shape) ? winograd_scratch(&c->shape) : 0);
}

void convolution_images(const struct convolution *c, const float *x, long images, const struct conv_output *outputs, int n, float *scratch) {
	const struct conv *shape = &c->shape;
	struct winograd_tiles tiles;
	if (c->transformed != NULL)
		winograd_begin(&tiles, shape, scratch + aligned(conv_scratch(shape, c->relu)));
	for (long i = 0, row; i < images; i++) {
		const float *padded = conv_pad(shape, x + i * input_of(shape), c->relu, scratch, &row);
		if (c->transformed != NULL)
			winograd_pixels(&tiles, shape, padded, row, i * output_of(shape), outputs, n);
		else
			for (const struct conv_output *o = outputs; o < outputs + n; o++)
				conv_pixels(shape, padded, row, o->weights, o->y + i * output_of(shape), o->finish);
	}
	if (c->transformed != NULL)
		winograd_flush(&tiles, outputs, n);
}
