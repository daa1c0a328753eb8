// Package verify checks a benchmark: it derives again what can be derived of every
// trial and compares it with what the benchmark says.
//
// A fault is a disagreement: something that no sound benchmark holds. A note is
// something that one may hold and that its users should know. Each belongs to a check
// (Check), what was looked at to find it.
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

// Check names what is looked at.
type Check string

const (
	// Files are whole: they can be read, every record of a torch checkpoint has its
	// CRC, and a name that ends in digits of the file's MD5 has the right ones.
	Files Check = "files"
	// Identity: a trial is the one that it is kept as. Its genotype is that of its
	// index, its classes are its dataset's, and it is the only one of its key.
	Identity Check = "identity"
	// Costs, FLOPs and parameters, are those of the genotype's network.
	Costs Check = "costs"
	// Curves are complete.
	Curves Check = "curves"
	// Values are finite and in their ranges.
	Values Check = "values"
	// Record: what the record of a campaign's trial says agrees with the rest of it. Its
	// accuracies are shares of its images, its times lie between its start and its end, and
	// so on: results.Record.Contradictions and Clocks, and Options.Record.
	Record Check = "record"
	// Halves: ori-test is the union of x-valid and x-test, and so are its measures.
	Halves Check = "halves"
	// Seeds of one schedule and dataset are of the same network and epochs.
	Seeds Check = "seeds"
	// Settings are those of one experiment: the trials on a dataset key are of the same
	// data, and those along a schedule of the same recipe, parity, precision and so on; of
	// published formats the network, and of runs the recipe.
	Settings Check = "settings"
	// Weights have the names, shapes and types of the network, and possible values.
	Weights Check = "weights"
	// Reevaluation of the weights gives what the trial's last epoch says.
	Reevaluation Check = "reevaluation"
)

var checks = []Check{Files, Identity, Costs, Curves, Values, Record, Halves, Seeds, Settings, Weights, Reevaluation}

// Fault is a disagreement.
type Fault struct {
	Check Check          `json:"check"`
	Trial *results.Trial `json:"trial,omitempty"` // nil: What says where
	What  string         `json:"what"`
}

func (f Fault) String() string {
	if f.Trial == nil {
		return fmt.Sprintf("%s: %s", f.Check, f.What)
	}
	return fmt.Sprintf("%v: %s: %s", f.Trial, f.Check, f.What)
}

// Note is something to know of a file, or of a number of trials.
type Note struct {
	Check   Check  `json:"check"`
	Dataset string `json:"dataset,omitempty"` // of the trials
	Epochs  int    `json:"epochs,omitzero"`
	What    string `json:"what"`
	Trials  int    `json:"trials,omitzero"` // 0: What says of which file
}

func (n Note) String() string {
	if n.Trials == 0 {
		return n.What
	}
	return fmt.Sprintf("%s, %d epochs: %s (%d trials)", n.Dataset, n.Epochs, n.What, n.Trials)
}

// Report is what a verification found.
type Report struct {
	Path          string           `json:"path"`
	Format        benchmark.Format `json:"format"`
	Architectures int              `json:"architectures"`
	Trials        int              `json:"trials"` // that could be read
	Weights       int              `json:"trials_with_weights"`
	Unsealed      int              `json:"records_without_sha256"` // those of the trials that carry none over themselves
	Checks        []Count          `json:"checks"`
	Faults        []Fault          `json:"faults"` // of files, then in order of trials
	Notes         []Note           `json:"notes"`
}

// Count says how much a check looked at, files or trials, and how many faults it found.
type Count struct {
	Check   Check `json:"check"`
	Checked int   `json:"checked"`
	Faults  int   `json:"faults"`
}

// Evaluated is what stored weights give on an evaluation set.
type Evaluated struct {
	Set              string
	Images           int
	Loss, Top1, Top5 float64 // accuracies in percent
}

// Options of a verification.
type Options struct {
	// Reevaluate, if any, evaluates the weights of a trial on its evaluation sets. It is
	// called for one trial at a time. Its error results.ErrOtherImages is a fault of the
	// trial, any other ends the verification; no evaluation at all means that the images of
	// the trial's dataset are not known.
	Reevaluate func(context.Context, *benchmark.ResultsCount, torchfile.StateDict) ([]Evaluated, error)
	// Record, if any, says what makes the record of a trial none that this program leaves,
	// as far as the package results does not know: the meaning of its dataset definition.
	Record func(*results.Record) error
	// Progress, if any, is told after every file and every architecture how many of
	// them are done.
	Progress func(done, total int)
}

