package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/configs"
	"nb201/results"
	"nb201/results/resultstest"
)

// recipeFile writes a recipe file with a name, 3 epochs and other keys.
func recipeFile(t *testing.T, dir, name, keys string) string {
	t.Helper()
	file := filepath.Join(dir, name+".json")
	if err := os.WriteFile(file, []byte(`{"name": "`+name+`", "epochs": 3`+keys+`}`), 0o666); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRecipeCommands(t *testing.T) {
	t.Chdir(t.TempDir())
	recipeFile(t, ".", "warm", `, "warmup": 2, "augment": {"flip": false, "crop": true, "cutout": 4}, "decayed": "weights", "channels": 8`)
	recipeFile(t, ".", "wrong", `, "momentum": 2`)
	has := func(args string, want ...string) {
		t.Helper()
		stdout, stderr, code := nb201(strings.Fields(args)...)
		if code != 0 || stderr != "" {
			t.Fatalf("%s: code %d, %s", args, code, stderr)
		}
		fields := strings.Join(strings.Fields(stdout), " ")
		for _, w := range want {
			if !strings.Contains(fields, w) {
				t.Errorf("%s: no %q in\n%s", args, w, stdout)
			}
		}
	}
	has("recipe list warm.json 7", "12 12 256 0.1 cosine 0 0.0005 0 the dataset's 16 5 f92260751953", "200 200 256", "7 7 256",
		"warm 3 256 0.1 cosine 2 0.0005 of weights 0 no flip, crop, cutout 4 8 5")
	has("recipe check warm.json", "warm.json: recipe warm is valid")
	has("recipe show warm.json", "schedule warm, SHA-256 ", `"name": "warm", "epochs": 3,`, `"cutout": 4`, "learning rate by epoch")
	has("recipe show 1", `schedule 1, SHA-256 `, `"learning_rate": 0.1,`)
	stdout, _, code := nb201("recipe", "show", "warm.json", "--json")
	var shown struct {
		Schedule, SHA256 string
		Recipe           configs.Recipe
		Rates            []float64 `json:"learning_rate_by_epoch"`
	}
	if err := json.Unmarshal([]byte(stdout), &shown); code != 0 || err != nil || shown.SHA256 != shown.Recipe.Hash() || shown.Schedule != "warm" ||
		len(shown.Rates) != 3 || shown.Rates[0] != 0 || shown.Rates[1] != 0.05 || shown.Rates[2] != 0.1 {
		t.Errorf("code %d, %v: %+v", code, err, shown)
	}
	if err := os.Mkdir("twin", 0o777); err != nil {
		t.Fatal(err)
	}
	recipeFile(t, "twin", "warm", "")
	for args, want := range map[string]string{
		"recipe check":                                         "name at least one recipe file",
		"recipe check warm.json wrong.json":                    `wrong.json: key "momentum" must be from 0 to below 1, not 2`,
		"recipe check warm.json twin/warm.json":                `warm.json and twin/warm.json have the same name, "warm"; rename one of the recipes`,
		"recipe check none.json":                               "cannot read the recipe: open none.json",
		"recipe show":                                          "recipe show takes one NAME|FILE.json",
		"recipe show warm":                                     `unknown recipe "warm"`,
		"recipe list wrong.json":                               `key "momentum"`,
		"train 0 --dataset digits --seed 1":                    "missing --epochs, --out",
		"train 0 --dataset digits --seed 1 --out x --recipe= ": `unknown recipe ""`,
		"train 0 --dataset digits --seed 1 --out x --recipe warm.json --epochs 3":        "epochs",
		"train 0 --dataset digits --seed 1 --out x --recipe wrong.json":                  `wrong.json: key "momentum"`,
		"train 0 --dataset digits --seed 1 --out x --recipe warm.json --channels 4":      "--channels is 4, but recipe warm has 8; leave out --channels, or change the recipe",
		"train 0 --dataset digits --seed 1 --out x --recipe twin/warm.json --batch 5000": "batch",
		"plan x --archs 0 --datasets digits --seeds 1 --recipe warm.json --channels 4":   "--channels is 4, but recipe warm has 8",
		"plan x --archs 0 --datasets digits --seeds 1 --recipe warm.json,twin/warm.json": `two different recipes have the name "warm"`,
		"plan x --preset sample --recipe warm.json":                                      "already fixes epochs and seeds",
		"compare twin twin --schedules 12":                                               "--schedules 12: name two schedules, one of A and one of B, such as 12,200",
		"compare twin twin --schedules 12,200,7":                                         "--schedules 12,200,7: name two schedules",
	} {
		stdout, stderr, code := nb201(strings.Fields(args)...)
		if code != 2 || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: code %d, stdout %q, stderr %q, want %q", args, code, stdout, stderr, want)
		}
	}
}

