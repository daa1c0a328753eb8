package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/crash"
	"nb201/internal/hostmem"
	"nb201/internal/layout"
	"nb201/internal/plugin"
	"nb201/internal/programs"
	"nb201/internal/quantity"
)

func newDoctorCommand() *cobra.Command {
	var root, load string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check what training needs on this machine",
		Long: `doctor checks this machine and prints a line for each thing that training uses. For what is
missing or damaged, the line says what to do.

  nb201     the versions of the program and its libraries
  machine   cores and memory
  NVIDIA    the driver and the GPUs
  plugin    XLA plugins: whether their files match their SHA-256, and whether they load
  kernels   the kernels that training on the CPU uses
  data      the datasets whose images can be read
  programs  the directory of compiled programs, and its size

doctor fails (exit code 1) if training can work neither on the CPU nor on a GPU, or if a plugin that
GOMLX_BACKEND names does not work.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if load != "" {
				loaded, err := backend.Check(load)
				if err == nil {
					err = printLoaded(cmd.OutOrStdout(), loaded)
				}
				return err
			}
			self, err := os.Executable()
			if err != nil {
				return err
			}
			d := diagnose(cmd.Context(), root, newLoader(self))
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			show := d.print
			if asJSON {
				show = func(io.Writer) error { return printJSON(cmd, d) }
			}
			if err := show(human(cmd)); err != nil {
				return err
			}
			if !d.Ready {
				return errors.New("training cannot work yet; follow the advice above")
			}
			return nil
		},
	}
	addData(cmd.Flags(), &root, dataUsage)
	cmd.Flags().BoolVar(&asJSON, "json", false, jsonUsage)
	cmd.Flags().StringVar(&load, "load", "", "load the plugin `PATH` and do nothing else")
	if err := cmd.Flags().MarkHidden("load"); err != nil {
		panic(err) // the flag does not exist
	}
	return cmd
}

// diagnosis holds the findings of doctor, as nb201 doctor --json prints them.
type diagnosis struct {
	Ready    bool          `json:"ready"` // training can work on a device
	Versions versions      `json:"versions"`
	Machine  machineState  `json:"machine"`
	Plugins  []pluginState `json:"plugins"`
	// Kernels describes the kernels that training on the CPU uses; nil if its plugin does not load.
	Kernels  *programs.Kernels `json:"kernels,omitempty"`
	Datasets []datasetState    `json:"datasets"`
	Programs programsState     `json:"programs"`
}

// versions holds the versions of the program and its main libraries.
type versions struct {
	Program string `json:"program"`
	Go      string `json:"go"`
	GoMLX   string `json:"gomlx"`
	GoXLA   string `json:"go_xla"`
}

// machineState describes the machine.
type machineState struct {
	Platform string   `json:"platform"` // GOOS/GOARCH
	Cores    int      `json:"cores"`
	Memory   int64    `json:"memory"` // bytes that this process may use; 0 if unknown
	Driver   string   `json:"nvidia_driver,omitempty"`
	GPUs     []string `json:"gpus,omitempty"`
}

// pluginState describes the plugin of a device. Path is "" if there is none.
type pluginState struct {
	plugin.Plugin
	Loaded  string          `json:"loaded,omitempty"`  // the plugin's description of itself, once loaded
	Toolkit *plugin.Toolkit `json:"toolkit,omitempty"` // with which a CUDA plugin compiles
	Problem string          `json:"problem,omitempty"` // and what to do about it

	kernels *programs.Kernels // that it accepts, once loaded
}

// datasetState describes the images of a dataset key.
type datasetState struct {
	Key     string         `json:"key"`
	Images  map[string]int `json:"images,omitempty"`  // counts, by train and the evaluation sets; nil if they cannot be read
	Problem string         `json:"problem,omitempty"` // and what to do about it
}

// programsState describes the store of compiled programs. Directory is "" if none are kept.
type programsState struct {
	Directory string `json:"directory,omitempty"`
	Kept      int    `json:"kept"`
	Bytes     int64  `json:"bytes"`
	Limit     int64  `json:"limit"`             // of Bytes
	Problem   string `json:"problem,omitempty"` // and what to do about it
}

// diagnose examines the machine. It calls load to load a plugin.
func diagnose(ctx context.Context, dataRoot string, load func(ctx context.Context, path string) (backend.Loaded, error)) diagnosis {
	d := diagnosis{
		Versions: versions{version, runtime.Version(), moduleVersion("github.com/gomlx/gomlx"), moduleVersion("github.com/gomlx/go-xla")},
		Machine:  machineState{Platform: runtime.GOOS + "/" + runtime.GOARCH, Cores: runtime.GOMAXPROCS(0)},
	}
	if m, ok := hostmem.Read(os.DirFS("/")); ok {
		d.Machine.Memory = int64(m.Total)
	}
	d.Machine.Driver, d.Machine.GPUs = plugin.Driver(ctx)
	for _, device := range plugin.Devices() {
		found, err := plugin.Find(device)
		if err == nil && slices.ContainsFunc(d.Plugins, func(p pluginState) bool { return p.Path == found.Path }) {
			continue // GOMLX_BACKEND names one plugin for both releases of CUDA
		}
		d.Plugins = append(d.Plugins, examinePlugin(ctx, device, d.Machine.Driver, load))
	}
	d.Kernels = d.Plugins[0].kernels // the CPU's
	d.Ready = slices.ContainsFunc(d.Plugins, func(p pluginState) bool { return p.Loaded != "" && p.Problem == "" }) &&
		!slices.ContainsFunc(d.Plugins, func(p pluginState) bool { return p.Source == plugin.FromEnvironment && p.Problem != "" })
	for _, key := range configs.Datasets() {
		d.Datasets = append(d.Datasets, findDataset(key, dataRoot))
	}
	d.Programs = countPrograms()
	return d
}

// examinePlugin finds, verifies and loads the plugin of a device. A CUDA plugin can load only if
// there is a driver, and its absence is a problem only if it is the best one for that driver.
func examinePlugin(ctx context.Context, device, driver string, load func(ctx context.Context, path string) (backend.Loaded, error)) pluginState {
	found, err := plugin.Find(device)
	s := pluginState{Plugin: found}
	s.Device = device
	var damaged error
	if err == nil {
		damaged = plugin.Verify(ctx, found)
	}
	wanted := device == plugin.CPU || driver != "" && device == plugin.CUDAByDriver(driver)[0]
	switch {
	case err != nil && wanted:
		s.Problem = err.Error()
	case damaged != nil:
		s.Problem = fmt.Sprintf("%v; run `%s`", damaged, plugin.SetupCommand(device))
	case err == nil && (device == plugin.CPU || driver != ""):
		loaded, err := load(ctx, found.Path)
		if err == nil {
			s.Loaded, s.kernels = loaded.Description, loaded.Kernels
		} else {
			remedy := fmt.Sprintf("run `%s --force`", plugin.SetupCommand(device))
			if found.Source == plugin.FromEnvironment {
				remedy = "correct or unset GOMLX_BACKEND"
			}
			if os.Getenv("XLA_FLAGS") != "" { // an unknown flag ends the process
				remedy = "correct or unset XLA_FLAGS, or else " + remedy
			}
			if strings.Contains(err.Error(), backend.NoGPU) { // the plugin itself works
				remedy = "give this process a GPU: check CUDA_VISIBLE_DEVICES and the GPUs that the container or batch system provides"
			}
			if strings.Contains(err.Error(), "NB201_KERNELS") {
				remedy = "correct or unset it"
			}
			s.Problem = fmt.Sprintf("%v; %s", err, remedy)
		}
	}
	if err == nil && device != plugin.CPU {
		s.Device = found.Release()
		toolkit, err := plugin.FindToolkit(found.Path)
		if err == nil {
			s.Toolkit = &toolkit
		} else if driver != "" && s.Problem == "" {
			s.Problem = err.Error()
		}
	}
	return s
}

// newLoader returns a function that loads a plugin in a new process of the program self, because a
// damaged plugin may end the process that loads it.
func newLoader(self string) func(ctx context.Context, path string) (backend.Loaded, error) {
	return func(ctx context.Context, path string) (backend.Loaded, error) {
		stdout, stderr, err := loadInProcess(ctx, self, path)
		said := strings.Split(stderr, "\n")
		if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
			last := strings.TrimPrefix(said[len(said)-1], "nb201: ")
			crashed := crash.Sentence(last)
			switch {
			case crashed != "" && len(said) > 1: // XLA gave a reason
				return backend.Loaded{}, fmt.Errorf("%s: %s", crashed, said[0])
			case crashed != "":
				return backend.Loaded{}, errors.New(crashed)
			case ended.ExitCode() == 1:
				return backend.Loaded{}, errors.New(last)
			}
			// The first line says why, the others where.
			return backend.Loaded{}, fmt.Errorf("loading it ends the process (%w): %s", err, said[0])
		}
		if err != nil {
			return backend.Loaded{}, err
		}
		return parseLoaded(stdout)
	}
}

// kernelsPrefix begins the line of doctor --load that describes, in JSON, the kernels that the plugin
// accepts.
const kernelsPrefix = "kernels: "

// printLoaded writes the output of doctor --load.
func printLoaded(w io.Writer, loaded backend.Loaded) error {
	if loaded.Kernels == nil {
		_, err := fmt.Fprintln(w, loaded.Description)
		return err
	}
	text, err := json.Marshal(loaded.Kernels)
	if err == nil {
		_, err = fmt.Fprintf(w, "%s\n%s%s\n", loaded.Description, kernelsPrefix, text)
	}
	return err
}

// parseLoaded parses the output of printLoaded.
func parseLoaded(text string) (backend.Loaded, error) {
	description, kernels, found := strings.Cut(text, "\n"+kernelsPrefix)
	loaded := backend.Loaded{Description: description}
	if !found {
		return loaded, nil
	}
	return loaded, json.Unmarshal([]byte(kernels), &loaded.Kernels)
}

// findDataset reads the images of a dataset key and counts them.
func findDataset(key, root string) datasetState {
	s := datasetState{Key: key}
	definition, err := data.Published(key)
	if err != nil {
		return datasetState{Key: key, Problem: err.Error()}
	}
	set, err := definition.Load(root)
	if err != nil {
		return datasetState{Key: key, Problem: err.Error()}
	}
	s.Images = map[string]int{"train": set.Train.Len()}
	for i := range set.Eval {
		s.Images[set.Eval[i].Name] = set.Eval[i].Len()
	}
	return s
}

// countPrograms counts the compiled programs in their directory.
func countPrograms() programsState {
	s := programsState{Limit: programs.Limit}
	var err error
	if s.Directory, err = programs.Directory(); err == nil && s.Directory != "" {
		if s.Kept, s.Bytes, err = programs.Kept(s.Directory); err != nil {
			err = fmt.Errorf("%w; set NB201_PROGRAMS to another directory", err)
		}
	}
	if err != nil {
		s.Problem = err.Error()
	}
	return s
}

// print writes the diagnosis as a table.
func (d diagnosis) print(w io.Writer) error {
	t := layout.NewProperties(w)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(t, "%s\t"+format+"\n", append([]any{name}, values...)...)
	}
	row("nb201", "%s, %s, gomlx %s, go-xla %s", d.Versions.Program, d.Versions.Go, d.Versions.GoMLX, d.Versions.GoXLA)
	row("machine", "%s, %s, %s of memory", d.Machine.Platform, quantity.Format(d.Machine.Cores, "core"), humanize.IBytes(uint64(d.Machine.Memory)))
	if d.Machine.Driver == "" {
		row("NVIDIA", "no driver; training will use the CPU")
	} else {
		row("NVIDIA", "driver %s, %s: %s", d.Machine.Driver, quantity.Format(len(d.Machine.GPUs), "GPU"), strings.Join(d.Machine.GPUs, ", "))
	}
	for _, p := range d.Plugins {
		name := "plugin " + p.Device
		switch {
		case p.Path != "":
			row(name, "%s (version %s, from %s)", p.Path, cmp.Or(p.Version, "unknown"), p.Source)
		case p.Problem == "":
			row(name, "none; not needed on this machine")
		default:
			row(name, "none")
		}
		if p.Loaded != "" {
			row("", "it loads")
		}
		if k := p.Toolkit; k != nil {
			row("", "it compiles with ptxas %s from %s (%s)", k.Version, k.Directory, k.Source)
		}
		if p.Problem != "" {
			row("", "%s", p.Problem)
		}
	}
	switch k := d.Kernels; {
	case k == nil:
		row("kernels", "unknown, because no CPU plugin loads")
	case k.Missing != "":
		row("kernels", "none, so training on the CPU is slower: %s", k.Missing)
	default:
		row("kernels", "version %d for the CPU, using %s", k.Version, k.Instructions)
	}
	for _, s := range d.Datasets {
		if s.Problem != "" {
			row("data "+s.Key, "%s", s.Problem)
			continue
		}
		row("data "+s.Key, "%s", quantity.Format(s.Images["train"], "training image"))
	}
	switch p := d.Programs; {
	case p.Problem != "":
		row("programs", "%s", p.Problem)
	case p.Directory == "":
		row("programs", "not kept, because NB201_PROGRAMS is %s", programs.StoreOff)
	default:
		row("programs", "%s has %s, %s (at most %s)", p.Directory,
			quantity.Format(p.Kept, "compiled program"), humanize.IBytes(uint64(p.Bytes)), humanize.IBytes(uint64(p.Limit)))
	}
	return t.Flush()
}
