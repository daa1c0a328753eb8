#include "calls.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "arguments.h"
#include "conv.h"
#include "fused.h"
#include "norm.h"
#include "sets.h"

// Products and sums are rounded separately unless an intrinsic fuses them, so that the bits do not
// depend on the compiler. (GCC does so anyway with -std=c11.)
#pragma STDC FP_CONTRACT OFF

// A sum over a batch is computed in shares that are then added. The shares are always the same,
// however many threads there are, so that the result does not depend on the number of threads.
enum { SHARES = 16 };

// conv_task holds the arguments of a call for a convolution.
struct conv_task {
	struct conv shape;
	const float *x, *other; // other is the weights, or dy
	float *result; // for gradients of weights: [SHARES, weights]
};

static void forward_image(void *of, long image, float *scratch) {
	const struct conv_task *t = of;
	const struct conv *c = &t->shape;
	long row;
	const float *padded = conv_pad(c, t->x + image * input_of(c), false, scratch, &row);
	conv_pixels(c, padded, row, t->other, t->result + image * output_of(c), NULL);
}

static bool forward_fits(const struct ffi_frame *frame, struct conv *c) {
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	return has_arguments(frame, 2, 1, 0) && describe(c, in[0], in[1], out[0]);
}

static void *forward(struct ffi_frame *frame) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	struct conv_task t;
	if (!forward_fits(frame, &t.shape))
		return wrong_arguments(frame);
	t.x = in[0]->data, t.other = in[1]->data, t.result = out[0]->data;
	return ffi_do_all(frame, forward_image, &t, t.shape.images, conv_scratch(&t.shape, false));
}

static void weights_share(void *of, long share, float *scratch) {
	const struct conv_task *t = of;
	const struct conv *c = &t->shape;
	for (long i = first_of(share, SHARES, c->images), row; i < first_of(share + 1, SHARES, c->images); i++) {
		const float *padded = conv_pad(c, t->x + i * input_of(c), false, scratch, &row);
		conv_weights(c, padded, row, t->other + i * output_of(c), c->cols * c->out, t->result + share * weights_of(c));
	}
}

static bool weights_fit(const struct ffi_frame *frame, struct conv *c) {
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	return has_arguments(frame, 2, 1, 0) && describe(c, in[0], out[0], in[1]);
}

static void *weights(struct ffi_frame *frame) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	struct conv_task t;
	if (!weights_fit(frame, &t.shape))
		return wrong_arguments(frame);
	long n = weights_of(&t.shape);
	t.x = in[0]->data, t.other = in[1]->data, t.result = calloc((size_t)(SHARES * n), sizeof(float));
	if (t.result == NULL)
		return out_of_memory(frame);
	void *failed = ffi_do_all(frame, weights_share, &t, SHARES, conv_scratch(&t.shape, false));
	for (long p = 1; p < SHARES; p++)
		for (long i = 0; i < n; i++)
			t.result[i] += t.result[p * n + i];
	conv_order(&t.shape, t.result, out[0]->data);
	free(t.result);
	return failed;
}

// norm_task holds the arguments and intermediate results of a call for a batch normalisation or its
// gradient.
struct norm_task {
	long pixels, channels;
	float epsilon;
	const float *x, *dy, *mean;
	float *result;
	float *factor, *slope, *term; // per channel
	double *first, *second; // [SHARES, channels]: means and squares, or sums of dy and of products
};

// norm_fits reports whether there is a kernel for a call. The first argument and result, and the
// fifth argument, dy, if it has one, must be feature maps [images, rows, columns, channels], and all
// others vectors [channels].
static bool norm_fits(const struct ffi_frame *frame, int64_t args) {
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	if (!has_arguments(frame, args, 3, FFI_F32))
		return false;
	const struct ffi_buffer *x = in[0];
	if (!is_map(x))
		return false;
	for (int64_t i = 1; i < args + 3; i++) {
		const struct ffi_buffer *b = i < args ? in[i] : out[i - args];
		bool like_x = i == args || (args == 5 && i == 4);
		if (!(like_x ? has_shape(b, 4, x->dims) : has_shape(b, 1, &x->dims[3])))
			return false;
	}
	return true;
}

