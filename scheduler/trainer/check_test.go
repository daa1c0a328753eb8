package trainer

import (
	"encoding/json"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/data/datatest"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/plan"
	"nb201/train"
)

// numbers defines the digits with an evaluation set whose images are listed in a separate file.
const numbers = `{"name": "numbers", "format": "digits", "classes": 10, "size": [16, 16], "mean": [78, 78, 78], "std": [96, 96, 96],
	"augment": {"flip": false, "crop_padding": 1}, "train": {"from": "train", "order": "shuffle"},
	"eval": [{"name": "ori-test", "from": "test", "order": "sequential"}, {"name": "x-test", "from": "test", "indices": "list.json", "order": "subset"}]}`

// finished publishes the record of a trial with the given options.
func finished(t *testing.T, c results.Campaign, o train.Options) {
	t.Helper()
	config, err := o.Config()
	if err != nil {
		t.Fatal(err)
	}
	trial := config.Trial
	trial.Dataset = "digits" // that synthetic records know
	r := resultstest.Record(t, trial)
	r.Trial = config.Trial
	s := o.Settings
	r.Recipe, r.Precision = config.Recipe, s.Precision
	r.Parity = results.Parity{Profile: s.Parity, Timeline: s.Timeline, Workers: s.Workers}
	r.DataFiles = train.FilesOf(config.Data.Files)
	if r.Definition, err = json.Marshal(config.Definition); err != nil {
		t.Fatal(err)
	}
	resultstest.Resize(t, r, s.Channels, s.Cells)
	if err := c.Publish(r, nil); err != nil {
		t.Fatal(err)
	}
}

// A campaign can be continued if its finished trials have the plan's settings, whichever evaluation
// sets the timeline has, and not otherwise.
func TestCheckPlan(t *testing.T) {
	for _, timeline := range []configs.Timeline{configs.Dec2019, configs.Nov2019} {
		dir := t.TempDir()
		definition, list := filepath.Join(dir, "numbers.json"), filepath.Join(dir, "list.json")
		write := func(path, text string) {
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
		write(definition, numbers)
		write(list, "[0, 1, 2, 3]")
		archs, err := plan.ParseArchs(nil, "0-1")
		if err != nil {
			t.Fatal(err)
		}
		p, err := plan.New(
			plan.Settings{Settings: configs.Settings{Parity: "2019", Timeline: timeline, Workers: 4, Precision: "fp32", Channels: 4, Cells: 1, Batch: 64}},
			plan.Selection{Archs: &archs, Datasets: []string{definition}, Epochs: []int{2, 3}, Seeds: []uint32{1, 2}}, "")
		if err != nil {
			t.Fatal(err)
		}
		c := results.Campaign{Dir: filepath.Join(dir, "campaign")}
		check := func() error { return CheckPlan(t.Context(), c, p, "") }
		if err := check(); err != nil {
			t.Errorf("%s, none finished: %v", timeline, err)
		}
		resolved, err := cell.Resolve(cell.Topology{}, "1")
		if err != nil {
			t.Fatal(err)
		}
		options, err := train.NewOptions(resolved, definition, "2", p.Settings.Settings)
		if err != nil {
			t.Fatal(err)
		}
		options.Seed = 2
		finished(t, c, options)
		if err := check(); err != nil {
			t.Errorf("%s, one finished: %v", timeline, err)
		}
		config, err := options.Config()
		if err == nil {
			err = CheckTrial(c, config)
		}
		if err != nil {
			t.Errorf("%s, the same again: %v", timeline, err)
		}
		write(list, "[0, 1, 2, 4]")
		if err := check(); (timeline == "dec2019") != (err != nil) || err != nil && (!usage.Is(err) || !strings.Contains(err.Error(), "SHA-256 of list.json is")) {
			t.Errorf("%s, another list: %v", timeline, err)
		}
	}
}

// The check before a run finds the files, but decodes none of them.
func TestCheckPlanDecodesNothing(t *testing.T) {
	dir := t.TempDir()
	definition := filepath.Join(dir, "own.json")
	text := strings.Replace(numbers, `"format": "digits"`, `"format": "npy", "path": "."`, 1)
	write := func(name string, text []byte) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("own.json", []byte(text))
	write("list.json", []byte("[0]"))
	arrays := maps.Collect(datatest.Files("npy", datatest.Synth(70, 16, 10, 1), datatest.Synth(5, 16, 10, 2)))
	for name, text := range arrays {
		write(name, text)
	}
	archs, err := plan.ParseArchs(nil, "0")
	if err != nil {
		t.Fatal(err)
	}
	p, err := plan.New(
		plan.Settings{Settings: configs.Settings{Parity: "2019", Timeline: "dec2019", Workers: 4, Precision: "fp32", Channels: 4, Cells: 1, Batch: 64}},
		plan.Selection{Archs: &archs, Datasets: []string{definition}, Epochs: []int{2}, Seeds: []uint32{1}}, "")
	if err != nil {
		t.Fatal(err)
	}
	for name := range arrays { // since the plan was made
		write(name, []byte("not an array"))
	}
	for _, c := range []results.Campaign{{Dir: filepath.Join(dir, "none")}, resultstest.Fill(t, results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: 1})} {
		if err := CheckPlan(t.Context(), c, p, ""); err != nil {
			t.Error(err)
		}
	}
	if err := os.Remove(filepath.Join(dir, "y_test.npy")); err != nil {
		t.Fatal(err)
	}
	if err := CheckPlan(t.Context(), results.Campaign{Dir: dir}, p, ""); !usage.Is(err) || !strings.Contains(err.Error(), "y_test.npy") {
		t.Errorf("a file is missing: %v", err)
	}
}
