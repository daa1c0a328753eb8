package backend

import (
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/gomlx/compute"

	"nb201/internal/plugin"
	"nb201/internal/programs"
	"nb201/internal/usage"
)

// FlagsVariable names XLA flags that are laid over those that this package compiles with
// for a GPU, as "NAME=VALUE NAME=VALUE". Off leaves XLA's defaults.
const (
	FlagsVariable = "NB201_CUDA_FLAGS"
	Off           = "off"
)

// What this package changes of XLA's defaults for a GPU, besides where its tools are.
var (
	// graphs make one CUDA graph of a whole program, its loop included, so that the host
	// launches one thing in place of some hundred every step. By default XLA leaves cuDNN's
	// convolutions and loops out of graphs, and programs of fewer than five thunks.
	graphs = programs.Flags{
		"xla_gpu_enable_command_buffer": "FUSION,CUBLAS,CUBLASLT,CUSTOM_CALL,CUDNN,CONVOLUTION,WHILE,CONDITIONAL",
		"xla_gpu_graph_min_graph_size":  "1",
	}
	// repeatable leaves out the kernels that sum in an order of their own each time.
	repeatable = programs.Flags{"xla_gpu_exclude_nondeterministic_ops": "true"}
	// untuned chooses kernels without a GPU to time them on.
	untuned = programs.Flags{"xla_gpu_autotune_level": "0"}
)

// prepareCUDA prepares a process to load a CUDA plugin, and returns go-xla's options and how
// programs are compiled. Where XLA refuses a set of flags, or the GPU refuses what it makes
// of them, the next set is tried: first the graphs go, then the kernels that are left out,
// then everything but the place of the tools.
func prepareCUDA(found plugin.Plugin, tf32 bool) (client []string, o programs.Options, err error) {
	client, own, tools, err := cudaSettings(found.Path, tf32)
	if err != nil {
		return nil, o, err
	}
	for _, fault := range plugin.Preload(found.Path) {
		fmt.Fprintf(os.Stderr, "warning: %v\n", fault)
	}
	// Of the other precisions the types differ, by which XLA keeps what it found.
	precision := "fp32"
	if tf32 {
		precision = "tf32"
	}
	tuned := programs.Flags{programs.AutotuneCache: precision}
	o = programs.Options{FullPrecision: !tf32, Alone: true, Flags: []programs.Flags{merge(nil, tools)}}
	if own != nil {
		o.Flags = []programs.Flags{
			merge(own, tools, tuned, graphs, repeatable), merge(own, tools, tuned, repeatable),
			merge(own, tools, tuned, graphs), merge(own, tools),
		}
	}
	return client, o, nil
}

// cudaSettings are what a plugin at path is opened with, whether or not there is a GPU:
// go-xla's options, the user's flags (nil if there shall be none but XLA's) and those that
// name XLA's tools.
func cudaSettings(path string, tf32 bool) (client []string, own, tools programs.Flags, err error) {
	if client, err = cudaClient(tf32); err != nil {
		return nil, nil, nil, err
	}
	if own, err = readFlags(os.Getenv(FlagsVariable)); err != nil {
		return nil, nil, nil, err
	}
	tools, err = toolFlags(path, own)
	return client, own, tools, err
}

// toolFlags say where the tools are that XLA compiles with, unless the user's flags do.
func toolFlags(path string, own programs.Flags) (programs.Flags, error) {
	const name = "xla_gpu_cuda_data_dir"
	if _, given := own[name]; given || slices.ContainsFunc(xlaFlags(), gives(name)) {
		return nil, nil
	}
	t, err := plugin.FindToolkit(path)
	return programs.Flags{name: t.Directory}, err
}

// readFlags reads the value of FlagsVariable; nil if it is off.
func readFlags(text string) (programs.Flags, error) {
	if text == Off {
		return nil, nil
	}
	flags := programs.Flags{}
	for _, field := range strings.Fields(text) {
		name, value, ok := strings.Cut(strings.TrimPrefix(field, "--"), "=")
		if !ok || name == "" {
			return nil, usage.Errorf("%s has %q: write flags as NAME=VALUE, with blanks between them, or %s", FlagsVariable, field, Off)
		}
		flags[name] = value
	}
	return flags, nil
}

