// Package verify checks a benchmark: for every trial, it recomputes whatever can be
// recomputed and compares it with what the benchmark contains.
//
// A [Fault] is a disagreement, which no sound benchmark has. A [Note] is something that a
// sound benchmark may have and its users should know. Every fault and note belongs to a
// [Check], the kind of comparison that found it.
//
// Start at [Run]. The checks of a trial are in trial.go, those of its weights in
// weights.go, and those of a file in files.go.
package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"

	"golang.org/x/sync/errgroup"

	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// Check is a kind of comparison.
type Check string

const (
	// CheckFiles checks that files are undamaged: they can be read, the CRCs in torch
	// checkpoints match, and so do the last digits of an MD5 in a file name.
	CheckFiles Check = "files"
	// CheckIdentity checks that a trial is the one that it is stored as: its genotype is that of
	// its index, it has the classes of its dataset, and its key is unique.
	CheckIdentity Check = "identity"
	// CheckCosts checks that FLOPs and parameters are those of the genotype's network.
	CheckCosts Check = "costs"
	// CheckCurves checks that curves are complete.
	CheckCurves Check = "curves"
	// CheckValues checks that values are finite and in range.
	CheckValues Check = "values"
	// CheckRecord checks that the record of a campaign's trial does not contradict itself: its
	// accuracies are shares of its images, its times lie between its start and its end, and
	// so on. See results.Record.Contradictions and Clocks, and Options.Record.
	CheckRecord Check = "record"
	// CheckHalves checks that the measures of ori-test are those of x-valid and x-test combined.
	CheckHalves Check = "halves"
	// CheckSeeds checks that all seeds on one schedule and dataset have the same network and
	// number of epochs.
	CheckSeeds Check = "seeds"
	// CheckSettings checks that trials on a dataset key used the same data, and those on a
	// schedule the same recipe, parity, precision and so on. Of published formats it can
	// only compare the network, and of runs the recipe too.
	CheckSettings Check = "settings"
	// CheckWeights checks that weights have the names, shapes and types of the network's, and
	// possible values.
	CheckWeights Check = "weights"
	// CheckReevaluation checks that the weights, evaluated again, give the measures of the
	// trial's last epoch.
	CheckReevaluation Check = "reevaluation"
)

var checks = []Check{
	CheckFiles, CheckIdentity, CheckCosts, CheckCurves, CheckValues, CheckRecord, CheckHalves, CheckSeeds, CheckSettings, CheckWeights, CheckReevaluation,
}

// Fault is a disagreement between the benchmark and what was recomputed, or within it.
type Fault struct {
	Check Check          `json:"check"`
	Trial *results.Trial `json:"trial,omitempty"` // nil: What names the file
	What  string         `json:"what"`
}

func (f Fault) String() string {
	if f.Trial == nil {
		return fmt.Sprintf("%s: %s", f.Check, f.What)
	}
	return fmt.Sprintf("%v: %s: %s", f.Trial, f.Check, f.What)
}

// Note is a fact about a file, or about a number of trials, that users should know.
type Note struct {
	Check   Check  `json:"check"`
	Dataset string `json:"dataset,omitempty"` // of the trials
	Recipe  string `json:"recipe,omitzero"`   // of the trials; "": the schedule is named by its number of epochs
	Epochs  int    `json:"epochs,omitzero"`   // of the trials
	What    string `json:"what"`
	Trials  int    `json:"trials,omitzero"` // 0: What names the file
}

func (n Note) String() string {
	if n.Trials == 0 {
		return n.What
	}
	schedule := fmt.Sprintf("%d epochs", n.Epochs)
	if n.Recipe != "" {
		schedule = "recipe " + n.Recipe
	}
	return fmt.Sprintf("%s, %s: %s (%d trials)", n.Dataset, schedule, n.What, n.Trials)
}

// of returns a trial with the dataset and the schedule of the note.
func (n Note) of() results.Trial {
	return results.Trial{Dataset: n.Dataset, Recipe: n.Recipe, Epochs: n.Epochs}
}

// Report lists what a verification found.
type Report struct {
	Path          string           `json:"path"`
	Format        benchmark.Format `json:"format"`
	Architectures int              `json:"architectures"`
	Trials        int              `json:"trials"` // those that could be read
	Weights       int              `json:"trials_with_weights"`
	Unsealed      int              `json:"records_without_sha256"` // records that contain no hash of themselves
	Checks        []Count          `json:"checks"`
	Faults        []Fault          `json:"faults"` // those of files, then in order of trials
	Notes         []Note           `json:"notes"`
}

