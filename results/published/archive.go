package published

import (
	"context"
	"maps"
	"regexp"
	"slices"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// Archive is a directory with two torch checkpoints for each architecture: NNNNNN-FULL.pth with
// weights, and NNNNNN-SIMPLE.pth without. NASBench201API.reload reads it.
const Archive benchmark.Format = "archive"

// ArchiveName is the directory name of the published benchmark, under which NASBench201API.reload looks for it.
const ArchiveName = "NAS-Bench-201-v1_1-archive"

var archiveName = regexp.MustCompile(`^(\d{6})-(FULL|SIMPLE)\.pth$`)

func archiveReader() reader {
	return reader{
		name: Archive, noun: "an archive", example: "000000-FULL.pth",
		clients: ofTopology(ArchiveName), // of NASBench201API.reload
		file:    archiveName, inDir: listMatching(archiveName), open: openArchive,
		recognise: func(c *content) (Kind, bool) {
			if !c.torchHas("full", "less") {
				return Kind{}, false
			}
			return Kind{
				Format: Archive, what: "a file of a NAS-Bench-201 archive with the results of one architecture",
				todo: "rename it to its published name, such as 000123-FULL.pth",
			}, true
		},
	}
}

// archiveSource reads NNNNNN-FULL.pth or, if that is missing, NNNNNN-SIMPLE.pth.
type archiveSource struct {
	paths map[int]string // by index of the architecture
	*opening
}

// openArchive opens an archive directory, or one of its files.
func openArchive(_ context.Context, o *opening) (*benchmark.Benchmark, error) {
	paths, err := pathsByArchitecture(o.files, archiveName, cell.Topology{}) // FULL comes before SIMPLE
	if err != nil {
		return nil, err
	}
	return benchmark.New(o.path, Archive, cell.Topology{}, cell.Topologies, slices.Collect(maps.Keys(paths)), archiveSource{paths, o}), nil
}

func (archiveSource) Close() error { return nil }

func (archiveSource) CheckFile(path string) (note string, faults []error) { return checkFile(path) }

func (s archiveSource) Architecture(index int) (*benchmark.Architecture, error) {
	v, err := s.Record(index)
	if err != nil {
		return nil, err
	}
	path := s.paths[index]
	a, err := readSlots(index, v, path)
	if err != nil {
		return nil, s.refuse(path, usage.Errorf("%s: %w", path, err))
	}
	return a, nil
}

// Record reads the file of an architecture: see [benchmark.Benchmark.Record].
func (s archiveSource) Record(index int) (any, error) {
	path := s.paths[index]
	v, err := torchValue(path)
	if err != nil {
		return nil, s.refuse(path, err)
	}
	return v, nil
}