// merge lays sets of flags over one another, the later ones over the earlier ones, without
// those that the user has set in XLA_FLAGS, and the user's own over all.
func merge(own programs.Flags, sets ...programs.Flags) programs.Flags {
	all := programs.Flags{}
	for _, set := range sets {
		maps.Copy(all, set)
	}
	maps.DeleteFunc(all, func(name, _ string) bool { return slices.ContainsFunc(xlaFlags(), gives(name)) })
	maps.Copy(all, own)
	return all
}

// cudaClient are go-xla's options of a CUDA client.
func cudaClient(tf32 bool) ([]string, error) {
	// go-xla would warn of libraries that lie as pip lays them out.
	err := os.Setenv("GOPJRT_CUDA_CHECKS", "0")
	if !tf32 {
		// NVIDIA's libraries read it when they start. What this program computes asks for
		// full precision itself; this is for what they choose themselves.
		err = errors.Join(err, os.Setenv("NVIDIA_TF32_OVERRIDE", "0"))
	}
	return []string{fmt.Sprintf("tf32=%t", tf32)}, err
}

// Deviceless is a backend that compiles for a GPU model without one.
type Deviceless struct {
	Backend compute.Backend
	Plugin  string // the plugin's file and version
	dump    string
	last    programs.Compiled
}

// GPUs lists the GPU models that OpenDeviceless knows.
func GPUs() []string {
	var names []string
	for _, t := range programs.Targets() {
		names = append(names, t.Name)
	}
	return names
}

// CheckGPU refuses a GPU model that OpenDeviceless does not know, as a usage error.
func CheckGPU(name string) error {
	_, err := programs.FindTarget(name)
	return err
}

// OpenDeviceless opens a CUDA plugin to compile for a GPU model (see GPUs) on a machine
// that need not have one, as OpenDevice's backend compiles there; only the choice of
// kernels by timing them is missing. Nothing that it compiles can run. A process opens one
// plugin. The caller closes it. An unknown model and a damaged plugin are usage errors.
func OpenDeviceless(found plugin.Plugin, gpu string, tf32 bool) (*Deviceless, error) {
	t, err := programs.FindTarget(gpu)
	if err != nil {
		return nil, err
	}
	options, own, tools, err := cudaSettings(found.Path, tf32)
	if err != nil {
		return nil, err
	}
	if _, err := plugin.Fingerprint(found); err != nil {
		return nil, err
	}
	flags := merge(nil, tools, untuned)
	if own != nil {
		flags = merge(own, tools, graphs, untuned)
	}
	dump, err := os.MkdirTemp("", "nb201-dump-")
	if err != nil {
		return nil, usage.Errorf("cannot write temporary files: %w: set TMPDIR to another directory", err)
	}
	d := &Deviceless{dump: dump, Plugin: found.Name()}
	o := programs.Options{Flags: []programs.Flags{flags}, FullPrecision: !tf32}
	d.Backend, err = open(found.Path, func(absolute string) error {
		return programs.InterceptFor(absolute, t, o, dump, func(c programs.Compiled) { d.last = c })
	}, options)
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(dump))
	}
	return d, nil
}

// Last is the program that was compiled last.
func (d *Deviceless) Last() programs.Compiled { return d.last }

// Close removes what the backend has on disk. It may come while a program is being
// compiled; the rest goes with the process.
func (d *Deviceless) Close() error { return os.RemoveAll(d.dump) }

// Way numbers the way in which programs are made now; see FallBack.
func Way() int { return programs.Way() }

// FallBack makes the process make programs in another way than that of a number, for a program
// that was made in that and does not run: it compiles kept ones anew, then with other flags. It
// reports whether there is another way.
func FallBack(from int) bool { return programs.FallBack(from) }
