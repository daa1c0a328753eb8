package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/scheduler"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan"
	"nb201/scheduler/state"
	"nb201/train"
)

// evaluateFlags holds the flags of nb201 evaluate.
type evaluateFlags struct {
	workers
	dataset, to string
	batch       int
	selection   trialSelection
	json        bool
}

func newEvaluateCommand() *cobra.Command {
	var flags evaluateFlags
	c := &cobra.Command{
		Use:   "evaluate PATH --dataset KEY|FILE.json --to DIR",
		Short: "Evaluate the stored weights of a benchmark on further evaluation sets",
		Long: `evaluate evaluates the stored weights of all trials in PATH, a campaign or published files
with weights, on the evaluation sets of another dataset: corrupted images, or another test set.
It leaves out trials without weights, and those with another number of classes.

Output (--to DIR):
  DIR is the campaign itself, or a directory for evaluations alone. It then contains
    DIR/evaluations/KEY/evaluation.json                            what is evaluated
    DIR/evaluations/KEY/trials/000123/cifar10/0012-0777.json       loss, top-1 and top-5
  query, export, report and all other commands that read a benchmark show the trials of PATH
  with the further sets when they open DIR. A set has the name of its dataset and its own, as
  in cifar10-c.noise, and a value after the last epoch.
  The results equal those of nb201 train ARCH --dataset FILE.json --from WEIGHTS --eval-only.

Stopping and failures are as in nb201 run:
  The same command resumes. Several commands, on this host or on others that share DIR, share
  the work. A worker that crashes or hangs is replaced, and its trial tried again; after
  --max-attempts attempts the trial has failed. A damaged record of an evaluation, or one of
  weights that were trained again since, is kept as NAME.json.damaged and made again.`,
		Example: `  nb201 evaluate campaign --dataset sets/cifar10-c.json --to campaign
  nb201 evaluate campaign --dataset sets/cifar10-c.json --to campaign --devices cuda:0,1
  nb201 evaluate NAS-Bench-201-v1_1-archive --dataset mine.json --archs 0-99 --schedules 200 --to mine
  nb201 query campaign 12 --set cifar10-c.noise`,
		Args: oneArgument("PATH", aBenchmark),
		RunE: func(c *cobra.Command, args []string) error {
			if err := flags.validate(); err != nil {
				return err
			}
			return flags.run(c, args[0])
		},
	}
	f := c.Flags()
	f.StringVar(&flags.dataset, "dataset", "", "evaluate on the evaluation sets of dataset `KEY` or a definition file (*.json)")
	f.StringVar(&flags.to, "to", "", "write the results into `DIR`: the campaign PATH, or another directory")
	flags.selection.addFlags(f)
	f.IntVar(&flags.batch, "batch", configs.Published().Batch, "`IMAGES` per batch")
	flags.addFlags(f)
	f.BoolVar(&flags.json, "json", false, jsonUsage)
	markRequired(c, "dataset", "to")
	return c
}

// run evaluates the selected trials of the benchmark at path, and prints the results.
func (f *evaluateFlags) run(c *cobra.Command, path string) error {
	if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
		return usage.Errorf("%s: %w; name a campaign or a published file", path, err)
	}
	d, err := data.Find(f.dataset)
	if err != nil {
		return err
	}
	d = d.ForTimeline(configs.Published().Timeline)
	evaluated, p, err := f.plan(c.Context(), path, d)
	if err != nil {
		return err
	}
	f.Dir = evaluated.Dir
	trials, err := f.selectTrials(c, path, d, evaluated)
	if err != nil {
		return err
	}
	if err := p.Write(evaluated); errors.Is(err, results.ErrOtherEvaluations) {
		return err
	} else if err != nil {
		return usage.Errorf("cannot write into %s: %w", f.to, err)
	}
	if err := followMove(f.to, p); err != nil {
		return err
	}
	totals, err := f.start(c, []string{"--evaluate"}, func(o scheduler.Options) (state.Totals, error) {
		return scheduler.Evaluate(c.Context(), o, trials)
	})
	if err != nil {
		return err
	}
	result, err := readEvaluations(c.Context(), evaluated, p, trials, totals)
	if err != nil {
		return err
	}
	if f.json {
		err = printJSON(c, result)
	} else {
		err = result.print(human(c))
	}
	if err != nil {
		return err
	}
	if totals.Failed > 0 {
		return trialsFailed(fmt.Sprintf("%d of %s failed; evaluate again with --retry-failed to retry them", totals.Failed, quantity.Format(totals.Planned, "trial")))
	}
	suggestNext(c, "report", f.to)
	return nil
}

