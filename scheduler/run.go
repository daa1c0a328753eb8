package scheduler

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"nb201/internal/atomicfile"
	"nb201/internal/inert"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan"
	"nb201/scheduler/state"
	"nb201/scheduler/worker"
)

// Options configure a run. PerDevice, MaxAttempts, HangAfter and PrepareWithin must be above 0; Run
// does not check them.
type Options struct {
	Dir     string   // campaign directory
	Devices []string // device names, passed to Command
	// PerDevice is the number of workers per device.
	PerDevice int
	// Chunk and Chunks restrict the run to one chunk of the plan, 1 <= Chunk <= Chunks. Both are
	// zero for the whole plan.
	Chunk, Chunks int
	MaxAttempts   int  // failed attempts after which a trial has failed
	RetryFailed   bool // forget earlier failures and retry failed trials
	// HangAfter is how long a worker may go without progress before it is killed. Starting up,
	// and reading images and compiling for a trial, may take PrepareWithin instead.
	HangAfter, PrepareWithin time.Duration
	// MinFreeDisk is the free space, in bytes, that the campaign's disk needs for a trial to start.
	MinFreeDisk uint64
	// Grace is how long workers may take to write a checkpoint when the run is stopped.
	Grace time.Duration
	// Command returns the command that starts a worker for a device: see [worker.Worker].
	Command func(device string) *exec.Cmd
	// Show, if not nil, is called about once a second and at the end. It must not block, because
	// the run checks its host between calls; [View.Show] does not.
	Show func(state.Run, state.Totals)
	// Log receives lines about problems and what the run does about them. It must not block,
	// because a worker gets its next trial only after the line is written.
	Log io.Writer

	second time.Duration // unit of the run's own delays, shortened by tests; zero means a second
}

// Run trains a plan until every trial is done or has failed, in this run or another, and returns
// the totals. When ctx is cancelled, the workers write checkpoints and Run returns ctx's error.
// Errors that the user can fix are usage errors.
func Run(ctx context.Context, o Options) (state.Totals, error) {
	p, err := plan.Read(o.Dir)
	if err != nil {
		return state.Totals{}, err
	}
	trials := p.Trials()
	if o.Chunks > 0 {
		trials = p.Chunk(o.Chunk, o.Chunks)
	}
	return o.run(ctx, results.Campaign{Dir: o.Dir}, slices.Collect(trials))
}

// Evaluate evaluates the weights of trials into the campaign at o.Dir, of the kind
// [results.Evaluated]. It does so as Run trains a plan, which the campaign does not have.
func Evaluate(ctx context.Context, o Options, trials []results.Trial) (state.Totals, error) {
	return o.run(ctx, results.Campaign{Dir: o.Dir, Kind: results.Evaluated}, trials)
}

// run makes a run of the planned trials in a campaign.
func (o Options) run(ctx context.Context, c results.Campaign, planned []results.Trial) (state.Totals, error) {
	o.second = cmp.Or(o.second, time.Second)
	r, err := newRun(ctx, o, c, planned)
	if err != nil {
		return state.Totals{}, err
	}
	defer r.state.Remove(o.Dir)
	r.beat() // check the host before the first trial starts
	working, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	r.fail = cancel
	var workers, beats sync.WaitGroup
	worked := make(chan struct{})
	beats.Go(func() {
		for {
			select {
			case <-time.After(o.second):
				r.beat()
			case <-worked:
				return
			}
		}
	})
	for i := range r.state.Workers {
		workers.Go(func() { r.runWorker(working, i) })
	}
	workers.Wait()
	close(worked)
	beats.Wait()
	r.show()
	_, totals := r.snapshot()
	switch {
	case ctx.Err() != nil:
		err = ctx.Err()
	case working.Err() != nil:
		err = context.Cause(working)
	case !r.queue.empty():
		err = fmt.Errorf("no worker can start a trial: %w", r.broken)
	}
	return totals, err
}

