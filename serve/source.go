package serve

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/scheduler/plan"
)

// source is the benchmark that is served. A campaign may grow, and a published file may be replaced.
type source struct {
	path     string
	campaign bool
	// watcher follows a campaign, or the one whose weights were evaluated; evaluated follows a directory
	// of evaluations alone. Each is nil if there is none.
	watcher, evaluated *results.Watcher
	options            []published.Option

	opened []os.FileInfo // of the files, when benchmark was opened; not of a campaign
	trials string        // other files that benchmark reads: a published benchmark whose weights were evaluated

	mu        sync.RWMutex // held while benchmark is read
	benchmark *benchmark.Benchmark
}

// openSource opens the benchmark at path. A campaign need not have a finished trial.
func openSource(ctx context.Context, path string, indexing published.Option) (*source, error) {
	s := &source{path: path, campaign: isCampaign(path)}
	if indexing != nil {
		s.options = []published.Option{indexing}
	}
	if s.campaign {
		c := results.Campaign{Dir: path}
		s.watcher = c.Watch()
		_, archs, err := s.watcher.Changed(ctx)
		if err != nil {
			return nil, fmt.Errorf("cannot list campaign %s: %w", path, err)
		}
		space := s.watcher.Space()
		if p, err := plan.Read(path); err == nil && len(archs) == 0 { // a plan that cannot be read is a fault of the status
			space = p.Space.Space()
		}
		s.benchmark = published.OfCampaign(c, space, archs)
		return s, nil
	}
	if err := s.reopen(ctx); err != nil {
		return nil, err
	}
	if s.benchmark.TrialsPath() != path { // it has evaluations alone
		s.evaluated = results.Campaign{Dir: path}.Watch()
		if c, ok := s.benchmark.Campaign(); ok {
			s.watcher = c.Watch()
		}
	}
	_, err := s.changed(ctx)
	return s, err
}

// changed returns the architectures of which the watchers report changes.
func (s *source) changed(ctx context.Context) (archs []int, err error) {
	var evaluated []int
	if s.watcher != nil {
		if archs, _, err = s.watcher.Changed(ctx); err != nil {
			return nil, err
		}
	}
	if s.evaluated != nil {
		if evaluated, err = s.evaluated.ChangedEvaluations(ctx); err != nil {
			return nil, err
		}
	}
	archs = append(archs, evaluated...)
	slices.Sort(archs)
	return slices.Compact(archs), nil
}

// isCampaign reports whether a directory has a plan or records.
func isCampaign(dir string) bool {
	for _, path := range []string{plan.Path(dir), filepath.Join(dir, "trials")} {
		if _, err := os.Stat(path); err == nil {
			return true
		}
	}
	return false
}

// reopen opens the published file or directory, and then closes the one before.
func (s *source) reopen(ctx context.Context) error {
	files, err := s.list()
	var b *benchmark.Benchmark
	if err == nil || errors.Is(err, fs.ErrNotExist) { // of a missing file, Open's error is better
		b, err = published.Open(ctx, s.path, s.options...)
	}
	if err != nil {
		return err
	}
	if s.opened = files; b.TrialsPath() != s.path {
		if s.trials = ""; !isCampaign(b.TrialsPath()) { // a campaign is watched
			s.trials = b.TrialsPath()
		}
		if s.opened, err = s.list(); err != nil {
			return errors.Join(err, b.Close())
		}
	}
	s.replace(b)
	return nil
}

// replace makes b the benchmark that is read.
func (s *source) replace(b *benchmark.Benchmark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.benchmark != nil {
		_ = s.benchmark.Close() // it was only read
	}
	s.benchmark = b
}

// read calls do with the benchmark, which is not closed meanwhile.
func (s *source) read(do func(*benchmark.Benchmark) error) error {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return do(s.benchmark)
}

func (s *source) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.benchmark.Close()
}

// changes says what has changed in a source.
type changes struct {
	archs []int // whose trials have changed
	all   bool  // it is another benchmark
}

// follow finds out what has changed since the last call, and makes the benchmark follow. The error
// says why the benchmark cannot be read now.
func (s *source) follow(ctx context.Context) (changes, error) {
	if s.campaign {
		changed, archs, err := s.watcher.Changed(ctx)
		if len(changed) > 0 {
			s.replace(published.OfCampaign(results.Campaign{Dir: s.path}, s.watcher.Space(), archs))
		}
		return changes{archs: changed}, err
	}
	all, err := s.filesChanged()
	if err != nil {
		return changes{}, err
	}
	archs, err := s.changed(ctx)
	if err != nil || !all && len(archs) == 0 {
		return changes{}, err
	}
	if err := s.reopen(ctx); err != nil {
		return changes{}, err
	}
	return changes{archs: archs, all: all}, nil
}

// check returns an error if the benchmark has gone or was replaced, or a published file has changed, since it
// was opened. What was read of it meanwhile may be damaged or missing. The records of a campaign may change.
func (s *source) check() error {
	if s.campaign {
		return s.watcher.CheckSame()
	}
	changed, err := s.filesChanged()
	if changed {
		err = fmt.Errorf("%s changed while it was read", s.path)
	}
	return err
}

// filesChanged reports whether the files of a published benchmark differ from those that were opened.
func (s *source) filesChanged() (bool, error) {
	files, err := s.list()
	return err == nil && !slices.EqualFunc(files, s.opened, isUnchanged), err
}

// list returns what the system knows of the files of a published benchmark.
func (s *source) list() ([]os.FileInfo, error) {
	files, err := list(s.path)
	if err != nil || s.trials == "" {
		return files, err
	}
	more, err := list(s.trials)
	return append(files, more...), err
}

// list returns what the system knows of the file at path or, if it is a directory, also of the files
// in it.
func list(path string) ([]os.FileInfo, error) {
	info, err := os.Stat(path)
	if err != nil || !info.IsDir() {
		return []os.FileInfo{info}, err
	}
	files := []os.FileInfo{info}
	entries, err := os.ReadDir(path)
	for _, e := range entries {
		if info, err := os.Stat(filepath.Join(path, e.Name())); err == nil { // a broken link is not read
			files = append(files, info)
		}
	}
	return files, err
}

// isUnchanged reports whether a file is the same, and was not written to in between.
func isUnchanged(a, b os.FileInfo) bool {
	return os.SameFile(a, b) && a.Name() == b.Name() && a.Size() == b.Size() && a.ModTime().Equal(b.ModTime())
}
