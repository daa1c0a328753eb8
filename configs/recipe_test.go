package configs_test

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nb201/configs"
	"nb201/internal/golden"
	"nb201/internal/usage"
)

// readRecipe reads the text of a recipe file.
func readRecipe(t testing.TB, text string) (configs.Recipe, string, error) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "own.json")
	if err := os.WriteFile(file, []byte(text), 0o666); err != nil {
		t.Fatal(err)
	}
	r, err := configs.ReadRecipe(file)
	return r, file, err
}

// What a file leaves out is as published, and C, N and the batch size are those of the settings.
func TestReadRecipe(t *testing.T) {
	want, err := configs.RecipeFor(200)
	if err != nil {
		t.Fatal(err)
	}
	want.Name, want.Epochs, want.Batch, want.Channels, want.Cells = "short", 3, 0, 0, 0
	got, _, err := readRecipe(t, `{"name": "short", "epochs": 3}`)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	settings := configs.Published()
	settings.Channels, settings.Batch = 8, 64
	if r := settings.Complete(got); r.Channels != 8 || r.Cells != 5 || r.Batch != 64 || r.Check() != nil {
		t.Errorf("completed: %+v, %v", r, r.Check())
	}
	got, _, err = readRecipe(t, `{"name": "all", "epochs": 9, "batch": 32, "optimizer": "SGD", "learning_rate": 0.2, "momentum": 0, "nesterov": false,
		"weight_decay": 0, "decayed": "weights", "scheduler": "steps", "milestones": [3, 8], "gamma": 0.5, "warmup": 2, "label_smoothing": 0.1,
		"augment": {"flip": true, "crop": false, "cutout": 8}, "evaluate_every": 4, "channels": 4, "cells": 1}`)
	yes, no := true, false
	want = configs.Recipe{
		Name: "all", Epochs: 9, Batch: 32, Optimizer: "SGD", LearningRate: 0.2, Decayed: configs.DecayWeights, Scheduler: configs.Steps,
		Milestones: []int{3, 8}, Gamma: 0.5, Warmup: 2, LabelSmoothing: 0.1, Augment: configs.Augment{Flip: &yes, Crop: &no, Cutout: 8},
		EvaluateEvery: 4, Channels: 4, Cells: 1,
	}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if s := settings.With(settings.Complete(got)); s.Channels != 4 || s.Cells != 1 || s.Batch != 32 {
		t.Errorf("its settings are %+v", s)
	}
	// JSON and back, and the hash, which differs if anything does.
	var back configs.Recipe
	if err := configs.Decode("back", got.JSON(), &back); err != nil || !reflect.DeepEqual(back, got) || back.Hash() != got.Hash() {
		t.Errorf("read back: %+v, %v", back, err)
	}
	back.Gamma = math.Nextafter(back.Gamma, 1)
	if back.Hash() == got.Hash() {
		t.Error("two recipes have one hash")
	}
}

// The hashes of the published recipes must not change: plans contain them.
func TestPublishedHashes(t *testing.T) {
	for epochs, want := range map[int]string{12: hash12, 200: hash200} {
		r, err := configs.RecipeFor(epochs)
		if err != nil || r.Hash() != want || r.Schedule() != fmt.Sprint(epochs) {
			t.Errorf("%d epochs: schedule %s, hash %s (%v), want %s", epochs, r.Schedule(), r.Hash(), err, want)
		}
	}
}

// The recipes of the size search space's schedules are those that the original resolves.
func TestGoldenConfig(t *testing.T) {
	type config struct {
		Scheduler string
		EtaMin    float64 `json:"eta_min"`
		Epochs    int
		Warmup    int
		Optim     string
		LR        float64
		Decay     float64
		Momentum  float64
		Nesterov  bool
		Criterion string
		Batch     int `json:"batch_size"`
	}
	var vectors struct{ Config map[string]config }
	golden.Load(t, "sss_misc.json", &vectors)
	for schedule, want := range vectors.Config {
		r, err := configs.RecipeFor(want.Epochs)
		if err != nil {
			t.Fatal(err)
		}
		got := config{"cos", r.EtaMin, r.Epochs, r.Warmup, r.Optimizer, r.LearningRate, r.WeightDecay, r.Momentum, r.Nesterov, "Softmax", r.Batch}
		if got != want || r.Scheduler != configs.Cosine || r.LabelSmoothing != 0 || r.Decayed != configs.DecayAll || r.Augment != (configs.Augment{}) {
			t.Errorf("%s: the recipe is %+v, want %+v", schedule, r, want)
		}
	}
}

const (
	hash12  = "f92260751953e775fbc3a68859bf747d2fddd79d5a36b9b59815737d2f2ea496"
	hash200 = "c9139198d6652dd65f1cb85e59e7b7c42e1e403ff232652a3397db697023d289"
)

