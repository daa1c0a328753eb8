package scheduler

import (
	"io"

	"github.com/go-json-experiment/json"

	"nb201/results"
)

// A run and its workers talk in lines of JSON: orders on a worker's stdin, reports on
// its stdout. A worker whose stdin ends leaves.

// order asks a worker for a trial. It reports how that ends before it is given another.
type order struct {
	Trial   results.Trial  `json:"trial"`
	Attempt int            `json:"attempt"`        // from 1
	Next    *results.Trial `json:"next,omitempty"` // to prepare for, when there is time
}

// report is what a worker has to tell.
type report struct {
	Event           event   `json:"event"`
	Stage           string  `json:"stage,omitempty"` // of progress, as are the next three
	Epoch           int     `json:"epoch,omitzero"`
	Epochs          int     `json:"epochs,omitzero"`
	ImagesPerSecond float64 `json:"images_per_second,omitzero"`
	Kind            Kind    `json:"kind,omitempty"`   // of failed
	Reason          string  `json:"reason,omitempty"` // of failed, unable, no room and waiting progress
}

type event string

const (
	eventReady    event = "ready"    // the worker can take an order
	eventProgress event = "progress" // of the trial

	// How a trial can end.
	eventFinished event = "finished" // its record stands
	eventDone     event = "done"     // its record stood already, or another was faster
	eventClaimed  event = "claimed"  // another process has it
	eventFailed   event = "failed"
	eventNoRoom   event = "no room" // the campaign's disk does not take its files
	eventUnable   event = "unable"  // the worker could not begin it, nor, it seems, any other
	eventRefused  event = "refused" // the campaign does not take it, but perhaps others
	eventStopped  event = "stopped" // the worker was told to leave

	// eventNoProcess is no report of a worker's: the host could not start one for now.
	eventNoProcess event = "no process"
)

// send writes v as a line.
func send(w io.Writer, v any) error {
	line, err := json.Marshal(v)
	if err != nil {
		return err
	}
	_, err = w.Write(append(line, '\n'))
	return err
}
