#include "arguments.h"

#include "sets.h"

void *wrong_arguments(const struct ffi_frame *frame) {
	return ffi_failure(frame, FFI_INVALID_ARGUMENT, "an nb201 kernel does not accept these arguments");
}

void *out_of_memory(const struct ffi_frame *frame) {
	return ffi_failure(frame, FFI_RESOURCE_EXHAUSTED, "out of memory in an nb201 kernel");
}

bool has_arguments(const struct ffi_frame *frame, int64_t args, int64_t results, int type) {
	const struct ffi_attributes *a = &frame->attributes;
	if (frame->args.size != args || frame->results.size != results || a->size != (type != 0))
		return false;
	return type == 0 || (a->kinds[0] == FFI_ATTRIBUTE_SCALAR && a->scalars[0]->type == type);
}

const void *attribute(const struct ffi_frame *frame) { return frame->attributes.scalars[0]->value; }

// MOST_FLOATS is more than any memory holds. Products of a few numbers that are smaller fit into 64 bits.
static const int64_t MOST_FLOATS = 1ll << 40;

// is_array4 reports whether an array is float32, has four axes, and is neither empty nor larger than any memory.
static bool is_array4(const struct ffi_buffer *x) {
	if (x->type != FFI_F32 || x->rank != 4)
		return false;
	int64_t floats = 1;
	for (int axis = 0; axis < 4; axis++) {
		if (x->dims[axis] < 1 || x->dims[axis] > MOST_FLOATS / floats)
			return false;
		floats *= x->dims[axis];
	}
	return true;
}

bool describe(struct conv *c, const struct ffi_buffer *x, const struct ffi_buffer *w, const struct ffi_buffer *y) {
	if (!is_array4(x) || !is_array4(w) || !is_array4(y))
		return false;
	c->taps = w->dims[0];
	c->images = x->dims[0], c->in_rows = x->dims[1], c->in_cols = x->dims[2], c->in = x->dims[3];
	c->rows = y->dims[1], c->cols = y->dims[2], c->out = y->dims[3];
	c->out_step = c->rows < c->in_rows ? 2 : 1;
	c->in_step = c->rows > c->in_rows ? 2 : 1;
	return y->dims[0] == c->images && (c->taps == 3 || (c->taps == 1 && c->out_step * c->in_step == 1)) &&
		w->dims[1] == c->taps && w->dims[2] == c->in && w->dims[3] == c->out &&
		c->rows * c->out_step == c->in_rows * c->in_step && c->cols * c->out_step == c->in_cols * c->in_step &&
		c->out % CHANNELS == 0;
}

bool is_map(const struct ffi_buffer *x) { return is_array4(x) && x->dims[3] % CHANNELS == 0; }

bool has_shape(const struct ffi_buffer *x, int64_t rank, const int64_t *dims) {
	return x->type == FFI_F32 && x->rank == rank && memcmp(x->dims, dims, (size_t)rank * sizeof *dims) == 0;
}

long first_of(long share, long shares, long all) { return share * all / shares; }
