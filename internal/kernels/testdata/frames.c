// A replacement for XLA that calls the kernels in ways in which XLA should not, and refuses requests
// that XLA may refuse. It prints what is wrong.

#include "../calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pjrt_register_args kernels[16];
static struct ffi_table table = {.struct_size = sizeof table};
static int registered, created, destroyed, scheduled, wrong;
static bool refuses;

static void *take(struct pjrt_register_args *args) {
	kernels[registered++] = *args;
	return NULL;
}

static void *create(struct ffi_error_args *args) {
	(void)args;
	created++;
	return malloc(1);
}

static void destroy(struct ffi_error_destroy_args *args) {
	destroyed++;
	free(args->error);
}

static void *schedule(struct ffi_schedule_args *args) {
	scheduled++;
	if (refuses)
		return create(NULL);
	args->task(args->data);
	return NULL;
}

static void *count(struct ffi_threads_args *args) {
	*args->threads = 5;
	return NULL;
}

static void expect(bool right, const char *kernel, const char *what) {
	if (!right) {
		printf("%s: %s\n", kernel, what);
		wrong++;
	}
}

// expect_refusal checks that a call fails with one error.
static void expect_refusal(const struct pjrt_register_args *k, struct ffi_frame *frame, const char *what) {
	int before = created;
	void *error = k->handler(frame);
	expect(error != NULL && created == before + 1, k->name, what);
	free(error);
}

enum { IMAGES = 7, SIZE = 6, MOST_CHANNELS = 24, PIXELS = IMAGES * SIZE * SIZE };

// without_helpers checks that the calling thread does all the work of a convolution (kernel 0) or of
// the gradient of its weights (kernel 1) if the pool refuses to schedule helpers, and that this makes
// the same numbers.
static void without_helpers(int kernel, int channels) {
	static float x[PIXELS * MOST_CHANNELS], other[PIXELS * MOST_CHANNELS], made[2][PIXELS * MOST_CHANNELS];
	for (int i = 0; i < PIXELS * MOST_CHANNELS; i++)
		x[i] = 1.0f / (float)(1 + i % 17), other[i] = 1.0f / (float)(1 + i % 7);
	int64_t map[4] = {IMAGES, SIZE, SIZE, channels}, weights[4] = {3, 3, channels, channels};
	const struct pjrt_register_args *k = &kernels[kernel];
	for (int turn = 0; turn < 2; turn++) {
		struct ffi_buffer in[2] = {
			{.type = FFI_F32, .data = x, .rank = 4, .dims = map},
			{.type = FFI_F32, .data = other, .rank = 4, .dims = kernel == 0 ? weights : map},
		};
		struct ffi_buffer out = {.type = FFI_F32, .data = made[turn], .rank = 4, .dims = kernel == 0 ? map : weights};
		struct ffi_buffer *ins[] = {&in[0], &in[1]}, *outs[] = {&out};
		struct ffi_frame frame = {
			.table = &table, .stage = FFI_STAGE_EXECUTE,
			.args = {.size = 2, .buffers = ins}, .results = {.size = 1, .buffers = outs},
		};
		refuses = turn == 1;
		created = destroyed = scheduled = 0;
		expect(k->handler(&frame) == NULL, k->name, refuses ? "it fails without helpers" : "it fails");
		expect(scheduled == 4 && created == (refuses ? 4 : 0) && destroyed == created, k->name, "an error is lost");
	}
	expect(memcmp(made[0], made[1], sizeof made[0]) == 0, k->name, "without helpers it makes other numbers");
}

int main(void) {
	struct pjrt_ffi_extension extension = {.struct_size = sizeof extension, .kind = PJRT_EXTENSION_FFI, .register_handler = take};
	int all;
	expect(kernels_register(&extension, &all) == NULL && all, "registration", "it fails");
	table.functions[FFI_ERROR_CREATE] = (void *)create;
	table.functions[FFI_ERROR_DESTROY] = (void *)destroy;
	table.functions[FFI_THREAD_POOL_SCHEDULE] = (void *)schedule;
	table.functions[FFI_THREAD_POOL_NUM_THREADS] = (void *)count;

	// Memory that must not be read is at NULL.
	for (int i = 0; i < registered; i++) {
		struct ffi_frame frame = {.table = &table, .stage = FFI_STAGE_EXECUTE};
		expect_refusal(&kernels[i], &frame, "it takes a call without arguments");
		int64_t dims[4] = {1, 1, 1, 16};
		struct ffi_buffer buffer = {.type = FFI_F32, .rank = 4, .dims = dims}, *buffers[8];
		for (int b = 0; b < 8; b++)
			buffers[b] = &buffer;
		for (int args = 1; args < 8; args++) {
			frame.args = (struct ffi_buffers){.size = args, .buffers = buffers};
			expect_refusal(&kernels[i], &frame, "it takes a call without results");
		}
		frame.results = (struct ffi_buffers){.size = 7, .buffers = buffers};
		expect_refusal(&kernels[i], &frame, "it takes a call with other numbers of arguments and results");
		frame.stage = FFI_STAGE_EXECUTE - 1;
		expect(kernels[i].handler(&frame) == NULL, kernels[i].name, "it computes before it is executed");

		struct ffi_metadata metadata = {0};
		struct ffi_metadata_extension question = {.kind = FFI_EXTENSION_METADATA, .metadata = &metadata};
		frame.extension_start = &question;
		expect(kernels[i].handler(&frame) == NULL && metadata.version.minor == FFI_MINOR, kernels[i].name, "it does not say its version");
	}

	for (int channels = 8; channels <= MOST_CHANNELS; channels += 8) {
		without_helpers(0, channels);
		without_helpers(1, channels);
	}
	return wrong > 0;
}
