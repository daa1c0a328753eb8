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
	"strings"
	"text/tabwriter"

	"github.com/dustin/go-humanize"
	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/crash"
	"nb201/internal/hostmem"
	"nb201/internal/plugin"
	"nb201/internal/programs"
)

func newDoctorCommand() *cobra.Command {
	var root, load string
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Tell what training needs and what is missing",
		Long: `Show the versions of the program and of its backend, which XLA plugins are there,
whether their files match their SHA-256 and load, which kernels training on the CPU uses,
the NVIDIA driver and GPUs, cores and memory, which data sets are found whole, and where
compiled programs are kept; and for all that is missing, what mends it.

It fails when training on the CPU cannot work.`,
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
			d := diagnose(cmd.Context(), root, loader(self))
			if err := cmd.Context().Err(); err != nil {
				return err
			}
			show := d.print
			if asJSON {
				show = func(io.Writer) error { return printJSON(cmd, d) }
			}
			if err := show(cmd.OutOrStdout()); err != nil {
				return err
			}
			if !d.Ready {
				return errors.New("training on the CPU cannot work yet: see above what mends it")
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&root, "data", data.DefaultRoot(os.Getenv), "`DIR` of the images")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	cmd.Flags().StringVar(&load, "load", "", "load the plugin `PATH`, and nothing else")
	if err := cmd.Flags().MarkHidden("load"); err != nil {
		panic(err) // the flag does not exist
	}
	return cmd
}

// diagnosis is what doctor found.
type diagnosis struct {
	Ready    bool          `json:"ready"` // training on the CPU can work
	Versions versions      `json:"versions"`
	Machine  machineState  `json:"machine"`
	Plugins  []pluginState `json:"plugins"`
	// Kernels are those that training on the CPU uses, as far as its plugin loads.
	Kernels  *programs.Kernels `json:"kernels,omitempty"`
	Datasets []datasetState    `json:"datasets"`
	Programs programsState     `json:"programs"`
}

type versions struct {
	Program string `json:"program"`
	Go      string `json:"go"`
	GoMLX   string `json:"gomlx"`
	GoXLA   string `json:"go_xla"`
}

type machineState struct {
	Platform string   `json:"platform"` // GOOS/GOARCH
	Cores    int      `json:"cores"`
	Memory   int64    `json:"memory"` // in bytes, which this process may use; 0 if unknown
	Driver   string   `json:"nvidia_driver,omitempty"`
	GPUs     []string `json:"gpus,omitempty"`
}

// pluginState is what there is of a device's plugin. Without Path there is none.
type pluginState struct {
	plugin.Plugin
	Loaded  string          `json:"loaded,omitempty"`  // the plugin's description of itself, once loaded
	Toolkit *plugin.Toolkit `json:"toolkit,omitempty"` // that a CUDA plugin compiles with
	Problem string          `json:"problem,omitempty"` // and what mends it

	kernels *programs.Kernels // that it takes, once loaded
}

type datasetState struct {
	Key     string         `json:"key"`
	Images  map[string]int `json:"images,omitempty"`  // by train and the evaluation sets; none if it cannot be read
	Problem string         `json:"problem,omitempty"` // and what mends it
}

// programsState is what there is of compiled programs. Without Directory none are kept.
type programsState struct {
	Directory string `json:"directory,omitempty"`
	Kept      int    `json:"kept"`
	Bytes     int64  `json:"bytes"`
	Limit     int64  `json:"limit"`             // of Bytes
	Problem   string `json:"problem,omitempty"` // and what mends it
}

// diagnose looks at everything. load loads a plugin.
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
		d.Plugins = append(d.Plugins, examine(ctx, device, d.Machine.Driver, load))
	}
	d.Kernels = d.Plugins[0].kernels
	d.Ready = d.Plugins[0].Loaded != "" // the CPU's
	for _, key := range configs.Datasets() {
		d.Datasets = append(d.Datasets, findDataset(key, dataRoot))
	}
	d.Programs = countPrograms()
	return d
}

// examine finds and loads a device's plugin. A CUDA plugin loads only where there
// is a driver, and is missed only where it is the best for the driver.
func examine(ctx context.Context, device, driver string, load func(ctx context.Context, path string) (backend.Loaded, error)) pluginState {
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
		s.Problem = fmt.Sprintf("%v: run `%s`", damaged, plugin.SetupCommand(device))
	case err == nil && (device == plugin.CPU || driver != ""):
		loaded, err := load(ctx, found.Path)
		if err == nil {
			s.Loaded, s.kernels = loaded.Description, loaded.Kernels
		} else {
			mend := fmt.Sprintf("run `%s --force`", plugin.SetupCommand(device))
			if found.Source == plugin.FromEnvironment {
				mend = "correct or unset GOMLX_BACKEND"
			}
			if os.Getenv("XLA_FLAGS") != "" { // an unknown flag ends the program
				mend = "correct or unset XLA_FLAGS, or else " + mend
			}
			if strings.Contains(err.Error(), backend.NoGPU) { // the plugin is well
				mend = "give this process a GPU: see CUDA_VISIBLE_DEVICES, and which GPUs the container or the batch system gives"
			}
			s.Problem = fmt.Sprintf("%v: %s", err, mend)
		}
	}
	if err == nil && device != plugin.CPU {
		toolkit, err := plugin.FindToolkit(found.Path)
		if err == nil {
			s.Toolkit = &toolkit
		} else if driver != "" && s.Problem == "" {
			s.Problem = err.Error()
		}
	}
	return s
}

