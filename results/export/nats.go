package export

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"path/filepath"

	"github.com/dsnet/compress/bzip2"

	"nb201/cell"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/results/benchmark"
	"nb201/results/published"
)

const natsExtension = ".pickle.pbz2"

// natsWriter describes the format of NATS-Bench.
func natsWriter() writer {
	return writer{
		Traits: Traits{
			Format: published.NATS, Slots: AskedSlots, Weights: ChoiceAsked, Merged: ChoiceAsked, Named: true, Published: true, Lists: true, clients: true,
			About: `a directory of meta.pickle.pbz2 and NNNNNN.pickle.pbz2, which nats_bench
opens with fast_mode=True; with --merged, or if --to ends in
.pickle.pbz2, one file, which it opens with fast_mode=False;
if --to ends in .pickle, that file without compression;
--weights includes the weights`,
		},
		mergedExtensions: []string{natsExtension, plainExtension}, completeTimes: true, dropsWeights: true,
		layout: natsLayout,
	}
}

// natsLayout returns the layout of the original (exps/NATS-Bench/tss-collect.py and sss-collect.py,
// simplify).
func natsLayout(o *Options, space cell.Space) layout {
	c := encoding{of: originalOf(space), constant: o.Times == Published}
	kind := "simple"
	if o.Weights {
		c.weights, kind = embedWeights, "full"
	}
	base := func(md5 string) string { return c.of.NATS + "-" + lastDigits(md5, 5) }
	if w := natsWriter(); w.mergedBy(o) {
		if isPlain(o) {
			return layout{
				begin: func(dir string) (partWriter, error) { return newItems(dir, c.writePlainItem) },
				file:  writePlainNATS,
			}
		}
		merged := mergedNATS(c)
		merged.name, merged.published = func(md5 string) string { return base(md5) + natsExtension }, c.of.PublishedNATS()+natsExtension
		return merged
	}
	namesake := mergedNATS(encoding{of: c.of, constant: c.constant}) // without weights
	return layout{
		begin:     func(dir string) (partWriter, error) { return natsRecords{dir, c}, nil },
		fill:      fillNATS,
		name:      func(md5 string) string { return base(md5) + "-" + kind },
		namesake:  &namesake,
		published: c.of.PublishedNATS() + "-" + kind,
	}
}

// mergedNATS returns the layout of the merged file, without names.
func mergedNATS(c encoding) layout {
	return layout{begin: func(dir string) (partWriter, error) { return newItems(dir, c.writeItem) }, file: writeNATS}
}

// embedWeights returns a state dict as a value in a plain pickle: a call of the function
// that torch pickles a storage with, on the bytes of a whole checkpoint.
func embedWeights(s torchfile.StateDict) (any, error) {
	var b bytes.Buffer
	if err := torchfile.Write(&b, s); err != nil {
		return nil, err
	}
	return pickle.Reduce{
		Func: pickle.Global{Module: "torch.storage", Name: "_load_from_bytes"},
		Args: pickle.Tuple{pickle.Bytes(b.Bytes())},
	}, nil
}

// encodeSchedules returns the value of an architecture in NATS-Bench's files: an
// ArchResults for each schedule.
func (c encoding) encodeSchedules(a *benchmark.Architecture) (any, error) {
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

// compress writes a bz2 stream with the content that write writes.
func compress(w io.Writer, write func(io.Writer) error) error {
	z, err := bzip2.NewWriter(w, &bzip2.WriterConfig{Level: bzip2.BestCompression})
	if err != nil {
		return err
	}
	return errors.Join(write(z), z.Close())
}

// natsRecords writes a part of the directory.
type natsRecords struct {
	dir string
	encoding
}

func (w natsRecords) add(a *benchmark.Architecture) error {
	record, err := w.encodeSchedules(a)
	if err != nil {
		return err
	}
	return writePickle(filepath.Join(w.dir, fmt.Sprintf("%06d", a.Index)+natsExtension), record)
}

func (natsRecords) close() error { return nil }

// writePickle writes a compressed pickle.
func writePickle(path string, v any) error {
	return writeFile(path, func(w io.Writer) error {
		return compress(w, func(w io.Writer) error { return pickle.NewEncoder(w).Encode(v) })
	})
}

// fillNATS fills the directory with the architectures' files and meta.pickle.pbz2.
func fillNATS(dir string, x *whole) error {
	err := writePickle(filepath.Join(dir, "meta"+natsExtension), pickle.Dict{
		{Key: "meta_archs", Value: metaArchs(x.space, x.listed)},
		{Key: "total_archs", Value: x.listed},
		{Key: "arch2infos", Value: nil},
		{Key: "evaluated_indexes", Value: pickle.Set{}},
	})
	if err != nil {
		return err
	}
	return moveParts(dir, x)
}

// writeItem writes an architecture of the merged file as its own bz2 stream. Readers of bz2
// accept concatenated streams, and these can be compressed in parallel.
func (c encoding) writeItem(w io.Writer, a *benchmark.Architecture) error {
	return compress(w, func(w io.Writer) error { return c.writePlainItem(w, a) })
}

// writePlainItem writes an architecture of the merged file without compression.
func (c encoding) writePlainItem(w io.Writer, a *benchmark.Architecture) error {
	record, err := c.encodeSchedules(a)
	if err != nil {
		return err
	}
	return pickle.NewEncoder(w).EncodeItem(a.Index, record)
}

// writeNATS writes the merged file.
func writeNATS(w io.Writer, x *whole) error {
	s := &streams{w: w}
	copyStreams := func(io.Writer) error {
		if err := s.endStream(); err != nil {
			return err
		}
		return copyItems(w, x) // already compressed
	}
	err := pickle.NewEncoder(s).Encode(mergedDict(x, copyStreams, pickle.Set(x.archs())))
	return errors.Join(err, s.endStream())
}

// writePlainNATS writes the merged file without compression.
func writePlainNATS(w io.Writer, x *whole) error {
	return pickle.NewEncoder(w).Encode(mergedDict(x, func(w io.Writer) error { return copyItems(w, x) }, pickle.Set(x.archs())))
}

// streams writes bz2 streams one after the other.
type streams struct {
	w      io.Writer
	stream *bzip2.Writer // nil between streams
}

func (s *streams) Write(p []byte) (n int, err error) {
	if s.stream == nil {
		if s.stream, err = bzip2.NewWriter(s.w, &bzip2.WriterConfig{Level: bzip2.BestCompression}); err != nil {
			return 0, err
		}
	}
	return s.stream.Write(p)
}

// endStream ends the stream, so that others can be written to w.
func (s *streams) endStream() error {
	if s.stream == nil {
		return nil
	}
	err := s.stream.Close()
	s.stream = nil
	return err
}
