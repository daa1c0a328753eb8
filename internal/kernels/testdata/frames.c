// A replacement for XLA that calls the kernels in ways in which XLA should not, and refuses requests
// that XLA may refuse. It prints what is wrong.

#include "../ffi.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pjrt_register_args kernels[16];
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

int main(void) {
	struct pjrt_ffi_extension extension = {.struct_size = sizeof extension, .kind = PJRT_EXTENSION_FFI, .register_handler = take};
	int all;
	expect(kernels_register(&extension, &all) == NULL && all, "registration", "it fails");
	struct ffi_table table = {.struct_size = sizeof table};
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

	// If the pool refuses to schedule helpers, the calling thread does the work.
	enum { IMAGES = 7, SIZE = 6, CHANNELS = 16, PIXELS = IMAGES * SIZE * SIZE };
	static float x[PIXELS * CHANNELS], w[9 * CHANNELS * CHANNELS], y[2][PIXELS * CHANNELS];
	for (int i = 0; i < PIXELS * CHANNELS; i++)
		x[i] = (float)(i % 17);
	for (int i = 0; i < 9 * CHANNELS * CHANNELS; i++)
		w[i] = (float)(i % 7);
	int64_t map[4] = {IMAGES, SIZE, SIZE, CHANNELS}, weights[4] = {3, 3, CHANNELS, CHANNELS};
	for (int turn = 0; turn < 2; turn++) {
		struct ffi_buffer in[2] = {{.type = FFI_F32, .data = x, .rank = 4, .dims = map}, {.type = FFI_F32, .data = w, .rank = 4, .dims = weights}};
		struct ffi_buffer out = {.type = FFI_F32, .data = y[turn], .rank = 4, .dims = map}, *ins[] = {&in[0], &in[1]}, *outs[] = {&out};
		struct ffi_frame frame = {
			.table = &table, .stage = FFI_STAGE_EXECUTE,
			.args = {.size = 2, .buffers = ins}, .results = {.size = 1, .buffers = outs},
		};
		refuses = turn == 1;
		created = destroyed = scheduled = 0;
		expect(kernels[0].handler(&frame) == NULL, kernels[0].name, refuses ? "it fails without helpers" : "it fails");
		expect(scheduled == 4 && created == (refuses ? 4 : 0) && destroyed == created, kernels[0].name, "an error is lost");
	}
	expect(memcmp(y[0], y[1], sizeof y[0]) == 0, kernels[0].name, "without helpers it makes other numbers");
	return wrong > 0;
}
