package plan

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path/filepath"
	"slices"
	"syscall"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/internal/shell"
	"nb201/internal/usage"
	"nb201/results"
)

// FormatVersion is the version of plan.json that this program writes, and the only one that it
// reads.
const FormatVersion = 1

// Plan lists the trials of a campaign and their settings. [Read] and [New] return plans; after
// that they do not change and are safe for concurrent use.
type Plan struct {
	FormatVersion int        `json:"format_version"`
	Space         cell.Name  `json:"space,omitzero"` // search space of the architectures
	Settings      Settings   `json:"settings"`
	Datasets      []Dataset  `json:"datasets"`  // published ones first, in their published order
	Schedules     []Schedule `json:"schedules"` // shortest first
	Parts         []Part     `json:"parts"`
}

// Settings are the settings shared by all trials of a plan.
type Settings struct {
	configs.Settings
	Weights bool `json:"weights"` // whether to keep the weights
}

// Dataset is a dataset of a plan, with a copy of its definition.
type Dataset struct {
	Key string `json:"key"`
	// Directory is searched first for the relative paths of a user's definition. It is empty for
	// a published dataset.
	Directory  string         `json:"directory,omitempty"`
	Images     Images         `json:"images"`
	Definition jsontext.Value `json:"definition"`

	definition data.Definition // decoded, at the timeline
}

// Warning returns what is probably wrong with the definition, or "".
func (d *Dataset) Warning() string { return d.definition.Warning() }

// Images counts the images that one epoch processes.
type Images struct {
	Train int `json:"training"`
	Eval  int `json:"evaluation"` // in all evaluation sets of the timeline
}

// Schedule is a schedule with its resolved recipe.
type Schedule struct {
	Recipe configs.Recipe `json:"recipe"`
	SHA256 string         `json:"sha256"` // see configs.Recipe.Hash
}

// Part names all trials that combine an item of each of its lists.
type Part struct {
	Archs    string   `json:"architectures"`    // indices and ranges of indices
	Datasets []string `json:"datasets"`         // dataset keys
	Epochs   []int    `json:"epochs"`           // the schedules that are named by their numbers of epochs
	Recipes  []string `json:"recipes,omitzero"` // the names of users' own recipes
	Seeds    []uint32 `json:"seeds"`

	archs Archs
}

// Path returns the path of a campaign's plan.
func Path(dir string) string { return filepath.Join(dir, "plan.json") }

// Read reads and checks the plan of the campaign at dir. It refuses unknown keys. Its errors are
// usage errors that name the file and the key; that of a directory without a plan wraps
// [fs.ErrNotExist], unless the directory is part of another campaign.
func Read(dir string) (*Plan, error) {
	path := Path(dir)
	text, err := infile.Read(path, infile.MaxText)
	if evaluations, key := results.EvaluationsAround(dir); err != nil && evaluations != "" {
		return nil, usage.Errorf("%s holds evaluations and has no plan (%w); continue them with `nb201 evaluate PATH --dataset %s --to %s`",
			dir, fs.ErrNotExist, key, shell.Quote(evaluations))
	}
	if err != nil {
		if campaign := results.CampaignOf(dir); campaign != "" {
			return nil, usage.Errorf("%s is part of the campaign %s; name that directory", dir, campaign)
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage.Errorf("campaign %s has no plan (%w); create one with `nb201 plan %s --archs LIST --datasets KEYS --epochs N --seeds SEEDS`", dir, err, shell.Quote(dir))
	}
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, usage.Errorf("%s is not a directory; name a campaign directory", dir)
	}
	if err != nil {
		return nil, usage.Errorf("cannot read the plan: %w", err)
	}
	return decode(path, text)
}

// decode decodes and checks the text of the plan at path.
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

// Write writes the plan to plan.json in dir, which it creates if necessary. It replaces an
// existing plan atomically.
func (p *Plan) Write(dir string) error {
	text, err := p.encode()
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(dir); err != nil {
		return usage.Errorf("cannot create campaign %s: %w", dir, err)
	}
	err = atomicfile.Replace(Path(dir), func(w io.Writer) error { _, err := w.Write(text); return err })
	if atomicfile.Unwritable(err) {
		err = usage.Errorf("cannot write the plan: %w", err)
	}
	return err
}

// encode returns p as indented JSON. Equal plans give equal bytes.
func (p *Plan) encode() ([]byte, error) {
	text, err := json.Marshal(p, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("cannot encode the plan: %w", err)
	}
	return append(text, '\n'), nil
}

