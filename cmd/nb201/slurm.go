package main

import (
	"cmp"
	"context"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"nb201/internal/inert"
	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/kubernetes"
	"nb201/scheduler/plan"
	"nb201/scheduler/slurm"
)

// slurmFlags holds the flags of nb201 slurm.
type slurmFlags struct {
	slurm.Options
	submit, resubmit, kubernetes bool
	time, gpus, like             string
	json                         bool

	image, claim, path string // for --kubernetes
}

func newSlurmCommand() *cobra.Command {
	var flags slurmFlags
	c := &cobra.Command{
		Use:   "slurm DIR [--submit | --resubmit | --kubernetes] [flags] [-- FLAGS OF nb201 run]",
		Short: "Train the trials of a campaign's plan on a Slurm cluster",
		Long: `slurm prints the batch script of a job array that trains the unfinished trials of the
campaign DIR, or with --submit submits it. nb201 status DIR then shows the progress.

The array:
  Each element trains a chunk of the plan: element I runs "nb201 run DIR --chunk I/N" on the
  GPUs that Slurm gives it. Flags after -- are passed to every nb201 run. Without --elements,
  N is as large as the cluster's limits allow, up to half of the free space in its queue. All
  seeds of an architecture with one dataset and schedule are in the same chunk, so N is never
  above the number of such groups. Chunks cost about the same, and with many more elements
  than GPUs all GPUs stay busy to the end. All nodes must share the file systems of DIR, the
  images, nb201 and its XLA plugin. Run slurm where Slurm's commands work, such as a login
  node; only --kubernetes works without them.

Time limits and failures:
  --warn before its time limit, an element writes checkpoints and puts itself back into the
  queue, to resume later. The limit can therefore be much shorter than a chunk takes. If
  Slurm runs an element twice, each trial is still trained once. Failed attempts are counted
  in DIR; an element with failed trials exits with code 3 and is not repeated. DIR/logs has
  a log of each element.

Submitting again:
  --resubmit submits the work that no element in the queue covers: that of lost elements, and
  trials added to the plan since. --retry-failed also tries failed trials again.

Kubernetes:
  --kubernetes prints an Indexed Job that does the same on Kubernetes. It needs an --image
  with nb201 and its plugin, and the --claim on a volume that contains DIR at --path. The
  manifest is for Kubernetes 1.33 or later. It is checked against the published schema, but
  has not been run on a cluster.`,
		Example: `  nb201 slurm campaign --partition gpu --time 8:00:00 --max-running 64
  nb201 slurm campaign --partition gpu --time 8:00:00 --gpus a100:1 --module cuda/13.0 --submit
  nb201 slurm campaign --gpus 0 --cpus 8 --time 2h --submit -- --per-device 2 --max-attempts 5
  nb201 slurm campaign --partition gpu --time 8:00:00 --resubmit --retry-failed
  nb201 slurm campaign --kubernetes --image nb201:1 --claim campaigns`,
		Args: func(c *cobra.Command, args []string) error {
			if n := c.ArgsLenAtDash(); n >= 0 {
				args = args[:n]
			}
			return oneArgument("DIR", "a campaign directory, before --")(c, args)
		},
		RunE: func(c *cobra.Command, args []string) error {
			flags.Dir, flags.RunFlags, flags.Version = args[0], args[1:], version
			images, err := checkRunFlags(flags.RunFlags)
			if err != nil {
				return err
			}
			if flags.GPUs, err = slurm.ParseGPUs(flags.gpus); err != nil {
				return err
			}
			switch {
			case flags.kubernetes:
				return flags.printJob(c.OutOrStdout())
			case flags.image+flags.claim+flags.path != "":
				return usage.Errorf("--image, --claim and --path need --kubernetes")
			}
			array, err := flags.prepare(c.Context())
			if err != nil {
				return err
			}
			if flags.submit || flags.resubmit {
				if err := array.Submit(c.Context()); err != nil {
					return err
				}
			}
			if array.Job != 0 {
				if err := checkPlan(c.Context(), flags.Dir, images); err != nil {
					inert.Fprintf(humanErr(c), "warning: on this host, %v\n", err)
				}
			}
			if flags.json {
				return printJSON(c, array)
			}
			return flags.print(c, array)
		},
	}
	f := c.Flags()
	f.BoolVar(&flags.submit, "submit", false, "submit the array to Slurm")
	f.BoolVar(&flags.resubmit, "resubmit", false, "submit an array of the work that no element in the queue covers")
	f.BoolVar(&flags.RetryFailed, "retry-failed", false, retryUsage)
	f.StringVar(&flags.Partition, "partition", "", "submit to `PARTITION` (default: the cluster's)")
	f.StringVar(&flags.Account, "account", "", "charge `ACCOUNT`")
	f.StringVar(&flags.time, "time", "", "time limit of an element: `TIME` in Slurm's format, or such as 8h (default: the partition's)")
	f.DurationVar(&flags.Warn, "warn", 2*time.Minute, "warn an element this `TIME` before its limit")
	f.StringVar(&flags.gpus, "gpus", "1", "`GPUS` per element: a number, or a type and a number such as a100:2; 0: train on the CPU")
	f.IntVar(&flags.CPUs, "cpus", 4, "`NUMBER` of CPUs per element; 0: the cluster's default")
	f.StringVar(&flags.Memory, "mem", "", "`MEMORY` per element, such as 16G (default: the cluster's)")
	f.IntVar(&flags.MaxRunning, "max-running", 0, "run at most `NUMBER` elements at a time; 0: as many as the cluster runs")
	f.IntVar(&flags.Chunks, "elements", 0, "divide the plan into `NUMBER` chunks; 0: as many as the cluster accepts")
	f.StringArrayVar(&flags.Modules, "module", nil, "load the environment `MODULE`; may be repeated")
	f.StringArrayVar(&flags.Lines, "line", nil, "run `LINE` in the shell before nb201; may be repeated")
	f.StringArrayVar(&flags.Sbatch, "sbatch", nil, "pass another `OPTION` to sbatch, such as --sbatch=--qos=long; may be repeated")
	f.BoolVar(&flags.Shared, "shared", false, "do not check whether all nodes share the file system of DIR")
	f.StringVar(&flags.like, "like", "", "check --time with the rate of the campaign `DIR` (default: that of the finished trials)")
	f.BoolVar(&flags.kubernetes, "kubernetes", false, "print the manifest of a Kubernetes Job")
	f.StringVar(&flags.image, "image", "", "container `IMAGE` for --kubernetes")
	f.StringVar(&flags.claim, "claim", "", "`NAME` of the PersistentVolumeClaim with DIR, for --kubernetes")
	f.StringVar(&flags.path, "path", "", "`PATH` of the campaign in the volume of --claim (default: the name of DIR)")
	f.BoolVar(&flags.json, "json", false, jsonUsage+", with the script")
	markExclusive(c, "submit", "resubmit", "kubernetes")
	for _, name := range []string{"json", "partition", "account", "time", "warn", "module", "line", "sbatch", "shared", "like", "retry-failed"} {
		markExclusive(c, "kubernetes", name)
	}
	return c
}

