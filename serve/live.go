package serve

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"sync"
	"sync/atomic"
	"time"

	"nb201/scheduler/attempt"
	"nb201/scheduler/status"
)

// live knows how the benchmark is now. Two loops keep it up to date while somebody asks: one reads
// the state of the campaign, the other its records.
type live struct {
	source  *source
	program string
	files   map[string]*file // of the page
	page    string           // version of files

	data     atomic.Pointer[data]          // nil until the benchmark has been read
	campaign atomic.Pointer[status.Status] // nil until it has been read, or not a campaign
	asked    atomic.Int64                  // when the last request came, in nanoseconds since 1970
	wake     [2]chan struct{}              // make the loops start at once

	mu      sync.Mutex
	faults  [3]string // why the benchmark cannot be read, by what fails; "": it can
	now     moment
	text    []byte        // now as JSON
	changed chan struct{} // closed when text is replaced
}

// moment is how the benchmark is at a time, as the page and clients of the API receive it.
type moment struct {
	Program string `json:"program"`
	Path    string `json:"path"`
	Format  string `json:"format"`
	Page    string `json:"page"` // version of the page's files
	Data    string `json:"data"` // version of what is known of finished trials; "": nothing yet
	// Reading is how far the benchmark is read, if it is read for the first time.
	Reading *reading `json:"reading,omitzero"`
	// Missing says why the benchmark cannot be read now; the answers are then those of before.
	Missing       string         `json:"missing,omitempty"`
	Architectures int            `json:"architectures"` // that have finished trials
	Trials        int            `json:"trials"`        // finished
	Campaign      *status.Status `json:"campaign,omitzero"`
	// Failures is the number of trials with failed attempts; Campaign lists the first of them.
	Failures int `json:"failures"`
}

// reading counts architectures.
type reading struct {
	Done  int `json:"done"`
	Total int `json:"total"`
}

// maxListed bounds the lists in a moment, which is sent about once a second.
const maxListed = 100

func newLive(src *source, program string) *live {
	l := &live{source: src, program: program, changed: make(chan struct{})}
	l.files, l.page = pageFiles()
	for i := range l.wake {
		l.wake[i] = make(chan struct{}, 1)
	}
	l.update(func(m *moment) {
		*m = moment{Program: program, Path: src.path, Page: l.page, Format: string(src.benchmark.Format)}
		if !src.campaign {
			m.Reading = &reading{Total: len(src.benchmark.Evaluated())}
		}
	})
	return l
}

// touch takes note of a request.
func (l *live) touch() {
	before := l.asked.Swap(time.Now().UnixNano())
	if time.Since(time.Unix(0, before)) < time.Second {
		return
	}
	for _, wake := range l.wake {
		select {
		case wake <- struct{}{}:
		default: // it is awake
		}
	}
}

// attention is how long after a request the loops continue.
const attention = time.Minute

// isWatched reports whether somebody asked lately.
func (l *live) isWatched() bool {
	return time.Since(time.Unix(0, l.asked.Load())) < attention
}

// update changes the moment, and notifies the streams if its JSON is another one then.
func (l *live) update(change func(*moment)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.now)
	text, err := encode(l.now)
	if err != nil {
		text, err = encode(problem{"status", 500, err.Error()})
	}
	if err != nil || bytes.Equal(text, l.text) {
		return
	}
	l.text = text
	close(l.changed)
	l.changed = make(chan struct{})
}

// What may fail when a benchmark is read, in the order in which it is reported.
const (
	readingState = iota
	following
	building
)

// report takes note of why something fails; of nil, that it does not.
func (l *live) report(what int, err error) {
	fault := ""
	if err != nil {
		fault = err.Error()
	}
	l.mu.Lock()
	isKnown := l.faults[what] == fault
	l.mu.Unlock()
	if isKnown { // as nearly always, and then nothing has to be encoded
		return
	}
	l.update(func(m *moment) {
		l.faults[what] = fault
		m.Missing = cmp.Or(l.faults[:]...)
	})
}

// current returns the moment as JSON, and a channel that is closed when it changes.
func (l *live) current() (text []byte, changed <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text, l.changed
}

// firstWait is how long a request waits for what is read first.
const firstWait = 5 * time.Second

// wait waits until known reports true, which a new moment may bring about, or the benchmark cannot be
// read, but not longer than firstWait or ctx.
func (l *live) wait(ctx context.Context, known func() bool) {
	late := time.NewTimer(firstWait)
	defer late.Stop()
	for {
		l.mu.Lock()
		missing, changed := l.now.Missing != "", l.changed
		l.mu.Unlock()
		if missing || known() {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			return
		case <-ctx.Done():
			return
		}
	}
}

