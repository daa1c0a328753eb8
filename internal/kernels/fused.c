#include "fused.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "convolution.h"
#include "mix.h"
#include "norm.h"
#include "winograd.h"

#pragma STDC FP_CONTRACT OFF

// layer holds the arguments of a call for a convolution with normalisation, and intermediate results.
struct layer {
	struct convolution convolution;
	const float *x;
	float *y;
	const float *factor, *offset; // [channels]
	double *first, *second;       // [images, channels]: means and squares
};

// layer_gradients holds the arguments of a call for the gradients of a layer, and intermediate results. dx is NULL
// if it is not asked for.
struct layer_gradients {
	struct conv shape, back; // back: from dy to dx
	bool relu;               // before the convolution
	const float *x, *output, *dy, *turned; // turned: the weights for back, transformed if winograd_can
	float *factor, *slope, *offset, *dx;
	float *dw; // [shares, gradients of weights]
	long shares;
};

static bool is_vector(const struct ffi_buffer *v, const struct ffi_buffer *y) { return has_shape(v, 1, &y->dims[3]); }

bool conv_norm_fits(const struct ffi_frame *frame) {
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	struct conv c;
	if (!has_arguments(frame, 4, 5, FFI_F32) || !describe(&c, in[0], in[1], out[0]) || c.in_step != 1)
		return false;
	return is_vector(in[2], out[0]) && is_vector(in[3], out[0]) && is_vector(out[1], out[0]) && is_vector(out[2], out[0]) &&
		is_vector(out[3], out[0]) && is_vector(out[4], out[0]);
}

bool relu_conv_norm_fits(const struct ffi_frame *frame) { return conv_norm_fits(frame) && is_map(frame->args.buffers[0]); }

static void conv_norm_images(void *of, long item, float *scratch) {
	const struct layer *l = of;
	const struct conv *c = &l->convolution.shape;
	long first = item * l->convolution.group, images = in_group(c->images, l->convolution.group, item);
	struct conv_output y = {l->convolution.weights, l->y + first * output_of(c), NULL};
	convolution_images(&l->convolution, l->x + first * input_of(c), images, &y, 1, scratch);
	for (long image = first; image < first + images; image++) {
		struct norm_moments m = {0, l->first + image * c->out, l->second + image * c->out};
		norm_measure(l->y + image * output_of(c), c->rows * c->cols, c->out, &m);
	}
}

static void *conv_with_norm(struct ffi_frame *frame, bool relu) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	if (!(relu ? relu_conv_norm_fits : conv_norm_fits)(frame))
		return wrong_arguments(frame);
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	struct layer l = {.convolution.relu = relu, .x = in[0]->data, .y = out[0]->data};
	struct conv *c = &l.convolution.shape;
	describe(c, in[0], in[1], out[0]);
	l.first = calloc((size_t)(c->images * c->out), 2 * sizeof(double));
	if (l.first == NULL || !convolution_prepare(&l.convolution, in[1]->data)) {
		free(l.first);
		return out_of_memory(frame);
	}
	l.second = l.first + c->images * c->out;
	void *failed = ffi_do_all(frame, conv_norm_images, &l, groups_of(c->images, l.convolution.group), convolution_scratch(&l.convolution));
	convolution_free(&l.convolution);
	struct norm_moments all = {c->rows * c->cols, l.first, l.second};
	for (long i = 1; i < c->images; i++) {
		struct norm_moments m = {c->rows * c->cols, l.first + i * c->out, l.second + i * c->out};
		norm_join(&all, &m, c->out);
	}
	norm_finish(&all, in[2]->data, in[3]->data, *(const float *)attribute(frame), c->out, out[1]->data, out[2]->data, out[3]->data, out[4]->data);
	free(l.first);
	return failed;
}

void *conv_norm_call(struct ffi_frame *frame) { return conv_with_norm(frame, false); }
void *relu_conv_norm_call(struct ffi_frame *frame) { return conv_with_norm(frame, true); }

bool conv_scaled_fits(const struct ffi_frame *frame) {
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	struct conv c;
	if (!has_arguments(frame, 4, 1, 0) || !describe(&c, in[0], in[1], out[0]) || c.in_step != 1)
		return false;
	return is_vector(in[2], out[0]) && is_vector(in[3], out[0]);
}

