package results

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strconv"
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/quantity"
	"nb201/internal/usage"
)

// Trial identifies one training run.
type Trial struct {
	Space   cell.Name `json:"space,omitzero"`  // search space of the architecture
	Arch    int       `json:"architecture"`    // index of the architecture in its space
	Dataset string    `json:"dataset"`         // dataset key, such as "cifar10-valid"
	Recipe  string    `json:"recipe,omitzero"` // name of a user's own recipe; "": the schedule is named by its number of epochs
	Epochs  int       `json:"epochs"`
	Seed    uint32    `json:"seed"`
}

// Schedule returns the name of the trial's schedule, the "hp" of the Python clients: the name of a
// user's own recipe, or the number of epochs as the space writes it.
func (t Trial) Schedule() string { return cmp.Or(t.Recipe, t.Space.Space().Schedule(t.Epochs)) }

// Architecture returns the architecture. If it does not exist, the error is a usage error.
func (t Trial) Architecture() (cell.Arch, error) {
	if err := t.Space.Check(); err != nil {
		return nil, err
	}
	return t.Space.Space().ByIndex(t.Arch)
}

// String describes t in words, for errors and logs.
func (t Trial) String() string {
	schedule := quantity.Format(t.Epochs, "epoch")
	if t.Recipe != "" {
		schedule = "recipe " + t.Recipe
	}
	return fmt.Sprintf("%s on %s, %s, seed %d", cell.Describe(t.Space.Space(), t.Arch), t.Dataset, schedule, t.Seed)
}

// Check returns a usage error if no campaign can hold t: its architecture does not exist, its
// schedule has no epochs, or its dataset key or recipe does not have a valid name.
func (t Trial) Check() error {
	if _, err := t.Architecture(); err != nil {
		return err
	}
	if t.Epochs < 1 {
		return usage.Errorf("the schedule has %d epochs; use at least 1", t.Epochs)
	}
	if err := configs.CheckName(t.Dataset); err != nil {
		return usage.Errorf("dataset key %w", err)
	}
	if err := configs.CheckRecipeName(t.Recipe); t.Recipe != "" && err != nil {
		return usage.Errorf("recipe %w", err)
	}
	return nil
}

// Compare orders trials by space, architecture, dataset key (the published keys first, in the
// original's order), schedule (the shortest first) and seed. It returns a negative number, zero or a positive one,
// like [cmp.Compare].
func (t Trial) Compare(other Trial) int {
	return cmp.Or(
		cmp.Compare(t.Space, other.Space),
		cmp.Compare(t.Arch, other.Arch),
		configs.CompareKeys(t.Dataset, other.Dataset),
		t.CompareSchedule(other),
		cmp.Compare(t.Seed, other.Seed),
	)
}

// CompareSchedule orders trials by schedule: the shortest first, and of equal length those without a
// name first.
func (t Trial) CompareSchedule(other Trial) int {
	return cmp.Or(cmp.Compare(t.Epochs, other.Epochs), cmp.Compare(t.Recipe, other.Recipe))
}

// Path returns the path of the files of t inside the trials and weights folders of a
// campaign, without extension: 000123/cifar10/0012-0777 or, of the recipe warm,
// 000123/cifar10/warm-0012-0777. In the size search space the folder is sss-000123.
func (t Trial) Path() string {
	name := fmt.Sprintf("%04d-%04d", t.Epochs, t.Seed)
	if t.Recipe != "" {
		name = t.Recipe + "-" + name
	}
	return filepath.Join(t.folder(), t.Dataset, name)
}

// folder returns the name of the architecture's folder, such as 000123 or sss-000123.
func (t Trial) folder() string {
	folder := fmt.Sprintf("%06d", t.Arch)
	if t.Space != "" {
		folder = string(t.Space) + "-" + folder
	}
	return folder
}

// ParsePath is the inverse of [Trial.Path]; ok is false for a path that no trial has.
func ParsePath(path string) (t Trial, ok bool) {
	parts := strings.Split(filepath.ToSlash(path), "/")
	if len(parts) != 3 {
		return t, false
	}
	arch, ok1 := parseFolder(parts[0])
	t, ok2 := parseRecordName(parts[2] + ".json")
	t.Space, t.Arch, t.Dataset = arch.Space, arch.Arch, parts[1]
	return t, ok1 && ok2 && configs.CheckName(t.Dataset) == nil
}

// parseFolder parses the name of an architecture's folder, such as 000123 or sss-000123. It sets the
// space and the architecture.
func parseFolder(folder string) (t Trial, ok bool) {
	digits := folder
	if space, rest, named := strings.Cut(folder, "-"); named {
		t.Space, digits = cell.Name(space), rest
		if space == "" || t.Space.Check() != nil {
			return Trial{}, false
		}
	}
	n, ok := parseNumber(digits, 6)
	t.Arch = int(n)
	return t, ok && t.Arch < t.Space.Space().Count()
}

// parseRecordName parses a file name such as 0012-0777.json, as Trial.Path formats it. It sets the
// schedule and the seed.
func parseRecordName(file string) (t Trial, ok bool) {
	name, isJSON := strings.CutSuffix(file, ".json")
	name, seed, _ := cutLast(name)
	recipe, epochs, isOwn := cutLast(name)
	e, ok1 := parseNumber(epochs, 4)
	s, ok2 := parseNumber(seed, 4)
	if isOwn && configs.CheckRecipeName(recipe) != nil {
		return t, false
	}
	return Trial{Recipe: recipe, Epochs: int(e), Seed: uint32(s)}, isJSON && ok1 && ok2 && e > 0
}

// cutLast cuts a name at its last hyphen. Without one, all of it is after.
func cutLast(name string) (before, after string, found bool) {
	i := strings.LastIndexByte(name, '-')
	return name[:max(i, 0)], name[i+1:], i >= 0
}

// parseNumber parses a number below 2^32 that is written with at least the given number of
// digits; leading zeros are accepted only as padding to that number.
func parseNumber(text string, digits int) (n uint64, ok bool) {
	n, err := strconv.ParseUint(text, 10, 32)
	return n, err == nil && (len(text) == digits || len(text) > digits && text[0] != '0')
}
