#include "ffi.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "conv.h"
#include "norm.h"

static void *misshapen(const struct ffi_frame *frame) {
	return ffi_failure(frame, FFI_INVALID_ARGUMENT, "not what nb201 has a kernel for");
}

static void *no_memory(const struct ffi_frame *frame) {
	return ffi_failure(frame, FFI_RESOURCE_EXHAUSTED, "no memory for a kernel");
}

// is_call tells a call from a question what the function is, which it answers.
static bool is_call(struct ffi_frame *frame) {
	struct ffi_metadata_extension *asked = frame->extension_start;
	if (asked != NULL && asked->kind == FFI_EXTENSION_METADATA) {
		asked->metadata->version.major = 0;
		asked->metadata->version.minor = 4;
		asked->metadata->traits = 0;
		return false;
	}
	return frame->stage == FFI_STAGE_EXECUTE;
}

// attribute is the only attribute of a call, a scalar of a type; NULL where it is not so.
static const void *attribute(const struct ffi_frame *frame, int type) {
	if (frame->attributes.size != 1 || frame->attributes.kinds[0] != FFI_ATTRIBUTE_SCALAR || frame->attributes.scalars[0]->type != type)
		return NULL;
	return frame->attributes.scalars[0]->value;
}

// Sums over a batch are those of its parts: always the same parts, however many threads
// there are.
enum { PARTS = 16 };

static long first_of(long part, long all) { return part * all / PARTS; }

// conv_task is what a call for a convolution is about.
struct conv_task {
	struct conv shape;
	const float *x, *other; // the weights, or dy
	float *result; // with PARTS, one after another
};

// describe fills in the shape of a call with the input x and the output (or its gradient)
// y; w are the weights or their gradient. It returns false when they do not fit.
static bool describe(struct conv *c, const struct ffi_buffer *x, const struct ffi_buffer *w, const struct ffi_buffer *y) {
	const struct ffi_buffer *all[] = {x, w, y};
	for (int i = 0; i < 3; i++)
		if (all[i]->type != FFI_F32 || all[i]->rank != 4)
			return false;
	c->taps = w->dims[0];
	c->images = x->dims[0], c->in_rows = x->dims[1], c->in_cols = x->dims[2], c->in = x->dims[3];
	c->rows = y->dims[1], c->cols = y->dims[2], c->out = y->dims[3];
	c->out_step = c->rows < c->in_rows ? 2 : 1;
	c->in_step = c->rows > c->in_rows ? 2 : 1;
	return y->dims[0] == c->images && (c->taps == 1 || c->taps == 3) && w->dims[1] == c->taps && w->dims[2] == c->in && w->dims[3] == c->out &&
		c->rows * c->out_step == c->in_rows * c->in_step && c->cols * c->out_step == c->in_cols * c->in_step &&
		c->out % CONV_BLOCK == 0 && c->images * c->rows * c->cols * c->in > 0;
}

static void forward_image(void *of, long image, float *scratch) {
	const struct conv_task *t = of;
	conv_forward(&t->shape, t->x, t->other, t->result, image, scratch);
}

static void *forward(struct ffi_frame *frame) {
	if (!is_call(frame))
		return NULL;
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	struct conv_task t;
	if (frame->args.size != 2 || frame->results.size != 1 || !describe(&t.shape, in[0], in[1], out[0]))
		return misshapen(frame);
	t.x = in[0]->data, t.other = in[1]->data, t.result = out[0]->data;
	return ffi_do_all(frame, forward_image, &t, t.shape.images, conv_scratch(&t.shape));
}

static long weights_of(const struct conv *c) { return c->taps * c->taps * c->in * c->out; }

static void weights_part(void *of, long part, float *scratch) {
	const struct conv_task *t = of;
	for (long i = first_of(part, t->shape.images); i < first_of(part + 1, t->shape.images); i++)
		conv_weights(&t->shape, t->x, t->other, t->result + part * weights_of(&t->shape), i, scratch);
}

static void *weights(struct ffi_frame *frame) {
	if (!is_call(frame))
		return NULL;
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	struct conv_task t;
	if (frame->args.size != 2 || frame->results.size != 1 || !describe(&t.shape, in[0], out[0], in[1]))
		return misshapen(frame);
	long n = weights_of(&t.shape);
	t.x = in[0]->data, t.other = in[1]->data, t.result = calloc((size_t)(PARTS * n), sizeof(float));
	if (t.result == NULL)
		return no_memory(frame);
	void *failed = ffi_do_all(frame, weights_part, &t, PARTS, conv_scratch(&t.shape));
	float *sum = out[0]->data;
	memcpy(sum, t.result, (size_t)n * sizeof(float));
	for (long p = 1; p < PARTS; p++)
		for (long i = 0; i < n; i++)
			sum[i] += t.result[p * n + i];
	free(t.result);
	return failed;
}

