package export

import (
	"crypto/sha256"
	"fmt"

	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// latencies are those of Options.Latencies by the networks that they are of.
type latencies map[latencyOf][]float64

type latencyOf struct {
	dataset                        string
	classes, channels, cells, arch int
}

// publishedBatch is the batch that the clients take a latency to be of, in images.
const publishedBatch = 256

// newLatencies joins tables. Another batch than the published one, and a latency that
// stands there twice, are usage errors.
func newLatencies(tables []*results.LatencyTable) (latencies, error) {
	joined := latencies{}
	for _, t := range tables {
		if t.Batch != publishedBatch {
			return nil, usage.Errorf("latencies of a batch of %d images cannot be exported: those of the benchmark are of %d", t.Batch, publishedBatch)
		}
		for _, m := range t.Measured {
			of := latencyOf{m.Dataset, m.Classes, t.Channels, t.Cells, m.Arch}
			if joined[of] != nil {
				return nil, usage.Errorf("the latency of architecture %d on %s (C=%d, N=%d) was measured twice: leave one of them out", m.Arch, m.Dataset, t.Channels, t.Cells)
			}
			joined[of] = m.Seconds
		}
	}
	return joined, nil
}

// give gives a trial the latency of its network, as reset_latency (nas_201_api/
// api_utils.py) does, and tells whether there is one.
func (l latencies) give(r *benchmark.ResultsCount) bool {
	seconds := l[latencyOf{r.Dataset, r.Classes, r.Channels, r.Cells, r.Arch}]
	if seconds == nil {
		return false
	}
	r.Latencies = seconds
	return true
}

// digest tells latencies from others.
func (l latencies) digest() string {
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Append(nil, l))) // maps print in order
}
