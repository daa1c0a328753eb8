package results

import (
	"fmt"
	"slices"
	"strconv"

	"nb201/cell"
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
	arch, err := cell.ByIndex(index)
	if err != nil {
		return nil, []error{err}
	}
	trials, err := s.trialsBelow(fmt.Sprintf("%06d", index))
	if err != nil {
		return nil, []error{fmt.Errorf("list campaign: %w", err)}
	}
	var errs []error
	a := &Architecture{Index: index, Genotype: arch.String()}
	for _, t := range trials {
		r, err := s.Record(t)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		hp := strconv.Itoa(t.Epochs)
		at := slices.IndexFunc(a.Schedules, func(of *ArchResults) bool { return of.HP == hp })
		if at < 0 {
			at = len(a.Schedules)
			a.Schedules = append(a.Schedules, &ArchResults{Index: index, Genotype: a.Genotype, HP: hp})
		}
		result := r.ResultsCount()
		if r.Weights != nil {
			result.load = func() (torchfile.StateDict, error) { return s.Weights(r) }
		}
		a.Schedules[at].Results = append(a.Schedules[at].Results, result)
	}
	slices.SortFunc(a.Schedules, func(a, b *ArchResults) int { return a.Results[0].Epochs - b.Results[0].Epochs })
	return a, errs
}
