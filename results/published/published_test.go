package published_test

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"testing"

	"nb201/cell"
	"nb201/internal/needs"
	"nb201/results/benchmark"
	"nb201/results/published"
)

// summary describes a trial in NNNNNN.summary.json of testdata/published or testdata/published-sss.
type summary struct {
	Genotype  string             `json:"arch_str,omitempty"` // of the size search space
	FirstLoss float64            `json:"first_train_loss,omitempty"`
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
		r.Genotype, at(r.Training.Loss, 0), r.FLOPs, r.Params, r.Latencies, at(r.Training.Seconds, 0),
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

var sizeRecords = filepath.Join("..", "..", "testdata", "published-sss")

// The published records of architectures 0 and 11 must read as Python read them: those of the topology
// search space, in the directory NB201_PUBLISHED, and those of the size search space.
func TestPublishedSummaries(t *testing.T) {
	t.Run("topology", func(t *testing.T) {
		checkSummaries(t, needs.Published(t), filepath.Join("..", "..", "testdata", "published"), cell.Topology{}, 17)
	})
	t.Run("size", func(t *testing.T) { checkSummaries(t, sizeRecords, sizeRecords, cell.Size{}, 20) })
}

func checkSummaries(t *testing.T, dir, summaries string, space cell.Space, trials int) {
	b, err := published.Open(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if b.Space != space || b.Len() != space.Count() {
		t.Errorf("it is of the %s and lists %d", b.Space.Title(), b.Len())
	}
	for _, index := range []int{0, 11} {
		text, err := os.ReadFile(filepath.Join(summaries, fmt.Sprintf("%06d.summary.json", index)))
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
				summary := summarize(t, r)
				if space == (cell.Topology{}) {
					summary.Genotype, summary.FirstLoss = "", 0
				}
				got[fmt.Sprintf("%s|%s|%d", s.HP, r.Dataset, r.Seed)] = summary
			}
		}
		if !reflect.DeepEqual(got, want) || len(want) != trials {
			t.Errorf("architecture %d reads\n%v\nnot\n%v", index, got, want)
		}
	}
}
