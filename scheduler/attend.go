package scheduler

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"nb201/internal/atomicfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/state"
	"nb201/scheduler/worker"
)

// maxStarts is how often in a row a worker process may end without having begun a
// trial.
const maxStarts = 3

// work has worker i do trials until there are none left for it, in as many processes
// as that takes.
func (r *run) work(ctx context.Context, i int) {
	log, err := r.openLog(ctx, i)
	if err != nil {
		r.fail(fmt.Errorf("log of a worker: %w", err))
		return
	}
	defer log.Close()
	a := &attendant{run: r, i: i, device: r.worker(i).Device, log: log}
	defer a.dismiss()
	waits := false // for a process
	for starts := 0; ; {
		o := r.next(ctx, i)
		if o == nil {
			return
		}
		begun, ending := a.assign(ctx, *o)
		switch {
		case begun:
			starts, waits = 0, false
		case ending.Event == noProcess:
			if !waits {
				r.say("worker %d of %s waits, and goes on by itself: the host starts no process for it: %s", r.worker(i).Index, a.device, ending.Reason)
			}
			waits = true
		case ctx.Err() == nil:
			starts++
			if starts == maxStarts {
				r.giveUp(i, o.Trial, ending)
				return
			}
			sleep(ctx, time.Duration(starts)*r.second)
		}
		r.settle(i, *o, begun, ending)
		if ending.Event == noProcess {
			r.update(i, func(w *state.Worker) { w.Stage = state.StageWaiting })
			sleep(ctx, 10*r.second) // others take the trial meanwhile
		}
	}
}

// openLog opens the log of worker i. While the host does not take the file the run is
// paused.
func (r *run) openLog(ctx context.Context, i int) (*os.File, error) {
	for {
		log, err := appendTo(r.campaign, r.worker(i).Log)
		if !attempt.IsNoRoom(err) || ctx.Err() != nil {
			return log, err
		}
		r.pause(attempt.OneLine(err))
		sleep(ctx, r.second)
	}
}

// appendTo opens a file in a campaign, which is made if it is not there, to write at its
// end.
func appendTo(c results.Campaign, path string) (f *os.File, err error) {
	name, err := filepath.Rel(c.Dir, path)
	if err != nil {
		return nil, err
	}
	err = c.Within(func(root atomicfile.Root) error {
		if err := root.CheckLink(name); err != nil {
			return err
		}
		f, err = root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o666)
		return err
	})
	return f, err
}

// attendant keeps a worker process for worker i.
type attendant struct {
	*run
	i      int
	device string
	log    *os.File
	child  *child // nil: none
}

// noProcess is not reported by a worker: the host could not start one for now.
const noProcess worker.Event = "no process"

// assign has the worker do a trial, and returns how that ended and whether the trial was
// begun. Of a trial that was not, ending tells the reason.
func (a *attendant) assign(ctx context.Context, o worker.Order) (begun bool, ending worker.Report) {
	if a.child == nil {
		c, err := startChild(a.Command(a.device), a.log)
		if isNoProcess(err) {
			return false, worker.Report{Event: noProcess, Reason: attempt.OneLine(err)}
		}
		if err != nil {
			return false, worker.Report{Event: worker.Unable, Reason: attempt.OneLine(err)}
		}
		a.child = c
		fmt.Fprintf(a.log, "%s worker %d started\n", time.Now().UTC().Format(time.RFC3339), c.cmd.Process.Pid)
		if _, first := a.await(ctx, a.PrepareWithin); first.Event != worker.Ready {
			return false, first
		}
	}
	// To a dead worker an order is lost, which its reports will tell.
	_ = worker.Send(a.child.stdin, o)
	a.update(a.i, func(w *state.Worker) { w.Stage = state.StagePreparing })
	begun, ending = a.await(ctx, a.PrepareWithin)
	return begun && ending.Event != worker.Unable, ending
}

// await follows the worker up to the report that ends its trial, or that it is ready.
// seen tells of any other report before. The process is dismissed when it did not end
// well.
func (a *attendant) await(ctx context.Context, within time.Duration) (seen bool, last worker.Report) {
	quiet := time.NewTimer(within)
	defer quiet.Stop()
	stop := ctx.Done()
	for {
		select {
		case r, ok := <-a.child.reports:
			switch {
			case !ok:
				r = a.child.death()
				if stop == nil {
					r = worker.Report{Event: worker.Stopped}
				}
				a.dismiss()
				return seen, r
			case r.Event == worker.Progress:
				seen = true
				within = a.progress(r)
				if stop != nil {
					quiet.Reset(within)
				}
			default:
				switch r.Event {
				case worker.Ready, worker.Finished, worker.Done, worker.Claimed, worker.Refused:
				default:
					a.dismiss()
				}
				return true, r
			}
		case <-stop:
			stop = nil
			quiet.Reset(a.Grace)
			a.child.tell()
		case <-quiet.C:
			if stop == nil {
				a.child.kill()
				a.dismiss()
				return seen, worker.Report{Event: worker.Stopped}
			}
			a.child.dump()
			a.dismiss()
			return seen, worker.Report{Event: worker.Failed, Kind: attempt.Hung, Reason: fmt.Sprintf("no progress for %v, at %s", within, a.worker(a.i).Stage)}
		}
	}
}

