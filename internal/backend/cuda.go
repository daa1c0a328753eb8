package backend

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"nb201/configs"
	"nb201/internal/plugin"
	"nb201/internal/programs"
	"nb201/internal/usage"
)

// FlagsVariable is the environment variable with XLA flags, as "NAME=VALUE NAME=VALUE", that
// override those with which this package compiles for a GPU. The value Off leaves XLA's defaults.
const (
	FlagsVariable = "NB201_CUDA_FLAGS"
	Off           = "off"
)

// KernelsVariable is the environment variable whose value On lets programs for a GPU call nb201's
// kernels (package cudakernels) in place of cuDNN's.
const (
	KernelsVariable = "NB201_GPU_KERNELS"
	On              = "on"
)

// The flags that this package changes from XLA's defaults for a GPU, besides the directory of
// XLA's tools.
var (
	// concurrent makes independent kernels of a CUDA graph run side by side. Convolutions that may
	// run at the same time cannot share cuDNN's workspace, so that a program needs several times
	// the memory. XLA's default orders the kernels as it schedules them.
	concurrent = programs.Flags{"xla_gpu_command_buffer_scheduling_mode": "CONCURRENT"}
	// graphs makes a whole program, including its loop, one CUDA graph, so that the host launches
	// it once instead of launching hundreds of kernels in every step. By default XLA leaves
	// cuDNN's convolutions, loops and programs of fewer than five thunks out of graphs.
	graphs = programs.Flags{
		"xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,CONVOLUTION,WHILE,CONDITIONAL",
		"xla_gpu_graph_min_graph_size":  "1",
	}
	// called is for programs that call nb201's kernels: XLA leaves a call out of graphs if it fuses
	// the call with slices of its arrays.
	called = programs.Flags{"xla_gpu_enable_dynamic_slice_fusion": "false"}
	// repeatable rules out kernels that sum in a different order each time.
	repeatable = programs.Flags{"xla_gpu_exclude_nondeterministic_ops": "true"}
	// untuned makes XLA choose kernels without timing them on a GPU.
	untuned = programs.Flags{"xla_gpu_autotune_level": "0"}
	// channelsFirst makes convolutions compute in the layout NCHW.
	channelsFirst = programs.Flags{"xla_gpu_force_conv_nchw": "true"}
)

// layout returns the flags for the layout of a precision's convolutions. In NCHW, batch normalisation
// and, in float32, cuDNN's kernels are faster, and nb201's kernels compute in it. For bfloat16 XLA's
// default is NHWC on GPUs with tensor cores.
func layout(precision configs.Precision) programs.Flags {
	if precision == configs.FP32 || precision == configs.TF32 {
		return channelsFirst
	}
	return nil
}

// prepareCUDA prepares a process to load a CUDA plugin, and returns go-xla's options and the
// options for compiling programs. If XLA refuses a set of flags, or the GPU fails to run a program
// compiled with it, for example for lack of memory, the next set is used: first those in which programs
// call nb201's kernels, with graphs in which independent kernels run side by side, and in which they do
// not. Then the same without nb201's kernels, then without graphs, then with graphs but with kernels
// whose results do not repeat, then with only the user's flags and the directory of the tools.
// gpu counts the GPUs that the process may use.
func prepareCUDA(found plugin.Plugin, gpu int, precision configs.Precision) (client []string, o programs.Options, err error) {
	client, own, tools, err := cudaSettings(found.Path, precision)
	if err != nil {
		return nil, o, err
	}
	for _, fault := range plugin.Preload(found.Path) {
		fmt.Fprintf(os.Stderr, "warning: %v\n", fault)
	}
	// XLA's cache distinguishes the other precisions by their types.
	cache := configs.FP32
	if precision == configs.TF32 {
		cache = precision
	}
	tuned, layout := programs.Flags{programs.AutotuneCache: string(cache)}, layout(precision)
	o = programs.Options{FullPrecision: precision != configs.TF32, Alone: true, Flags: []programs.Flags{mergeFlags(nil, tools)}}
	if own != nil {
		o.Flags = []programs.Flags{
			mergeFlags(own, tools, tuned, layout, graphs, concurrent, repeatable),
			mergeFlags(own, tools, tuned, layout, graphs, repeatable),
			mergeFlags(own, tools, tuned, layout, repeatable),
			mergeFlags(own, tools, tuned, layout, graphs),
			mergeFlags(own, tools),
		}
	}
	kernels, err := wantKernels()
	if kernels && programs.CanCallCUDAKernels(gpu) {
		callKernels(&o, own)
	}
	return client, o, err
}

// callKernels adds sets of flags with which programs call nb201's kernels, before the others: one for
// each of the first two.
func callKernels(o *programs.Options, own programs.Flags) {
	var calling []programs.Flags
	for _, flags := range o.Flags[:min(2, len(o.Flags))] {
		if own != nil { // not Off
			flags = mergeFlags(own, flags, called)
		}
		calling = append(calling, flags)
	}
	o.Flags, o.Kernels = append(calling, o.Flags...), len(calling)
}

// wantKernels reports whether the user lets programs for a GPU call nb201's kernels.
func wantKernels() (bool, error) {
	switch value := os.Getenv(KernelsVariable); value {
	case "", Off:
		return false, nil
	case On:
		return true, nil
	default:
		return false, usage.Errorf("%s: %q is neither %s nor %s", KernelsVariable, value, On, Off)
	}
}

