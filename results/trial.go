package results

import (
	"cmp"
	"fmt"
	"path/filepath"
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/usage"
)

// Trial names one training run.
type Trial struct {
	Arch    int    `json:"architecture"` // official index, 0..15624
	Dataset string `json:"dataset"`      // dataset key
	Epochs  int    `json:"epochs"`       // the schedule
	Seed    uint32 `json:"seed"`
}

func (t Trial) String() string {
	return fmt.Sprintf("architecture %d on %s, %d epochs, seed %d", t.Arch, t.Dataset, t.Epochs, t.Seed)
}

// Check refuses, as a usage error, a trial that no campaign can hold.
func (t Trial) Check() error {
	if _, err := cell.ByIndex(t.Arch); err != nil {
		return err
	}
	if t.Epochs < 1 {
		return usage.Errorf("a schedule of %d epochs: use at least 1", t.Epochs)
	}
	if err := configs.CheckName(t.Dataset); err != nil {
		return usage.Errorf("dataset key %w", err)
	}
	return nil
}

// Compare orders trials by architecture, dataset key (the published ones first, in
// the original's order), schedule and seed.
func (t Trial) Compare(other Trial) int {
	return cmp.Or(
		cmp.Compare(t.Arch, other.Arch),
		compareDatasets(t.Dataset, other.Dataset),
		cmp.Compare(t.Epochs, other.Epochs),
		cmp.Compare(t.Seed, other.Seed),
	)
}

// Path is where the files of t lie below a folder of a campaign, without extension:
// 000123/cifar10/0012-0777.
func (t Trial) Path() string {
	return filepath.Join(fmt.Sprintf("%06d", t.Arch), t.Dataset, fmt.Sprintf("%04d-%04d", t.Epochs, t.Seed))
}

// ParsePath is the inverse of Path; ok is false for a path that no trial has.
func ParsePath(path string) (t Trial, ok bool) {
	parts := strings.Split(filepath.ToSlash(path), "/")
	if len(parts) != 3 {
		return t, false
	}
	arch, ok1 := parseArch(parts[0])
	epochs, seed, ok2 := parseRecordName(parts[2] + ".json")
	t = Trial{arch, parts[1], epochs, seed}
	return t, ok1 && ok2 && configs.CheckName(t.Dataset) == nil
}

func compareDatasets(a, b string) int {
	return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a, b))
}
