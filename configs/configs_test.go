package configs_test

import (
	"encoding/json"
	"fmt"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nb201/configs"
	"nb201/internal/usage"
)

// Every embedded definition is listed under its own name.
func TestDatasets(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("datasets", "*.json"))
	if err != nil || len(files) != len(configs.Datasets()) {
		t.Errorf("%d definition files for %v: %v", len(files), configs.Datasets(), err)
	}
	for _, key := range configs.Datasets() {
		var d struct{ Name string }
		if err := json.Unmarshal(configs.Definition(key), &d); err != nil || d.Name != key {
			t.Errorf("the definition of %s names %q: %v", key, d.Name, err)
		}
	}
	if configs.Definition("../recipes/12") != nil {
		t.Error("a key that is not listed has a definition")
	}
}

// The two lists of each file contain every index once.
func TestPublishedMD5(t *testing.T) {
	for name, want := range map[string]string{
		"cifar-10-batches-py/test_batch": "40351d587109b95175f43aff81a1287e",
		"ImageNet16/val_data":            "3410e3017fdaefba8d5073aaa65e4bd6",
	} {
		if got, ok := configs.PublishedMD5(name); got != want || !ok {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	for _, name := range []string{"", "test_batch", "cifar-10-batches-py/batches.meta"} {
		if sum, ok := configs.PublishedMD5(name); ok {
			t.Errorf("%q: %q, want none", name, sum)
		}
	}
}

func TestSplits(t *testing.T) {
	places := map[string][]int32{}
	for _, list := range configs.Splits() {
		indices, file, text := configs.Split(list)
		if len(text) == 0 || !slices.IsSorted(indices) {
			t.Errorf("%s: %d bytes in %s, indices %v", list, len(text), file, indices)
		}
		places[file] = append(places[file], indices...)
	}
	for file, n := range map[string]int{"cifar100-test-split.txt": 10000, "imagenet-16-120-test-split.txt": 6000} {
		slices.Sort(places[file])
		if all := slices.Compact(places[file]); len(all) != n || all[0] != 0 || all[n-1] != int32(n-1) {
			t.Errorf("%s: its lists hold %d places, want each of 0..%d once", file, len(all), n-1)
		}
	}
	if indices, _, _ := configs.Split("cifar100-test-split/train"); indices != nil {
		t.Errorf("a list that is not published holds %v", indices)
	}
}

func TestCheckName(t *testing.T) {
	for name, good := range map[string]bool{
		"cifar10-valid": true, "ImageNet16-120": true, "x-valid": true, "7": true, "a.b_c": true, strings.Repeat("a", 64): true,
		"": false, "a/b": false, "a@b": false, "..": false, "-a": false, "a b": false, "é": false, "a\n": false, strings.Repeat("a", 65): false,
	} {
		err := configs.CheckName(name)
		if (err == nil) != good || err != nil && !strings.HasPrefix(err.Error(), fmt.Sprintf("%q: ", name)) {
			t.Errorf("%q: error %v", name, err)
		}
	}
}

func TestRecipeFor(t *testing.T) {
	want := configs.Recipe{
		Batch: 256, Optimizer: "SGD", LearningRate: 0.1, Momentum: 0.9, Nesterov: true, WeightDecay: 5e-4,
		Scheduler: "cosine", Channels: 16, Cells: 5,
	}
	for _, epochs := range []int{12, 200, 1, 50} {
		want.Epochs = epochs
		if got, err := configs.RecipeFor(epochs); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%d epochs: %+v, %v, want %+v", epochs, got, err, want)
		}
	}
	for _, epochs := range []int{0, -12} {
		if _, err := configs.RecipeFor(epochs); !usage.Is(err) {
			t.Errorf("%d epochs: error %v, want a usage error", epochs, err)
		}
	}
}

func TestDecode(t *testing.T) {
	type part struct {
		Seed  *uint32 `json:"seed"`
		Order string  `json:"order"`
	}
	type document struct {
		Count int        `json:"count"`
		Flip  bool       `json:"flip"`
		Mean  [2]float64 `json:"mean"`
		Parts []part     `json:"parts"`
		Since time.Time  `json:"since"`
	}
	for _, c := range []struct{ text, want string }{
		{`{"colour": 1}`, `unknown key "colour"`},
		{`{"Count": 1}`, `unknown key "Count"`},
		{`{"parts": [{}, {"ordr": 1}]}`, `unknown key "parts.1.ordr"`},
		{`{"count": 1, "count": 1}`, `duplicate key "count"`},
		{`{"count": "1"}`, `key "count" must be a whole number`},
		{`{"count": 1.5}`, `key "count" must be a whole number`},
		{`{"flip": 1}`, `key "flip" must be true or false`},
		{`{"mean": [1]}`, `key "mean" must be a list of 2`},
		{`{"mean": [1, 2, 3]}`, `key "mean" must be a list of 2`},
		{`{"mean": [1, 1e999]}`, `key "mean.1" must be a number`},
		{`{"parts": {}}`, `key "parts" must be a list`},
		{`{"parts": [1]}`, `key "parts.0" must be an object`},
		{`{"parts": [{"seed": -1}]}`, `key "parts.0.seed" must be a whole number from 0 to 2^32-1`},
		{`{"parts": [{"order": 1}]}`, `key "parts.0.order" must be a string`},
		{`{"since": "no such"}`, `key "since" must be a time of day such as 2026-01-02T03:04:05Z`},
		{`{"since": 1}`, `key "since" must be a time of day`},
		{`[]`, "the file must be an object"},
		{``, "not JSON at byte 0"},
		{`{"count": 1`, "not JSON at byte 11"},
		{`{} {}`, "not JSON at byte 3"},
		{"\xef\xbb\xbf{} {}", "not JSON at byte 6"},
		{"\xff\xfe{\x00}\x00", "save it as UTF-8"},
	} {
		var d document
		err := configs.Decode("mine.json", []byte(c.text), &d)
		if !usage.Is(err) || !strings.HasPrefix(err.Error(), "mine.json: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a usage error with %q", c.text, err, c.want)
		}
	}
	var d document
	if err := configs.Decode("mine.json", []byte("\xef\xbb\xbf"+`{"mean": [1, 2], "parts": [{"seed": 4294967295}]}`), &d); err != nil {
		t.Fatal(err)
	}
	if d.Mean != [2]float64{1, 2} || !slices.EqualFunc(d.Parts, []uint32{1<<32 - 1}, func(p part, seed uint32) bool { return *p.Seed == seed }) {
		t.Errorf("decoded %+v", d)
	}
}

