package attempt

import (
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"nb201/results"
	"nb201/scheduler/attempt/attempttest"
)

func FuzzReadFailure(f *testing.F) {
	for _, note := range attempttest.Notes {
		f.Add([]byte(strings.ReplaceAll(note.Text, "%s", `{"architecture": 1, "dataset": "digits", "epochs": 2, "seed": 1}`)))
	}
	trial := results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: 1}
	path := FailurePath("campaign", trial)
	f.Fuzz(func(t *testing.T, text []byte) {
		failure, err := decodeFailure(path, text)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		if failure.Trial != trial {
			t.Fatalf("about %v", failure.Trial)
		}
		failure.Attempts = append(failure.Attempts, FailedAttempt{Kind: OtherError})
		text, err = json.Marshal(failure)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := decodeFailure(path, text); err != nil || len(again.Attempts) != len(failure.Attempts) || again.TrialFailed != failure.TrialFailed || again.Version != failure.Version {
			t.Errorf("%+v is read as %+v (%v)", failure, again, err)
		}
	})
}
