package scheduler

import (
	"slices"
	"time"

	"nb201/scheduler/state"
)

// pace measures the throughput of a run over its last hour.
type pace struct {
	images float64   // so far: the workers' speeds integrated over time
	last   time.Time // of the last update
	marks  []mark    // the first is about an hour old, or as old as the run
}

// mark is the progress of a run at a moment.
type mark struct {
	at       time.Time
	finished int
	images   float64
}

// betweenMarks is the least time between marks: an hour has at most 360.
const betweenMarks = 10 * time.Second

// newPace returns the pace of a run that began at the given time. That time, and those given to
// follow, must have a monotonic clock reading, because the wall clock may be set meanwhile.
func newPace(began time.Time) pace {
	return pace{last: began, marks: []mark{{at: began}}}
}

// follow records the state of a run at time now and returns the throughput of the last hour.
func (p *pace) follow(now time.Time, s state.Run) state.Throughput {
	p.images += s.ImagesPerSecond() * now.Sub(p.last).Seconds()
	p.last = now
	for len(p.marks) > 1 && now.Sub(p.marks[1].at) >= time.Hour {
		p.marks = slices.Delete(p.marks, 0, 1)
	}
	if now.Sub(p.marks[len(p.marks)-1].at) >= betweenMarks {
		p.marks = append(p.marks, mark{now, s.Finished, p.images})
	}
	first := p.marks[0]
	return state.Throughput{Seconds: now.Sub(first.at).Seconds(), Trials: s.Finished - first.finished, Images: p.images - first.images}
}
