package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/gofrs/flock"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/needs"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/attempt"
	"nb201/scheduler/worker"
	"nb201/train"
)

// fakeTrainer is a trainer that returns a record, or an error.
type fakeTrainer struct {
	t     *testing.T
	train func(dir string) error // nil: nothing is done
	began int
}

func (f *fakeTrainer) Prepare(results.Trial) {}

func (f *fakeTrainer) Train(ctx context.Context, trial results.Trial, dir string, step func(attempt.Step)) (attempt.Outcome, error) {
	f.began++
	step(attempt.Step{Stage: "train", Epochs: trial.Epochs, Images: 1})
	if f.train != nil {
		if err := f.train(dir); err != nil {
			return nil, err
		}
	}
	return attempt.Trained{Record: resultstest.Record(f.t, trial)}, ctx.Err()
}

// screen collects the output of a door.
type screen struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (s *screen) Write(text []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.Write(text)
}

func (s *screen) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

// doors lists the two ways to train a trial into a campaign. They write to the screen, and return how
// the attempt ended and why.
var doors = map[string]func(ctx context.Context, c results.Campaign, config train.Config, f *fakeTrainer, out *screen) (attempt.Ending, string){
	"nb201 train": func(ctx context.Context, c results.Campaign, config train.Config, f *fakeTrainer, out *screen) (attempt.Ending, string) {
		_, err := trainWith(ctx, f, backend.Device{}, c, &trainingView{config: config, w: out, warnings: out})
		ending, _ := attempt.Classify(ctx, c.Dir, err)
		return ending, fmt.Sprint(err)
	},
	"worker": func(ctx context.Context, c results.Campaign, config train.Config, f *fakeTrainer, out *screen) (attempt.Ending, string) {
		in, orders := io.Pipe()
		reports, toReports := io.Pipe()
		w := &worker.Worker{
			Campaign: c, In: in, Out: toReports, Log: log.New(out, "", 0), PublishEvery: 10 * time.Millisecond,
			Grace: time.Hour, Exit: func(int) { panic("the worker hangs") },
		}
		var working sync.WaitGroup
		working.Go(func() {
			_ = w.Work(ctx, func() (worker.Trainer, error) { return f, nil })
			toReports.Close()
		})
		defer working.Wait()
		defer orders.Close()
		lines := json.NewDecoder(reports)
		for {
			var r worker.Report
			if err := lines.Decode(&r); err != nil {
				return "", err.Error()
			}
			switch r.Event {
			case worker.Ready: // as a run answers it
				noted, _, err := attempt.EarlierFailures(c.Dir, config.Trial)
				if err == nil {
					err = worker.SendMessage(orders, worker.Order{Trial: config.Trial, Attempt: noted.Next()})
				}
				if err != nil {
					return "", err.Error()
				}
			case worker.Progress:
			default:
				go func() { _, _ = io.Copy(io.Discard, reports) }() // until the worker has left
				return attempt.Ending(r.Event), r.Reason
			}
		}
	},
}