bool relu_conv_scaled_fits(const struct ffi_frame *frame) { return conv_scaled_fits(frame) && is_map(frame->args.buffers[0]); }

static void conv_scaled_images(void *of, long item, float *scratch) {
	const struct layer *l = of;
	const struct conv *c = &l->convolution.shape;
	long first = item * l->convolution.group, images = in_group(c->images, l->convolution.group, item);
	struct finish f = {.y = l->y, .factor = l->factor, .offset = l->offset};
	struct conv_output y = {l->convolution.weights, l->y + first * output_of(c), &f};
	convolution_images(&l->convolution, l->x + first * input_of(c), images, &y, 1, scratch);
}

static void *conv_with_scale(struct ffi_frame *frame, bool relu) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	if (!(relu ? relu_conv_scaled_fits : conv_scaled_fits)(frame))
		return wrong_arguments(frame);
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	struct layer l = {.convolution.relu = relu, .x = in[0]->data, .y = out[0]->data, .factor = in[2]->data, .offset = in[3]->data};
	struct conv *c = &l.convolution.shape;
	describe(c, in[0], in[1], out[0]);
	if (!convolution_prepare(&l.convolution, in[1]->data))
		return out_of_memory(frame);
	void *failed = ffi_do_all(frame, conv_scaled_images, &l, groups_of(c->images, l.convolution.group), convolution_scratch(&l.convolution));
	convolution_free(&l.convolution);
	return failed;
}

void *conv_scaled_call(struct ffi_frame *frame) { return conv_with_scale(frame, false); }
void *relu_conv_scaled_call(struct ffi_frame *frame) { return conv_with_scale(frame, true); }

bool norm_factors_fits(const struct ffi_frame *frame) {
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	if (!has_arguments(frame, 4, 2, FFI_F32) || in[0]->rank != 1 || in[0]->dims[0] < 1)
		return false;
	const int64_t *channels = in[0]->dims;
	return has_shape(in[0], 1, channels) && has_shape(in[1], 1, channels) && has_shape(in[2], 1, channels) && has_shape(in[3], 1, channels) &&
		has_shape(out[0], 1, channels) && has_shape(out[1], 1, channels);
}

void *norm_factors_call(struct ffi_frame *frame) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	if (!norm_factors_fits(frame))
		return wrong_arguments(frame);
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	float epsilon = *(const float *)attribute(frame);
	const float *scale = in[0]->data, *shift = in[1]->data, *mean = in[2]->data, *variance = in[3]->data;
	float *factor = out[0]->data, *offset = out[1]->data;
	for (long c = 0; c < in[0]->dims[0]; c++) {
		double by = scale[c] / sqrt((double)variance[c] + epsilon);
		factor[c] = (float)by;
		offset[c] = (float)(shift[c] - mean[c] * by);
	}
	return NULL;
}

// sums_task holds the arguments of nb201.norm_sums, and the sums over each image.
struct sums_task {
	long pixels, channels, outputs; // pixels of an image
	const float *dy;
	struct ffi_buffer **in;
	double *sums; // [images, 1 + outputs, channels]: of dy, and of dy * (y - mean)
};

bool norm_sums_fits(const struct ffi_frame *frame) {
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	int64_t outputs = frame->results.size - 1;
	if (outputs < 1 || !has_arguments(frame, 1 + 3 * outputs, 1 + outputs, FFI_F32) || !is_map(in[0]) || !is_vector(out[0], in[0]))
		return false;
	for (int64_t i = 0; i < outputs; i++)
		if (!has_shape(in[1 + 3 * i], 4, in[0]->dims) || !is_vector(in[2 + 3 * i], in[0]) || !is_vector(in[3 + 3 * i], in[0]) || !is_vector(out[1 + i], in[0]))
			return false;
	return true;
}