// Each wrong value is refused in one sentence, which names the file and the key.
func TestWrongRecipes(t *testing.T) {
	for _, c := range [][2]string{
		{``, `not JSON`},
		{`[]`, `the file must be an object`},
		{`{"name": "x", "epochs": 3`, `not JSON`},
		{`{"name": "x", "epochs": 3} {}`, `not JSON`},
		{`{"epochs": 3}`, `key "name" is missing; the name stands for the recipe in a campaign`},
		{`{"name": null, "epochs": 3}`, `key "name"`},
		{`{"name": "", "epochs": 3}`, `key "name" is missing`},
		{`{"name": "12", "epochs": 3}`, `key "name" is "12": a number stands for the published recipe of that many epochs; use another name`},
		{`{"name": "007", "epochs": 3}`, `a number stands for the published recipe`},
		{`{"name": "..", "epochs": 3}`, `key "name" is "..": use up to 64 letters, digits`},
		{`{"name": "a/b", "epochs": 3}`, `key "name" is "a/b"`},
		{`{"name": ".hidden", "epochs": 3}`, `key "name" is ".hidden"`},
		{`{"name": "-x", "epochs": 3}`, `key "name" is "-x"`},
		{`{"name": "a b", "epochs": 3}`, `key "name" is "a b"`},
		{`{"name": "a,b", "epochs": 3}`, `key "name" is "a,b"`},
		{`{"name": "a@1", "epochs": 3}`, `key "name" is "a@1"`},
		{`{"name": "é", "epochs": 3}`, `key "name" is "é"`},
		{`{"name": "a\nb", "epochs": 3}`, `key "name" is "a\nb"`},
		{`{"name": "` + strings.Repeat("a", 65) + `", "epochs": 3}`, `key "name" is "aaaa`},
		{`{"name": 7, "epochs": 3}`, `key "name"`},
		{`{"name": "x"}`, `key "epochs" is missing; give the number of epochs`},
		{`{"name": "x", "epochs": 3, "epoch": 3}`, `unknown key "epoch"; remove it`},
		{`{"name": "x", "Epochs": 3}`, `unknown key "Epochs"; remove it`},
		{`{"name": "x", "epochs": 3, "epochs": 3}`, `duplicate key "epochs"; give it once`},
		{recipeWith(`"epochs": -1`), `key "epochs" must be from 1 to 100000, not -1`},
		{recipeWith(`"epochs": 1e6`), `key "epochs"`},
		{recipeWith(`"epochs": 2.5`), `key "epochs"`},
		{recipeWith(`"epochs": "3"`), `key "epochs"`},
		{recipeWith(`"batch": 0`), `key "batch" must be at least 1, not 0`},
		{recipeWith(`"batch": -64`), `key "batch" must be at least 1, not -64`},
		{recipeWith(`"batch": -9223372036854775808`), `key "batch" must be at least 1, not -9223372036854775808`},
		{recipeWith(`"optimizer": "Adam"`), `key "optimizer" must be SGD, not "Adam"`},
		{recipeWith(`"optimizer": "sgd"`), `key "optimizer" must be SGD, not "sgd"`},
		{recipeWith(`"learning_rate": 0`), `key "learning_rate" must be above 0 and at most 1e+06, not 0`},
		{recipeWith(`"learning_rate": -0.1`), `key "learning_rate" must be above 0`},
		{recipeWith(`"learning_rate": 1e7`), `key "learning_rate" must be above 0 and at most 1e+06, not 1e+07`},
		{recipeWith(`"learning_rate": NaN`), `not JSON`},
		{recipeWith(`"learning_rate": 1e999`), `key "learning_rate"`},
		{recipeWith(`"momentum": 1`), `key "momentum" must be from 0 to below 1, not 1`},
		{recipeWith(`"momentum": 0`), `key "nesterov" must be false without momentum, as in torch.optim.SGD`},
		{recipeWith(`"nesterov": 1`), `key "nesterov"`},
		{recipeWith(`"weight_decay": -1e-9`), `key "weight_decay" must be from 0 to below 1, not -1e-09`},
		{recipeWith(`"decayed": "all"`), `key "decayed" must be weights, or absent for all parameters, not "all"`},
		{recipeWith(`"scheduler": "cos"`), `key "scheduler" must be cosine, steps, linear or constant, not "cos"`},
		{recipeWith(`"eta_min": -1`), `key "eta_min" must be from 0 to the learning rate, 0.1, not -1`},
		{recipeWith(`"eta_min": 0.2`), `key "eta_min" must be from 0 to the learning rate, 0.1, not 0.2`},
		{recipeWith(`"scheduler": "constant", "eta_min": 0.01`), `key "eta_min" is for the schedulers cosine and linear only; remove it`},
		{recipeWith(`"scheduler": "steps"`), `key "milestones" must list at least one epoch for the scheduler steps, and be absent for any other`},
		{recipeWith(`"milestones": [1]`), `key "milestones" must list at least one epoch for the scheduler steps, and be absent for any other`},
		{recipeWith(`"gamma": 0.1`), `key "gamma" is for the scheduler steps only; remove it`},
		{recipeWith(`"scheduler": "steps", "milestones": [2]`), `key "gamma" must be above 0 and at most 1, not 0`},
		{recipeWith(`"scheduler": "steps", "milestones": [2], "gamma": 1.1`), `key "gamma" must be above 0 and at most 1, not 1.1`},
		{recipeWith(`"scheduler": "steps", "milestones": [2, 2], "gamma": 0.1`), `key "milestones.1" must be an epoch after the one before, after the warm-up, and from 1 to 2, not 2`},
		{recipeWith(`"scheduler": "steps", "milestones": [2, 1], "gamma": 0.1`), `key "milestones.1" must be`},
		{recipeWith(`"scheduler": "steps", "milestones": [3], "gamma": 0.1`), `key "milestones.0" must be`},
		{recipeWith(`"scheduler": "steps", "milestones": [0], "gamma": 0.1`), `key "milestones.0" must be`},
		{recipeWith(`"scheduler": "steps", "milestones": [1], "gamma": 0.1, "warmup": 2`), `key "milestones.0" must be an epoch after the one before, after the warm-up`},
		{recipeWith(`"warmup": -1`), `key "warmup" must be from 0 to the number of epochs, 3, not -1`},
		{recipeWith(`"warmup": 4`), `key "warmup" must be from 0 to the number of epochs, 3, not 4`},
		{recipeWith(`"label_smoothing": 1`), `key "label_smoothing" must be from 0 to below 1, not 1`},
		{recipeWith(`"label_smoothing": -0.1`), `key "label_smoothing" must be from 0 to below 1, not -0.1`},
		{recipeWith(`"augment": {"cutout": -2}`), `key "augment.cutout" must be an even number of pixels from 0 to 2048, not -2`},
		{recipeWith(`"augment": {"cutout": 3}`), `key "augment.cutout" must be an even number of pixels from 0 to 2048, not 3`},
		{recipeWith(`"augment": {"cutout": 4096}`), `key "augment.cutout" must be an even number`},
		{recipeWith(`"augment": {"rotate": true}`), `unknown key "augment.rotate"; remove it`},
		{recipeWith(`"augment": {"flip": "no"}`), `key "augment.flip"`},
		{recipeWith(`"evaluate_every": -1`), `key "evaluate_every" must be from 1 to the number of epochs, 3, not -1`},
		{recipeWith(`"evaluate_every": 0`), `key "evaluate_every" must be from 1 to the number of epochs, 3, not 0`},
		{recipeWith(`"weight_decay": null`), `key "weight_decay" must not be null; leave it out for its default`},
		{recipeWith(`"augment": {"flip": null}`), `key "augment.flip" must not be null`},
		{recipeWith(`"milestones": []`), `key "milestones" must list at least one epoch`},
		{recipeWith(`"cells": 4097`), `key "cells" must be at most 4096, not 4097`},
		{`{"name": "1e3", "epochs": 2}`, `key "name" is "1e3": programs that read tables take it for a number or a missing value`},
		{`{"name": "NaN", "epochs": 2}`, `key "name" is "NaN": programs that read tables`},
		{`{"name": "None", "epochs": 2}`, `key "name" is "None": programs that read tables`},
		{recipeWith(`"evaluate_every": 4`), `key "evaluate_every" must be from 1 to the number of epochs, 3, not 4`},
		{recipeWith(`"channels": 0`), `key "channels" must be at least 1, not 0`},
		{recipeWith(`"cells": -5`), `key "cells" must be at least 1, not -5`},
	} {
		_, file, err := readRecipe(t, c[0])
		switch {
		case err == nil:
			t.Errorf("%s: accepted", c[0])
		case !usage.Is(err) || !strings.HasPrefix(err.Error(), file+": ") || !strings.Contains(err.Error(), c[1]) || strings.Contains(err.Error(), "\n") ||
			len(err.Error()) > len(file)+300:
			t.Errorf("%s: error %q, want %q", c[0], err, c[1])
		}
	}
	for path, want := range map[string]string{
		filepath.Join(t.TempDir(), "none.json"): "no such file", t.TempDir(): "is a directory", hugeFile(t): "too large: the limit is",
	} {
		if _, err := configs.ReadRecipe(path); !usage.Is(err) || !strings.Contains(err.Error(), "cannot read the recipe: ") || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}
}

