package scheduler

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"nb201/internal/atomicfile"
	"nb201/internal/inert"
	"nb201/internal/torchfile"
	"nb201/results"
)

// Trainer trains trials on one device, one at a time.
type Trainer interface {
	// Train trains t, from the newest checkpoint in dir if there is one, and leaves
	// checkpoints there. It tells its steps, a batch each. When ctx is cancelled it
	// leaves a checkpoint and returns ctx's error. Weights are nil when they are not to be
	// kept. An error of kind Diverged or OutOfMemory, or one that no other trial would
	// escape, is a *Fault.
	Train(ctx context.Context, t results.Trial, dir string, tell func(Step)) (*results.Record, torchfile.StateDict, error)
	// Prepare gets ready to train t after the trial under way. It does not wait.
	Prepare(t results.Trial)
}

// Step is how far a trial has come.
type Step struct {
	Stage         string // "train" or an evaluation set's name
	Epoch, Epochs int    // Epoch from 0
	Images        int    // gone through in this step
}

// Fault is an error of a Trainer that is more than a failed attempt.
type Fault struct {
	Kind   Kind // Diverged, OutOfMemory or Failed
	Unable bool // the trial was not begun, and no other could be
	Err    error
}

func (f *Fault) Error() string { return f.Err.Error() }

func (f *Fault) Unwrap() error { return f.Err }

// Worker is the worker's side of a run: a process of its own, which trains the trials
// that it is given on stdin and reports on stdout.
type Worker struct {
	Campaign results.Campaign
	In       io.Reader
	Out      io.Writer
	Log      *log.Logger
	// Grace is how long a trial may take to stop when In ends; then Exit is called.
	Grace time.Duration
	Exit  func(code int)

	prepared results.Trial // that Prepare was called for last
	second   time.Duration // the unit of its own delays; zero: a second
}

const tellEvery = 250 * time.Millisecond // progress

// Work serves until In ends or ctx is cancelled: then it has the trial under way leave
// a checkpoint, and returns. open opens the device.
func (w *Worker) Work(ctx context.Context, open func() (Trainer, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	w.second = cmp.Or(w.second, time.Second)
	orders := make(chan order)
	ended := make(chan error, 1)
	go func() {
		ended <- w.read(ctx, orders)
		cancel()
		time.Sleep(w.Grace)
		w.Exit(1) // it hangs, and who would have killed it is dead
	}()
	trainer, err := open()
	if err != nil {
		return errors.Join(err, send(w.Out, report{Event: eventUnable, Reason: oneLine(err)}))
	}
	if err := send(w.Out, report{Event: eventReady}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			select {
			case err := <-ended:
				return err
			default:
				return ctx.Err()
			}
		case o := <-orders:
			r := w.do(ctx, trainer, o)
			if err := send(w.Out, r); err != nil {
				return err
			}
		}
	}
}

// read hands on the orders until In ends.
func (w *Worker) read(ctx context.Context, orders chan<- order) error {
	lines := bufio.NewScanner(w.In)
	for lines.Scan() {
		var o order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("order %q: %w", lines.Text(), err)
		}
		select {
		case orders <- o:
		case <-ctx.Done():
			return nil
		}
	}
	return lines.Err()
}

// do trains and publishes a trial and tells how it ended.
func (w *Worker) do(ctx context.Context, trainer Trainer, o order) report {
	c, err := w.claim(o.Trial)
	if err != nil {
		return w.failure(ctx, o.Trial, err)
	}
	if c == nil {
		return report{Event: eventClaimed}
	}
	// Its record may have come to stand before the claim was free.
	done, err := w.Campaign.Done(o.Trial)
	if errors.Is(err, results.ErrDamaged) {
		_, _, err = w.Campaign.SetAside(o.Trial)
	}
	if err == nil && !done {
		w.Log.Printf("begins %v, attempt %d", o.Trial, o.Attempt)
		err = w.train(ctx, trainer, o, c.Dir)
		done = errors.Is(err, results.ErrDone)
	}
	if err != nil && !done {
		return w.failure(ctx, o.Trial, errors.Join(err, c.Release()))
	}
	r := report{Event: eventFinished}
	if done {
		r.Event = eventDone
	}
	w.Log.Printf("%s %v", r.Event, o.Trial)
	if err := errors.Join(ForgetFailure(w.Campaign.Dir, o.Trial), c.Finish()); err != nil {
		w.Log.Printf("cannot tidy up after %v: %v", o.Trial, err) // a later run will
	}
	return r
}