// norm_task is what a call for a batch normalisation, or its gradient, is about.
struct norm_task {
	long pixels, channels;
	const float *x, *dy, *mean;
	float *result;
	float *factor, *slope, *term; // per channel
	double *first, *second; // [PARTS, channels]: means and squares, or the sums of dy and of products
};

// begin_norm fills in a task of the feature map x and gives it memory, zeros, which
// end_norm frees. It returns an XLA_FFI_Error or NULL.
static void *begin_norm(const struct ffi_frame *frame, struct norm_task *t, int64_t args, float *epsilon) {
	struct ffi_buffer **in = frame->args.buffers, **out = frame->results.buffers;
	const float *given = attribute(frame, FFI_F32);
	const struct ffi_buffer *x = in[0];
	if (frame->args.size != args || frame->results.size != 3 || given == NULL || x->rank < 2)
		return misshapen(frame);
	*epsilon = *given;
	*t = (struct norm_task){.pixels = 1, .channels = x->dims[x->rank - 1], .x = x->data, .result = out[0]->data};
	for (int64_t i = 0; i + 1 < x->rank; i++)
		t->pixels *= x->dims[i];
	for (int64_t i = 1; i < args + 3; i++) { // the map's gradient or what is made of it, and vectors of channels
		const struct ffi_buffer *b = i < args ? in[i] : out[i - args];
		if (b->type != FFI_F32 || b->dims[b->rank - 1] != t->channels || (b->rank != 1 && b->rank != x->rank))
			return misshapen(frame);
	}
	if (x->type != FFI_F32 || t->channels % NORM_BLOCK != 0 || t->pixels * t->channels == 0)
		return misshapen(frame);
	t->first = calloc((size_t)t->channels, PARTS * 2 * sizeof(double) + 3 * sizeof(float));
	if (t->first == NULL)
		return no_memory(frame);
	t->second = t->first + PARTS * t->channels;
	t->factor = (float *)(t->second + PARTS * t->channels), t->slope = t->factor + t->channels, t->term = t->slope + t->channels;
	return NULL;
}

static void end_norm(struct norm_task *t) { free(t->first); }

static struct norm_moments moments_of(const struct norm_task *t, long part) {
	return (struct norm_moments){0, t->first + part * t->channels, t->second + part * t->channels};
}

static void measure_part(void *of, long part, float *scratch) {
	(void)scratch;
	const struct norm_task *t = of;
	long from = first_of(part, t->pixels);
	struct norm_moments m = moments_of(t, part);
	norm_measure(t->x + from * t->channels, first_of(part + 1, t->pixels) - from, t->channels, &m);
}

static void scale_part(void *of, long part, float *scratch) {
	(void)scratch;
	const struct norm_task *t = of;
	long from = first_of(part, t->pixels), at = from * t->channels;
	norm_scale(t->x + at, t->factor, t->term, t->result + at, first_of(part + 1, t->pixels) - from, t->channels);
}

// normalise is batch_norm_training: of x, scale and shift it makes y, the batch's mean and
// its biased variance.
static void *normalise(struct ffi_frame *frame) {
	if (!is_call(frame))
		return NULL;
	struct norm_task t;
	float epsilon;
	void *failed = begin_norm(frame, &t, 3, &epsilon);
	if (failed != NULL)
		return failed;
	failed = ffi_do_all(frame, measure_part, &t, PARTS, 0);
	struct norm_moments all = moments_of(&t, 0);
	all.pixels = first_of(1, t.pixels);
	for (long p = 1; p < PARTS; p++) {
		struct norm_moments m = moments_of(&t, p);
		m.pixels = first_of(p + 1, t.pixels) - first_of(p, t.pixels);
		if (m.pixels > 0)
			norm_join(&all, &m, t.channels);
	}
	const float *scale = frame->args.buffers[1]->data, *shift = frame->args.buffers[2]->data;
	float *mean = frame->results.buffers[1]->data, *variance = frame->results.buffers[2]->data;
	for (long c = 0; c < t.channels; c++) {
		double exact = all.squares[c] / (double)t.pixels, factor = scale[c] / sqrt(exact + epsilon);
		mean[c] = (float)all.mean[c];
		variance[c] = (float)exact;
		t.factor[c] = (float)factor;
		t.term[c] = (float)(shift[c] - all.mean[c] * factor);
	}
	if (failed == NULL)
		failed = ffi_do_all(frame, scale_part, &t, PARTS, 0);
	end_norm(&t);
	return failed;
}

static void sums_part(void *of, long part, float *scratch) {
	(void)scratch;
	const struct norm_task *t = of;
	long from = first_of(part, t->pixels), at = from * t->channels;
	norm_sums(t->x + at, t->mean, t->dy + at, t->first + part * t->channels, t->second + part * t->channels,
		first_of(part + 1, t->pixels) - from, t->channels);
}

