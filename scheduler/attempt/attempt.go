// Package attempt is how a trial is trained into a campaign, whether a user asks for the
// one trial or a run has it among many: TrainInto claims the trial, trains it, publishes
// what it leaves and gives the claim back.
//
// A claim (Claim) is a lock that the kernel frees when its process dies: it keeps other
// processes on the same campaign from training the trial too. An attempt that fails is
// noted (Failure); one that is interrupted leaves a checkpoint and does not count, nor
// does one that finds the disk full or the campaign locked. Classify distinguishes them.
//
//	DIR/running/000123/cifar10/0012-0777/        the claim and the checkpoints of a trial under way
//	DIR/failed/000123/cifar10/0012-0777.json     the failed attempts at a trial
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

// Trainer trains trials on one device, one at a time.
type Trainer interface {
	// Train trains t, from the newest checkpoint in dir if there is one, and leaves
	// checkpoints there. It calls step after every batch. When ctx is cancelled it
	// leaves a checkpoint and returns ctx's error. Weights are nil when they are not to be
	// kept. An error of kind Diverged or OutOfMemory, or one that no other trial would
	// escape, is a *Fault.
	Train(ctx context.Context, t results.Trial, dir string, step func(Step)) (*results.Record, torchfile.StateDict, error)
}

// Step is how far a trial has come with a batch.
type Step struct {
	Stage         string // "train" or an evaluation set's name
	Epoch, Epochs int    // Epoch from 0
	Batch         int    // of the stage, from 0
	Images        int    // in the batch
	Loss, Top1    float64
}

// Fault is an error of a Trainer that is more than a failed attempt.
type Fault struct {
	Kind   Kind // Diverged, OutOfMemory or Other
	Unable bool // the trial was not begun, and no other could be
	Err    error
}

func (f *Fault) Error() string { return f.Err.Error() }

func (f *Fault) Unwrap() error { return f.Err }

// Observer sees an attempt pass. Its methods are called from TrainInto's goroutine, and the
// attempt waits for them.
type Observer interface {
	Warn(text string)  // of what does not end the attempt
	Begin()            // the trial is claimed and is not done
	Step(Step)         // a batch of it is done
	Publish()          // it is trained
	Wait(reason error) // the campaign cannot take it now; called before every new try
}

// Options say how TrainInto makes an attempt.
type Options struct {
	Number   int // of the attempt, from 1, for the record: see Next
	Trainer  Trainer
	Observer Observer
	// PublishEvery is the time between two tries to publish; zero: five seconds.
	PublishEvery time.Duration
}

// ErrClaimed reports that another process is training the trial.
var ErrClaimed = errors.New("another process is training it")

// TrainInto trains a trial and publishes it. It is the one way into a campaign: it makes
// sure that the campaign takes the trial (Check), claims the trial, sets a damaged record
// of it aside, trains, publishes when the campaign has room, forgets earlier failures and
// releases the claim. A trial that is done, or that another process publishes first, is
// results.ErrDone, and one that another process has is ErrClaimed; Classify reports what
// other errors are. After an error the trial's checkpoints stay.
func TrainInto(ctx context.Context, c results.Campaign, t results.Trial, o Options) (*results.Record, error) {
	if err := Check(c, t); err != nil && !errors.Is(err, results.ErrDone) {
		return nil, err
	}
	claim, err := TakeClaim(c.Dir, t)
	if err != nil {
		return nil, usage.Errorf("campaign %s cannot take the trial: %w", c.Dir, err)
	}
	if claim == nil {
		return nil, fmt.Errorf("%v: %w", t, ErrClaimed)
	}
	r, err := o.train(ctx, c, t, claim.Dir)
	if err != nil && !errors.Is(err, results.ErrDone) {
		return nil, errors.Join(err, claim.Release())
	}
	if untidy := errors.Join(Forget(c.Dir, t), claim.Finish()); untidy != nil {
		o.Observer.Warn(fmt.Sprintf("cannot tidy up after %v: %v", t, untidy)) // a later run will
	}
	return r, err
}

// Check finds out, before hours of training, whether the campaign takes the trial, and a
// note if it fails: see results.Campaign.Check.
func Check(c results.Campaign, t results.Trial) error {
	err := c.Within(func(root atomicfile.Root) error { return root.CheckCreate(failureName(t)) })
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return usage.Errorf("campaign %s: %w%s", c.Dir, err, atomicfile.Rights(err))
	}
	return c.Check(t)
}

// train trains and publishes a trial whose claim is held.
func (o Options) train(ctx context.Context, c results.Campaign, t results.Trial, dir string) (*results.Record, error) {
	done, err := c.Done(t) // its record may have come while the claim was another's
	if errors.Is(err, results.ErrDamaged) {
		var path string
		var reason error
		path, reason, err = c.SetAside(t)
		if path != "" {
			o.Observer.Warn(fmt.Sprintf("%v: it is kept as %s, and the trial is trained again", reason, path))
		}
	}
	if err != nil {
		return nil, err
	}
	if done {
		return nil, fmt.Errorf("%v: %w", t, results.ErrDone)
	}
	o.Observer.Begin()
	r, weights, err := o.Trainer.Train(ctx, t, dir, o.Observer.Step)
	if err != nil {
		return nil, err
	}
	r.Attempts = o.Number
	o.Observer.Publish()
	if err := o.publish(ctx, c, r, weights); err != nil {
		return nil, err
	}
	return r, nil
}

// publish puts what a trial left into the campaign: see Campaign.PublishOrKeep. Hours of
// training are not thrown away for a full disk: as long as the campaign has no room, or is
// locked by a process that does not go on, publish tries again every so often, until ctx
// is cancelled.
func (o Options) publish(ctx context.Context, c results.Campaign, r *results.Record, weights torchfile.StateDict) error {
	every := o.PublishEvery
	if every == 0 {
		every = 5 * time.Second
	}
	for {
		err := c.PublishOrKeep(r, weights)
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
