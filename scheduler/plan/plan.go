package plan

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/internal/usage"
	"nb201/results"
)

// FormatVersion is the version of plan.json that this program writes and the only one
// it reads.
const FormatVersion = 1

// Plan is what a campaign is to train. Read and New make plans; they are not changed
// afterwards and may be used by several goroutines.
type Plan struct {
	FormatVersion int        `json:"format_version"`
	Settings      Settings   `json:"settings"`
	Datasets      []Dataset  `json:"datasets"`  // the published ones first, in their order
	Schedules     []Schedule `json:"schedules"` // the shortest first
	Parts         []Part     `json:"parts"`
}

// Settings are what all trials of a plan have in common.
type Settings struct {
	configs.Settings
	Weights bool `json:"weights"` // kept
}

// Dataset is a dataset as it is defined for all trials of a plan.
type Dataset struct {
	Key string `json:"key"`
	// Directory is where relative paths of a user's definition are looked for first; a
	// published one has none.
	Directory  string         `json:"directory,omitempty"`
	Images     Images         `json:"images"`
	Definition jsontext.Value `json:"definition"`

	definition data.Definition // decoded, at the timeline
}

// Warning says what of the definition is probably wrong; it is empty where nothing is.
func (d *Dataset) Warning() string { return d.definition.Warning() }

// Images counts the images that an epoch goes through.
type Images struct {
	Train int `json:"training"`
	Eval  int `json:"evaluation"` // of all evaluation sets of the timeline
}

// Schedule is a schedule's resolved recipe.
type Schedule struct {
	Recipe configs.Recipe `json:"recipe"`
	SHA256 string         `json:"sha256"` // of the recipe as compact JSON, in hex
}

// Part stands for the trials that its lists make with one another.
type Part struct {
	Archs    string   `json:"architectures"` // official indices and ranges of them
	Datasets []string `json:"datasets"`      // keys
	Epochs   []int    `json:"epochs"`        // the schedules
	Seeds    []uint32 `json:"seeds"`

	archs Archs
}

// Path is where the plan of a campaign stands.
func Path(dir string) string { return filepath.Join(dir, "plan.json") }

// Read reads the plan of a campaign, strictly. Errors are usage errors that name the
// file and the place in it; one of a directory without a plan wraps fs.ErrNotExist.
func Read(dir string) (*Plan, error) {
	path := Path(dir)
	text, err := infile.Read(path, infile.MaxText)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage.Errorf("%s has no plan (%w): make one with nb201 plan", dir, err)
	}
	if err != nil {
		return nil, usage.Errorf("cannot read the plan: %w", err)
	}
	return decode(path, text)
}

func decode(path string, text []byte) (*Plan, error) {
	p := new(Plan)
	if err := configs.Decode(path, text, p); err != nil {
		return nil, err
	}
	if err := p.resolve(); err != nil {
		return nil, usage.Errorf("%s: %w", path, err)
	}
	return p, nil
}

// Write puts the plan into a campaign directory, whole, in place of any that is there.
func (p *Plan) Write(dir string) error {
	text, err := p.encode()
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(dir); err != nil {
		return usage.Errorf("cannot make campaign %s: %w", dir, err)
	}
	err = atomicfile.Replace(Path(dir), func(w io.Writer) error { _, err := w.Write(text); return err })
	if atomicfile.Unwritable(err) {
		err = usage.Errorf("cannot write the plan: %w", err)
	}
	return err
}

// encode is p as JSON, for people too. Equal plans give equal bytes.
func (p *Plan) encode() ([]byte, error) {
	text, err := json.Marshal(p, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("encode the plan: %w", err)
	}
	return append(text, '\n'), nil
}

// resolve reads what the texts of p say, and tells what makes it no plan, as an error
// that begins with the key.
func (p *Plan) resolve() error {
	if p.FormatVersion != FormatVersion {
		return fmt.Errorf("format version %d is not %d, the one this program knows", p.FormatVersion, FormatVersion)
	}
	if err := p.Settings.check(); err != nil {
		return fmt.Errorf("key \"settings\": %w", err)
	}
	for i := range p.Datasets {
		if err := p.Datasets[i].resolve(p.Settings); err != nil {
			return fmt.Errorf("key \"datasets.%d\": %w", i, err)
		}
	}
	for i, s := range p.Schedules {
		if err := s.check(p.Settings); err != nil {
			return fmt.Errorf("key \"schedules.%d\": %w", i, err)
		}
	}
	slices.SortFunc(p.Datasets, func(a, b Dataset) int { return configs.CompareKeys(a.Key, b.Key) })
	slices.SortFunc(p.Schedules, func(a, b Schedule) int { return a.Recipe.Epochs - b.Recipe.Epochs })
	for i := range len(p.Datasets) - 1 {
		if key := p.Datasets[i].Key; key == p.Datasets[i+1].Key {
			return fmt.Errorf("key \"datasets\": %s stands there twice", key)
		}
	}
	for i := range len(p.Schedules) - 1 {
		if epochs := p.Schedules[i].Recipe.Epochs; epochs == p.Schedules[i+1].Recipe.Epochs {
			return fmt.Errorf("key \"schedules\": %d epochs stand there twice", epochs)
		}
	}
	for i := range p.Parts {
		if err := p.Parts[i].resolve(p); err != nil {
			return fmt.Errorf("key \"parts.%d\": %w", i, err)
		}
	}
	return nil
}

func (s Settings) check() error {
	if err := s.Validate(); err != nil {
		return err
	}
	var dearest cell.Arch
	for edge := range dearest {
		dearest[edge] = cell.NorConv3x3
	}
	return s.network(dearest, 2, 4).Validate()
}