static void gradient_part(void *of, long part, float *scratch) {
	(void)scratch;
	const struct norm_task *t = of;
	long from = first_of(part, t->pixels), at = from * t->channels;
	norm_gradient(t->x + at, t->dy + at, t->factor, t->slope, t->term, t->result + at, first_of(part + 1, t->pixels) - from, t->channels);
}

// normalise_gradient is batch_norm_grad: of x, scale, mean, variance and dy it makes the
// gradients of x, scale and shift.
static void *normalise_gradient(struct ffi_frame *frame) {
	if (!is_call(frame))
		return NULL;
	struct norm_task t;
	float epsilon;
	void *failed = begin_norm(frame, &t, 5, &epsilon);
	if (failed != NULL)
		return failed;
	const float *scale = frame->args.buffers[1]->data, *variance = frame->args.buffers[3]->data;
	t.mean = frame->args.buffers[2]->data, t.dy = frame->args.buffers[4]->data;
	failed = ffi_do_all(frame, sums_part, &t, PARTS, 0);
	float *of_scale = frame->results.buffers[1]->data, *of_shift = frame->results.buffers[2]->data;
	for (long c = 0; c < t.channels; c++) {
		double dy = 0, products = 0, inverse = 1 / sqrt((double)variance[c] + epsilon), factor = scale[c] * inverse;
		for (long p = 0; p < PARTS; p++)
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
		failed = ffi_do_all(frame, gradient_part, &t, PARTS, 0);
	end_norm(&t);
	return failed;
}

// is_map tells whether a call makes one array of float32 of another, each of a rank.
static bool is_map(const struct ffi_frame *frame, int64_t rank) {
	return frame->args.size == 1 && frame->results.size == 1 &&
		frame->args.buffers[0]->type == FFI_F32 && frame->results.buffers[0]->type == FFI_F32 &&
		frame->args.buffers[0]->rank == rank && frame->results.buffers[0]->rank == rank;
}

// slice cuts a piece out of a vector, from the place that its attribute tells.
static void *slice(struct ffi_frame *frame) {
	if (!is_call(frame))
		return NULL;
	const int64_t *start = attribute(frame, FFI_S64);
	const struct ffi_buffer *x = frame->args.buffers[0], *y = frame->results.buffers[0];
	if (!is_map(frame, 1) || start == NULL || *start < 0 || *start + y->dims[0] > x->dims[0])
		return misshapen(frame);
	memcpy(y->data, (float *)x->data + *start, (size_t)y->dims[0] * sizeof(float));
	return NULL;
}

// reverse turns the first two axes of weights around.
static void *reverse(struct ffi_frame *frame) {
	if (!is_call(frame))
		return NULL;
	const struct ffi_buffer *x = frame->args.buffers[0], *y = frame->results.buffers[0];
	if (!is_map(frame, 4))
		return misshapen(frame);
	long taps = x->dims[0] * x->dims[1], size = x->dims[2] * x->dims[3];
	for (long t = 0; t < taps; t++)
		memcpy((float *)y->data + (taps - 1 - t) * size, (float *)x->data + t * size, (size_t)size * sizeof(float));
	return NULL;
}

// transpose exchanges the last two axes of weights.
static void *transpose(struct ffi_frame *frame) {
	if (!is_call(frame))
		return NULL;
	const struct ffi_buffer *x = frame->args.buffers[0], *y = frame->results.buffers[0];
	if (!is_map(frame, 4))
		return misshapen(frame);
	long taps = x->dims[0] * x->dims[1], rows = x->dims[2], cols = x->dims[3];
	const float *from = x->data;
	float *to = y->data;
	for (long t = 0; t < taps; t++, from += rows * cols, to += rows * cols)
		for (long i = 0; i < rows; i++)
			for (long j = 0; j < cols; j++)
				to[j * rows + i] = from[i * cols + j];
	return NULL;
}

void *kernels_register(void *extensions, int *registered) {
	*registered = 0;
	if (!conv_can())
		return NULL;
	struct pjrt_ffi_extension *e = extensions;
	while (e != NULL && e->kind != PJRT_EXTENSION_FFI)
		e = e->next;
	if (e == NULL || e->struct_size < sizeof *e)
		return NULL;
	static const struct {
		const char *name;
		void *(*handler)(struct ffi_frame *);
	} kernels[] = {
		{"nb201.conv", forward},
		{"nb201.conv_weights", weights},
		{"nb201.batch_norm", normalise},
		{"nb201.batch_norm_gradient", normalise_gradient},
		{"nb201.slice", slice},
		{"nb201.reverse", reverse},
		{"nb201.transpose", transpose},
	};
	for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++) {
		struct pjrt_register_args args = {
			.struct_size = offsetof(struct pjrt_register_args, traits) + sizeof args.traits,
			.name = kernels[i].name, .name_size = strlen(kernels[i].name),
			.handler = kernels[i].handler, .platform = "Host", .platform_size = strlen("Host"),
		};
		void *failed = e->register_handler(&args);
		if (failed != NULL)
			return failed;
	}
	*registered = 1;
	return NULL;
}