// The published settings come from the recipes and, where those have none, from the original's code.
func TestPublished(t *testing.T) {
	want := configs.Settings{Parity: "2019", Timeline: "dec2019", Workers: 4, Precision: "fp32", Channels: 16, Cells: 5, Batch: 256}
	if got := configs.Published(); got != want {
		t.Errorf("published settings %+v, want %+v", got, want)
	}
	for _, epochs := range []int{12, 200, 7} {
		recipe, err := configs.Published().Recipe(epochs)
		if plain, err2 := configs.RecipeFor(epochs); err != nil || err2 != nil || !reflect.DeepEqual(recipe, plain) || configs.Published().Fits(recipe) != nil {
			t.Errorf("%d epochs: %+v (%v), RecipeFor has %+v (%v)", epochs, recipe, err, plain, err2)
		}
	}
}

// Each setting is checked, and the error names what is wrong.
func TestValidate(t *testing.T) {
	for want, change := range map[string]func(*configs.Settings){
		"":                             func(*configs.Settings) {},
		"-1 loader workers":            func(s *configs.Settings) { s.Workers = -1 },
		"4097 loader workers":          func(s *configs.Settings) { s.Workers = 4097 },
		"a batch of 0 images":          func(s *configs.Settings) { s.Batch = 0 },
		"a batch of -3 images":         func(s *configs.Settings) { s.Batch = -3 },
		"the precision is missing":     func(s *configs.Settings) { s.Precision = "" },
		`unknown precision "fp16"`:     func(s *configs.Settings) { s.Precision = "fp16" },
		`unknown timeline ""`:          func(s *configs.Settings) { s.Timeline = "" },
		`unknown timeline "Dec2019"`:   func(s *configs.Settings) { s.Timeline = "Dec2019" },
		`unknown parity profile "1.8"`: func(s *configs.Settings) { s.Parity = "1.8" },
	} {
		s := configs.Published()
		change(&s)
		err := s.Validate()
		if want == "" && err != nil || want != "" && (!usage.Is(err) || !strings.HasPrefix(err.Error(), want)) {
			t.Errorf("%+v: error %v, want %q", s, err, want)
		}
	}
}

// The benchmark's dataset keys are those of the published files.
func TestBenchmark(t *testing.T) {
	want := []configs.Dataset{
		{"cifar10-valid", 10, 32, 25000, []configs.EvaluationSet{{"ori-test", 10000}, {"x-valid", 25000}}, "x-valid"},
		{"cifar10", 10, 32, 50000, []configs.EvaluationSet{{"ori-test", 10000}}, "ori-test"},
		{"cifar100", 100, 32, 50000, []configs.EvaluationSet{{"ori-test", 10000}, {"x-valid", 5000}, {"x-test", 5000}}, "ori-test"},
		{"ImageNet16-120", 120, 16, 151700, []configs.EvaluationSet{{"ori-test", 6000}, {"x-valid", 3000}, {"x-test", 3000}}, "ori-test"},
	}
	if got := configs.Benchmark(); !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, want %+v", got, want)
	}
}
