package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/outlet"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler"
	"nb201/scheduler/plan"
	"nb201/scheduler/slurm"
	"nb201/scheduler/state"
	"nb201/scheduler/trainer"
)

// graceOfWorkers is how long a stopped run gives its workers, which has it leave
// within 20 seconds.
const graceOfWorkers = 15 * time.Second

func newRunCommand() *cobra.Command {
	o := scheduler.Options{Grace: graceOfWorkers}
	var devices, chunk, minFree, root, metrics string
	var checkpointEvery time.Duration
	c := &cobra.Command{
		Use:   "run DIR",
		Short: "Work a campaign's plan on this machine",
		Long: `Train the trials of DIR/plan.json that are not done, with a worker process for each
device, or several (--per-device).

Short schedules come first, and all seeds of an architecture on a dataset one after
another, as they share compiled programs; the next are compiled meanwhile. What a trial
leaves is published when it is finished and not before. Trials under way leave
checkpoints (--checkpoint-every): Ctrl-C, kill -9 and a power failure cost no more than
what was done since the last one. The same command goes on.

A worker that crashes, runs out of memory or makes no progress for --hang-after is
replaced, and its trial tried again from its checkpoint, in --max-attempts attempts in
all; then it is set aside, with the reasons in DIR/failed. --retry-failed has those that
were set aside begin anew. A trial that diverges is set aside at once. DIR/logs has a log
of each worker.

A plan whose images or settings differ from those of the finished trials is refused. A
record that is empty, cut or damaged is not done: it is kept as NAME.json.damaged, and the
trial is trained again.

Several runs may work one campaign at a time, on this host or on others that share DIR:
each leaves the other's trials alone. --chunk I/N works the I-th of N parts of the plan,
where the hosts share no directory or the file system no locks; with a shared DIR a
second run without --chunk finishes what a first one left. nb201 slurm has a cluster
work the chunks. SIGUSR1, by which Slurm warns of the end of a job's time, stops the run
as Ctrl-C does; then the job puts itself back into the queue.

While the disk of DIR has less free than --min-free-disk, or the host is short of memory
or of file descriptors, no trial begins; the run goes on by itself when there is room.

A terminal, a pipe or a log that takes no output (Ctrl-S, a connection that hangs, a full
disk) holds nothing up: frames and lines are lost, and the run says how many. When its
terminal is closed the run stops as Ctrl-C does; under nohup it goes on.`,
		Example: `  nb201 run campaign
  nb201 run campaign --devices cuda:0,1,2,3 --per-device 2
  nb201 run campaign --devices cuda:0 --chunk 3/16 --checkpoint-every 30m
  nb201 run campaign --retry-failed`,
		Args: oneArgument("DIR", "a campaign directory"),
		RunE: func(c *cobra.Command, args []string) error {
			o.Dir = args[0]
			var err error
			if o.Devices, err = parseDevices(devices, os.Getenv); err != nil {
				return err
			}
			if o.Chunk, o.Chunks, err = parseChunk(chunk); err != nil {
				return err
			}
			if o.MinFreeDisk, err = parseSize(minFree); err != nil {
				return err
			}
			if o.PerDevice < 1 || o.MaxAttempts < 1 || o.HangAfter <= 0 || o.PrepareWithin <= 0 {
				return usage.Errorf("--per-device, --max-attempts, --hang-after and --prepare-within must be more than 0")
			}
			if err := checkPlan(c.Context(), o.Dir, root); err != nil {
				return err
			}
			for _, name := range o.Devices {
				device, err := backend.ParseDevice(name)
				if err == nil {
					err = checkXLAFlagsFor(c.Context(), device)
				}
				if err != nil {
					return err
				}
			}
			program, err := os.Executable()
			if err != nil {
				return err
			}
			o.Command = func(device string) *exec.Cmd {
				return exec.Command(program, "worker", o.Dir, "--device", device, "--data", root,
					"--checkpoint-every", checkpointEvery.String())
			}
			outlivePipes()
			view := scheduler.NewView(c.ErrOrStderr())
			defer view.Done()
			o.Log, o.Show = view, view.Show
			if metrics != "" {
				m, err := scheduler.ServeMetrics(metrics, version)
				if err != nil {
					return err
				}
				defer m.Close()
				fmt.Fprintf(view, "metrics: %s\n", m.URL())
				o.Show = func(s state.Run, t state.Totals) {
					m.Show(s, t)
					view.Show(s, t)
				}
			}
			totals, err := scheduler.Run(c.Context(), o)
			if errors.Is(err, context.Canceled) {
				requeue(c.Context(), view)
			}
			if err != nil {
				return err
			}
			view.Done()
			outlet.WriteLast(c.OutOrStdout(), fmt.Sprintf("%d of %d trials done, %d set aside\n", totals.Done, totals.Planned, totals.Failed))
			if totals.Failed > 0 {
				return trialsFailed(fmt.Sprintf("%d of %d trials are set aside: nb201 status %s --failed tells why", totals.Failed, totals.Planned, o.Dir))
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&devices, "devices", "cpu", "`DEVICES` to train on: cpu, GPUs as in cuda:0,1,3, or visible: those of CUDA_VISIBLE_DEVICES, which a batch system sets")
	f.IntVar(&o.PerDevice, "per-device", 1, "`NUMBER` of workers of a device")
	f.StringVar(&chunk, "chunk", "", "work chunk `I/N` of the plan, I from 1 to N")
	f.IntVar(&o.MaxAttempts, "max-attempts", 3, "`NUMBER` of attempts at a trial before it is set aside")
	f.BoolVar(&o.RetryFailed, "retry-failed", false, "begin anew with trials that were set aside")
	f.DurationVar(&o.HangAfter, "hang-after", 10*time.Minute, "replace a worker without progress for this `TIME`")
	f.DurationVar(&o.PrepareWithin, "prepare-within", time.Hour, "the same while it starts, reads images and compiles: `TIME`")
	f.DurationVar(&checkpointEvery, "checkpoint-every", checkpointInterval, "`TIME` between checkpoints of a trial, at least")
	f.StringVar(&root, "data", data.DefaultRoot(os.Getenv), "`DIR` of the images")
	f.StringVar(&minFree, "min-free-disk", "1GiB", "begin no trial when DIR's disk has less free: `SIZE`")
	f.StringVar(&metrics, "metrics", "", "serve Prometheus metrics at `ADDRESS`, HOST:PORT or a port of this host alone")
	return c
}

// requeue puts the batch job that this is back into its queue, after a warning of the end
// of its time, and says so.
func requeue(ctx context.Context, w io.Writer) {
	var stop stopped
	job := slurm.Job(os.Getenv)
	if !errors.As(context.Cause(ctx), &stop) || syscall.Signal(stop) != syscall.SIGUSR1 || job == "" {
		return
	}
	// It has Slurm end this process, perhaps before it returns.
	fmt.Fprintf(w, "%v: job %s goes back into Slurm's queue\n", stop, job)
	if err := slurm.Requeue(context.WithoutCancel(ctx), job); err != nil {
		fmt.Fprintln(w, err)
	}
}

// parseDevices reads cpu, cuda, cuda:N or a list of such; a number alone is of the kind
// before it; or visible, the GPUs that the environment gives.
func parseDevices(list string, getenv func(string) string) ([]string, error) {
	var devices []string
	if list == "visible" {
		visible, err := backend.Visible(getenv("CUDA_VISIBLE_DEVICES"))
		for _, d := range visible {
			devices = append(devices, d.String())
		}
		return devices, err
	}
	kind := ""
	for name := range strings.SplitSeq(list, ",") {
		if _, err := strconv.Atoi(name); err == nil && kind != "" {
			name = kind + ":" + name
		}
		device, err := backend.ParseDevice(name)
		if err != nil {
			return nil, usage.Errorf("--devices %s: %w", list, err)
		}
		if slices.Contains(devices, device.String()) {
			return nil, usage.Errorf("--devices %s: %v stands there twice; --per-device gives it more workers", list, device)
		}
		devices = append(devices, device.String())
		kind, _, _ = strings.Cut(name, ":")
	}
	return devices, nil
}

// parseChunk reads I/N; zeros when it is empty.
func parseChunk(text string) (i, n int, err error) {
	if text == "" {
		return 0, 0, nil
	}
	first, second, _ := strings.Cut(text, "/")
	i, err1 := strconv.Atoi(first)
	n, err2 := strconv.Atoi(second)
	if err1 != nil || err2 != nil || i < 1 || i > n {
		return 0, 0, usage.Errorf("--chunk %q: use I/N with I from 1 to N, as in 3/16", text)
	}
	return i, n, nil
}

var sizePattern = regexp.MustCompile(`^(\d{1,9}(?:\.\d{1,9})?)\s*([KMGT]?)(i?)B?$`)

// parseSize reads a number of bytes: 500MB, 1.5GiB, 2T.
func parseSize(text string) (uint64, error) {
	m := sizePattern.FindStringSubmatch(text)
	if m == nil || m[2] == "" && m[3] != "" {
		return 0, usage.Errorf("--min-free-disk %q: use a size such as 500MB or 2GiB", text)
	}
	v, err := strconv.ParseFloat(m[1], 64)
	step := 1000.0
	if m[3] != "" {
		step = 1024
	}
	return uint64(v * math.Pow(step, float64(strings.Index("KMGT", m[2])+min(len(m[2]), 1)))), err
}

// checkPlan refuses a campaign whose images are missing or whose plan is not of the same
// experiment as its finished trials.
func checkPlan(ctx context.Context, dir, root string) error {
	p, err := plan.Read(dir)
	if err != nil {
		return err
	}
	return trainer.CheckPlan(ctx, results.Campaign{Dir: dir}, p, root)
}
