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

// maxStarts is how many times in a row a worker process may end without having begun a trial
// before its worker gives up.
const maxStarts = 3

// runWorker assigns trials to worker i until none are left, and restarts its process as needed.
func (r *run) runWorker(ctx context.Context, i int) {
	log, err := r.openLog(ctx, i)
	if err != nil {
		r.fail(fmt.Errorf("cannot open a worker's log: %w", err))
		return
	}
	defer log.Close()
	a := &attendant{run: r, i: i, device: r.workerState(i).Device, log: log}
	defer a.stopChild()
	waits := false // the host cannot start a process
	for starts := 0; ; {
		o := r.waitForOrder(ctx, i)
		if o == nil {
			return
		}
		begun, ending := a.assign(ctx, *o)
		switch {
		case begun:
			starts, waits = 0, false
		case ending.Event == noProcess:
			if !waits {
				r.logf("worker %d of %s waits: the host cannot start a process for it: %s; it resumes by itself",
					r.workerState(i).Index, a.device, ending.Reason)
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
		r.recordEnding(i, *o, begun, ending)
		if ending.Event == noProcess {
			r.update(i, func(w *state.Worker) { w.Stage = state.StageWaiting })
			sleep(ctx, 10*r.second) // other workers may take the trial meanwhile
		}
	}
}

// openLog opens the log of worker i. While the disk does not accept the file, it pauses the run
// and tries again.
func (r *run) openLog(ctx context.Context, i int) (*os.File, error) {
	for {
		log, err := openForAppend(r.campaign, r.workerState(i).Log)
		if !attempt.IsNoRoom(err) || ctx.Err() != nil {
			return log, err
		}
		r.pause(attempt.OneLine(err))
		sleep(ctx, r.second)
	}
}

// openForAppend opens a file in a campaign for appending, and creates it if necessary. It
// refuses to follow a symbolic link.
func openForAppend(c results.Campaign, path string) (f *os.File, err error) {
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

// attendant supervises the process of worker i.
type attendant struct {
	*run
	i      int
	device string
	log    *os.File
	child  *child // nil when no process is running
}

// noProcess means that the host cannot start a worker process for now. The run sets it; no
// worker reports it.
const noProcess worker.Event = "no process"

// assign sends the worker an order and waits for it to end. It returns how it ended and whether
// the trial was begun; if not, ending.Reason says why.
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
	// If the worker is dead the order is lost, and await reports that.
	_ = worker.SendMessage(a.child.stdin, o)
	a.update(a.i, func(w *state.Worker) { w.Stage = state.StagePreparing })
	begun, ending = a.await(ctx, a.PrepareWithin)
	return begun && ending.Event != worker.Unable, ending
}

// await reads the worker's reports until one says how its trial ended, or that it is ready. seen
// reports whether any report came. If the worker is silent for too long, await kills it; it also
// stops the process after an ending that leaves its state in doubt.
func (a *attendant) await(ctx context.Context, within time.Duration) (seen bool, last worker.Report) {
	quiet := time.NewTimer(within)
	defer quiet.Stop()
	stop := ctx.Done()
	for {
		select {
		case r, ok := <-a.child.reports:
			switch {
			case !ok:
				r = a.child.exitReport()
				if stop == nil {
					r = worker.Report{Event: worker.Stopped}
				}
				a.stopChild()
				return seen, r
			case r.Event == worker.Progress:
				seen = true
				within = a.recordProgress(r)
				if stop != nil {
					quiet.Reset(within)
				}
			default:
				switch r.Event {
				case worker.Ready, worker.FinishedHere, worker.AlreadyFinished, worker.Claimed, worker.Refused:
				default:
					a.stopChild()
				}
				return true, r
			}
		case <-stop:
			stop = nil
			quiet.Reset(a.Grace)
			a.child.requestStop()
		case <-quiet.C:
			if stop == nil {
				a.child.kill()
				a.stopChild()
				return seen, worker.Report{Event: worker.Stopped}
			}
			a.child.dumpAndKill()
			a.stopChild()
			reason := fmt.Sprintf("no progress for %v in stage %q", within, a.workerState(a.i).Stage)
			return seen, worker.Report{Event: worker.Failed, Kind: attempt.Hung, Reason: reason}
		}
	}
}

// recordProgress records the worker's progress and returns how long the worker may now be silent.
func (a *attendant) recordProgress(r worker.Report) time.Duration {
	a.update(a.i, func(w *state.Worker) {
		w.Stage, w.Epoch, w.Epochs, w.ImagesPerSecond = r.Stage, r.Epoch, r.Epochs, r.ImagesPerSecond
		if r.Pass != nil {
			w.AddPass(r.Pass)
		}
	})
	switch r.Stage {
	case state.StageWaiting:
		a.pause(r.Reason)
	case state.StagePreparing:
		return a.PrepareWithin
	}
	return a.HangAfter
}

// stopChild ends the worker process, if one is running.
func (a *attendant) stopChild() {
	if a.child == nil {
		return
	}
	a.child.stop()
	fmt.Fprintf(a.log, "%s worker %d ended: %v\n", time.Now().UTC().Format(time.RFC3339), a.child.cmd.Process.Pid, a.child.cmd.ProcessState)
	a.child = nil
}

// giveUp returns the trial of worker i to the queue for other workers, because its process cannot
// begin any trial.
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
	r.logf("worker gives up after %d starts without beginning a trial: %v", maxStarts, broken)
}

// recordEnding records how the trial of worker i ended, in the queue, the totals and, for a
// failed attempt, the campaign.
func (r *run) recordEnding(i int, o worker.Order, begun bool, ending worker.Report) {
	final := false
	if ending.Event == worker.Failed && begun {
		var err error
		if final, err = r.noteFailure(i, o, ending); err != nil {
			ending = worker.Report{Event: worker.NoRoom, Reason: attempt.OneLine(err)}
		}
	}
	switch ending.Event {
	case worker.NoRoom:
		r.pause(ending.Reason)
	case worker.Refused:
		r.logSkipped(o.Trial, ending.Reason)
	}
	now := time.Now() // with its monotonic reading, as the clock may be set before a trial is due
	r.mu.Lock()
	defer r.mu.Unlock()
	w := &r.state.Workers[i]
	*w = state.Worker{Device: w.Device, Index: w.Index, Stage: state.StageIdle, Since: now.UTC(), Log: w.Log}
	switch {
	case ending.Event == worker.FinishedHere:
		r.state.Finished++
		r.totals.Done++
	case ending.Event == worker.AlreadyFinished:
		r.totals.Done++
	case final, ending.Event == worker.Refused:
		r.state.Failed++
		r.totals.Failed++
	case ending.Event == worker.Claimed:
		r.queue.deferUnit(i, o.Trial, now.Add(10*r.second))
	case ending.Event == worker.Failed && begun:
		r.queue.retry(o.Trial, now.Add(time.Duration(5*o.Attempt)*r.second))
	default:
		r.queue.putBack(i, o.Trial)
	}
}

// noteFailure adds a failed attempt to the trial's failure file and reports whether the trial has
// now failed for good. It returns an error only if [attempt.IsNoRoom]: then the attempt does not
// count. When the file cannot be written for another reason, the run remembers the failure.
func (r *run) noteFailure(i int, o worker.Order, ending worker.Report) (final bool, err error) {
	f, err := r.failureOf(o.Trial)
	if err != nil {
		return false, err
	}
	w := r.workerState(i)
	f.Add(attempt.FailedAttempt{
		When: time.Now().UTC().Truncate(time.Second), Host: r.state.Host, Device: w.Device,
		Kind: ending.Kind, Reason: ending.Reason, Log: w.Log,
	}, r.MaxAttempts)
	if err := f.Write(r.Dir); attempt.IsNoRoom(err) {
		return false, fmt.Errorf("%v: cannot record the failed attempt: %w", o.Trial, err)
	} else if err != nil {
		r.logf("warning: %v: cannot record the failed attempt, so other runs do not count it: %v", o.Trial, err)
		r.mu.Lock()
		r.unwritten[o.Trial] = f
		r.mu.Unlock()
	}
	then := "run retries the trial"
	if f.TrialFailed {
		then = "the trial has failed, run with --retry-failed to retry it"
		// A later attempt must start from the beginning.
		if err := attempt.Tidy(r.Dir, o.Trial); err != nil {
			r.logf("warning: %v: cannot remove its checkpoints: %v", o.Trial, err)
		}
	}
	r.logf("%v: attempt %d failed (%s): %s; %s", o.Trial, o.Attempt, ending.Kind, ending.Reason, then)
	return f.TrialFailed, nil
}
