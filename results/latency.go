package results

import (
	"errors"
	"slices"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// LatencyTable holds latencies that were measured outside any trial, all in the same way and
// on the same device. nb201 latency --json prints one.
type LatencyTable struct {
	Batch     int               `json:"batch"`             // images per evaluation
	WarmUp    int               `json:"warm_up_runs"`      // runs before the measured ones
	Space     cell.Name         `json:"space,omitzero"`    // search space of the architectures
	Channels  int               `json:"channels,omitzero"` // C, of the first stage; 0 in the size search space
	Cells     int               `json:"cells,omitzero"`    // N, per stage
	Precision configs.Precision `json:"precision"`
	Device    string            `json:"device"` // "cpu", or the GPU and its name
	Versions  Versions          `json:"versions"`
	Measured  []Latency         `json:"latencies"`
}

// Latency is the measured latency of an architecture's network for a dataset.
type Latency struct {
	Arch      int       `json:"architecture"` // index of the architecture
	Genotype  string    `json:"genotype"`     // string of the architecture, such as a genotype string
	Dataset   string    `json:"dataset"`      // dataset key
	Classes   int       `json:"classes"`
	ImageSize int       `json:"image_size_pixels"`         // side of the square images
	Seconds   []float64 `json:"latency_seconds_per_batch"` // one value per run, in order
}

// Summary returns the median, minimum and maximum of l.Seconds, which must not be empty.
func (l *Latency) Summary() (median, least, most float64) {
	s := slices.Sorted(slices.Values(l.Seconds))
	n := len(s)
	return (s[(n-1)/2] + s[n/2]) / 2, s[0], s[n-1]
}

// ReadLatencyTable reads a [LatencyTable] from a JSON file. It refuses unknown keys and
// implausible values; its errors are usage errors that name the file.
func ReadLatencyTable(path string) (*LatencyTable, error) {
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		return nil, usage.Errorf("cannot read the latencies: %w", err)
	}
	t := new(LatencyTable)
	err = configs.Decode(path, text, t)
	if errors.Is(err, configs.ErrNotJSON) {
		return nil, usage.Errorf("%w; write the file with nb201 latency --json", err)
	}
	if err != nil {
		return nil, err
	}
	if err := t.Space.Check(); err != nil {
		return nil, usage.Errorf("%s: space: %w", path, err)
	}
	if t.Batch < 1 || len(t.Measured) == 0 {
		return nil, usage.Errorf("%s: batch must be at least 1 and latencies not empty; write the file with nb201 latency --json", path)
	}
	for i, l := range t.Measured {
		arch, err := t.Space.Space().ByIndex(l.Arch)
		if err != nil {
			return nil, usage.Errorf("%s: latencies[%d]: %w", path, i, err)
		}
		if l.Genotype != arch.String() {
			return nil, usage.Errorf("%s: latencies[%d]: genotype %q does not match architecture %d, which is %s", path, i, l.Genotype, l.Arch, arch)
		}
		n := cell.Network{Arch: arch, Channels: t.Channels, Cells: t.Cells, Classes: l.Classes, Size: l.ImageSize}
		if err := n.Validate(); err != nil {
			return nil, usage.Errorf("%s: latencies[%d]: %w", path, i, err)
		}
		if len(l.Seconds) == 0 || slices.ContainsFunc(l.Seconds, func(s float64) bool { return !positive(s) }) {
			return nil, usage.Errorf("%s: latencies[%d]: architecture %d on %s has latencies %v; give one or more positive numbers",
				path, i, l.Arch, l.Dataset, l.Seconds)
		}
	}
	return t, nil
}
