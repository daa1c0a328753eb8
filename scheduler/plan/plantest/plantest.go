// Package plantest makes campaigns with plans for tests.
package plantest

import (
	"slices"
	"strconv"
	"testing"

	"nb201/configs"
	"nb201/results"
	"nb201/scheduler/plan"
)

// Digits writes into dir the plan of architectures 0 to archs-1 on digits, along schedules of
// the epochs and from the seeds, and returns its trials. They are as resultstest's
// records are: of eight channels and one cell.
func Digits(t testing.TB, dir string, archs int, epochs []int, seeds ...uint32) []results.Trial {
	t.Helper()
	list, err := plan.ParseArchs("0-" + strconv.Itoa(archs-1))
	if err != nil {
		t.Fatal(err)
	}
	settings := configs.Published()
	settings.Channels, settings.Cells = 8, 1
	p, err := plan.New(plan.Settings{Settings: settings},
		plan.Selection{Archs: &list, Datasets: []string{"digits"}, Epochs: epochs, Seeds: seeds}, "")
	if err == nil {
		err = p.Write(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return slices.Collect(p.Trials())
}
