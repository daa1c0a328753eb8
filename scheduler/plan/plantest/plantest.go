// Package plantest creates campaigns with plans for tests.
package plantest

import (
	"slices"
	"strconv"
	"testing"

	"nb201/configs"
	"nb201/results"
	"nb201/scheduler/plan"
)

// Digits writes a plan to dir for architectures 0 to archs-1 on digits, with the given schedules
// and seeds, and returns its trials. Their networks have C = 8 and N = 1, like those of the records
// of package resultstest.
func Digits(t testing.TB, dir string, archs int, epochs []int, seeds ...uint32) []results.Trial {
	t.Helper()
	list, err := plan.ParseArchs(nil, "0-"+strconv.Itoa(archs-1))
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
