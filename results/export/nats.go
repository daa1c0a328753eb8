package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/dsnet/compress/bzip2"

	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/results/benchmark"
	"nb201/results/published"
)

const natsExtension = ".pickle.pbz2"

// natsWriter writes NATS-Bench's topology search space.
func natsWriter() writer {
	return writer{
		Traits: Traits{
			Format: published.NATS, Slots: AskedSlots, Weights: Asked, Merged: Asked, Named: true, clients: true,
			About: `a directory of meta.pickle.pbz2 and NNNNNN.pickle.pbz2, which nats_bench
opens with fast_mode=True; with --merged, or where --to ends in
.pickle.pbz2, the one file that it opens with fast_mode=False;
--weights keeps the weights in it`,
		},
		mergedExtension: natsExtension, completeTimes: true, listed: true,
		layout: natsLayout,
	}
}

// natsLayout is that of the original (exps/NATS-Bench/tss-collect.py, simplify).
func natsLayout(o *Options) layout {
	c := encoding{constant: o.Times == Published}
	kind := "simple"
	if o.Weights {
		c.weights, kind = embed, "full"
	}
	base := func(md5 string) string { return "NATS-tss-v1_0-" + lastDigits(md5, 5) }
	if w := natsWriter(); w.mergedBy(o) {
		return layout{
			begin: func(dir string) (partWriter, error) { return newItems(dir, c.writeItem) },
			file:  writeNATS,
			name:  func(md5 string) string { return base(md5) + natsExtension },
		}
	}
	return layout{
		begin: func(dir string) (partWriter, error) { return natsRecords{dir, c}, nil },
		fill:  fillNATS,
		name:  func(md5 string) string { return base(md5) + "-" + kind },
	}
}

// embed is a state dict in a plain pickle: a call of what torch pickles a storage with,
// for the bytes of a whole checkpoint.
func embed(s torchfile.StateDict) (any, error) {
	var b bytes.Buffer
	if err := torchfile.Write(&b, s); err != nil {
		return nil, err
	}
	return pickle.Reduce{
		Func: pickle.Global{Module: "torch.storage", Name: "_load_from_bytes"},
		Args: pickle.Tuple{pickle.Bytes(b.Bytes())},
	}, nil
}

// record is the value of an architecture in NATS-Bench's files: an ArchResults for
// each schedule.
func (c encoding) record(a *benchmark.Architecture) (any, error) {
	var record pickle.OrderedDict
	for _, s := range a.Schedules {
		value, err := c.archResults(a.Index, a.Genotype, s)
		if err != nil {
			return nil, err
		}
		record.Items = append(record.Items, pickle.Pair{Key: s.HP, Value: value})
	}
	return record, nil
}

// compress writes a bz2 stream of what write writes.
func compress(w io.Writer, write func(io.Writer) error) error {
	z, err := bzip2.NewWriter(w, &bzip2.WriterConfig{Level: bzip2.BestCompression})
	if err != nil {
		return err
	}
	return errors.Join(write(z), z.Close())
}

// natsRecords is a part of the directory.
type natsRecords struct {
	dir string
	encoding
}

func (w natsRecords) add(a *benchmark.Architecture) error {
	record, err := w.record(a)
	if err != nil {
		return err
	}
	return writePickle(filepath.Join(w.dir, fmt.Sprintf("%06d", a.Index)+natsExtension), record)
}

func (natsRecords) close() error { return nil }

// writePickle makes a compressed pickle.
func writePickle(path string, v any) error {
	return writeFile(path, func(w io.Writer) error {
		return compress(w, func(w io.Writer) error { return pickle.NewEncoder(w).Encode(v) })
	})
}

// fillNATS makes the directory: the records and meta.pickle.pbz2.
func fillNATS(dir string, x *whole) error {
	err := writePickle(filepath.Join(dir, "meta"+natsExtension), pickle.Dict{
		{Key: "meta_archs", Value: metaArchs(x.listed)},
		{Key: "total_archs", Value: x.listed},
		{Key: "arch2infos", Value: nil},
		{Key: "evaluated_indexes", Value: pickle.Set{}},
	})
	if err != nil {
		return err
	}
	return moveParts(dir, x)
}

// writeItem writes an architecture of the merged file, as a bz2 stream: a file of many
// is one to every reader of bz2, and they can be compressed side by side.
func (c encoding) writeItem(w io.Writer, a *benchmark.Architecture) error {
	record, err := c.record(a)
	if err != nil {
		return err
	}
	return compress(w, func(w io.Writer) error { return pickle.NewEncoder(w).EncodeItem(a.Index, record) })
}

// writeNATS makes the merged file.
func writeNATS(w io.Writer, x *whole) error {
	s := &streams{w: w}
	err := pickle.NewEncoder(s).Encode(pickle.Dict{
		{Key: "meta_archs", Value: metaArchs(x.listed)},
		{Key: "total_archs", Value: x.listed},
		{Key: "arch2infos", Value: pickle.RawDict(func(io.Writer) error {
			if err := s.end(); err != nil {
				return err
			}
			return copyItems(w, x) // which are compressed
		})},
		{Key: "evaluated_indexes", Value: pickle.Set(x.archs())},
	})
	return errors.Join(err, s.end())
}

// streams writes bz2 streams one after the other.
type streams struct {
	w      io.Writer
	stream *bzip2.Writer // nil between two
}

func (s *streams) Write(p []byte) (n int, err error) {
	if s.stream == nil {
		if s.stream, err = bzip2.NewWriter(s.w, &bzip2.WriterConfig{Level: bzip2.BestCompression}); err != nil {
			return 0, err
		}
	}
	return s.stream.Write(p)
}

// end ends the stream, so that others can be written to w.
func (s *streams) end() error {
	if s.stream == nil {
		return nil
	}
	err := s.stream.Close()
	s.stream = nil
	return err
}
