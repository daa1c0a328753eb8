package published

import (
	"context"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published/internal/merged"
)

// metaArchs is the first key in a merged file, by which it is recognised.
const metaArchs = "meta_archs"

// mergedSource reads single architectures of a merged file.
type mergedSource struct {
	*merged.File
	path string
	read readArchitecture
}

// readArchitecture converts the decoded value of an architecture of a space.
type readArchitecture func(space cell.Space, index int, v any) (*benchmark.Architecture, error)

// openMerged opens a merged file; read converts its entries. The search space is that which meta_archs
// lists.
func openMerged(ctx context.Context, o *opening, f benchmark.Format, locate merged.Locate, read readArchitecture) (*benchmark.Benchmark, error) {
	file, err := merged.Open(ctx, o.path, locate, o.progress)
	if err != nil {
		return nil, err
	}
	space, listed := file.Listed()
	return benchmark.New(o.path, f, space, listed, file.Architectures(), mergedSource{file, o.path, read}), nil
}

func (s mergedSource) CheckFile(path string) (note string, faults []error) { return checkFile(path) }

func (s mergedSource) Architecture(index int) (*benchmark.Architecture, error) {
	v, err := s.Record(index)
	if err != nil {
		return nil, err
	}
	space, _ := s.Listed()
	a, err := s.read(space, index, v)
	if err != nil {
		return nil, results.AsDamaged(usage.Errorf("%s, architecture %d: %w", s.path, index, err))
	}
	return a, nil
}

// Record reads the entry of an architecture: see [benchmark.Benchmark.Record].
func (s mergedSource) Record(index int) (any, error) {
	v, err := s.Decode(index)
	if err != nil {
		return nil, usage.Errorf("%s, architecture %d: %w", s.path, index, err)
	}
	return v, nil
}