// Count counts the files or trials that a check compared, and the faults it found.
type Count struct {
	Check   Check `json:"check"`
	Checked int   `json:"checked"`
	Faults  int   `json:"faults"`
}

// Options configures a verification.
type Options struct {
	// Reevaluate, if not nil, evaluates the weights of a trial on its evaluation sets. It
	// is called for one trial at a time. An error that wraps results.ErrOtherImages is a
	// fault of the trial; any other error ends the verification. An empty result means
	// that the images of the trial's dataset are unknown.
	Reevaluate func(context.Context, *benchmark.ResultsCount, torchfile.StateDict) ([]results.SetResult, error)
	// Record, if not nil, returns an error if this program could not have written the
	// record, or if the record belongs to another plan. It checks what package results cannot: the dataset
	// definition, and whether the recipe is the plan's.
	Record func(*results.Record) error
	// Progress, if not nil, is called after every file and every architecture with the
	// number of files and architectures checked, and their total.
	Progress func(done, total int)
}

// Run verifies a benchmark. Whatever is wrong with it, damaged files included, is in the
// report; an error means that the verification could not be completed, or that the
// benchmark is empty (a usage error). Run holds one architecture per core in memory.
func Run(ctx context.Context, b *benchmark.Benchmark, o Options) (*Report, error) {
	files, err := listFiles(b)
	if err != nil {
		return nil, err
	}
	archs := b.Evaluated()
	if len(archs) == 0 {
		return nil, usage.Errorf("%s contains no trials to verify%s", b.Path, cmp.Or(b.HowToFill(), "; name a campaign with finished trials, or published files"))
	}
	v := &verifier{options: o, total: len(files) + len(archs), checked: map[Check]int{}, notes: map[Note]int{}}
	findings := make([]findings, v.total)
	workers, ctx := errgroup.WithContext(ctx)
	workers.SetLimit(runtime.GOMAXPROCS(0))
	for i := range v.total {
		workers.Go(func() error {
			if err := ctx.Err(); err != nil {
				return err
			}
			f := &findings[i]
			if i < len(files) {
				f.checkFile(b, files[i])
			} else if err := v.checkArchitecture(ctx, b, archs[i-len(files)], f); err != nil {
				return err
			}
			v.add(f)
			return nil
		})
	}
	if err := workers.Wait(); err != nil {
		return nil, err
	}
	return v.report(b, findings), nil
}

// report summarizes the findings.
func (v *verifier) report(b *benchmark.Benchmark, findings []findings) *Report {
	r := &Report{
		Path: b.Path, Format: b.Format, Architectures: len(b.Evaluated()),
		Trials: v.checked[CheckIdentity], Weights: v.checked[CheckWeights], Unsealed: v.unsealed, Faults: []Fault{}, Notes: v.sortedNotes(),
	}
	if r.Unsealed > 0 {
		r.Notes = append(r.Notes, Note{
			Check: CheckRecord,
			What:  fmt.Sprintf("%d of %d records contain no SHA-256; an older version wrote them", r.Unsealed, r.Trials),
		})
	}
	reevaluate := v.options.Reevaluate != nil
	if reevaluate && r.Weights == 0 {
		r.Notes = append(r.Notes, Note{Check: CheckReevaluation, What: "no trial has weights to evaluate again"})
	}
	faults := map[Check]int{}
	reported := map[string]bool{}
	for i := range findings {
		for _, fault := range findings[i].faults {
			// A damaged file may be read twice: for itself and for an architecture.
			if fault.Trial == nil {
				if reported[fault.What] {
					continue
				}
				reported[fault.What] = true
			}
			faults[fault.Check]++
			r.Faults = append(r.Faults, fault)
		}
	}
	for _, odd := range v.experiments.Odd() {
		what := fmt.Sprintf("%v, as in %v", odd.Differences, odd.Usual)
		faults[CheckSettings]++
		r.Faults = append(r.Faults, Fault{CheckSettings, &odd.Trial, what})
	}
	sortFaults(r.Faults)
	for _, check := range checks {
		if check != CheckReevaluation || reevaluate {
			r.Checks = append(r.Checks, Count{check, v.checked[check], faults[check]})
		}
	}
	return r
}