static void sums_image(void *of, long image, float *scratch) {
	(void)scratch;
	const struct sums_task *t = of;
	double *sums = t->sums + image * (1 + t->outputs) * t->channels;
	long at = image * t->pixels * t->channels;
	for (long i = 0; i < t->outputs; i++) {
		const float *y = t->in[1 + 3 * i]->data, *mean = t->in[2 + 3 * i]->data;
		norm_sums(y + at, mean, t->dy + at, i == 0 ? sums : NULL, sums + (1 + i) * t->channels, t->pixels, t->channels);
	}
}

void *norm_sums_call(struct ffi_frame *frame) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	if (!norm_sums_fits(frame))
		return wrong_arguments(frame);
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	const int64_t *dims = in[0]->dims;
	struct sums_task t = {.pixels = dims[1] * dims[2], .channels = dims[3], .outputs = frame->results.size - 1, .dy = in[0]->data, .in = in};
	long all = (1 + t.outputs) * t.channels;
	t.sums = calloc((size_t)(dims[0] * all), sizeof(double));
	if (t.sums == NULL)
		return out_of_memory(frame);
	void *failed = ffi_do_all(frame, sums_image, &t, dims[0], 0);
	for (long image = 1; image < dims[0]; image++)
		for (long i = 0; i < all; i++)
			t.sums[i] += t.sums[image * all + i];
	float epsilon = *(const float *)attribute(frame), *of_shift = out[0]->data;
	for (long c = 0; c < t.channels; c++)
		of_shift[c] = (float)t.sums[c];
	for (long i = 0; i < t.outputs; i++) {
		const float *variance = in[3 + 3 * i]->data;
		float *of_scale = out[1 + i]->data;
		for (long c = 0; c < t.channels; c++)
			of_scale[c] = (float)(t.sums[(1 + i) * t.channels + c] / sqrt((double)variance[c] + epsilon));
	}
	free(t.sums);
	return failed;
}

bool conv_gradients_fits(const struct ffi_frame *frame) {
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	struct conv c;
	int64_t results = frame->results.size;
	if ((results != 1 && results != 2) || !has_arguments(frame, 9, results, FFI_F32) || !describe(&c, in[0], in[1], in[2]) || c.in_step != 1)
		return false;
	static const int vectors[] = {3, 4, 5, 7, 8};
	for (int i = 0; i < 5; i++)
		if (!is_vector(in[vectors[i]], in[2]))
			return false;
	return has_shape(in[6], 4, in[2]->dims) && has_shape(out[0], 4, in[1]->dims) &&
		(results == 1 || (is_map(in[0]) && has_shape(out[1], 4, in[0]->dims)));
}

bool relu_conv_gradients_fits(const struct ffi_frame *frame) { return conv_gradients_fits(frame) && is_map(frame->args.buffers[0]); }

// backwards returns the convolution from the gradient of the output to that of the input.
static struct conv backwards(const struct conv *c) {
	return (struct conv){
		.taps = c->taps, .images = c->images, .in_rows = c->rows, .in_cols = c->cols, .in = c->out, .in_step = c->out_step,
		.rows = c->in_rows, .cols = c->in_cols, .out = c->in, .out_step = 1,
	};
}

// turn computes the weights of backwards(c): the taps in reverse order, and input and output channels swapped.
static void turn(const struct conv *c, const float *w, float *turned) {
	long taps = c->taps * c->taps, n = c->in * c->out;
	for (long t = 0; t < taps; t++)
		for (long k = 0; k < c->in; k++)
			for (long o = 0; o < c->out; o++)
				turned[(taps - 1 - t) * n + o * c->in + k] = w[t * n + k * c->out + o];
}

// has_tiled_gradients reports whether the gradients of the weights are computed from tiles. With few channels that
// is not faster.
static bool has_tiled_gradients(const struct conv *c) { return winograd_can(c) && c->in * c->out > 16 * 32; }

// gradients_of returns the number of gradients of weights that are summed up: of transformed ones, if any.
static long gradients_of(const struct layer_gradients *l) {
	return has_tiled_gradients(&l->shape) ? winograd_weights(&l->shape) : weights_of(&l->shape);
}

