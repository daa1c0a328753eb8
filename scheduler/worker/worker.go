// Package worker implements the worker process of a run. It reads an [Order] for a trial from
// stdin, trains the trial, sends a [Report] to stdout, and waits for the next order. Start
// reading at [Worker.Work]; the messages are in message.go.
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
	// Prepare starts reading and compiling, in the background, what training t will need. It is
	// called while another trial is in progress, and returns at once.
	Prepare(t results.Trial)
}

// Worker carries out the orders of a run.
type Worker struct {
	Campaign results.Campaign
	In       io.ReadCloser // orders; Close must unblock a pending Read
	Out      io.Writer     // reports
	Log      *log.Logger
	// Grace is how long a trial may take to stop after In ends. After that Exit is called.
	Grace time.Duration
	Exit  func(code int)
	// PublishEvery is the time between attempts to publish; zero means five seconds.
	PublishEvery time.Duration

	prepared results.Trial // last passed to Prepare
}

// Work carries out orders until In ends or ctx is cancelled. Then the trial in progress writes a
// checkpoint, and Work closes In and returns. open opens the device.
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
			w.Exit(1) // the trial hangs, and the run that would have killed this process is gone
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
		return errors.Join(err, SendMessage(w.Out, Report{Event: Unable, Reason: attempt.OneLine(err)}))
	}
	if err := SendMessage(w.Out, Report{Event: Ready}); err != nil {
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
			if err := SendMessage(w.Out, w.attempt(ctx, trainer, o)); err != nil {
				return err
			}
		}
	}
}

// read sends the orders from In to the channel until In ends.
func (w *Worker) read(ctx context.Context, orders chan<- Order) error {
	lines := bufio.NewScanner(w.In)
	for lines.Scan() {
		var o Order
		if err := json.Unmarshal(lines.Bytes(), &o); err != nil {
			return fmt.Errorf("cannot decode order %q: %w", lines.Text(), err)
		}
		select {
		case orders <- o:
		case <-ctx.Done():
			return nil
		}
	}
	return lines.Err()
}

// attempt makes one attempt at a trial and returns how it ended.
func (w *Worker) attempt(ctx context.Context, trainer Trainer, o Order) Report {
	err := attempt.TrainInto(ctx, w.Campaign, o.Trial, attempt.Options{
		Number: o.Attempt, Trainer: trainer, PublishEvery: w.PublishEvery,
		Observer: &reporter{Worker: w, trainer: trainer, order: o},
	})
	ending, kind := attempt.Classify(ctx, w.Campaign.Dir, err)
	r := Report{Event: Event(ending), Kind: kind}
	switch ending {
	case attempt.Claimed:
	case attempt.FinishedHere, attempt.AlreadyFinished, attempt.Stopped:
		w.Log.Printf("%v: %s", o.Trial, ending)
	default:
		r.Reason, r.Input = attempt.OneLine(err), usage.Is(err)
		w.Log.Printf("%v: %s: %s", o.Trial, ending, inert.Text(r.Reason))
	}
	return r
}

// reporter reports the progress of an attempt to the run. It ignores errors of sending: if the
// run is gone, In ends too, which stops the worker.
type reporter struct {
	*Worker
	trainer Trainer
	order   Order

	last   time.Time // when the last step was reported
	images int       // images since then
	speed  float64   // images per second before that
}

// Warn implements attempt.Observer.
func (r *reporter) Warn(text string) { r.Log.Print(inert.Text(text)) }

// Begin implements attempt.Observer.
func (r *reporter) Begin() {
	r.Log.Printf("%v: attempt %d begins", r.order.Trial, r.order.Attempt)
	r.sendProgress(Report{Stage: state.StagePreparing})
}

// reportEvery is the least time between two reports of steps.
const reportEvery = 250 * time.Millisecond

// Step implements attempt.Observer. It reports the end of each pass, and else a step now and then.
// After the first batch of a trial, when compilation is over and the cores are free, it also
// prepares for the next trial.
func (r *reporter) Step(s attempt.Step) {
	now := time.Now()
	if r.last.IsZero() {
		if next := r.order.Next; next != nil && *next != r.prepared {
			r.prepared = *next
			r.trainer.Prepare(*next)
		}
	} else {
		r.images += s.Images
	}
	isDue := now.Sub(r.last) >= reportEvery
	if isDue {
		r.speed = float64(r.images) / now.Sub(r.last).Seconds()
		r.last, r.images = now, 0
	}
	report := Report{Stage: s.Stage, Epoch: s.Epoch, Epochs: s.Epochs, ImagesPerSecond: r.speed}
	if s.Ended {
		report.Pass = &state.Pass{Set: s.Stage, Epoch: s.Epoch, Loss: s.PassLoss, Top1: s.PassTop1}
	}
	if isDue || s.Ended {
		r.sendProgress(report)
	}
}

// Publish implements attempt.Observer.
func (r *reporter) Publish() { r.sendProgress(Report{Stage: state.StagePublishing}) }

// Wait implements attempt.Observer.
func (r *reporter) Wait(reason error) {
	r.Log.Printf("%v: cannot be published yet, will retry: %s", r.order.Trial, inert.Text(reason.Error()))
	r.sendProgress(Report{Stage: state.StageWaiting, Reason: attempt.OneLine(reason)})
}

// sendProgress sends a report with the event Progress.
func (r *reporter) sendProgress(report Report) {
	report.Event = Progress
	_ = SendMessage(r.Out, report)
}
