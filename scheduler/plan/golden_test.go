package plan

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
)

// TestGoldenPlans decodes plans written by earlier versions, in which the settings were plain
// strings, and encodes them to the same bytes.
func TestGoldenPlans(t *testing.T) {
	for name, want := range map[string]Settings{
		"golden-published": {configs.Published(), true},
		"golden-settings": {configs.Settings{
			Parity: "modern", Timeline: configs.Nov2019, Workers: 2, Precision: configs.BF16, Channels: 8, Cells: 1, Batch: 128,
		}, false},
	} {
		dir := filepath.Join("testdata", name)
		text, err := os.ReadFile(Path(dir))
		if err != nil {
			t.Fatal(err)
		}
		p, err := Read(dir)
		if err != nil {
			t.Fatal(err)
		}
		if p.Settings != want {
			t.Errorf("%s: the settings are %+v, want %+v", name, p.Settings, want)
		}
		if again, err := p.encode(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%s: it is encoded as %s, %v", name, again, err)
		}
	}
}

// The preset of NAS-Bench-201 with the published settings gives the golden plan.
func TestPublishedPreset(t *testing.T) {
	want, err := os.ReadFile(Path(filepath.Join("testdata", "golden-published")))
	if err != nil {
		t.Fatal(err)
	}
	got, err := mustNew(t, Settings{configs.Published(), true}, Selection{Preset: cell.Topology{}.Preset()}).encode()
	if err != nil || !bytes.Equal(got, want) {
		t.Errorf("the plan is %s, %v", got, err)
	}
}

// TestPlanImages compares the numbers of images stated in package configs with those that a plan
// counts by loading.
func TestPlanImages(t *testing.T) {
	for _, timeline := range []configs.Timeline{configs.Dec2019, configs.Nov2019} {
		s := configs.Published()
		s.Timeline = timeline
		for _, key := range configs.BenchmarkKeys() {
			d, err := data.Published(key)
			if err != nil {
				t.Fatal(err)
			}
			m, _ := configs.FindDataset(key)
			want := Images{Train: m.Train, Eval: m.Images(m.First)}
			if timeline == configs.Dec2019 {
				want.Eval = 0
				for _, set := range m.Sets {
					want.Eval += set.Images
				}
			}
			if got, err := countImages(d, Settings{Settings: s}, ""); err != nil || got != want {
				t.Errorf("%s in %s: %+v, %v, want %+v", key, timeline, got, err, want)
			}
		}
	}
}
