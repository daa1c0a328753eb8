package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nb201/internal/backend"
	"nb201/internal/outlet"
	"nb201/internal/quantity"
	"nb201/internal/shell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler"
	"nb201/scheduler/plan"
	"nb201/scheduler/slurm"
	"nb201/scheduler/state"
	"nb201/scheduler/trainer"
)

// graceOfWorkers is how long a stopped run waits for its workers, so that it ends within 20 seconds.
const graceOfWorkers = 15 * time.Second

func newRunCommand() *cobra.Command {
	var o workers
	var chunk string
	var checkpointEvery time.Duration
	c := &cobra.Command{
		Use:   "run DIR",
		Short: "Train the trials of a campaign's plan on this machine",
		Long: `run trains the unfinished trials of DIR/plan.json, with one worker process per device, or
several (--per-device). You can stop it at any time: the same command resumes.

Order and checkpoints:
  Short schedules come first. All seeds of an architecture on a dataset follow each other,
  because they share compiled programs; the next programs are compiled meanwhile. The files
  of a trial appear when it is finished, not before. Trials in progress write checkpoints
  (--checkpoint-every): Ctrl-C, kill -9 and power failures lose only work since the last one.

Failures:
  run replaces a worker that crashes, runs out of memory or makes no progress for
  --hang-after, and retries its trial from the checkpoint. After --max-attempts attempts in
  all, the trial has failed; a trial that diverges fails at once. DIR/failed has the reasons,
  which nb201 status DIR --failed prints, and DIR/logs a log of each worker. --retry-failed
  gives failed trials --max-attempts new attempts.
  A record that is empty, cut short or damaged does not count as finished: run keeps it as
  NAME.json.damaged and trains the trial again. A plan whose images or settings differ from
  those of the finished trials is refused.

Several runs:
  Several runs can work on a campaign at the same time, on this host or on others that share
  DIR; a trial is trained by only one of them. --chunk I/N trains only the I-th of N shares
  of the plan, for hosts that share no directory, or a file system without locks. In a shared
  DIR, a run without --chunk trains what is left of all chunks. For a Slurm cluster, see
  nb201 slurm. SIGUSR1, by which Slurm warns that a job's time is ending, stops the run
  like Ctrl-C; the job then puts itself back into the queue.

When resources are short:
  While DIR's disk has less free space than --min-free-disk, or the host is short of memory
  or file descriptors, no trial is started; the run continues by itself when there is room.
  A terminal, pipe or log that accepts no output (Ctrl-S, a full disk) does not delay
  training: lines are dropped, and run reports how many. Closing the terminal stops the run
  like Ctrl-C, unless it was started under nohup.`,
		Example: `  nb201 run campaign
  nb201 run campaign --devices cuda:0,1,2,3 --per-device 2
  nb201 run campaign --devices cuda:0 --chunk 3/16 --checkpoint-every 30m
  nb201 run campaign --retry-failed`,
		Args: oneArgument("DIR", "a campaign directory"),
		RunE: func(c *cobra.Command, args []string) error {
			o.Dir = args[0]
			err := o.validate()
			if err != nil {
				return err
			}
			if o.Chunk, o.Chunks, err = parseChunk(chunk); err != nil {
				return err
			}
			if err := checkPlan(c.Context(), o.Dir, o.root); err != nil {
				return err
			}
			totals, err := o.start(c, []string{"--checkpoint-every", checkpointEvery.String()}, func(o scheduler.Options) (state.Totals, error) {
				return scheduler.Run(c.Context(), o)
			})
			if errors.Is(err, context.Canceled) {
				requeue(c.Context(), c.ErrOrStderr())
			}
			if err != nil {
				return err
			}
			outlet.WriteLast(human(c), fmt.Sprintf("%d of %s done, %d failed\n", totals.Done, quantity.Format(totals.Planned, "trial"), totals.Failed))
			if totals.Failed > 0 {
				return trialsFailed(fmt.Sprintf("%d of %s failed; nb201 status %s --failed shows why", totals.Failed, quantity.Format(totals.Planned, "trial"), shell.Quote(o.Dir)))
			}
			suggestNext(c, "verify", o.Dir)
			return nil
		},
	}
	f := c.Flags()
	o.addFlags(f)
	f.StringVar(&chunk, "chunk", "", "train only chunk `I/N` of the plan, I from 1 to N")
	f.DurationVar(&checkpointEvery, "checkpoint-every", checkpointInterval, "minimum `TIME` between the checkpoints of a trial")
	return c
}

// requeue puts the Slurm job that this process runs in back into its queue, if the run was stopped by
// the signal that warns of the end of the job's time. It reports that on w.
func requeue(ctx context.Context, w io.Writer) {
	var stop stopped
	job := slurm.Job(os.Getenv)
	if !errors.As(context.Cause(ctx), &stop) || syscall.Signal(stop) != syscall.SIGUSR1 || job == "" {
		return
	}
	// Slurm then kills this process, perhaps before Requeue returns.
	outlet.WriteLast(w, fmt.Sprintf("%v: job %s goes back into Slurm's queue\n", stop, job))
	if err := slurm.Requeue(context.WithoutCancel(ctx), job); err != nil {
		outlet.WriteLast(w, err.Error()+"\n")
	}
}

// parseDevices parses --devices: a list of cpu, cuda and cuda:N, in which a number alone has the kind
// before it, or visible, the GPUs in CUDA_VISIBLE_DEVICES.
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
			return nil, usage.Errorf("--devices %s: %v is listed twice; to give it several workers, use --per-device", list, device)
		}
		devices = append(devices, device.String())
		kind, _, _ = strings.Cut(name, ":")
	}
	return devices, nil
}

// parseChunk parses --chunk, I/N; it returns zeros for "".
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

// sizePattern matches the sizes that parseSize accepts: number, prefix, and i for powers of 1024.
var sizePattern = regexp.MustCompile(`^(\d{1,9}(?:\.\d{1,9})?)\s*([KMGT]?)(i?)B?$`)

// parseSize parses --min-free-disk, a size such as 500MB, 1.5GiB or 2T, and returns bytes.
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

// checkPlan refuses a campaign whose images are missing in the data directory root, or whose plan
// differs from the experiment of its finished trials.
func checkPlan(ctx context.Context, dir, root string) error {
	p, err := plan.Read(dir)
	if err != nil {
		return err
	}
	return trainer.CheckPlan(ctx, results.Campaign{Dir: dir}, p, root)
}
