package train

import (
	"encoding/json"
	"fmt"
	"time"

	"nb201/data"
	"nb201/results"
)

// Experiment is what the trial depends on, as its record will hold it.
func (c Config) Experiment() (results.Settings, error) {
	r, err := c.newRecord(time.Time{})
	if err != nil {
		return results.Settings{}, err
	}
	return r.Settings(), nil
}

// newRecord is the record of a trial that begins now, without its measures.
func (c Config) newRecord(now time.Time) (*results.Record, error) {
	definition, err := json.Marshal(c.Definition)
	if err != nil {
		return nil, fmt.Errorf("encode the dataset definition: %w", err)
	}
	r := &results.Record{
		FormatVersion: results.FormatVersion,
		Trial:         c.Trial,
		Genotype:      c.Network.Arch.String(),
		Classes:       c.Network.Classes,
		ImageSize:     c.Network.Size,
		FLOPs:         c.Network.FLOPs(),
		Params:        c.Network.Params(),
		Recipe:        c.Recipe,
		Definition:    definition,
		Parity:        results.Parity{Profile: c.Settings.Parity, Timeline: c.Settings.Timeline, Workers: c.Settings.Workers},
		Precision:     c.Settings.Precision,
		Started:       now.UTC().Truncate(time.Millisecond),
		Train:         results.Pass{Images: c.Data.Train.Len()},
	}
	if c.Initial != nil {
		r.InitialWeights = &c.Initial.File
	}
	r.DataFiles = FilesOf(c.Data.Files)
	for i := range c.Data.Eval {
		split := &c.Data.Eval[i]
		r.Eval = append(r.Eval, results.Evaluation{Set: split.Name, Pass: results.Pass{Images: split.Len()}})
	}
	return r, nil
}

// setFinished sets when the trial of r finished, of which this process did the part since
// began. The clock may have been set meanwhile: the time since began is measured without
// it, and a trial that was interrupted starts no later than its passes need.
func setFinished(r *results.Record, began time.Time) {
	finished := began.Add(time.Since(began)).UTC().Truncate(time.Millisecond)
	needed := time.Duration(r.Seconds() * float64(time.Second)).Truncate(time.Millisecond)
	if latest := finished.Add(-needed); r.Started.After(latest) {
		r.Started = latest
	}
	r.Finished = finished
}

// FilesOf returns the files that images were read from, as a record has them.
func FilesOf(read []data.File) []results.File {
	var files []results.File
	for _, f := range read {
		files = append(files, results.File(f))
	}
	return files
}
