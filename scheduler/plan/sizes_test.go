package plan

import (
	"strings"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/usage"
	"nb201/results"
)

// sizeSettings are the published settings of the size search space.
func sizeSettings() Settings {
	s := Settings{configs.Published(), true}
	s.Channels, s.Cells = cell.Size{}.Skeleton()
	return s
}

func TestPublishedSizes(t *testing.T) {
	p := mustNew(t, sizeSettings(), Selection{Preset: cell.Size{}.Preset()})
	if p.Len() != 655_360 || p.Space != (cell.Size{}).Name() {
		t.Errorf("%d trials of space %q", p.Len(), p.Space)
	}
	bySchedule := map[string]int{}
	for trial := range p.Trials() {
		if err := trial.Check(); err != nil || !p.Has(trial) {
			t.Fatalf("%v: %v, in the plan: %v", trial, err, p.Has(trial))
		}
		bySchedule[trial.Schedule()]++
	}
	if bySchedule["01"] != 4*32768 || bySchedule["12"] != 3*4*32768 || bySchedule["90"] != 4*32768 || len(bySchedule) != 3 {
		t.Errorf("trials by schedule: %v", bySchedule)
	}
	topology := results.Trial{Arch: 1, Dataset: "cifar10", Epochs: 12, Seed: 777}
	size := topology
	size.Space = cell.Size{}.Name()
	if p.Has(topology) || !p.Has(size) {
		t.Errorf("the plan has %v: %v, and %v: %v", topology, p.Has(topology), size, p.Has(size))
	}
	estimate := p.Estimate(p.Trials(), FixedRate(1000))
	if estimate.Trials != p.Len() || estimate.WeightBytes < 6e11 || estimate.WeightBytes > 9e11 {
		t.Errorf("estimate %+v", estimate)
	}
}

// A plan of sizes reads back, is extended, and has units like any other.
func TestPlanOfSizes(t *testing.T) {
	sel := func(archs string, epochs ...int) Selection {
		return selection(t, archs, []string{"digits"}, epochs, 777, 888)
	}
	p := reread(t, mustNew(t, sizeSettings(), sel("8:8:8:8:8,24:40:56:8:64", 1, 12)))
	if p.Len() != 8 || p.Parts[0].Archs != "0,10631" || strings.Join(p.Parts[0].Schedules(), ",") != "01,12" {
		t.Errorf("plan %+v", p)
	}
	more, err := p.Extend(mustNew(t, sizeSettings(), sel("64:64:64:64:64", 1)), nil)
	if err != nil || more.Len() != 10 {
		t.Fatalf("extended to %v, %v", more, err)
	}
	costs := map[int]float64{}
	for chunk, trial := range more.Chunks(2) {
		costs[chunk] += more.Work(trial).Train * more.Work(trial).MFLOPs
	}
	if len(costs) != 2 {
		t.Errorf("chunks %v", costs)
	}
	if _, err := p.Extend(mustNew(t, defaults, sel("0", 12)), nil); !usage.Is(err) || !strings.Contains(err.Error(), "search space is sss, not tss") {
		t.Errorf("a plan of the other space gives %v", err)
	}
	sample := mustNew(t, sizeSettings(), Selection{Preset: Sample, Space: cell.Size{}})
	if sample.Len() != 8 || !sample.Has(results.Trial{Space: "sss", Arch: 4681, Dataset: "cifar10-valid", Epochs: 12, Seed: 777}) {
		t.Errorf("sample %+v", sample.Parts)
	}
}

func TestRefusedPlansOfSizes(t *testing.T) {
	zero := selection(t, "0", []string{"digits"}, []int{1}, 777)
	withChannels := sizeSettings()
	withChannels.Channels, withChannels.Cells = 16, 5
	sizes := selection(t, "8:8:8:8:8", []string{"digits"}, []int{1}, 777)
	for want, c := range map[string]struct {
		settings  Settings
		selection Selection
	}{
		"fix its channels and cells; give neither":                                              {withChannels, sizes},
		"cannot have 0 channels":                                                                {sizeSettings(), zero},
		"is of the size search space (sss), not of tss; leave out --space":                      {sizeSettings(), Selection{Preset: cell.Size{}.Preset(), Space: cell.Topology{}}},
		"--archs names architectures of the topology search space, but the plan is of the size": {sizeSettings(), Selection{Preset: cell.Size{}.Preset(), Archs: zero.Archs}},
	} {
		if _, err := New(c.settings, c.selection, ""); !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want a usage error with %q", err, want)
		}
	}
	text, err := mustNew(t, sizeSettings(), sizes).encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"xss", "tss"} {
		changed := strings.Replace(string(text), `"sss"`, `"`+name+`"`, 1)
		if _, err := decode("plan.json", []byte(changed)); !usage.Is(err) || !strings.Contains(err.Error(), `key "space": `) {
			t.Errorf("space %s gives %v", name, err)
		}
	}
}
