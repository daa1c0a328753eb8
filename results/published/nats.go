package published

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"

	"nb201/cell"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published/internal/merged"
	"nb201/results/published/internal/pickled"
)

// NATS is the format of NATS-Bench, for either search space: a directory with meta.pickle.pbz2
// and one NNNNNN.pickle.pbz2 for each architecture, or a merged file NAME.pickle.pbz2.
const NATS benchmark.Format = "nats"

const natsExtension = ".pickle.pbz2"

const (
	natsMeta = "meta.pickle.pbz2"
	// maxNATSRecord limits the unpacked bytes of one architecture. The largest, with weights,
	// has about 110 MB.
	maxNATSRecord = 256 << 20
)

var natsName = regexp.MustCompile(`^(\d{6})\.pickle\.pbz2$`)

// natsReader reads the directory with a compressed pickle for each architecture.
func natsReader() reader {
	return reader{
		name: NATS, noun: "NATS-Bench's directory or file", example: "000000" + natsExtension,
		clients: func(space cell.Space) string { // in fast_mode
			return benchmark.OriginalOf(space).PublishedNATS() + "-simple"
		},
		file: natsName, inDir: listMatching(natsName), open: openNATS,
		recognise: func(c *content) (Kind, bool) {
			switch head := c.unpacked(); {
			case len(head) == 0:
			case filepath.Base(c.path) == natsMeta:
				return Kind{what: "the list of architectures of a NATS-Bench directory", todo: "name the directory, " + filepath.Dir(c.path)}, true
			case head[0] == 0x80 && !bytes.Contains(head, []byte(metaArchs)) && bytes.Contains(head, []byte("all_results")):
				return Kind{
					Format: NATS, what: "the results of one architecture in NATS-Bench",
					todo: "rename it to its published name, such as 000123" + natsExtension,
				}, true
			}
			return Kind{}, false
		},
	}
}

// mergedNATSReader reads the file with all architectures. A compressed file cannot be read from
// the middle, so package merged unpacks it into the cache.
func mergedNATSReader() reader {
	return reader{
		name: NATS, merged: true, extension: natsExtension,
		file: suffixPattern(natsExtension),
		open: func(ctx context.Context, o *opening) (*benchmark.Benchmark, error) {
			return openMerged(ctx, o, NATS, merged.BZ2, readNATSRecord)
		},
		recognise: func(c *content) (Kind, bool) {
			head := c.unpacked()
			if len(head) == 0 || head[0] != 0x80 || !bytes.Contains(head, []byte(metaArchs)) {
				return Kind{}, false
			}
			return Kind{Format: NATS, merged: true, what: "a merged NATS-Bench file", todo: useResults + " if its name ends in " + natsExtension}, true
		},
	}
}

// natsSource reads the files NNNNNN.pickle.pbz2.
type natsSource struct {
	space cell.Space
	paths map[int]string // by index of the architecture
	*opening
}

// openNATS opens a directory, or the file of one architecture. The search space is that which
// meta.pickle.pbz2 lists, or that of the first architecture.
func openNATS(_ context.Context, o *opening) (b *benchmark.Benchmark, err error) {
	var space cell.Space
	var listed int
	meta := filepath.Join(o.path, natsMeta)
	if _, missing := os.Stat(meta); missing == nil {
		space, listed, err = readMeta(meta)
	} else { // it is optional here, though the client needs it
		space = spaceOfFirst(o.files, spaceOfNATS)
		listed = space.Count()
	}
	if err != nil {
		return nil, err
	}
	paths, err := pathsByArchitecture(o.files, natsName, space)
	if err != nil {
		return nil, err
	}
	return benchmark.New(o.path, NATS, space, listed, slices.Collect(maps.Keys(paths)), natsSource{space, paths, o}), nil
}

// readMeta returns the number of architectures listed in meta.pickle.pbz2, and their search space.
func readMeta(path string) (space cell.Space, listed int, err error) {
	v, err := readBZ2(path)
	if err != nil {
		return nil, 0, results.AsDamaged(err)
	}
	d, err := pickled.AsDict(v)
	if err == nil {
		space, listed, err = merged.Listed(d)
	}
	if err != nil {
		return nil, 0, results.AsDamaged(usage.Errorf("%s: %w", path, err))
	}
	return space, listed, nil
}

// spaceOfNATS returns the search space of the architecture in a file; ok is false if that cannot be read.
func spaceOfNATS(path string) (space cell.Space, ok bool) {
	v, err := readBZ2(path)
	if err != nil {
		return nil, false
	}
	record, err := pickled.AsDict(v)
	if err != nil || len(record) == 0 {
		return nil, false
	}
	schedule, err := pickled.AsDict(record[0].Value)
	if err != nil {
		return nil, false
	}
	arch, err := pickled.Field(schedule, "arch_str", pickled.AsString)
	if err != nil {
		return nil, false
	}
	return cell.SpaceOf(arch)
}

func (natsSource) Close() error { return nil }

func (natsSource) CheckFile(path string) (note string, faults []error) { return checkFile(path) }

func (s natsSource) Architecture(index int) (*benchmark.Architecture, error) {
	v, err := s.Record(index)
	if err != nil {
		return nil, err
	}
	a, err := readNATSRecord(s.space, index, v)
	if err != nil {
		path := s.paths[index]
		return nil, s.refuse(path, usage.Errorf("%s: %w", path, err))
	}
	return a, nil
}

// Record reads the file of an architecture: see [benchmark.Benchmark.Record].
func (s natsSource) Record(index int) (any, error) {
	path := s.paths[index]
	v, err := readBZ2(path)
	if err != nil {
		return nil, s.refuse(path, err)
	}
	return v, nil
}

// readBZ2 reads a pickle compressed with bzip2.
func readBZ2(path string) (any, error) {
	text, err := pickle.ReadBZ2(path, maxNATSRecord)
	if err != nil {
		return nil, err
	}
	v, err := pickle.Reader{Class: torchfile.Class}.Decode(text)
	if err != nil {
		return nil, usage.Errorf("%s: %w", path, err)
	}
	return v, nil
}

// readNATSRecord reads an architecture in NATS-Bench's files: a dict of schedules by name.
func readNATSRecord(space cell.Space, index int, v any) (*benchmark.Architecture, error) {
	d, err := pickled.AsDict(v)
	if err != nil {
		return nil, err
	}
	a, err := benchmark.NewArchitecture(space, index)
	if err != nil {
		return nil, err
	}
	for _, item := range d {
		hp, ok := item.Key.(string)
		if !ok {
			return nil, fmt.Errorf("the schedule name %v is not a string", item.Key)
		}
		if err := addSchedule(a, hp, item.Value, loadEmbedded); err != nil {
			return nil, fmt.Errorf("'%s': %w", hp, err)
		}
	}
	return a, nil
}

// loadEmbedded is the loader for a plain pickle, which contains the elements of the tensors.
func loadEmbedded(state any, _ results.Trial) (torchfile.StateDict, error) {
	return torchfile.LoadStateDict(state)
}
