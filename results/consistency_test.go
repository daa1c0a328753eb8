package results_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"nb201/configs"
	. "nb201/results"
	"nb201/results/resultstest"
)

// Values that no trial can produce are found, and not published.
func TestContradictions(t *testing.T) {
	own := Trial{Arch: 3, Dataset: resultstest.Own, Epochs: 4, Seed: 7}
	for name, c := range map[string]struct {
		spoil func(r *Record)
		want  string
	}{
		"batch":                {func(r *Record) { r.Recipe.Batch = 100000 }, "the batch size, 100000, is larger than the training set of 601 images"},
		"learning rate":        {func(r *Record) { r.Recipe.LearningRate = 1e9 }, `key "learning_rate" must be`},
		"negative rate":        {func(r *Record) { r.Recipe.LearningRate = -0.1 }, `key "learning_rate" must be`},
		"last rate":            {func(r *Record) { r.Recipe.EtaMin = 0.2 }, `key "eta_min" must be`},
		"scheduler":            {func(r *Record) { r.Recipe.Scheduler = "step" }, `key "scheduler" must be`},
		"momentum":             {func(r *Record) { r.Recipe.Momentum = 1 }, `key "momentum" must be`},
		"weight decay":         {func(r *Record) { r.Recipe.WeightDecay = -5e-4 }, `key "weight_decay" must be`},
		"warmup":               {func(r *Record) { r.Recipe.Warmup = 5 }, `key "warmup" must be from 0 to the number of epochs, 4, not 5`},
		"attempts":             {func(r *Record) { r.Attempts = 1e9 }, "attempts is 1000000000"},
		"weights of elsewhere": {func(r *Record) { r.Weights = &File{"../../x.pth", strings.Repeat("0", 64)} }, `the weights file is named "../../x.pth"`},
		"weights of another":   {func(r *Record) { r.Weights = &File{"0004-0008.pth", strings.Repeat("0", 64)} }, "this trial's is 0004-0007.pth"},
		"escape":               {func(r *Record) { r.Precision = "quantum\x1b[31m" }, `"quantum\x1b[31m" contains characters that do not print`},
		"line break":           {func(r *Record) { r.Versions.Plugin = "1\n2" }, `"1\n2" contains characters that do not print`},
		"share":                {func(r *Record) { r.Train.Top1[2] += 1e-3 }, "not a whole number of the 601 images"},
		"shares": {func(r *Record) { r.Eval[0].Top1 = slices.Repeat([]float64{33.3333}, 4) },
			"ori-test: top1_percent[0] is 33.3333, not a whole number of the 200 images (and 3 more epochs like this)"},
		"one image":          {func(r *Record) { r.Eval[1].Images = 1 }, "x-valid: top1_percent[0] is"},
		"top-5":              {func(r *Record) { r.Train.Top5[0] = 1 }, "training: top5_percent[0] is 1, less than the top-1 accuracy"},
		"top-5 of 3 classes": {func(r *Record) { r.Eval[0].Top5[3] = 99.5 }, "ori-test: top5_percent[3] is 99.5, not 100 although there are only 3 classes"},
		"loss":               {func(r *Record) { r.Train.Loss[1] = 1e300 }, "training: loss[1] is 1e+300, more than the largest float32"},
		"loss too low":       {func(r *Record) { r.Eval[1].Loss[0] = 0.5 }, "x-valid: loss[0] is 0.5, less than 0.5"},
	} {
		r := resultstest.Record(t, own)
		if found := r.Contradictions(); found != nil {
			t.Fatalf("sound, but %q", found)
		}
		c.spoil(r)
		if found := r.Contradictions(); len(found) == 0 || !strings.Contains(found[0], c.want) {
			t.Errorf("%s: found %q, want %q", name, found, c.want)
		}
		if name == "weights of elsewhere" || name == "weights of another" {
			continue // Publish sets the name itself
		}
		campaign := Campaign{Dir: t.TempDir()}
		if err := campaign.Publish(r, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: published with %v", name, err)
		}
	}
}