// run is a run in progress. One goroutine per worker supervises that worker's process. What the
// goroutines share is guarded by mu, except the parts of state that newRun fixes: Host, PID,
// Started, Chunk and the number of workers. Only the goroutine of worker i writes entry i of
// state.Workers, and it too reads it under mu (see workerState). No file may be read or written
// while mu is held, because a disk that hangs would block the whole run.
type run struct {
	Options
	campaign results.Campaign
	fail     context.CancelCauseFunc
	pace     pace // used by show only

	logging sync.Mutex // held while a line is written to Log

	mu     sync.Mutex
	queue  *queue
	state  state.Run
	totals state.Totals
	full   string    // error of a disk that did not accept files; empty when it does
	asked  time.Time // when the disk last returned that error
	broken error     // why a worker gave up
	// unwritten holds the failures of trials whose failure file cannot be written.
	unwritten map[results.Trial]attempt.Failure
	warned    map[results.Trial]bool // whether the user was warned about the trial's failure file
}

// newRun checks that the host and the campaign can be worked with, and finds the trials that are
// left.
func newRun(ctx context.Context, o Options, c results.Campaign, planned []results.Trial) (*run, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	if err := checkDescriptors(o.PerDevice * len(o.Devices)); err != nil {
		return nil, err
	}
	for _, folder := range []string{"running", "logs", "trials"} {
		if err := c.MakeDir(folder); err != nil {
			return nil, usage.Errorf("campaign %s cannot be written: %w%s", o.Dir, err, atomicfile.Rights(err))
		}
	}
	for _, folder := range []string{"failed", "weights"} {
		err := c.Within(func(root atomicfile.Root) error { return root.CheckCreate(filepath.Join(folder, "file")) })
		if err != nil {
			return nil, usage.Errorf("campaign %s cannot be written: %w%s", o.Dir, err, atomicfile.Rights(err))
		}
	}
	began := time.Now()
	r := &run{
		Options: o, campaign: c, pace: newPace(began),
		unwritten: map[results.Trial]attempt.Failure{}, warned: map[results.Trial]bool{},
	}
	now := began.UTC()
	r.state = state.Run{Host: host, PID: os.Getpid(), Started: now}
	if o.Chunks > 0 {
		r.state.Chunk = fmt.Sprintf("%d/%d", o.Chunk, o.Chunks)
	}
	done, err := r.findDone(ctx, planned)
	if err != nil {
		return nil, err
	}
	if err := sweep(c, host); err != nil { // after findDone, so that a trial with a damaged record keeps its checkpoints
		return nil, fmt.Errorf("cannot remove leftovers in campaign %s: %w", o.Dir, err)
	}
	order := slices.DeleteFunc(slices.Clone(planned), func(t results.Trial) bool { return done[t] })
	r.totals.Planned, r.totals.Done = len(planned), len(planned)-len(order)
	if o.RetryFailed {
		if err := r.forgetFailures(order); err != nil {
			return nil, err
		}
	}
	for k := range o.PerDevice {
		for _, device := range o.Devices {
			log := fmt.Sprintf("%s-%d-%s-%d.log", host, r.state.PID, strings.ReplaceAll(device, ":", ""), k)
			r.state.Workers = append(r.state.Workers, state.Worker{
				Device: device, Index: k, Stage: state.StageIdle, Since: now, Log: filepath.Join(o.Dir, "logs", log),
			})
		}
	}
	r.queue = newQueue(order, len(r.state.Workers))
	return r, nil
}

// findDone returns the planned trials that have a record, and renames damaged records.
func (r *run) findDone(ctx context.Context, planned []results.Trial) (map[results.Trial]bool, error) {
	recorded := map[results.Trial]bool{}
	for t, err := range r.campaign.Trials() {
		if err != nil {
			return nil, err
		}
		recorded[t] = true
	}
	suspects := slices.Collect(maps.Keys(recorded))           // also those not in the plan
	if r.Chunks > 0 || r.campaign.Kind == results.Evaluated { // no plan says which trials are evaluated
		suspects = slices.DeleteFunc(slices.Clone(planned), func(t results.Trial) bool { return !recorded[t] })
	}
	const many = 20000 // reading more than this takes several seconds
	if len(suspects) > many {
		r.logf("reading the records of %d finished trials", len(suspects))
	}
	damaged, err := r.campaign.Damaged(ctx, suspects, true)
	if err != nil {
		return nil, err
	}
	for _, t := range slices.SortedFunc(maps.Keys(damaged), results.Trial.Compare) {
		delete(recorded, t)
		if err := r.renameDamaged(t, slices.Contains(planned, t)); err != nil {
			return nil, err
		}
	}
	return recorded, nil
}

