// A replacement for XLA that calls the kernels of several layers with different numbers of threads. It checks
// that they compute the same bits, and write all of their results and nothing else. It prints
// what is wrong.

#include "../calls.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static struct pjrt_register_args kernels[32];
static struct ffi_table table = {.struct_size = sizeof table};
static int registered, wrong;
static int64_t pool; // the number of threads

static void *take(struct pjrt_register_args *args) {
	kernels[registered++] = *args;
	return NULL;
}

static void *create(struct ffi_error_args *args) {
	printf("an error: %s\n", args->message);
	exit(1);
}

static pthread_t running[64];
static int started;

struct task {
	void (*run)(void *data);
	void *data;
};

static void *work(void *of) {
	struct task *t = of;
	t->run(t->data);
	free(t);
	return NULL;
}

static void *schedule(struct ffi_schedule_args *args) {
	struct task *t = malloc(sizeof *t);
	*t = (struct task){args->task, args->data};
	if (pthread_create(&running[started++], NULL, work, t) != 0)
		exit(1);
	return NULL;
}

static void *count(struct ffi_threads_args *args) {
	*args->threads = pool;
	return NULL;
}

enum { MOST = 16, GUARD = 64 };

// array is an array between guards, filled with numbers.
struct array {
	int64_t dims[4], rank, floats;
	float *memory, *before; // before: what the memory held before the call
};

static uint32_t state = 1;

static float number(void) {
	state = state * 1664525u + 1013904223u;
	return (float)(int32_t)state / (float)(1u << 30);
}

static struct array make(int64_t rank, const int64_t *dims) {
	struct array a = {.rank = rank, .floats = 1};
	for (int64_t i = 0; i < rank; i++)
		a.dims[i] = dims[i], a.floats *= dims[i];
	size_t all = (size_t)a.floats + 2 * GUARD;
	a.memory = malloc(all * sizeof(float)), a.before = malloc(all * sizeof(float));
	for (size_t i = 0; i < all; i++)
		a.memory[i] = number();
	if (rank == 1) // a scale or a variance
		for (size_t i = 0; i < all; i++)
			a.memory[i] += 3;
	return a;
}

static struct array maps(int64_t images, int64_t size, int64_t channels) { return make(4, (int64_t[]){images, size, size, channels}); }
static struct array vector(int64_t channels) { return make(1, &channels); }

// check calls a kernel with the first args arrays as arguments and the others as results.
static void check(const char *kernel, int type, void *value, int args, int results, struct array *arrays) {
	const struct pjrt_register_args *k = NULL;
	for (int i = 0; i < registered; i++)
		if (strcmp(kernels[i].name, kernel) == 0)
			k = &kernels[i];
	if (k == NULL) {
		printf("%s is not registered\n", kernel);
		exit(1);
	}
	struct ffi_buffer buffers[MOST], *list[MOST];
	float *first[MOST] = {NULL};
	struct ffi_scalar scalar = {type, value}, *scalars = &scalar;
	int kind = FFI_ATTRIBUTE_SCALAR;
	static const int64_t pools[] = {1, 2, 3, 8, 40};
	for (int turn = 0; turn < 5; turn++) {
		pool = pools[turn];
		for (int i = 0; i < args + results; i++) {
			struct array *a = &arrays[i];
			if (i >= args) // what was there must not matter
				for (int64_t n = 0; n < a->floats; n++)
					a->memory[GUARD + n] = number() / (turn % 2 ? 0.0f : 1.0f);
			memcpy(a->before, a->memory, ((size_t)a->floats + 2 * GUARD) * sizeof(float));
			buffers[i] = (struct ffi_buffer){.type = FFI_F32, .data = a->memory + GUARD, .rank = a->rank, .dims = a->dims};
			list[i] = &buffers[i];
		}
		struct ffi_frame frame = {
			.table = &table, .stage = FFI_STAGE_EXECUTE,
			.args = {.size = args, .buffers = list}, .results = {.size = results, .buffers = list + args},
			.attributes = {.size = type != 0, .kinds = &kind, .scalars = &scalars},
		};
		started = 0;
		void *failed = k->handler(&frame);
		for (int i = 0; i < started; i++)
			pthread_join(running[i], NULL);
		if (failed != NULL)
			printf("%s fails\n", kernel), wrong++;
		for (int i = 0; i < args + results; i++) {
			struct array *a = &arrays[i];
			size_t guard = GUARD * sizeof(float), size = (size_t)a->floats * sizeof(float);
			if (memcmp(a->memory, a->before, guard) != 0 || memcmp(a->memory + GUARD + a->floats, a->before + GUARD + a->floats, guard) != 0)
				printf("%s writes outside array %d\n", kernel, i), wrong++;
			if (i < args && memcmp(a->memory, a->before, size + 2 * guard) != 0)
				printf("%s writes argument %d\n", kernel, i), wrong++;
			if (i < args)
				continue;
			if (turn == 0) {
				first[i] = malloc(size);
				memcpy(first[i], a->memory + GUARD, size);
			} else if (memcmp(first[i], a->memory + GUARD, size) != 0)
				printf("%s: result %d of %d threads has other bits than that of one\n", kernel, i - args, (int)pool), wrong++;
		}
	}
	for (int i = 0; i < args + results; i++)
		free(first[i]), free(arrays[i].memory), free(arrays[i].before);
}

