package trainer

import (
	"context"
	"errors"
	"log"
	"slices"
	"sync"
	"time"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/backend"
	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/scheduler/attempt"
	"nb201/train"
)

// EvaluatorOptions configure an Evaluator.
type EvaluatorOptions struct {
	Campaign       results.Campaign // of the kind [results.Evaluated]
	Device         backend.Device
	DataRoot       string // directory in or below which the images are
	Program, GoMLX string // versions of nb201 and GoMLX, for the records
	Log            *log.Logger
}

// Evaluator evaluates the weights of trained trials on another dataset. It implements
// worker.Trainer.
type Evaluator struct {
	EvaluatorOptions
	plan       *results.EvaluationPlan
	definition data.Definition
	source     *benchmark.Benchmark
	opened     *backend.Opened
	session    *train.Session
	preparing  sync.WaitGroup

	mu     sync.Mutex              // guards the following
	arch   *benchmark.Architecture // the last one read
	unread error                   // why some of its trials cannot be read
}

// OpenEvaluator reads the plan of the campaign, opens the benchmark with the weights and the device,
// and returns an Evaluator.
func OpenEvaluator(ctx context.Context, o EvaluatorOptions) (*Evaluator, error) {
	e := &Evaluator{EvaluatorOptions: o}
	var err error
	if e.plan, err = results.ReadEvaluationPlan(o.Campaign.Dir); err != nil {
		return nil, err
	}
	if e.definition, err = data.DecodeDefinition("definition of "+e.plan.Dataset, e.plan.Definition, e.plan.Directory); err != nil {
		return nil, err
	}
	around, _ := results.EvaluationsAround(o.Campaign.Dir)
	source := e.plan.SourceIn(around)
	if e.source, err = published.Open(ctx, source, published.WithoutEvaluations()); err != nil {
		return nil, err
	}
	if e.opened, err = backend.OpenDevice(o.Device, configs.FP32); err != nil {
		return nil, err
	}
	e.session = train.NewSession(e.opened.Backend)
	return e, nil
}

// Train implements attempt.Trainer.
func (e *Evaluator) Train(ctx context.Context, trial results.Trial, _ string, step func(attempt.Step)) (attempt.Outcome, error) {
	r, err := e.find(trial)
	if err != nil {
		return nil, err
	}
	config, err := e.session.EvaluationConfig(r, e.definition, e.plan.Batch, e.DataRoot)
	if err == nil {
		if differences := results.DifferentFiles(train.FilesOf(config.Data.Files), e.plan.DataFiles); differences != nil {
			err = usage.Errorf("the images of %s have changed since the evaluations began: %v", e.plan.Dataset, differences)
		}
	}
	if err != nil { // the images are wrong, for other trials as well
		return nil, &attempt.Fault{Unable: true, Err: err}
	}
	weights, err := r.Weights()
	if err != nil {
		e.forget() // the trial may have been trained again
		return nil, err
	}
	sum, err := results.HashWeights(weights)
	if err != nil {
		return nil, err
	}
	sets, err := e.session.Evaluate(ctx, config, weights, func(p train.Progress) {
		step(attempt.Step{
			Stage: p.Stage, Epochs: 1, Batch: p.Batch, Images: p.Images, Loss: p.Loss, Top1: p.Top1,
			Ended: p.Ended, PassLoss: p.PassLoss, PassTop1: p.PassTop1,
		})
	})
	if err != nil {
		return nil, asFault(err)
	}
	e.Log.Printf("%v: evaluated on %s of %s", trial, quantity.Format(len(sets), "set"), e.plan.Dataset)
	return attempt.Evaluated{Record: &results.EvaluationRecord{
		FormatVersion: results.EvaluationVersion, Trial: trial, WeightsSHA256: sum,
		Definition: e.plan.Definition, DataFiles: e.plan.DataFiles, Batch: e.plan.Batch,
		Precision: configs.FP32, Device: e.opened.Device, Versions: versions(e.Program, e.GoMLX, e.opened),
		Finished: time.Now().UTC().Truncate(time.Millisecond), Sets: sets,
	}}, nil
}

// Prepare implements worker.Trainer. It compiles in the background.
func (e *Evaluator) Prepare(trial results.Trial) {
	e.preparing.Go(func() {
		r, err := e.find(trial)
		if err != nil {
			return // Train reports it
		}
		if config, err := e.session.EvaluationConfig(r, e.definition, e.plan.Batch, e.DataRoot); err == nil {
			e.session.PrepareEvaluation(config)
		}
	})
}

// find returns a trial of the benchmark.
func (e *Evaluator) find(trial results.Trial) (*benchmark.ResultsCount, error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.arch == nil || e.arch.Index != trial.Arch {
		a, errs := e.source.Salvage(trial.Arch)
		if a == nil {
			return nil, errs[0]
		}
		e.arch, e.unread = a, errors.Join(errs...)
	}
	for _, s := range e.arch.Schedules {
		if i := slices.IndexFunc(s.Results, func(r *benchmark.ResultsCount) bool { return r.Trial == trial }); i >= 0 && s.Results[i].HasWeights() {
			return s.Results[i], nil
		}
	}
	err := usage.Errorf("%s has no weights of %v any more", e.source.Path, trial)
	if e.unread != nil {
		err = usage.Errorf("%w: %w", err, e.unread)
	}
	e.arch = nil // the trial may be trained again
	return nil, err
}

// forget makes find read the architecture again.
func (e *Evaluator) forget() {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.arch = nil
}
