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

// Options say how a run works a plan.
type Options struct {
	Dir     string   // the campaign
	Devices []string // as the workers' command takes them
	// PerDevice is the number of workers of a device.
	PerDevice int
	// Chunk and Chunks have the run work one chunk of the plan, 1 <= Chunk <= Chunks;
	// zeros: all of it.
	Chunk, Chunks int
	MaxAttempts   int  // at a trial, before it is set aside
	RetryFailed   bool // begin anew with trials that were set aside
	// HangAfter is how long a worker may go without progress; it may take
	// PrepareWithin to start, and again to read images and compile for a trial.
	HangAfter, PrepareWithin time.Duration
	// MinFreeDisk is the room on the campaign's disk, in bytes, below which no trial begins.
	MinFreeDisk uint64
	// Grace is how long workers may take to leave a checkpoint when the run is stopped.
	Grace time.Duration
	// Command is the command of a worker of a device, see Worker.
	Command func(device string) *exec.Cmd
	// Show is called about every second, if it is not nil, and at the end. It must not
	// wait for anything, as View.Show does not: the run looks at its host between calls.
	Show func(state.Run, state.Totals)
	// Log takes lines about what goes wrong and what is done about it. It must not wait
	// for anything either: a worker gets its next trial after the line.
	Log io.Writer

	second time.Duration // the unit of the run's own delays; zero: a second
}

// Run works a plan until every trial of it is done or set aside, by this run or
// another, and returns how many are. When ctx is cancelled the workers leave
// checkpoints and the error is ctx's. Errors of what the user can mend are usage errors.
func Run(ctx context.Context, o Options) (state.Totals, error) {
	o.second = cmp.Or(o.second, time.Second)
	r, err := newRun(ctx, o)
	if err != nil {
		return state.Totals{}, err
	}
	defer r.state.Remove(o.Dir)
	r.beat() // no trial begins before the host was looked at
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
		workers.Go(func() { r.work(working, i) })
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
		err = fmt.Errorf("no worker can begin a trial: %w", r.broken)
	}
	return totals, err
}

// run is a run at work. Its worker goroutines do their own work, each with a process;
// what they share is here, under mu, but for the parts of state that newRun fixes: Host, PID,
// Started, Chunk and the number of workers. Entry i of state.Workers only the goroutine of
// worker i writes; it too reads it under mu (see worker). No file is read or written under
// mu: a disk that hangs would hold up everything.
type run struct {
	Options
	campaign results.Campaign
	fail     context.CancelCauseFunc
	pace     pace // of show alone

	saying sync.Mutex // a line at a time

	mu     sync.Mutex
	queue  *queue
	state  state.Run
	totals state.Totals
	full   string    // what the disk answered that took no file; empty: it takes them
	asked  time.Time // when it answered
	broken error     // why a worker gave up
	// unwritten holds the failed attempts at trials whose file cannot be written.
	unwritten map[results.Trial]attempt.Failure
	warned    map[results.Trial]bool // of its file of failed attempts
}