static void layers(int64_t images, int64_t size, int64_t in, int64_t out, int64_t taps, int64_t stride, int relu) {
	float epsilon = 1e-5f;
	int64_t made = size / stride;
#define X maps(images, size, in)
#define Y maps(images, made, out)
#define W make(4, (int64_t[]){taps, taps, in, out})
#define V vector(out)
	check(relu ? "nb201.relu_conv_norm" : "nb201.conv_norm", FFI_F32, &epsilon, 4, 5, (struct array[]){X, W, V, V, Y, V, V, V, V});
	check(relu ? "nb201.relu_conv_scaled" : "nb201.conv_scaled", 0, NULL, 4, 1, (struct array[]){X, W, V, V, Y});
	check("nb201.norm_factors", FFI_F32, &epsilon, 4, 2, (struct array[]){V, V, V, V, V, V});
	check(relu ? "nb201.relu_conv_gradients" : "nb201.conv_gradients", FFI_F32, &epsilon, 9, 1, (struct array[]){X, W, Y, V, V, V, Y, V, V, W});
	if (in % 8 == 0)
		check(relu ? "nb201.relu_conv_gradients" : "nb201.conv_gradients", FFI_F32, &epsilon, 9, 2, (struct array[]){X, W, Y, V, V, V, Y, V, V, W, X});
	check("nb201.norm_sums", FFI_F32, &epsilon, 7, 3, (struct array[]){Y, Y, V, V, Y, V, V, V, V, V});
	// An average of x0 plus x1; the adjoint of that of x2, plus x3 normalised; the sum of averages of both.
	int64_t code = 0;
	uint8_t terms[] = {0x20, 0x91, 0x32, 0xc3, 0x29, 0xb8};
	for (int i = 0; i < 6; i++)
		code |= (int64_t)terms[i] << (8 * i);
	check("nb201.mix", FFI_S64, &code, 6, 1, (struct array[]){Y, Y, Y, Y, V, V, Y});
	// A convolution of x0 plus its average; that of this sum by 1x1 plus x0; a convolution of the second sum.
	uint8_t convolved[] = {0x50, 0xa0, 0x58, 0x90, 0xd9};
	code = 0;
	for (int i = 0; i < 5; i++)
		code |= (int64_t)convolved[i] << (8 * i);
#define WEIGHTS(n) make(4, (int64_t[]){n, n, out, out})
	check("nb201.mix", FFI_S64, &code, 10, 1, (struct array[]){Y, WEIGHTS(taps), V, V, WEIGHTS(1), V, V, WEIGHTS(3), V, V, Y});
}

int main(void) {
	struct pjrt_ffi_extension extension = {.struct_size = sizeof extension, .kind = PJRT_EXTENSION_FFI, .register_handler = take};
	int all;
	if (kernels_register(&extension, &all) != NULL || !all)
		return 1;
	table.functions[FFI_ERROR_CREATE] = (void *)create;
	table.functions[FFI_THREAD_POOL_SCHEDULE] = (void *)schedule;
	table.functions[FFI_THREAD_POOL_NUM_THREADS] = (void *)count;
	layers(1, 1, 8, 8, 3, 1, 1);
	layers(5, 2, 16, 24, 3, 1, 1);
	layers(33, 4, 24, 8, 3, 2, 1);
	layers(5, 8, 3, 16, 3, 1, 0);
	layers(65, 1, 40, 16, 1, 1, 0);
	layers(7, 8, 64, 64, 3, 1, 1);
	layers(70, 3, 16, 16, 3, 1, 1);
	return wrong > 0;
}
