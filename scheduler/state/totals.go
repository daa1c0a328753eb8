package state

import "time"

// Totals counts trials of a plan: all, those of a chunk, or of a dataset along a
// schedule. Every trial is one of done, damaged, running, failed and left.
type Totals struct {
	Planned int `json:"planned"`
	Done    int `json:"done"`
	Damaged int `json:"damaged"` // their record cannot be read: a run trains them again
	Running int `json:"running"`
	Failed  int `json:"failed"` // set aside
	Left    int `json:"left"`   // not begun, interrupted, or to be tried again

	// Work is how long one worker would take for the trials that are running and left;
	// zero: it is not known.
	Work time.Duration `json:"-"`
}

// TimeLeft is when so many workers, who finish so many trials an hour, will be done;
// zero when that is not known. Work is the better measure: trials differ by a factor of
// hundreds.
func (t Totals) TimeLeft(workers int, trialsPerHour float64) time.Duration {
	switch {
	case workers == 0:
		return 0
	case t.Work > 0:
		return t.Work / time.Duration(workers)
	case trialsPerHour > 0:
		return time.Duration(float64(t.Running+t.Left) / trialsPerHour * float64(time.Hour))
	}
	return 0
}

// Add adds the trials of another group.
func (t *Totals) Add(other Totals) {
	t.Planned += other.Planned
	t.Done += other.Done
	t.Damaged += other.Damaged
	t.Running += other.Running
	t.Failed += other.Failed
	t.Left += other.Left
	t.Work += other.Work
}

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

// ImagesPerSecond is the speed of all workers.
func (s Run) ImagesPerSecond() float64 {
	sum := 0.0
	for _, w := range s.Workers {
		sum += w.ImagesPerSecond
	}
	return sum
}
