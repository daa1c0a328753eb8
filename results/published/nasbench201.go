package published

import (
	"bytes"
	"compress/flate"
	"context"
	"errors"
	"io"

	"nb201/cell"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/results/published/internal/merged"
)

// NASBench201 is a torch checkpoint with all architectures, without weights. The Python class
// NASBench201API opens it.
const NASBench201 benchmark.Format = "nasbench201"

// NASBench201Name is the file name of the published benchmark, under which the client looks for it.
const NASBench201Name = "NAS-Bench-201-v1_1-096897.pth"

func nasbench201Reader() reader {
	return reader{
		name: NASBench201, merged: true, noun: "a merged .pth or .pickle", extension: ".pth",
		clients: ofTopology(NASBench201Name),
		file:    suffixPattern(".pth"),
		open: func(ctx context.Context, o *opening) (*benchmark.Benchmark, error) {
			b, err := openMerged(ctx, o, NASBench201, locateTorch, readSlotsOnly)
			if err == nil && b.Space != (cell.Topology{}) {
				err = errors.Join(usage.Errorf("%s lists architectures of the %s, which files of the format %s do not hold; name a file of the format %s",
					o.path, b.Space.Title(), NASBench201, NATS), b.Close())
			}
			return b, err
		},
		recognise: func(c *content) (Kind, bool) {
			if !bytes.Contains(c.torchHead(), []byte(metaArchs)) {
				return Kind{}, false
			}
			return Kind{Format: NASBench201, merged: true, what: "a merged NAS-Bench-201 file", todo: useResults + " if its name ends in .pth"}, true
		},
	}
}

// locateTorch locates the pickle in a torch checkpoint.
func locateTorch(path string, _ int64) (*merged.Stored, error) {
	f, err := torchfile.Open(path)
	if err != nil {
		return nil, err
	}
	stored, deflated, err := f.Pickle()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	at := &merged.Stored{File: f, Bytes: stored}
	if crc, ok := f.PickleCRC(); ok {
		at.CRC = &crc
	}
	if deflated {
		at.Unpack = func(r io.Reader) io.Reader { return flate.NewReader(r) }
	}
	return at, nil
}
