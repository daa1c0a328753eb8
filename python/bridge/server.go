package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime/debug"
	"sync"

	"nb201/cell"
	"nb201/internal/inert"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/lookup"
	"nb201/results/published"
)

// request is a call of Python. Each call uses the fields that its method in requests names.
type request struct {
	Call   string
	Ticket uint64 // names a call that can be watched and cancelled; 0: none
	Handle uint64 // of an open benchmark
	Scan   uint64

	Path      string
	Numpy     bool // numpy's types may be used in replies
	Index     int
	Indices   []int
	Arch      string // an index or the string of an architecture
	Dataset   string
	Schedule  string
	Set       string
	Slot      string
	Seed      *uint32
	Epoch     *int
	MaxFLOPs  float64
	MaxParams float64
	Curves    bool
}

// requests lists the calls.
var requests = map[string]func(*server, context.Context, *request) (any, error){
	"open":         (*server).open,
	"close":        (*server).close,
	"progress":     (*server).progress,
	"cancel":       (*server).cancel,
	"strings":      onBenchmark(listStrings),
	"index":        onBenchmark(findIndex),
	"architecture": onBenchmark(readArchitecture),
	"records":      onBenchmark(readRecords),
	"weights":      onBenchmark(readWeights),
	"query":        onBenchmark(query),
	"best":         (*server).best,
	"scan":         (*server).scan,
	"next":         (*server).next,
	"stop":         (*server).stop,
}

// server answers requests. It is safe for concurrent use.
type server struct {
	mu         sync.Mutex
	last       uint64 // number that was given last, to a benchmark or a scan
	benchmarks map[uint64]*opened
	scans      map[uint64]*scan
	tickets    map[uint64]*ticket
}

// opened is an open benchmark. Calls hold it for reading, so that close waits for them.
type opened struct {
	sync.RWMutex
	*benchmark.Benchmark
	numpy  bool
	closed bool
}

// ticket watches a call in progress.
type ticket struct {
	cancel context.CancelFunc
	mu     sync.Mutex
	done   int64
	total  int64
}

func (t *ticket) report(done, total int64) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.done, t.total = done, total
}

func newServer() *server {
	return &server{benchmarks: map[uint64]*opened{}, scans: map[uint64]*scan{}, tickets: map[uint64]*ticket{}}
}

// Kinds of errors, by which Python chooses a class.
var kinds = []struct {
	name string
	is   error
}{
	{"no_trial", benchmark.ErrNoTrial},
	{"not_held", benchmark.ErrNotHeld},
	{"damaged", results.ErrDamaged},
	{"closed", errClosed},
	{"cancelled", context.Canceled},
}

var errClosed = errors.New("the benchmark is closed; open it again")

// encodeError returns the pickle of an error.
func encodeError(err error) []byte {
	kind := "system"
	if usage.Is(err) {
		kind = "usage"
	}
	for _, k := range kinds {
		if errors.Is(err, k.is) {
			kind = k.name
			break
		}
	}
	text, _ := encode(pickle.Dict{{Key: "kind", Value: kind}, {Key: "text", Value: inert.Text(err.Error())}}) // strings can be written
	return text
}

// newEncoder returns an encoder for Python's unpickler, which has no need of short pickles.
func newEncoder(w io.Writer) *pickle.Encoder {
	e := pickle.NewEncoder(w)
	e.Unshared = true
	return e
}

// encode returns a pickle.
func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	err := newEncoder(&b).Encode(v)
	return b.Bytes(), err
}

// answer returns the pickle that answers a request. A fault of this library is an error too: it must not
// end a Python program.
func (s *server) answer(text []byte) (reply []byte, err error) {
	defer recoverInto(&err)
	var r request
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&r); err != nil {
		return nil, fmt.Errorf("the Python package sent a request that libnb201 does not understand (%w); install both from one wheel", err)
	}
	call, ok := requests[r.Call]
	if !ok {
		return nil, fmt.Errorf("libnb201 has no call %q; install it and the Python package from one wheel", r.Call)
	}
	ctx := context.Background()
	if r.Ticket != 0 && r.Call != "cancel" && r.Call != "progress" {
		var end func()
		ctx, end = s.watch(ctx, r.Ticket)
		defer end()
	}
	v, err := call(s, ctx, &r)
	if err != nil {
		return nil, err
	}
	return encode(v)
}

// recoverInto turns a panic into an error.
func recoverInto(err *error) {
	if fault := recover(); fault != nil {
		*err = fmt.Errorf("nb201 failed: %v; please report it with this text:\n%s", fault, debug.Stack())
	}
}

type ticketKey struct{}

// watch lets other calls watch and cancel the call with a ticket.
func (s *server) watch(ctx context.Context, number uint64) (context.Context, func()) {
	ctx, cancel := context.WithCancel(ctx)
	t := &ticket{cancel: cancel}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tickets[number] = t
	return context.WithValue(ctx, ticketKey{}, t), func() {
		cancel()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.tickets, number)
	}
}

// reportTo returns a function that reports progress to the ticket of a call.
func reportTo(ctx context.Context) func(done, total int64) {
	if t, ok := ctx.Value(ticketKey{}).(*ticket); ok {
		return t.report
	}
	return func(int64, int64) {}
}