// recipeWith returns a recipe of 3 epochs with other values.
func recipeWith(keys string) string {
	if strings.Contains(keys, `"epochs"`) {
		return `{"name": "x", ` + keys + `}`
	}
	return `{"name": "x", "epochs": 3, ` + keys + `}`
}

// hugeFile makes a file that is larger than any file of text may be.
func hugeFile(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "huge.json")
	if err := os.WriteFile(path, nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Fatal(err)
	}
	return path
}

// A command line names a recipe by its number of epochs or its file.
func TestFindRecipe(t *testing.T) {
	for _, epochs := range []string{"12", "200", "7"} {
		if r, err := configs.FindRecipe(epochs); err != nil || r.Schedule() != epochs || r.Name != "" {
			t.Errorf("%s: %+v, %v", epochs, r, err)
		}
	}
	for name, want := range map[string]string{
		"warm": `unknown recipe "warm": use one of 12, 200, another number of epochs, or a recipe file (*.json)`,
		"":     `unknown recipe ""`, "+12": `unknown recipe "+12"`, "012": `unknown recipe "012"`, "0": "a schedule of 0 epochs: use at least 1",
		"-1": "a schedule of -1 epochs: use at least 1", "100001": "at most 100000", "99999999999999999999": "unknown recipe", "warm.txt": "unknown recipe",
		"none.json": "cannot read the recipe",
	} {
		if _, err := configs.FindRecipe(name); !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: error %v, want %q", name, err, want)
		}
	}
}