// begin_norm fills in the task of a call that norm_fits accepts, and allocates its memory, filled
// with zeros, which end_norm frees. It returns an XLA_FFI_Error or NULL.
static void *begin_norm(const struct ffi_frame *frame, struct norm_task *t) {
	const struct ffi_buffer *x = frame->args.buffers[0];
	*t = (struct norm_task){
		.pixels = x->dims[0] * x->dims[1] * x->dims[2], .channels = x->dims[3],
		.x = x->data, .result = frame->results.buffers[0]->data,
		.epsilon = *(const float *)attribute(frame),
	};
	t->first = calloc((size_t)t->channels, SHARES * 2 * sizeof(double) + 3 * sizeof(float));
	if (t->first == NULL)
		return out_of_memory(frame);
	t->second = t->first + SHARES * t->channels;
	t->factor = (float *)(t->second + SHARES * t->channels), t->slope = t->factor + t->channels, t->term = t->slope + t->channels;
	return NULL;
}

static void end_norm(struct norm_task *t) { free(t->first); }

static struct norm_moments moments_of(const struct norm_task *t, long share) {
	return (struct norm_moments){0, t->first + share * t->channels, t->second + share * t->channels};
}

static void measure_share(void *of, long share, float *scratch) {
	(void)scratch;
	const struct norm_task *t = of;
	long from = first_of(share, SHARES, t->pixels);
	struct norm_moments m = moments_of(t, share);
	norm_measure(t->x + from * t->channels, first_of(share + 1, SHARES, t->pixels) - from, t->channels, &m);
}

static void scale_share(void *of, long share, float *scratch) {
	(void)scratch;
	const struct norm_task *t = of;
	long from = first_of(share, SHARES, t->pixels), at = from * t->channels;
	norm_scale(t->x + at, t->factor, t->term, t->result + at, first_of(share + 1, SHARES, t->pixels) - from, t->channels);
}

// normalise computes batch_norm_training: from x, scale and shift it computes y, the batch's mean and
// the batch's biased variance.
static void *normalise(struct ffi_frame *frame) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	struct norm_task t;
	if (!norm_fits(frame, 3))
		return wrong_arguments(frame);
	void *failed = begin_norm(frame, &t);
	if (failed != NULL)
		return failed;
	failed = ffi_do_all(frame, measure_share, &t, SHARES, 0);
	struct norm_moments all = moments_of(&t, 0);
	all.pixels = first_of(1, SHARES, t.pixels);
	for (long p = 1; p < SHARES; p++) {
		struct norm_moments m = moments_of(&t, p);
		m.pixels = first_of(p + 1, SHARES, t.pixels) - first_of(p, SHARES, t.pixels);
		if (m.pixels > 0)
			norm_join(&all, &m, t.channels);
	}
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	norm_finish(&all, in[1]->data, in[2]->data, t.epsilon, t.channels, out[1]->data, out[2]->data, t.factor, t.term);
	if (failed == NULL)
		failed = ffi_do_all(frame, scale_share, &t, SHARES, 0);
	end_norm(&t);
	return failed;
}

static void sums_share(void *of, long share, float *scratch) {
	(void)scratch;
	const struct norm_task *t = of;
	long from = first_of(share, SHARES, t->pixels), at = from * t->channels;
	norm_sums(t->x + at, t->mean, t->dy + at, t->first + share * t->channels, t->second + share * t->channels,
		first_of(share + 1, SHARES, t->pixels) - from, t->channels);
}

static void gradient_share(void *of, long share, float *scratch) {
	(void)scratch;
	const struct norm_task *t = of;
	long from = first_of(share, SHARES, t->pixels), at = from * t->channels;
	norm_gradient(t->x + at, t->dy + at, t->factor, t->slope, t->term, t->result + at, first_of(share + 1, SHARES, t->pixels) - from, t->channels);
}

