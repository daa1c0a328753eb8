package export

import (
	"nb201/results/benchmark"
)

// Record returns what a file of NATS-Bench has for an architecture of a benchmark at path, with every
// schedule under its name: a [pickle.OrderedDict] of an ArchResults.state_dict each (nats_bench/api_utils.py).
// kept takes the place of the weights of trials that have any; nil leaves them out. Costs and times are
// those that an export writes. Trials of different networks are a usage error that names path.
func Record(path string, a *benchmark.Architecture, kept any) (any, error) {
	written := &benchmark.Architecture{Space: a.Space, Index: a.Index, Genotype: a.Genotype}
	for _, s := range a.Schedules {
		s = copyOf(s, s.HP)
		for trials := range byDataset(s) {
			if _, err := correctCosts(path, trials); err != nil {
				return nil, err
			}
			completeTimes(trials)
		}
		written.Schedules = append(written.Schedules, s)
	}
	return encoding{of: originalOf(a.Space), kept: kept}.encodeSchedules(written)
}
