package train

import (
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/random"
	"nb201/internal/usage"
	"nb201/results"
)

// Precisions lists the precisions a trial can have, the default first.
func Precisions() []Precision { return []Precision{FP32, TF32, FP64} }

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
}

// Config resolves the options and loads the images. What is wrong with them is a
// usage error.
func (o Options) Config() (Config, error) {
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
	if c.Precision, err = parsePrecision(o.Precision); err != nil {
		return c, err
	}
	if c.Recipe, err = configs.RecipeFor(o.Epochs); err != nil {
		return c, err
	}
	c.Recipe.Channels, c.Recipe.Cells, c.Recipe.Batch = o.Channels, o.Cells, o.Batch
	definition, err := data.Find(o.Dataset)
	if err != nil {
		return c, err
	}
	c.Definition = definition.At(c.Timeline)
	c.Trial = results.Trial{Arch: c.Network.Arch.Index(), Dataset: definition.Name, Epochs: o.Epochs, Seed: o.Seed}
	c.Workers = o.Workers
	c.Network.Channels, c.Network.Cells = c.Recipe.Channels, c.Recipe.Cells
	c.Network.Classes, c.Network.Size = definition.Classes, definition.Size[0]
	if err := c.Network.Validate(); err != nil {
		return c, err
	}
	if c.Data, err = c.Definition.Load(o.DataRoot); err != nil {
		return c, err
	}
	return c, c.Check()
}

func parsePrecision(name string) (Precision, error) {
	var names []string
	for _, p := range Precisions() {
		if string(p) == name {
			return p, nil
		}
		names = append(names, string(p))
	}
	return "", usage.Errorf("unknown precision %q: use one of %s", name, strings.Join(names, ", "))
}
