package results

import (
	"fmt"
	"slices"
	"strconv"

	"nb201/internal/torchfile"
)

// Salvage reads what can be read of an architecture, and says what is wrong with the
// rest: a damaged record of a campaign costs its trial alone, in other formats a
// damaged file costs the architecture, which is then nil.
func (b *Benchmark) Salvage(index int) (*Architecture, []error) {
	if s, ok := b.source.(campaignSource); ok {
		return s.salvage(index)
	}
	a, err := b.Architecture(index)
	if err != nil {
		return nil, []error{err}
	}
	return a, nil
}

func (s campaignSource) salvage(index int) (*Architecture, []error) {
	a, err := newArchitecture(index)
	if err != nil {
		return nil, []error{err}
	}
	trials, err := s.trialsBelow(fmt.Sprintf("%06d", index))
	if err != nil {
		return nil, []error{fmt.Errorf("list campaign: %w", err)}
	}
	var errs []error
	for _, t := range trials {
		r, err := s.Record(t)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		result := r.ResultsCount()
		if r.Weights != nil {
			result.load = func() (torchfile.StateDict, error) { return s.Weights(r) }
		}
		a.put(strconv.Itoa(t.Epochs), result)
	}
	slices.SortFunc(a.Schedules, func(a, b *ArchResults) int { return a.Results[0].Epochs - b.Results[0].Epochs })
	return a, errs
}
