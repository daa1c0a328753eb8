package plan

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/usage"
)

// Selection describes the trials that a user wants to plan: a preset, all the lists, or a preset
// and lists that restrict it.
type Selection struct {
	Space    cell.Space // nil if not given
	Preset   string
	Archs    *Archs   // nil if not given
	Datasets []string // dataset keys and definition files (*.json)
	Epochs   []int    // schedules, by their numbers of epochs
	Recipes  []string // schedules, by names of recipes and recipe files (*.json)
	Seeds    []uint32
}

// Sample names a preset: a quick selection, whose architectures have all costs, on cifar10-valid with
// schedule 12 and seed 777, for which published results exist.
const Sample = "sample"

// Presets returns the names of the presets: those of the published trials of each search space, and
// [Sample].
func Presets() []string {
	var names []string
	for _, space := range cell.Spaces() {
		names = append(names, space.Preset())
	}
	return append(names, Sample)
}

// lists is a part whose datasets may still be definition files.
type lists struct {
	archs    Archs
	datasets []string // keys, or definition files
	epochs   []int
	recipes  []string // names, or recipe files
	seeds    []uint32
}

// NamedSpace returns the search space that is given or that the preset is of, nil if neither says. If they
// differ, it returns a usage error.
func (s *Selection) NamedSpace() (cell.Space, error) {
	space := s.Space
	for _, of := range cell.Spaces() {
		if of.Preset() != s.Preset {
			continue
		}
		if space != nil && space != of {
			return nil, usage.Errorf("preset %s is of the %s (%s), not of %s; leave out --space", s.Preset, of.Title(), of.Name(), space.Name())
		}
		space = of
	}
	return space, nil
}

// SearchSpace returns the search space of the selection: [Selection.NamedSpace], or that of the
// architectures. If they differ, it returns a usage error.
func (s *Selection) SearchSpace() (cell.Space, error) {
	space, err := s.NamedSpace()
	if err != nil {
		return nil, err
	}
	if s.Archs != nil {
		if space != nil && space != s.Archs.Space() {
			return nil, usage.Errorf("--archs names architectures of the %s, but the plan is of the %s; choose others, or another preset or --space",
				s.Archs.Space().Title(), space.Title())
		}
		space = s.Archs.Space()
	}
	if space == nil {
		space = cell.Default()
	}
	return space, nil
}

// presetParts returns the parts of a preset in a search space.
func presetParts(name string, space cell.Space) ([]lists, error) {
	keys := configs.BenchmarkKeys()
	switch name {
	case space.Preset():
		var parts []lists
		for _, p := range space.Published() {
			datasets := keys
			if p.Dataset != "" {
				datasets = []string{p.Dataset}
			}
			parts = append(parts, lists{archs: AllArchs(space), datasets: datasets, epochs: []int{p.Epochs}, seeds: p.Seeds})
		}
		return parts, nil
	case Sample:
		archs := Archs{space: space.Name()}
		for _, i := range space.Sample() {
			archs.add(i, i)
		}
		return []lists{{archs: archs, datasets: keys[:1], epochs: []int{12}, seeds: []uint32{777}}}, nil
	}
	return nil, usage.Errorf("unknown preset %q; use one of %s", name, strings.Join(Presets(), ", "))
}

// parts returns the lists of the selection's parts, with presets expanded and restricted.
func (s *Selection) parts(space cell.Space) ([]lists, error) {
	if s.Preset == "" {
		for _, l := range []struct {
			flag  string
			given bool
		}{
			{"archs", s.Archs != nil}, {"datasets", len(s.Datasets) > 0}, {"epochs", len(s.Epochs)+len(s.Recipes) > 0}, {"seeds", len(s.Seeds) > 0},
		} {
			if !l.given {
				return nil, usage.Errorf("a plan needs architectures, datasets, epochs or recipes, and seeds, or a preset; add --%s or --preset", l.flag)
			}
		}
		return []lists{{*s.Archs, s.Datasets, s.Epochs, s.Recipes, s.Seeds}}, nil
	}
	parts, err := presetParts(s.Preset, space)
	if err != nil {
		return nil, err
	}
	if len(s.Epochs)+len(s.Recipes)+len(s.Seeds) > 0 {
		return nil, usage.Errorf("preset %s already fixes epochs and seeds; omit --epochs, --recipe and --seeds, or --preset", s.Preset)
	}
	var narrowed []lists
	for _, l := range parts {
		if s.Archs != nil {
			l.archs = l.archs.intersection(s.Archs)
		}
		if len(s.Datasets) > 0 {
			given := s.Datasets
			if s.Preset != Sample {
				if i := slices.IndexFunc(given, func(key string) bool { return !slices.Contains(configs.BenchmarkKeys(), key) }); i >= 0 {
					return nil, usage.Errorf("preset %s has no dataset %q; use some of %s", s.Preset, given[i], strings.Join(configs.BenchmarkKeys(), ", "))
				}
				given = slices.DeleteFunc(slices.Clone(given), func(key string) bool { return !slices.Contains(l.datasets, key) })
			}
			l.datasets = given
		}
		if l.archs.Len() > 0 && len(l.datasets) > 0 {
			narrowed = append(narrowed, l)
		}
	}
	if len(narrowed) == 0 {
		return nil, usage.Errorf("preset %s contains none of the architectures of --archs; choose others, or omit --archs", s.Preset)
	}
	return narrowed, nil
}

