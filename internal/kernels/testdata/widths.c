// A replacement for XLA that times the kernels on a single thread: convolutions of all pairs of
// widths, and batch normalisations of all widths. A width is a number of channels.
//
//	widths ROUNDS IMAGES SIZE,... WIDTH,...
//
// Every round times every call once, so that a call's turns lie far apart and a machine that slows
// down for a while does so for all calls. It prints a line for each turn:
//
//	KERNEL TAPS STRIDE SPREAD SIZE IN OUT SECONDS
//
// SIZE is that of the larger of the two feature maps, SECONDS the CPU time. A normalisation has no
// taps (0). It prints nothing for a call that no kernel accepts.

#define _POSIX_C_SOURCE 200809L

#include "../calls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { MOST = 16 };

static struct pjrt_register_args kernels[16];
static int registered;
static struct ffi_table table = {.struct_size = sizeof table};
static float *memory[4]; // each as large as the largest feature map

static void *take(struct pjrt_register_args *args) {
	kernels[registered++] = *args;
	return NULL;
}

static void *create(struct ffi_error_args *args) {
	fprintf(stderr, "%s\n", args->message);
	exit(1);
}

static void *count(struct ffi_threads_args *args) {
	*args->threads = 1;
	return NULL;
}

static double now(void) {
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

// turn calls a kernel once without and then, for at least a millisecond, with timing, and returns
// the seconds of a call. It returns 0 if the kernel does not accept the shapes.
static double turn(const char *name, int args, int results, const struct ffi_shape *shapes, const float *epsilon) {
	int type = epsilon == NULL ? 0 : FFI_F32, kind = FFI_ATTRIBUTE_SCALAR, k = 0;
	if (!kernels_fit(name, args, results, shapes, type, epsilon))
		return 0;
	while (strcmp(kernels[k].name, name) != 0)
		k++;
	static float vectors[FFI_MOST_ARRAYS][64 * 64 * 9];
	struct ffi_buffer buffers[FFI_MOST_ARRAYS], *list[FFI_MOST_ARRAYS];
	for (int i = 0, maps = 0; i < args + results; i++) {
		const struct ffi_shape *s = &shapes[i];
		bool is_map = s->rank == 4 && s->dims[0] > 3;
		buffers[i] = (struct ffi_buffer){
			.type = FFI_F32, .rank = s->rank, .dims = (int64_t *)s->dims, .data = is_map ? memory[maps] : vectors[i],
		};
		maps += is_map;
		list[i] = &buffers[i];
	}
	struct ffi_scalar scalar = {type, (void *)epsilon}, *scalars = &scalar;
	struct ffi_frame frame = {
		.table = &table, .stage = FFI_STAGE_EXECUTE,
		.args = {.size = args, .buffers = list}, .results = {.size = results, .buffers = list + args},
		.attributes = {.size = type != 0, .kinds = &kind, .scalars = &scalars},
	};
	kernels[k].handler(&frame);
	int calls = 0;
	double start = now(), taken;
	do {
		kernels[k].handler(&frame);
		calls++;
		taken = now() - start;
	} while (taken < 1e-3);
	return taken / calls;
}

static struct ffi_shape map(long images, long size, long channels) {
	return (struct ffi_shape){4, {images, size, size, channels}};
}

static void convolution(bool weights, long images, int taps, int stride, int spread, long size, long in, long out) {
	struct ffi_shape x = map(images, size / spread, in), w = {4, {taps, taps, in, out}}, y = map(images, size / stride, out);
	struct ffi_shape shapes[] = {x, weights ? y : w, weights ? w : y};
	const char *name = weights ? "nb201.conv_weights" : "nb201.conv";
	double seconds = turn(name, 2, 1, shapes, NULL);
	if (seconds > 0)
		printf("%s %d %d %d %ld %ld %ld %g\n", name, taps, stride, spread, size, in, out, seconds);
}

static void normalisation(bool gradient, long images, long size, long channels) {
	const float epsilon = 1e-5f;
	struct ffi_shape x = map(images, size, channels), v = {1, {channels}};
	struct ffi_shape forward[] = {x, v, v, x, v, v}, backward[] = {x, v, v, v, x, x, v, v};
	const char *name = gradient ? "nb201.batch_norm_gradient" : "nb201.batch_norm";
	double seconds = turn(name, gradient ? 5 : 3, 3, gradient ? backward : forward, &epsilon);
	if (seconds > 0)
		printf("%s 0 1 1 %ld %ld %ld %g\n", name, size, channels, channels, seconds);
}

// numbers reads numbers that are separated by commas, and returns how many there are.
static int numbers(char *text, long *all) {
	int n = 0;
	for (char *word = strtok(text, ","); word != NULL && n < MOST; word = strtok(NULL, ","))
		all[n++] = atol(word);
	return n;
}

int main(int argc, char **argv) {
	if (argc != 5)
		return 2;
	long rounds = atol(argv[1]), images = atol(argv[2]), sizes[MOST], widths[MOST], largest = 0, widest = 0;
	int all_sizes = numbers(argv[3], sizes), all_widths = numbers(argv[4], widths), all;
	for (int i = 0; i < all_sizes; i++)
		largest = sizes[i] > largest ? sizes[i] : largest;
	for (int i = 0; i < all_widths; i++)
		widest = widths[i] > widest ? widths[i] : widest;
	for (int m = 0; m < 4; m++) {
		size_t n = (size_t)(images * largest * largest * widest);
		if (posix_memalign((void **)&memory[m], 64, n * sizeof(float)) != 0)
			return 1;
		for (size_t i = 0; i < n; i++)
			memory[m][i] = (float)(i % 17) - 8;
	}
	struct pjrt_ffi_extension extension = {.struct_size = sizeof extension, .kind = PJRT_EXTENSION_FFI, .register_handler = take};
	kernels_register(&extension, &all);
	table.functions[FFI_ERROR_CREATE] = (void *)create;
	table.functions[FFI_THREAD_POOL_NUM_THREADS] = (void *)count;

	static const struct {
		bool weights;
		int taps, stride, spread;
	} convolutions[] = {
		{false, 3, 1, 1}, {true, 3, 1, 1}, {false, 1, 1, 1}, {true, 1, 1, 1},
		{false, 3, 2, 1}, {true, 3, 2, 1}, {false, 3, 1, 2}, // the last is the gradient of the input of one of stride 2
	};
	for (long round = 0; round < rounds; round++)
		for (int s = 0; s < all_sizes; s++) {
			for (size_t c = 0; c < sizeof convolutions / sizeof *convolutions; c++)
				for (int o = 0; o < all_widths; o++)
					for (int i = c < 2 ? -1 : 0; i < all_widths; i++) // -1: the stem
						convolution(convolutions[c].weights, images, convolutions[c].taps, convolutions[c].stride, convolutions[c].spread,
							sizes[s], i < 0 ? 3 : widths[i], widths[o]);
			for (int gradient = 0; gradient < 2; gradient++)
				for (int w = 0; w < all_widths; w++)
					normalisation(gradient, images, sizes[s], widths[w]);
		}
	return 0;
}