// The evaluated epochs are those of the recipe, and the record has the recipe's hash.
func TestRecipeOfRecord(t *testing.T) {
	sparse := Trial{Arch: 3, Dataset: resultstest.Own, Recipe: "sparse", Epochs: 8, Seed: 7}
	everyThird := func(r *configs.Recipe) { r.EvaluateEvery = 3 }
	for name, c := range map[string]struct {
		spoil  func(r *Record)
		unread string // why it is not read; "": it is
		found  string // as a contradiction
	}{
		"nothing":         {func(*Record) {}, "", ""},
		"no hash":         {func(r *Record) { r.RecipeSHA256 = "" }, `recipe_sha256 is "", but the recipe's is `, ""},
		"other hash":      {func(r *Record) { r.RecipeSHA256 = strings.Repeat("0", 64) }, "recipe_sha256 is \"0000", ""},
		"other recipe":    {func(r *Record) { r.Recipe.Momentum = 0.5 }, "recipe_sha256 is ", ""},
		"other name":      {func(r *Record) { r.Recipe.Name = "dense" }, "the recipe is dense, of 8 epochs, but the trial's is sparse, of 8", ""},
		"published":       {func(r *Record) { r.Recipe.Name = "" }, "the recipe is 8, of 8 epochs, but the trial's is sparse, of 8", ""},
		"epochs reversed": {func(r *Record) { r.Eval[0].Epochs = []int{5, 2, 7} }, "epochs contains 2 after 5", ""},
		"an epoch twice":  {func(r *Record) { r.Eval[0].Epochs = []int{2, 2, 7} }, "epochs contains 2 after 2", ""},
		"past the end":    {func(r *Record) { r.Eval[0].Epochs = []int{2, 5, 8} }, "epochs contains 8 after 5", ""},
		"no last epoch":   {func(r *Record) { r.Eval[0].Epochs = []int{2, 5, 6} }, "epochs must begin with first_epoch, 2, and end with the last epoch, 7", ""},
		"first epoch":     {func(r *Record) { r.Eval[0].FirstEpoch = 1 }, "epochs must begin with first_epoch, 1,", ""},
		"one value less":  {func(r *Record) { r.Eval[0].Epochs = []int{2, 7} }, "ori-test", ""},
		"other epochs":    {func(r *Record) { r.Eval[0].Epochs = []int{2, 4, 7} }, "", "ori-test: its epochs are not those that the recipe evaluates, such as epoch 4"},
		"an epoch less": {func(r *Record) {
			e := &r.Eval[0]
			e.Epochs, e.Curve = []int{2, 7}, Curve{e.Loss[:2], e.Top1[:2], e.Top5[:2], e.Seconds[:2]}
		}, "", "such as epoch 5"},
	} {
		r := resultstest.WithRecipe(t, sparse, everyThird)
		c.spoil(r)
		if err := r.Validate(); (err == nil) != (c.unread == "") || err != nil && !strings.Contains(err.Error(), c.unread) {
			t.Errorf("%s: error %v, want %q", name, err, c.unread)
		}
		if c.unread != "" {
			continue
		}
		if found := strings.Join(r.Contradictions(), "; "); (found == "") != (c.found == "") || !strings.Contains(found, c.found) {
			t.Errorf("%s: found %q, want %q", name, found, c.found)
		}
	}
}

// Records of real trials do not contradict themselves, however odd they are.
func TestNoContradictions(t *testing.T) {
	for name, change := range map[string]func(r *Record){
		"nothing":          func(*Record) {},
		"all right":        func(r *Record) { r.Train.Top1[0], r.Train.Top5[0], r.Train.Loss[0] = 100, 100, 0 },
		"all wrong":        func(r *Record) { r.Train.Top1[0], r.Train.Top5[0], r.Train.Loss[0] = 0, 0, 1e13 },
		"a tie":            func(r *Record) { r.Train.Top1[0], r.Train.Top5[0], r.Train.Loss[0] = 0, 100, math.Ln2 },
		"float32":          func(r *Record) { r.Train.Top1[0] = float64(float32(r.Train.Top1[0])) },
		"the largest loss": func(r *Record) { r.Train.Loss[0] = math.MaxFloat32 },
		"loss of float64":  func(r *Record) { r.Precision, r.Train.Loss[0] = "fp64", 1e300 },
		"clocks":           func(r *Record) { r.Started, r.Finished = r.Finished.AddDate(9000, 0, 0), r.Started },
	} {
		r := resultstest.Record(t, trial)
		change(r)
		if found := r.Contradictions(); found != nil {
			t.Errorf("%s: found %q", name, found)
		}
	}
}

// A clock that is off by up to a day raises doubts; by more, it is a fault. Neither keeps a trial
// from being published.
func TestClocks(t *testing.T) {
	for name, c := range map[string]struct {
		change        func(r *Record)
		fault, doubts string
	}{
		"right":                {func(*Record) {}, "", ""},
		"suspended for a year": {func(r *Record) { r.Finished = r.Started.AddDate(1, 0, 0) }, "", ""},
		"begun in 1970":        {func(r *Record) { r.Started = time.Unix(0, 0) }, "", ""},
		"finished before":      {func(r *Record) { r.Finished = r.Started.AddDate(-6, 0, 0) }, "before it started", ""},
		"set back an hour":     {func(r *Record) { r.Finished = r.Started.Add(-time.Hour) }, "", "finished before it started"},
		"set back a while":     {func(r *Record) { r.Finished = r.Started.Add(time.Minute) }, "", "its passes took longer"},
		"year 9999":            {func(r *Record) { r.Started, r.Finished = r.Started.AddDate(7973, 0, 0), r.Finished.AddDate(7973, 0, 0) }, "in the future", ""},
		"long passes":          {func(r *Record) { r.Train.Seconds = slices.Repeat([]float64{1e6}, 12) }, "its passes took 12", ""},
		"endless passes":       {func(r *Record) { r.Eval[1].Seconds[0] = 1e300 }, "its passes took 1", ""},
	} {
		r := resultstest.Record(t, trial)
		c.change(r)
		faults, doubts := r.Clocks(time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC))
		if len(faults) > 1 || (c.fault != "") != (len(faults) == 1) || len(faults) == 1 && !strings.Contains(faults[0], c.fault) {
			t.Errorf("%s: faults %q, want %q", name, faults, c.fault)
		}
		var want []string
		if c.doubts != "" {
			want = strings.Split(c.doubts, "; ")
		}
		if !slices.EqualFunc(doubts, want, strings.HasPrefix) {
			t.Errorf("%s: doubts %q, want %q", name, doubts, want)
		}
		if _, err := r.Encode(); err != nil { // as it is published
			t.Errorf("%s: %v", name, err)
		}
	}
}