// normalise_gradient computes batch_norm_grad: from x, scale, mean, variance and dy it computes the
// gradients of x, scale and shift.
static void *normalise_gradient(struct ffi_frame *frame) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	struct norm_task t;
	if (!norm_fits(frame, 5))
		return wrong_arguments(frame);
	void *failed = begin_norm(frame, &t);
	if (failed != NULL)
		return failed;
	const float *scale = frame->args.buffers[1]->data, *variance = frame->args.buffers[3]->data;
	t.mean = frame->args.buffers[2]->data, t.dy = frame->args.buffers[4]->data;
	failed = ffi_do_all(frame, sums_share, &t, SHARES, 0);
	float *of_scale = frame->results.buffers[1]->data, *of_shift = frame->results.buffers[2]->data;
	for (long c = 0; c < t.channels; c++) {
		double dy = 0, products = 0, inverse = 1 / sqrt((double)variance[c] + t.epsilon), factor = scale[c] * inverse;
		for (long p = 0; p < SHARES; p++)
			dy += t.first[p * t.channels + c], products += t.second[p * t.channels + c];
		// dx = factor * (dy - sum of dy / pixels - (x-mean) * inverse^2 * sum of products / pixels)
		double slope = -factor * inverse * inverse * products / (double)t.pixels;
		of_scale[c] = (float)(products * inverse);
		of_shift[c] = (float)dy;
		t.factor[c] = (float)factor;
		t.slope[c] = (float)slope;
		t.term[c] = (float)(-factor * dy / (double)t.pixels - t.mean[c] * slope);
	}
	if (failed == NULL)
		failed = ffi_do_all(frame, gradient_share, &t, SHARES, 0);
	end_norm(&t);
	return failed;
}

// moves reports whether a call maps one float32 array to another, both of this rank, with an
// attribute of a type (0: none).
static bool moves(const struct ffi_frame *frame, int64_t rank, int type) {
	if (!has_arguments(frame, 1, 1, type))
		return false;
	const struct ffi_buffer *x = frame->args.buffers[0], *y = frame->results.buffers[0];
	return x->type == FFI_F32 && y->type == FFI_F32 && x->rank == rank && y->rank == rank;
}

static bool slice_fits(const struct ffi_frame *frame) {
	if (!moves(frame, 1, FFI_S64))
		return false;
	int64_t start = *(const int64_t *)attribute(frame), all = frame->args.buffers[0]->dims[0], made = frame->results.buffers[0]->dims[0];
	return start >= 0 && made <= all && start <= all - made;
}

// slice copies a piece of a vector that begins at the index in the attribute.
static void *slice(struct ffi_frame *frame) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	if (!slice_fits(frame))
		return wrong_arguments(frame);
	const struct ffi_buffer *x = frame->args.buffers[0], *y = frame->results.buffers[0];
	memcpy(y->data, (float *)x->data + *(const int64_t *)attribute(frame), (size_t)y->dims[0] * sizeof(float));
	return NULL;
}

static bool reverse_fits(const struct ffi_frame *frame) {
	return moves(frame, 4, 0) &&
		memcmp(frame->args.buffers[0]->dims, frame->results.buffers[0]->dims, 4 * sizeof(int64_t)) == 0;
}

// reverse reverses the first two axes of weights.
static void *reverse(struct ffi_frame *frame) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	if (!reverse_fits(frame))
		return wrong_arguments(frame);
	const struct ffi_buffer *x = frame->args.buffers[0], *y = frame->results.buffers[0];
	long taps = x->dims[0] * x->dims[1], size = x->dims[2] * x->dims[3];
	for (long t = 0; t < taps; t++)
		memcpy((float *)y->data + (taps - 1 - t) * size, (float *)x->data + t * size, (size_t)size * sizeof(float));
	return NULL;
}

static bool transpose_fits(const struct ffi_frame *frame) {
	if (!moves(frame, 4, 0))
		return false;
	const int64_t *x = frame->args.buffers[0]->dims, *y = frame->results.buffers[0]->dims;
	return y[0] == x[0] && y[1] == x[1] && y[2] == x[3] && y[3] == x[2];
}

