package programs

import (
	"bytes"
	"fmt"
	"os"
	"strconv"

	"nb201/internal/cudakernels"
	"nb201/internal/kernels"
)

// Kernels describes the kernels for the CPU (package kernels) that programs call in this process.
type Kernels struct {
	Version      int    `json:"version"`
	Instructions string `json:"instructions,omitempty"` // the instruction set: avx512, avx2 or plain
	Missing      string `json:"missing,omitempty"`      // why programs call no kernels; "" if they do
}

// String returns the version and the instruction set as records have them ("3 avx2"), or "none".
func (k Kernels) String() string {
	if k.Missing != "" {
		return "none"
	}
	return fmt.Sprintf("%d %s", k.Version, k.Instructions)
}

// CPUKernels returns the kernels that the process's plugin has accepted. ok is false on a GPU,
// which needs none, and before a plugin is open.
func CPUKernels() (k Kernels, ok bool) {
	opening.Lock()
	defer opening.Unlock()
	if current == nil || current.kernels == nil {
		return Kernels{}, false
	}
	return *current.kernels, true
}

// registerKernels registers the kernels with the plugin for the CPU. If the plugin refuses them,
// programs run without.
func (p *plugin) registerKernels() Kernels {
	k := Kernels{Version: kernels.Version, Instructions: kernels.Instructions()}
	registered, failed := kernels.Register(p.table.extension_start)
	if err := p.error(failed); err != nil {
		k.Missing = fmt.Sprintf("the plugin refuses them: %v", err)
	} else if !registered {
		k.Missing = "the plugin has no interface for them"
	}
	return k
}

// registerCUDAKernels registers the kernels for GPUs with the CUDA plugin. If the plugin refuses
// them, registerCUDAKernels returns why, and programs run without.
func (p *plugin) registerCUDAKernels() (missing string) {
	registered, failed := cudakernels.Register(p.table.extension_start)
	if err := p.error(failed); err != nil {
		return fmt.Sprintf("the plugin refuses them: %v", err)
	}
	if !registered {
		return "the plugin has no interface for them"
	}
	return ""
}

// withCUDAKernels replaces convolutions of a program for a GPU by calls of kernels, and reports
// whether there are any.
func (p *plugin) withCUDAKernels(text []byte, o *Options) (replaced []byte, calls bool) {
	if p.cudaMissing != "" {
		return text, false
	}
	precision := cudakernels.TF32
	if o.FullPrecision {
		precision = cudakernels.FP32
	}
	replaced, counts := cudakernels.Replace(text, precision)
	return replaced, len(counts) > 0
}

// CUDAKernels returns the version of the kernels for GPUs that the process's programs call, as records
// have it, or "none" if they call none. It returns "" on the CPU, and before a plugin is open.
func CUDAKernels() string {
	opening.Lock()
	defer opening.Unlock()
	switch {
	case current == nil || current.kernels != nil:
		return ""
	case current.cudaMissing != "" || int(current.flags.Load()) >= current.options.Load().Kernels:
		return "none"
	}
	return strconv.Itoa(cudakernels.Version)
}

// CanCallCUDAKernels reports whether a GPU runs the kernels of package cudakernels. device counts the
// GPUs that the process may use.
func CanCallCUDAKernels(device int) bool {
	return cudakernels.CapabilityOf(device) >= cudakernels.Capability
}

// Program is a program as XLA's compiler gets it, with calls of kernels.
type Program struct {
	Text    []byte         // StableHLO
	Kernels map[string]int // number of calls of each kernel, by its name
}

// Observe calls see with each program that the process's plugin for the CPU compiles, or loads
// from disk, until stop is called. The plugin must be open. see is called from the goroutines that
// compile. A second Observe replaces the first.
func Observe(see func(Program)) (stop func()) {
	opening.Lock()
	defer opening.Unlock()
	p := current
	p.observer.Store(&see)
	return func() { p.observer.Store(nil) }
}

// withKernels replaces operations of a program for the CPU by calls of kernels, and warns once if
// a network gets none.
func (p *plugin) withKernels(text []byte) []byte {
	var counts map[string]int
	text = kernels.RemoveFunctions(text)
	if p.kernels.Missing == "" {
		text, counts = kernels.Replace(text)
	}
	if why := p.kernels.missed(text, counts); why != "" {
		p.slow.Do(func() {
			fmt.Fprintf(os.Stderr, "warning: programs run slower, without nb201's kernels for the CPU: %s\n", why)
		})
	}
	if see := p.observer.Load(); see != nil {
		(*see)(Program{bytes.Clone(text), counts})
	}
	return text
}

// missed returns why no convolution of a program became a call of a kernel; counts are the
// numbers of calls. It returns "" if one did, or if the program has no convolutions. In bfloat16
// convolutions have no kernels, but batch normalisation and moves of weights do.
func (k *Kernels) missed(text []byte, counts map[string]int) string {
	switch {
	case !bytes.Contains(text, []byte("stablehlo.convolution")):
		return ""
	case k.Missing != "":
		return k.Missing
	case counts["nb201.conv"] > 0, len(counts) > 0 && bytes.Contains(text, []byte("xbf16>")):
		return ""
	}
	return "no kernel fits the convolutions of this network as they are written"
}
