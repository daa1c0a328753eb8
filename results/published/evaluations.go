package published

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/internal/shell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// Evaluations is the format of a directory with the evaluations of another benchmark's weights on
// further datasets; see [results.EvaluationPlan]. Opened, it is that benchmark with further evaluation
// sets.
const Evaluations benchmark.Format = "evaluations"

func evaluationsReader() reader {
	return reader{
		name: Evaluations,
		inDir: func(dir string, entries []os.DirEntry) ([]string, error) {
			if around, _ := results.EvaluationsAround(dir); around != "" {
				return nil, usage.Errorf("%s is part of the evaluations in %s; name that directory", dir, around)
			}
			if slices.ContainsFunc(entries, func(e os.DirEntry) bool { return e.Name() == "trials" }) {
				return nil, nil // the evaluations are in the campaign that was evaluated
			}
			return results.ListEvaluations(dir)
		},
		open:      openEvaluations,
		recognise: recogniseEvaluation,
	}
}

// openEvaluations opens the benchmark whose weights were evaluated, with the evaluations.
func openEvaluations(ctx context.Context, o *opening) (*benchmark.Benchmark, error) {
	var first *results.EvaluationPlan
	var sets []string
	for _, key := range o.files {
		p, err := results.ReadEvaluationPlan(results.EvaluationsOn(o.path, key).Dir)
		if err != nil {
			return nil, err
		}
		switch source := p.SourceIn(o.path); {
		case source == o.path:
			return nil, usage.Errorf("%s: the campaign that was evaluated is gone from this directory; restore its directory \"trials\"", o.path)
		case p.IsSourceGone(o.path):
			dataset := key
			if p.Directory != "" {
				dataset = filepath.Join(p.Directory, key+".json") // as nb201 data import names it
			}
			return nil, usage.Errorf("%s contains evaluations of %s, which is gone; if it was moved, run `nb201 evaluate NEWPATH --dataset %s --to %s` with its new path",
				o.path, source, shell.Quote(dataset), shell.Quote(o.path))
		case first != nil && !first.SameSource(p, o.path):
			return nil, usage.Errorf("%s contains evaluations of %s and of %s; keep them in a directory each", o.path, first.SourceIn(o.path), source)
		case first == nil:
			first = p
		}
		sets = append(sets, benchmark.FurtherSets(p)...)
	}
	source := first.SourceIn(o.path)
	b, err := Open(ctx, source, func(of *opening) { of.progress, of.elsewhere = o.progress, o.files })
	if err != nil {
		return nil, err
	}
	return b.With(o.path, evaluations{dir: o.path, space: b.Space, archs: b.Evaluated(), sets: sets}), nil
}

// recogniseEvaluation recognises the record and the plan of evaluations.
func recogniseEvaluation(c *content) (Kind, bool) {
	if !c.jsonHas("trial", "weights_sha256") && !c.jsonHas("source", "dataset_definition") {
		return Kind{}, false
	}
	k := Kind{what: "part of the evaluations of a benchmark's weights on another dataset", todo: "name the directory given to nb201 evaluate --to"}
	if around := results.CampaignOf(c.path); around != "" {
		k.todo = "name their directory, " + around
	}
	return k, true
}

// withEvaluations returns a benchmark at dir with the trials of b, and with what the evaluations below
// dir add to them, as far as they are done when an architecture is read, except for those on the dataset
// keys elsewhere.
func withEvaluations(b *benchmark.Benchmark, dir string, elsewhere []string) *benchmark.Benchmark {
	return b.With(dir, evaluations{dir: dir, space: b.Space, archs: b.Evaluated(), elsewhere: elsewhere})
}

// evaluations is a [benchmark.Extension]: the evaluations below a directory.
type evaluations struct {
	dir   string
	space cell.Space
	archs []int // of the benchmark, ascending
	// elsewhere lists dataset keys that count as not evaluated here, because all evaluations on them come
	// from another directory: the two may differ in the images.
	elsewhere []string
	// sets lists the further evaluation sets whose measures in the benchmark do not count, because the
	// evaluations here are on sets of these names.
	sets []string
}

// each calls do for the evaluations on each dataset.
func (x evaluations) each(do func(key string, c results.Campaign) error) error {
	keys, err := results.ListEvaluations(x.dir)
	if err != nil {
		return usage.Errorf("cannot list the evaluations in %s: %w", x.dir, err)
	}
	for _, key := range keys {
		if slices.Contains(x.elsewhere, key) {
			continue
		}
		if err := do(key, results.EvaluationsOn(x.dir, key)); err != nil {
			return err
		}
	}
	return nil
}

