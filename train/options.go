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

// Options names what to train, the directory of its images and the weights to start from.
type Options struct {
	Arch       cell.Arch
	Definition data.Definition // of the dataset, with the evaluation sets of every timeline
	Recipe     configs.Recipe
	Settings   configs.Settings // with the same C, N and batch size as Recipe
	Seed       uint32
	DataRoot   string // directory in or below which the images are
	Start      Start
}

// Start names the weights that a trial starts from.
type Start struct {
	// File holds the initial weights: a state dict, of torch or safetensors, or trials in a
	// published format. If it is empty, the seed draws the initial weights.
	File string
	// Trial names one of the file's trials as KEY:SCHEDULE:SEED, where SCHEDULE is the schedule's name in
	// the file. It may be empty if one trial of the architecture is left after the file's trials
	// with weights are narrowed down by the dataset, then the seed, then the schedule of the trial
	// to train, as far as needed.
	Trial         string
	NewClassifier bool // see Initial
}

// NewOptions resolves command-line arguments: a dataset key or definition file, and a recipe by its
// number of epochs or its file. s has the C, N and batch size of
// a recipe that does not give them. The caller sets Seed, DataRoot and Start.
func NewOptions(arch cell.Arch, dataset, recipe string, s configs.Settings) (o Options, err error) {
	o.Arch = arch
	if o.Definition, err = data.Find(dataset); err != nil {
		return o, err
	}
	if o.Recipe, err = configs.FindRecipe(recipe); err != nil {
		return o, err
	}
	o.Recipe = s.Complete(o.Recipe)
	o.Settings = s.With(o.Recipe)
	return o, nil
}

// loader loads the images of a definition from files in or below root.
type loader func(d data.Definition, root string) (*data.Dataset, error)

// Config checks the options, loads the images and returns the trial's configuration. Invalid
// options are usage errors.
func (o Options) Config() (Config, error) { return o.config(data.Definition.Load) }

// config implements Config with a given loader. It is the only function that makes a Config.
func (o Options) config(load loader) (Config, error) {
	c := Config{
		Trial:  results.Trial{Space: o.Arch.Space().Name(), Arch: o.Arch.Index(), Dataset: o.Definition.Name, Recipe: o.Recipe.Name, Epochs: o.Recipe.Epochs, Seed: o.Seed},
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

// ConfigFor returns the configuration of the trial of a record, for [Session.Evaluate]. It does
// not read the weights that the trial started from. It looks in dataRoot for the images, and for
// the files that were beside the definition of a user's own dataset. Settings that cannot be
// restored are a usage error; images that differ from the record's are [results.ErrOtherImages].
func (s *Session) ConfigFor(r *results.Record, dataRoot string) (Config, error) {
	definition, err := definitionIn(r, dataRoot)
	if err != nil {
		return Config{}, usage.Errorf("record of %v: %w", r.Trial, err)
	}
	arch, err := r.Architecture()
	if err != nil {
		return Config{}, err
	}
	o := Options{Arch: arch, Definition: definition, Recipe: r.Recipe, Settings: r.TrialSettings(), Seed: r.Seed, DataRoot: dataRoot}
	return o.config(func(d data.Definition, root string) (*data.Dataset, error) { return loadAsTrained(r, d, root, s.load) })
}

// definitionIn decodes the dataset definition in a record, with dataRoot as its directory.
func definitionIn(r *results.Record, dataRoot string) (data.Definition, error) {
	d, err := data.DecodeDefinition("dataset definition", r.Definition, dataRoot)
	if err == nil {
		err = d.CheckTraining()
	}
	if err == nil && (d.Name != r.Dataset || d.Classes != r.Classes || d.Size[0] != r.ImageSize) {
		err = usage.Errorf("dataset definition: it defines %s, %d classes and %d pixels, but the record has %s, %d classes and %d pixels",
			d.Name, d.Classes, d.Size[0], r.Dataset, r.Classes, r.ImageSize)
	}
	return d, err
}

// CheckRecord returns a usage error if no trial can have left the record: if its precision,
// parity profile or timeline is unknown, or if its dataset definition is
// invalid, differs from that of its published dataset key, or disagrees with the record about
// evaluation sets or numbers of images.
func CheckRecord(r *results.Record) error {
	d, err := definitionIn(r, "")
	if err != nil {
		return err
	}
	if err := r.TrialSettings().Validate(); err != nil {
		return err
	}
	timeline := r.Parity.Timeline
	if known, err := data.Published(r.Dataset); err == nil && !reflect.DeepEqual(d, known.ForTimeline(timeline)) {
		return usage.Errorf("dataset definition: it differs from that of %s in the timeline %s", r.Dataset, timeline)
	}
	if used := len(d.ForTimeline(timeline).Eval); used != len(d.Eval) || len(r.Eval) != len(d.Eval) {
		return usage.Errorf("dataset definition: it has %d evaluation sets and the record %d, but the timeline %s uses %d",
			len(d.Eval), len(r.Eval), timeline, used)
	}
	passes := append([]results.Evaluation{{Pass: r.Train}}, r.Eval...)
	for i, part := range append([]data.SplitDefinition{d.Train}, d.Eval...) {
		pass := passes[i]
		if part.Name != pass.Set {
			return usage.Errorf("dataset definition: it has the evaluation set %s where the record has %s", part.Name, pass.Set)
		}
		if n, known := d.CountImages(part); known && n != pass.Images {
			return usage.Errorf("dataset definition: it has %d images of %s, but the record has %d", n, cmp.Or(part.Name, "training"), pass.Images)
		}
	}
	return nil
}

// loadAsTrained loads the images that the trial of a record was trained on; others are
// results.ErrOtherImages.
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

// PublishedConfig returns the configuration of a trial in a published file, as far as
// [Session.Evaluate] needs it: the published definition of the dataset key, the recipe of the
// schedule, and the published settings with the trial's C and N.
func (s *Session) PublishedConfig(r *benchmark.ResultsCount, dataRoot string) (Config, error) {
	definition, err := data.Published(r.Dataset)
	if err != nil {
		return Config{}, err
	}
	arch, err := r.Architecture()
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
