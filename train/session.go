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

// Session trains and evaluates trials one after another on one backend. It keeps what the next
// trial may need again: the executables, which trials share if they differ only in seed,
// schedule or order of images, and the images, on the host and on the device. This does not
// change a trial's record. Prepare and Config may be called from other goroutines while Run is
// running.
type Session struct {
	backend compute.Backend
	work    sync.WaitGroup // executables being compiled or freed

	mu             sync.Mutex
	current, ahead *device.Set // executables of the last trial to run, and of the prepared one

	loading  sync.Mutex
	loaded   recent[loaded]   // guarded by loading
	uploaded recent[uploaded] // used only by the goroutine that runs trials
}

// loaded holds the images of a definition on the host.
type loaded struct {
	definition data.Definition
	root       string
	set        *data.Dataset
}

// uploaded holds the images of a dataset on the device.
type uploaded struct {
	set    *data.Dataset
	images *device.Images
}

// recent is a list of the most recently used items, in order of use.
type recent[T any] struct {
	limit int // 0: one
	items []T
}

// find returns the item that wanted accepts, and marks it as the most recently used.
func (r *recent[T]) find(wanted func(T) bool) (item T, ok bool) {
	i := slices.IndexFunc(r.items, wanted)
	if i < 0 {
		return item, false
	}
	item = r.items[i]
	r.items = append(slices.Delete(r.items, i, i+1), item)
	return item, true
}

// makeRoom removes the least recently used items until one more fits.
func (r *recent[T]) makeRoom() (removed []T) {
	over := len(r.items) - max(r.limit, 1) + 1
	if over <= 0 {
		return nil
	}
	removed = slices.Clone(r.items[:over])
	r.items = slices.Delete(r.items, 0, over)
	return removed
}

// NewSession returns a session on a backend. The caller closes it before finalizing b.
func NewSession(b compute.Backend) *Session { return &Session{backend: b} }

// KeepImages sets the number of datasets whose images the session keeps, by default one. Raise
// it for trials that alternate between datasets. Call it before the first trial.
func (s *Session) KeepImages(n int) { s.loaded.limit, s.uploaded.limit = n, n }

// Close frees the executables and the images. It waits for executables that are still being
// compiled, since compiling cannot be interrupted. A process that is about to exit may skip
// Close; it must then not finalize the backend either.
func (s *Session) Close() {
	s.mu.Lock()
	s.keepOnly(nil, nil)
	s.mu.Unlock()
	s.work.Wait()
	for _, u := range s.uploaded.items {
		u.images.Finalize()
	}
	s.uploaded.items = nil
}

// Config resolves o like [Options.Config]. It does not read the image files again if the session
// still has the images of the same definition and o.DataRoot.
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
	s.loaded.makeRoom()
	s.loaded.items = append(s.loaded.items, loaded{d, root, set})
	return set, nil
}

// upload returns the images of a dataset on the device. It copies them there if the session does
// not have them already.
func (s *Session) upload(set *data.Dataset) (*device.Images, error) {
	if known, ok := s.uploaded.find(func(u uploaded) bool { return u.set == set }); ok {
		return known.images, nil
	}
	for _, old := range s.uploaded.makeRoom() {
		old.images.Finalize()
	}
	images, err := device.Upload(s.backend, set)
	if err == nil {
		s.uploaded.items = append(s.uploaded.items, uploaded{set, images})
	}
	return images, err
}

// Prepare starts to compile the executables of a later trial in the background. It frees those
// of a trial that was prepared earlier and has not run. Run returns the errors of compiling.
func (s *Session) Prepare(c Config) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keepOnly(s.current, s.compile(s.newSet(c)))
}

// Run trains a trial and calls observe after every batch, from the calling goroutine. Training
// begins as soon as the step over whole batches is compiled, while the other executables are
// still being compiled. With c.Checkpoints Run resumes from the newest undamaged checkpoint and
// writes new ones; see package checkpoint.
//
// If ctx is cancelled, Run returns its error after the current batches, or at once if it is
// waiting for an executable, which continues to be compiled (see Close). A loss or a state that
// is not finite is a *[Diverged]. A dataset of evaluation sets alone is a usage error.
func (s *Session) Run(ctx context.Context, c Config, observe func(Progress)) (o *Outcome, err error) {
	if err := c.Definition.CheckTraining(); err != nil {
		return nil, err
	}
	if err := c.Check(); err != nil {
		return nil, err
	}
	set := s.setCurrent(s.newSet(c))
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

// runner returns a runner for a trial on the device.
func (s *Session) runner(c Config, set *device.Set, images *device.Images) *device.Runner {
	return &device.Runner{Set: set, Images: images, BatchesPerCall: c.batchesPerCall}
}

// newSet returns the executables of a trial, not compiled yet.
func (s *Session) newSet(c Config) *device.Set {
	return device.NewSet(s.backend, c.spec(), c.Recipe.Batch, c.Data.Train.Len()%c.Recipe.Batch)
}

// setCurrent makes set the current executables, reusing those that the session has, and returns
// them.
func (s *Session) setCurrent(set *device.Set) *device.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	set = s.compile(set)
	ahead := s.ahead
	if ahead != nil && slices.Equal(set.All(), ahead.All()) {
		ahead = nil
	}
	s.keepOnly(set, ahead)
	return set
}

// compile replaces executables in set by equal ones that the session has, compiled or being
// compiled, starts to compile the others and returns set.
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

// keepOnly replaces the executables that the session keeps and frees those no longer needed.
func (s *Session) keepOnly(current, ahead *device.Set) {
	old, kept := slices.Concat(s.current.All(), s.ahead.All()), slices.Concat(current.All(), ahead.All())
	for i, e := range old {
		if !slices.Contains(kept, e) && !slices.Contains(old[:i], e) {
			s.work.Go(e.Finalize)
		}
	}
	s.current, s.ahead = current, ahead
}
