package configs

import (
	"slices"
	"strings"

	"nb201/internal/random"
	"nb201/internal/usage"
)

// Settings are what the trials of an experiment have in common, besides what they are
// trained on and for how long. Those of command lines, plans and records are checked once,
// where they are read: see Validate.
type Settings struct {
	Parity    Parity    `json:"parity"`   // profile of the random streams
	Timeline  Timeline  `json:"timeline"` // the evaluation sets of an epoch
	Workers   int       `json:"workers"`  // of the original's data loader, whose streams are reproduced
	Precision Precision `json:"precision"`
	Channels  int       `json:"channels"` // C: of the first stage
	Cells     int       `json:"cells"`    // N: cells in a stage
	Batch     int       `json:"batch"`    // images a step
}

// Published returns the settings of the published benchmark. C, N and the batch are those
// of its recipes (see Recipe), the loader workers those of exps/NAS-Bench-201/main.py, and
// the random streams those of the torch that trained it.
func Published() Settings {
	recipe := publishedRecipe(longest)
	return Settings{
		Parity: Parities()[0], Timeline: Dec2019, Workers: 4, Precision: Precisions()[0],
		Channels: recipe.Channels, Cells: recipe.Cells, Batch: recipe.Batch,
	}
}

// MaxWorkers is far above the loader workers that a machine ever had.
const MaxWorkers = 1 << 12

// Validate refuses, as a usage error, settings that no trial can have. Whether they fit an
// architecture and a data set is another matter.
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
		return usage.Errorf("the precision is missing")
	}
	_, err := ParsePrecision(string(s.Precision))
	return err
}

// Recipe returns the recipe of a schedule (see RecipeFor) with the C, N and batch of the
// settings.
func (s Settings) Recipe(epochs int) (Recipe, error) {
	r, err := RecipeFor(epochs)
	r.Channels, r.Cells, r.Batch = s.Channels, s.Cells, s.Batch
	return r, err
}

// Fits refuses, as a usage error, a recipe with another C, N or batch than the settings.
func (s Settings) Fits(r Recipe) error {
	if r.Channels != s.Channels || r.Cells != s.Cells || r.Batch != s.Batch {
		return usage.Errorf("the recipe has %d channels, %d cells and a batch of %d, the settings %d, %d and %d",
			r.Channels, r.Cells, r.Batch, s.Channels, s.Cells, s.Batch)
	}
	return nil
}

// Parity names a parity profile: whose random streams are reproduced.
type Parity string

// Parities lists the parity profiles, the default first.
func Parities() []Parity {
	var all []Parity
	for _, p := range random.Profiles() {
		all = append(all, Parity(p.Name))
	}
	return all
}

// ParseParity finds a parity profile by its name; another name is a usage error.
func ParseParity(name string) (Parity, error) {
	p, err := random.ProfileByName(name)
	return Parity(p.Name), err
}

// Profile returns the profile of a parity that ParseParity has accepted.
func (p Parity) Profile() random.Profile {
	profile, err := random.ProfileByName(string(p))
	if err != nil {
		panic(err)
	}
	return profile
}

// Timeline says which evaluation sets an epoch goes through. Every loader draws
// when it starts, so the timelines part at the second epoch of training.
type Timeline string

const (
	// Dec2019 evaluates every evaluation set (69ca086 of the original and later).
	Dec2019 Timeline = "dec2019"
	// Nov2019 evaluates one set only (975fe4c); the published records of that time
	// have the others at the last epoch alone, from a later script.
	Nov2019 Timeline = "nov2019"
)

// ParseTimeline finds a timeline by its name; another name is a usage error.
func ParseTimeline(name string) (Timeline, error) {
	switch t := Timeline(name); t {
	case Dec2019, Nov2019:
		return t, nil
	}
	return "", usage.Errorf("unknown timeline %q: use %s or %s", name, Dec2019, Nov2019)
}

// Precision is the arithmetic of a trial.
type Precision string

const (
	// FP32 is float32 throughout, the original's.
	FP32 Precision = "fp32"
	// TF32 is float32 whose convolutions and matrix products may round their
	// operands to 10 bits, on GPUs that can.
	TF32 Precision = "tf32"
	// BF16 has bfloat16 convolutions and feature maps, and float32 elsewhere: the
	// parameters, their gradients and momenta, BatchNorm, the classifier and the loss.
	BF16 Precision = "bf16"
	// FP64 is float64 after float32 initial weights and images: slow, to check by.
	FP64 Precision = "fp64"
)

// Precisions lists the precisions that a trial can have, the default first.
func Precisions() []Precision { return []Precision{FP32, TF32, BF16, FP64} }

// ParsePrecision finds a precision by its name; another name is a usage error.
func ParsePrecision(name string) (Precision, error) {
	p := Precision(name)
	if slices.Contains(Precisions(), p) {
		return p, nil
	}
	var names []string
	for _, p := range Precisions() {
		names = append(names, string(p))
	}
	return "", usage.Errorf("unknown precision %q: use one of %s", name, strings.Join(names, ", "))
}