// network is the skeleton filled with an architecture.
func (s Settings) network(a cell.Arch, classes, size int) cell.Network {
	return cell.Network{Arch: a, Channels: s.Channels, Cells: s.Cells, Classes: classes, Size: size}
}

func (d *Dataset) resolve(s Settings) error {
	definition, err := data.DecodeDefinition("definition of "+d.Key, d.Definition, d.Directory)
	if err != nil {
		return err
	}
	if err := d.Definition.Compact(); err != nil { // equal plans are equal values
		return err
	}
	d.definition = definition.ForTimeline(s.Timeline)
	switch {
	case definition.Name != d.Key:
		return fmt.Errorf("the definition of %q is that of %q", d.Key, definition.Name)
	case d.Images.Train < s.Batch:
		return fmt.Errorf("a batch of %d images is larger than the data: %s has %d training images", s.Batch, d.Key, d.Images.Train)
	case d.Images.Eval < 1:
		return fmt.Errorf("%s has %d images to evaluate", d.Key, d.Images.Eval)
	}
	return s.network(cell.Arch{}, definition.Classes, definition.Size[0]).Validate()
}

func newSchedule(r configs.Recipe) (Schedule, error) {
	text, err := json.Marshal(r)
	if err != nil {
		return Schedule{}, fmt.Errorf("encode the recipe: %w", err)
	}
	sum := sha256.Sum256(text)
	return Schedule{r, hex.EncodeToString(sum[:])}, nil
}

func (s Schedule) check(of Settings) error {
	r := s.Recipe
	same, err := newSchedule(r)
	switch {
	case err != nil:
		return err
	case r.Epochs < 1:
		return fmt.Errorf("a schedule of %d epochs: use at least 1", r.Epochs)
	case r.Epochs > configs.MaxEpochs:
		return fmt.Errorf("a schedule of %d epochs: use at most %d", r.Epochs, configs.MaxEpochs)
	case of.Fits(r) != nil:
		return of.Fits(r)
	case s != same:
		return fmt.Errorf("the recipe was changed by hand: its SHA-256 is %s", same.SHA256)
	}
	return nil
}

// resolve also puts the lists in order, each value once.
func (part *Part) resolve(p *Plan) error {
	part.archs = Archs{}
	if part.Archs == "" {
		return fmt.Errorf("it has no architectures")
	}
	noFile := func(name string) ([]byte, error) {
		return nil, fmt.Errorf("a plan names no files, and %.40q is none of its lists", name)
	}
	archs, err := parseArchs(part.Archs, noFile)
	if err != nil {
		return err
	}
	if len(part.Datasets) == 0 || len(part.Epochs) == 0 || len(part.Seeds) == 0 {
		return fmt.Errorf("it has no datasets, epochs or seeds")
	}
	for _, key := range part.Datasets {
		if p.dataset(key) == nil {
			return fmt.Errorf("dataset %q is not among \"datasets\"", key)
		}
	}
	for _, epochs := range part.Epochs {
		if _, ok := p.Recipe(epochs); !ok {
			return fmt.Errorf("the schedule of %d epochs is not among \"schedules\"", epochs)
		}
	}
	*part = newPart(archs, part.Datasets, part.Epochs, part.Seeds)
	return nil
}

// newPart puts the lists in order, each value once.
func newPart(archs Archs, datasets []string, epochs []int, seeds []uint32) Part {
	datasets, epochs, seeds = slices.Clone(datasets), slices.Clone(epochs), slices.Clone(seeds)
	slices.SortFunc(datasets, configs.CompareKeys)
	slices.Sort(epochs)
	slices.Sort(seeds)
	return Part{archs.String(), slices.Compact(datasets), slices.Compact(epochs), slices.Compact(seeds), archs}
}

// Len is the number of trials of the part.
func (part *Part) Len() int {
	return part.archs.Len() * len(part.Datasets) * len(part.Epochs) * len(part.Seeds)
}

// Has tells whether the part names a trial.
func (part *Part) Has(t results.Trial) bool {
	return part.archs.Has(t.Arch) && slices.Contains(part.Datasets, t.Dataset) &&
		slices.Contains(part.Epochs, t.Epochs) && slices.Contains(part.Seeds, t.Seed)
}

// Describe lists the part's architectures in about the given number of characters, with
// their number.
func (part *Part) Describe(width int) string { return part.archs.abbreviate(width) }

// Has tells whether the plan names a trial.
func (p *Plan) Has(t results.Trial) bool {
	return slices.ContainsFunc(p.Parts, func(part Part) bool { return part.Has(t) })
}

func (p *Plan) dataset(key string) *Dataset {
	if i := slices.IndexFunc(p.Datasets, func(d Dataset) bool { return d.Key == key }); i >= 0 {
		return &p.Datasets[i]
	}
	return nil
}

// Definition is the definition of a dataset key of the plan, with all its evaluation
// sets: data.Definition.At narrows it to the timeline.
func (p *Plan) Definition(key string) (data.Definition, error) {
	d := p.dataset(key)
	if d == nil {
		return data.Definition{}, usage.Errorf("dataset %q is not in the plan", key)
	}
	return data.DecodeDefinition("definition of "+key, d.Definition, d.Directory)
}

// Recipe is the recipe of a schedule of the plan.
func (p *Plan) Recipe(epochs int) (configs.Recipe, bool) {
	for _, s := range p.Schedules {
		if s.Recipe.Epochs == epochs {
			return s.Recipe, true
		}
	}
	return configs.Recipe{}, false
}
