package train

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/gomlx/compute"

	"nb201/data"
)

// Run trains. It calls observe after every batch, from this goroutine. When ctx is
// cancelled it stops at the next batch, or after compiling, with ctx's error; a loss
// or a state that is not finite ends it with a *Diverged. With c.Checkpoints it goes on from the
// newest sound one and leaves others; see there.
func Run(ctx context.Context, b compute.Backend, c Config, observe func(Progress)) (*Outcome, error) {
	s := NewSession(b)
	defer s.Close()
	return s.Run(ctx, c, observe)
}

// Session trains trials one after another on a backend, and keeps what the next trial
// may need again: the compiled programs, which trials share whose seed, schedule or
// order of images alone differ, and the images, on the host and on the device. A trial's
// record is the same as when it runs alone. Prepare and Config may be called while Run
// runs, from other goroutines.
type Session struct {
	backend compute.Backend
	work    sync.WaitGroup // on programs

	mu             sync.Mutex
	current, ahead *programs // of the trial that runs or has run last; of the prepared one

	loading sync.Mutex
	images  loaded

	// Of the trial that runs or has run last.
	uploaded   *deviceImages
	uploadedOf *data.Dataset
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

// Close frees the programs, after those that are being compiled, and the images:
// compiling cannot be interrupted. A process that is about to end need not wait for it; then it must leave
// the backend, too, to the process's end.
func (s *Session) Close() {
	s.mu.Lock()
	s.change(nil, nil)
	s.mu.Unlock()
	s.work.Wait()
	s.uploaded.finalize()
	s.uploaded, s.uploadedOf = nil, nil
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

// upload brings the images of a dataset to the device, unless they are there.
func (s *Session) upload(set *data.Dataset) (*deviceImages, error) {
	if s.uploadedOf == set {
		return s.uploaded, nil
	}
	s.uploaded.finalize()
	s.uploaded, s.uploadedOf = nil, nil
	images, err := upload(s.backend, set)
	if err == nil {
		s.uploaded, s.uploadedOf = images, set
	}
	return images, err
}

// Prepare compiles the programs of a trial that is to run later, in the background and
// on whatever cores are idle. Those of a trial that was prepared before and has not run
// are freed. Run tells what goes wrong.
func (s *Session) Prepare(c Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(s.current, s.compile(c))
}

// Run trains as the function Run does, one trial at a time. Training begins as soon as
// the step of whole batches is compiled, while the other programs are being compiled.
// But when ctx is cancelled while a program is waited for it returns at once, and they go
// on being compiled; see Close.
func (s *Session) Run(ctx context.Context, c Config, observe func(Progress)) (*Outcome, error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	o := &Outcome{}
	p := s.programsOf(c)
	images, err := s.upload(c.Data)
	if err == nil {
		err = c.with(p, images, observe, func(t *trial) (err error) {
			defer func() { o.Compile, o.Host = t.compiling, t.host }()
			if err := t.begin(); err != nil {
				return err
			}
			if err := t.resume(); err != nil {
				return err
			}
			if err := t.run(ctx); err != nil {
				return err
			}
			o.Record = t.record
			o.Weights, err = t.trained()
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", c.Trial, err)
	}
	return o, nil
}

// programsOf makes the programs of a trial the current ones.
func (s *Session) programsOf(c Config) *programs {
	s.mu.Lock()
	defer s.mu.Unlock()
	p, ahead := s.compile(c), s.ahead
	if ahead != nil && slices.Equal(p.all(), ahead.all()) {
		ahead = nil
	}
	s.change(p, ahead)
	return p
}

// compile has the programs of a trial compiled, but for those that are there already or
// are being compiled.
func (s *Session) compile(c Config) *programs {
	p := c.programs(s.backend)
	known := slices.Concat(s.current.all(), s.ahead.all())
	var missing []*program
	for _, needed := range []**program{&p.whole, &p.ragged, &p.evaluate} {
		if *needed == nil {
			continue
		}
		i := slices.IndexFunc(known, func(k *program) bool { return k.is(*needed) && !k.failed() })
		if i >= 0 {
			*needed = known[i]
		} else {
			missing = append(missing, *needed)
		}
	}
	s.work.Go(func() { compileAll(missing...) })
	return p
}

// change changes the programs that are kept, and frees the others.
func (s *Session) change(current, ahead *programs) {
	old, kept := slices.Concat(s.current.all(), s.ahead.all()), slices.Concat(current.all(), ahead.all())
	for i, p := range old {
		if !slices.Contains(kept, p) && !slices.Contains(old[:i], p) {
			s.work.Go(p.finalize)
		}
	}
	s.current, s.ahead = current, ahead
}
