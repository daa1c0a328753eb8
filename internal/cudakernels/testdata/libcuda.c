// A replacement for the CUDA driver that reports on stdout what it is asked for. The function that the
// variable FAIL names fails.

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int mode, kernels, failing = 719;

static int result(const char *function) {
	const char *fail = getenv("FAIL");
	return fail != NULL && strcmp(fail, function) == 0 ? failing : 0;
}

int cuInit(unsigned flags) { return result("cuInit") + (int)flags; }

int cuDeviceGet(int *device, int ordinal) {
	*device = ordinal + 7;
	return result("cuDeviceGet");
}

int cuDeviceGetAttribute(int *value, int attribute, int device) {
	*value = device == 7 ? attribute - 70 : 1; // 5.6
	return result("cuDeviceGetAttribute");
}

int cuGetErrorString(int error, const char **text) {
	*text = "something is wrong";
	return error == failing ? 0 : 1;
}

int cuCtxPushCurrent_v2(void *context) {
	printf("push %s\n", (char *)context);
	return result("cuCtxPushCurrent");
}

int cuCtxPopCurrent_v2(void **context) {
	*context = NULL;
	puts("pop");
	return 0;
}

int cuStreamGetCtx(void *stream, void **context) {
	*context = stream;
	return result("cuStreamGetCtx");
}

int cuThreadExchangeStreamCaptureMode(int *new) {
	int old = mode;
	mode = *new;
	*new = old;
	return result("cuThreadExchangeStreamCaptureMode");
}

int cuModuleLoadData(void **module, const void *image) {
	printf("load %s in mode %d\n", (const char *)image, mode);
	*module = NULL;
	return result("cuModuleLoadData");
}

int cuModuleGetFunction(void **function, void *module, const char *name) {
	(void)module;
	kernels++;
	*function = strdup(name);
	return result("cuModuleGetFunction");
}

int cuFuncGetAttribute(int *value, int attribute, void *function) {
	(void)function;
	*value = attribute;
	return result("cuFuncGetAttribute");
}

int cuLaunchKernel(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
	unsigned shared_bytes, void *stream, void **arguments, void **extra) {
	printf("launch %s of %d on %s in mode %d, %ux%ux%u blocks of %ux%ux%u threads, %u bytes%s:", (char *)function, kernels, (char *)stream, mode,
		grid_x, grid_y, grid_z, block_x, block_y, block_z, shared_bytes, extra == NULL ? "" : " and more");
	for (int i = 0; i < 3; i++)
		printf(" %s", *(char **)arguments[i]);
	printf(" %d", *(int *)arguments[3]);
	if (strncmp(function, "conv", 4) == 0)
		printf(" %d", *(int *)arguments[4]);
	puts("");
	return result("cuLaunchKernel");
}