// claim takes the claim on a trial, nil when another process has it. All that publishing
// the trial and noting its failure need is tried before the hours are spent.
func (w *Worker) claim(t results.Trial) (*Claim, error) {
	err := in(w.Campaign.Dir, func(root atomicfile.Root) error { return root.CheckCreate(failureName(t)) })
	if err != nil {
		return nil, fmt.Errorf("campaign %s: %w%s", w.Campaign.Dir, err, atomicfile.Rights(err))
	}
	if err := w.Campaign.Check(t); err != nil && !errors.Is(err, results.ErrDone) {
		return nil, err
	}
	return TakeClaim(w.Campaign.Dir, t)
}

func (w *Worker) train(ctx context.Context, trainer Trainer, o order, dir string) error {
	if err := send(w.Out, report{Event: eventProgress, Stage: StagePreparing}); err != nil {
		return err
	}
	record, weights, err := trainer.Train(ctx, o.Trial, dir, w.tell(func() {
		if o.Next != nil && *o.Next != w.prepared {
			w.prepared = *o.Next
			trainer.Prepare(*o.Next)
		}
	}))
	if err != nil {
		return err
	}
	record.Attempts = o.Attempt
	if err := send(w.Out, report{Event: eventProgress, Stage: StagePublishing}); err != nil {
		return err
	}
	return Publish(ctx, w.Campaign, record, weights, 5*w.second, func(err error) error {
		w.Log.Printf("%s, tries again", inert.Text(err.Error()))
		return send(w.Out, report{Event: eventProgress, Stage: StageWaiting, Reason: oneLine(err)})
	})
}

// tell returns a function that reports progress, not too often. It calls begun when the
// trial's first batch is done: the cores are idle from then on.
func (w *Worker) tell(begun func()) func(Step) {
	var last time.Time // when it was reported
	images := 0        // since then
	return func(s Step) {
		now := time.Now()
		r := report{Event: eventProgress, Stage: s.Stage, Epoch: s.Epoch, Epochs: s.Epochs}
		if last.IsZero() {
			begun()
		} else {
			images += s.Images
			r.ImagesPerSecond = float64(images) / now.Sub(last).Seconds()
		}
		if now.Sub(last) >= tellEvery {
			_ = send(w.Out, r) // when the run is gone, In has ended too
			last, images = now, 0
		}
	}
}

// failure tells how a trial ended that err ended.
func (w *Worker) failure(ctx context.Context, t results.Trial, err error) report {
	var fault *Fault
	r := report{Event: eventFailed, Kind: Failed, Reason: oneLine(err)}
	switch {
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		r = report{Event: eventStopped}
	case errors.As(err, &fault) && fault.Unable: // perhaps of the disk with the images
		r.Event, r.Kind = eventUnable, ""
	case isNoRoom(err):
		r.Event, r.Kind = eventNoRoom, ""
	case isOfTrial(w.Campaign.Dir, err): // what was trained is kept in its last checkpoint
		r.Event, r.Kind = eventRefused, ""
	case isRefused(err): // likewise
		r.Event, r.Kind = eventUnable, ""
	case errors.As(err, &fault):
		r.Kind = fault.Kind
	}
	w.Log.Printf("%s %v %s", r.Event, t, inert.Text(r.Reason))
	return r
}

// oneLine is err in one line of bounded length.
func oneLine(err error) string {
	const limit = 500
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > limit {
		text = text[:limit] + "..."
	}
	return text
}
