package summary

import "testing"

// SetMaxValues changes the bound of the values of curves during a test.
func SetMaxValues(t testing.TB, n int) {
	before := maxValues
	maxValues = n
	t.Cleanup(func() { maxValues = before })
}

// CurveValues returns the number of values of curves that a summary keeps, without those of the last
// epoch.
func (s *Summary) CurveValues() int {
	n := 0
	for _, g := range s.Groups {
		for _, t := range g.Trials {
			n += len(t.curves)
		}
	}
	return n
}
