package export

import (
	"crypto/sha256"
	"fmt"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// latencies holds the contents of Options.Latencies, in seconds, by network.
type latencies map[latencyKey][]float64

type latencyKey struct {
	dataset                        string
	classes, channels, cells, arch int
}

// publishedBatch is the number of images in the batch of a published latency, which the
// clients assume.
const publishedBatch = 256

// joinLatencies joins tables. Architectures of another space, a batch size other than publishedBatch, and
// two latencies of one network are usage errors.
func joinLatencies(tables []*results.LatencyTable, space cell.Space) (latencies, error) {
	joined := latencies{}
	for _, t := range tables {
		if of := t.Space.Space(); of != space {
			return nil, usage.Errorf("cannot export latencies of the %s: the benchmark is of the %s; measure its architectures with nb201 latency", of.Title(), space.Title())
		}
		if t.Batch != publishedBatch {
			return nil, usage.Errorf("cannot export latencies of batches of %d images: the benchmark's batches have %d; measure them again with that batch size",
				t.Batch, publishedBatch)
		}
		for _, m := range t.Measured {
			key := latencyKey{m.Dataset, m.Classes, t.Channels, t.Cells, m.Arch}
			if joined[key] != nil {
				return nil, usage.Errorf("the latency of architecture %d on %s (C=%d, N=%d) was given twice; leave one out", m.Arch, m.Dataset, t.Channels, t.Cells)
			}
			joined[key] = m.Seconds
		}
	}
	return joined, nil
}

// setLatency sets a trial's latency to that of its network, as reset_latency
// (nas_201_api/api_utils.py) does, and reports whether there is one.
func (l latencies) setLatency(r *benchmark.ResultsCount) bool {
	seconds := l[latencyKey{r.Dataset, r.Classes, r.Channels, r.Cells, r.Arch}]
	if seconds == nil {
		return false
	}
	r.Latencies = seconds
	return true
}

// digest returns a hash that differs for different latencies.
func (l latencies) digest() string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, l))) // maps print in order
}
