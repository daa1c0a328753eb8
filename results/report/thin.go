package report

import (
	"slices"

	"nb201/results/summary"
)

// thin returns a summary of the trials of about n of the architectures, evenly spread.
func thin(s *summary.Summary, n int) *summary.Summary {
	few := &summary.Summary{}
	for _, at := range summary.Spread(len(s.Archs), n) {
		few.Archs = append(few.Archs, s.Archs[at])
	}
	for _, g := range s.Groups {
		part := *g
		part.Trials = nil
		for trials := range g.ByArch {
			if _, ok := slices.BinarySearch(few.Archs, trials[0].Arch); ok {
				part.Trials = append(part.Trials, trials...)
			}
		}
		few.Groups = append(few.Groups, &part)
	}
	return few
}
