#include "calls.h"

#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "driver.h"
#include "ffi.h"
#include "shapes.h"

// instance describes the two kernels, for 1x1 and 3x3 taps, that are compiled for a shape of maps.
struct instance {
	int channels, size;
	int images, rows; // of a block
	int threads, split;
};

#define CONV(C, S, IMGS, ROWS, THREADS) {C, S, IMGS, ROWS, THREADS, 1},
#define WGRAD(C, S, IMGS, THREADS, SPLIT) {C, S, IMGS, S, THREADS, SPLIT},
static const struct instance convs[] = {CONVS}, wgrads[] = {WGRADS};
#undef CONV
#undef WGRAD

enum {
	NUM_CONVS = sizeof convs / sizeof *convs,
	NUM_WGRADS = sizeof wgrads / sizeof *wgrads,
	NUM_INSTANCES = NUM_CONVS + NUM_WGRADS,
	NUM_FUNCTIONS = 4 * NUM_INSTANCES, // fp32 and tf32, 1x1 and 3x3
};

static const struct instance *instance_of(int number) {
	return number < NUM_CONVS ? &convs[number] : &wgrads[number - NUM_CONVS];
}

// name_of writes the name of a function in conv.cu.
static void name_of(int function, char name[64]) {
	int number = function / 4;
	const struct instance *i = instance_of(number);
	snprintf(name, 64, "%s_%s_%d_%d_%d", number < NUM_CONVS ? "conv" : "wgrad", function % 2 ? "tf32" : "fp32", function / 2 % 2 ? 3 : 1,
		i->channels, i->size);
}

bool cuda_describe(struct cuda_call *c, bool of_weights, bool tf32, const int64_t x[4], const int64_t w[4]) {
	bool square = x[1] == x[2] && w[1] == w[2] && x[3] == w[0] && x[3] == w[3];
	if (!square || (w[1] != 1 && w[1] != 3) || x[0] < 1 || x[0] > INT_MAX)
		return false;
	for (int number = of_weights ? NUM_CONVS : 0; number < (of_weights ? NUM_INSTANCES : NUM_CONVS); number++) {
		const struct instance *i = instance_of(number);
		if (i->channels != x[3] || i->size != x[1])
			continue;
		int64_t parts = (x[0] + i->images - 1) / i->images, blocks = parts * (i->size / i->rows);
		if (blocks > INT_MAX) // the largest grid
			return false;
		*c = (struct cuda_call){
			.function = 4 * number + (w[1] == 3 ? 2 : 0) + tf32,
			.parts = (int)parts,
			.blocks = {(unsigned)blocks, (unsigned)i->split}, .threads = (unsigned)i->threads,
		};
		return true;
	}
	return false;
}

int cuda_capability(int device) {
	const struct cuda_driver *d = cuda_driver();
	int handle, major, minor;
	if (d == NULL || d->init(0) != 0 || d->device_get(&handle, device) != 0 ||
		d->device_get_attribute(&major, CUDA_CAPABILITY_MAJOR, handle) != 0 || d->device_get_attribute(&minor, CUDA_CAPABILITY_MINOR, handle) != 0)
		return 0;
	return 10 * major + minor;
}

// failure makes an XLA_FFI_Error about a function of the driver that has returned result.
static void *failure(const struct ffi_frame *frame, const char *what, const char *of, int result) {
	const char *why = NULL;
	if (cuda_driver()->error_string(result, &why) != 0 || why == NULL)
		why = "unknown error";
	char message[256];
	snprintf(message, sizeof message, "nb201's kernels: cannot %s %s: %s (CUDA error %d)", what, of, why, result);
	return ffi_failure(frame, FFI_INTERNAL, message);
}

// The kernels, and the functions that are loaded in each context, which is to say on each GPU.
static const void *kernels_image;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static struct {
	void *context;
	void *functions[NUM_FUNCTIONS];
} contexts[16];
static size_t num_contexts;

// load loads all functions in the current context. Without the attribute, which it does not need, the
// driver would load a function only when it is first launched.
static void *load(const struct ffi_frame *frame, void *functions[NUM_FUNCTIONS]) {
	const struct cuda_driver *d = cuda_driver();
	void *module;
	int result = d->module_load(&module, kernels_image);
	if (result != 0)
		return failure(frame, "load", "the kernels", result);
	for (int f = 0; f < NUM_FUNCTIONS; f++) {
		char name[64];
		int threads;
		name_of(f, name);
		if ((result = d->module_function(&functions[f], module, name)) != 0 ||
			(result = d->function_attribute(&threads, CUDA_MOST_THREADS, functions[f])) != 0)
			return failure(frame, "load", name, result);
	}
	return NULL;
}

// functions_of finds the functions of a context, which is current, and loads them if need be. XLA may
// be recording a CUDA graph, in which case loading is allowed only in the relaxed mode.
static void *functions_of(const struct ffi_frame *frame, void *context, void ***functions) {
	size_t i = 0;
	while (i < num_contexts && contexts[i].context != context)
		i++;
	if (i == sizeof contexts / sizeof *contexts)
		return ffi_failure(frame, FFI_RESOURCE_EXHAUSTED, "nb201's kernels: this process uses too many GPUs");
	*functions = contexts[i].functions;
	if (i < num_contexts)
		return NULL;
	const struct cuda_driver *d = cuda_driver();
	int mode = CUDA_CAPTURE_RELAXED;
	int result = d->exchange_capture_mode(&mode);
	if (result != 0)
		return failure(frame, "change", "the mode of recording", result);
	void *failed = load(frame, *functions);
	d->exchange_capture_mode(&mode);
	if (failed == NULL) {
		contexts[i].context = context;
		num_contexts++;
	}
	return failed;
}