// A campaign with recipes of one length and one with a number of epochs is queried, compared, verified and
// exported by the schedules' names.
func TestRecipesOfACampaign(t *testing.T) {
	dir := t.TempDir()
	c := resultstest.Fill(t, results.Trial{Arch: 1, Dataset: "digits", Epochs: 4, Seed: 1}, results.Trial{Arch: 1, Dataset: "digits", Recipe: "warm", Epochs: 4, Seed: 1})
	sparse := resultstest.WithRecipe(t, results.Trial{Arch: 1, Dataset: "digits", Recipe: "sparse", Epochs: 4, Seed: 1}, func(r *configs.Recipe) { r.EvaluateEvery = 3 })
	if err := c.Publish(sparse, nil); err != nil {
		t.Fatal(err)
	}
	for args, want := range map[string][]string{
		"query " + c.Dir + " 1":                                    {"4 digits 1", "sparse digits 1", "warm digits 1"},
		"query " + c.Dir + " 1 --schedule sparse":                  {"sparse digits 1 3"},
		"status " + c.Dir:                                          {"digits 4 1", "digits sparse 1", "digits warm 1"},
		"verify " + c.Dir:                                          {"digits, recipe sparse: ori-test: evaluated every 3 epochs and after the last", "no faults"},
		"compare " + c.Dir + " " + c.Dir:                           {"digits sparse ori-test 1", "digits warm train 1", "digits 4 train 1"},
		"compare " + c.Dir + " " + c.Dir + " --schedules 4,sparse": {"digits 4, sparse ori-test 1"},
		"export " + c.Dir + " --format csv --to " + dir + "/csv":   {"sparse 4 digits 1 1"},
		"export " + c.Dir + " --format nats --to " + dir + "/nats": {"warm 4 digits 1 1"},
		"export " + c.Dir + " --format archive --less 4 --full sparse --to " + dir + "/slots":        {"full 4 digits 1 1"},
		"export " + c.Dir + " --format parquet --to " + dir + "/parquet":                             {"warm 4 digits 1 1"},
		"export " + c.Dir + " --format nats --less warm --full sparse --to " + dir + "/nats-slotted": {"200 4 digits 1 1"},
	} {
		stdout, stderr, code := nb201(strings.Fields(args)...)
		fields := strings.Join(strings.Fields(stdout), " ")
		for _, w := range want {
			if code != 0 || !strings.Contains(fields, w) {
				t.Errorf("%s: code %d, no %q in\n%s%s", args, code, w, stdout, stderr)
			}
		}
	}
	for _, name := range []string{"csv", "nats", "slots", "parquet", "nats-slotted"} {
		path := filepath.Join(dir, name)
		if stdout, stderr, code := nb201("verify", path); code != 0 {
			t.Errorf("verify %s: code %d\n%s%s", name, code, stdout, stderr)
		}
		// The export has the recipe: it equals the campaign's.
		stdout, stderr, code := nb201("compare", c.Dir, path, "--json")
		if code != 0 || name == "csv" && strings.Count(stdout, `"schedule": "sparse"`) != 2 {
			t.Errorf("compare %s: code %d\n%s%s", name, code, stdout, stderr)
		}
	}
	if _, stderr, code := nb201("export", c.Dir, "--format", "archive", "--to", dir+"/none"); code != 2 ||
		!strings.Contains(stderr, "has no trials of 12 or 200 epochs to export; it has trials of schedule 4, warm, sparse: select them with --less and --full") {
		t.Errorf("code %d, %s", code, stderr)
	}
	// A table without the column recipe, as earlier versions wrote it, is read; its sparse trial is then incomplete.
	old := filepath.Join(dir, "csv", "trials.csv")
	text, err := os.ReadFile(old)
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.Lines(string(text)) {
		before, _, quoted := strings.Cut(line, `,"{`)
		if !quoted {
			before = strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(line, "\n"), ",recipe"), ",")
		}
		lines = append(lines, before+"\n")
	}
	if err := os.WriteFile(old, []byte(strings.Join(lines, "")), 0o666); err != nil {
		t.Fatal(err)
	}
	if stdout, _, code := nb201("query", filepath.Join(dir, "csv"), "1", "--schedule", "warm"); code != 0 || !strings.Contains(stdout, "warm") {
		t.Errorf("code %d\n%s", code, stdout)
	}
	if stdout, _, code := nb201("verify", filepath.Join(dir, "csv")); code != 3 || !strings.Contains(stdout, "lacks epoch") {
		t.Errorf("code %d\n%s", code, stdout)
	}
}