// plan returns the campaign of evaluations and its plan: the one that it has, or a new one.
func (f *evaluateFlags) plan(ctx context.Context, path string, d data.Definition) (results.Campaign, *results.EvaluationPlan, error) {
	none := results.Campaign{}
	if f.batch < 1 {
		return none, nil, usage.Errorf("--batch %d: use at least 1", f.batch)
	}
	for _, set := range d.Eval {
		if err := configs.CheckName(benchmark.FurtherSet(d.Name, set.Name)); err != nil {
			return none, nil, usage.Errorf("the evaluation sets of a dataset are named KEY.SET; give %s shorter names: %w", f.dataset, err)
		}
	}
	found, err := d.FindFiles(f.root)
	if err != nil {
		return none, nil, err
	}
	files, err := found.Describe(ctx)
	if err != nil {
		return none, nil, err
	}
	p := &results.EvaluationPlan{FormatVersion: results.EvaluationVersion, Dataset: d.Name, DataFiles: train.FilesOf(files), Batch: f.batch}
	if p.Definition, err = json.Marshal(d); err != nil {
		return none, nil, err
	}
	if p.Directory, err = d.Directory(); err != nil {
		return none, nil, err
	}
	if err := p.SetSource(path, f.to); err != nil {
		return none, nil, err
	}
	if err := checkTarget(f.to, p); err != nil {
		return none, nil, err
	}
	if err := checkSetNames(f.to, p); err != nil {
		return none, nil, err
	}
	evaluated := results.EvaluationsOn(f.to, d.Name)
	return evaluated, p, p.CheckAgainst(evaluated)
}

// checkTarget refuses a directory that contains the evaluations of another benchmark than the plan's
// source, unless that is gone, or another benchmark itself.
func checkTarget(to string, p *results.EvaluationPlan) error {
	if around := results.CampaignOf(filepath.Join(to, "file")); around != "" {
		return usage.Errorf("--to %s is part of the campaign %s; name that directory or another one", to, around)
	}
	source := p.SourceIn(to)
	kind, err := published.Recognise(to)
	_, noPlan := os.Stat(plan.Path(to))
	switch isCampaign := err == nil && kind.Format == published.CampaignFormat || noPlan == nil; {
	case isCampaign && source != to:
		return usage.Errorf("--to %s is a campaign, and its weights are not the ones to evaluate; use another directory", to)
	case !isCampaign && err == nil && kind.Format != "" && kind.Format != published.Evaluations:
		return usage.Errorf("--to %s is a benchmark in the format %s, which nb201 only reads; use another directory", to, kind.Format)
	}
	return eachPlan(to, func(known *results.EvaluationPlan) error {
		if known.SameSource(p, to) || known.IsSourceGone(to) {
			return nil
		}
		return usage.Errorf("--to %s contains the evaluations of %s; use another directory for those of %s", to, known.SourceIn(to), source)
	})
}

// checkSetNames refuses a dataset with an evaluation set whose name among those of a trial is that of
// another dataset's in a directory: the set b of the dataset w.a, and a.b of w.
func checkSetNames(to string, p *results.EvaluationPlan) error {
	return eachPlan(to, func(known *results.EvaluationPlan) error {
		if known.Dataset == p.Dataset {
			return nil
		}
		taken := benchmark.FurtherSets(known)
		for _, name := range benchmark.FurtherSets(p) {
			if slices.Contains(taken, name) {
				return usage.Errorf("--to %s contains a set %s of the dataset %s already; give %s another name", to, name, known.Dataset, p.Dataset)
			}
		}
		return nil
	})
}

