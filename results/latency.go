package results

import (
	"slices"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// LatencyTable holds latencies that were measured apart from any trial, all in the same
// way and on the same device: what nb201 latency --json prints.
type LatencyTable struct {
	Batch     int               `json:"batch"`        // images evaluated at once
	WarmUp    int               `json:"warm_up_runs"` // before those that count
	Channels  int               `json:"channels"`
	Cells     int               `json:"cells"`
	Precision configs.Precision `json:"precision"`
	Device    string            `json:"device"`
	Versions  Versions          `json:"versions"`
	Measured  []Latency         `json:"latencies"`
}

// Latency is the latency of the network of an architecture for a dataset.
type Latency struct {
	Arch      int       `json:"architecture"`
	Genotype  string    `json:"genotype"`
	Dataset   string    `json:"dataset"`
	Classes   int       `json:"classes"`
	ImageSize int       `json:"image_size_pixels"`         // side of the square images
	Seconds   []float64 `json:"latency_seconds_per_batch"` // of each run, in their order
}

// Summary is the median, the least and the most of the seconds, which are not none.
func (l *Latency) Summary() (median, least, most float64) {
	s := slices.Sorted(slices.Values(l.Seconds))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2, s[0], s[n-1]
}

// ReadLatencyTable reads a LatencyTable strictly. Errors are usage errors that name the
// file.
func ReadLatencyTable(path string) (*LatencyTable, error) {
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		return nil, usage.Errorf("cannot read the latencies: %w", err)
	}
	t := new(LatencyTable)
	if err := configs.Decode(path, text, t); err != nil {
		return nil, err
	}
	if t.Batch < 1 || t.Channels < 1 || t.Cells < 1 || len(t.Measured) == 0 {
		return nil, usage.Errorf("%s: no latencies, or no batch, channels or cells that they are of", path)
	}
	for i, l := range t.Measured {
		arch, err := cell.ByIndex(l.Arch)
		if err != nil {
			return nil, usage.Errorf("%s: latencies[%d]: %w", path, i, err)
		}
		if l.Genotype != arch.String() {
			return nil, usage.Errorf("%s: latencies[%d]: genotype %q is not that of architecture %d, %s", path, i, l.Genotype, l.Arch, arch)
		}
		if len(l.Seconds) == 0 || slices.ContainsFunc(l.Seconds, func(s float64) bool { return !positive(s) }) {
			return nil, usage.Errorf("%s: latencies[%d]: the seconds of architecture %d on %s are %v", path, i, l.Arch, l.Dataset, l.Seconds)
		}
	}
	return t, nil
}
