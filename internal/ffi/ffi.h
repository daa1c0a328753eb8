// The part of XLA's foreign function interface that kernels need: structs as in XLA's
// xla/ffi/api/c_api.h and xla/pjrt/c/pjrt_c_api_ffi_extension.h. Each struct contains its size, and
// new versions only append to it. TestHeader compares this file with the original, except for the
// arguments of a registration, whose header is not in any package; the plugin refuses a registration
// of another size.

#ifndef NB201_FFI_H_
#define NB201_FFI_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

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
	FFI_STREAM_GET = 4,
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

// A trait of functions: a CUDA graph may record what they launch, and repeat it.
enum { FFI_COMMAND_BUFFER_COMPATIBLE = 1 };

// XLA_FFI_Error_Create_Args.
struct ffi_error_args {
	size_t struct_size;
	void *extension_start;
	const char *message;
	int code;
};

enum { FFI_INVALID_ARGUMENT = 3, FFI_RESOURCE_EXHAUSTED = 8, FFI_INTERNAL = 13 };

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

// XLA_FFI_Stream_Get_Args.
struct ffi_stream_args {
	size_t struct_size;
	void *extension_start;
	void *context;
	void *stream; // out: for the platform CUDA a CUstream
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
static inline void *ffi_failure(const struct ffi_frame *frame, int code, const char *message) {
	struct ffi_error_args args = {sizeof args, NULL, message, code};
	return ((void *(*)(struct ffi_error_args *))frame->table->functions[FFI_ERROR_CREATE])(&args);
}

// ffi_is_call reports whether a frame is a call. If it is a request for the function's metadata
// instead, ffi_is_call answers it, with the function's traits.
static inline bool ffi_is_call(struct ffi_frame *frame, uint32_t traits) {
	struct ffi_metadata_extension *request = frame->extension_start;
	if (request != NULL && request->kind == FFI_EXTENSION_METADATA) {
		request->metadata->version.major = FFI_MAJOR;
		request->metadata->version.minor = FFI_MINOR;
		request->metadata->traits = traits;
		return false;
	}
	return frame->stage == FFI_STAGE_EXECUTE;
}

// ffi_find returns the extension for registrations in a plugin's list of extensions, or NULL.
static inline const struct pjrt_ffi_extension *ffi_find(const void *extensions) {
	const struct pjrt_ffi_extension *e = extensions;
	while (e != NULL && e->kind != PJRT_EXTENSION_FFI)
		e = e->next;
	return e == NULL || e->struct_size < sizeof *e ? NULL : e;
}

// ffi_register registers a function with these traits for a platform. It returns a PJRT_Error that
// the caller frees, or NULL.
static inline void *ffi_register(const struct pjrt_ffi_extension *e, const char *platform, const char *name,
	void *(*handler)(struct ffi_frame *frame), int traits) {
	struct pjrt_register_args args = {
		.struct_size = offsetof(struct pjrt_register_args, traits) + sizeof args.traits,
		.name = name, .name_size = strlen(name),
		.handler = handler, .platform = platform, .platform_size = strlen(platform), .traits = traits,
	};
	return e->register_handler(&args);
}

#endif
