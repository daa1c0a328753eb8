package results_test

import (
	"slices"
	"strings"
	"testing"

	. "nb201/results"
	"nb201/results/resultstest"
)

// The path of a trial gives back the trial, whatever its recipe is called.
func TestParsePath(t *testing.T) {
	for path, want := range map[string]Trial{
		"000123/cifar10/0012-0777":                {Arch: 123, Dataset: "cifar10", Epochs: 12, Seed: 777},
		"015624/own/100000-4294967295":            {Arch: 15624, Dataset: "own", Epochs: 100000, Seed: 4294967295},
		"000000/digits/warm-0012-0777":            {Dataset: "digits", Recipe: "warm", Epochs: 12, Seed: 777},
		"000000/digits/0012a-0200-0001":           {Dataset: "digits", Recipe: "0012a", Epochs: 200, Seed: 1},
		"000000/digits/0012-0777-0003-0001":       {Dataset: "digits", Recipe: "0012-0777", Epochs: 3, Seed: 1},
		"000000/digits/a--0003-0001":              {Dataset: "digits", Recipe: "a-", Epochs: 3, Seed: 1},
		"000000/digits/x.json-0003-0001":          {Dataset: "digits", Recipe: "x.json", Epochs: 3, Seed: 1},
		"000000/digits/warm-0012-0777-10000-0001": {Dataset: "digits", Recipe: "warm-0012-0777", Epochs: 10000, Seed: 1},
	} {
		got, ok := ParsePath(path)
		if !ok || got != want || got.Check() != nil {
			t.Errorf("%s: %+v, %t, want %+v", path, got, ok, want)
		}
		if got := want.Path(); got != path {
			t.Errorf("%+v: path %s, want %s", want, got, path)
		}
	}
	for _, path := range []string{
		"", "000123/cifar10", "000123/cifar10/0012", "000123/cifar10/12-0777", "000123/cifar10/0000-0777", "000123/cifar10/00012-0777",
		"000123/cifar10/-0012-0777", "000123/cifar10/0007-0012-0777", "000123/cifar10/7-0012-0777", "000123/cifar10/..-0012-0777",
		"000123/cifar10/_a-0012-0777", "000123/cifar10/a b-0012-0777", "000123/cifar10/warm-12-0777", "000123/cifar10/warm-0012-777",
		"000123/cifar10/warm-0000-0777", "000123/cifar10/" + strings.Repeat("a", 65) + "-0012-0777", "000123/cifar10/warm/0012-0777",
	} {
		if got, ok := ParsePath(path); ok {
			t.Errorf("%q is the path of %+v", path, got)
		}
	}
}

// Schedules are in order of their length, those without a name first, and a name is one schedule whatever
// its length.
func TestSchedules(t *testing.T) {
	schedules := []Trial{{Epochs: 3}, {Recipe: "b", Epochs: 12}, {Epochs: 12}, {Recipe: "a", Epochs: 12}, {Recipe: "z", Epochs: 2}}
	slices.SortFunc(schedules, Trial.CompareSchedule)
	var names []string
	for _, s := range schedules {
		names = append(names, s.Schedule())
	}
	if got := strings.Join(names, " "); got != "z 3 12 a b" {
		t.Errorf("order %s", got)
	}
	c := resultstest.Fill(t, Trial{Arch: 1, Dataset: "digits", Recipe: "warm", Epochs: 3, Seed: 1})
	for _, x := range []struct {
		trial Trial
		want  string
	}{
		{Trial{Arch: 2, Dataset: "digits", Recipe: "warm", Epochs: 3, Seed: 2}, ""},
		{Trial{Arch: 2, Dataset: "digits", Epochs: 3, Seed: 2}, ""},
		{Trial{Arch: 2, Dataset: "digits", Recipe: "cold", Epochs: 4, Seed: 2}, ""},
		{Trial{Arch: 1, Dataset: "digits", Recipe: "warm", Epochs: 4, Seed: 1}, "epochs is 4, not 3"},
		{Trial{Arch: 2, Dataset: "digits", Recipe: "warm", Epochs: 4, Seed: 2}, "epochs is 4, not 3"},
	} {
		r := resultstest.Record(t, x.trial)
		if differences, _ := c.Conflict(r.Settings()); differences.String() != x.want {
			t.Errorf("%v: %q, want %q", x.trial, differences, x.want)
		}
		var e Experiments
		for r := range c.Records() {
			e.Add(r.Settings())
		}
		e.Add(r.Settings())
		if odd := e.Odd(); len(odd) > 0 != (x.want != "") {
			t.Errorf("%v: odd are %v", x.trial, odd)
		}
	}
}