// resolve validates p, sorts its lists and parses its texts. Its errors begin with the key.
func (p *Plan) resolve() error {
	if p.FormatVersion != FormatVersion {
		if p.FormatVersion == 0 {
			return fmt.Errorf("key \"format_version\" is missing; this version of nb201 reads version %d", FormatVersion)
		}
		return fmt.Errorf("key \"format_version\": version %d is not supported; this version of nb201 reads version %d", p.FormatVersion, FormatVersion)
	}
	if err := p.Space.Check(); err != nil {
		return fmt.Errorf("key \"space\": %w", err)
	}
	if err := p.Settings.check(p.Space.Space()); err != nil {
		return fmt.Errorf("key \"settings\": %w", err)
	}
	for i := range p.Datasets {
		if err := p.Datasets[i].resolve(p.Settings); err != nil {
			return fmt.Errorf("key \"datasets.%d\": %w", i, err)
		}
	}
	for i := range p.Schedules {
		if err := p.Schedules[i].check(p.Settings); err != nil {
			return fmt.Errorf("key \"schedules.%d\": %w", i, err)
		}
	}
	slices.SortFunc(p.Datasets, func(a, b Dataset) int { return configs.CompareKeys(a.Key, b.Key) })
	slices.SortFunc(p.Schedules, func(a, b Schedule) int { return scheduled(&a.Recipe).CompareSchedule(scheduled(&b.Recipe)) })
	for i := range len(p.Datasets) - 1 {
		if key := p.Datasets[i].Key; key == p.Datasets[i+1].Key {
			return fmt.Errorf("key \"datasets\": duplicate dataset %q", key)
		}
	}
	for i := range len(p.Schedules) - 1 {
		if s := &p.Schedules[i]; p.schedule(scheduled(&p.Schedules[i+1].Recipe)) == s {
			return fmt.Errorf("key \"schedules\": duplicate schedule %s", s.Recipe.Schedule())
		}
	}
	for i := range p.Datasets {
		if err := p.fits(&p.Datasets[i]); err != nil {
			return fmt.Errorf("key \"datasets.%d\": %w", i, err)
		}
	}
	for i := range p.Parts {
		if err := p.Parts[i].resolve(p); err != nil {
			return fmt.Errorf("key \"parts.%d\": %w", i, err)
		}
	}
	return nil
}

// check validates the settings, including the size of the most expensive network.
func (s Settings) check(space cell.Space) error {
	if err := s.Validate(); err != nil {
		return err
	}
	return cell.CheckSkeleton(space, s.Channels, s.Cells)
}

// resolve decodes the definition and checks it against the settings.
func (d *Dataset) resolve(s Settings) error {
	definition, err := data.DecodeDefinition("definition of "+d.Key, d.Definition, d.Directory)
	if err != nil {
		return err
	}
	if err := d.Definition.Compact(); err != nil { // so that equal plans have equal values
		return err
	}
	if err := definition.CheckTraining(); err != nil {
		return err
	}
	d.definition = definition.ForTimeline(s.Timeline)
	switch {
	case definition.Name != d.Key:
		return fmt.Errorf("the definition of dataset %q has the name %q", d.Key, definition.Name)
	case d.Images.Eval < 1:
		return fmt.Errorf("dataset %s has %d images to evaluate; at least 1 is needed", d.Key, d.Images.Eval)
	}
	return nil
}

// fits checks that every schedule of the plan can be trained on a dataset.
func (p *Plan) fits(d *Dataset) error {
	for i := range p.Schedules {
		r := &p.Schedules[i].Recipe
		if d.Images.Train < r.Batch {
			return usage.Errorf("dataset %s has %d training images, fewer than the batch size of %d; use a smaller batch", d.Key, d.Images.Train, r.Batch)
		}
		if err := network(p.Space.Space().Costliest(), d, r).Validate(); err != nil {
			return err
		}
		if _, err := d.definition.Augment.Change(r.Augment, d.Key, d.definition.Size[0]); err != nil {
			return usage.Errorf("schedule %s: %w", r.Schedule(), err)
		}
	}
	return nil
}

// network returns the network of an architecture on a dataset.
func network(a cell.Arch, d *Dataset, r *configs.Recipe) cell.Network {
	return cell.Network{Arch: a, Channels: r.Channels, Cells: r.Cells, Classes: d.definition.Classes, Size: d.definition.Size[0]}
}

// newSchedule returns the schedule of a recipe, with its hash.
func newSchedule(r configs.Recipe) Schedule { return Schedule{r, r.Hash()} }

// scheduled returns a trial with the schedule of a recipe, and without an architecture.
func scheduled(r *configs.Recipe) results.Trial {
	return results.Trial{Recipe: r.Name, Epochs: r.Epochs}
}

// check validates the recipe, its agreement with the settings, and its hash.
func (s *Schedule) check(settings Settings) error {
	r := s.Recipe
	if err := r.Check(); err != nil {
		return err
	}
	if r.Name == "" {
		if err := settings.Fits(r); err != nil {
			return err
		}
	}
	if want := r.Hash(); s.SHA256 != want {
		return fmt.Errorf("\"sha256\" is %q, but the recipe's is %s: the recipe was edited by hand; restore it, or make the plan again with nb201 plan",
			s.SHA256, want)
	}
	return nil
}

