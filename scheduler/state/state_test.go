package state

import (
	"testing"
	"time"
)

func TestTimeLeft(t *testing.T) {
	for _, c := range []struct {
		totals  Totals
		workers int
		rate    float64
		want    time.Duration
	}{
		{Totals{Left: 10, Running: 2, Work: 12 * time.Hour}, 4, 100, 3 * time.Hour},
		{Totals{Left: 10, Running: 2}, 4, 6, 2 * time.Hour},
		{Totals{Left: 10, Work: time.Hour}, 0, 0, 0},
		{Totals{Left: 10}, 4, 0, 0},
	} {
		if got := c.totals.TimeLeft(c.workers, c.rate); got != c.want {
			t.Errorf("%+v, %d workers, %v an hour: %v, not %v", c.totals, c.workers, c.rate, got, c.want)
		}
	}
}

func TestSpanAndPercent(t *testing.T) {
	for d, want := range map[time.Duration]string{
		-time.Second: "0s", 1400 * time.Millisecond: "1s", 59 * time.Second: "59s", 59600 * time.Millisecond: "1m00s",
		185 * time.Second: "3m05s", 247 * time.Minute: "4h07m", 291 * time.Hour: "12d03h",
	} {
		if got := FormatDuration(d); got != want {
			t.Errorf("%v is %q, not %q", d, got, want)
		}
	}
	for _, c := range []struct {
		part, whole int
		want        string
	}{{0, 0, "0 %"}, {0, 3, "0.0 %"}, {2, 3, "66.6 %"}, {299999, 300000, "99.9 %"}, {3, 3, "100.0 %"}} {
		if got := Percent(c.part, c.whole); got != c.want {
			t.Errorf("%d of %d is %q, not %q", c.part, c.whole, got, c.want)
		}
	}
}
