package scheduler

import (
	"slices"
	"time"

	"nb201/scheduler/state"
)

// pace follows a run by its states, and knows what it did in the last hour.
type pace struct {
	images float64 // so far: the workers' speeds, summed up over time
	last   time.Time
	marks  []mark // the oldest is an hour old, at least if the run is
}

// mark is how far a run was.
type mark struct {
	at       time.Time
	finished int
	images   float64
}

// betweenMarks keeps the marks of an hour few.
const betweenMarks = 10 * time.Second

// newPace follows a run that began at a time, which holds a monotonic reading of the clock,
// as the times for follow do: the clock may be set meanwhile.
func newPace(began time.Time) pace {
	return pace{last: began, marks: []mark{{at: began}}}
}

// follow takes the state of a run at a time, later than the last.
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
