#include "winograd.h"

#include "sets.h"

#pragma STDC FP_CONTRACT OFF

bool winograd_can(const struct conv *c) {
	return c->taps == 3 && c->in_step == 1 && c->out_step == 1 && c->rows % 2 == 0 && c->cols % 2 == 0 && c->in % CHANNELS == 0;
}

long winograd_weights(const struct conv *c) { return WINOGRAD_PARTS * c->in * c->out; }

// A row of taps (a, b, c) becomes (a, (a+b+c)/2, (a-b+c)/2, c). These are the parts' taps along both axes.
static const double parts_of_taps[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};

void winograd_transform(const struct conv *c, const float *w, float *transformed) {
	long n = c->in * c->out;
	for (int i = 0; i < 4; i++)
		for (int j = 0; j < 4; j++, transformed += n)
			for (long k = 0; k < n; k++) {
				double sum = 0;
				for (int a = 0; a < 3; a++)
					for (int b = 0; b < 3; b++)
						sum += parts_of_taps[i][a] * parts_of_taps[j][b] * w[(3 * a + b) * n + k];
				transformed[k] = (float)sum;
			}
}

// product_of returns the product of a part of the tiles with a part of the weights, as a convolution of 1x1.
static struct conv product_of(const struct conv *c, long tiles) {
	return (struct conv){
		.taps = 1, .images = 1, .in_rows = 1, .in_cols = tiles, .in = c->in, .in_step = 1,
		.rows = 1, .cols = tiles, .out = c->out, .out_step = 1,
	};
}

// WEIGHTS is how many gradients are ordered at once. It divides their number.
enum { WEIGHTS = CHANNELS * CHANNELS };

void winograd_order(const struct conv *c, const float *gradients, float *dw) {
	long n = c->in * c->out;
	struct conv product = product_of(c, WINOGRAD_TILES);
	bool turned = conv_is_turned(&product);
	for (int a = 0; a < 3; a++)
		for (int b = 0; b < 3; b++, dw += n)
			for (long from = 0; from < n; from += WEIGHTS) {
				double sums[WEIGHTS] = {0};
				for (int i = 0; i < 4; i++)
					for (int j = 0; j < 4; j++) {
						double factor = parts_of_taps[i][a] * parts_of_taps[j][b];
						for (long k = 0; k < WEIGHTS; k++)
							sums[k] += factor * gradients[(4 * i + j) * n + from + k];
					}
				for (long k = 0; k < WEIGHTS; k++) {
					long at = from + k;
					dw[turned ? at % c->in * c->out + at / c->in : at] = (float)sums[k];
				}
			}
}

// stride_of returns the number of floats from a part of the tiles to the next. A cache line more than a part has keeps
// those of a tile out of the same few places of the cache.
static long stride_of(long channels) { return WINOGRAD_TILES * channels + 16; }

size_t winograd_scratch(const struct conv *c) { return (size_t)(WINOGRAD_PARTS * (stride_of(c->in) + stride_of(c->out))); }

void winograd_begin(struct winograd_tiles *t, const struct conv *c, float *scratch) {
	t->product = product_of(c, 0);
	t->cols = c->cols;
	t->split = scratch;
	t->made = scratch + WINOGRAD_PARTS * stride_of(c->in);
	t->tiles = 0;
}

void winograd_pixels(struct winograd_tiles *t, const struct conv *c, const float *padded, long row, long at, const struct conv_output *outputs, int n) {
	const struct kernel_set *set = kernels_for(c->in);
	for (long i = 0; i < c->rows; i += 2)
		for (long j = 0; j < c->cols; j += 2) {
			set->winograd_split(padded + i * row + j * c->in, row, c->in, t->split + t->tiles * c->in, stride_of(c->in));
			t->at[t->tiles] = at + (i * c->cols + j) * c->out;
			if (++t->tiles == WINOGRAD_TILES)
				winograd_flush(t, outputs, n);
		}
}

void winograd_flush(struct winograd_tiles *t, const struct conv_output *outputs, int n) {
	struct conv *p = &t->product;
	const struct kernel_set *set = kernels_for(p->out);
	p->cols = p->in_cols = t->tiles;
	if (t->tiles == 0)
		return;
	for (const struct conv_output *o = outputs; o < outputs + n; o++) {
		for (long part = 0; part < WINOGRAD_PARTS; part++)
			set->conv_pixels(p, t->split + part * stride_of(p->in), t->tiles * p->in, o->weights + part * p->in * p->out,
				t->made + part * stride_of(p->out), NULL);
		for (long k = 0; k < t->tiles; k++)
			set->winograd_join(t->made + k * p->out, stride_of(p->out), p->out, o->y + t->at[k], t->cols * p->out, o->finish);
	}
	t->tiles = 0;
}

void winograd_gradients(struct winograd_tiles *t, const struct conv *c, const float *padded, long row, const float *dy, float *gradients) {
	const struct kernel_set *of_in = kernels_for(c->in), *of_out = kernels_for(c->out);
	for (long i = 0; i < c->rows; i += 2)
		for (long j = 0; j < c->cols; j += 2) {
			of_in->winograd_split(padded + i * row + j * c->in, row, c->in, t->split + t->tiles * c->in, stride_of(c->in));
			of_out->winograd_spread(dy + (i * c->cols + j) * c->out, c->cols * c->out, c->out, t->made + t->tiles * c->out, stride_of(c->out));
			if (++t->tiles == WINOGRAD_TILES)
				winograd_flush_gradients(t, gradients);
		}
}

void winograd_flush_gradients(struct winograd_tiles *t, float *gradients) {
	struct conv *p = &t->product;
	p->cols = p->in_cols = t->tiles;
	for (long part = 0; t->tiles > 0 && part < WINOGRAD_PARTS; part++)
		conv_weights(p, t->split + part * stride_of(p->in), t->tiles * p->in, t->made + part * stride_of(p->out), t->tiles * p->out,
			gradients + part * p->in * p->out);
	t->tiles = 0;
}