// checkRunFlags refuses flags that nb201 run does not have, or that the batch script sets. It returns
// the directory in which the runs will look for images.
func checkRunFlags(flags []string) (images string, err error) {
	run := newRunCommand()
	if err := run.ParseFlags(flags); err != nil {
		return "", usage.Errorf("after --: %w (see nb201 run --help)", flagError(run, err))
	}
	if more := run.Flags().Args(); len(more) > 0 {
		return "", usage.Errorf("after --: %s is not a flag of nb201 run", more[0])
	}
	for name, instead := range map[string]string{"devices": "--gpus", "chunk": "--elements", "retry-failed": "--retry-failed before --"} {
		if run.Flags().Changed(name) {
			return "", usage.Errorf("after --: leave out --%s; use %s instead", name, instead)
		}
	}
	return run.Flags().Lookup("data").Value.String(), nil
}

// prepare returns the array that the flags describe.
func (f *slurmFlags) prepare(ctx context.Context) (*slurm.Array, error) {
	var err error
	if f.Time, err = slurm.ParseTime(f.time); err != nil {
		return nil, err
	}
	if f.Program, err = os.Executable(); err != nil {
		return nil, err
	}
	if f.Rate, err = f.findRate(ctx); err != nil {
		return nil, err
	}
	f.SkipQueued = f.resubmit
	return slurm.Prepare(ctx, f.Options)
}

// findRate returns the rate to check the time limit with, or nil if it is unknown.
func (f *slurmFlags) findRate(ctx context.Context) (*plan.Rate, error) {
	p, err := plan.Read(f.Dir)
	if err != nil {
		return nil, err
	}
	if f.like != "" {
		return measureRate(ctx, f.like, p.Settings.Precision)
	}
	done, err := plan.Done(ctx, f.Dir)
	if err != nil {
		return nil, err
	}
	return plan.MeasureRate(ctx, results.Campaign{Dir: f.Dir}, done, p.Settings.Precision)
}

// print prints the script, or which array was submitted.
func (f *slurmFlags) print(c *cobra.Command, a *slurm.Array) error {
	var err error
	switch {
	case a.Elements == "":
		inert.Fprintf(humanErr(c), "nothing is left to submit: see nb201 status %s\n", f.Dir)
	case a.Job == 0:
		_, err = io.WriteString(c.OutOrStdout(), a.Script)
	default:
		_, err = inert.Fprintf(human(c), "array %d submitted: elements %s of %d chunks, with %s left\n",
			a.Job, a.Elements, a.Chunks, quantity.Format(a.Trials, "trial"))
	}
	return err
}

// mostIndices is the default number of chunks for Kubernetes, which reports no limits.
const mostIndices = 1000

// printJob prints the manifest of a Kubernetes Job.
func (f *slurmFlags) printJob(w io.Writer) error {
	if f.GPUs.Type != "" {
		return usage.Errorf("--gpus %v: with --kubernetes, use only a number; select the type of GPU by the labels of nodes", f.GPUs)
	}
	p, err := plan.Read(f.Dir)
	if err != nil {
		return err
	}
	dir, err := filepath.Abs(f.Dir)
	if err != nil {
		return err
	}
	name := filepath.Base(dir)
	manifest, err := kubernetes.Job{
		Version: f.Version, Campaign: name, Trials: p.Len(), Chunks: min(cmp.Or(f.Chunks, mostIndices), p.Units()),
		Image: f.image, Claim: f.claim, Path: cmp.Or(f.path, name), Parallelism: f.MaxRunning,
		GPUs: f.GPUs.Count, CPUs: f.CPUs, Memory: f.Memory, RunFlags: f.RunFlags,
	}.Manifest()
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, manifest)
	return err
}