// loader loads plugins in processes of the program self: a broken one ends its.
func loader(self string) func(ctx context.Context, path string) (backend.Loaded, error) {
	return func(ctx context.Context, path string) (backend.Loaded, error) {
		stdout, stderr, err := loadIn(ctx, self, path)
		said := strings.Split(stderr, "\n")
		if ended := (*exec.ExitError)(nil); errors.As(err, &ended) {
			last := strings.TrimPrefix(said[len(said)-1], "nb201: ")
			crashed := crash.Sentence(last)
			switch {
			case crashed != "" && len(said) > 1: // XLA said why
				return backend.Loaded{}, fmt.Errorf("%s: %s", crashed, said[0])
			case crashed != "":
				return backend.Loaded{}, errors.New(crashed)
			case ended.ExitCode() == 1:
				return backend.Loaded{}, errors.New(last)
			}
			// What comes first tells why, what follows where.
			return backend.Loaded{}, fmt.Errorf("loading it ends the program (%w): %s", err, said[0])
		}
		if err != nil {
			return backend.Loaded{}, err
		}
		return parseLoaded(stdout)
	}
}

// kernelsPrefix begins the line of doctor --load that says which kernels the plugin takes, in
// JSON.
const kernelsPrefix = "kernels: "

// printLoaded writes what doctor --load prints.
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

// parseLoaded reads what printLoaded wrote.
func parseLoaded(text string) (backend.Loaded, error) {
	description, kernels, found := strings.Cut(text, "\n"+kernelsPrefix)
	loaded := backend.Loaded{Description: description}
	if !found {
		return loaded, nil
	}
	return loaded, json.Unmarshal([]byte(kernels), &loaded.Kernels)
}

// findDataset reads a data set.
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

// countPrograms looks at the compiled programs.
func countPrograms() programsState {
	s := programsState{Limit: programs.Limit}
	var err error
	if s.Directory, err = programs.Directory(); err == nil && s.Directory != "" {
		if s.Kept, s.Bytes, err = programs.Kept(s.Directory); err != nil {
			err = fmt.Errorf("%w: set NB201_PROGRAMS to another directory", err)
		}
	}
	if err != nil {
		s.Problem = err.Error()
	}
	return s
}

// print writes the diagnosis as a table.
func (d diagnosis) print(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name, format string, values ...any) {
		fmt.Fprintf(t, "%s\t"+format+"\n", append([]any{name}, values...)...)
	}
	row("nb201", "%s, %s, gomlx %s, go-xla %s", d.Versions.Program, d.Versions.Go, d.Versions.GoMLX, d.Versions.GoXLA)
	row("machine", "%s, %d cores, %s of memory", d.Machine.Platform, d.Machine.Cores, humanize.IBytes(uint64(d.Machine.Memory)))
	if d.Machine.Driver == "" {
		row("NVIDIA", "no driver: the CPU it is")
	} else {
		row("NVIDIA", "driver %s, %d GPUs: %s", d.Machine.Driver, len(d.Machine.GPUs), strings.Join(d.Machine.GPUs, ", "))
	}
	for _, p := range d.Plugins {
		name := "plugin " + p.Device
		switch {
		case p.Path != "":
			row(name, "%s (version %s, from %s)", p.Path, cmp.Or(p.Version, "unknown"), p.Source)
		case p.Problem == "":
			row(name, "none, and none needed here")
		default:
			row(name, "none")
		}
		if p.Loaded != "" {
			row("", "it loads")
		}
		if k := p.Toolkit; k != nil {
			row("", "it compiles with ptxas %s in %s (%s)", k.Version, k.Directory, k.Source)
		}
		if p.Problem != "" {
			row("", "%s", p.Problem)
		}
	}
	switch k := d.Kernels; {
	case k == nil:
		row("kernels", "unknown: no plugin for the CPU loads")
	case k.Missing != "":
		row("kernels", "none, and training on the CPU is slower: %s", k.Missing)
	default:
		row("kernels", "version %d for the CPU, with %s", k.Version, k.Instructions)
	}
	for _, s := range d.Datasets {
		if s.Problem != "" {
			row("data "+s.Key, "%s", s.Problem)
			continue
		}
		row("data "+s.Key, "%d training images", s.Images["train"])
	}
	switch p := d.Programs; {
	case p.Problem != "":
		row("programs", "%s", p.Problem)
	case p.Directory == "":
		row("programs", "none are kept: NB201_PROGRAMS is %s", programs.Off)
	default:
		row("programs", "%s keeps %d compiled programs, %s (at most %s)", p.Directory, p.Kept, humanize.IBytes(uint64(p.Bytes)), humanize.IBytes(uint64(p.Limit)))
	}
	return t.Flush()
}
