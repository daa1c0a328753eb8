package plan

import (
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"nb201/configs"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/resultstest"
)

// recipeFile writes a recipe file with a name, 3 epochs and other keys.
func recipeFile(t testing.TB, dir, name, keys string) string {
	t.Helper()
	file := filepath.Join(dir, name+".json")
	if err := os.WriteFile(file, []byte(`{"name": "`+name+`", "epochs": 3`+keys+`}`), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

// withRecipes plans architectures 0 and 1 on the digits from seed 1, with a short network.
func withRecipes(t testing.TB, epochs []int, recipes ...string) *Plan {
	t.Helper()
	s := selection(t, "0-1", []string{"digits"}, epochs, 1)
	s.Recipes = recipes
	settings := defaults
	settings.Channels, settings.Cells = 8, 1
	return mustNew(t, settings, s)
}

// A plan holds recipes whole, beside published ones, whatever becomes of their files.
func TestRecipes(t *testing.T) {
	dir := t.TempDir()
	warm := recipeFile(t, dir, "warm", `, "warmup": 1, "batch": 64`)
	plain := recipeFile(t, dir, "plain", `, "evaluate_every": 2, "channels": 4`)
	p := withRecipes(t, []int{12}, warm, "200", plain, "12")
	text, err := p.encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(warm, []byte(`{"name": "warm", "epochs": 9}`), 0o666); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(plain); err != nil {
		t.Fatal(err)
	}
	p = reread(t, p)
	var names []string
	for i := range p.Schedules {
		s := &p.Schedules[i]
		names = append(names, s.Recipe.Schedule())
		if s.SHA256 != s.Recipe.Hash() {
			t.Errorf("%s: hash %s", s.Recipe.Schedule(), s.SHA256)
		}
	}
	if want := []string{"plain", "warm", "12", "200"}; !slices.Equal(names, want) {
		t.Errorf("schedules %q, want %q", names, want)
	}
	if want := []string{"12", "200", "plain", "warm"}; len(p.Parts) != 1 || !slices.Equal(p.Parts[0].Schedules(), want) || p.Parts[0].Len() != 8 {
		t.Errorf("parts %+v", p.Parts)
	}
	for name, want := range map[string][3]int{"plain": {4, 1, 256}, "warm": {8, 1, 64}, "12": {8, 1, 256}} {
		i := slices.IndexFunc(p.Schedules, func(s Schedule) bool { return s.Recipe.Schedule() == name })
		r := p.Schedules[i].Recipe
		if got := [3]int{r.Channels, r.Cells, r.Batch}; got != want {
			t.Errorf("%s: C, N and batch are %v, want %v", name, got, want)
		}
	}
	trials := slices.Collect(p.Trials())
	if len(trials) != 8 {
		t.Errorf("%d trials, want 8", len(trials))
	}
	for _, trial := range trials {
		if r, ok := p.Recipe(trial); !p.Has(trial) || !ok || r.Schedule() != trial.Schedule() || trial.Check() != nil {
			t.Errorf("%v: its recipe is %+v", trial, r)
		}
	}
	for _, other := range []results.Trial{
		{Dataset: "digits", Epochs: 3, Seed: 1}, {Dataset: "digits", Recipe: "warm", Epochs: 9, Seed: 1}, {Dataset: "digits", Recipe: "12", Epochs: 12, Seed: 1},
	} {
		if p.Has(other) {
			t.Errorf("%+v is planned", other)
		}
	}
	// The estimate counts the evaluations that a recipe leaves out, and its own network.
	of := func(recipe string) Work {
		return p.Work(results.Trial{Dataset: "digits", Recipe: recipe, Epochs: 3, Seed: 1})
	}
	if a, b := of("warm"), of("plain"); a.Train != 3*1347 || a.Eval != 3*450 || b.Train != a.Train || b.Eval != 2*450 || b.MFLOPs >= a.MFLOPs {
		t.Errorf("work %+v and %+v", a, b)
	}
	if again, err := reread(t, p).encode(); err != nil || string(again) != string(text) {
		t.Errorf("the plan changes when it is written again (%v)", err)
	}
}

// A recipe that contradicts another, or the datasets, is refused.
func TestWrongRecipes(t *testing.T) {
	dir := t.TempDir()
	twin := filepath.Join(dir, "twin")
	if err := os.Mkdir(twin, 0o777); err != nil {
		t.Fatal(err)
	}
	warm := recipeFile(t, dir, "warm", `, "warmup": 1`)
	for want, recipes := range map[string][]string{
		`two different recipes have the name "warm": warmup is 1, not 2; rename one of them`: {warm, recipeFile(t, twin, "warm", `, "warmup": 2`)},
		`unknown recipe "cold"`:                                                                                 {"cold"},
		"cannot read the recipe: open " + dir + "/cold.json":                                                    {filepath.Join(dir, "cold.json")},
		`key "learning_rate" must be`:                                                                           {recipeFile(t, dir, "fast", `, "learning_rate": 1e9`)},
		"dataset digits has 1347 training images, fewer than the batch size of 2000":                            {recipeFile(t, dir, "large", `, "batch": 2000`)},
		`key "channels" must be at most 4096, not 5000`:                                                         {recipeFile(t, dir, "wide", `, "channels": 5000`)},
		`schedule cut: the recipe cuts squares of 18 pixels out of images, but those of dataset digits have 16`: {recipeFile(t, dir, "cut", `, "augment": {"cutout": 18}`)},
	} {
		s := selection(t, "0", []string{"digits"}, nil, 1)
		s.Recipes = recipes
		if _, err := New(defaults, s, ""); !usage.Is(err) || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	// The same recipe twice is one schedule.
	if p := withRecipes(t, nil, warm, recipeFile(t, twin, "warm", `, "warmup": 1, "momentum": 0.9`)); len(p.Schedules) != 1 || p.Parts[0].Len() != 2 {
		t.Errorf("schedules %+v", p.Schedules)
	}
	text, err := withRecipes(t, []int{12}, warm).encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"warmup": 1`, `"warmup": 2`, `key "schedules.0": "sha256" is "`},
		{`"warmup": 1`, `"warmup": 4`, `key "schedules.0": key "warmup" must be`},
		{`"name": "warm"`, `"name": "12"`, `key "schedules.0": key "name" is "12": a number stands for`},
		{`"name": "warm"`, `"name": "../x"`, `key "schedules.0": key "name" is "../x"`},
		{`"recipes": ["warm"]`, `"recipes": ["cold"]`, `key "parts.0": schedule cold is not in the plan's "schedules"`},
		{`"recipes": ["warm"]`, `"recipes": ["12"]`, `key "parts.0": "recipes": "12": a number stands for the published recipe`},
		{`"recipes": ["warm"]`, `"recipes": "warm"`, `key "parts.0.recipes"`},
	} {
		plain := strings.Join(strings.Fields(string(text)), " ")
		plain = strings.NewReplacer("[ ", "[", " ]", "]").Replace(plain)
		changed := strings.Replace(plain, c.old, c.new, 1)
		if changed == plain {
			t.Fatalf("no %s in the plan", c.old)
		}
		if _, err := decode("plan.json", []byte(changed)); !usage.Is(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.new, err, c.want)
		}
	}
}

// A plan grows by recipes, but not by another one of a known name. Trials of another recipe of that name do
// not belong to it.
func TestExtendByRecipes(t *testing.T) {
	dir := t.TempDir()
	warm := recipeFile(t, dir, "warm", "")
	p := withRecipes(t, []int{12}, warm)
	more, err := p.Extend(withRecipes(t, []int{200}, recipeFile(t, dir, "cold", "")), nil)
	if err != nil {
		t.Fatal(err)
	}
	if want := []string{"12", "200", "cold", "warm"}; len(more.Parts) != 1 || !reflect.DeepEqual(more.Parts[0].Schedules(), want) || len(more.Schedules) != 4 {
		t.Errorf("extended: %+v", more.Parts)
	}
	for keys, want := range map[string]string{
		`, "label_smoothing": 0.1`: "recipe warm: label_smoothing is not set, not 0.1",
		`, "momentum": 0.8`:        "recipe warm: momentum is 0.9, not 0.8",
	} {
		if _, err := p.Extend(withRecipes(t, nil, recipeFile(t, dir, "warm", keys)), nil); !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", keys, err, want)
		}
	}
	planned := results.Trial{Dataset: "digits", Recipe: "warm", Epochs: 3, Seed: 1}
	longer := planned
	longer.Epochs = 4
	for want, r := range map[string]*results.Record{
		"":                           resultstest.Record(t, planned),
		"momentum is 0.5, not 0.9":   resultstest.WithRecipe(t, planned, func(r *configs.Recipe) { r.Momentum = 0.5 }),
		"epochs is 4, not 3":         resultstest.Record(t, longer),
		"gamma is 0.1, not absent":   resultstest.WithRecipe(t, planned, func(r *configs.Recipe) { r.Scheduler, r.Milestones, r.Gamma = configs.Steps, []int{1}, 0.1 }),
		"evaluate every is 3, not a": resultstest.WithRecipe(t, planned, func(r *configs.Recipe) { r.EvaluateEvery = 3 }),
	} {
		if err := p.CheckRecord(r); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		if err := p.Check(r.Settings()); (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if err := p.CheckRecord(resultstest.Record(t, results.Trial{Dataset: "digits", Recipe: "other", Epochs: 3, Seed: 1})); err != nil {
		t.Errorf("of no schedule of the plan: %v", err)
	}
}
