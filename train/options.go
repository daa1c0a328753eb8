package train

import (
	"cmp"
	"errors"
	"reflect"
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/random"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// Precisions lists the precisions a trial can have, the default first.
func Precisions() []Precision { return []Precision{FP32, TF32, BF16, FP64} }

// Options are a trial in the words of the command line.
type Options struct {
	Arch      string // index or genotype string
	Dataset   string // dataset key or definition file
	DataRoot  string // where the images are
	Epochs    int    // the schedule
	Seed      uint32
	Parity    string
	Timeline  string
	Workers   int
	Precision string
	Channels  int // C
	Cells     int // N
	Batch     int

	// From is a file with the initial weights; empty: they are drawn from the seed. It
	// holds a state dict, of torch or safetensors, or trials in a published format. FromTrial, KEY:HP:SEED, says
	// which trial (HP is the schedule's name in the file); when it is empty, it is the
	// only trial of the architecture or the one on the same dataset, with the same seed
	// and along the same schedule.
	From, FromTrial string
	NewClassifier   bool // see Initial
}

// Config resolves the options and loads the images. What is wrong with them is a
// usage error.
func (o Options) Config() (Config, error) {
	definition, err := data.Find(o.Dataset)
	if err != nil {
		return Config{}, err
	}
	return o.on(definition, data.Definition.Load)
}

// on is the config of the options, but for Dataset, on the images of a definition.
func (o Options) on(definition data.Definition, load func(d data.Definition, root string) (*data.Dataset, error)) (Config, error) {
	var c Config
	var err error
	if c.Network.Arch, err = cell.Resolve(o.Arch); err != nil {
		return c, err
	}
	if c.Profile, err = random.ProfileByName(o.Parity); err != nil {
		return c, err
	}
	if c.Timeline, err = data.ParseTimeline(o.Timeline); err != nil {
		return c, err
	}
	if c.Precision, err = ParsePrecision(o.Precision); err != nil {
		return c, err
	}
	if c.Recipe, err = configs.RecipeFor(o.Epochs); err != nil {
		return c, err
	}
	c.Recipe.Channels, c.Recipe.Cells, c.Recipe.Batch = o.Channels, o.Cells, o.Batch
	c.Definition = definition.At(c.Timeline)
	c.Trial = results.Trial{Arch: c.Network.Arch.Index(), Dataset: definition.Name, Epochs: o.Epochs, Seed: o.Seed}
	c.Workers = o.Workers
	c.Network.Channels, c.Network.Cells = c.Recipe.Channels, c.Recipe.Cells
	c.Network.Classes, c.Network.Size = definition.Classes, definition.Size[0]
	if err := c.Network.Validate(); err != nil {
		return c, err
	}
	if o.From != "" {
		if c.Initial, err = o.initial(c.Trial, c.Network); err != nil {
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
func ConfigFor(r *results.Record, dataRoot string) (Config, error) {
	definition, err := definitionIn(r, dataRoot)
	if err != nil {
		return Config{}, usage.Errorf("record of %v: %w", r.Trial, err)
	}
	c, err := Options{
		Arch: r.Genotype, DataRoot: dataRoot, Epochs: r.Epochs, Seed: r.Seed,
		Parity: r.Parity.Profile, Timeline: r.Parity.Timeline, Workers: r.Parity.Workers, Precision: r.Precision,
		Channels: r.Recipe.Channels, Cells: r.Recipe.Cells, Batch: r.Recipe.Batch,
	}.on(definition, func(d data.Definition, root string) (*data.Dataset, error) { return loadAsTrained(r, d, root) })
	if err != nil {
		return Config{}, err
	}
	c.Recipe = r.Recipe
	return c, nil
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
	timeline, err := data.ParseTimeline(r.Parity.Timeline)
	if err != nil {
		return err
	}
	if _, err := random.ProfileByName(r.Parity.Profile); err != nil {
		return err
	}
	if _, err := ParsePrecision(r.Precision); err != nil {
		return err
	}
	recipe, err := configs.RecipeFor(r.Epochs)
	if err != nil {
		return err
	}
	if r.Recipe.Optimizer != recipe.Optimizer || r.Recipe.Scheduler != recipe.Scheduler {
		return usage.Errorf("the recipe has the optimizer %q and the scheduler %q: %s and %s are all there are",
			r.Recipe.Optimizer, r.Recipe.Scheduler, recipe.Optimizer, recipe.Scheduler)
	}
	if known, err := data.Published(r.Dataset); err == nil && !reflect.DeepEqual(d, known.At(timeline)) {
		return usage.Errorf("dataset definition: it is not that of %s in the timeline %s", r.Dataset, timeline)
	}
	if len(d.At(timeline).Eval) != len(d.Eval) || len(r.Eval) != len(d.Eval) {
		return usage.Errorf("dataset definition: it has %d evaluation sets, the record %d in the timeline %s", len(d.Eval), len(r.Eval), timeline)
	}
	passes := append([]results.Evaluation{{Pass: r.Train}}, r.Eval...)
	for i, part := range append([]data.Part{d.Train}, d.Eval...) {
		pass := passes[i]
		if part.Name != pass.Set {
			return usage.Errorf("dataset definition: an evaluation set is %s, that of the record %s", part.Name, pass.Set)
		}
		if n, known := d.Count(part); known && n != pass.Images {
			return usage.Errorf("dataset definition: it has %d images of %s, the record %d", n, cmp.Or(part.Name, "training"), pass.Images)
		}
	}
	return nil
}

// loadAsTrained loads the images that the trial of a record was trained on.
func loadAsTrained(r *results.Record, d data.Definition, root string) (*data.Dataset, error) {
	set, err := d.Load(root)
	switch {
	case errors.Is(err, data.ErrNoData):
		return nil, err
	case err != nil:
		return nil, usage.Errorf("%w: %w", results.ErrOtherImages, err)
	}
	if differences := results.DifferentFiles(FilesOf(set), r.DataFiles); differences != nil {
		return nil, usage.Errorf("%w: %v", results.ErrOtherImages, differences)
	}
	return set, nil
}

// PublishedConfig is how the original trained a trial of a published file, as far as
// Evaluate has to know: the published definition of the dataset key, the default parity
// profile, and the recipe of the schedule.
func PublishedConfig(r *benchmark.ResultsCount, dataRoot string) (Config, error) {
	definition, err := data.Published(r.Dataset)
	if err != nil {
		return Config{}, err
	}
	const workers, batch = 4, 256 // exps/NAS-Bench-201/main.py and its configs
	return Options{
		Arch: r.Genotype, DataRoot: dataRoot, Epochs: r.Epochs, Seed: r.Seed,
		Parity: random.Profiles()[0].Name, Timeline: string(data.Dec2019), Workers: workers, Precision: string(FP32),
		Channels: r.Channels, Cells: r.Cells, Batch: batch,
	}.on(definition, data.Definition.Load)
}

// ParsePrecision finds a precision by its name; another name is a usage error.
func ParsePrecision(name string) (Precision, error) {
	var names []string
	for _, p := range Precisions() {
		if string(p) == name {
			return p, nil
		}
		names = append(names, string(p))
	}
	return "", usage.Errorf("unknown precision %q: use one of %s", name, strings.Join(names, ", "))
}