// Obstacles to a trial have the same result whether nb201 train or a worker of a run trains it: both
// call attempt.TrainInto.
func TestTrainIntoByBothDoors(t *testing.T) {
	config := digitsConfig(t)
	trial := config.Trial
	// until waits for text on the screen.
	until := func(out *screen, text string) error {
		for deadline := time.Now().Add(2 * time.Minute); !strings.Contains(out.String(), text); time.Sleep(10 * time.Millisecond) {
			if time.Now().After(deadline) {
				return fmt.Errorf("no %q in %s", text, out)
			}
		}
		return nil
	}
	type way struct {
		c      results.Campaign
		f      *fakeTrainer
		out    *screen
		cancel context.CancelFunc
		others *sync.WaitGroup
	}
	for name, test := range map[string]struct {
		prepare  func(t *testing.T, w *way) // nil: no obstacle
		ending   attempt.Ending
		says     string // on the screen, or as the reason
		began    int    // how often training began
		attempts int    // in the record; 0: there is none
	}{
		"nothing is in the way": {nil, attempt.FinishedHere, "", 1, 1},
		"an attempt failed before": {func(t *testing.T, w *way) {
			f := attempt.Failure{Trial: trial, Attempts: []attempt.FailedAttempt{{Kind: attempt.Hung}, {Kind: attempt.OtherError}}}
			if err := f.Write(w.c.Dir); err != nil {
				t.Fatal(err)
			}
		}, attempt.FinishedHere, "", 1, 3},
		"a note that cannot be read": {func(t *testing.T, w *way) {
			path := attempt.FailurePath(w.c.Dir, trial)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte("{garbage"), 0o666)); err != nil {
				t.Fatal(err)
			}
		}, attempt.FinishedHere, "", 1, 1},
		"another process has the claim": {func(t *testing.T, w *way) {
			claim, err := attempt.TakeClaim(w.c.Dir, trial)
			if err != nil || claim == nil {
				t.Fatal(claim, err)
			}
			t.Cleanup(func() { claim.Release() })
		}, attempt.Claimed, "", 0, 0},
		"a damaged record": {func(t *testing.T, w *way) {
			path := w.c.RecordPath(trial)
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, nil, 0o666)); err != nil {
				t.Fatal(err)
			}
		}, attempt.FinishedHere, "renamed to DIR/trials/000004/digits/0002-0777.json.damaged, and the trial is trained again", 1, 1},
		"it is done": {func(t *testing.T, w *way) {
			r := resultstest.Record(t, trial)
			r.Attempts = 7
			if err := w.c.Publish(r, nil); err != nil {
				t.Fatal(err)
			}
		}, attempt.AlreadyFinished, "", 0, 7},
		"another process is faster": {func(t *testing.T, w *way) {
			w.f.train = func(string) error {
				r := resultstest.Record(t, trial)
				r.Attempts = 7
				return w.c.Publish(r, nil)
			}
		}, attempt.AlreadyFinished, "", 1, 7},
		"no folder for the weights": {func(t *testing.T, w *way) {
			path := filepath.Join(w.c.Dir, "weights", "000004")
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, nil, 0o666)); err != nil {
				t.Fatal(err)
			}
		}, attempt.Refused, "weights/000004", 0, 0},
		"it is interrupted": {func(t *testing.T, w *way) {
			w.f.train = func(dir string) error {
				w.cancel()
				return os.WriteFile(filepath.Join(dir, "some.ckpt"), nil, 0o666)
			}
		}, attempt.Stopped, "", 1, 0},
		"it fails": {func(t *testing.T, w *way) {
			w.f.train = func(string) error {
				return &attempt.Fault{Kind: attempt.OutOfMemory, Err: errors.New("RESOURCE_EXHAUSTED")}
			}
		}, attempt.Failed, "RESOURCE_EXHAUSTED", 1, 0},
		"the disk is full at the end": {func(t *testing.T, w *way) {
			needs.Root(t, syscall.Mount("tmpfs", w.c.Dir, "tmpfs", 0, "size=1m"))
			t.Cleanup(func() { _ = syscall.Unmount(w.c.Dir, 0) })
			w.f.train = func(string) error {
				ballast := filepath.Join(w.c.Dir, "ballast")
				if err := os.WriteFile(ballast, make([]byte, 2<<20), 0o666); !errors.Is(err, syscall.ENOSPC) {
					return fmt.Errorf("the disk is not full: %w", err)
				}
				w.others.Go(func() {
					if err := errors.Join(until(w.out, "no space left on device"), os.Remove(ballast)); err != nil {
						t.Error(err)
					}
				})
				return nil
			}
		}, attempt.FinishedHere, "no space left on device", 1, 1},
		"the campaign is locked at the end": {func(t *testing.T, w *way) {
			w.f.train = func(string) error {
				lock := flock.New(filepath.Join(w.c.Dir, ".lock"))
				if err := lock.Lock(); err != nil {
					return err
				}
				w.others.Go(func() {
					if err := errors.Join(until(w.out, results.ErrLocked.Error()), lock.Close()); err != nil {
						t.Error(err)
					}
				})
				return nil
			}
		}, attempt.FinishedHere, results.ErrLocked.Error(), 1, 1},
	} {
		for door, open := range doors {
			t.Run(name+"/"+door, func(t *testing.T) {
				t.Parallel()
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				w := &way{results.Campaign{Dir: t.TempDir()}, &fakeTrainer{t: t}, new(screen), cancel, new(sync.WaitGroup)}
				if test.prepare != nil {
					test.prepare(t, w)
				}
				ending, reason := open(ctx, w.c, config, w.f, w.out)
				w.others.Wait()
				if door == "nb201 train" && test.ending == attempt.Claimed &&
					strings.HasSuffix(reason, "another process is training it for campaign "+w.c.Dir+"; wait for it, or use another --out") {
					ending = attempt.Claimed
				}
				if says := strings.ReplaceAll(test.says, "DIR", w.c.Dir); ending != test.ending || w.f.began != test.began ||
					!strings.Contains(w.out.String()+reason, says) {
					t.Errorf("%s (%s), training began %d times; want %s, %d times and %q in\n%s", ending, reason, w.f.began, test.ending, test.began, says, w.out)
				}
				r, err := w.c.Record(trial)
				if (err == nil) != (test.attempts > 0) || err == nil && r.Attempts != test.attempts {
					t.Errorf("record %+v, %v; want %d attempts", r, err, test.attempts)
				}
				running, _ := filepath.Glob(filepath.Join(w.c.Dir, "running", "*", "*", "*", "*"))
				failed, _ := filepath.Glob(filepath.Join(w.c.Dir, "failed", "*", "*", "*"))
				switch {
				case test.attempts > 0 && len(running)+len(failed) > 0:
					t.Errorf("the trial is done, and there are %q and %q", running, failed)
				case ending == attempt.Stopped && (len(running) != 2 || len(failed) > 0):
					t.Errorf("of an interrupted trial there are %q and %q", running, failed)
				}
				claim, err := attempt.TakeClaim(w.c.Dir, trial)
				if free := claim != nil; err != nil || free != (ending != attempt.Claimed) && ending != attempt.Refused {
					t.Errorf("the claim is free: %v (%v)", free, err)
				}
				if claim != nil {
					claim.Release()
				}
			})
		}
	}
}