func newRun(ctx context.Context, o Options) (*run, error) {
	p, err := plan.Read(o.Dir)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	if err := checkDescriptors(o.PerDevice * len(o.Devices)); err != nil {
		return nil, err
	}
	for _, folder := range []string{"running", "logs", "trials"} {
		if err := (results.Campaign{Dir: o.Dir}).MakeDir(folder); err != nil {
			return nil, usage.Errorf("campaign %s cannot be written: %w%s", o.Dir, err, atomicfile.Rights(err))
		}
	}
	for _, folder := range []string{"failed", "weights"} {
		err := results.Campaign{Dir: o.Dir}.Within(func(root atomicfile.Root) error { return root.CheckCreate(filepath.Join(folder, "file")) })
		if err != nil {
			return nil, usage.Errorf("campaign %s cannot be written: %w%s", o.Dir, err, atomicfile.Rights(err))
		}
	}
	began := time.Now()
	r := &run{
		Options: o, campaign: results.Campaign{Dir: o.Dir}, pace: newPace(began),
		unwritten: map[results.Trial]attempt.Failure{}, warned: map[results.Trial]bool{},
	}
	now := began.UTC()
	r.state = state.Run{Host: host, PID: os.Getpid(), Started: now}
	trials := p.Trials()
	if o.Chunks > 0 {
		trials = p.Chunk(o.Chunk, o.Chunks)
		r.state.Chunk = fmt.Sprintf("%d/%d", o.Chunk, o.Chunks)
	}
	planned := slices.Collect(trials)
	done, err := r.done(ctx, planned)
	if err != nil {
		return nil, err
	}
	if err := sweep(o.Dir, host); err != nil { // no checkpoint of a trial whose record was set aside
		return nil, fmt.Errorf("tidy up campaign %s: %w", o.Dir, err)
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

// done finds the trials of the run that are done. Damaged records are set aside.
func (r *run) done(ctx context.Context, planned []results.Trial) (map[results.Trial]bool, error) {
	recorded := map[results.Trial]bool{}
	for t, err := range r.campaign.Trials() {
		if err != nil {
			return nil, err
		}
		recorded[t] = true
	}
	look := slices.Collect(maps.Keys(recorded)) // also those that the plan does not have
	if r.Chunks > 0 {
		look = slices.DeleteFunc(slices.Clone(planned), func(t results.Trial) bool { return !recorded[t] })
	}
	const many = 20000 // that take more than a few seconds
	if len(look) > many {
		r.say("reads the records of the %d trials that are done", len(look))
	}
	damaged, err := r.campaign.Damaged(ctx, look, true)
	if err != nil {
		return nil, err
	}
	for _, t := range slices.SortedFunc(maps.Keys(damaged), results.Trial.Compare) {
		delete(recorded, t)
		if err := r.setAside(t, slices.Contains(planned, t)); err != nil {
			return nil, err
		}
	}
	return recorded, nil
}

// setAside sets the damaged record of a trial aside, and says so.
func (r *run) setAside(t results.Trial, planned bool) error {
	path, reason, err := r.campaign.SetAside(t)
	if err == nil && path != "" {
		then := "the trial is trained again"
		if !planned {
			then = "the plan does not have the trial"
		}
		r.say("%v: it is kept as %s, and %s", reason, path, then)
	}
	return err
}

// forgetFailures has trials that were set aside begin anew.
func (r *run) forgetFailures(order []results.Trial) error {
	setAside, err := attempt.ListSetAside(r.Dir)
	if err != nil {
		return err
	}
	for _, t := range setAside {
		if !slices.Contains(order, t) {
			continue
		}
		if err := attempt.Forget(r.Dir, t); err != nil {
			return err
		}
	}
	return nil
}

// failure is what is known of earlier attempts at t, also of those that could not be
// written: see attempt.Earlier.
func (r *run) failure(t results.Trial) (attempt.Failure, error) {
	f, doubt, err := attempt.Earlier(r.Dir, t)
	if err != nil {
		return f, err
	}
	if doubt != nil {
		r.warn(t, "%v", doubt)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if more := r.unwritten[t]; len(more.Attempts) > len(f.Attempts) {
		return more, nil
	}
	return f, nil
}

// warn says something about the failed attempts at a trial, once.
func (r *run) warn(t results.Trial, format string, args ...any) {
	r.mu.Lock()
	said := r.warned[t]
	r.warned[t] = true
	r.mu.Unlock()
	if !said {
		r.say("warning: "+format, args...)
	}
}

// beat looks at the host and tells the state of the run.
func (r *run) beat() {
	r.mu.Lock()
	ask := r.full != "" && time.Since(r.asked) > 10*r.second
	r.mu.Unlock()
	room := ask && probe(filepath.Join(r.Dir, "running")) == nil
	little := checkHost(r.Dir, r.MinFreeDisk)

	r.mu.Lock()
	if ask {
		r.asked = time.Now()
	}
	if room {
		r.full = ""
	}
	was, paused := r.state.Paused, cmp.Or(little, r.full)
	r.state.Paused = paused
	r.mu.Unlock()
	switch {
	case paused != "" && was == "":
		r.say("no trial begins: %s; goes on by itself when there is room", paused)
	case paused == "" && was != "":
		r.say("there is room again: goes on")
	}
	r.show()
}

// show tells the state of the run to others and to the user.
func (r *run) show() {
	s, t := r.snapshot()
	s.LastHour = r.pace.follow(time.Now(), s)
	_ = s.Write(r.Dir) // a full disk is told of elsewhere
	if r.Show != nil {
		r.Show(s, t)
	}
}

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

func (r *run) say(format string, args ...any) {
	r.saying.Lock()
	defer r.saying.Unlock()
	inert.Fprintf(r.Log, format+"\n", args...)
}

// pause keeps trials from beginning until the disk takes files again.
func (r *run) pause(reason string) {
	r.mu.Lock()
	was := r.state.Paused
	if r.full == "" {
		r.asked = time.Now()
	}
	r.full, r.state.Paused = reason, reason
	r.mu.Unlock()
	if was == "" {
		r.say("no trial begins: %s; goes on by itself when there is room", reason)
	}
}

// update changes what worker i is at.
func (r *run) update(i int, change func(*state.Worker)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	change(&r.state.Workers[i])
}

// worker is what worker i is at.
func (r *run) worker(i int) state.Worker {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.state.Workers[i]
}

// next waits for a trial for worker i; nil when there is none any more.
func (r *run) next(ctx context.Context, i int) *worker.Order {
	for ctx.Err() == nil {
		o, ended, err := r.take(i)
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

// take takes the next trial for worker i that is neither done nor set aside. ended
// tells that there is none any more, nil without it that there is none now.
func (r *run) take(i int) (o *worker.Order, ended bool, err error) {
	for {
		t, next, ok, ended := r.deal(i)
		if !ok {
			return nil, ended, nil
		}
		done, f, err := r.lookUp(t)
		if attempt.IsNoRoom(err) {
			r.putBack(i, t)
			r.pause(attempt.OneLine(err))
			return nil, false, nil
		}
		if attempt.IsOfTrial(r.Dir, err) {
			r.leaveOut(t, attempt.OneLine(err))
			r.mu.Lock()
			r.state.Failed++
			r.totals.Failed++
			r.mu.Unlock()
			continue
		}
		if err != nil {
			return nil, false, err
		}
		if o := r.begin(i, t, done, f); o != nil {
			o.Next = next
			return o, false, nil
		}
	}
}

// leaveOut says why a run leaves a trial out. The next run tries it again.
func (r *run) leaveOut(t results.Trial, reason string) {
	r.say("%v is left out of this run: %s", t, reason)
}

// deal takes the next trial for worker i from the queue, unless the run is paused.
func (r *run) deal(i int) (t results.Trial, next *results.Trial, ok, ended bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.state.Paused == "" {
		t, next, ok = r.queue.take(i, time.Now())
	}
	return t, next, ok, !ok && r.queue.empty() && !slices.ContainsFunc(r.state.Workers, mayPutBack)
}

// mayPutBack reports whether a worker has a trial that it may put back into the queue: its
// process has not begun it. Others wait for what becomes of it, as that worker may never
// get a process.
func mayPutBack(w state.Worker) bool { return w.Trial != nil && w.Stage == state.StageStarting }

func (r *run) putBack(i int, t results.Trial) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.queue.putBack(i, t)
}

// lookUp finds out whether a trial is done, and what is known of failed attempts at it.
func (r *run) lookUp(t results.Trial) (done bool, f attempt.Failure, err error) {
	done, err = r.campaign.Done(t)
	if errors.Is(err, results.ErrDamaged) {
		err = r.setAside(t, true)
	}
	if done || err != nil {
		return done, f, err
	}
	f, err = r.failure(t)
	return false, f, err
}

// begin gives a trial to worker i, unless it is done or set aside: then it counts it.
func (r *run) begin(i int, t results.Trial, done bool, f attempt.Failure) *worker.Order {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case done:
		r.totals.Done++
	case f.SetAside:
		r.totals.Failed++
	default:
		w := &r.state.Workers[i]
		w.Trial, w.Attempt, w.Stage, w.Since = &t, f.Next(), state.StageStarting, time.Now().UTC()
		return &worker.Order{Trial: t, Attempt: w.Attempt}
	}
	return nil
}

// sleep waits, or until ctx is cancelled.
func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}
