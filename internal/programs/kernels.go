package programs

import (
	"bytes"
	"fmt"
	"os"

	"nb201/internal/kernels"
)

// Kernels are the kernels for the CPU (internal/kernels) that programs call in this process.
type Kernels struct {
	Version      int    `json:"version"`
	Instructions string `json:"instructions,omitempty"` // avx2
	Missing      string `json:"missing,omitempty"`      // why programs call none; "" where they do
}

// String is the version and the instruction set, as records name them, or none.
func (k Kernels) String() string {
	if k.Missing != "" {
		return "none"
	}
	return fmt.Sprintf("%d %s", k.Version, k.Instructions)
}

// CPUKernels are the kernels that the process's plugin has taken. ok is false on a GPU, which
// needs none, and before a plugin is open.
func CPUKernels() (k Kernels, ok bool) {
	opening.Lock()
	defer opening.Unlock()
	if current == nil || current.kernels == nil {
		return Kernels{}, false
	}
	return *current.kernels, true
}

// registerKernels gives the plugin for the CPU the kernels. A plugin that refuses them works
// without.
func (p *plugin) registerKernels() Kernels {
	k := Kernels{Version: kernels.Version, Instructions: kernels.Instructions()}
	if k.Instructions == "" {
		k.Missing = "the processor has no AVX2 and FMA"
		return k
	}
	registered, failed := kernels.Register(p.table.extension_start)
	if err := p.error(failed); err != nil {
		k.Missing = fmt.Sprintf("the plugin refuses them: %v", err)
	} else if !registered {
		k.Missing = "the plugin has no interface for them"
	}
	return k
}

// Program is a program as it goes to XLA's compiler, with the calls of kernels in it.
type Program struct {
	Text    []byte         // StableHLO
	Kernels map[string]int // numbers of calls by the kernel's name
}

// Observe calls see with each program that the process's plugin for the CPU, which is open,
// compiles or loads in place of it, until stop is called. It serves one caller at a time, from
// the goroutines that compile.
func Observe(see func(Program)) (stop func()) {
	opening.Lock()
	defer opening.Unlock()
	p := current
	p.observer.Store(&see)
	return func() { p.observer.Store(nil) }
}

// withKernels puts calls of kernels into a program for the CPU, and warns once where a
// network gets none.
func (p *plugin) withKernels(text []byte) []byte {
	var counts map[string]int
	if p.kernels.Missing == "" {
		text, counts = kernels.Replace(text)
	}
	if why := p.kernels.missed(text, counts); why != "" {
		p.slow.Do(func() {
			fmt.Fprintf(os.Stderr, "warning: programs run without nb201's kernels for the CPU, and slower: %s\n", why)
		})
	}
	if see := p.observer.Load(); see != nil {
		(*see)(Program{bytes.Clone(text), counts})
	}
	return text
}

// missed is why no convolution of a network got a kernel in a program that has these numbers
// of calls; "" where one did, or there is none. In bfloat16 none has a kernel, but batch
// normalisation and moves of weights do.
func (k *Kernels) missed(text []byte, counts map[string]int) string {
	switch {
	case !bytes.Contains(text, []byte("stablehlo.convolution")):
		return ""
	case k.Missing != "":
		return k.Missing
	case counts["nb201.conv"] > 0, len(counts) > 0 && bytes.Contains(text, []byte("xbf16>")):
		return ""
	}
	return "none takes the convolutions of this network in the form that they have"
}
