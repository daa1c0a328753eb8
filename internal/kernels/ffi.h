// The part of XLA's foreign function interface that the kernels need: structs as in XLA's
// xla/ffi/api/c_api.h and xla/pjrt/c/pjrt_c_api_ffi_extension.h. Each struct contains its size, and
// new versions only append to it. TestHeader compares this file with the original, except for the
// arguments of a registration, whose header is not in any package; the plugin refuses a registration
// of another size.

#ifndef NB201_FFI_H_
#define NB201_FFI_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// The version of the interface.
enum { FFI_MAJOR = 0, FFI_MINOR = 4 };

// XLA_FFI_Api_Version.
struct ffi_version {
	size_t struct_size;
	void *extension_start;
	int major, minor;
};

// XLA_FFI_Api.
struct ffi_table {
	size_t struct_size;
	void *extension_start;
	struct ffi_version version;
	const void *internal;
	void *functions[13]; // and more
};

// Places in ffi_table.functions.
enum {
	FFI_ERROR_CREATE = 0,
	FFI_ERROR_DESTROY = 2,
	FFI_THREAD_POOL_SCHEDULE = 11,
	FFI_THREAD_POOL_NUM_THREADS = 12,
};

// XLA_FFI_Buffer.
struct ffi_buffer {
	size_t struct_size;
	void *extension_start;
	int type;
	void *data;
	int64_t rank;
	int64_t *dims;
};

enum { FFI_S64 = 5, FFI_F32 = 11 };

// The largest number of arrays in a call of a kernel, arguments and results together, and the largest
// number of axes of an array.
enum { FFI_MOST_ARRAYS = 8, FFI_MOST_AXES = 4 };

// XLA_FFI_Args, XLA_FFI_Rets. All arguments and results of the kernels are buffers.
struct ffi_buffers {
	size_t struct_size;
	void *extension_start;
	int64_t size;
	int *kinds;
	struct ffi_buffer **buffers;
};

// XLA_FFI_Scalar.
struct ffi_scalar {
	int type;
	void *value;
};

enum { FFI_ATTRIBUTE_SCALAR = 3 };

// XLA_FFI_Attrs. All attributes of the kernels are scalars.
struct ffi_attributes {
	size_t struct_size;
	void *extension_start;
	int64_t size;
	int *kinds;
	void *names;
	struct ffi_scalar **scalars;
};

// XLA_FFI_CallFrame.
struct ffi_frame {
	size_t struct_size;
	struct ffi_metadata_extension *extension_start;
	const struct ffi_table *table;
	void *context;
	int stage;
	struct ffi_buffers args, results;
	struct ffi_attributes attributes;
};

enum { FFI_STAGE_EXECUTE = 3 };

// XLA_FFI_Metadata.
struct ffi_metadata {
	size_t struct_size;
	struct ffi_version version;
	uint32_t traits;
};

// XLA_FFI_Metadata_Extension: a call with this extension requests the function's metadata.
struct ffi_metadata_extension {
	size_t struct_size;
	int kind;
	void *next;
	struct ffi_metadata *metadata;
};

enum { FFI_EXTENSION_METADATA = 1 };

// XLA_FFI_Error_Create_Args.
struct ffi_error_args {
	size_t struct_size;
	void *extension_start;
	const char *message;
	int code;
};

enum { FFI_INVALID_ARGUMENT = 3, FFI_RESOURCE_EXHAUSTED = 8 };

// XLA_FFI_Error_Destroy_Args.
struct ffi_error_destroy_args {
	size_t struct_size;
	void *extension_start;
	void *error;
};

// XLA_FFI_ThreadPool_Schedule_Args.
struct ffi_schedule_args {
	size_t struct_size;
	void *extension_start;
	void *context;
	void (*task)(void *data);
	void *data;
};

// XLA_FFI_ThreadPool_NumThreads_Args.
struct ffi_threads_args {
	size_t struct_size;
	void *extension_start;
	void *context;
	int64_t *threads; // out
};

struct pjrt_register_args;

// PJRT_FFI_Extension, an element of the list that begins at PJRT_Api.extension_start.
struct pjrt_ffi_extension {
	size_t struct_size;
	int kind;
	struct pjrt_ffi_extension *next;
	void *type_register, *user_data_add;
	void *(*register_handler)(struct pjrt_register_args *args);
};

enum { PJRT_EXTENSION_FFI = 5 };

// PJRT_FFI_Register_Handler_Args.
struct pjrt_register_args {
	size_t struct_size;
	const char *name;
	size_t name_size;
	void *(*handler)(struct ffi_frame *frame);
	const char *platform;
	size_t platform_size;
	int traits;
};

// ffi_failure makes an XLA_FFI_Error with one of the codes above.
void *ffi_failure(const struct ffi_frame *frame, int code, const char *message);

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
