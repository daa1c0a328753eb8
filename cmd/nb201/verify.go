package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/inert"
	"nb201/internal/progress"
	"nb201/internal/torchfile"
	"nb201/results/benchmark"
	"nb201/results/verify"
	"nb201/train"
)

func newVerifyCommand() *cobra.Command {
	var flags struct {
		reevaluate, json bool
		data, device     string
	}
	c := &cobra.Command{
		Use:   "verify PATH",
		Short: "Check a campaign or a published file, trial by trial",
		Long: `Check the campaign or the file or directory of a published format PATH: derive again
what can be derived of every trial, and list what disagrees. Nothing is changed.

  files         can be read; the SHA-256 that a record carries over itself; CRCs of torch
                checkpoints; digits of the MD5 in a name
  identity      genotype against index, classes against the dataset key
  costs         FLOPs and parameters against the genotype's network
  curves        every epoch of the training and of each evaluation set
  values        finite and in range; percent; top-5 not below top-1
  record        of a campaign's trial, against itself: classes, sizes, sets and numbers of
                images are those of its dataset definition, accuracies are shares of its
                images, times lie between start and end, settings are known
  halves        ori-test against x-valid and x-test, its halves
  seeds         the same network and epochs for all seeds
  settings      one experiment: on a dataset key the same data, along a schedule the same
                recipe, parity, timeline, workers, precision and source of start weights,
                as far as the format says
  weights       SHA-256; names, shapes and types against the network; finite
  reevaluation  with --reevaluate: the weights, evaluated again, against the last epoch

What published files may lack, such as evaluations of all epochs but the last, and files
that killed processes left are notes. A fault ends in exit code 3.`,
		Example: `  nb201 verify demo --reevaluate
  nb201 verify NAS-Bench-201-v1_1-096897.pth --json`,
		Args: oneArgument("PATH", "a campaign or a file or directory of a published format"),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := openBenchmark(c, args[0])
			if err != nil {
				return err
			}
			defer b.Close()
			options := verify.Options{Record: train.CheckRecord}
			if flags.reevaluate {
				device, err := backend.ParseDevice(flags.device)
				if err != nil {
					return err
				}
				opened, err := openDevice(c.Context(), device, false)
				if err != nil {
					return err
				}
				defer opened.Backend.Finalize()
				session := train.NewSession(opened.Backend)
				defer session.Close()
				session.KeepImages(len(configs.Datasets())) // an architecture has trials on several
				options.Reevaluate = reevaluateIn(session, flags.data)
			}
			var done func()
			options.Progress, done = countUp(c.ErrOrStderr(), "files and architectures", "verifying")
			report, err := verify.Run(c.Context(), b, options)
			done()
			if err != nil {
				return err
			}
			if flags.json {
				err = printJSON(c, report)
			} else {
				err = printVerification(c.OutOrStdout(), report)
			}
			if n := len(report.Faults); err == nil && n > 0 {
				err = trialsFailed(fmt.Sprintf("%s is not sound: %s", args[0], progress.Quantity(n, "fault")))
			}
			return err
		},
	}
	f := c.Flags()
	f.BoolVar(&flags.reevaluate, "reevaluate", false, "evaluate the weights that were kept again, and compare")
	f.StringVar(&flags.data, "data", data.DefaultRoot(os.Getenv), "`DIR` of the images, for --reevaluate")
	f.StringVar(&flags.device, "device", "cpu", "`DEVICE` for --reevaluate: cpu, cuda or cuda:N")
	f.BoolVar(&flags.json, "json", false, "print one JSON document")
	return c
}

// reevaluateIn evaluates the weights of trials again: see train.Session.Reevaluate.
func reevaluateIn(session *train.Session, dataRoot string) func(context.Context, *benchmark.ResultsCount, torchfile.StateDict) ([]verify.Evaluated, error) {
	return func(ctx context.Context, r *benchmark.ResultsCount, weights torchfile.StateDict) ([]verify.Evaluated, error) {
		sets, err := session.Reevaluate(ctx, r, weights, dataRoot)
		var diverged *train.Diverged
		if errors.As(err, &diverged) {
			return []verify.Evaluated{{Set: diverged.Stage, Images: 1, Loss: diverged.Loss, Top1: math.NaN(), Top5: math.NaN()}}, nil
		}
		var evaluated []verify.Evaluated
		for _, s := range sets {
			evaluated = append(evaluated, verify.Evaluated{Set: s.Set, Images: s.Images, Loss: s.Loss, Top1: s.Top1, Top5: s.Top5})
		}
		return evaluated, err
	}
}

// countUp shows the progress of work that tells how many of its units are done, until
// done is called.
func countUp(w io.Writer, unit, description string) (progressed func(done, total int), done func()) {
	report, end := progress.Reporter(w, unit)
	return func(done, total int) { report(description, int64(done), int64(total)) }, end
}

func printVerification(w io.Writer, r *verify.Report) error {
	fmt.Fprintf(w, "format         %s\narchitectures  %d\ntrials         %d, %d with weights\n\n", r.Format, r.Architectures, r.Trials, r.Weights)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "check\tlooked at\tfaults\t")
	for _, c := range r.Checks {
		fmt.Fprintf(table, "%s\t%d\t%d\t\n", c.Check, c.Checked, c.Faults)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	printList(w, "notes", r.Notes)
	printList(w, "faults", r.Faults)
	verdict := "sound"
	if n := len(r.Faults); n > 0 {
		verdict = progress.Quantity(n, "fault")
	}
	_, err := inert.Fprintf(w, "\n%s  %s\n", r.Path, verdict)
	return err
}

// printList prints a list under its name, unless it is empty.
func printList[T fmt.Stringer](w io.Writer, name string, list []T) {
	if len(list) > 0 {
		fmt.Fprintf(w, "\n%s:\n", name)
	}
	for _, v := range list {
		inert.Fprintf(w, "  %s\n", v)
	}
}
