package scheduler

import (
	"testing"
	"time"

	"nb201/scheduler/state"
)

// TestPace follows a run for three hours: idle, training, and training at double speed.
func TestPace(t *testing.T) {
	began := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	p := newPace(began)
	s := state.Run{Started: began, Workers: make([]state.Worker, 2)}
	var got state.Throughput
	check := func(seconds, trials, images float64) {
		t.Helper()
		near := func(a, b float64) bool { return a >= 0.99*b && a <= 1.01*b }
		if !near(got.Seconds, seconds) || !near(float64(got.Trials), trials) || !near(got.Images, images) {
			t.Errorf("%+v, not about %v %v %v", got, seconds, trials, images)
		}
	}
	for second := 1; second <= 3*3600; second++ {
		switch {
		case second > 7200:
			s.Finished += 2
			s.Workers[0].ImagesPerSecond, s.Workers[1].ImagesPerSecond = 150, 50
		case second > 3600:
			s.Finished++
			s.Workers[0].ImagesPerSecond = 100
		}
		got = p.follow(began.Add(time.Duration(second)*time.Second), s)
		switch second {
		case 1800:
			check(1800, 0, 0)
		case 5400:
			check(3600, 1800, 180e3)
		case 9000:
			check(3600, 1800+3600, 180e3+360e3)
		}
	}
	check(3600, 7200, 720e3)
	if len(p.marks) > 362 {
		t.Errorf("%d marks are kept", len(p.marks))
	}
	if got := (state.Throughput{Seconds: 1800, Trials: 15, Images: 30}); got.TrialsPerHour() != 30 || got.ImagesPerHour() != 60 {
		t.Errorf("%v trials, %v images an hour", got.TrialsPerHour(), got.ImagesPerHour())
	}
	if got := (state.Throughput{}).TrialsPerHour(); got != 0 {
		t.Errorf("%v trials an hour of nothing", got)
	}
}