// nb201 train counts failed attempts, including its own, but no interrupted ones.
func TestTrainCountsAttempts(t *testing.T) {
	config := digitsConfig(t)
	c := results.Campaign{Dir: t.TempDir()}
	path := attempt.FailurePath(c.Dir, config.Trial)
	for i, test := range []struct {
		err     error // that ends the attempt
		failed  int   // attempts noted then
		finally bool
	}{
		{errors.New("the device is gone"), 1, false},
		{context.Canceled, 1, false},
		{&attempt.Fault{Kind: attempt.OutOfMemory, Err: errors.New("RESOURCE_EXHAUSTED")}, 2, false},
		{usage.Errorf("the campaign is of another experiment"), 2, false},
		{&attempt.Fault{Kind: attempt.Diverged, Err: errors.New("the loss is NaN")}, 3, true},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		f := &fakeTrainer{t: t, train: func(string) error {
			if errors.Is(test.err, context.Canceled) {
				cancel()
			}
			return test.err
		}}
		_, err := trainWith(ctx, f, backend.Device{}, c, &trainingView{config: config, w: io.Discard, warnings: io.Discard})
		cancel()
		if !errors.Is(err, test.err) {
			t.Errorf("attempt %d: %v", i, err)
		}
		note, err := attempt.ReadFailure(path)
		if err != nil || len(note.Attempts) != test.failed || note.TrialFailed != test.finally {
			t.Errorf("after attempt %d: %+v, %v; want %d failed attempts", i, note, err, test.failed)
		}
	}
	stdout, _, code := nb201("status", c.Dir, "--failed")
	if code != 0 || !strings.Contains(stdout, "failed after 3 attempts") {
		t.Errorf("status: code %d, %s", code, stdout)
	}
	r, err := trainWith(t.Context(), &fakeTrainer{t: t}, backend.Device{}, c, &trainingView{config: config, w: io.Discard, warnings: io.Discard})
	if err != nil || r.Attempts != 4 {
		t.Errorf("%+v, %v; want the fourth attempt", r, err)
	}
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the note still exists: %v", err)
	}
}

// digitsConfig returns the configuration of a trial with a small network.
func digitsConfig(t *testing.T) train.Config {
	t.Helper()
	settings := configs.Published()
	settings.Workers, settings.Channels, settings.Cells = 0, 2, 1
	resolved, err := cell.Resolve(cell.Topology{}, "4")
	if err != nil {
		t.Fatal(err)
	}
	options, err := train.NewOptions(resolved, "digits", "2", settings)
	if err != nil {
		t.Fatal(err)
	}
	options.Seed = 777
	config, err := options.Config()
	if err != nil {
		t.Fatal(err)
	}
	return config
}
