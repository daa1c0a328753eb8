#ifndef NB201_CALLS_H_
#define NB201_CALLS_H_

#include "ffi.h"

// The largest number of arrays in a call of a kernel, arguments and results together, and the largest
// number of axes of an array.
enum { FFI_MOST_ARRAYS = 32, FFI_MOST_AXES = 4 };

// ffi_do_all calls work for each item from 0 to items-1, in any order and on several threads at the
// same time. Each thread has its own scratch floats, zero at first. If XLA refuses other threads, the
// calling thread does all the work. It returns NULL, or an XLA_FFI_Error if no work was done.
void *ffi_do_all(const struct ffi_frame *frame, void (*work)(void *of, long item, float *scratch), void *of, long items, size_t scratch);

// kernels_register registers the kernels with the plugin that has these extensions. It returns a
// PJRT_Error that the caller frees, or NULL. *registered is 0 if the plugin lacks the interface for
// kernels.
void *kernels_register(void *extensions, int *registered);

// ffi_shape is the shape of a float32 array.
struct ffi_shape {
	int64_t rank;
	int64_t dims[FFI_MOST_AXES];
};

// kernels_fit reports whether the named kernel accepts a call. shapes has the shapes of the arguments,
// followed by those of the results; type is that of the scalar attribute, or 0 for none, and value
// points to it. kernels_fit uses the same check as the kernel itself when it is called.
bool kernels_fit(const char *name, int args, int results, const struct ffi_shape *shapes, int type, const void *value);

#endif
