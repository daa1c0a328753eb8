// Calls of the kernels in conv.cu.

#ifndef NB201_CUDA_CALLS_H_
#define NB201_CUDA_CALLS_H_

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

// cuda_call describes a call of a kernel.
struct cuda_call {
	int function; // an index in an array of all kernels
	int parts; // groups of images, each computed by other blocks
	unsigned blocks[2], threads;
};

// cuda_describe describes the convolution of x with weights w, or the gradient of the weights, given
// the dimensions of x and of the weights. It returns false if there is no kernel for them.
bool cuda_describe(struct cuda_call *c, bool of_weights, bool tf32, const int64_t x[4], const int64_t w[4]);

// cuda_register registers the functions that XLA calls with the plugin that has these extensions.
// image has the kernels, and must stay where it is. It returns a PJRT_Error that the caller frees, or
// NULL. *registered is 0 if the plugin lacks the interface for kernels.
void *cuda_register(void *extensions, const void *image, int *registered);

// cuda_capability returns the compute capability of a GPU, 90 for 9.0, or 0 if there is no such GPU,
// or no driver for it. device counts the GPUs that the process may use.
int cuda_capability(int device);

#endif