// Run verifies a benchmark. What is wrong with it is in the report, damaged files too;
// an error means that it could not be verified to the end, or holds nothing. As many
// architectures as there are cores are in memory.
func Run(ctx context.Context, b *benchmark.Benchmark, o Options) (*Report, error) {
	files, err := listFiles(b)
	if err != nil {
		return nil, err
	}
	archs := b.Evaluated()
	if len(archs) == 0 {
		return nil, usage.Errorf("%s holds no trial that could be verified", b.Path)
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
				f.file(b, files[i])
			} else if err := v.architecture(ctx, b, archs[i-len(files)], f); err != nil {
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

// report sums up what was found.
func (v *verifier) report(b *benchmark.Benchmark, findings []findings) *Report {
	r := &Report{
		Path: b.Path, Format: b.Format, Architectures: len(b.Evaluated()),
		Trials: v.checked[Identity], Weights: v.checked[Weights], Unsealed: v.unsealed, Faults: []Fault{}, Notes: v.sortedNotes(),
	}
	if r.Unsealed > 0 {
		r.Notes = append(r.Notes, Note{Check: Record, What: fmt.Sprintf("%d of %d records carry no SHA-256: they were written by an older version", r.Unsealed, r.Trials)})
	}
	reevaluate := v.options.Reevaluate != nil
	if reevaluate && r.Weights == 0 {
		r.Notes = append(r.Notes, Note{Check: Reevaluation, What: "no trial has weights that could be evaluated again"})
	}
	faults := map[Check]int{}
	said := map[string]bool{}
	for i := range findings {
		for _, fault := range findings[i].faults {
			// A damaged file may be met twice: by itself and as an architecture's.
			if fault.Trial == nil {
				if said[fault.What] {
					continue
				}
				said[fault.What] = true
			}
			faults[fault.Check]++
			r.Faults = append(r.Faults, fault)
		}
	}
	for _, odd := range v.experiments.Odd() {
		what := fmt.Sprintf("%v, as of %v", odd.Differences, odd.Usual)
		faults[Settings]++
		r.Faults = append(r.Faults, Fault{Settings, &odd.Trial, what})
	}
	sortFaults(r.Faults)
	for _, check := range checks {
		if check != Reevaluation || reevaluate {
			r.Checks = append(r.Checks, Count{check, v.checked[check], faults[check]})
		}
	}
	return r
}

// verifier is a verification under way.
type verifier struct {
	options Options
	total   int // files and architectures

	device  sync.Mutex // held by the one trial that is evaluated again
	mu      sync.Mutex
	done    int
	checked map[Check]int
	notes   map[Note]int // less their Trials, which the values are

	unsealed int // records

	experiments results.Experiments // of the trials of all architectures
}

// add counts a file or an architecture that is done.
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

func (v *verifier) architecture(ctx context.Context, b *benchmark.Benchmark, index int, f *findings) error {
	a, errs := b.Salvage(index)
	for _, err := range errs {
		f.fault(Files, nil, "%v", err)
	}
	if a == nil {
		return nil
	}
	f.architecture(a)
	for _, s := range a.Schedules {
		f.settings(s, &v.experiments)
	}
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			sound := r.Record == nil || f.record(r, v.options.Record)
			if err := v.weights(ctx, r, sound, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// weights checks the weights of a trial, if it has any. Only where the record is sound are
// they evaluated as it says.
func (v *verifier) weights(ctx context.Context, r *benchmark.ResultsCount, soundRecord bool, f *findings) error {
	if err := ctx.Err(); err != nil || !r.HasWeights() {
		return err
	}
	f.count(Weights)
	weights, err := r.Weights()
	if err != nil {
		f.fault(Weights, r, "%v", err)
		return nil
	}
	if sound := f.weights(r, weights); !sound || !soundRecord || v.options.Reevaluate == nil {
		return nil
	}
	v.device.Lock()
	defer v.device.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	evaluated, err := v.options.Reevaluate(ctx, r, weights)
	if errors.Is(err, results.ErrOtherImages) {
		f.count(Reevaluation)
		f.fault(Reevaluation, r, "%v", err)
		return nil
	}
	if err != nil {
		return fmt.Errorf("evaluate %v again: %w", r.Trial, err)
	}
	f.reevaluation(r, evaluated)
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
			results.Trial{Dataset: a.Dataset, Epochs: a.Epochs}.Compare(results.Trial{Dataset: b.Dataset, Epochs: b.Epochs}),
			cmp.Compare(a.What, b.What),
		)
	})
	return notes
}

// findings are those of one file or architecture.
type findings struct {
	faults  []Fault
	notes   []Note
	checked map[Check]int

	unsealed int // records
}

// count says that a check looks at one more trial or file.
func (f *findings) count(check Check) {
	if f.checked == nil {
		f.checked = map[Check]int{}
	}
	f.checked[check]++
}

// fault adds a fault of a trial or, when it is nil, of what the text names.
func (f *findings) fault(check Check, r *benchmark.ResultsCount, format string, args ...any) {
	fault := Fault{Check: check, What: fmt.Sprintf(format, args...)}
	if r != nil {
		trial := r.Trial
		fault.Trial = &trial
	}
	f.faults = append(f.faults, fault)
}

// note adds a note about a trial.
func (f *findings) note(check Check, r *benchmark.ResultsCount, format string, args ...any) {
	f.notes = append(f.notes, Note{check, r.Dataset, r.Epochs, fmt.Sprintf(format, args...), 1})
}

// sortFaults puts faults in order of their trials, those without one first.
func sortFaults(faults []Fault) {
	trial := func(f Fault) results.Trial {
		if f.Trial == nil {
			return results.Trial{Arch: -1}
		}
		return *f.Trial
	}
	slices.SortStableFunc(faults, func(a, b Fault) int { return trial(a).Compare(trial(b)) })
}
