package plan

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/usage"
)

// Selection is what a user asks for: a preset, all the lists, or a preset and lists
// that narrow it.
type Selection struct {
	Preset   string
	Archs    *Archs   // nil: none given
	Datasets []string // keys and definition files (*.json)
	Epochs   []int
	Seeds    []uint32
}

// Presets.
const (
	// Published is what NAS-Bench-201 v1.1 published: of all architectures, schedule 12
	// from seed 111 on the four dataset keys and from 777 on cifar10-valid, and schedule
	// 200 from 777, 888 and 999 on the four.
	Published = "nas-bench-201-v1_1"
	// Sample is quick: an architecture of each cost, schedule 12, seed 777, which was
	// published for cifar10-valid.
	Sample = "sample"
)

// Presets lists the presets' names.
func Presets() []string { return []string{Published, Sample} }

// lists are a part in the making.
type lists struct {
	archs    Archs
	datasets []string // keys, or definition files
	epochs   []int
	seeds    []uint32
}

func presetParts(name string) ([]lists, error) {
	switch name {
	case Published:
		all, keys := AllArchs(), configs.BenchmarkKeys()
		return []lists{
			{all, keys, []int{12}, []uint32{111}},
			{all, keys[:1], []int{12}, []uint32{777}}, // cifar10-valid
			{all, keys, []int{200}, []uint32{777, 888, 999}},
		}, nil
	case Sample:
		return []lists{{sampleArchs(), configs.BenchmarkKeys()[:1], []int{12}, []uint32{777}}}, nil
	}
	return nil, usage.Errorf("unknown preset %q: use one of %s", name, strings.Join(Presets(), ", "))
}

// sampleArchs holds the first architecture of each cost there is. Cost depends on how
// many edges carry a 3x3 and how many a 1x1 convolution, so that there are 28, from no
// convolution to six of 3x3.
func sampleArchs() Archs {
	var a Archs
	seen := map[convolutions]bool{}
	for i, arch := range cell.All() {
		if c := convolutionsOf(arch); !seen[c] {
			seen[c] = true
			a.add(i, i)
		}
	}
	return a
}

// convolutions counts the edges of an architecture that carry one, which fixes its
// FLOPs, its parameters and the shapes of its tensors.
type convolutions struct{ of1x1, of3x3 int }

func convolutionsOf(a cell.Arch) (c convolutions) {
	for _, op := range a {
		switch op {
		case cell.NorConv1x1:
			c.of1x1++
		case cell.NorConv3x3:
			c.of3x3++
		}
	}
	return c
}

// parts are the lists that the selection asks for.
func (s *Selection) parts() ([]lists, error) {
	if s.Preset == "" {
		for _, l := range []struct {
			flag  string
			given bool
		}{
			{"archs", s.Archs != nil}, {"datasets", len(s.Datasets) > 0}, {"epochs", len(s.Epochs) > 0}, {"seeds", len(s.Seeds) > 0},
		} {
			if !l.given {
				return nil, usage.Errorf("a plan needs architectures, datasets, epochs and seeds, or a preset: give --%s", l.flag)
			}
		}
		return []lists{{*s.Archs, s.Datasets, s.Epochs, s.Seeds}}, nil
	}
	parts, err := presetParts(s.Preset)
	if err != nil {
		return nil, err
	}
	if len(s.Epochs) > 0 || len(s.Seeds) > 0 {
		return nil, usage.Errorf("the preset %s has its own epochs and seeds: leave out --epochs and --seeds, or the preset", s.Preset)
	}
	var narrowed []lists
	for _, l := range parts {
		if s.Archs != nil {
			l.archs = l.archs.intersection(s.Archs)
		}
		if len(s.Datasets) > 0 {
			given := s.Datasets
			if s.Preset == Published {
				if i := slices.IndexFunc(given, func(key string) bool { return !slices.Contains(configs.BenchmarkKeys(), key) }); i >= 0 {
					return nil, usage.Errorf("the preset %s has no dataset %q: it has %s", s.Preset, given[i], strings.Join(configs.BenchmarkKeys(), ", "))
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
		return nil, usage.Errorf("nothing is left of the preset %s: it has none of the architectures of --archs", s.Preset)
	}
	return narrowed, nil
}

// New is the plan of what a selection asks for. The images of a dataset whose
// definition does not count them are looked for in dataRoot and read. What is wrong with
// the selection or the settings is a usage error.
func New(s Settings, selection Selection, dataRoot string) (*Plan, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	parts, err := selection.parts()
	if err != nil {
		return nil, err
	}
	p := &Plan{FormatVersion: FormatVersion, Settings: s}
	keys := map[string]string{} // by key or definition file
	for _, l := range parts {
		for _, epochs := range l.epochs {
			if err := p.addSchedule(epochs); err != nil {
				return nil, err
			}
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
		p.addPart(newPart(l.archs, datasets, l.epochs, l.seeds))
	}
	return p, p.resolve()
}

func (p *Plan) addSchedule(epochs int) error {
	if _, ok := p.Recipe(epochs); ok {
		return nil
	}
	r, err := p.Settings.Recipe(epochs)
	if err != nil {
		return err
	}
	s, err := newSchedule(r)
	p.Schedules = append(p.Schedules, s)
	return err
}

// addDataset returns the key.
func (p *Plan) addDataset(keyOrFile, dataRoot string) (string, error) {
	definition, err := data.Find(keyOrFile)
	if err != nil {
		return "", err
	}
	d := Dataset{Key: definition.Name}
	if d.Definition, err = json.Marshal(definition); err != nil {
		return "", fmt.Errorf("encode the definition of %s: %w", d.Key, err)
	}
	if filepath.Ext(keyOrFile) == ".json" {
		if d.Directory, err = filepath.Abs(filepath.Dir(keyOrFile)); err != nil {
			return "", fmt.Errorf("find the directory of %s: %w", keyOrFile, err)
		}
	}
	if d.Images, err = countImages(definition, p.Settings, dataRoot); err != nil {
		return "", err
	}
	if known := p.dataset(d.Key); known != nil {
		if c := known.conflict(d); c != "" {
			return "", usage.Errorf("two definitions have the key %s, %s: give one another name", d.Key, c)
		}
		return d.Key, nil
	}
	p.Datasets = append(p.Datasets, d)
	return d.Key, nil
}

// countImages counts the images of an epoch, from the definition's own counts or, where
// it has none, from the files.
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