func (x evaluations) Extend(a *benchmark.Architecture) (errs []error) {
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			r.Evaluation = slices.DeleteFunc(r.Evaluation, func(m benchmark.SetMeasures) bool { return slices.Contains(x.sets, m.Set) })
		}
	}
	err := x.each(func(key string, c results.Campaign) error {
		for _, s := range a.Schedules {
			for _, r := range s.Results {
				if err := addEvaluation(r, key, c); err != nil {
					errs = append(errs, err)
				}
			}
		}
		return nil
	})
	if err != nil {
		errs = append(errs, err)
	}
	return errs
}

func (x evaluations) Files(index int) (files []string, err error) {
	err = x.each(func(_ string, c results.Campaign) error {
		trials, err := c.TrialsOf(x.space, index)
		if errors.Is(err, fs.ErrNotExist) { // no trial is evaluated yet
			return nil
		}
		for _, t := range trials {
			files = append(files, c.RecordPath(t))
		}
		return err
	})
	return files, err
}

// CheckFile checks the plans of the evaluations, and that the records are what the plans describe. It notes
// files below trials/ that are not read. Extend reports damaged records.
func (x evaluations) CheckFile(path string) (note string, faults []error, own bool) {
	name, err := filepath.Rel(x.dir, path)
	below, isOwn := strings.CutPrefix(filepath.ToSlash(name), "evaluations/")
	if err != nil || !isOwn {
		return "", nil, false
	}
	key, below, _ := strings.Cut(below, "/")
	c := results.EvaluationsOn(x.dir, key)
	plan, err := results.ReadEvaluationPlan(c.Dir)
	record, isRecord := strings.CutPrefix(below, "trials/")
	if note := noteLeftover(path); note != "" {
		return note, nil, true
	}
	switch t, ok := results.ParsePath(strings.TrimSuffix(record, filepath.Ext(record))); {
	case errors.Is(err, fs.ErrNotExist) && isRecord:
		return path + " is not read, because its directory has no evaluation.json", nil, true
	case below == "evaluation.json" && err != nil:
		return "", []error{results.AsDamaged(err)}, true
	case err != nil || !isRecord:
	case results.IsDamagedName(record):
		return path + " is a damaged or stale file that was renamed; it is not read", nil, true
	case !ok || c.RecordPath(t) != path:
		return path + " does not have the name of a trial's file; it is not read", nil, true
	case !x.has(t):
		return path + " is the evaluation of a trial that does not exist; it is not read", nil, true
	default:
		r, err := c.Evaluation(t)
		if err != nil {
			return "", nil, true // Extend reports it
		}
		if err := plan.Refuse(r); err != nil {
			faults = append(faults, usage.Errorf("%s: %w", path, err))
		}
		for _, what := range r.Contradictions() {
			faults = append(faults, usage.Errorf("%s: %s", path, what))
		}
	}
	return "", faults, true
}

func (x evaluations) has(t results.Trial) bool {
	_, ok := slices.BinarySearch(x.archs, t.Arch)
	return ok && t.Space == x.space.Name()
}

// addEvaluation adds to a trial its evaluation on a dataset, if there is one.
func addEvaluation(r *benchmark.ResultsCount, key string, c results.Campaign) error {
	e, err := c.Evaluation(r.Trial)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case errors.Is(err, results.ErrDamaged):
		return usage.Errorf("%w; nb201 evaluate renames it and evaluates the trial again", err)
	case err != nil:
		return err
	case IsStale(e, r):
		return usage.Mark(results.ErrDamaged, usage.Errorf("%s is the evaluation of other weights than the trial has now; "+
			"nb201 evaluate renames it and evaluates the trial again", c.RecordPath(r.Trial)))
	}
	for _, s := range e.Sets {
		if name := benchmark.FurtherSet(key, s.Set); slices.Contains(r.EvalSet(), name) {
			return usage.Mark(results.ErrDamaged, usage.Errorf("%s: the trial has an evaluation set %s already", c.RecordPath(r.Trial), name))
		}
	}
	r.AddEvaluation(e, key)
	return nil
}

// IsStale reports whether an evaluation is of other weights than a campaign has of its trial, which
// was trained again. For other formats, it cannot know.
func IsStale(e *results.EvaluationRecord, r *benchmark.ResultsCount) bool {
	return r.Record != nil && r.Record.Weights != nil && r.Record.Weights.SHA256 != e.WeightsSHA256
}
