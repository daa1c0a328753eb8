// The kernels that compute several layers at once: functions that XLA calls, and the checks of their arguments.

#ifndef NB201_FUSED_H_
#define NB201_FUSED_H_

#include "calls.h"

// The ReLU before a convolution needs a multiple of CHANNELS (sets.h).

// nb201.conv_norm and nb201.relu_conv_norm convolve x, or its positive part, and prepare the normalisation of
// the output y in training: from x, weights, scale and shift they compute y, its mean and biased variance,
// and the factor and offset with which factor*y + offset is the normalised output.
bool conv_norm_fits(const struct ffi_frame *frame);
bool relu_conv_norm_fits(const struct ffi_frame *frame);
void *conv_norm_call(struct ffi_frame *frame);
void *relu_conv_norm_call(struct ffi_frame *frame);

// nb201.norm_sums computes, from the gradient dy of the sum of normalised outputs and, of each, y, mean and
// variance, the gradient of their shifts, which is the same for all, and those of their scales.
bool norm_sums_fits(const struct ffi_frame *frame);
void *norm_sums_call(struct ffi_frame *frame);

// nb201.conv_gradients and nb201.relu_conv_gradients compute from x, weights, y, scale, mean, variance, the
// gradient dy of the normalised output, and those of scale and shift, the gradients of the weights and, if
// there is a second result, of x.
bool conv_gradients_fits(const struct ffi_frame *frame);
bool relu_conv_gradients_fits(const struct ffi_frame *frame);
void *conv_gradients_call(struct ffi_frame *frame);
void *relu_conv_gradients_call(struct ffi_frame *frame);

// nb201.norm_factors computes from scale, shift, running mean and running variance the factor and offset with
// which factor*y + offset is normalised in evaluation.
bool norm_factors_fits(const struct ffi_frame *frame);
void *norm_factors_call(struct ffi_frame *frame);

// nb201.conv_scaled and nb201.relu_conv_scaled convolve x, or its positive part, and normalise the output in
// evaluation: the arguments are x, weights, factor and offset.
bool conv_scaled_fits(const struct ffi_frame *frame);
bool relu_conv_scaled_fits(const struct ffi_frame *frame);
void *conv_scaled_call(struct ffi_frame *frame);
void *relu_conv_scaled_call(struct ffi_frame *frame);

// nb201.mix computes sums of maps; see mix.h. Its arguments are the sources, each normalised one with its
// factor and offset behind it, and then, for each convolved term, weights, factor and offset.
bool mix_fits(const struct ffi_frame *frame);
void *mix_call(struct ffi_frame *frame);

#endif
