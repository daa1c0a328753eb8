package main

import (
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nb201/internal/backend"
	"nb201/internal/usage"
	"nb201/scheduler"
	"nb201/scheduler/state"
)

// workers holds the flags of commands that work with one worker process per device, or several.
type workers struct {
	scheduler.Options
	devices, minFree, root, metrics string
}

// addFlags adds the flags; data says what the images are for.
func (w *workers) addFlags(f *pflag.FlagSet) {
	w.Grace = graceOfWorkers
	f.StringVar(&w.devices, "devices", "cpu",
		"`DEVICES` to work on: cpu, GPUs such as cuda:0,1,3, or visible for those in CUDA_VISIBLE_DEVICES, which batch systems set")
	f.IntVar(&w.PerDevice, "per-device", 1, "`NUMBER` of workers per device")
	f.IntVar(&w.MaxAttempts, "max-attempts", 3, "`NUMBER` of attempts after which a trial has failed")
	f.BoolVar(&w.RetryFailed, "retry-failed", false, retryUsage)
	f.DurationVar(&w.HangAfter, "hang-after", 10*time.Minute, "replace a worker that makes no progress for this `TIME`")
	f.DurationVar(&w.PrepareWithin, "prepare-within", time.Hour, "replace a worker that makes no progress for this `TIME` while it starts, or reads images and compiles for a trial")
	addData(f, &w.root, dataUsage)
	f.StringVar(&w.minFree, "min-free-disk", "1GiB", "start no trial while DIR's disk has less free space than `SIZE`")
	f.StringVar(&w.metrics, "metrics", "", "serve Prometheus metrics at `ADDRESS`: HOST:PORT, or PORT for this host only")
}

// validate parses the flags and refuses impossible values.
func (w *workers) validate() (err error) {
	if w.Devices, err = parseDevices(w.devices, os.Getenv); err != nil {
		return err
	}
	if w.MinFreeDisk, err = parseSize(w.minFree); err != nil {
		return err
	}
	switch {
	case w.PerDevice < 1:
		return usage.Errorf("--per-device %d: use at least 1", w.PerDevice)
	case w.MaxAttempts < 1:
		return usage.Errorf("--max-attempts %d: use at least 1", w.MaxAttempts)
	case w.HangAfter <= 0:
		return usage.Errorf("--hang-after %v: use a time above 0, such as 10m", w.HangAfter)
	case w.PrepareWithin <= 0:
		return usage.Errorf("--prepare-within %v: use a time above 0, such as 1h", w.PrepareWithin)
	}
	return nil
}

// start makes work start workers with the arguments, besides their campaign and device, and shows its
// progress until it returns.
func (w *workers) start(c *cobra.Command, arguments []string, work func(scheduler.Options) (state.Totals, error)) (state.Totals, error) {
	for _, name := range w.Devices {
		device, err := backend.ParseDevice(name)
		if err == nil {
			err = checkXLAFlagsFor(c.Context(), device)
		}
		if err != nil {
			return state.Totals{}, err
		}
	}
	program, err := os.Executable()
	if err != nil {
		return state.Totals{}, err
	}
	w.Command = func(device string) *exec.Cmd {
		return exec.Command(program, append([]string{"worker", w.Dir, "--device", device, "--data", w.root}, arguments...)...)
	}
	outlivePipes()
	view := scheduler.NewView(c.ErrOrStderr())
	defer view.Done()
	w.Log, w.Show = view, view.Show
	if w.metrics != "" {
		m, err := scheduler.ServeMetrics(w.metrics, version)
		if err != nil {
			return state.Totals{}, err
		}
		defer m.Close()
		fmt.Fprintf(view, "metrics: %s\n", m.URL())
		w.Show = func(s state.Run, t state.Totals) {
			m.Show(s, t)
			view.Show(s, t)
		}
	}
	return work(w.Options)
}
