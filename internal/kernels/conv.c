#include "conv.h"

#include <string.h>

#include "sets.h"

// seen_rows and seen_cols return the size of the part of a padded image that the outputs depend on.
static long seen_rows(const struct conv *c) { return (c->rows - 1) * c->out_step + c->taps; }
static long seen_cols(const struct conv *c) { return (c->cols - 1) * c->out_step + c->taps; }

// is_copied reports whether conv_pad copies an image.
static bool is_copied(const struct conv *c, bool relu) { return relu || c->taps > 1 || c->in_step > 1; }

size_t conv_scratch(const struct conv *c, bool relu) {
	return is_copied(c, relu) ? (size_t)(seen_rows(c) * seen_cols(c) * c->in) : 0;
}

const float *conv_pad(const struct conv *c, const float *image, bool relu, float *scratch, long *row) {
	if (!is_copied(c, relu)) {
		*row = c->in_cols * c->in;
		return image;
	}
	long rows = seen_rows(c), cols = seen_cols(c), start = c->taps / 2;
	*row = cols * c->in;
	long within = (cols - start - 1) / c->in_step + 1; // pixels of a row that the outputs depend on
	if (within > c->in_cols)
		within = c->in_cols;
	long pieces = c->in_step == 1 ? 1 : within, n = within * c->in / pieces; // a row is copied in pieces of n floats
	const struct kernel_set *set = relu ? kernels_for(c->in) : NULL;
	for (long i = 0; i < c->in_rows && start + i * c->in_step < rows; i++) {
		const float *from = image + i * c->in_cols * c->in;
		float *to = scratch + ((start + i * c->in_step) * cols + start) * c->in;
		for (long j = 0; j < pieces; j++, from += n, to += c->in_step * n)
			if (relu)
				set->relu(from, to, n);
			else
				memcpy(to, from, sizeof(float) * (size_t)n);
	}
	return scratch;
}

bool conv_is_narrow(const struct conv *c) { return c->out == CHANNELS && c->in % 2 == 0; }
bool conv_is_turned(const struct conv *c) { return c->out == CHANNELS && c->in % CHANNELS == 0; }

void conv_pixels(const struct conv *c, const float *padded, long row, const float *w, float *y, const struct finish *f) {
	kernels_for(c->out)->conv_pixels(c, padded, row, w, y, f);
}

void conv_weights(const struct conv *c, const float *padded, long row, const float *dy, long dy_row, float *gradients) {
	kernels_for(conv_is_turned(c) ? c->in : c->out)->conv_weights(c, padded, row, dy, dy_row, gradients);
}

void conv_order(const struct conv *c, const float *gradients, float *dw) {
	long wide = c->taps * c->in;
	if (!conv_is_turned(c)) {
		memcpy(dw, gradients, sizeof(float) * (size_t)(c->taps * wide * c->out));
		return;
	}
	for (long a = 0; a < c->taps; a++, gradients += wide * c->out, dw += wide * c->out)
		for (long k = 0; k < wide; k++)
			for (long o = 0; o < c->out; o++)
				dw[k * c->out + o] = gradients[o * wide + k];
}
