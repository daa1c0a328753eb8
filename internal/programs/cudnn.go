package programs

/*
#include <stdlib.h>
#include "pjrt.h"
*/
import "C"

import "unsafe"

// oneConvolution is a small program that cuDNN computes.
const oneConvolution = `func.func @main(%x: tensor<8x8x8x16xf32>, %w: tensor<3x3x16x16xf32>) -> tensor<8x8x8x16xf32> {
  %0 = "stablehlo.convolution"(%x, %w) {
    batch_group_count = 1 : i64,
    dimension_numbers = #stablehlo.conv<[b, 0, 1, f]x[0, 1, i, o]->[b, 0, 1, f]>,
    feature_group_count = 1 : i64,
    lhs_dilation = array<i64: 1, 1>,
    padding = dense<[[1, 1], [1, 1]]> : tensor<2x2xi64>,
    precision_config = [#stablehlo<precision HIGHEST>, #stablehlo<precision HIGHEST>],
    rhs_dilation = array<i64: 1, 1>,
    window_reversal = array<i1: false, false>,
    window_strides = array<i64: 1, 1>
  } : (tensor<8x8x8x16xf32>, tensor<3x3x16x16xf32>) -> tensor<8x8x8x16xf32>
  return %0 : tensor<8x8x8x16xf32>
}
`

// startCUDNN makes XLA start cuDNN, by compiling a convolution with the client and the options of
// args. XLA starts cuDNN when it first needs it, and that fails while a CUDA graph is being recorded:
// the first program of a process would fail to run if it is loaded from disk. Timing the convolution's
// kernels needs cuDNN, so the options must not name a cache of timings. Failures are ignored, since the
// program from disk then reports one.
func (p *plugin) startCUDNN(args *C.struct_pjrt_compile_args, options []byte) {
	code, memory := C.CString(oneConvolution), C.CBytes(options)
	defer C.free(unsafe.Pointer(code))
	defer C.free(memory)
	program := (*C.struct_pjrt_program)(C.malloc(C.sizeof_struct_pjrt_program))
	defer C.free(unsafe.Pointer(program))
	*program = *args.program
	program.code, program.code_size = code, C.size_t(len(oneConvolution))
	small := *args
	small.program, small.options, small.options_size = program, (*C.char)(memory), C.size_t(len(options))
	if p.error(p.call(C.PJRT_CLIENT_COMPILE, unsafe.Pointer(&small))) == nil {
		p.destroy(C.PJRT_LOADED_EXECUTABLE_DESTROY, small.executable)
	}
}
