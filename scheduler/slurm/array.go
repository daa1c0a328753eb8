package slurm

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"nb201/internal/plugin"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan"
	"nb201/scheduler/state"
)

// Options describe the array to prepare for a campaign.
type Options struct {
	Request
	Dir     string // campaign directory
	Program string // path of nb201 on the nodes
	Version string // of nb201
	// Chunks is the number of chunks of the plan. Zero means as many as the cluster accepts, but
	// not more than the plan has units.
	Chunks int
	// SkipQueued excludes trials of the campaign's elements in the queue.
	SkipQueued bool
	// RetryFailed includes failed trials, whose failures are forgotten on submission.
	RetryFailed bool
	// Shared says that all nodes see the directory, whatever its file system.
	Shared bool
	// Rate is the speed of a device, with which Time is checked; nil if unknown.
	Rate *plan.Rate
}

// Array is a job array ready for submission. Its elements are the chunks with trials left.
type Array struct {
	Campaign string   `json:"campaign"` // absolute path
	Chunks   int      `json:"chunks"`   // into which the plan is divided
	Elements string   `json:"elements"` // numbers of the chunks, such as 1-3,5; empty if nothing is left
	Trials   int      `json:"trials"`   // left in these chunks
	Queued   []Queued `json:"queued"`   // arrays of the campaign already in the queue
	Job      int      `json:"job,omitzero"`
	Script   string   `json:"script"`

	skipQueued bool            // Options.SkipQueued
	retry      []results.Trial // failed trials whose failures Submit forgets
}

// Prepare asks the cluster for its limits and its queue, determines which chunks of the campaign
// have trials left, and writes the script of an array for them. It also creates the folder of the
// logs, without which Slurm does not run an element. Errors that the user can fix are usage errors.
func Prepare(ctx context.Context, o Options) (*Array, error) {
	p, err := plan.Read(o.Dir)
	if err != nil {
		return nil, err
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, err
	}
	if err := o.check(dir); err != nil {
		return nil, err
	}
	if err := o.checkTime(p); err != nil {
		return nil, err
	}
	l, err := readLimits(ctx)
	if err != nil {
		return nil, err
	}
	if !o.Shared {
		others, err := otherHosts(ctx, o.Partition)
		if err == nil {
			err = checkShared(dir, others)
		}
		if err != nil {
			return nil, err
		}
	}
	if err := makeLogs(dir); err != nil {
		return nil, err
	}
	name, err := jobName(dir)
	if err != nil {
		return nil, err
	}
	queued, jobs, err := readQueue(ctx, name)
	if err != nil {
		return nil, err
	}
	chunks, err := l.chunkCount(p.Units(), o.Chunks, jobs)
	if err != nil {
		return nil, err
	}
	a := &Array{Campaign: dir, Chunks: chunks, Queued: queued, skipQueued: o.SkipQueued}
	elements, err := a.chunksLeft(ctx, p, o)
	if err != nil || len(elements) == 0 {
		return a, err
	}
	a.Elements = formatRanges(elements)
	about := fmt.Sprintf("Made by nb201 slurm (%s): %d trials of %s, in %d of its %d chunks.", o.Version, a.Trials, dir, len(elements), chunks)
	a.Script = o.script(o.Program, dir, name, about, elements, chunks)
	return a, nil
}

// makeLogs creates the folder of the logs and checks that files can be created there.
func makeLogs(dir string) error {
	logs := filepath.Join(dir, "logs")
	err := os.MkdirAll(logs, 0o777)
	if err == nil {
		var f *os.File
		if f, err = os.CreateTemp(logs, ".probe-*"); err == nil {
			err = errors.Join(f.Close(), os.Remove(f.Name()))
		}
	}
	if err != nil {
		return usage.Errorf("cannot write to campaign %s: %w", dir, err)
	}
	return nil
}

// checkTime returns a usage error when an element cannot train an epoch of the plan's most
// expensive trial within its time limit, if the rate of such devices is known.
func (o *Options) checkTime(p *plan.Plan) error {
	if o.Time == 0 || o.Rate == nil || o.Rate.Device != "" && (o.Rate.Device == plugin.CPU) != (o.GPUs.Count == 0) {
		return nil
	}
	var costliest results.Trial
	most := 0.0
	for t := range p.Trials() {
		if s := o.Rate.EpochSeconds(p.Work(t), t.Epochs); s > most {
			costliest, most = t, s
		}
	}
	epoch := time.Duration(most * float64(time.Second))
	if o.Time-o.Warn < epoch {
		return usage.Errorf("--time %v: too short, as preparing and training one epoch of %v takes about %s, "+
			"and the warning comes %v before the end (--warn); use at least %v",
			o.Time, costliest, state.FormatDuration(epoch), o.Warn, (o.Warn+epoch).Round(time.Minute)+time.Minute)
	}
	return nil
}

// chunksLeft counts the trials left in a.Trials and returns the numbers of the chunks that have
// any. It excludes trials that are done, failed ones unless o.RetryFailed, and, with o.SkipQueued, those
// of elements in the queue.
func (a *Array) chunksLeft(ctx context.Context, p *plan.Plan, o Options) ([]int, error) {
	done, err := plan.Done(ctx, a.Campaign)
	if err != nil {
		return nil, err
	}
	excluded := map[results.Trial]bool{}
	for _, t := range done {
		excluded[t] = true
	}
	failed, err := attempt.ListFailed(a.Campaign)
	if err != nil {
		return nil, err
	}
	if o.RetryFailed {
		a.retry = failed
	} else {
		for _, t := range failed {
			excluded[t] = true
		}
	}
	if o.SkipQueued {
		for _, q := range a.Queued {
			queued := map[int]bool{}
			for _, e := range q.Elements {
				queued[e.Chunk] = true
			}
			for chunk, t := range p.Chunks(q.Chunks) {
				if queued[chunk] {
					excluded[t] = true
				}
			}
		}
	}
	chunks := map[int]bool{}
	for chunk, t := range p.Chunks(a.Chunks) {
		if !excluded[t] {
			chunks[chunk] = true
			a.Trials++
		}
	}
	return slices.Sorted(maps.Keys(chunks)), nil
}

// submitted matches the output of sbatch --parsable: the job number, and a cluster if there are
// several.
var submitted = regexp.MustCompile(`^(\d+)(;.*)?$`)

// Submit submits the array to Slurm and sets a.Job. It does nothing if no trial is left. It returns
// a usage error if the campaign already has arrays in the queue, unless Options.SkipQueued is set, or
// if Slurm rejects the array.
func (a *Array) Submit(ctx context.Context) error {
	switch {
	case len(a.Queued) > 0 && !a.skipQueued:
		return usage.Errorf("the campaign is already in the queue, in %v; use --resubmit to submit the rest", a.Queued[0])
	case a.Elements == "":
		return nil
	}
	for _, t := range a.retry {
		if err := attempt.Forget(a.Campaign, t); err != nil {
			return fmt.Errorf("%v: cannot forget its failed attempts: %w", t, err)
		}
	}
	text, err := runProgram(ctx, a.Script, "sbatch", "--parsable")
	if err != nil {
		return usage.Errorf("Slurm rejected the array: %w", err)
	}
	m := submitted.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return fmt.Errorf("sbatch printed %q instead of a job number; check the queue with squeue", cmp.Or(strings.TrimSpace(text), "nothing"))
	}
	a.Job, err = strconv.Atoi(m[1])
	return err
}