// resolve checks that the plan has the part's datasets and schedules, and sorts its lists.
func (part *Part) resolve(p *Plan) error {
	part.archs = Archs{}
	if part.Archs == "" {
		return fmt.Errorf("\"architectures\" is empty; name at least one")
	}
	noFile := func(string) ([]byte, error) { return nil, errors.New("a plan cannot name files") }
	archs, err := parseArchs(p.Space.Space(), part.Archs, noFile)
	if err != nil {
		return err
	}
	if len(part.Datasets) == 0 || len(part.Epochs)+len(part.Recipes) == 0 || len(part.Seeds) == 0 {
		return fmt.Errorf("\"datasets\", \"epochs\" and \"recipes\", or \"seeds\" is empty; name at least one dataset, schedule and seed")
	}
	for _, key := range part.Datasets {
		if p.dataset(key) == nil {
			return fmt.Errorf("dataset %q is not in the plan's \"datasets\"", key)
		}
	}
	for _, name := range part.Recipes {
		if err := configs.CheckRecipeName(name); err != nil {
			return fmt.Errorf("\"recipes\": %w", err)
		}
		if p.schedule(results.Trial{Recipe: name}) == nil {
			return fmt.Errorf("schedule %s is not in the plan's \"schedules\"", name)
		}
	}
	for _, epochs := range part.Epochs {
		if p.schedule(results.Trial{Epochs: epochs}) == nil {
			return fmt.Errorf("schedule %d is not in the plan's \"schedules\"", epochs)
		}
	}
	*part = newPart(archs, part.Datasets, part.Epochs, part.Recipes, part.Seeds)
	return nil
}

// newPart returns a part with sorted lists, without duplicates.
func newPart(archs Archs, datasets []string, epochs []int, recipes []string, seeds []uint32) Part {
	datasets, epochs, recipes, seeds = slices.Clone(datasets), slices.Clone(epochs), slices.Clone(recipes), slices.Clone(seeds)
	slices.SortFunc(datasets, configs.CompareKeys)
	slices.Sort(epochs)
	slices.Sort(recipes)
	slices.Sort(seeds)
	return Part{archs.String(), slices.Compact(datasets), slices.Compact(epochs), slices.Compact(recipes), slices.Compact(seeds), archs}
}

// Schedules lists the names of the part's schedules.
func (part *Part) Schedules() []string {
	var names []string
	for _, epochs := range part.Epochs {
		names = append(names, part.archs.Space().Schedule(epochs))
	}
	return append(names, part.Recipes...)
}

// Len returns the number of trials of the part.
func (part *Part) Len() int {
	return part.archs.Len() * len(part.Datasets) * (len(part.Epochs) + len(part.Recipes)) * len(part.Seeds)
}

// Has reports whether the part names a trial with one of the plan's schedules.
func (part *Part) Has(t results.Trial) bool {
	return t.Space == part.archs.space && part.archs.Has(t.Arch) && slices.Contains(part.Datasets, t.Dataset) && part.hasSchedule(t) && slices.Contains(part.Seeds, t.Seed)
}

// hasSchedule reports whether the part has the schedule of a trial.
func (part *Part) hasSchedule(t results.Trial) bool {
	if t.Recipe != "" {
		return slices.Contains(part.Recipes, t.Recipe)
	}
	return slices.Contains(part.Epochs, t.Epochs)
}

// Describe lists the part's architectures in about width characters, followed by their number.
func (part *Part) Describe(width int) string { return part.archs.abbreviate(width) }

// Has reports whether the plan names a trial.
func (p *Plan) Has(t results.Trial) bool {
	if _, ok := p.Recipe(t); !ok {
		return false
	}
	return slices.ContainsFunc(p.Parts, func(part Part) bool { return part.Has(t) })
}

// dataset returns the dataset of a key, or nil.
func (p *Plan) dataset(key string) *Dataset {
	if i := slices.IndexFunc(p.Datasets, func(d Dataset) bool { return d.Key == key }); i >= 0 {
		return &p.Datasets[i]
	}
	return nil
}

// Definition returns the definition of a dataset of the plan, with all evaluation sets; use
// [data.Definition.ForTimeline] to restrict it to the timeline's. A key that is not in the plan
// is a usage error.
func (p *Plan) Definition(key string) (data.Definition, error) {
	d := p.dataset(key)
	if d == nil {
		return data.Definition{}, usage.Errorf("dataset %q is not in the plan; add it with nb201 plan", key)
	}
	return data.DecodeDefinition("definition of "+key, d.Definition, d.Directory)
}

// Recipe returns the recipe of a trial's schedule, and whether the plan has it.
func (p *Plan) Recipe(t results.Trial) (configs.Recipe, bool) {
	if s := p.schedule(t); s != nil && s.Recipe.Epochs == t.Epochs {
		return s.Recipe, true
	}
	return configs.Recipe{}, false
}

// schedule returns the schedule of a trial, or nil. A user's own recipe is found by its name alone.
func (p *Plan) schedule(t results.Trial) *Schedule {
	named := func(s Schedule) bool {
		return s.Recipe.Name == t.Recipe && (t.Recipe != "" || s.Recipe.Epochs == t.Epochs)
	}
	if i := slices.IndexFunc(p.Schedules, named); i >= 0 {
		return &p.Schedules[i]
	}
	return nil
}
