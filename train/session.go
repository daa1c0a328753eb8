package train

import (
	"context"
	"fmt"
	"reflect"
	"sync"
	"time"

	"github.com/gomlx/compute"

	"nb201/data"
)

// Run trains. It calls observe after every batch, from this goroutine. When ctx is
// cancelled it stops at the next batch, or after compiling, with ctx's error; a loss
// that is not a number ends it with a *Diverged. With c.Checkpoints it goes on from the
// newest sound one and leaves others; see there.
func Run(ctx context.Context, b compute.Backend, c Config, observe func(Progress)) (*Outcome, error) {
	s := NewSession(b)
	defer s.Close()
	return s.Run(ctx, c, observe)
}

// Session trains trials one after another on a backend, and keeps what the next trial
// may need again: the compiled programs, which trials share whose seed, schedule or
// order of images alone differ, and the images. A trial's record is the same as when it
// runs alone. Prepare and Config may be called while Run runs, from other goroutines.
type Session struct {
	backend compute.Backend
	work    sync.WaitGroup // on programs

	mu             sync.Mutex
	current, ahead *compilation // of the trial that runs or has run last; of the prepared one

	loading sync.Mutex
	images  loaded
}

// compilation is of programs that are there when done is closed, or an error.
type compilation struct {
	*programs
	done chan struct{}
	err  error
}

// loaded are the images that were loaded last.
type loaded struct {
	definition data.Definition
	root       string
	*data.Dataset
}

// NewSession is a session without programs and images. The caller closes it before it
// finalizes b.
func NewSession(b compute.Backend) *Session { return &Session{backend: b} }

// Close frees the programs, after those that are being compiled: compiling cannot be
// interrupted. A process that is about to end need not wait for it; then it must leave
// the backend, too, to the process's end.
func (s *Session) Close() {
	s.mu.Lock()
	s.free(s.current)
	s.free(s.ahead)
	s.current, s.ahead = nil, nil
	s.mu.Unlock()
	s.work.Wait()
}

// Config is Options.Config on the images of a definition instead of that of o.Dataset.
// When the definition and o.DataRoot are those of the last call the images are too: the
// files are not read again.
func (s *Session) Config(o Options, definition data.Definition) (Config, error) {
	return o.on(definition, s.load)
}

func (s *Session) load(d data.Definition, root string) (*data.Dataset, error) {
	s.loading.Lock()
	defer s.loading.Unlock()
	if s.images.Dataset == nil || s.images.root != root || !reflect.DeepEqual(s.images.definition, d) {
		set, err := d.Load(root)
		if err != nil {
			return nil, err
		}
		s.images = loaded{d, root, set}
	}
	return s.images.Dataset, nil
}

// Prepare compiles the programs of a trial that is to run later, in the background and
// on whatever cores are idle. The programs of a trial that was prepared before and has
// not run are freed. Run tells what goes wrong.
func (s *Session) Prepare(c Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := c.plan(); !s.current.of(p) && !s.ahead.of(p) {
		s.free(s.ahead)
		s.ahead = s.compile(p)
	}
}

// Run trains as the function Run does, one trial at a time. But when ctx is cancelled
// while programs are compiled it returns at once, and they go on being compiled; see
// Close.
func (s *Session) Run(ctx context.Context, c Config, observe func(Progress)) (*Outcome, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	o := &Outcome{}
	p := s.programsOf(c.plan())
	err := c.with(p.programs, observe, func(t *trial) (err error) {
		if err := t.begin(); err != nil {
			return err
		}
		if err := t.resume(); err != nil {
			return err
		}
		began := time.Now()
		select {
		case <-p.done:
		case <-ctx.Done():
			return ctx.Err()
		}
		o.Compile = time.Since(began)
		if p.err != nil {
			return p.err
		}
		if err := t.run(ctx); err != nil {
			return err
		}
		o.Record = t.record
		o.Weights, err = t.trained()
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%v: %w", c.Trial, err)
	}
	return o, nil
}

// programsOf makes the programs of a plan the current ones.
func (s *Session) programsOf(p plan) *compilation {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.current.of(p):
	case s.ahead.of(p):
		s.free(s.current)
		s.current, s.ahead = s.ahead, nil
	default:
		s.free(s.current)
		s.current = s.compile(p)
	}
	return s.current
}

// of tells whether a compilation, or nil, is of a plan and has not failed.
func (c *compilation) of(p plan) bool {
	if c == nil || c.plan != p {
		return false
	}
	select {
	case <-c.done:
		return c.err == nil
	default:
		return true
	}
}

func (s *Session) compile(p plan) *compilation {
	c := &compilation{programs: newPrograms(s.backend, p), done: make(chan struct{})}
	s.work.Go(func() {
		defer close(c.done)
		c.err = c.compileAll()
	})
	return c
}

func (s *Session) free(c *compilation) {
	if c == nil {
		return
	}
	s.work.Go(func() {
		<-c.done
		c.finalize()
	})
}
