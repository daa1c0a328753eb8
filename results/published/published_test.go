package published_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"nb201/internal/needs"
	"nb201/results/benchmark"
	"nb201/results/published"
)

// summary describes a trial in testdata/published/NNNNNN.summary.json.
type summary struct {
	FLOPs     float64            `json:"flop_M"`
	Params    float64            `json:"params_MB"`
	Latencies []float64          `json:"latency_s"`
	TrainTime float64            `json:"train_time_per_epoch"`
	FinalTop1 float64            `json:"final_train_acc"`
	FinalLoss float64            `json:"final_train_loss"`
	FirstTop1 float64            `json:"first_train_acc"`
	FinalEval map[string]float64 `json:"final_eval"`
	Epochs    map[string]int     `json:"eval_epochs_present"`
	EvalTimes map[string]float64 `json:"eval_time"`
}

func summarize(t *testing.T, r *benchmark.ResultsCount) summary {
	t.Helper()
	at := func(s benchmark.Series, epoch int) float64 {
		v, ok := s.At(epoch)
		if !ok {
			t.Errorf("%v: no epoch %d", r.Trial, epoch)
		}
		return v
	}
	last := r.Epochs - 1
	s := summary{
		r.FLOPs, r.Params, r.Latencies, at(r.Training.Seconds, 0),
		at(r.Training.Top1, last), at(r.Training.Loss, last), at(r.Training.Top1, 0),
		map[string]float64{}, map[string]int{}, map[string]float64{},
	}
	for _, e := range r.Evaluation {
		s.FinalEval[e.Set], s.Epochs[e.Set], s.EvalTimes[e.Set] = at(e.Top1, last), len(e.Top1), at(e.Seconds, 0)
		if len(e.Loss) != len(e.Top1) || !e.Seconds.Complete(r.Epochs) {
			t.Errorf("%v: %s has %d losses and %d times", r.Trial, e.Set, len(e.Loss), len(e.Seconds))
		}
	}
	if !r.Training.Loss.Complete(r.Epochs) || !r.Training.Top1.Complete(r.Epochs) || !r.Training.Seconds.Complete(r.Epochs) {
		t.Errorf("%v: the training curve is not complete", r.Trial)
	}
	return s
}

// The published records of architectures 0 and 11, in the directory NB201_PUBLISHED,
// must read as Python read them.
func TestPublishedSummaries(t *testing.T) {
	dir := needs.Published(t)
	b, err := published.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for _, index := range []int{0, 11} {
		text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "published", fmt.Sprintf("%06d.summary.json", index)))
		if err != nil {
			t.Fatal(err)
		}
		var want map[string]summary
		if err := json.Unmarshal(text, &want); err != nil {
			t.Fatal(err)
		}
		a, err := b.Architecture(index)
		if err != nil {
			t.Fatal(err)
		}
		got := map[string]summary{}
		for _, s := range a.Schedules {
			for _, r := range s.Results {
				got[fmt.Sprintf("%s|%s|%d", s.HP, r.Dataset, r.Seed)] = summarize(t, r)
			}
		}
		if !reflect.DeepEqual(got, want) || len(want) != 17 {
			t.Errorf("architecture %d reads\n%v\nnot\n%v", index, got, want)
		}
	}
}
