// Package cudakernels computes float32 convolutions on NVIDIA GPUs with kernels in CUDA (conv.cu) and
// makes XLA call them, as package kernels does on a CPU.
//
// For maps of as few channels as these networks have, cuDNN's float32 convolutions reach a fraction
// of what a GPU's memory and tensor cores allow. shapes.h lists the maps for which there are
// kernels. [Register] registers the functions that XLA calls (calls.c), and [Replace] replaces
// operations of a program by calls. The calls launch the kernels through the CUDA driver (driver.c),
// whose library is loaded at run time. The kernels are compiled already, for GPUs of compute
// capability 8.0 and higher (kernels.fatbin, which `make cuda-kernels` makes).
package cudakernels

/*
#cgo CFLAGS: -std=c11 -O2 -pthread -I${SRCDIR}/../ffi
#cgo linux LDFLAGS: -ldl
#include "calls.h"
*/
import "C"

import (
	_ "embed"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unsafe"

	"nb201/internal/stablehlo"
)

// Version is the version of what the kernels compute, for records and checkpoints. Raise it with
// every change that may change a bit of a result.
const Version = 1

// Precision is the precision of the kernels' products: FP32 sums products of operands split into two
// TF32 numbers each, and TF32 rounds the operands.
type Precision string

// The precisions.
const (
	FP32 Precision = "fp32"
	TF32 Precision = "tf32"
)

// Capability is the lowest compute capability of a GPU that the kernels run on, 80 for 8.0.
const Capability = 80

// CapabilityOf returns the compute capability of a GPU, or 0 if the process has no such GPU. device
// counts the GPUs that are visible to the process.
func CapabilityOf(device int) int { return int(C.cuda_capability(C.int(device))) }

//go:embed kernels.fatbin
var image []byte

// Register registers the kernels with the CUDA plugin that has this list of PJRT extensions. It
// reports whether the plugin has the interface for kernels; failed is a PJRT_Error, which the caller
// frees, or nil. Call it once.
func Register(extensions unsafe.Pointer) (registered bool, failed unsafe.Pointer) {
	var taken C.int
	failed = C.cuda_register(extensions, C.CBytes(image), &taken) // the copy stays for as long as the process lives
	return taken != 0, failed
}

// forms lists everything that is replaced, as cell/network writes it for a GPU. An operation with any
// other attribute, or any other value, is left to XLA.
var forms = []struct {
	kernel     string
	ofWeights  bool
	taps       int64
	attributes map[string]string
}{
	{"conv", false, 3, convolution("[b, 0, 1, f]x[o, 0, 1, i]->[b, 0, 1, f]", 3)},
	{"conv", false, 1, convolution("[b, 0, 1, f]x[o, 0, 1, i]->[b, 0, 1, f]", 1)},
	{"input_gradient", false, 3, convolution("[b, 0, 1, f]x[i, 0, 1, o]->[b, 0, 1, f]", 3)},
	{"input_gradient", false, 1, convolution("[b, 0, 1, f]x[i, 0, 1, o]->[b, 0, 1, f]", 1)},
	{"weight_gradient", true, 3, convolution("[f, 0, 1, b]x[i, 0, 1, o]->[f, 0, 1, b]", 3)},
	{"weight_gradient", true, 1, convolution("[f, 0, 1, b]x[i, 0, 1, o]->[f, 0, 1, b]", 1)},
}

// convolution returns the attributes of a convolution of stride 1 that keeps the size of maps.
func convolution(axes string, taps int64) map[string]string {
	return stablehlo.Convolution(axes, 1, 1, 1, taps/2, taps/2)
}

// Replace replaces the convolutions of a program for which there are kernels by calls, and leaves the
// others. The program is StableHLO as go-xla writes it. counts maps names of kernels to numbers of
// calls.
func Replace(program []byte, precision Precision) (replaced []byte, counts map[string]int) {
	counts = map[string]int{}
	replaced = stablehlo.Replace(program, func(o *stablehlo.Operation, results string) (r stablehlo.Replacement, ok bool) {
		kernel, r, ok := replacement(o, results, precision)
		if ok {
			counts[kernel]++
		}
		return r, ok
	})
	return replaced, counts
}

// replacement returns the kernel for an operation, and the call that replaces it. ok is false if
// there is none.
func replacement(o *stablehlo.Operation, results string, precision Precision) (kernel string, r stablehlo.Replacement, ok bool) {
	if o.Name != "convolution" || len(o.In) != 2 || len(o.Out) != 1 || len(o.In[0]) != 4 || len(o.In[1]) != 4 || len(o.Out[0]) != 4 {
		return "", r, false
	}
	for _, f := range forms {
		x, w, y := o.In[0], o.In[1], o.Out[0]
		if f.ofWeights {
			w, y = y, w
		}
		var c C.struct_cuda_call
		if _, matches := o.Match(f.attributes); !matches || w[1] != f.taps || !slices.Equal(x, y) ||
			!bool(C.cuda_describe(&c, C.bool(f.ofWeights), C.bool(precision == TF32), (*C.int64_t)(&x[0]), (*C.int64_t)(&w[0]))) {
			continue
		}
		kernel = fmt.Sprintf("nb201.cuda.%s_%s", f.kernel, precision)
		// Kept programs of other versions have other keys, which are hashes of the text.
		config := fmt.Sprintf("version = %d : i64", Version)
		if f.ofWeights {
			r, ok = sum(o, results, int64(c.parts), kernel, config)
			return kernel, r, ok
		}
		r.Operation = o.Call(kernel, config, append([][]int{nchw}, stablehlo.RowMajor(w)...), [][]int{nchw})
		return kernel, r, true
	}
	return "", r, false
}

// nchw is the layout of a map [images, height, width, channels] in the kernels, for which XLA's other
// kernels are faster. Weights and parts of their gradients are row-major.
var nchw = []int{2, 1, 3, 0}

// result matches the text before an operation with a single result, which go-xla names by a number.
var result = regexp.MustCompile(`^[ \t]*%([0-9]+) = $`)

// sum returns a call of a kernel that computes this number of parts of a gradient of weights, and an
// operation that adds them.
func sum(o *stablehlo.Operation, results string, parts int64, kernel, config string) (r stablehlo.Replacement, ok bool) {
	match := result.FindStringSubmatch(results)
	if match == nil {
		return r, false
	}
	call := *o
	call.Out = [][]int64{append([]int64{parts}, o.Out[0]...)}
	call.OutTypes = fmt.Sprintf("tensor<%dx%s", parts, strings.TrimPrefix(o.OutTypes, "tensor<"))
	number := match[1]
	r.Before = fmt.Sprintf("%%zero_%s = \"stablehlo.constant\"() {value = dense<0.0> : tensor<f32>} : () -> tensor<f32>\n%%parts_%s = %s\n",
		number, number, call.Call(kernel, config, [][]int{nchw, nchw}, stablehlo.RowMajor(call.Out...)))
	r.Operation = fmt.Sprintf(`"stablehlo.reduce"(%%parts_%[1]s, %%zero_%[1]s) ({
^bb0(%%left_%[1]s: tensor<f32>, %%right_%[1]s: tensor<f32>):
  %%sum_%[1]s = "stablehlo.add"(%%left_%[1]s, %%right_%[1]s) : (tensor<f32>, tensor<f32>) -> tensor<f32>
  "stablehlo.return"(%%sum_%[1]s) : (tensor<f32>) -> ()
}) {dimensions = array<i64: 0>} : (%[2]s, tensor<f32>) -> %[3]s`, number, call.OutTypes, o.OutTypes)
	return r, true
}
