package train

import (
	"cmp"
	"errors"
	"reflect"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// Options say what to train, and where the images and the weights to start from are.
type Options struct {
	Arch       cell.Arch
	Definition data.Definition // of the dataset, with the evaluation sets of every timeline
	Recipe     configs.Recipe
	Settings   configs.Settings // of the recipe's C, N and batch
	Seed       uint32
	DataRoot   string // where the images are
	Start      Start
}

// Start says which weights a trial starts from.
type Start struct {
	// File holds the initial weights; empty: they are drawn from the seed. It holds a
	// state dict, of torch or safetensors, or trials in a published format.
	File string
	// Trial, KEY:HP:SEED, says which of the file's trials (HP is the schedule's name in
	// the file). When it is empty, it is the only trial of the architecture or the one on
	// the same dataset, with the same seed and along the same schedule.
	Trial         string
	NewClassifier bool // see Initial
}

// NewOptions returns the options of a trial in the words of a command line: an index or
// genotype string, a dataset key or definition file, and a schedule by its epochs. The
// seed, the images' directory and the start weights are the caller's to add.
func NewOptions(arch, dataset string, epochs int, s configs.Settings) (o Options, err error) {
	o.Settings = s
	if o.Definition, err = data.Find(dataset); err != nil {
		return o, err
	}
	if o.Arch, err = cell.Resolve(arch); err != nil {
		return o, err
	}
	o.Recipe, err = s.Recipe(epochs)
	return o, err
}

// loader loads the images of a definition, which are in or below root.
type loader func(d data.Definition, root string) (*data.Dataset, error)

// Config resolves the options and loads the images. What is wrong with them is a
// usage error.
func (o Options) Config() (Config, error) { return o.config(data.Definition.Load) }

// config is the one way in which a Config is made.
func (o Options) config(load loader) (Config, error) {
	c := Config{
		Trial:  results.Trial{Arch: o.Arch.Index(), Dataset: o.Definition.Name, Epochs: o.Recipe.Epochs, Seed: o.Seed},
		Recipe: o.Recipe, Settings: o.Settings, Definition: o.Definition.ForTimeline(o.Settings.Timeline),
		Network: cell.Network{
			Arch: o.Arch, Channels: o.Recipe.Channels, Cells: o.Recipe.Cells, Classes: o.Definition.Classes, Size: o.Definition.Size[0],
		},
	}
	err := c.Settings.Validate()
	if err == nil {
		err = c.Settings.Fits(c.Recipe)
	}
	if err == nil {
		err = c.Network.Validate()
	}
	if err != nil {
		return c, err
	}
	if o.Start.File != "" {
		if c.Initial, err = o.Start.read(c.Trial, c.Network); err != nil {
			return c, err
		}
	}
	if c.Data, err = load(c.Definition, o.DataRoot); err != nil {
		return c, err
	}
	return c, c.Check()
}

// ConfigFor is how the trial of a record was trained, from the seed's initial weights
// if it is run: for Evaluate. The images are looked for in dataRoot, as are the files
// that lay beside the definition of a user's own dataset. What cannot be had again is a
// usage error; images that are not those of the record are results.ErrOtherImages.
func (s *Session) ConfigFor(r *results.Record, dataRoot string) (Config, error) {
	definition, err := definitionIn(r, dataRoot)
	if err != nil {
		return Config{}, usage.Errorf("record of %v: %w", r.Trial, err)
	}
	arch, err := cell.ByIndex(r.Arch)
	if err != nil {
		return Config{}, err
	}
	o := Options{Arch: arch, Definition: definition, Recipe: r.Recipe, Settings: r.TrialSettings(), Seed: r.Seed, DataRoot: dataRoot}
	return o.config(func(d data.Definition, root string) (*data.Dataset, error) { return loadAsTrained(r, d, root, s.load) })
}

// definitionIn is the dataset definition in a record, as if it lay in dataRoot.
func definitionIn(r *results.Record, dataRoot string) (data.Definition, error) {
	d, err := data.DecodeDefinition("dataset definition", r.Definition, dataRoot)
	if err == nil && (d.Name != r.Dataset || d.Classes != r.Classes || d.Size[0] != r.ImageSize) {
		err = usage.Errorf("dataset definition: it is of %s, %d classes and %d pixels, the record of %s, %d classes and %d pixels",
			d.Name, d.Classes, d.Size[0], r.Dataset, r.Classes, r.ImageSize)
	}
	return d, err
}

// CheckRecord refuses, as a usage error, a record that no trial leaves: of an unknown
// precision, parity profile, timeline, optimizer or scheduler, or whose dataset definition
// is none, is not that of its published dataset key, or has other evaluation sets or numbers
// of images than the record.
func CheckRecord(r *results.Record) error {
	d, err := definitionIn(r, "")
	if err != nil {
		return err
	}
	if err := r.TrialSettings().Validate(); err != nil {
		return err
	}
	timeline := r.Parity.Timeline
	recipe, err := configs.RecipeFor(r.Epochs)
	if err != nil {
		return err
	}
	if r.Recipe.Optimizer != recipe.Optimizer || r.Recipe.Scheduler != recipe.Scheduler {
		return usage.Errorf("the recipe has the optimizer %q and the scheduler %q: %s and %s are all there are",
			r.Recipe.Optimizer, r.Recipe.Scheduler, recipe.Optimizer, recipe.Scheduler)
	}
	if known, err := data.Published(r.Dataset); err == nil && !reflect.DeepEqual(d, known.ForTimeline(timeline)) {
		return usage.Errorf("dataset definition: it is not that of %s in the timeline %s", r.Dataset, timeline)
	}
	if len(d.ForTimeline(timeline).Eval) != len(d.Eval) || len(r.Eval) != len(d.Eval) {
		return usage.Errorf("dataset definition: it has %d evaluation sets, the record %d in the timeline %s", len(d.Eval), len(r.Eval), timeline)
	}
	passes := append([]results.Evaluation{{Pass: r.Train}}, r.Eval...)
	for i, part := range append([]data.SplitDefinition{d.Train}, d.Eval...) {
		pass := passes[i]
		if part.Name != pass.Set {
			return usage.Errorf("dataset definition: an evaluation set is %s, that of the record %s", part.Name, pass.Set)
		}
		if n, known := d.CountImages(part); known && n != pass.Images {
			return usage.Errorf("dataset definition: it has %d images of %s, the record %d", n, cmp.Or(part.Name, "training"), pass.Images)
		}
	}
	return nil
}

// loadAsTrained loads the images that the trial of a record was trained on.
func loadAsTrained(r *results.Record, d data.Definition, root string, load loader) (*data.Dataset, error) {
	set, err := load(d, root)
	switch {
	case errors.Is(err, data.ErrNoData):
		return nil, err
	case err != nil:
		return nil, usage.Errorf("%w: %w", results.ErrOtherImages, err)
	}
	if differences := results.DifferentFiles(FilesOf(set.Files), r.DataFiles); differences != nil {
		return nil, usage.Errorf("%w: %v", results.ErrOtherImages, differences)
	}
	return set, nil
}

// PublishedConfig is how the original trained a trial of a published file, as far as
// Evaluate has to know: the published definition of the dataset key and the published
// settings, but for the trial's C and N, and the recipe of its schedule.
func (s *Session) PublishedConfig(r *benchmark.ResultsCount, dataRoot string) (Config, error) {
	definition, err := data.Published(r.Dataset)
	if err != nil {
		return Config{}, err
	}
	arch, err := cell.ByIndex(r.Arch)
	if err != nil {
		return Config{}, err
	}
	settings := configs.Published()
	settings.Channels, settings.Cells = r.Channels, r.Cells
	recipe, err := settings.Recipe(r.Epochs)
	if err != nil {
		return Config{}, err
	}
	return s.Config(Options{Arch: arch, Definition: definition, Recipe: recipe, Settings: settings, Seed: r.Seed, DataRoot: dataRoot})
}
