package backend

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/gomlx/compute"

	"nb201/configs"
	"nb201/internal/plugin"
	"nb201/internal/programs"
	"nb201/internal/usage"
)

// Device is where trials run: the CPU, or a GPU by its number.
type Device struct {
	kind  string // plugin.CPU or plugin.CUDA
	index int
}

var devicePattern = regexp.MustCompile(`^(cpu|cuda)(?::(\d{1,4}))?$`)

// ParseDevice parses cpu, cuda or cuda:N. Anything else is a usage error.
func ParseDevice(name string) (Device, error) {
	m := devicePattern.FindStringSubmatch(name)
	if m == nil || m[1] == plugin.CPU && m[2] != "" {
		return Device{}, usage.Errorf("unknown device %q; use cpu, cuda or cuda:N", name)
	}
	index, _ := strconv.Atoi("0" + m[2])
	return Device{m[1], index}, nil
}

// Kind returns the kind of device, [plugin.CPU] or [plugin.CUDA], which selects the plugin.
func (d Device) Kind() string { return d.kind }

func (d Device) String() string {
	if d.kind == plugin.CPU {
		return d.kind
	}
	return fmt.Sprintf("%s:%d", d.kind, d.index)
}

// Visible lists the GPUs that a batch system gave this process. devices is the value of
// CUDA_VISIBLE_DEVICES: numbers or names of GPUs, or the name of one MIG instance. Inside the
// process they are numbered from 0, whatever their names.
func Visible(devices string) ([]Device, error) {
	var visible []Device
	for name := range strings.SplitSeq(devices, ",") {
		name = strings.TrimSpace(name)
		if name == "" || name == "-1" || name == "NoDevFiles" { // CUDA ignores the rest; NoDevFiles is Slurm's word for no GPU
			break
		}
		if strings.HasPrefix(name, "MIG-") && len(visible) > 0 {
			return nil, usage.Errorf("CUDA_VISIBLE_DEVICES=%s: a process can use only one MIG instance; request one from the batch system", devices)
		}
		visible = append(visible, Device{plugin.CUDA, len(visible)})
	}
	if len(visible) == 0 {
		return nil, usage.Errorf("CUDA_VISIBLE_DEVICES=%s gives this process no GPU; request one from the batch system, or name devices", devices)
	}
	return visible, nil
}

// Opened is an open backend with the names that the record of a trial has for it.
type Opened struct {
	Backend compute.Backend
	Device  string // "cpu", or "cuda:0" with the GPU's name
	Plugin  string // the plugin's file and version
	SHA256  string // of the plugin's file, in hex
	Kernels string // version and instruction set of the CPU's kernels ("3 avx2"), or "none"; "" on a GPU
	// GPUKernels is the version of nb201's kernels that programs for a GPU call, or "none"; "" on
	// the CPU.
	GPUKernels string
}

// OpenDevice finds and opens the XLA plugin for a device, to compute in one precision. In
// [configs.TF32], a GPU rounds the operands of float32 convolutions and matrix products, as is its
// default; in the others, it computes them in full precision. A plugin that is missing, or differs from
// what was installed (see [plugin.Fingerprint]), is a usage error. A process can open one device.
func OpenDevice(d Device, precision configs.Precision) (*Opened, error) {
	if precision == configs.TF32 && d.kind == plugin.CPU {
		return nil, usage.Errorf("precision tf32 needs a GPU; use --precision fp32 or --device cuda")
	}
	found, err := plugin.Find(d.kind)
	if err != nil {
		return nil, err
	}
	sum, err := plugin.Fingerprint(found)
	if err != nil {
		return nil, err
	}
	if found.Source == plugin.FromSetup && d.kind == plugin.CPU {
		if err := setFlags(cpuFlags()); err != nil {
			return nil, err
		}
	}
	var options []string
	if found.Options != "" {
		options = append(options, found.Options)
	}
	var compiling programs.Options
	if d.kind == plugin.CUDA {
		var client []string
		if client, compiling, err = prepareCUDA(found, d.index, precision); err != nil {
			return nil, err
		}
		options = append(append(options, client...), fmt.Sprintf("visible_devices=%d", d.index))
	}
	compiling.Plugin = sum
	b, err := Open(found.Path, compiling, options...)
	if err != nil && strings.Contains(err.Error(), NoGPU) {
		return nil, usage.Errorf("the XLA plugin %s reports %q; make a GPU visible to this process "+
			"(CUDA_VISIBLE_DEVICES, the container or the batch system may hide it), or use --device cpu", found.Path, NoGPU)
	}
	if err != nil && strings.Contains(err.Error(), notLoaded) {
		remedy := fmt.Sprintf("run `%s --force`", plugin.SetupCommand(found.Device))
		if found.Source == plugin.FromEnvironment {
			remedy = "correct or unset GOMLX_BACKEND"
		}
		return nil, usage.Errorf("%w; %s", err, remedy)
	}
	if err != nil {
		return nil, err
	}
	o := &Opened{Backend: b, Device: d.String(), Plugin: found.Name(), SHA256: sum}
	if k, ok := programs.CPUKernels(); ok {
		o.Kernels = k.String()
	}
	o.GPUKernels = programs.CUDAKernels()
	if d.kind == plugin.CUDA {
		o.Device = strings.TrimSpace(o.Device + " " + programs.DeviceKind())
	}
	return o, nil
}

// NoGPU occurs in XLA's error if a CUDA plugin finds no GPU.
const NoGPU = "No visible GPU devices"

// notLoaded occurs in go-xla's error for a file that is not a plugin.
const notLoaded = "failed to load PJRT plugin"

// OnGPU reports whether b runs its programs on a GPU.
func OnGPU(b compute.Backend) bool {
	return !strings.Contains(strings.ToUpper(b.DeviceDescription(0)), "CPU")
}

// HasKernels reports whether b runs programs on a CPU that may call the kernels of package kernels.
func HasKernels(b compute.Backend) bool {
	k, ok := programs.CPUKernels()
	return ok && k.Missing == "" && !OnGPU(b)
}
