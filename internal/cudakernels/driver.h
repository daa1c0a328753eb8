// The part of the CUDA driver's interface that the kernels need. The driver's library is loaded at run
// time, since most machines have none.

#ifndef NB201_CUDA_DRIVER_H_
#define NB201_CUDA_DRIVER_H_

// The functions return a CUresult, which is 0 if they succeed. Handles are CUcontext, CUstream,
// CUmodule and CUfunction.
struct cuda_driver {
	int (*init)(unsigned flags);
	int (*device_get)(int *device, int ordinal);
	int (*device_get_attribute)(int *value, int attribute, int device);
	int (*error_string)(int result, const char **text);
	int (*push_context)(void *context);
	int (*pop_context)(void **context);
	int (*stream_context)(void *stream, void **context);
	int (*exchange_capture_mode)(int *mode);
	int (*module_load)(void **module, const void *image);
	int (*module_function)(void **function, void *module, const char *name);
	int (*function_attribute)(int *value, int attribute, void *function);
	int (*launch)(void *function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x, unsigned block_y, unsigned block_z,
		unsigned shared_bytes, void *stream, void **arguments, void **extra);
};

// CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR, CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK, and
// CU_STREAM_CAPTURE_MODE_RELAXED.
enum { CUDA_CAPABILITY_MAJOR = 75, CUDA_CAPABILITY_MINOR = 76, CUDA_MOST_THREADS = 0, CUDA_CAPTURE_RELAXED = 2 };

// cuda_driver returns the driver, or NULL if the process cannot load it.
const struct cuda_driver *cuda_driver(void);

#endif