// gradients_scratch divides scratch memory: it sets where each part begins, and returns the size of all.
// The parts are the padded input, dz, the padded dz, and the tiles of both convolutions.
enum { PARTS = 5 };
static size_t gradients_scratch(const struct layer_gradients *l, size_t begins[PARTS]) {
	const struct conv *c = &l->shape, *back = &l->back;
	bool all = l->dx != NULL;
	size_t sizes[PARTS] = {
		conv_scratch(c, l->relu), (size_t)output_of(c), all ? conv_scratch(back, false) : 0,
		has_tiled_gradients(c) ? winograd_scratch(c) : 0, all && winograd_can(back) ? winograd_scratch(back) : 0,
	};
	size_t end = 0;
	for (int i = 0; i < PARTS; i++) {
		begins[i] = end;
		end += aligned(sizes[i]);
	}
	return end;
}

static void gradients_share(void *of, long share, float *scratch) {
	const struct layer_gradients *l = of;
	const struct conv *c = &l->shape, *back = &l->back;
	bool tiled = has_tiled_gradients(c), tiled_back = l->dx != NULL && winograd_can(back);
	size_t begins[PARTS];
	gradients_scratch(l, begins);
	float *dz = scratch + begins[1], *dw = l->dw + share * gradients_of(l);
	struct winograd_tiles tiles, tiles_back;
	winograd_begin(&tiles, c, scratch + begins[3]);
	winograd_begin(&tiles_back, back, scratch + begins[4]);
	struct finish f = {.y = l->dx, .by = l->relu ? l->x : NULL};
	struct conv_output dx = {l->turned, l->dx, &f};
	for (long i = first_of(share, l->shares, c->images); i < first_of(share + 1, l->shares, c->images); i++) {
		long row, at = i * output_of(c);
		norm_gradient(l->output + at, l->dy + at, l->factor, l->slope, l->offset, dz, c->rows * c->cols, c->out);
		const float *padded = conv_pad(c, l->x + i * input_of(c), l->relu, scratch, &row);
		if (tiled)
			winograd_gradients(&tiles, c, padded, row, dz, dw);
		else
			conv_weights(c, padded, row, dz, c->cols * c->out, dw);
		if (l->dx == NULL)
			continue;
		padded = conv_pad(back, dz, false, scratch + begins[2], &row);
		if (tiled_back)
			winograd_pixels(&tiles_back, back, padded, row, i * input_of(c), &dx, 1);
		else
			conv_pixels(back, padded, row, l->turned, l->dx + i * input_of(c), &f);
	}
	if (tiled)
		winograd_flush_gradients(&tiles, dw);
	if (tiled_back)
		winograd_flush(&tiles_back, &dx, 1);
}

// ADDED is how many gradients of weights are added at once.
enum { ADDED = 4096 };

static void add_shares(void *of, long part, float *scratch) {
	(void)scratch;
	const struct layer_gradients *l = of;
	long all = gradients_of(l), end = (part + 1) * ADDED < all ? (part + 1) * ADDED : all;
	for (long p = 1; p < l->shares; p++)
		for (long i = part * ADDED; i < end; i++)
			l->dw[i] += l->dw[p * all + i];
}

// shares_of returns into how many shares of the batch the gradients of weights are divided. The sum of the
// shares is always the same, however many threads there are.
static long shares_of(const struct layer_gradients *l) {
	long weights = gradients_of(l), most = weights <= 4096 ? 64 : weights <= 16384 ? 32 : 16;
	return l->shape.images < most ? l->shape.images : most;
}