// New returns a plan for a selection. For a dataset whose definition does not state the number of
// images, it reads the images, relative to dataRoot. Invalid selections and settings are usage
// errors.
func New(s Settings, selection Selection, dataRoot string) (*Plan, error) {
	space, err := selection.SearchSpace()
	if err != nil {
		return nil, err
	}
	if err := s.check(space); err != nil {
		return nil, err
	}
	parts, err := selection.parts(space)
	if err != nil {
		return nil, err
	}
	p := &Plan{FormatVersion: FormatVersion, Space: space.Name(), Settings: s}
	keys := map[string]string{} // by key or definition file
	for _, l := range parts {
		epochs, recipes, err := p.addSchedules(l.epochs, l.recipes)
		if err != nil {
			return nil, err
		}
		var datasets []string
		for _, keyOrFile := range l.datasets {
			if keys[keyOrFile] == "" {
				if keys[keyOrFile], err = p.addDataset(keyOrFile, dataRoot); err != nil {
					return nil, err
				}
			}
			datasets = append(datasets, keys[keyOrFile])
		}
		p.addPart(newPart(l.archs, datasets, epochs, recipes, l.seeds))
	}
	return p, p.resolve()
}

// addSchedules adds schedules, named by numbers of epochs, recipes or recipe files, unless the plan has
// them. It returns the numbers of epochs, and the names of the users' own recipes.
func (p *Plan) addSchedules(epochs []int, recipes []string) (numbers []int, names []string, err error) {
	named := slices.Clone(recipes)
	for _, n := range epochs {
		named = append(named, strconv.Itoa(n))
	}
	for _, nameOrFile := range named {
		r, err := configs.FindRecipe(nameOrFile)
		if err != nil {
			return nil, nil, err
		}
		r = p.Settings.Complete(r)
		if err := cell.CheckSkeleton(p.Space.Space(), r.Channels, r.Cells); err != nil {
			return nil, nil, usage.Errorf("recipe %s: %w", nameOrFile, err)
		}
		if known := p.schedule(scheduled(&r)); known == nil {
			p.Schedules = append(p.Schedules, newSchedule(r))
		} else if c := firstDifference(known.Recipe, r); c != "" {
			return nil, nil, usage.Errorf("two different recipes have the name %q: %s; rename one of them", r.Name, c)
		}
		if r.Name == "" {
			numbers = append(numbers, r.Epochs)
		} else {
			names = append(names, r.Name)
		}
	}
	return numbers, names, nil
}

// addDataset adds a dataset unless the plan has it, and returns its key.
func (p *Plan) addDataset(keyOrFile, dataRoot string) (string, error) {
	definition, err := data.Find(keyOrFile)
	if err != nil {
		return "", err
	}
	if err := definition.CheckTraining(); err != nil {
		return "", err
	}
	d := Dataset{Key: definition.Name}
	if d.Definition, err = json.Marshal(definition); err != nil {
		return "", fmt.Errorf("cannot encode the definition of %s: %w", d.Key, err)
	}
	if d.Directory, err = definition.Directory(); err != nil {
		return "", fmt.Errorf("cannot find the directory of %s: %w", keyOrFile, err)
	}
	if d.Images, err = countImages(definition, p.Settings, dataRoot); err != nil {
		return "", err
	}
	if known := p.dataset(d.Key); known != nil {
		if c := known.conflict(d); c != "" {
			return "", usage.Errorf("two different definitions have the name %q: %s; rename one of them", d.Key, c)
		}
		return d.Key, nil
	}
	p.Datasets = append(p.Datasets, d)
	return d.Key, nil
}

// countImages returns the number of images of an epoch, as stated by the definition or, if it
// does not, as counted in the files.
func countImages(d data.Definition, s Settings, dataRoot string) (Images, error) {
	d = d.ForTimeline(s.Timeline)
	var ds *data.Dataset
	var err error
	if d.Images.Train > 0 && d.Images.Test > 0 {
		ds, err = data.New(d, map[string]*data.Images{
			"train": {Labels: make([]int32, d.Images.Train), Size: d.Size[0]},
			"test":  {Labels: make([]int32, d.Images.Test), Size: d.Size[0]},
		})
	} else {
		ds, err = d.Load(dataRoot)
	}
	if err != nil {
		return Images{}, err
	}
	images := Images{Train: ds.Train.Len()}
	for i := range ds.Eval {
		images.Eval += ds.Eval[i].Len()
	}
	return images, ds.CheckBatch(s.Batch)
}