// renameDamaged renames the damaged record of a trial, so that the trial counts as left, and
// logs it.
func (r *run) renameDamaged(t results.Trial, planned bool) error {
	path, reason, err := r.campaign.MoveDamaged(t)
	if err == nil && path != "" {
		again := fmt.Sprintf("%s again", r.campaign.Kind.Verb())
		then := "the trial is " + again
		if !planned {
			then = "the trial is not " + again + ", because the plan does not name it"
		}
		r.logf("%v; renamed to %s, and %s", reason, path, then)
	}
	return err
}

// forgetFailures removes the failures of failed trials, so that they start from attempt 1.
func (r *run) forgetFailures(order []results.Trial) error {
	failed, err := attempt.ListFailed(r.Dir)
	if err != nil {
		return err
	}
	for _, t := range failed {
		if !slices.Contains(order, t) {
			continue
		}
		if err := attempt.Forget(r.Dir, t); err != nil {
			return err
		}
	}
	return nil
}

// failureOf returns the failed attempts at t so far, including those that this run could not
// write to the campaign: see [attempt.EarlierFailures].
func (r *run) failureOf(t results.Trial) (attempt.Failure, error) {
	f, doubt, err := attempt.EarlierFailures(r.Dir, t)
	if err != nil {
		return f, err
	}
	if doubt != nil {
		r.warnOnce(t, "%v", doubt)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if more := r.unwritten[t]; len(more.Attempts) > len(f.Attempts) {
		return more, nil
	}
	return f, nil
}

// warnOnce logs a warning about the failure file of t, at most once per trial.
func (r *run) warnOnce(t results.Trial, format string, args ...any) {
	r.mu.Lock()
	warned := r.warned[t]
	r.warned[t] = true
	r.mu.Unlock()
	if !warned {
		r.logf("warning: "+format, args...)
	}
}

// beat checks the host, pauses or resumes the run accordingly, and publishes its state.
func (r *run) beat() {
	r.mu.Lock()
	ask := r.full != "" && time.Since(r.asked) > 10*r.second
	r.mu.Unlock()
	room := ask && probe(filepath.Join(r.Dir, "running")) == nil
	shortage := checkHost(r.Dir, r.MinFreeDisk)

	r.mu.Lock()
	if ask {
		r.asked = time.Now()
	}
	if room {
		r.full = ""
	}
	was, paused := r.state.Paused, cmp.Or(shortage, r.full)
	r.state.Paused = paused
	r.mu.Unlock()
	switch {
	case paused != "" && was == "":
		r.logf(pausedFormat, paused)
	case paused == "" && was != "":
		r.logf("run resumed: the host has room again")
	}
	r.show()
}

// pausedFormat is logged, with the reason, when the run pauses.
const pausedFormat = "run paused, no trial starts: %s; it resumes by itself when there is room"

// show writes the state of the run to the campaign, for status, and shows it to the user.
func (r *run) show() {
	s, t := r.snapshot()
	s.LastHour = r.pace.follow(time.Now(), s)
	_ = s.Write(r.Dir) // checkHost reports a full disk
	if r.Show != nil {
		r.Show(s, t)
	}
}

// snapshot returns copies of the run's state and totals.
func (r *run) snapshot() (state.Run, state.Totals) {
	r.mu.Lock()
	defer r.mu.Unlock()
	s, t := r.state, r.totals
	s.Workers = slices.Clone(s.Workers)
	for _, w := range s.Workers {
		if w.Trial != nil {
			t.Running++
		}
	}
	t.Left = t.Planned - t.Done - t.Failed - t.Running
	return s, t
}

// logf writes one line to Log.
func (r *run) logf(format string, args ...any) {
	r.logging.Lock()
	defer r.logging.Unlock()
	inert.Fprintf(r.Log, format+"\n", args...)
}

// pause keeps trials from starting until beat finds that the disk accepts files again.
func (r *run) pause(reason string) {
	r.mu.Lock()
	was := r.state.Paused
	if r.full == "" {
		r.asked = time.Now()
	}
	r.full, r.state.Paused = reason, reason
	r.mu.Unlock()
	if was == "" {
		r.logf(pausedFormat, reason)
	}
}

// update changes the state of worker i.
func (r *run) update(i int, change func(*state.Worker)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.state.Workers[i])
}

