// Package attempt trains a trial into a campaign, for nb201 train as well as for the workers of
// a run. Start reading at [TrainInto], which claims a trial, trains it, publishes its record and
// weights, and releases the claim.
//
// A [Claim] is a lock that keeps other processes from training the same trial; the kernel frees
// it when its process dies. A failed attempt is recorded in a [Failure]. An attempt that is
// interrupted leaves a checkpoint and does not count, nor does one that finds the disk full or
// the campaign locked. [Classify] distinguishes these endings.
//
//	DIR/running/000123/cifar10/0012-0777/        claim and checkpoints of a trial in progress
//	DIR/failed/000123/cifar10/0012-0777.json     failed attempts at a trial
package attempt

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"nb201/internal/atomicfile"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
)

// Trainer trains trials on one device, one at a time. In a campaign of the kind
// [results.Evaluated], it evaluates their weights.
type Trainer interface {
	// Train trains t and writes checkpoints to dir. It resumes from the newest checkpoint there,
	// if any, and calls step after every batch. When ctx is cancelled, it writes a checkpoint and
	// returns ctx's error. The error is a *Fault when its kind is Diverged or OutOfMemory, or when
	// every other trial would fail the same way.
	Train(ctx context.Context, t results.Trial, dir string, step func(Step)) (Outcome, error)
}

// Outcome is the result of an attempt, for the campaign.
type Outcome interface {
	// Publish adds the outcome to the campaign, with the number of the attempt at it, from 1.
	Publish(c results.Campaign, attempt int) error
}

// Trained is the outcome of training. The weights are nil when they are not kept.
type Trained struct {
	Record  *results.Record
	Weights torchfile.StateDict
}

// Publish implements [Outcome] with [results.Campaign.PublishOrKeep].
func (o Trained) Publish(c results.Campaign, attempt int) error {
	o.Record.Attempts = attempt
	return c.PublishOrKeep(o.Record, o.Weights)
}

// Evaluated is the outcome of evaluating the weights of a trial.
type Evaluated struct{ Record *results.EvaluationRecord }

// Publish implements [Outcome] with [results.Campaign.PublishEvaluation].
func (o Evaluated) Publish(c results.Campaign, attempt int) error {
	o.Record.Attempts = attempt
	return c.PublishEvaluation(o.Record)
}

// Step is the progress of a trial after a batch.
type Step struct {
	Stage         string // "train" or an evaluation set's name
	Epoch, Epochs int    // Epoch from 0
	Batch         int    // of the stage, from 0
	Images        int    // in the batch
	Loss          float64
	Top1          float64 // accuracy, percent
	// Ended reports that the batch is the last of its stage. PassLoss and PassTop1 are the means over
	// the stage so far.
	Ended              bool
	PassLoss, PassTop1 float64
}

// Fault is an error of a Trainer with its kind.
type Fault struct {
	Kind   Kind // Diverged, OutOfMemory or Other
	Unable bool // the trial was not begun, and no other trial could be
	Err    error
}

func (f *Fault) Error() string { return f.Err.Error() }

func (f *Fault) Unwrap() error { return f.Err }

// Observer is notified of the progress of an attempt. Its methods are called from TrainInto's
// goroutine, and the attempt waits for them.
type Observer interface {
	Warn(text string)  // a problem that does not end the attempt
	Begin()            // the trial is claimed and not done yet: training begins
	Step(Step)         // a batch is done
	Publish()          // training is done: publication begins
	Wait(reason error) // the campaign cannot accept the trial now; called before every retry
}

// Options configure an attempt made by TrainInto.
type Options struct {
	Number   int // number of the attempt, from 1, for the record: see [Failure.Next]
	Trainer  Trainer
	Observer Observer
	// PublishEvery is the time between attempts to publish; zero means five seconds.
	PublishEvery time.Duration
}

// ErrClaimed reports that another process is training the trial.
var ErrClaimed = errors.New("another process is training it")

// TrainInto trains a trial and publishes it. Every trial enters a campaign this way. TrainInto
// checks that the campaign accepts the trial ([Check]), claims it, renames a damaged record of
// it, trains, publishes once the campaign has room, removes the note of earlier failures and
// releases the claim.
//
// The error is [results.ErrDone] when the trial is done already or another process publishes it
// first, and [ErrClaimed] when another process is training it; [Classify] explains other errors.
// After any other error than ErrDone, the trial's checkpoints stay.
func TrainInto(ctx context.Context, c results.Campaign, t results.Trial, o Options) error {
	if err := Check(c, t); err != nil && !errors.Is(err, results.ErrDone) {
		return err
	}
	claim, err := TakeClaim(c.Dir, t)
	if err != nil {
		return usage.Errorf("cannot write to campaign %s: %w", c.Dir, err)
	}
	if claim == nil {
		return fmt.Errorf("%v: %w", t, ErrClaimed)
	}
	err = o.train(ctx, c, t, claim.Dir)
	if err != nil && !errors.Is(err, results.ErrDone) {
		return errors.Join(err, claim.Release())
	}
	if untidy := errors.Join(Forget(c.Dir, t), claim.Finish()); untidy != nil {
		o.Observer.Warn(fmt.Sprintf("%v: cannot remove its checkpoints or failure notes: %v; the next run removes them", t, untidy))
	}
	return err
}

// Check reports, before hours of training, why the campaign would not accept the trial's record
// or its failure file: see [results.Campaign.Check]. The error of a finished trial is
// [results.ErrDone].
func Check(c results.Campaign, t results.Trial) error {
	err := c.Within(func(root atomicfile.Root) error { return root.CheckCreate(failureName(t)) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usage.Errorf("campaign %s: %w%s", c.Dir, err, atomicfile.Rights(err))
	}
	return c.Check(t)
}

// train trains and publishes a trial that this process has claimed; dir is for its checkpoints.
func (o Options) train(ctx context.Context, c results.Campaign, t results.Trial, dir string) error {
	done, err := c.Done(t) // the process that had the claim before may have published it
	if errors.Is(err, results.ErrDamaged) {
		var path string
		var reason error
		path, reason, err = c.MoveDamaged(t)
		if path != "" {
			o.Observer.Warn(fmt.Sprintf("%v; renamed to %s, and the trial is %s again", reason, path, c.Kind.Verb()))
		}
	}
	if err != nil {
		return err
	}
	if done {
		return fmt.Errorf("%v: %w", t, results.ErrDone)
	}
	o.Observer.Begin()
	outcome, err := o.Trainer.Train(ctx, t, dir, o.Observer.Step)
	if err != nil {
		return err
	}
	o.Observer.Publish()
	return o.publish(ctx, c, outcome)
}

// publish adds the outcome to the campaign. A full disk must not waste hours of training, so publish
// retries every PublishEvery until it succeeds or ctx is cancelled, while the disk is full or a stuck
// process has the campaign locked.
func (o Options) publish(ctx context.Context, c results.Campaign, outcome Outcome) error {
	every := o.PublishEvery
	if every == 0 {
		every = 5 * time.Second
	}
	for {
		err := outcome.Publish(c, o.Number)
		if !IsNoRoom(err) {
			return err
		}
		o.Observer.Wait(err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(every):
		}
	}
}