// progress returns the progress of the call with a ticket, as (done, total): bytes while a benchmark is
// indexed, architectures in a search. None: the call has not begun, or has ended.
func (s *server) progress(_ context.Context, r *request) (any, error) {
	s.mu.Lock()
	t := s.tickets[r.Ticket]
	s.mu.Unlock()
	if t == nil {
		return nil, nil
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	return pickle.Tuple{t.done, t.total}, nil
}

// cancel ends the call with a ticket, if it is in progress.
func (s *server) cancel(_ context.Context, r *request) (any, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t := s.tickets[r.Ticket]; t != nil {
		t.cancel()
	}
	return nil, nil
}

// open opens the benchmark at Path and describes it.
func (s *server) open(ctx context.Context, r *request) (any, error) {
	b, err := published.Open(ctx, r.Path, published.WithProgress(reportTo(ctx)))
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	s.benchmarks[s.last] = &opened{Benchmark: b, numpy: r.Numpy}
	evaluated := make(pickle.List, len(b.Evaluated()))
	for i, index := range b.Evaluated() {
		evaluated[i] = index
	}
	return pickle.Dict{
		{Key: "handle", Value: int64(s.last)},
		{Key: "format", Value: string(b.Format)},
		{Key: "space", Value: spaceName(b.Space)},
		{Key: "listed", Value: b.Listed},
		{Key: "evaluated", Value: evaluated},
	}, nil
}

// spaceName returns the name of a search space, also of the default one: tss, sss.
func spaceName(space cell.Space) string { return space.Name().String() }

// close closes a benchmark after the calls that use it. A benchmark that is not open is not an error, so
// that Python can close twice.
func (s *server) close(_ context.Context, r *request) (any, error) {
	s.mu.Lock()
	b := s.benchmarks[r.Handle]
	delete(s.benchmarks, r.Handle)
	s.mu.Unlock()
	if b == nil {
		return nil, nil
	}
	b.Lock()
	defer b.Unlock()
	b.closed = true
	return nil, b.Close()
}

// use calls f with an open benchmark, which is not closed meanwhile.
func (s *server) use(handle uint64, f func(*opened) (any, error)) (any, error) {
	s.mu.Lock()
	b := s.benchmarks[handle]
	s.mu.Unlock()
	if b == nil {
		return nil, errClosed
	}
	b.RLock()
	defer b.RUnlock()
	if b.closed {
		return nil, errClosed
	}
	return f(b)
}

// onBenchmark makes a call of a question about an open benchmark.
func onBenchmark(question func(*opened, *request) (any, error)) func(*server, context.Context, *request) (any, error) {
	return func(s *server, _ context.Context, r *request) (any, error) {
		return s.use(r.Handle, func(b *opened) (any, error) { return question(b, r) })
	}
}

// listStrings lists the strings of the architectures that a benchmark covers.
func listStrings(b *opened, _ *request) (any, error) {
	list := make(pickle.List, 0, b.Listed)
	for _, text := range b.All() {
		list = append(list, text)
	}
	return list, nil
}

// findIndex returns the index of Arch.
func findIndex(b *opened, r *request) (any, error) { return b.QueryIndexByArch(r.Arch) }

// readWeights returns a torch checkpoint of the trained state dict of the trial on Dataset with Seed and
// the schedule Slot, which may be less or full. None: the weights were not kept.
func readWeights(b *opened, r *request) (any, error) {
	schedule := r.Slot
	switch original := benchmark.OriginalOf(b.Space); schedule {
	case "less":
		schedule = original.Short
	case "full":
		schedule = original.Full
	}
	trials, err := b.QueryMetaInfoByIndex(r.Index, schedule)
	if err != nil {
		return nil, err
	}
	if r.Seed == nil {
		return nil, errors.New("the request names no seed")
	}
	weights, err := trials.NetParam(r.Dataset, *r.Seed)
	if err != nil {
		return nil, usage.Errorf("%s: %w", b.Path, err)
	}
	state := weights[*r.Seed]
	if state == nil {
		return nil, nil
	}
	var checkpoint bytes.Buffer
	if err := torchfile.Write(&checkpoint, state); err != nil {
		return nil, err
	}
	return pickle.Bytes(checkpoint.Bytes()), nil
}

// query returns what nb201 query --json prints about Arch.
func query(b *opened, r *request) (any, error) {
	q := lookup.Question{Dataset: r.Dataset, Schedule: r.Schedule, Set: r.Set, Seed: r.Seed, Epoch: benchmark.Last}
	if r.Epoch != nil {
		q.Epoch = *r.Epoch
	}
	answer, err := q.Ask(b.Benchmark, r.Arch)
	if err != nil {
		return nil, err
	}
	if r.Curves {
		answer.AddCurves()
	}
	return asJSON(answer)
}

// best returns the result of [benchmark.Benchmark.FindBest].
func (s *server) best(ctx context.Context, r *request) (any, error) {
	return s.use(r.Handle, func(b *opened) (any, error) {
		report := reportTo(ctx)
		found, err := b.FindBest(ctx, benchmark.Search{
			Dataset: r.Dataset, Set: r.Set, HP: r.Schedule, MaxFLOPs: r.MaxFLOPs, MaxParams: r.MaxParams,
			Progress: func(done, total int) { report(int64(done), int64(total)) },
		})
		if err != nil {
			return nil, err
		}
		return asJSON(found)
	})
}

// asJSON returns a value as bytes of JSON.
func asJSON(v any) (any, error) {
	text, err := json.Marshal(v)
	return pickle.Bytes(text), err
}
