// A replacement for XLA that calls the functions of calls.c, and reports on stdout what they answer.

#include "../calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ffi.h"

static struct pjrt_register_args functions[16];
static int registered;
static char *stream = "one";

// The data of the arrays, for an address that is a multiple of 16.
static struct {
	_Alignas(16) char x[16], w[16], y[16];
} data = {"x", "w", "y"};
static int shift; // of the address of w

static void *take(struct pjrt_register_args *args) {
	functions[registered++] = *args;
	return NULL;
}

static void *create(struct ffi_error_args *args) {
	printf("error %d: %s\n", args->code, args->message);
	return args; // not NULL
}

static void *get_stream(struct ffi_stream_args *args) {
	if (stream == NULL)
		return create(&(struct ffi_error_args){0, NULL, "no stream", 2});
	args->stream = stream;
	return NULL;
}

static struct ffi_table table = {.struct_size = sizeof table};

// call calls a function with two arrays x and w and a result y of these dimensions, the last axis first
// to be 0 in shorter ones.
static void call(const char *name, const int64_t x[4], int64_t rank, const int64_t w[5], int64_t result, const int64_t y[5], int type) {
	struct ffi_buffer buffers[] = {
		{.type = FFI_F32, .data = data.x, .rank = 4, .dims = (int64_t *)x},
		{.type = type, .data = data.w + shift, .rank = rank, .dims = (int64_t *)w},
		{.type = FFI_F32, .data = data.y, .rank = result, .dims = (int64_t *)y},
	};
	struct ffi_buffer *in[] = {&buffers[0], &buffers[1]}, *out[] = {&buffers[2]};
	struct ffi_frame frame = {
		.struct_size = sizeof frame, .table = &table, .stage = FFI_STAGE_EXECUTE,
		.args = {.size = 2, .buffers = in}, .results = {.size = 1, .buffers = out},
	};
	for (int i = 0; i < registered; i++)
		if (strcmp(functions[i].name, name) == 0)
			printf("%s: %s\n", name, functions[i].handler(&frame) == NULL ? "done" : "failed");
}

int main(void) {
	table.functions[FFI_ERROR_CREATE] = (void *)create;
	table.functions[FFI_STREAM_GET] = (void *)get_stream;
	printf("capability %d, %d\n", cuda_capability(0), cuda_capability(1));
	struct pjrt_ffi_extension last = {sizeof last, PJRT_EXTENSION_FFI, NULL, NULL, NULL, take}, first = {sizeof first, 1, &last, NULL, NULL, NULL};
	int taken;
	cuda_register(NULL, "kernels", &taken);
	printf("registered %d", taken);
	cuda_register(&first, "kernels", &taken);
	printf(", %d\n", taken);
	for (int i = 0; i < registered; i++) {
		struct ffi_metadata metadata = {.struct_size = sizeof metadata};
		struct ffi_metadata_extension request = {sizeof request, FFI_EXTENSION_METADATA, NULL, &metadata};
		struct ffi_frame frame = {.struct_size = sizeof frame, .extension_start = &request, .stage = FFI_STAGE_EXECUTE};
		if (functions[i].handler(&frame) != NULL || metadata.traits != 1 || functions[i].traits != 1 || metadata.version.minor != FFI_MINOR)
			printf("%s has other traits\n", functions[i].name);
		printf("%s for %.*s\n", functions[i].name, (int)functions[i].platform_size, functions[i].platform);
	}
	const int64_t map[] = {5, 16, 16, 16}, small[] = {5, 4, 4, 64}, weights[] = {16, 3, 3, 16}, parts[] = {3, 16, 3, 3, 16}, one[] = {64, 1, 1, 64};
	const int64_t few[] = {2, 16, 3, 3, 16}, others[] = {4, 16, 16, 16}, fewer[] = {1, 64, 1, 1, 64};
	call("nb201.cuda.conv_fp32", map, 4, weights, 4, map, FFI_F32);
	call("nb201.cuda.input_gradient_tf32", map, 4, weights, 4, map, FFI_F32);
	stream = "two";
	call("nb201.cuda.conv_tf32", small, 4, one, 4, small, FFI_F32);
	call("nb201.cuda.weight_gradient_fp32", map, 4, map, 5, parts, FFI_F32);
	call("nb201.cuda.weight_gradient_tf32", small, 4, small, 5, fewer, FFI_F32);
	puts("wrong:");
	call("nb201.cuda.weight_gradient_fp32", map, 4, map, 5, few, FFI_F32);
	call("nb201.cuda.weight_gradient_fp32", map, 4, map, 4, parts, FFI_F32);
	call("nb201.cuda.weight_gradient_fp32", map, 4, others, 5, parts, FFI_F32);
	call("nb201.cuda.conv_fp32", map, 4, weights, 4, others, FFI_F32);
	call("nb201.cuda.conv_fp32", map, 4, weights, 4, map, FFI_S64);
	call("nb201.cuda.conv_fp32", map, 5, parts, 4, map, FFI_F32);
	call("nb201.cuda.conv_fp32", map, 4, one, 4, map, FFI_F32);
	shift = 8;
	call("nb201.cuda.conv_fp32", map, 4, weights, 4, map, FFI_F32);
	shift = 0;
	stream = NULL;
	call("nb201.cuda.conv_fp32", map, 4, weights, 4, map, FFI_F32);
	return 0;
}
