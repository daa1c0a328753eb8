package state

import "testing"

// No rate of a benchmark of thousands of trials is written with an exponent.
func TestRate(t *testing.T) {
	for v, want := range map[float64]string{
		0: "0", 0.0126: "0.0126", 1.5: "1.5", 15: "15", 29.34: "29.3", 99.94: "99.9", 99.96: "100", 126.4: "126", 999.6: "1,000", 1260: "1,260", 1.26e7: "12,600,000",
	} {
		if got := Rate(v); got != want {
			t.Errorf("%v: %q, want %q", v, got, want)
		}
	}
}
