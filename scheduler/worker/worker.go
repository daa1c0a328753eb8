// Package worker is the worker's side of a run: a process of its own, which trains the
// trials that it is given on stdin, one at a time, and reports on stdout.
package worker

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"time"

	"github.com/go-json-experiment/json"

	"nb201/internal/inert"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/state"
)

// Trainer trains the trials of a worker.
type Trainer interface {
	attempt.Trainer
	// Prepare gets ready to train t after the trial under way. It does not wait.
	Prepare(t results.Trial)
}

// Worker serves a run.
type Worker struct {
	Campaign results.Campaign
	In       io.ReadCloser // a Close must end a Read that waits
	Out      io.Writer
	Log      *log.Logger
	// Grace is how long a trial may take to stop when In ends; then Exit is called.
	Grace time.Duration
	Exit  func(code int)
	// PublishEvery is as in attempt.Options.
	PublishEvery time.Duration

	prepared results.Trial // that Prepare was called for last
}

// Work serves until In ends or ctx is cancelled: then it has the trial under way leave
// a checkpoint, closes In and returns. open opens the device.
func (w *Worker) Work(ctx context.Context, open func() (Trainer, error)) error {
	ctx, cancel := context.WithCancel(ctx)
	orders := make(chan Order)
	in := make(chan error, 1)
	returned, read := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(read)
		in <- w.read(ctx, orders)
		cancel()
		select {
		case <-returned:
		case <-time.After(w.Grace):
			w.Exit(1) // the trial hangs, and who would have killed this process is dead
		}
	}()
	defer func() {
		cancel()
		close(returned)
		w.In.Close()
		<-read
	}()
	trainer, err := open()
	if err != nil {
		return errors.Join(err, Send(w.Out, Report{Event: Unable, Reason: attempt.OneLine(err)}))
	}
	if err := Send(w.Out, Report{Event: Ready}); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			select {
			case err := <-in:
				return err
			default:
				return ctx.Err()
			}
		case o := <-orders:
			if err := Send(w.Out, w.attempt(ctx, trainer, o)); err != nil {
				return err
			}
		}
	}
}

// read hands on the orders until In ends.
func (w *Worker) read(ctx context.Context, orders chan<- Order) error {
	lines := bufio.NewScanner(w.In)
	for lines.Scan() {
		var o Order
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

// attempt makes an attempt at a trial and reports how it ended.
func (w *Worker) attempt(ctx context.Context, trainer Trainer, o Order) Report {
	_, err := attempt.TrainInto(ctx, w.Campaign, o.Trial, attempt.Options{
		Number: o.Attempt, Trainer: trainer, PublishEvery: w.PublishEvery,
		Observer: &reporter{Worker: w, trainer: trainer, order: o},
	})
	ending, kind := attempt.Classify(ctx, w.Campaign.Dir, err)
	r := Report{Event: Event(ending), Kind: kind}
	switch ending {
	case attempt.Claimed:
	case attempt.Finished, attempt.Done, attempt.Stopped:
		w.Log.Printf("%s %v", ending, o.Trial)
	default:
		r.Reason, r.Input = attempt.OneLine(err), usage.Is(err)
		w.Log.Printf("%s %v %s", ending, o.Trial, inert.Text(r.Reason))
	}
	return r
}

// reporter reports an attempt to the run. What it cannot send is lost: when the run is gone
// In has ended too.
type reporter struct {
	*Worker
	trainer Trainer
	order   Order

	last   time.Time // when a step was reported
	images int       // since then
}

// Warn implements attempt.Observer.
func (r *reporter) Warn(text string) { r.Log.Print(inert.Text(text)) }

// Begin implements attempt.Observer.
func (r *reporter) Begin() {
	r.Log.Printf("begins %v, attempt %d", r.order.Trial, r.order.Attempt)
	r.progress(Report{Stage: state.StagePreparing})
}

const reportEvery = 250 * time.Millisecond // steps

// Step implements attempt.Observer. It reports not too often. After the first batch of a
// trial the cores are idle, and it prepares for the next one.
func (r *reporter) Step(s attempt.Step) {
	now := time.Now()
	report := Report{Stage: s.Stage, Epoch: s.Epoch, Epochs: s.Epochs}
	if r.last.IsZero() {
		if next := r.order.Next; next != nil && *next != r.prepared {
			r.prepared = *next
			r.trainer.Prepare(*next)
		}
	} else {
		r.images += s.Images
		report.ImagesPerSecond = float64(r.images) / now.Sub(r.last).Seconds()
	}
	if now.Sub(r.last) >= reportEvery {
		r.progress(report)
		r.last, r.images = now, 0
	}
}

// Publish implements attempt.Observer.
func (r *reporter) Publish() { r.progress(Report{Stage: state.StagePublishing}) }

// Wait implements attempt.Observer.
func (r *reporter) Wait(reason error) {
	r.Log.Printf("%s, tries again", inert.Text(reason.Error()))
	r.progress(Report{Stage: state.StageWaiting, Reason: attempt.OneLine(reason)})
}

func (r *reporter) progress(report Report) {
	report.Event = Progress
	_ = Send(r.Out, report)
}