static void *gradients(struct ffi_frame *frame, bool relu) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	if (!(relu ? relu_conv_gradients_fits : conv_gradients_fits)(frame))
		return wrong_arguments(frame);
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	struct layer_gradients l = {.relu = relu, .x = in[0]->data, .output = in[2]->data, .dy = in[6]->data};
	struct conv *c = &l.shape;
	describe(c, in[0], in[1], in[2]);
	l.back = backwards(c);
	l.dx = frame->results.size == 2 ? out[1]->data : NULL;
	l.shares = shares_of(&l);
	long weights = gradients_of(&l), all = l.shares * weights; // of those, and of turned and transformed weights
	l.dw = calloc((size_t)(all + weights_of(c) + winograd_weights(c) + 3 * c->out), sizeof(float));
	if (l.dw == NULL)
		return out_of_memory(frame);
	float *turned = l.dw + all, *transformed = turned + weights_of(c);
	l.turned = turned;
	l.factor = transformed + winograd_weights(c), l.slope = l.factor + c->out, l.offset = l.slope + c->out;
	if (l.dx != NULL)
		turn(c, in[1]->data, turned);
	if (l.dx != NULL && winograd_can(&l.back)) {
		winograd_transform(&l.back, turned, transformed);
		l.turned = transformed;
	}
	float epsilon = *(const float *)attribute(frame);
	const float *scale = in[3]->data, *mean = in[4]->data, *variance = in[5]->data, *of_scale = in[7]->data, *of_shift = in[8]->data;
	double pixels = (double)(c->images * c->rows * c->cols);
	for (long o = 0; o < c->out; o++) {
		// dy with respect to the output: factor * (dy - of_shift / pixels - (y-mean) * inverse * of_scale / pixels)
		double inverse = 1 / sqrt((double)variance[o] + epsilon), factor = scale[o] * inverse, slope = -factor * inverse * of_scale[o] / pixels;
		l.factor[o] = (float)factor;
		l.slope[o] = (float)slope;
		l.offset[o] = (float)(-factor * of_shift[o] / pixels - mean[o] * slope);
	}
	size_t begins[PARTS];
	void *failed = ffi_do_all(frame, gradients_share, &l, l.shares, gradients_scratch(&l, begins));
	if (failed == NULL)
		failed = ffi_do_all(frame, add_shares, &l, (weights + ADDED - 1) / ADDED, 0);
	if (has_tiled_gradients(c))
		winograd_order(c, l.dw, out[0]->data);
	else
		conv_order(c, l.dw, out[0]->data);
	free(l.dw);
	return failed;
}

void *conv_gradients_call(struct ffi_frame *frame) { return gradients(frame, false); }
void *relu_conv_gradients_call(struct ffi_frame *frame) { return gradients(frame, true); }

// mix_describe fills in what a call of nb201.mix computes, and reports whether its arguments fit.
static bool mix_describe(const struct ffi_frame *frame, struct mix *m) {
	struct ffi_buffer **in = frame->args.buffers, *out = frame->results.buffers[0];
	int64_t args = frame->args.size, next = 0;
	if (!has_arguments(frame, args, 1, FFI_S64) || !mix_read(*(const int64_t *)attribute(frame), m) || !is_map(out))
		return false;
	for (int s = 0; s < m->sources; s++) {
		if (next + (m->normalised[s] ? 3 : 1) > args || !has_shape(in[next], 4, out->dims))
			return false;
		m->source[s] = in[next++]->data;
		if (!m->normalised[s])
			continue;
		if (!is_vector(in[next], out) || !is_vector(in[next + 1], out))
			return false;
		m->factor[s] = in[next++]->data, m->offset[s] = in[next++]->data;
	}
	for (int i = 0; i < m->terms; i++) {
		struct mix_term *t = &m->term[i];
		if (t->kind != MIX_CONVOLVED)
			continue;
		if (next + 3 > args || !describe(&t->convolution.shape, out, in[next], out) || !is_vector(in[next + 1], out) || !is_vector(in[next + 2], out))
			return false;
		t->convolution.relu = true;
		t->convolution.weights = in[next++]->data;
		t->factor = in[next++]->data, t->offset = in[next++]->data;
	}
	m->images = out->dims[0], m->rows = out->dims[1], m->cols = out->dims[2], m->channels = out->dims[3];
	m->result = out->data;
	return next == args;
}

bool mix_fits(const struct ffi_frame *frame) {
	struct mix m;
	return frame->results.size == 1 && mix_describe(frame, &m);
}

static void mix_item(void *of, long group, float *scratch) { mix_group(of, group, scratch); }

void *mix_call(struct ffi_frame *frame) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	struct mix m;
	if (frame->results.size != 1 || !mix_describe(frame, &m))
		return wrong_arguments(frame);
	if (!mix_begin(&m)) {
		mix_end(&m);
		return out_of_memory(frame);
	}
	void *failed = ffi_do_all(frame, mix_item, &m, groups_of(m.images, m.group), mix_scratch(&m));
	mix_end(&m);
	return failed;
}