// Every k-th epoch is evaluated, and the last one.
func TestEvaluates(t *testing.T) {
	for every, want := range map[int][]int{0: {0, 1, 2, 3, 4, 5, 6}, 1: {0, 1, 2, 3, 4, 5, 6}, 2: {1, 3, 5, 6}, 3: {2, 5, 6}, 7: {6}} {
		r := configs.Recipe{Epochs: 7, EvaluateEvery: every}
		var got []int
		for epoch := range r.Epochs {
			if n := r.Evaluations(epoch); n != len(got) {
				t.Errorf("every %d: %d evaluations before epoch %d, want %d", every, n, epoch, len(got))
			}
			if r.Evaluates(epoch) {
				got = append(got, epoch)
			}
		}
		if !slices.Equal(got, want) || r.Evaluations(r.Epochs) != len(want) {
			t.Errorf("every %d: epochs %v (%d), want %v", every, got, r.Evaluations(r.Epochs), want)
		}
	}
}

// No text makes ReadRecipe panic. What it accepts is a valid recipe, which JSON gives back.
func FuzzReadRecipe(f *testing.F) {
	for _, seed := range []string{
		`{"name": "x", "epochs": 3}`, recipeWith(`"scheduler": "steps", "milestones": [1, 2], "gamma": 0.1, "augment": {"flip": false, "cutout": 8}`),
		recipeWith(`"warmup": 3, "label_smoothing": 0.5, "evaluate_every": 2, "decayed": "weights", "channels": 4, "cells": 1, "batch": 8`),
		`{"name": "12", "epochs": 3}`, `[`, `{}`, recipeWith(`"momentum": 0`), recipeWith(`"learning_rate": 1e-320`), recipeWith(`"batch": -9223372036854775808`),
	} {
		f.Add(seed)
	}
	settings := configs.Published()
	f.Fuzz(func(t *testing.T, text string) {
		r, _, err := readRecipe(t, text)
		if err != nil {
			if !usage.Is(err) {
				t.Errorf("not a usage error: %v", err)
			}
			return
		}
		r = settings.Complete(r)
		if err := r.Check(); err != nil || r.Name == "" {
			t.Fatalf("accepted %+v: %v", r, err)
		}
		var back configs.Recipe
		if err := configs.Decode("back", r.JSON(), &back); err != nil || back.Hash() != r.Hash() {
			t.Errorf("read back: %+v, %v, want %+v", back, err, r)
		}
	})
}

// What a recipe says in two ways has one hash.
func TestEqualRecipes(t *testing.T) {
	plain, _, err := readRecipe(t, recipeWith(`"warmup": 0`))
	if err != nil {
		t.Fatal(err)
	}
	for _, with := range []string{
		`"evaluate_every": 1`, `"eta_min": -0.0`, `"eta_min": 0`, `"label_smoothing": -0.0`, `"augment": {}`, `"augment": {"cutout": 0}`, `"momentum": 0.90`,
	} {
		if r, _, err := readRecipe(t, recipeWith(with)); err != nil || r.Hash() != plain.Hash() {
			t.Errorf("%s: %s, %v, not %s", with, r.JSON(), err, plain.JSON())
		}
	}
}
