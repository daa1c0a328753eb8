package main

import (
	"context"
	"runtime"
	"sync"

	"golang.org/x/sync/errgroup"

	"nb201/internal/pickle"
)

// scan reads architectures ahead of Python, one at a time on each processor.
type scan struct {
	cancel context.CancelFunc
	read   chan chan readAhead // in the order of the indices

	mu     sync.Mutex // held by the call that reads from the channel
	failed error      // of the first architecture that could not be read
}

// readAhead is an architecture as the bytes of a pickle, or why it could not be read.
type readAhead struct {
	text []byte
	err  error
}

const (
	// ahead is the number of architectures that a scan reads ahead on each processor.
	ahead = 8
	// batch is the number of architectures that next returns at most.
	batch = 16
)

// scan begins to read the architectures Indices, as pickles of what readArchitecture returns, and returns
// the number of the scan.
func (s *server) scan(_ context.Context, r *request) (any, error) {
	return s.use(r.Handle, func(*opened) (any, error) {
		indices := r.Indices
		ctx, cancel := context.WithCancel(context.Background())
		workers := runtime.GOMAXPROCS(0)
		c := &scan{cancel: cancel, read: make(chan chan readAhead, ahead*workers)}
		go func() {
			defer close(c.read)
			var group errgroup.Group
			group.SetLimit(workers)
			for _, index := range indices {
				one := make(chan readAhead, 1)
				select {
				case c.read <- one:
				case <-ctx.Done():
					return
				}
				group.Go(func() error {
					text, err := s.readOne(r.Handle, index)
					one <- readAhead{text, err}
					return nil
				})
			}
		}()
		s.mu.Lock()
		defer s.mu.Unlock()
		s.last++
		s.scans[s.last] = c
		return int64(s.last), nil
	})
}

// readOne reads an architecture for a scan.
func (s *server) readOne(handle uint64, index int) (text []byte, err error) {
	defer recoverInto(&err)
	v, err := s.use(handle, func(b *opened) (any, error) { return readArchitecture(b, &request{Index: index}) })
	if err != nil {
		return nil, err
	}
	return encode(v)
}

// next returns the next architectures of a scan, as a list of pickles; empty at its end. The error of an
// architecture ends the scan, after those before it.
func (s *server) next(ctx context.Context, r *request) (any, error) {
	s.mu.Lock()
	c := s.scans[r.Scan]
	s.mu.Unlock()
	if c == nil {
		return pickle.List{}, nil
	}
	list, err := c.take(ctx)
	if err != nil || len(list) == 0 {
		s.end(r.Scan)
	}
	return list, err
}

// take returns the next architectures as pickles, none at the end. The error of an architecture follows
// those before it.
func (c *scan) take(ctx context.Context) (list pickle.List, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	list = pickle.List{}
	for len(list) < batch && c.failed == nil {
		one, more := <-c.read
		if !more {
			return list, nil
		}
		select {
		case a := <-one:
			if c.failed = a.err; a.err == nil {
				list = append(list, pickle.Bytes(a.text))
			}
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if len(list) > 0 {
		return list, nil
	}
	return nil, c.failed
}

// stop ends a scan.
func (s *server) stop(_ context.Context, r *request) (any, error) {
	s.end(r.Scan)
	return nil, nil
}

func (s *server) end(number uint64) {
	s.mu.Lock()
	c := s.scans[number]
	delete(s.scans, number)
	s.mu.Unlock()
	if c != nil {
		c.cancel()
	}
}