// progress notes what the worker is at and returns how long that may take.
func (a *attendant) progress(r worker.Report) time.Duration {
	a.update(a.i, func(w *state.Worker) {
		w.Stage, w.Epoch, w.Epochs, w.ImagesPerSecond = r.Stage, r.Epoch, r.Epochs, r.ImagesPerSecond
	})
	switch r.Stage {
	case state.StageWaiting:
		a.pause(r.Reason)
	case state.StagePreparing:
		return a.PrepareWithin
	}
	return a.HangAfter
}

// dismiss ends the worker process, if there is one.
func (a *attendant) dismiss() {
	if a.child == nil {
		return
	}
	a.child.leave()
	fmt.Fprintf(a.log, "%s worker %d ended: %v\n", time.Now().UTC().Format(time.RFC3339), a.child.cmd.Process.Pid, a.child.cmd.ProcessState)
	a.child = nil
}

// giveUp leaves the trial of worker i to the others, as no process for it will start.
func (r *run) giveUp(i int, t results.Trial, ending worker.Report) {
	r.mu.Lock()
	w := &r.state.Workers[i]
	w.Trial, w.Stage, w.Since = nil, state.StageIdle, time.Now().UTC()
	r.queue.putBack(i, t)
	r.broken = fmt.Errorf("%s: %s (%s)", w.Device, ending.Reason, w.Log)
	if ending.Input {
		r.broken = usage.Errorf("%w", r.broken)
	}
	broken := r.broken
	r.mu.Unlock()
	r.say("a worker cannot begin a trial, gives up: %v", broken)
}

// settle notes how a trial ended that worker i had.
func (r *run) settle(i int, o worker.Order, begun bool, ending worker.Report) {
	setAside := false
	if ending.Event == worker.Failed && begun {
		var err error
		if setAside, err = r.failed(i, o, ending); err != nil {
			ending = worker.Report{Event: worker.NoRoom, Reason: attempt.OneLine(err)}
		}
	}
	switch ending.Event {
	case worker.NoRoom:
		r.pause(ending.Reason)
	case worker.Refused:
		r.leaveOut(o.Trial, ending.Reason)
	}
	now := time.Now() // with its monotonic reading: the clock may be set before a trial is due
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &r.state.Workers[i]
	*w = state.Worker{Device: w.Device, Index: w.Index, Stage: state.StageIdle, Since: now.UTC(), Log: w.Log}
	switch {
	case ending.Event == worker.Finished:
		r.state.Finished++
		r.totals.Done++
	case ending.Event == worker.Done:
		r.totals.Done++
	case setAside, ending.Event == worker.Refused:
		r.state.Failed++
		r.totals.Failed++
	case ending.Event == worker.Claimed:
		r.queue.leave(i, o.Trial, now.Add(10*r.second))
	case ending.Event == worker.Failed && begun:
		r.queue.retry(o.Trial, now.Add(time.Duration(5*o.Attempt)*r.second))
	default:
		r.queue.putBack(i, o.Trial)
	}
}

// failed notes a failed attempt and reports whether the trial is set aside. An error is one
// of isNoRoom: the attempt does not count. A note that nothing else keeps from being
// written is kept in mind.
func (r *run) failed(i int, o worker.Order, ending worker.Report) (setAside bool, err error) {
	f, err := r.failure(o.Trial)
	if err != nil {
		return false, err
	}
	w := r.worker(i)
	f.Add(attempt.FailedAttempt{
		When: time.Now().UTC().Truncate(time.Second), Host: r.state.Host, Device: w.Device,
		Kind: ending.Kind, Reason: ending.Reason, Log: w.Log,
	}, r.MaxAttempts)
	if err := f.Write(r.Dir); attempt.IsNoRoom(err) {
		return false, fmt.Errorf("note that %v failed: %w", o.Trial, err)
	} else if err != nil {
		r.say("warning: cannot note that %v failed, this run alone knows: %v", o.Trial, err)
		r.mu.Lock()
		r.unwritten[o.Trial] = f
		r.mu.Unlock()
	}
	then := "will be tried again"
	if f.SetAside {
		then = "is set aside"
		// Its checkpoints are not for another attempt.
		if err := attempt.Tidy(r.Dir, o.Trial); err != nil {
			r.say("warning: cannot remove the checkpoints of %v: %v", o.Trial, err)
		}
	}
	r.say("%v: attempt %d failed, %s: %s; it %s", o.Trial, o.Attempt, ending.Kind, ending.Reason, then)
	return f.SetAside, nil
}
