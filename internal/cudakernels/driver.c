#include "driver.h"

#include <dlfcn.h>
#include <pthread.h>
#include <stddef.h>

static struct cuda_driver driver;
static const struct cuda_driver *loaded; // NULL: not loaded, or not complete

static void load(void) {
	void *library = dlopen("libcuda.so.1", RTLD_NOW | RTLD_LOCAL);
	if (library == NULL)
		return;
	const struct {
		const char *name;
		void *function; // of a pointer to a function
	} all[] = {
		{"cuInit", &driver.init},
		{"cuDeviceGet", &driver.device_get},
		{"cuDeviceGetAttribute", &driver.device_get_attribute},
		{"cuGetErrorString", &driver.error_string},
		{"cuCtxPushCurrent_v2", &driver.push_context},
		{"cuCtxPopCurrent_v2", &driver.pop_context},
		{"cuStreamGetCtx", &driver.stream_context},
		{"cuThreadExchangeStreamCaptureMode", &driver.exchange_capture_mode},
		{"cuModuleLoadData", &driver.module_load},
		{"cuModuleGetFunction", &driver.module_function},
		{"cuFuncGetAttribute", &driver.function_attribute},
		{"cuLaunchKernel", &driver.launch},
	};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
		void *symbol = dlsym(library, all[i].name);
		if (symbol == NULL)
			return; // the driver is too old
		*(void **)all[i].function = symbol;
	}
	loaded = &driver;
}

const struct cuda_driver *cuda_driver(void) {
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	pthread_once(&once, load);
	return loaded;
}
