package published

import (
	"bytes"
	"context"
	"io"

	"nb201/cell"
	"nb201/internal/infile"
	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/results/published/internal/merged"
	"nb201/results/published/internal/pickled"
)

// plainExtension ends the name of a merged file that is a plain pickle: what bunzip2 makes of NATS-Bench's
// merged file, or the value of a merged NAS-Bench-201 checkpoint, pickled again.
const plainExtension = ".pickle"

// pickleReader reads a merged file that is a plain pickle, in place. The first architecture decides whether
// its format is NASBench201 or NATS.
func pickleReader() reader {
	return reader{
		name: NATS, merged: true, plain: true, extension: plainExtension,
		file: suffixPattern(plainExtension),
		open: openPlain,
		recognise: func(c *content) (Kind, bool) {
			if !c.isPickle() || !bytes.Contains(c.head, []byte(metaArchs)) {
				return Kind{}, false
			}
			return Kind{Format: NATS, merged: true, plain: true, what: "a merged file as a plain pickle", todo: useResults + " if its name ends in " + plainExtension}, true
		},
	}
}

func openPlain(ctx context.Context, o *opening) (*benchmark.Benchmark, error) {
	file, err := merged.Open(ctx, o.path, locatePlain, o.progress)
	if err != nil {
		return nil, err
	}
	space, listed := file.Listed()
	archs := file.Architectures()
	format, read := NATS, readNATSRecord
	if space == (cell.Topology{}) && len(archs) > 0 {
		if v, err := file.Decode(archs[0]); err == nil && hasSlots(v) { // verify reports an error for its architecture
			format, read = NASBench201, readSlotsOnly
		}
	}
	return benchmark.New(o.path, format, space, listed, archs, mergedSource{file, o.path, read}), nil
}

// hasSlots reports whether the value of an architecture is that of NAS-Bench-201, which has the two slots.
func hasSlots(v any) bool {
	d, err := pickled.AsDict(v)
	if err != nil || len(d) != len(hps) {
		return false
	}
	for _, slot := range hps {
		if _, err := d.Get(slot.slot); err != nil {
			return false
		}
	}
	return true
}

// readSlotsOnly is the readArchitecture of a file without weights.
func readSlotsOnly(_ cell.Space, index int, v any) (*benchmark.Architecture, error) {
	return readSlots(index, v, "")
}

// locatePlain locates the pickle in a file that is nothing else.
func locatePlain(path string, size int64) (*merged.Stored, error) {
	f, err := infile.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	return &merged.Stored{File: f, Bytes: io.NewSectionReader(f, 0, size)}, nil
}
