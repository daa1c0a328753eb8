package data

import (
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"nb201/configs"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// Definition describes a dataset in JSON. Definitions of the published dataset keys are
// embedded in the program; users write their own in files. A definition without Train has
// evaluation sets alone; see [Definition.EvaluationOnly].
type Definition struct {
	Name    string            `json:"name"`           // the dataset key
	Format  string            `json:"format"`         // of the files: one of Formats
	Path    string            `json:"path,omitempty"` // directory of the files; for npz, the file
	Classes int               `json:"classes"`
	Images  Counts            `json:"images,omitzero"` // in the stored splits
	Size    [2]int            `json:"size"`            // height and width in pixels: equal, a multiple of 4
	Mean    [3]float64        `json:"mean"`            // of red, green, blue, on the scale 0 to 255
	Std     [3]float64        `json:"std"`             // likewise
	Augment Augment           `json:"augment"`
	Train   SplitDefinition   `json:"train,omitzero"` // zero: evaluation sets alone
	Eval    []SplitDefinition `json:"eval"`           // in the order of evaluation

	dir string // directory of the definition file; empty if embedded
}

// Counts holds the numbers of images that the stored splits must have. 0 accepts any
// number.
type Counts struct {
	Train int `json:"train,omitzero"`
	Test  int `json:"test,omitzero"`
}

// Augment says how training images are varied at random. A transform that is absent draws
// nothing from the random streams.
type Augment struct {
	Flip        bool `json:"flip"`         // mirror an image with probability 1/2
	CropPadding int  `json:"crop_padding"` // pixels of zeros on each side before a random crop to the image's size; 0 means no crop
	// Cutout is the side in pixels of a square that is blanked; 0: none. A recipe sets it; definitions do not.
	Cutout int `json:"-"`
}

// SplitDefinition says which images of a stored split a loader reads, and in which order.
// At most one of Indices, Split and Half selects images; without them, it reads all.
type SplitDefinition struct {
	Name string `json:"name,omitempty"` // of an evaluation set; empty for the training set
	// From is the stored split: train or test. Evaluation sets alone in arrays may have any: NAME stands
	// for the arrays x_NAME and y_NAME.
	From string `json:"from"`
	// Indices names a JSON file that lists indices of images in the stored split.
	Indices string `json:"indices,omitempty"`
	// Split names a published list of such indices, one of configs.Splits.
	Split string `json:"split,omitempty"`
	// Half and HalfSeed divide the stored split as cifar-split.txt was made: CPython's
	// random, seeded with HalfSeed, shuffles all indices, and the loader reads the first
	// or the second half of them, sorted.
	Half     string  `json:"half,omitempty"` // first or second
	HalfSeed *uint64 `json:"half_seed,omitempty"`
	Order    Order   `json:"order"`
}

// Order is the order in which a loader visits its images, named after torch's samplers.
type Order string

// The orders, with their samplers.
const (
	Sequential Order = "sequential" // SequentialSampler
	Shuffle    Order = "shuffle"    // RandomSampler, DataLoader(shuffle=True)
	Subset     Order = "subset"     // SubsetRandomSampler over the split's indices
)

// EvaluationOnly reports whether the dataset has evaluation sets alone: its definition lacks the key
// train. Weights that were trained on another dataset are evaluated on it; nothing is trained.
func (d Definition) EvaluationOnly() bool { return d.Train == SplitDefinition{} }

// CheckTraining returns a usage error if the dataset has evaluation sets alone.
func (d Definition) CheckTraining() error {
	if d.EvaluationOnly() {
		return usage.Errorf("dataset %s has no training set, only evaluation sets: weights can be evaluated on it, but not trained; use another dataset", d.Name)
	}
	return nil
}

// trainedSplits lists the stored splits of a dataset with a training set.
func trainedSplits() []string { return []string{"train", "test"} }

// storedSplits lists the stored splits to read: train and test, or if the dataset has evaluation sets
// alone those from which they take images, in their order.
func (d *Definition) storedSplits() []string {
	if !d.EvaluationOnly() {
		return trainedSplits()
	}
	var names []string
	for _, p := range d.Eval {
		if !slices.Contains(names, p.From) {
			names = append(names, p.From)
		}
	}
	return names
}

// splits lists the training set, if there is one, and the evaluation sets.
func (d *Definition) splits() []SplitDefinition {
	if d.EvaluationOnly() {
		return d.Eval
	}
	return append([]SplitDefinition{d.Train}, d.Eval...)
}

// CountImages returns the number of images in a split, and whether the definition alone
// determines it.
func (d Definition) CountImages(p SplitDefinition) (n int, known bool) {
	stored := map[string]int{"train": d.Images.Train, "test": d.Images.Test}
	if d.Format == formatDigits {
		stored = map[string]int{"train": digitsTrain, "test": digitsTest}
	}
	if p.Indices != "" {
		return 0, false
	}
	n = configs.CountSplit(stored[p.From], p.Split, p.Half)
	return n, n > 0
}

// Find returns the definition that a command line names, by a dataset key or by the path of
// a definition file, which must end in .json.
func Find(keyOrFile string) (Definition, error) {
	if filepath.Ext(keyOrFile) == ".json" {
		return ReadDefinition(keyOrFile)
	}
	return Published(keyOrFile)
}

// Published returns the embedded definition of a published dataset key. Any other key is a
// usage error.
func Published(key string) (Definition, error) {
	if text := configs.Definition(key); text != nil {
		return parse(key+".json", text)
	}
	return Definition{}, usage.Errorf("unknown dataset key %q; use one of %s, or a definition file (*.json)", key, strings.Join(configs.Datasets(), ", "))
}

// ReadDefinition reads and checks a user's definition file. The name in it must not be a
// published dataset key, so that records of the two cannot be confused.
func ReadDefinition(file string) (Definition, error) {
	text, err := infile.Read(file, infile.MaxText)
	if err != nil {
		return Definition{}, usage.Errorf("cannot read the dataset definition: %w", err)
	}
	d, err := DecodeDefinition(file, text, filepath.Dir(file))
	if errors.Is(err, configs.ErrNotJSON) {
		return Definition{}, usage.Errorf("%w; nb201 data import writes a definition, and docs/formats.md describes it", err)
	}
	if err != nil {
		return Definition{}, err
	}
	if slices.Contains(configs.Datasets(), d.Name) {
		return Definition{}, usage.Errorf("%s: key \"name\": %q is a published dataset key; choose another name, or use --dataset %s with --data",
			file, d.Name, d.Name)
	}
	return d, nil
}

// DecodeDefinition reads and checks a definition that is part of another file, such as a
// record. origin names it in errors. Relative paths in it start in dir.
func DecodeDefinition(origin string, text []byte, dir string) (Definition, error) {
	d, err := parse(origin, text)
	d.dir = dir
	return d, err
}

// Directory returns the absolute path of the directory of the definition's file, and "" for a published
// dataset, which has none.
func (d Definition) Directory() (string, error) {
	if d.dir == "" {
		return "", nil
	}
	return filepath.Abs(d.dir)
}

func parse(file string, text []byte) (Definition, error) {
	var d Definition
	if err := configs.Decode(file, text, &d); err != nil {
		return Definition{}, err
	}
	var given struct {
		Train jsontext.Value `json:"train"`
	}
	if err := configs.DecodeKnown(file, text, &given); err != nil {
		return Definition{}, err
	}
	if d.EvaluationOnly() && given.Train != nil {
		return Definition{}, usage.Errorf("%s: key \"train\" is empty; name the stored split in its key \"from\", or leave out \"train\" for evaluation sets alone", file)
	}
	if key, problem := d.check(); problem != "" {
		return Definition{}, usage.Errorf("%s: key %q %s", file, key, problem)
	}
	return d, nil
}

// MaxSize is the largest side of images, in pixels, that a definition may have.
const MaxSize = 1024

// ValidSize reports whether images may have sides of this many pixels.
func ValidSize(pixels int) bool { return pixels >= 4 && pixels <= MaxSize && pixels%4 == 0 }

// Limits of a definition, far beyond what can be trained.
const (
	maxClasses = 1 << 16
	maxImages  = 100_000_000 // of a split
)

// check returns the first key whose value is wrong, and why. Both are empty if d is valid.
func (d *Definition) check() (key, problem string) {
	if err := configs.CheckName(d.Name); err != nil {
		return "name", fmt.Sprintf("is %v", err)
	}
	padding := d.Augment.CropPadding
	switch {
	case d.Format == "":
		return "format", "is missing; use one of " + strings.Join(Formats(), ", ")
	case formats[d.Format].read == nil:
		return "format", fmt.Sprintf("is the unknown format %q; use one of %s", d.Format, strings.Join(Formats(), ", "))
	case (d.Path == "") != (d.Format == formatDigits):
		return "path", "must name the directory of the files (for npz, the file), and must be absent for digits"
	case d.Classes < 2 || d.Classes > maxClasses:
		return "classes", fmt.Sprintf("must be from 2 to %d, not %d", maxClasses, d.Classes)
	case d.Images.Train < 0 || d.Images.Train > maxImages:
		return "images.train", fmt.Sprintf("must be from 0 to %d, not %d", maxImages, d.Images.Train)
	case d.Images.Test < 0 || d.Images.Test > maxImages:
		return "images.test", fmt.Sprintf("must be from 0 to %d, not %d", maxImages, d.Images.Test)
	case d.Size[0] != d.Size[1]:
		return "size", fmt.Sprintf("must be square, not %dx%d", d.Size[0], d.Size[1])
	case !ValidSize(d.Size[0]):
		return "size", fmt.Sprintf("must be a multiple of 4 from 4 to %d, not %d", MaxSize, d.Size[0])
	case slices.ContainsFunc(d.Mean[:], func(m float64) bool { return m < 0 || m > 255 }):
		return "mean", fmt.Sprintf("must be from 0 to 255, not %v", d.Mean)
	case slices.ContainsFunc(d.Std[:], func(s float64) bool { return s <= 0 || s > 255 }):
		return "std", fmt.Sprintf("must be above 0 and at most 255, not %v", d.Std)
	case padding < 0 || padding > d.Size[0]:
		return "augment.crop_padding", fmt.Sprintf("must be from 0 to %d, not %d", d.Size[0], padding)
	case d.Train.Name != "":
		return "train.name", "is only for evaluation sets"
	case d.EvaluationOnly() && d.Augment != Augment{}:
		return "augment", "is only for a training set, and the key \"train\" is missing; leave it out"
	case len(d.Eval) == 0:
		return "eval", "must list at least one evaluation set"
	}
	if !d.EvaluationOnly() {
		if key, problem := d.Train.check(false); problem != "" {
			return "train." + key, problem
		}
	}
	free := d.EvaluationOnly() && (d.Format == formatNpz || d.Format == formatNpy)
	seen := map[string]bool{"train": true, "valid": true} // the Python clients' names of the training set and x-valid
	for i, p := range d.Eval {
		key, problem := p.check(free)
		switch err := configs.CheckName(p.Name); {
		case problem != "":
		case err != nil:
			key, problem = "name", fmt.Sprintf("is %v", err)
		case seen[p.Name]:
			key, problem = "name", fmt.Sprintf("is %q, which is taken; choose another", p.Name)
		}
		if problem != "" {
			return fmt.Sprintf("eval.%d.%s", i, key), problem
		}
		seen[p.Name] = true
	}
	return "", ""
}

// check is like [Definition.check]. free says that the stored split may have any name.
func (p *SplitDefinition) check(free bool) (key, problem string) {
	known := slices.Contains(trainedSplits(), p.From)
	err := configs.CheckName(p.From)
	switch {
	case !known && !free:
		return "from", fmt.Sprintf("must be train or test, not %q", p.From)
	case err != nil:
		return "from", fmt.Sprintf("is %v", err)
	case !slices.Contains([]Order{Sequential, Shuffle, Subset}, p.Order):
		return "order", fmt.Sprintf("must be sequential, shuffle or subset, not %q", p.Order)
	case !slices.Contains([]string{"", "first", "second"}, p.Half):
		return "half", fmt.Sprintf("must be first or second, not %q", p.Half)
	case (p.Half == "") != (p.HalfSeed == nil):
		return "half_seed", "must be given together with half, and only then"
	case p.Half != "" && p.Indices != "":
		return "indices", "cannot be combined with half"
	case p.Split != "" && (p.Half != "" || p.Indices != ""):
		return "split", "cannot be combined with half or indices"
	case p.Split != "" && !slices.Contains(configs.Splits(), p.Split):
		return "split", fmt.Sprintf("must be one of %s, not %q", strings.Join(configs.Splits(), ", "), p.Split)
	case p.Order == Subset && p.Half == "" && p.Indices == "" && p.Split == "":
		return "order", "is subset, which needs indices, split or half"
	}
	return "", ""
}

// Warning returns a warning if a valid definition is probably wrong, and "" otherwise.
func (d *Definition) Warning() string {
	if slices.Max(slices.Concat(d.Mean[:], d.Std[:])) > 1 {
		return ""
	}
	return fmt.Sprintf("dataset %s: all means and deviations are at most 1, but their scale is 0 to 255; "+
		"multiply them by 255 if they were computed on pixels from 0 to 1", d.Name)
}

// Formats lists the file formats that [Definition.Load] reads, in alphabetical order.
func Formats() []string { return slices.Sorted(maps.Keys(formats)) }