// firstData returns the data, nil if the benchmark is still being read.
func (l *live) firstData(ctx context.Context) *data {
	l.wait(ctx, func() bool { return l.data.Load() != nil })
	return l.data.Load()
}

// firstCampaign returns the state of the campaign, nil if it is still being read or there is none.
func (l *live) firstCampaign(ctx context.Context) *status.Status {
	l.wait(ctx, func() bool { return l.campaign.Load() != nil || !l.source.campaign })
	return l.campaign.Load()
}

// follow keeps the moment and the data up to date until ctx ends.
func (l *live) follow(ctx context.Context) {
	var loops sync.WaitGroup
	if l.source.campaign {
		loops.Go(func() { l.loop(ctx, l.wake[0], l.newStatusStep()) })
	}
	loops.Go(func() { l.loop(ctx, l.wake[1], l.newDataStep()) })
	loops.Wait()
}

// beat is the least time between two steps of a loop. Tests change it.
var beat = time.Second

// loop calls step about once a second while somebody asks.
func (l *live) loop(ctx context.Context, wake <-chan struct{}, step func(context.Context)) {
	ticker := time.NewTicker(beat)
	defer ticker.Stop()
	for first := true; ctx.Err() == nil; first = false {
		if first || l.isWatched() {
			step(ctx)
		}
		select {
		case <-ctx.Done():
		case <-ticker.C:
		case <-wake:
		}
	}
}

// pace spaces out work that takes long, so that it uses a small share of the time: workers may be
// training on the same cores.
type pace struct{ next time.Time }

// share is the greatest share of the time that work takes, of each kind. Tests change it.
var share = 0.03

// do does the work if it is due, and reports whether it did.
func (p *pace) do(work func()) bool {
	began := time.Now()
	if began.Before(p.next) {
		return false
	}
	work()
	ended := time.Now()
	p.next = ended.Add(time.Duration(float64(ended.Sub(began)) * (1/share - 1)))
	return true
}

// newStatusStep returns the step of the loop that reads the campaign's state: what its runs do each
// time, and all counts when they are due.
func (l *live) newStatusStep() func(context.Context) {
	var counts pace
	var known *status.Status
	return func(ctx context.Context) {
		if !counts.do(func() {
			s, err := status.Read(ctx, l.source.path)
			if ctx.Err() != nil {
				return
			}
			l.report(readingState, err)
			if err == nil {
				forgetUnknown(s.Failures)
				known = s
			}
		}) && known != nil {
			known = known.WithRuns()
		}
		l.campaign.Store(known)
		l.update(func(m *moment) {
			if known != nil {
				m.Campaign, m.Failures = shortened(known), len(known.Failures)
			}
		})
	}
}

// forgetUnknown removes what newer versions of the program have written into failure files.
func forgetUnknown(failures []attempt.Failure) {
	for i := range failures {
		failures[i].Unknown = nil
		for k := range failures[i].Attempts {
			failures[i].Attempts[k].Unknown = nil
		}
	}
}

// shortened returns the status with short lists: the trials that have failed first, and then those
// that failed last.
func shortened(s *status.Status) *status.Status {
	short := *s
	short.Failures = latestFailures(s.Failures)
	short.Problems = s.Problems[:min(len(s.Problems), maxListed)]
	short.Damaged = s.Damaged[:min(len(s.Damaged), maxListed)]
	return &short
}

// newDataStep returns the step of the loop that follows the records.
func (l *live) newDataStep() func(context.Context) {
	var looks, builds pace
	b := newBuilder(l.source)
	var missing error
	return func(ctx context.Context) {
		looks.do(func() { missing = b.look(ctx) })
		if ctx.Err() != nil {
			return
		}
		l.report(following, missing)
		if missing != nil || !b.isStale() {
			return
		}
		builds.do(func() {
			d, err := b.build(ctx, l.program, func(done, total int) {
				if l.data.Load() == nil {
					l.showReading(done, total)
				}
			})
			if ctx.Err() != nil {
				return
			}
			l.report(building, err)
			if err != nil {
				return
			}
			l.data.Store(d)
			l.update(func(m *moment) {
				m.Data, m.Architectures, m.Trials, m.Reading = d.version, len(d.summary.Archs), d.summary.Trials(), nil
			})
		})
	}
}

// showReading shows how far the benchmark is read, in steps of a hundredth.
func (l *live) showReading(done, total int) {
	if done == total || done%max(total/100, 1) == 0 {
		l.update(func(m *moment) { m.Reading = &reading{done, total} })
	}
}

// version returns a short text that differs for different contents.
func version(contents ...[]byte) string {
	sum := sha256.New()
	for _, c := range contents {
		sum.Write(c)
	}
	return hex.EncodeToString(sum.Sum(nil)[:12])
}
