// Checks of the arguments of calls, for the kernels of a layer and of several.

#ifndef NB201_ARGUMENTS_H_
#define NB201_ARGUMENTS_H_

#include "calls.h"
#include "conv.h"

// wrong_arguments and out_of_memory return errors.
void *wrong_arguments(const struct ffi_frame *frame);
void *out_of_memory(const struct ffi_frame *frame);

// has_arguments reports whether a call has these numbers of arguments and results, and exactly one
// attribute, a scalar of a type; type 0 means no attribute.
bool has_arguments(const struct ffi_frame *frame, int64_t args, int64_t results, int type);

// attribute returns the value of a call's only attribute.
const void *attribute(const struct ffi_frame *frame);

// is_map reports whether an array is a float32 feature map [images, rows, cols, channels] that is not empty,
// with a multiple of CHANNELS. has_shape reports whether it has this shape.
bool is_map(const struct ffi_buffer *x);
bool has_shape(const struct ffi_buffer *x, int64_t rank, const int64_t *dims);

// describe fills in the shape of a convolution with the input x and the output (or its gradient) y;
// w holds the weights or their gradient. It returns false if there is no kernel for these shapes.
bool describe(struct conv *c, const struct ffi_buffer *x, const struct ffi_buffer *w, const struct ffi_buffer *y);

// first_of returns the first of all items that belong to a share, if they are divided into this many.
long first_of(long share, long shares, long all);

#endif
