package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"

	"github.com/spf13/cobra"

	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/progress"
	"nb201/internal/quantity"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/verify"
	"nb201/scheduler/plan"
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
		Long: `verify recomputes what can be derived about each trial of PATH, and reports everything that
disagrees with its files. PATH is a campaign, or a file or directory of a published format.
verify changes nothing.

Checks:
  files         files can be read; their checksums match: the SHA-256 in a record, the CRCs of
                torch checkpoints, the digits of the MD5 in a published file name
  identity      the genotype matches the index, and the classes match the dataset key
  costs         FLOPs and parameters are those of the genotype's network
  curves        no epoch is missing, in training and in each evaluation set
  values        values are finite and in range; top-5 is not below top-1
  record        a campaign's record agrees with itself: classes, image size, sets and counts
                are those of its dataset definition, accuracies are possible for its number
                of images, times lie between start and end, settings are known and, if the
                campaign has a plan, those of the plan
  halves        ori-test agrees with x-valid and x-test, its halves
  seeds         all seeds of an architecture have the same network and epochs
  settings      the trials on a dataset key have the same data, and those that also share a
                schedule the same recipe, parity, timeline, workers, precision and source of
                initial weights, as far as the format contains them
  weights       the SHA-256 matches; names, shapes and types fit the network; all are finite
  reevaluation  with --reevaluate: the weights reproduce the accuracies of the last epoch

If there is a fault, verify exits with code 3. It also lists notes, which are not faults:
what published files may lack, such as evaluations before the last epoch, files left by
killed processes, and exports that have the name of a published file (export --as-published).`,
		Example: `  nb201 verify demo --reevaluate
  nb201 verify NAS-Bench-201-v1_1-096897.pth --json`,
		Args: oneArgument("PATH", aBenchmark),
		RunE: func(c *cobra.Command, args []string) error {
			b, err := openBenchmark(c, args[0])
			if err != nil {
				return err
			}
			defer b.Close()
			options := verify.Options{Record: train.CheckRecord}
			if campaign, isCampaign := b.Campaign(); isCampaign {
				switch p, err := plan.Read(campaign.Dir); {
				case err == nil:
					options.Record = func(r *results.Record) error { return cmp.Or(train.CheckRecord(r), p.CheckRecord(r)) }
				case !errors.Is(err, fs.ErrNotExist):
					inert.Fprintf(humanErr(c), "warning: records are not compared with the plan: %v\n", err)
				}
			}
			if flags.reevaluate {
				device, err := backend.ParseDevice(flags.device)
				if err != nil {
					return err
				}
				opened, err := openDevice(c.Context(), device, configs.FP32)
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
				err = printVerification(human(c), report)
			}
			if n := len(report.Faults); err == nil && n > 0 {
				err = trialsFailed(fmt.Sprintf("%s has %s", args[0], quantity.Format(n, "fault")))
			}
			return err
		},
	}
	f := c.Flags()
	f.BoolVar(&flags.reevaluate, "reevaluate", false, "check that the weights reproduce the accuracies of the last epoch")
	addData(f, &flags.data, dataUsage+", for --reevaluate")
	f.StringVar(&flags.device, "device", "cpu", "`DEVICE` for --reevaluate: cpu, cuda or cuda:N")
	f.BoolVar(&flags.json, "json", false, jsonUsage)
	return c
}

// reevaluateIn returns a function that evaluates a trial's weights again, on images in the data
// directory dataRoot: see [train.Session.Reevaluate].
func reevaluateIn(session *train.Session, dataRoot string) func(context.Context, *benchmark.ResultsCount, torchfile.StateDict) ([]results.SetResult, error) {
	return func(ctx context.Context, r *benchmark.ResultsCount, weights torchfile.StateDict) ([]results.SetResult, error) {
		sets, err := session.Reevaluate(ctx, r, weights, dataRoot)
		var diverged *train.Diverged
		if errors.As(err, &diverged) {
			nothing := results.Averages{Loss: diverged.Loss, Top1: math.NaN(), Top5: math.NaN()}
			return []results.SetResult{{Set: diverged.Stage, Images: 1, Averages: nothing}}, nil
		}
		return sets, err
	}
}

// countUp returns progressed, which shows on w how many units of some work are done, and done, which
// ends the display.
func countUp(w io.Writer, unit, description string) (progressed func(done, total int), done func()) {
	report, end := progress.Reporter(w, unit)
	return func(done, total int) { report(description, int64(done), int64(total)) }, end
}

// printVerification prints a report as text.
func printVerification(w io.Writer, r *verify.Report) error {
	fmt.Fprintf(w, "format         %s\narchitectures  %d\ntrials         %d, %d with weights\n\n", r.Format, r.Architectures, r.Trials, r.Weights)
	table := layout.NewNumbers(w, 1)
	fmt.Fprintln(table, "check\tlooked at\tfaults\t")
	for _, c := range r.Checks {
		fmt.Fprintf(table, "%s\t%d\t%d\t\n", c.Check, c.Checked, c.Faults)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	printList(w, "notes", r.Notes)
	printList(w, "faults", r.Faults)
	verdict := "no faults"
	if n := len(r.Faults); n > 0 {
		verdict = quantity.Format(n, "fault")
	}
	_, err := inert.Fprintf(w, "\n%s  %s\n", r.Path, verdict)
	return err
}

// printList prints a list under its heading, unless it is empty.
func printList[T fmt.Stringer](w io.Writer, name string, list []T) {
	if len(list) > 0 {
		fmt.Fprintf(w, "\n%s:\n", name)
	}
	for _, v := range list {
		inert.Fprintf(w, "  %s\n", v)
	}
}
