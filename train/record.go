package train

import (
	"encoding/json"
	"fmt"
	"time"

	"nb201/configs"
	"nb201/data"
	"nb201/results"
)

// Experiment returns everything that the trial depends on, as its record will hold it.
func (c Config) Experiment() (results.Settings, error) {
	r, err := c.newRecord(time.Time{})
	if err != nil {
		return results.Settings{}, err
	}
	return r.Settings(), nil
}

// newRecord makes the record of a trial that starts now, without results.
func (c Config) newRecord(now time.Time) (*results.Record, error) {
	definition, err := json.Marshal(c.Definition)
	if err != nil {
		return nil, fmt.Errorf("cannot encode the dataset definition: %w", err)
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
	if c.Recipe.Name != "" {
		r.RecipeSHA256 = c.Recipe.Hash()
	}
	if c.Initial != nil {
		r.InitialWeights = &c.Initial.File
	}
	r.DataFiles = FilesOf(c.Data.Files)
	for i := range c.Data.Eval {
		split := &c.Data.Eval[i]
		e := results.Evaluation{Set: split.Name, Pass: results.Pass{Images: split.Len()}}
		e.FirstEpoch, e.Epochs = evaluated(&c.Recipe)
		r.Eval = append(r.Eval, e)
	}
	return r, nil
}

// evaluated returns the first epoch that a recipe evaluates, and all of them, nil if they are all epochs.
func evaluated(r *configs.Recipe) (first int, epochs []int) {
	if r.EvaluateEvery <= 1 {
		return 0, nil
	}
	for epoch := range r.Epochs {
		if r.Evaluates(epoch) {
			epochs = append(epochs, epoch)
		}
	}
	return epochs[0], epochs
}

// setFinished sets r.Finished; this process began with the trial at began. The wall clock may
// have been changed since then, so the elapsed time is measured by the monotonic clock, and
// r.Started is moved back if it is later than the seconds of all passes allow.
func setFinished(r *results.Record, began time.Time) {
	finished := began.Add(time.Since(began)).UTC().Truncate(time.Millisecond)
	needed := time.Duration(r.Seconds() * float64(time.Second)).Truncate(time.Millisecond)
	if latest := finished.Add(-needed); r.Started.After(latest) {
		r.Started = latest
	}
	r.Finished = finished
}

// FilesOf converts the list of files that images were read from to a record's.
func FilesOf(read []data.File) []results.File {
	var files []results.File
	for _, f := range read {
		files = append(files, results.File(f))
	}
	return files
}