// workerState returns a copy of the state of worker i.
func (r *run) workerState(i int) state.Worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Workers[i]
}

// waitForOrder waits for a trial for worker i. It returns nil when no trial is left, or when
// ctx is cancelled.
func (r *run) waitForOrder(ctx context.Context, i int) *worker.Order {
	for ctx.Err() == nil {
		o, ended, err := r.takeOrder(i)
		if err != nil {
			r.fail(err)
		}
		if o != nil || ended {
			return o
		}
		sleep(ctx, r.second/4)
	}
	return nil
}

// takeOrder takes the next trial for worker i that is neither done nor failed. If o is nil,
// there is none for now or, if ended is true, none at all.
func (r *run) takeOrder(i int) (o *worker.Order, ended bool, err error) {
	for {
		t, next, ok, ended := r.takeTrial(i)
		if !ok {
			return nil, ended, nil
		}
		done, f, err := r.lookUp(t)
		if attempt.IsNoRoom(err) {
			r.putBack(i, t)
			r.pause(attempt.OneLine(err))
			return nil, false, nil
		}
		if attempt.AffectsOneArch(r.Dir, err) {
			r.logSkipped(t, attempt.OneLine(err))
			r.mu.Lock()
			r.state.Failed++
			r.totals.Failed++
			r.mu.Unlock()
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if o := r.assignOrCount(i, t, done, f); o != nil {
			o.Next = next
			return o, false, nil
		}
	}
}

// logSkipped logs that this run skips t, and why. The next run tries the trial again.
func (r *run) logSkipped(t results.Trial, reason string) {
	r.logf("%v: skipped in this run, and tried again by the next: %s", t, reason)
}

// takeTrial takes the next trial for worker i from the queue, unless the run is paused. ok and
// ended are false when there is none for now.
func (r *run) takeTrial(i int) (t results.Trial, next *results.Trial, ok, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Paused == "" {
		t, next, ok = r.queue.take(i, time.Now())
	}
	return t, next, ok, !ok && r.queue.empty() && !slices.ContainsFunc(r.state.Workers, mayPutBack)
}

// mayPutBack reports whether a worker has a trial that its process has not begun, so that it may
// still be put back into the queue. Other workers wait for the outcome, because that worker may
// never get a process.
func mayPutBack(w state.Worker) bool { return w.Trial != nil && w.Stage == state.StageStarting }

// putBack returns a trial that worker i did not begin to the queue.
func (r *run) putBack(i int, t results.Trial) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue.putBack(i, t)
}

// lookUp reports whether a trial is done, and returns the failed attempts at it.
func (r *run) lookUp(t results.Trial) (done bool, f attempt.Failure, err error) {
	done, err = r.campaign.Done(t)
	if errors.Is(err, results.ErrDamaged) {
		err = r.renameDamaged(t, true)
	}
	if done || err != nil {
		return done, f, err
	}
	f, err = r.failureOf(t)
	return false, f, err
}

// assignOrCount assigns a trial to worker i. If the trial is done or failed, it counts it in the
// totals instead and returns nil.
func (r *run) assignOrCount(i int, t results.Trial, done bool, f attempt.Failure) *worker.Order {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case done:
		r.totals.Done++
	case f.TrialFailed:
		r.totals.Failed++
	default:
		w := &r.state.Workers[i]
		*w = state.Worker{Device: w.Device, Index: w.Index, Trial: &t, Attempt: f.Next(), Stage: state.StageStarting, Since: time.Now().UTC(), Log: w.Log}
		return &worker.Order{Trial: t, Attempt: w.Attempt}
	}
	return nil
}

// sleep waits for d, or until ctx is cancelled.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
