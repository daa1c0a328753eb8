package data

import (
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"nb201/configs"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// Definition is a dataset definition: a JSON file, embedded for the published
// dataset keys, written by hand for a user's own.
type Definition struct {
	Name    string            `json:"name"`           // the dataset key
	Format  string            `json:"format"`         // of the files: one of Formats
	Path    string            `json:"path,omitempty"` // directory of the files; of npz the file
	Classes int               `json:"classes"`
	Images  Counts            `json:"images,omitzero"` // in the stored splits
	Size    [2]int            `json:"size"`            // height and width in pixels, equal, a multiple of 4
	Mean    [3]float64        `json:"mean"`            // of red, green, blue, on the scale 0..255
	Std     [3]float64        `json:"std"`             // likewise
	Augment Augment           `json:"augment"`
	Train   SplitDefinition   `json:"train"`
	Eval    []SplitDefinition `json:"eval"` // in the order in which an epoch evaluates them

	dir string // where the definition file lies; empty when embedded
}

// Counts are the images that the stored splits must hold; 0: any number.
type Counts struct {
	Train int `json:"train,omitzero"`
	Test  int `json:"test,omitzero"`
}

// Augment says how training images are varied. A transform that is left out draws
// nothing from the random streams.
type Augment struct {
	Flip        bool `json:"flip"`         // mirror every second image, at random
	CropPadding int  `json:"crop_padding"` // pixels of zeros around the image before a random crop of its size; 0: no crop
}

// SplitDefinition says which images of a stored split a loader reads, and in which order.
type SplitDefinition struct {
	Name string `json:"name,omitempty"` // of an evaluation set; the training set has none
	From string `json:"from"`           // stored split: train or test
	// Indices names a JSON file that lists the images' indices in the stored split.
	Indices string `json:"indices,omitempty"`
	// Split names a published list of such indices, one of configs.Splits.
	Split string `json:"split,omitempty"`
	// Half and HalfSeed divide the stored split as cifar-split.txt was made: CPython's
	// random, seeded with HalfSeed, shuffles all indices; the first or second half of
	// them, sorted, is read.
	Half     string  `json:"half,omitempty"` // first or second
	HalfSeed *uint64 `json:"half_seed,omitempty"`
	Order    Order   `json:"order"`
}

// Order says how a loader goes through its images.
type Order string

const (
	Sequential Order = "sequential" // SequentialSampler
	Shuffle    Order = "shuffle"    // RandomSampler, DataLoader(shuffle=True)
	Subset     Order = "subset"     // SubsetRandomSampler over the split's indices
)

// Count counts the images of a split, as far as the definition alone says.
func (d Definition) Count(p SplitDefinition) (n int, known bool) {
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

// Find is the definition that a command line names: a dataset key or a definition
// file, which ends in .json.
func Find(keyOrFile string) (Definition, error) {
	if filepath.Ext(keyOrFile) == ".json" {
		return ReadDefinition(keyOrFile)
	}
	return Published(keyOrFile)
}

// Published is the embedded definition of a dataset key.
func Published(key string) (Definition, error) {
	if text := configs.Definition(key); text != nil {
		return parse(key+".json", text)
	}
	return Definition{}, usage.Errorf("unknown dataset key %q: use one of %s, or a definition file (*.json)", key, strings.Join(configs.Datasets(), ", "))
}

// ReadDefinition reads a user's definition file. Its name may not be a published
// dataset key, so that their records cannot be taken for one another.
func ReadDefinition(file string) (Definition, error) {
	text, err := infile.Read(file, infile.MaxText)
	if err != nil {
		return Definition{}, usage.Errorf("cannot read the dataset definition: %w", err)
	}
	d, err := DecodeDefinition(file, text, filepath.Dir(file))
	if err != nil {
		return Definition{}, err
	}
	if slices.Contains(configs.Datasets(), d.Name) {
		return Definition{}, usage.Errorf("%s: key \"name\": %q is a published dataset key: choose another name, or use --dataset %s with --data", file, d.Name, d.Name)
	}
	return d, nil
}

// DecodeDefinition reads a definition that is kept elsewhere than in a file of its
// own, such as a record; origin names it in errors. Relative paths in it are looked
// for in dir, as if it lay there.
func DecodeDefinition(origin string, text []byte, dir string) (Definition, error) {
	d, err := parse(origin, text)
	d.dir = dir
	return d, err
}

func parse(file string, text []byte) (Definition, error) {
	var d Definition
	if err := configs.Decode(file, text, &d); err != nil {
		return Definition{}, err
	}
	if key, problem := d.check(); problem != "" {
		return Definition{}, usage.Errorf("%s: key %q %s", file, key, problem)
	}
	return d, nil
}

// Limits of a definition, far beyond what trains here.
const (
	maxSize    = 1024
	maxClasses = 1 << 16
	maxImages  = 100_000_000 // of a split
)

// check returns the first key whose value is wrong, and why; two empty strings
// when all is well.
func (d *Definition) check() (key, problem string) {
	if err := configs.CheckName(d.Name); err != nil {
		return "name", fmt.Sprintf("is %v", err)
	}
	padding := d.Augment.CropPadding
	switch {
	case formats[d.Format].read == nil:
		return "format", fmt.Sprintf("is the unknown format %q: use one of %s", d.Format, strings.Join(Formats(), ", "))
	case (d.Path == "") != (d.Format == formatDigits):
		return "path", "must name the directory of the files (of npz the file), and be absent for digits"
	case d.Classes < 2 || d.Classes > maxClasses:
		return "classes", fmt.Sprintf("must be 2..%d, not %d", maxClasses, d.Classes)
	case d.Images.Train < 0 || d.Images.Train > maxImages:
		return "images.train", fmt.Sprintf("must be 0..%d, not %d", maxImages, d.Images.Train)
	case d.Images.Test < 0 || d.Images.Test > maxImages:
		return "images.test", fmt.Sprintf("must be 0..%d, not %d", maxImages, d.Images.Test)
	case d.Size[0] != d.Size[1]:
		return "size", fmt.Sprintf("must be square, not %dx%d", d.Size[0], d.Size[1])
	case d.Size[0] < 4 || d.Size[0] > maxSize || d.Size[0]%4 != 0:
		return "size", fmt.Sprintf("must be a multiple of 4 in 4..%d, not %d", maxSize, d.Size[0])
	case slices.ContainsFunc(d.Mean[:], func(m float64) bool { return m < 0 || m > 255 }):
		return "mean", fmt.Sprintf("must be 0..255, not %v", d.Mean)
	case slices.ContainsFunc(d.Std[:], func(s float64) bool { return s <= 0 || s > 255 }):
		return "std", fmt.Sprintf("must be above 0 and at most 255, not %v", d.Std)
	case padding < 0 || padding > d.Size[0]:
		return "augment.crop_padding", fmt.Sprintf("must be 0..%d, not %d", d.Size[0], padding)
	case d.Train.Name != "":
		return "train.name", "is only for evaluation sets"
	case len(d.Eval) == 0:
		return "eval", "must list at least one evaluation set"
	}
	if key, problem := d.Train.check(); problem != "" {
		return "train." + key, problem
	}
	seen := map[string]bool{"train": true, "valid": true} // to the Python clients the training set, and x-valid
	for i, p := range d.Eval {
		key, problem := p.check()
		switch err := configs.CheckName(p.Name); {
		case problem != "":
		case err != nil:
			key, problem = "name", fmt.Sprintf("is %v", err)
		case seen[p.Name]:
			key, problem = "name", fmt.Sprintf("is %q, which is taken", p.Name)
		}
		if problem != "" {
			return fmt.Sprintf("eval.%d.%s", i, key), problem
		}
		seen[p.Name] = true
	}
	return "", ""
}

func (p *SplitDefinition) check() (key, problem string) {
	switch {
	case p.From != "train" && p.From != "test":
		return "from", fmt.Sprintf("must be train or test, not %q", p.From)
	case !slices.Contains([]Order{Sequential, Shuffle, Subset}, p.Order):
		return "order", fmt.Sprintf("must be sequential, shuffle or subset, not %q", p.Order)
	case !slices.Contains([]string{"", "first", "second"}, p.Half):
		return "half", fmt.Sprintf("must be first or second, not %q", p.Half)
	case (p.Half == "") != (p.HalfSeed == nil):
		return "half_seed", "goes together with half"
	case p.Half != "" && p.Indices != "":
		return "indices", "cannot go together with half"
	case p.Split != "" && (p.Half != "" || p.Indices != ""):
		return "split", "cannot go together with half or indices"
	case p.Split != "" && !slices.Contains(configs.Splits(), p.Split):
		return "split", fmt.Sprintf("must be one of %s, not %q", strings.Join(configs.Splits(), ", "), p.Split)
	case p.Order == Subset && p.Half == "" && p.Indices == "" && p.Split == "":
		return "order", "is subset, which needs indices, split or half"
	}
	return "", ""
}

// Warning says what of a valid definition is probably wrong; it is empty where nothing is.
func (d *Definition) Warning() string {
	if slices.Max(slices.Concat(d.Mean[:], d.Std[:])) > 1 {
		return ""
	}
	return fmt.Sprintf("dataset %s: all means and deviations are at most 1, but count on a scale of 0..255: multiply them by 255 if they are of pixels 0..1", d.Name)
}

// Formats lists the file formats that can be read.
func Formats() []string { return slices.Sorted(maps.Keys(formats)) }
