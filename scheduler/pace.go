package scheduler

import (
	"slices"
	"time"
)

// Throughput is what a run did in its last hour, or since it began.
type Throughput struct {
	Seconds float64 `json:"seconds"` // that this is about, up to 3600
	Trials  int     `json:"trials"`  // finished
	Images  float64 `json:"images"`  // trained on and evaluated
}

// TrialsPerHour is the rate at which trials were finished.
func (t Throughput) TrialsPerHour() float64 { return t.perHour(float64(t.Trials)) }

// ImagesPerHour is the rate at which images were gone through.
func (t Throughput) ImagesPerHour() float64 { return t.perHour(t.Images) }

func (t Throughput) perHour(n float64) float64 {
	if t.Seconds <= 0 {
		return 0
	}
	return n / t.Seconds * 3600
}

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
func (p *pace) follow(now time.Time, s RunState) Throughput {
	p.images += s.imagesPerSecond() * now.Sub(p.last).Seconds()
	p.last = now
	for len(p.marks) > 1 && now.Sub(p.marks[1].at) >= time.Hour {
		p.marks = slices.Delete(p.marks, 0, 1)
	}
	if now.Sub(p.marks[len(p.marks)-1].at) >= betweenMarks {
		p.marks = append(p.marks, mark{now, s.Finished, p.images})
	}
	first := p.marks[0]
	return Throughput{now.Sub(first.at).Seconds(), s.Finished - first.finished, p.images - first.images}
}

// imagesPerSecond is the speed of all workers.
func (s RunState) imagesPerSecond() float64 {
	sum := 0.0
	for _, w := range s.Workers {
		sum += w.ImagesPerSecond
	}
	return sum
}
