package results

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"nb201/cell"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// This file reads NATS-Bench's directories of one compressed pickle for each
// architecture.

const (
	natsMeta = "meta.pickle.pbz2"
	// maxNATSRecord bounds the pickle of one architecture; with weights the largest has
	// some 110 MB.
	maxNATSRecord = 256 << 20
)

var natsName = regexp.MustCompile(`^(\d{6})\.pickle\.pbz2$`)

// natsSource reads NNNNNN.pickle.pbz2.
type natsSource struct {
	paths map[int]string // by architecture
}

// openNATS opens a directory of records, or one record.
func openNATS(path string, files []string) (*Benchmark, error) {
	s := natsSource{paths: map[int]string{}}
	b := &Benchmark{Path: path, Format: NATS, Listed: cell.Count, source: s}
	for _, file := range files {
		index, err := namedIndex(file, natsName.FindStringSubmatch(filepath.Base(file))[1])
		if err != nil {
			return nil, err
		}
		s.paths[index] = file
		b.evaluated = append(b.evaluated, index)
	}
	meta := filepath.Join(path, natsMeta)
	if _, err := os.Stat(meta); err != nil {
		return b, nil // the client needs it, we do not
	}
	v, err := readBZ2(meta)
	if err != nil {
		return nil, err
	}
	d, err := dictOf(v)
	if err == nil {
		b.Listed, err = listedArchs(d)
	}
	if err != nil {
		return nil, usage.Errorf("%s: %w", meta, err)
	}
	return b, nil
}

// listedArchs reads meta_archs: the first of the official order, usually all.
func listedArchs(d dict) (int, error) {
	archs, err := field(d, "meta_archs", listOf)
	if err != nil {
		return 0, err
	}
	if len(archs) > cell.Count {
		return 0, fmt.Errorf("meta_archs lists %d architectures, the search space has %d", len(archs), cell.Count)
	}
	for i, a := range cell.All() {
		if i < len(archs) && archs[i] != a.String() {
			return 0, fmt.Errorf("meta_archs has %v at place %d, where the official order has %s", archs[i], i, a)
		}
	}
	return len(archs), nil
}

func (natsSource) close() error { return nil }

func (s natsSource) architecture(index int) (*Architecture, error) {
	path := s.paths[index]
	v, err := readBZ2(path)
	if err != nil {
		return nil, refused(path, layout{format: NATS}, err)
	}
	a, err := readNATSRecord(index, v)
	if err != nil {
		return nil, refused(path, layout{format: NATS}, usage.Errorf("%s: %w", path, err))
	}
	return a, nil
}

// readBZ2 reads a compressed plain pickle.
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

// embedded reads a net_state_dict of a plain pickle, whose elements stand in it.
func embedded(state any, _ Trial) (torchfile.StateDict, error) {
	return torchfile.LoadStateDict(state)
}