// cudaSettings returns what the plugin at path is opened with, whether or not there is a GPU:
// go-xla's options, the user's flags (nil if FlagsVariable is Off) and the flags that name the
// directory of XLA's tools.
func cudaSettings(path string, precision configs.Precision) (client []string, own, tools programs.Flags, err error) {
	if client, err = cudaClient(precision == configs.TF32); err != nil {
		return nil, nil, nil, err
	}
	if own, err = readFlags(os.Getenv(FlagsVariable)); err != nil {
		return nil, nil, nil, err
	}
	tools, err = toolFlags(path, own)
	return client, own, tools, err
}

// toolFlags returns the flag that names the directory of the tools that XLA compiles with, unless
// the user's flags include it.
func toolFlags(path string, own programs.Flags) (programs.Flags, error) {
	const name = "xla_gpu_cuda_data_dir"
	if _, given := own[name]; given || slices.ContainsFunc(xlaFlags(), hasName(name)) {
		return nil, nil
	}
	t, err := plugin.FindToolkit(path)
	return programs.Flags{name: t.Directory}, err
}

// readFlags parses the value of FlagsVariable. It returns nil if that is Off.
func readFlags(text string) (programs.Flags, error) {
	if text == Off {
		return nil, nil
	}
	flags := programs.Flags{}
	for _, field := range strings.Fields(text) {
		name, value, ok := strings.Cut(strings.TrimPrefix(field, "--"), "=")
		if !ok || name == "" {
			return nil, usage.Errorf("%s: %q is not a flag; write NAME=VALUE, separated by spaces, or %s", FlagsVariable, field, Off)
		}
		flags[name] = value
	}
	return flags, nil
}

// mergeFlags merges sets of flags; later sets override earlier ones. It leaves out flags that the user
// has set in XLA_FLAGS, and own, which are the user's flags in FlagsVariable, override everything.
func mergeFlags(own programs.Flags, sets ...programs.Flags) programs.Flags {
	all := programs.Flags{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	maps.DeleteFunc(all, func(name, _ string) bool { return slices.ContainsFunc(xlaFlags(), hasName(name)) })
	maps.Copy(all, own)
	return all
}

// cudaClient returns go-xla's options for a CUDA client, and sets the environment that go-xla and
// NVIDIA's libraries read.
func cudaClient(tf32 bool) ([]string, error) {
	// go-xla would warn about libraries that are laid out as pip does.
	err := os.Setenv("GOPJRT_CUDA_CHECKS", "0")
	if !tf32 {
		// NVIDIA's libraries read this when they start. This program's operations request full
		// precision themselves; the variable covers what the libraries choose on their own.
		err = errors.Join(err, os.Setenv("NVIDIA_TF32_OVERRIDE", "0"))
	}
	return []string{fmt.Sprintf("tf32=%t", tf32)}, err
}

// Deviceless is a backend that compiles for a GPU model on a machine without one.
type Deviceless struct {
	Backend compute.Backend
	Plugin  string // the plugin's file and version
	dump    string
	last    programs.Compiled
}

// GPUs lists the GPU models that [OpenDeviceless] knows.
func GPUs() []string {
	var names []string
	for _, t := range programs.Targets() {
		names = append(names, t.Name)
	}
	return names
}

// CheckGPU returns a usage error if [OpenDeviceless] does not know a GPU model.
func CheckGPU(name string) error {
	_, err := programs.FindTarget(name)
	return err
}

// OpenDeviceless opens a CUDA plugin to compile for a GPU model (see [GPUs]); the machine need not
// have one. Programs are compiled as by [OpenDevice]'s backend, except that kernels are not chosen
// by timing them, and cannot run. A process can open one plugin. The caller closes the result. An
// unknown model and a damaged plugin are usage errors.
func OpenDeviceless(found plugin.Plugin, gpu string, precision configs.Precision) (*Deviceless, error) {
	t, err := programs.FindTarget(gpu)
	if err != nil {
		return nil, err
	}
	options, own, tools, err := cudaSettings(found.Path, precision)
	if err != nil {
		return nil, err
	}
	kernels, err := wantKernels()
	if err != nil {
		return nil, err
	}
	if _, err := plugin.Fingerprint(found); err != nil {
		return nil, err
	}
	flags := mergeFlags(nil, tools, untuned)
	if own != nil {
		flags = mergeFlags(own, tools, layout(precision), graphs, concurrent, untuned)
	}
	dump, err := os.MkdirTemp("", "nb201-dump-")
	if err != nil {
		return nil, usage.Errorf("cannot write temporary files: %w; set TMPDIR to another directory", err)
	}
	d := &Deviceless{dump: dump, Plugin: found.Name()}
	o := programs.Options{Flags: []programs.Flags{flags}, FullPrecision: precision != configs.TF32}
	if kernels {
		callKernels(&o, own)
	}
	d.Backend, err = open(found.Path, func(absolute string) error {
		return programs.InterceptFor(absolute, t, o, dump, func(c programs.Compiled) { d.last = c })
	}, options)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dump))
	}
	return d, nil
}

// Last returns the program that was compiled last.
func (d *Deviceless) Last() programs.Compiled { return d.last }

// Close removes the backend's temporary files. It may be called while a program is being compiled.
// Everything else is freed when the process ends.
func (d *Deviceless) Close() error { return os.RemoveAll(d.dump) }

// FallbackLevel returns the current fallback level; see [programs.FallbackLevel].
func FallbackLevel() int { return programs.FallbackLevel() }

// FallBack raises the fallback level after a program made at level from failed to run, with the error
// why: first it stops loading programs from disk, then it compiles with other flags. It reports whether
// the level is now above from; if it is not, there is nothing else to try.
func FallBack(from int, why error) bool { return programs.FallBack(from, why) }