// verifier is a verification in progress.
type verifier struct {
	options Options
	total   int // files and architectures

	device  sync.Mutex // held while a trial is evaluated
	mu      sync.Mutex
	done    int
	checked map[Check]int
	notes   map[Note]int // numbers of trials; the keys' Trials are 0

	unsealed int // records

	experiments results.Experiments // of the trials of all architectures
}

// add adds the findings of a file or an architecture.
func (v *verifier) add(f *findings) {
	v.mu.Lock()
	defer v.mu.Unlock()
	for check, n := range f.checked {
		v.checked[check] += n
	}
	for _, n := range f.notes {
		trials := n.Trials
		n.Trials = 0
		v.notes[n] += trials
	}
	v.unsealed += f.unsealed
	f.checked, f.notes = nil, nil
	v.done++
	if v.options.Progress != nil {
		v.options.Progress(v.done, v.total)
	}
}

func (v *verifier) checkArchitecture(ctx context.Context, b *benchmark.Benchmark, index int, f *findings) error {
	a, errs := b.Salvage(index)
	for _, err := range errs {
		f.addFault(CheckFiles, nil, "%v", err)
	}
	if a == nil {
		return nil
	}
	f.partlyTimed, f.oneSet = b.TimesOfEvaluated(), b.OneEvaluationSet()
	f.checkArchitecture(a)
	for _, s := range a.Schedules {
		f.checkSettings(s, &v.experiments)
	}
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			sound := r.Record == nil || f.checkRecord(r, v.options.Record)
			if err := v.checkWeights(ctx, r, sound, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// checkWeights checks the weights of a trial, if it has any. Reevaluation follows the record,
// so it requires a sound one.
func (v *verifier) checkWeights(ctx context.Context, r *benchmark.ResultsCount, soundRecord bool, f *findings) error {
	if err := ctx.Err(); err != nil || !r.HasWeights() {
		return err
	}
	f.countChecked(CheckWeights)
	weights, err := r.Weights()
	if err != nil {
		f.addFault(CheckWeights, r, "%v", err)
		return nil
	}
	if sound := f.checkWeights(r, weights); !sound || !soundRecord || v.options.Reevaluate == nil {
		return nil
	}
	v.device.Lock()
	defer v.device.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	evaluated, err := v.options.Reevaluate(ctx, r, weights)
	if errors.Is(err, results.ErrOtherImages) {
		f.countChecked(CheckReevaluation)
		f.addFault(CheckReevaluation, r, "%v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("evaluate %v again: %w", r.Trial, err)
	}
	f.checkReevaluation(r, evaluated)
	return nil
}

// sortedNotes lists the notes of files, then those of trials.
func (v *verifier) sortedNotes() []Note {
	notes := []Note{}
	for n, trials := range v.notes {
		n.Trials = trials
		notes = append(notes, n)
	}
	slices.SortFunc(notes, func(a, b Note) int {
		return cmp.Or(
			a.of().Compare(b.of()),
			cmp.Compare(a.What, b.What),
		)
	})
	return notes
}

// findings collects the faults and notes of one file or architecture.
type findings struct {
	faults  []Fault
	notes   []Note
	checked map[Check]int

	unsealed    int  // records
	partlyTimed bool // see [benchmark.Benchmark.TimesOfEvaluated]
	oneSet      bool // see [benchmark.Benchmark.OneEvaluationSet]
}

// countChecked counts a trial or a file for a check.
func (f *findings) countChecked(check Check) {
	if f.checked == nil {
		f.checked = map[Check]int{}
	}
	f.checked[check]++
}

// addFault adds a fault of the trial r or, if r is nil, of the file that the text names.
func (f *findings) addFault(check Check, r *benchmark.ResultsCount, format string, args ...any) {
	fault := Fault{Check: check, What: fmt.Sprintf(format, args...)}
	if r != nil {
		trial := r.Trial
		fault.Trial = &trial
	}
	f.faults = append(f.faults, fault)
}

// addNote adds a note about a trial.
func (f *findings) addNote(check Check, r *benchmark.ResultsCount, format string, args ...any) {
	f.notes = append(f.notes, Note{check, r.Dataset, r.Trial.Recipe, r.Epochs, fmt.Sprintf(format, args...), 1})
}

// sortFaults sorts faults by trial, those without a trial first.
func sortFaults(faults []Fault) {
	trial := func(f Fault) results.Trial {
		if f.Trial == nil {
			return results.Trial{Arch: -1}
		}
		return *f.Trial
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return trial(a).Compare(trial(b)) })
}
