package state

import "time"

// Totals counts the trials of a plan, of a chunk, or of one dataset and schedule. Each planned
// trial is exactly one of done, damaged, running, failed and left.
type Totals struct {
	Planned int `json:"planned"`
	Done    int `json:"done"`
	Damaged int `json:"damaged"` // record cannot be read: a run trains the trial again
	Running int `json:"running"`
	Failed  int `json:"failed"` // attempts used up
	Left    int `json:"left"`   // not begun, interrupted, or to be retried

	// Work is how long a single worker would need for the running and left trials; zero when
	// that is unknown.
	Work time.Duration `json:"-"`
}

// TimeLeft estimates how long the given number of workers will need for the rest, or returns zero
// when that is unknown. It uses Work if known, and else the rate, which says less because the
// costs of trials differ by a factor of hundreds.
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

// Add adds the counts of other to t.
func (t *Totals) Add(other Totals) {
	t.Planned += other.Planned
	t.Done += other.Done
	t.Damaged += other.Damaged
	t.Running += other.Running
	t.Failed += other.Failed
	t.Left += other.Left
	t.Work += other.Work
}

// Throughput counts the work of a run in its last hour, or since it began if that is less.
type Throughput struct {
	Seconds float64 `json:"seconds"` // length of the period, about 3600 at most
	Trials  int     `json:"trials"`  // finished
	Images  float64 `json:"images"`  // trained on or evaluated
}

// TrialsPerHour returns the number of trials finished per hour.
func (t Throughput) TrialsPerHour() float64 { return t.perHour(float64(t.Trials)) }

// ImagesPerHour returns the number of images processed per hour.
func (t Throughput) ImagesPerHour() float64 { return t.perHour(t.Images) }

func (t Throughput) perHour(n float64) float64 {
	if t.Seconds <= 0 {
		return 0
	}
	return n / t.Seconds * 3600
}

// ImagesPerSecond returns the sum of the workers' speeds.
func (s Run) ImagesPerSecond() float64 {
	sum := 0.0
	for _, w := range s.Workers {
		sum += w.ImagesPerSecond
	}
	return sum
}
