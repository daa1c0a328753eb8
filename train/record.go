package train

import (
	"encoding/json"
	"fmt"
	"time"

	"nb201/internal/torchfile"
	"nb201/results"
)

// newRecord is the record of a trial that begins now, without its measures.
func (t *trial) newRecord(now time.Time) (*results.Record, error) {
	definition, err := json.Marshal(t.Definition)
	if err != nil {
		return nil, fmt.Errorf("encode the dataset definition: %w", err)
	}
	r := &results.Record{
		FormatVersion: results.FormatVersion,
		Trial:         t.Trial,
		Genotype:      t.Network.Arch.String(),
		Classes:       t.Network.Classes,
		ImageSize:     t.Network.Size,
		FLOPs:         t.Network.FLOPs(),
		Params:        t.Network.Params(),
		Recipe:        t.Recipe,
		Definition:    definition,
		Parity:        results.Parity{Profile: t.Profile.Name, Timeline: string(t.Timeline), Workers: t.Workers},
		Precision:     string(t.Precision),
		Started:       now.UTC().Truncate(time.Millisecond),
		Train:         results.Pass{Images: t.Data.Train.Len()},
	}
	if t.Initial != nil {
		r.InitialWeights = &t.Initial.File
	}
	for _, f := range t.Data.Files {
		r.DataFiles = append(r.DataFiles, results.File(f))
	}
	for i := range t.Data.Eval {
		split := &t.Data.Eval[i]
		r.Eval = append(r.Eval, results.Evaluation{Set: split.Name, Pass: results.Pass{Images: split.Len()}})
	}
	return r, nil
}

// toFloat32 is a state dict as it is published, rounded from a float64 trial's.
func toFloat32(dict torchfile.StateDict) torchfile.StateDict {
	for i, w := range dict {
		if w.Float64 != nil {
			dict[i].Tensor = &torchfile.Tensor{Shape: w.Shape, Float32: convert[float32](w.Float64)}
		}
	}
	return dict
}
