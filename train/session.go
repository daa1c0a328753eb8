package train

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"sync"

	"github.com/gomlx/compute"

	"nb201/data"
	"nb201/internal/backend"
	"nb201/train/device"
)

// Session trains and evaluates trials one after another on a backend, and keeps what the
// next trial may need again: the executables, which trials share whose seed, schedule or
// order of images alone differ, and the images, on the host and on the device. A trial's
// record is the same as when it runs alone. Prepare and Config may be called while Run
// runs, from other goroutines.
type Session struct {
	backend compute.Backend
	work    sync.WaitGroup // on executables

	mu             sync.Mutex
	current, ahead *device.Set // of the trial that runs or has run last; of the prepared one

	loading  sync.Mutex
	loaded   recent[loaded]   // guarded by loading
	uploaded recent[uploaded] // of the goroutine that runs trials
}

// loaded are the images of a definition on the host.
type loaded struct {
	definition data.Definition
	root       string
	set        *data.Dataset
}

// uploaded are the images of a dataset on the device.
type uploaded struct {
	set    *data.Dataset
	images *device.Images
}

// recent is what was used last, the latest last.
type recent[T any] struct {
	limit int // 0: one
	items []T
}

// find finds what is wanted, which it then was the last to be.
func (r *recent[T]) find(wanted func(T) bool) (item T, ok bool) {
	i := slices.IndexFunc(r.items, wanted)
	if i < 0 {
		return item, false
	}
	item = r.items[i]
	r.items = append(slices.Delete(r.items, i, i+1), item)
	return item, true
}

// room removes what was used longest ago where there is no room for one more.
func (r *recent[T]) room() (removed []T) {
	over := len(r.items) - max(r.limit, 1) + 1
	if over <= 0 {
		return nil
	}
	removed = slices.Clone(r.items[:over])
	r.items = slices.Delete(r.items, 0, over)
	return removed
}

// NewSession returns a session without executables and images. The caller closes it before
// it finalizes b.
func NewSession(b compute.Backend) *Session { return &Session{backend: b} }

// KeepImages has the session keep the images of n datasets instead of those of one, for
// trials that alternate between datasets.
func (s *Session) KeepImages(n int) { s.loaded.limit, s.uploaded.limit = n, n }

// Close frees the executables, after those that are being compiled, and the images:
// compiling cannot be interrupted. A process that is about to end need not wait for it; then
// it must leave the backend, too, to the process's end.
func (s *Session) Close() {
	s.mu.Lock()
	s.change(nil, nil)
	s.mu.Unlock()
	s.work.Wait()
	for _, u := range s.uploaded.items {
		u.images.Finalize()
	}
	s.uploaded.items = nil
}

// Config is Options.Config. When the definition and o.DataRoot are those of a call before,
// as far back as the session keeps images, the images are too: the files are not read again.
func (s *Session) Config(o Options) (Config, error) { return o.config(s.load) }

func (s *Session) load(d data.Definition, root string) (*data.Dataset, error) {
	s.loading.Lock()
	defer s.loading.Unlock()
	known, ok := s.loaded.find(func(l loaded) bool { return l.root == root && reflect.DeepEqual(l.definition, d) })
	if ok {
		return known.set, nil
	}
	set, err := d.Load(root)
	if err != nil {
		return nil, err
	}
	s.loaded.room()
	s.loaded.items = append(s.loaded.items, loaded{d, root, set})
	return set, nil
}

// upload brings the images of a dataset to the device, unless they are there.
func (s *Session) upload(set *data.Dataset) (*device.Images, error) {
	if known, ok := s.uploaded.find(func(u uploaded) bool { return u.set == set }); ok {
		return known.images, nil
	}
	for _, old := range s.uploaded.room() {
		old.images.Finalize()
	}
	images, err := device.Upload(s.backend, set)
	if err == nil {
		s.uploaded.items = append(s.uploaded.items, uploaded{set, images})
	}
	return images, err
}

// Prepare compiles the executables of a trial that is to run later, in the background and
// on whatever cores are idle. Those of a trial that was prepared before and has not run
// are freed. Run reports what goes wrong.
func (s *Session) Prepare(c Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.change(s.current, s.compile(s.executables(c)))
}

// Run trains a trial, and calls observe after every batch, from this goroutine. Training
// begins as soon as the step of whole batches is compiled, while the other executables are
// being compiled. When ctx is cancelled Run stops at the next batch with ctx's error, or at
// once where it waits for an executable, which goes on being compiled; see Close. A loss or
// a state that is not finite ends it with a *Diverged. With c.Checkpoints it goes on from
// the newest sound one and leaves others; see package checkpoint.
func (s *Session) Run(ctx context.Context, c Config, observe func(Progress)) (o *Outcome, err error) {
	if err := c.Check(); err != nil {
		return nil, err
	}
	set := s.use(s.executables(c))
	images, err := s.upload(c.Data)
	if err == nil {
		err = backend.Catch(func() (err error) {
			o, err = newTrial(c, s.runner(c, set, images), observe).train(ctx)
			return err
		})
	}
	if err != nil {
		return nil, fmt.Errorf("%v: %w", c.Trial, err)
	}
	return o, nil
}

// runner runs a trial on the device.
func (s *Session) runner(c Config, set *device.Set, images *device.Images) *device.Runner {
	return &device.Runner{Set: set, Images: images, BatchesPerCall: c.batchesPerCall}
}

// executables are those of a trial, to be compiled.
func (s *Session) executables(c Config) *device.Set {
	return device.NewSet(s.backend, c.spec(), c.Recipe.Batch, c.Data.Train.Len()%c.Recipe.Batch)
}

// use makes executables the current ones, and returns them.
func (s *Session) use(set *device.Set) *device.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	set = s.compile(set)
	ahead := s.ahead
	if ahead != nil && slices.Equal(set.All(), ahead.All()) {
		ahead = nil
	}
	s.change(set, ahead)
	return set
}

// compile begins to compile executables, but for those that are there already or are being
// compiled: these take the place of the ones in the set, which it returns.
func (s *Session) compile(set *device.Set) *device.Set {
	known := slices.Concat(s.current.All(), s.ahead.All())
	var missing []*device.Executable
	for _, needed := range []**device.Executable{&set.Whole, &set.Ragged, &set.Evaluate} {
		if *needed == nil {
			continue
		}
		i := slices.IndexFunc(known, func(k *device.Executable) bool { return k.Same(*needed) && !k.Failed() })
		if i >= 0 {
			*needed = known[i]
		} else {
			missing = append(missing, *needed)
		}
	}
	s.work.Go(func() { device.Compile(missing...) })
	return set
}

// change changes the executables that are kept, and frees the others.
func (s *Session) change(current, ahead *device.Set) {
	old, kept := slices.Concat(s.current.All(), s.ahead.All()), slices.Concat(current.All(), ahead.All())
	for i, e := range old {
		if !slices.Contains(kept, e) && !slices.Contains(old[:i], e) {
			s.work.Go(e.Finalize)
		}
	}
	s.current, s.ahead = current, ahead
}