// transpose swaps the last two axes of weights.
static void *transpose(struct ffi_frame *frame) {
	if (!ffi_is_call(frame, 0))
		return NULL;
	if (!transpose_fits(frame))
		return wrong_arguments(frame);
	const struct ffi_buffer *x = frame->args.buffers[0], *y = frame->results.buffers[0];
	long taps = x->dims[0] * x->dims[1], rows = x->dims[2], cols = x->dims[3];
	const float *from = x->data;
	float *to = y->data;
	for (long t = 0; t < taps; t++, from += rows * cols, to += rows * cols)
		for (long i = 0; i < rows; i++)
			for (long j = 0; j < cols; j++)
				to[j * rows + i] = from[i * cols + j];
	return NULL;
}

static bool forward_call(const struct ffi_frame *frame) {
	struct conv c;
	return forward_fits(frame, &c);
}

static bool weights_call(const struct ffi_frame *frame) {
	struct conv c;
	return weights_fit(frame, &c);
}

static bool norm_call(const struct ffi_frame *frame) { return norm_fits(frame, 3); }
static bool norm_gradient_call(const struct ffi_frame *frame) { return norm_fits(frame, 5); }

// kernels lists everything that XLA can call: names in programs, checks of arguments, and functions.
static const struct {
	const char *name;
	bool (*fits)(const struct ffi_frame *);
	void *(*handler)(struct ffi_frame *);
} kernels[] = {
	{"nb201.conv", forward_call, forward},
	{"nb201.conv_weights", weights_call, weights},
	{"nb201.batch_norm", norm_call, normalise},
	{"nb201.batch_norm_gradient", norm_gradient_call, normalise_gradient},
	{"nb201.conv_norm", conv_norm_fits, conv_norm_call},
	{"nb201.relu_conv_norm", relu_conv_norm_fits, relu_conv_norm_call},
	{"nb201.norm_factors", norm_factors_fits, norm_factors_call},
	{"nb201.norm_sums", norm_sums_fits, norm_sums_call},
	{"nb201.conv_gradients", conv_gradients_fits, conv_gradients_call},
	{"nb201.relu_conv_gradients", relu_conv_gradients_fits, relu_conv_gradients_call},
	{"nb201.conv_scaled", conv_scaled_fits, conv_scaled_call},
	{"nb201.relu_conv_scaled", relu_conv_scaled_fits, relu_conv_scaled_call},
	{"nb201.mix", mix_fits, mix_call},
	{"nb201.slice", slice_fits, slice},
	{"nb201.reverse", reverse_fits, reverse},
	{"nb201.transpose", transpose_fits, transpose},
};

bool kernels_fit(const char *name, int args, int results, const struct ffi_shape *shapes, int type, const void *value) {
	struct ffi_buffer buffers[FFI_MOST_ARRAYS], *list[FFI_MOST_ARRAYS];
	if (args + results > FFI_MOST_ARRAYS)
		return false;
	for (int i = 0; i < args + results; i++) {
		buffers[i] = (struct ffi_buffer){.type = FFI_F32, .rank = shapes[i].rank, .dims = (int64_t *)shapes[i].dims};
		list[i] = &buffers[i];
	}
	struct ffi_scalar scalar = {type, (void *)value}, *scalars = &scalar;
	int kind = FFI_ATTRIBUTE_SCALAR;
	struct ffi_frame frame = {
		.args = {.size = args, .buffers = list}, .results = {.size = results, .buffers = list + args},
		.attributes = {.size = type != 0, .kinds = &kind, .scalars = &scalars},
	};
	for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
		if (strcmp(kernels[i].name, name) == 0)
			return kernels[i].fits(&frame);
	return false;
}

void *kernels_register(void *extensions, int *registered) {
	*registered = 0;
	const struct pjrt_ffi_extension *e = ffi_find(extensions);
	if (e == NULL)
		return NULL;
	for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
		void *failed = ffi_register(e, "Host", kernels[i].name, kernels[i].handler, 0);
		if (failed != NULL)
			return failed;
	}
	*registered = 1;
	return NULL;
}
