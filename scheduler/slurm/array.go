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

// Options say which array a campaign is to be sent in.
type Options struct {
	Request
	Dir     string // the campaign
	Program string // path of nb201 on the nodes
	Version string // of nb201
	// Chunks is into how many chunks the plan is to be divided; zero: as many as the cluster
	// takes, but no more than the plan has units.
	Chunks int
	// Beside leaves out what the campaign's elements in the queue have.
	Beside bool
	// RetryFailed has trials that were set aside begin anew, when the array is submitted.
	RetryFailed bool
	// Shared says that all nodes see the directory, on whatever file system it is.
	Shared bool
	// Rate is how fast a device works, to hold the time against; nil: not known.
	Rate *plan.Rate
}

// Array is an array ready to be sent. It has the elements for which something is left.
type Array struct {
	Campaign string   `json:"campaign"` // absolute path
	Chunks   int      `json:"chunks"`   // that the plan is divided into
	Elements string   `json:"elements"` // numbers of the chunks, as in 1-3,5; empty: nothing is left
	Trials   int      `json:"trials"`   // left in them
	Queued   []Queued `json:"queued"`   // arrays of the campaign in the queue
	Job      int      `json:"job,omitzero"`
	Script   string   `json:"script"`

	beside   bool            // Options.Beside
	failures []results.Trial // set aside, to begin anew
}

// Prepare asks the cluster for its limits and queue, finds what is left of the campaign, and
// writes the script of an array that does it. It also makes the folder of the logs, without
// which Slurm runs no element. Errors of what the user can mend are usage errors.
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
	chunks, err := l.chunks(p.Units(), o.Chunks, jobs)
	if err != nil {
		return nil, err
	}
	a := &Array{Campaign: dir, Chunks: chunks, Queued: queued, beside: o.Beside}
	elements, err := a.left(ctx, p, o)
	if err != nil || len(elements) == 0 {
		return a, err
	}
	a.Elements = ranges(elements)
	about := fmt.Sprintf("Made by nb201 slurm (%s): %d trials of %s, in %d of its %d chunks.", o.Version, a.Trials, dir, len(elements), chunks)
	a.Script = o.script(o.Program, dir, name, about, elements, chunks)
	return a, nil
}

// makeLogs makes the folder of the logs and makes sure that files can be made there.
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
		return usage.Errorf("campaign %s cannot be written: %w", dir, err)
	}
	return nil
}

// checkTime refuses a time limit in which an element cannot train an epoch of the plan's
// dearest trial, where the rate of such devices is known.
func (o *Options) checkTime(p *plan.Plan) error {
	if o.Time == 0 || o.Rate == nil || o.Rate.Device != "" && (o.Rate.Device == plugin.CPU) != (o.GPUs.Count == 0) {
		return nil
	}
	var dearest results.Trial
	most := 0.0
	for t := range p.Trials() {
		if s := o.Rate.EpochSeconds(p.Work(t), t.Epochs); s > most {
			dearest, most = t, s
		}
	}
	epoch := time.Duration(most * float64(time.Second))
	if o.Time-o.Warn < epoch {
		return usage.Errorf("--time %v is too short: less the %v of the warning it leaves no time for an epoch of %v, which takes about %s with what comes before it: use at least %v",
			o.Time, o.Warn, dearest, state.Span(epoch), (o.Warn+epoch).Round(time.Minute)+time.Minute)
	}
	return nil
}

// left counts the trials for which a is to be sent, and returns the numbers of the chunks
// that have one: the trials that are not done, nor set aside, nor, with o.Beside, those of
// elements in the queue.
func (a *Array) left(ctx context.Context, p *plan.Plan, o Options) ([]int, error) {
	done, err := plan.Done(ctx, a.Campaign)
	if err != nil {
		return nil, err
	}
	away := map[results.Trial]bool{}
	for _, t := range done {
		away[t] = true
	}
	setAside, err := attempt.ListSetAside(a.Campaign)
	if err != nil {
		return nil, err
	}
	if o.RetryFailed {
		a.failures = setAside
	} else {
		for _, t := range setAside {
			away[t] = true
		}
	}
	if o.Beside {
		for _, q := range a.Queued {
			queued := map[int]bool{}
			for _, e := range q.Elements {
				queued[e.Chunk] = true
			}
			for chunk, t := range p.Chunks(q.Chunks) {
				if queued[chunk] {
					away[t] = true
				}
			}
		}
	}
	chunks := map[int]bool{}
	for chunk, t := range p.Chunks(a.Chunks) {
		if !away[t] {
			chunks[chunk] = true
			a.Trials++
		}
	}
	return slices.Sorted(maps.Keys(chunks)), nil
}

var submitted = regexp.MustCompile(`^(\d+)(;.*)?$`)

// Submit gives the array to Slurm, if something is left. A campaign that is in the queue
// already is refused, unless the array is of what is left besides, and so is what Slurm does
// not take: these are usage errors.
func (a *Array) Submit(ctx context.Context) error {
	switch {
	case len(a.Queued) > 0 && !a.beside:
		return usage.Errorf("the campaign is in the queue already, in %v: --resubmit sends what is left besides", a.Queued[0])
	case a.Elements == "":
		return nil
	}
	for _, t := range a.failures {
		if err := attempt.Forget(a.Campaign, t); err != nil {
			return fmt.Errorf("have %v begin anew: %w", t, err)
		}
	}
	text, err := call(ctx, a.Script, "sbatch", "--parsable")
	if err != nil {
		return usage.Errorf("the array was not taken: %w", err)
	}
	m := submitted.FindStringSubmatch(strings.TrimSpace(text))
	if m == nil {
		return fmt.Errorf("sbatch answered %q, not the number of a job", cmp.Or(strings.TrimSpace(text), "nothing"))
	}
	a.Job, err = strconv.Atoi(m[1])
	return err
}