// launch launches the function of a call with its arguments.
static void *launch(const struct ffi_frame *frame, const struct cuda_call *c, void **arguments) {
	const struct cuda_driver *d = cuda_driver();
	if (d == NULL)
		return ffi_failure(frame, FFI_INTERNAL, "nb201's kernels: cannot load the CUDA driver, libcuda.so.1");
	struct ffi_stream_args stream = {sizeof stream, NULL, frame->context, NULL};
	void *failed = ((void *(*)(struct ffi_stream_args *))frame->table->functions[FFI_STREAM_GET])(&stream);
	if (failed != NULL)
		return failed;
	void *context, **functions = NULL;
	int result = d->stream_context(stream.stream, &context);
	if (result == 0)
		result = d->push_context(context);
	if (result != 0)
		return failure(frame, "use", "the context of XLA's stream", result);
	pthread_mutex_lock(&mutex);
	failed = functions_of(frame, context, &functions);
	pthread_mutex_unlock(&mutex);
	if (failed == NULL) {
		result = d->launch(functions[c->function], c->blocks[0], c->blocks[1], 1, c->threads, 1, 1, 0, stream.stream, arguments, NULL);
		char name[64];
		name_of(c->function, name);
		if (result != 0)
			failed = failure(frame, "launch", name, result);
	}
	d->pop_context(&context);
	return failed;
}

// is_array reports whether a buffer is a float32 array of these dimensions.
static bool is_array(const struct ffi_buffer *b, int64_t rank, const int64_t *dims) {
	return b->type == FFI_F32 && b->rank == rank && memcmp(b->dims, dims, (size_t)rank * sizeof *dims) == 0;
}

static bool is_float32(const struct ffi_buffer *b, int64_t rank) { return b->type == FFI_F32 && b->rank == rank; }

// aligned reports whether the kernels can read an array, which they do by 16 bytes.
static bool aligned(const struct ffi_buffer *b) { return (uintptr_t)b->data % 16 == 0; }

static void *wrong_arguments(const struct ffi_frame *frame) {
	return ffi_failure(frame, FFI_INVALID_ARGUMENT, "nb201's kernels: there is none for these arguments");
}

static bool has_arrays(const struct ffi_frame *frame) { return frame->args.size == 2 && frame->results.size == 1; }

// convolve computes y from x and w.
static void *convolve(struct ffi_frame *frame, bool tf32, int order) {
	if (!ffi_is_call(frame, FFI_COMMAND_BUFFER_COMPATIBLE))
		return NULL;
	if (!has_arrays(frame))
		return wrong_arguments(frame);
	struct ffi_buffer *x = frame->args.buffers[0], *w = frame->args.buffers[1], *y = frame->results.buffers[0];
	struct cuda_call c;
	if (!is_float32(x, 4) || !is_float32(w, 4) || !is_array(y, 4, x->dims) || !cuda_describe(&c, false, tf32, x->dims, w->dims) ||
		!aligned(x) || !aligned(w) || !aligned(y))
		return wrong_arguments(frame);
	int batch = (int)x->dims[0];
	return launch(frame, &c, (void *[]){&x->data, &w->data, &y->data, &batch, &order});
}

// sum computes parts of the gradient of the weights from x and dy.
static void *sum(struct ffi_frame *frame, bool tf32) {
	if (!ffi_is_call(frame, FFI_COMMAND_BUFFER_COMPATIBLE))
		return NULL;
	if (!has_arrays(frame))
		return wrong_arguments(frame);
	struct ffi_buffer *x = frame->args.buffers[0], *dy = frame->args.buffers[1], *parts = frame->results.buffers[0];
	struct cuda_call c;
	if (!is_float32(x, 4) || !is_array(dy, 4, x->dims) || !is_float32(parts, 5) || !cuda_describe(&c, true, tf32, x->dims, parts->dims + 1) ||
		parts->dims[0] != c.parts || !aligned(x) || !aligned(dy) || !aligned(parts))
		return wrong_arguments(frame);
	int batch = (int)x->dims[0];
	return launch(frame, &c, (void *[]){&x->data, &dy->data, &parts->data, &batch});
}

static void *conv_fp32(struct ffi_frame *frame) { return convolve(frame, false, 0); }
static void *conv_tf32(struct ffi_frame *frame) { return convolve(frame, true, 0); }
static void *input_gradient_fp32(struct ffi_frame *frame) { return convolve(frame, false, 1); }
static void *input_gradient_tf32(struct ffi_frame *frame) { return convolve(frame, true, 1); }
static void *weight_gradient_fp32(struct ffi_frame *frame) { return sum(frame, false); }
static void *weight_gradient_tf32(struct ffi_frame *frame) { return sum(frame, true); }

void *cuda_register(void *extensions, const void *image, int *registered) {
	static const struct {
		const char *name;
		void *(*handler)(struct ffi_frame *);
	} all[] = {
		{"nb201.cuda.conv_fp32", conv_fp32},
		{"nb201.cuda.conv_tf32", conv_tf32},
		{"nb201.cuda.input_gradient_fp32", input_gradient_fp32},
		{"nb201.cuda.input_gradient_tf32", input_gradient_tf32},
		{"nb201.cuda.weight_gradient_fp32", weight_gradient_fp32},
		{"nb201.cuda.weight_gradient_tf32", weight_gradient_tf32},
	};
	*registered = 0;
	const struct pjrt_ffi_extension *e = ffi_find(extensions);
	if (e == NULL)
		return NULL;
	kernels_image = image;
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		void *failed = ffi_register(e, "CUDA", all[i].name, all[i].handler, FFI_COMMAND_BUFFER_COMPATIBLE);
		if (failed != NULL)
			return failed;
	}
	*registered = 1;
	return NULL;
}
