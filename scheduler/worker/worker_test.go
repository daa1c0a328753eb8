package worker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log"
	"testing"
	"testing/synctest"
	"time"

	"nb201/results"
	"nb201/scheduler/attempt"
)

// slow is a Trainer whose trials take the given time, and either stop when asked or do not.
type slow struct {
	takes    time.Duration
	listens  bool
	prepared []results.Trial
}

func (s *slow) Prepare(t results.Trial) { s.prepared = append(s.prepared, t) }

func (s *slow) Train(ctx context.Context, t results.Trial, _ string, step func(attempt.Step)) (attempt.Outcome, error) {
	step(attempt.Step{Stage: "train", Epochs: t.Epochs, Images: 1})
	step(attempt.Step{Stage: "train", Epochs: t.Epochs, Images: 1})
	if !s.listens {
		ctx = context.WithoutCancel(ctx)
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(s.takes):
		return nil, errors.New("it does not train")
	}
}

// Work stops the trial in progress and returns when In ends or its context is cancelled, even if
// nobody closes In. It leaves no goroutine behind: synctest waits for all of them. When the trial
// does not stop in time, Work calls Exit.
func TestWorkEnds(t *testing.T) {
	trial := results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: 1}
	for name, test := range map[string]struct {
		trainer *slow
		stop    func(in io.Closer, cancel context.CancelFunc)
		after   time.Duration // Work returns
		exits   int
		err     error
	}{
		"In ends":                {&slow{time.Hour, true, nil}, func(in io.Closer, _ context.CancelFunc) { in.Close() }, time.Second, 0, nil},
		"a signal":               {&slow{time.Hour, true, nil}, func(_ io.Closer, cancel context.CancelFunc) { cancel() }, time.Second, 0, context.Canceled},
		"In ends, trial is slow": {&slow{5 * time.Second, false, nil}, func(in io.Closer, _ context.CancelFunc) { in.Close() }, 5 * time.Second, 0, nil},
		"In ends, trial hangs":   {&slow{time.Hour, false, nil}, func(in io.Closer, _ context.CancelFunc) { in.Close() }, time.Hour, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			synctest.Test(t, func(t *testing.T) {
				in, orders := io.Pipe()
				var out bytes.Buffer
				exits := 0
				var exited time.Duration
				began := time.Now()
				w := &Worker{
					Campaign: results.Campaign{Dir: dir}, In: in, Out: &out, Log: log.New(io.Discard, "", 0), Grace: 10 * time.Second,
					Exit: func(int) { exits++; exited = time.Since(began) },
				}
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				go func() {
					if err := SendMessage(orders, Order{Trial: trial, Attempt: 1, Next: &results.Trial{Arch: 2}}); err != nil {
						t.Error(err)
					}
					time.Sleep(time.Second)
					test.stop(orders, cancel)
				}()
				err := w.Work(ctx, func() (Trainer, error) { return test.trainer, nil })
				if took := time.Since(began); took != test.after || exits != test.exits || exits > 0 && exited != 11*time.Second || !(err == nil && test.err == nil || errors.Is(err, test.err)) {
					t.Errorf("%v after %v, %d exits, one after %v; want %v after %v, %d", err, took, exits, exited, test.err, test.after, test.exits)
				}
				if len(test.trainer.prepared) != 1 {
					t.Errorf("prepared for %v", test.trainer.prepared)
				}
			})
		})
	}
}

// A worker that cannot open its device reports that and returns.
func TestWorkWithoutDevice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, orders := io.Pipe()
		defer orders.Close()
		var out bytes.Buffer
		w := &Worker{In: in, Out: &out, Grace: time.Second, Exit: func(int) { t.Error("exits") }}
		gone := errors.New("no such\ndevice")
		if err := w.Work(t.Context(), func() (Trainer, error) { return nil, gone }); !errors.Is(err, gone) {
			t.Error(err)
		}
		if got, want := out.String(), `{"event":"unable","reason":"no such device"}`+"\n"; got != want {
			t.Errorf("said %s, want %s", got, want)
		}
	})
}

// trains is a Trainer that reports two passes within a moment and then fails.
type trains struct{ slow }

func (*trains) Train(_ context.Context, t results.Trial, _ string, step func(attempt.Step)) (attempt.Outcome, error) {
	for _, s := range []attempt.Step{
		{Stage: "train", Loss: 9, Top1: 1, PassLoss: 8, PassTop1: 2},
		{Stage: "train", Loss: 7, Top1: 3, PassLoss: 2.25, PassTop1: 10.5, Ended: true},
		{Stage: "x-valid", Loss: 3, Top1: 4, PassLoss: 3, PassTop1: 4},
		{Stage: "x-valid", Epoch: 1, Loss: 1, Top1: 5, PassLoss: 1.5, PassTop1: 40, Ended: true},
	} {
		s.Epochs, s.Images = t.Epochs, 1
		step(s)
	}
	return nil, errors.New("it does not train")
}

// The results of every pass are reported as soon as it ends, however short it is.
func TestPassesAreReported(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		in, orders := io.Pipe()
		var out bytes.Buffer
		w := &Worker{Campaign: results.Campaign{Dir: dir}, In: in, Out: &out, Log: log.New(io.Discard, "", 0), Grace: time.Second}
		go func() {
			if err := SendMessage(orders, Order{Trial: results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: 1}, Attempt: 1}); err != nil {
				t.Error(err)
			}
			time.Sleep(time.Second)
			orders.Close()
		}()
		if err := w.Work(t.Context(), func() (Trainer, error) { return new(trains), nil }); err != nil {
			t.Error(err)
		}
		const want = `{"event":"ready"}
{"event":"progress","stage":"preparing"}
{"event":"progress","stage":"train","epochs":2}
{"event":"progress","stage":"train","epochs":2,"pass":{"set":"train","epoch":0,"loss":2.25,"top1_percent":10.5}}
{"event":"progress","stage":"x-valid","epoch":1,"epochs":2,"pass":{"set":"x-valid","epoch":1,"loss":1.5,"top1_percent":40}}
{"event":"failed","kind":"error","reason":"it does not train"}
`
		if got := out.String(); got != want {
			t.Errorf("the worker reports\n%s\nwant\n%s", got, want)
		}
	})
}
