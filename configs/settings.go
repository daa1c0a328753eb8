package configs

import (
	"cmp"
	"slices"
	"strings"

	"nb201/internal/random"
	"nb201/internal/usage"
)

// Settings holds what all trials of an experiment have in common, apart from dataset and schedule.
// Code that reads settings from a command line, plan or record calls [Settings.Validate] once.
type Settings struct {
	Parity    Parity    `json:"parity"`   // profile of the random streams
	Timeline  Timeline  `json:"timeline"` // which evaluation sets an epoch evaluates
	Workers   int       `json:"workers"`  // data loader workers of the original, whose random streams are reproduced
	Precision Precision `json:"precision"`
	Channels  int       `json:"channels,omitzero"` // C: channels in the first stage; see [Recipe]
	Cells     int       `json:"cells,omitzero"`    // N: cells per stage
	Batch     int       `json:"batch"`             // images per step
}

// Published returns the settings of the published benchmark. C, N and the batch size are those of its
// recipes (see [Recipe]), the workers those of exps/NAS-Bench-201/main.py, and the random streams
// those of the torch that trained it.
func Published() Settings {
	recipe := publishedRecipe(longest)
	return Settings{
		Parity: Parities()[0], Timeline: Dec2019, Workers: 4, Precision: Precisions()[0],
		Channels: recipe.Channels, Cells: recipe.Cells, Batch: recipe.Batch,
	}
}

// MaxWorkers is far above the number of data loader workers that anybody used.
const MaxWorkers = 1 << 12

// Validate refuses, as a usage error, settings that no trial can have. It does not check whether they
// fit an architecture and a dataset.
func (s Settings) Validate() error {
	if _, err := ParseParity(string(s.Parity)); err != nil {
		return err
	}
	if _, err := ParseTimeline(string(s.Timeline)); err != nil {
		return err
	}
	switch {
	case s.Workers < 0:
		return usage.Errorf("%d loader workers: use 0 or more", s.Workers)
	case s.Workers > MaxWorkers:
		return usage.Errorf("%d loader workers: use at most %d", s.Workers, MaxWorkers)
	case s.Batch < 1:
		return usage.Errorf("a batch of %d images: use at least 1", s.Batch)
	case s.Precision == "":
		return usage.Errorf("the precision is missing; use one of %s", precisionNames())
	}
	_, err := ParsePrecision(string(s.Precision))
	return err
}

// Recipe returns the recipe of the schedule with this number of epochs (see [RecipeFor]), with the C,
// N and batch size of the settings.
func (s Settings) Recipe(epochs int) (Recipe, error) {
	r, err := RecipeFor(epochs)
	r.Channels, r.Cells, r.Batch = s.Channels, s.Cells, s.Batch
	return r, err
}

// Complete returns a recipe that [FindRecipe] or [ReadRecipe] returned with the C, N and batch size of
// the settings, as far as a user's own recipe does not give them.
func (s Settings) Complete(r Recipe) Recipe {
	if r.Name == "" {
		r.Channels, r.Cells, r.Batch = 0, 0, 0
	}
	r.Channels, r.Cells, r.Batch = cmp.Or(r.Channels, s.Channels), cmp.Or(r.Cells, s.Cells), cmp.Or(r.Batch, s.Batch)
	return r
}

// With returns the settings with the C, N and batch size of a recipe.
func (s Settings) With(r Recipe) Settings {
	s.Channels, s.Cells, s.Batch = r.Channels, r.Cells, r.Batch
	return s
}

// Fits refuses, as a usage error, a recipe whose C, N or batch size differs from the settings.
func (s Settings) Fits(r Recipe) error {
	if s.With(r) != s {
		return usage.Errorf("the recipe has %d channels, %d cells and a batch of %d, but the settings have %d, %d and %d; make them equal",
			r.Channels, r.Cells, r.Batch, s.Channels, s.Cells, s.Batch)
	}
	return nil
}

// Parity is the name of a parity profile, which says whose random streams are reproduced.
type Parity string

// Parities returns the names of the parity profiles, the default first.
func Parities() []Parity {
	var all []Parity
	for _, p := range random.Profiles() {
		all = append(all, Parity(p.Name))
	}
	return all
}

// ParseParity returns the parity with this name; an unknown name is a usage error.
func ParseParity(name string) (Parity, error) {
	p, err := random.ProfileByName(name)
	return Parity(p.Name), err
}

// Profile returns the profile of a parity that [ParseParity] accepts; it panics for any other.
func (p Parity) Profile() random.Profile {
	profile, err := random.ProfileByName(string(p))
	if err != nil {
		panic(err)
	}
	return profile
}

// Timeline says which evaluation sets an epoch evaluates. Every data loader draws a random number when
// it starts, so trials of different timelines differ from their second epoch on.
type Timeline string

const (
	// Dec2019 evaluates all evaluation sets (commit 69ca086 of the original and later).
	Dec2019 Timeline = "dec2019"
	// Nov2019 evaluates only one (commit 975fe4c). Published records of that time have the other
	// sets only for the last epoch, from a later script.
	Nov2019 Timeline = "nov2019"
)

// ParseTimeline returns the timeline with this name; an unknown name is a usage error.
func ParseTimeline(name string) (Timeline, error) {
	switch t := Timeline(name); t {
	case Dec2019, Nov2019:
		return t, nil
	}
	return "", usage.Errorf("unknown timeline %q: use %s or %s", name, Dec2019, Nov2019)
}

// Precision names the arithmetic of a trial.
type Precision string

const (
	// FP32 is float32 throughout, as in the original.
	FP32 Precision = "fp32"
	// TF32 is float32 in which convolutions and matrix products may round their operands to 10 bits,
	// on GPUs that can.
	TF32 Precision = "tf32"
	// BF16 is bfloat16 for convolutions and feature maps, and float32 for everything else: parameters,
	// their gradients and momenta, BatchNorm, the classifier and the loss.
	BF16 Precision = "bf16"
	// FP64 is float64, from float32 initial weights and images. It is slow, for checking.
	FP64 Precision = "fp64"
)

// Precisions returns the precisions that a trial can have, the default first.
func Precisions() []Precision { return []Precision{FP32, TF32, BF16, FP64} }

// ParsePrecision returns the precision with this name; an unknown name is a usage error.
func ParsePrecision(name string) (Precision, error) {
	p := Precision(name)
	if slices.Contains(Precisions(), p) {
		return p, nil
	}
	return "", usage.Errorf("unknown precision %q: use one of %s", name, precisionNames())
}

// precisionNames lists the precisions for an error.
func precisionNames() string {
	var names []string
	for _, p := range Precisions() {
		names = append(names, string(p))
	}
	return strings.Join(names, ", ")
}
