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
	"nb201/internal/progress"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/kubernetes"
	"nb201/scheduler/plan"
	"nb201/scheduler/slurm"
)

// slurmFlags are the flags of nb201 slurm.
type slurmFlags struct {
	slurm.Options
	submit, resubmit, kubernetes bool
	time, gpus, like             string
	json                         bool

	image, claim, path string // of --kubernetes
}

func newSlurmCommand() *cobra.Command {
	var flags slurmFlags
	c := &cobra.Command{
		Use:   "slurm DIR [--submit | --resubmit | --kubernetes] [flags] [-- FLAGS OF nb201 run]",
		Short: "Work a campaign on a Slurm cluster",
		Long: `Print the batch script of a job array that works what is left of the campaign DIR, or
give it to Slurm (--submit). Element I of the array is "nb201 run DIR --chunk I/N", with
the GPUs that Slurm gives it; N is as large as the cluster's limits allow, up to half of
the room in its queue, or --elements. Chunks cost about as much as one another, and with
many more elements than GPUs all GPUs are at work to the end. What stands after -- are
flags of nb201 run for every element. DIR and the images must be on a file system that
all nodes share, and so must be nb201 and its XLA plugin.

An element is warned --warn before its time is over: it leaves checkpoints and puts
itself back into the queue; the trial under way goes on where it was. So a time limit much
shorter than a chunk does no harm. Slurm may run an element more than once; a trial is
still trained once. Failed attempts are counted in DIR: an element whose trials were set
aside ends with code 3, and is not repeated. DIR/logs has a log of each element.

--resubmit sends what is left besides the elements in the queue: what lost elements had, and
what the plan has got since. --retry-failed has trials that were set aside begin anew.
nb201 status DIR tells how far the campaign and its arrays are.

--kubernetes prints an Indexed Job that does the same on Kubernetes, for an --image with
nb201 and its plugin, and a --claim on a volume that holds DIR at --path. It was checked
against the published schema, and was not run on a cluster.`,
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
				return usage.Errorf("--image, --claim and --path are for --kubernetes")
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
					inert.Fprintf(c.ErrOrStderr(), "warning: on this host, %v\n", err)
				}
			}
			if flags.json {
				return printJSON(c, array)
			}
			return flags.print(c, array)
		},
	}
	f := c.Flags()
	f.BoolVar(&flags.submit, "submit", false, "give the array to Slurm")
	f.BoolVar(&flags.resubmit, "resubmit", false, "give Slurm an array of what is left besides the elements in the queue")
	f.BoolVar(&flags.RetryFailed, "retry-failed", false, "begin anew with trials that were set aside")
	f.StringVar(&flags.Partition, "partition", "", "`PARTITION` of the cluster; default: the cluster's")
	f.StringVar(&flags.Account, "account", "", "`ACCOUNT` that pays")
	f.StringVar(&flags.time, "time", "", "`TIME` limit of an element, as Slurm writes it or as in 8h; default: the partition's")
	f.DurationVar(&flags.Warn, "warn", 2*time.Minute, "warn an element this `TIME` before its limit")
	f.StringVar(&flags.gpus, "gpus", "1", "`GPUS` of an element: a number, or a type and a number, as in a100:2; 0: train on the CPU")
	f.IntVar(&flags.CPUs, "cpus", 4, "`NUMBER` of CPUs of an element; 0: the cluster's default")
	f.StringVar(&flags.Memory, "mem", "", "`MEMORY` of an element, as in 16G; default: the cluster's")
	f.IntVar(&flags.MaxRunning, "max-running", 0, "`NUMBER` of elements at a time; 0: as many as the cluster runs")
	f.IntVar(&flags.Chunks, "elements", 0, "divide the plan into this `NUMBER` of chunks; 0: as many as the cluster takes")
	f.StringArrayVar(&flags.Modules, "module", nil, "environment `MODULE` to load; may be repeated")
	f.StringArrayVar(&flags.Lines, "line", nil, "`LINE` of shell to do before the run; may be repeated")
	f.StringArrayVar(&flags.Sbatch, "sbatch", nil, "another `OPTION` of sbatch, as in --sbatch=--qos=long; may be repeated")
	f.BoolVar(&flags.Shared, "shared", false, "all nodes see DIR, whatever its file system looks like")
	f.StringVar(&flags.like, "like", "", "hold --time against the rate of the campaign `DIR`; default: of the trials done")
	f.BoolVar(&flags.kubernetes, "kubernetes", false, "print the manifest of a Kubernetes Job")
	f.StringVar(&flags.image, "image", "", "container `IMAGE` of --kubernetes")
	f.StringVar(&flags.claim, "claim", "", "PersistentVolumeClaim `NAME` of --kubernetes")
	f.StringVar(&flags.path, "path", "", "`PATH` of the campaign in the volume of --kubernetes; default: the name of DIR")
	f.BoolVar(&flags.json, "json", false, "print one JSON document, which holds the script")
	exclude(c, "submit", "resubmit", "kubernetes")
	for _, name := range []string{"json", "partition", "account", "time", "warn", "module", "line", "sbatch", "shared", "like", "retry-failed"} {
		exclude(c, "kubernetes", name)
	}
	return c
}

// checkRunFlags refuses flags that nb201 run does not take, or that are the script's to
// give, and returns where the run will look for images.
func checkRunFlags(flags []string) (images string, err error) {
	run := newRunCommand()
	if err := run.ParseFlags(flags); err != nil {
		return "", usage.Errorf("after --: %w (see nb201 run --help)", flagError(run, err))
	}
	if more := run.Flags().Args(); len(more) > 0 {
		return "", usage.Errorf("after --: %s is no flag of nb201 run", more[0])
	}
	for name, instead := range map[string]string{"devices": "--gpus", "chunk": "--elements", "retry-failed": "--retry-failed before --"} {
		if run.Flags().Changed(name) {
			return "", usage.Errorf("after --: leave out --%s and use %s", name, instead)
		}
	}
	return run.Flags().Lookup("data").Value.String(), nil
}

// prepare makes the array that the flags ask for.
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

// findRate is the rate to hold the time against, nil when there is none.
func (f *slurmFlags) findRate(ctx context.Context) (*plan.Rate, error) {
	p, err := plan.Read(f.Dir)
	if err != nil {
		return nil, err
	}
	if f.like != "" {
		return rateOf(ctx, f.like, p.Settings.Precision)
	}
	done, err := plan.Done(ctx, f.Dir)
	if err != nil {
		return nil, err
	}
	return plan.MeasureRate(ctx, results.Campaign{Dir: f.Dir}, done, p.Settings.Precision)
}

// print prints the script, or what was submitted.
func (f *slurmFlags) print(c *cobra.Command, a *slurm.Array) error {
	var err error
	switch {
	case a.Elements == "":
		inert.Fprintf(c.ErrOrStderr(), "nothing is left to send: see nb201 status %s\n", f.Dir)
	case a.Job == 0:
		_, err = io.WriteString(c.OutOrStdout(), a.Script)
	default:
		_, err = inert.Fprintf(c.OutOrStdout(), "array %d submitted: elements %s of %d chunks, with %s left\n", a.Job, a.Elements, a.Chunks, progress.Quantity(a.Trials, "trial"))
	}
	return err
}

// mostIndices is the number of chunks for Kubernetes, which has no limits to ask for.
const mostIndices = 1000

// printJob prints the manifest of a Kubernetes Job.
func (f *slurmFlags) printJob(w io.Writer) error {
	if f.GPUs.Type != "" {
		return usage.Errorf("--gpus %v: for Kubernetes use a number; a node's labels tell its GPUs' type", f.GPUs)
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