// eachPlan calls do with the plans of all evaluations in a directory.
func eachPlan(dir string, do func(*results.EvaluationPlan) error) error {
	keys, err := results.ListEvaluations(dir)
	if err != nil {
		return usage.Errorf("cannot read --to %s: %w", dir, err)
	}
	for _, key := range keys {
		p, err := results.ReadEvaluationPlan(results.EvaluationsOn(dir, key).Dir)
		if err == nil {
			err = do(p)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// followMove gives the source of p to all evaluations in a directory whose source is gone: it was moved.
func followMove(dir string, p *results.EvaluationPlan) error {
	return eachPlan(dir, func(known *results.EvaluationPlan) error {
		if !known.IsSourceGone(dir) {
			return nil
		}
		known.Source = p.Source
		return known.Write(results.EvaluationsOn(dir, known.Dataset))
	})
}

// selectTrials lists the trials to evaluate in the order of [results.Trial.Compare]: those of the
// benchmark at path that the flags select and that have weights for as many classes as the
// dataset d. It moves evaluations of other weights out of their way.
func (f *evaluateFlags) selectTrials(c *cobra.Command, path string, d data.Definition, evaluated results.Campaign) ([]results.Trial, error) {
	b, err := openBenchmark(c, path, published.WithoutEvaluations())
	if err != nil {
		return nil, err
	}
	defer b.Close()
	archs, err := f.selection.architectures(b)
	if err != nil {
		return nil, err
	}
	progressed, done := countUp(c.ErrOrStderr(), "architectures", "listing")
	defer done()
	var trials []results.Trial
	var bare, otherClasses int
	others := map[string]bool{} // datasets with another normalisation, of which the user was warned
	for i, index := range archs {
		if err := c.Context().Err(); err != nil {
			return nil, err
		}
		a, errs := b.Salvage(index)
		for _, err := range errs {
			warn(c, err.Error())
		}
		progressed(i+1, len(archs))
		if a == nil {
			continue
		}
		for _, s := range a.Schedules {
			for _, r := range s.Results {
				switch {
				case !f.selection.has(s.HP, r):
				case !r.HasWeights():
					bare++
				case r.Classes != d.Classes:
					otherClasses++
				default:
					trials = append(trials, r.Trial)
					if what := otherNormalization(r, d); what != "" && !others[r.Dataset] {
						others[r.Dataset] = true
						warn(c, what)
					}
					if err := moveStale(c, evaluated, r); err != nil {
						return nil, err
					}
				}
			}
		}
	}
	left := ""
	for _, n := range []struct {
		count int
		what  string
	}{{bare, "without weights"}, {otherClasses, fmt.Sprintf("of another number of classes than the %d of %s", d.Classes, d.Name)}} {
		if n.count > 0 {
			left += fmt.Sprintf("; left out: %s %s", quantity.Format(n.count, "trial"), n.what)
		}
	}
	if len(trials) == 0 {
		return nil, usage.Errorf("%s has no trials to evaluate on %s%s%s", path, f.dataset, f.selection.describe(), left)
	}
	if left != "" {
		inert.Fprintf(humanErr(c), "%s to evaluate%s\n", quantity.Format(len(trials), "trial"), left)
	}
	slices.SortFunc(trials, results.Trial.Compare)
	for i := range len(trials) - 1 {
		if trials[i] == trials[i+1] { // in two slots of a published file, with schedules of equal length
			return nil, usage.Errorf("%s has two trials of %v; select one with --schedules", path, trials[i])
		}
	}
	return trials, nil
}

// otherNormalization returns a warning if the images of d are normalised otherwise than those that a trial
// was trained on, as far as its definition is known; "" if not.
func otherNormalization(r *benchmark.ResultsCount, d data.Definition) string {
	trained, err := data.Published(r.Dataset)
	if r.Record != nil {
		trained, err = data.DecodeDefinition("dataset definition", r.Record.Definition, "")
	}
	if err != nil || trained.Mean == d.Mean && trained.Std == d.Std {
		return ""
	}
	return fmt.Sprintf("dataset %s has mean %v and deviation %v, but the trials on %s were trained with mean %v and deviation %v; their results on it will be worse than they need to be",
		d.Name, d.Mean, d.Std, r.Dataset, trained.Mean, trained.Std)
}

// moveStale renames the evaluation of a trial that was trained again since.
func moveStale(c *cobra.Command, evaluated results.Campaign, r *benchmark.ResultsCount) error {
	to, err := evaluated.MoveStale(r.Trial, func(e *results.EvaluationRecord) bool { return published.IsStale(e, r) })
	if to != "" {
		warn(c, fmt.Sprintf("%v was trained again since its evaluation, which is renamed to %s; the trial is evaluated again", r.Trial, to))
	}
	return err
}

// evaluations holds the results of nb201 evaluate, as --json prints them.
type evaluations struct {
	Directory string         `json:"directory"` // with the records
	Dataset   string         `json:"dataset"`
	Trials    int            `json:"trials"`
	Done      int            `json:"done"`
	Failed    int            `json:"failed"`
	Sets      []evaluatedSet `json:"sets"`
	Failures  []string       `json:"failures"`

	failures []attempt.Failure
}

// evaluatedSet holds means over the evaluated trials.
type evaluatedSet struct {
	Set    string  `json:"set"`
	Images int     `json:"images"`
	Loss   float64 `json:"mean_loss"`
	Top1   float64 `json:"mean_top1_percent"`
	Top5   float64 `json:"mean_top5_percent"`
	Worst  float64 `json:"lowest_top1_percent"`
	Best   float64 `json:"highest_top1_percent"`
}

// readEvaluations reads the evaluations of the trials.
func readEvaluations(ctx context.Context, c results.Campaign, p *results.EvaluationPlan, trials []results.Trial, totals state.Totals) (*evaluations, error) {
	e := &evaluations{Directory: c.Dir, Dataset: p.Dataset, Trials: totals.Planned, Done: totals.Done, Failed: totals.Failed, Failures: []string{}}
	read := 0
	for _, t := range trials {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := c.Evaluation(t)
		if errors.Is(err, fs.ErrNotExist) {
			failure, _, err := attempt.EarlierFailures(c.Dir, t)
			if err != nil {
				return nil, err
			}
			e.failures = append(e.failures, failure)
			if n := len(failure.Attempts); n > 0 {
				e.Failures = append(e.Failures, fmt.Sprintf("%v: %s", t, failure.Attempts[n-1].Reason))
			}
			continue
		}
		if err != nil {
			return nil, err
		}
		read++
		for i, s := range r.Sets {
			if len(e.Sets) <= i {
				e.Sets = append(e.Sets, evaluatedSet{Set: benchmark.FurtherSet(p.Dataset, s.Set), Images: s.Images, Worst: s.Top1, Best: s.Top1})
			}
			set := &e.Sets[i]
			set.Loss += s.Loss
			set.Top1 += s.Top1
			set.Top5 += s.Top5
			set.Worst, set.Best = min(set.Worst, s.Top1), max(set.Best, s.Top1)
		}
	}
	for i := range e.Sets {
		for _, v := range []*float64{&e.Sets[i].Loss, &e.Sets[i].Top1, &e.Sets[i].Top5} {
			*v /= float64(read)
		}
	}
	return e, nil
}

// print prints the results as a table.
func (e *evaluations) print(w io.Writer) error {
	inert.Fprintf(w, "%d of %s evaluated on %s, %d failed; the records are in %s\n", e.Done, quantity.Format(e.Trials, "trial"), e.Dataset, e.Failed, e.Directory)
	if len(e.Sets) > 0 {
		fmt.Fprintln(w)
		t := layout.NewNumbers(w, 1)
		fmt.Fprintln(t, "set\timages\tmean loss\tmean top-1 %\tmean top-5 %\tlowest top-1 %\thighest top-1 %\t")
		for _, s := range e.Sets {
			inert.Fprintf(t, "%s\t%d\t%.4f\t%.2f\t%.2f\t%.2f\t%.2f\t\n", s.Set, s.Images, s.Loss, s.Top1, s.Top5, s.Worst, s.Best)
		}
		if err := t.Flush(); err != nil {
			return err
		}
	}
	printLastFailures(w, e.Directory, e.failures)
	return nil
}

// trialSelection holds the flags that select trials of a benchmark.
type trialSelection struct {
	archs               string
	datasets, schedules []string
	seeds               seedsFlag
}

// addFlags adds the flags.
func (s *trialSelection) addFlags(f *pflag.FlagSet) {
	f.StringVar(&s.archs, "archs", "", "only these architectures: "+archsUsage)
	f.StringSliceVar(&s.datasets, "trained-on", nil, "only trials trained on these dataset `KEYS`")
	f.StringSliceVar(&s.schedules, "schedules", nil, "only trials with these `SCHEDULES`, such as 200 or a recipe's name")
	f.Var(&s.seeds, "seeds", "only trials with these `SEEDS`")
}

// architectures lists the architectures of a benchmark that are selected. One that the benchmark does not
// hold is a usage error only if none of them is held.
func (s *trialSelection) architectures(b *benchmark.Benchmark) ([]int, error) {
	if s.archs == "" {
		return b.Evaluated(), nil
	}
	selected, err := plan.ParseArchs(b.Space, s.archs)
	if err != nil {
		return nil, err
	}
	held := slices.DeleteFunc(slices.Clone(b.Evaluated()), func(i int) bool { return !selected.Has(i) })
	if len(held) == 0 {
		return nil, usage.Errorf("%s holds none of the architectures --archs %s", b.Path, s.archs)
	}
	return held, nil
}

// describe names the flags that were given, for an error.
func (s *trialSelection) describe() string {
	var given []string
	for _, f := range []struct{ name, value string }{
		{"archs", s.archs}, {"trained-on", joinCommas(s.datasets)}, {"schedules", joinCommas(s.schedules)}, {"seeds", joinCommas(s.seeds)},
	} {
		if f.value != "" {
			given = append(given, "--"+f.name+" "+f.value)
		}
	}
	if given == nil {
		return ""
	}
	return " with " + strings.Join(given, " ")
}

// has reports whether a trial of the schedule hp is selected.
func (s *trialSelection) has(hp string, r *benchmark.ResultsCount) bool {
	in := func(list []string, value string) bool { return len(list) == 0 || slices.Contains(list, value) }
	return in(s.datasets, r.Dataset) && in(s.schedules, hp) && (len(s.seeds) == 0 || slices.Contains(s.seeds, r.Seed))
}
