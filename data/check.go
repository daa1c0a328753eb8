package data

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"hash"
	"io"
	"math"
	"path"
	"path/filepath"
	"slices"

	"nb201/configs"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// Report is what Check found of a data set.
type Report struct {
	Key     string        `json:"key"`
	Format  string        `json:"format"` // that was read
	Path    string        `json:"path,omitempty"`
	Classes int           `json:"classes"`
	Size    int           `json:"size"`
	Files   []CheckedFile `json:"files"`
	Sets    []CheckedSet  `json:"sets"` // train, then the evaluation sets
	// Measured are the mean and the deviation of the images trained on, on the scale
	// 0..255; Definition those that the definition normalises with.
	Measured   Normalization `json:"measured"`
	Definition Normalization `json:"definition"`
	Faults     []string      `json:"faults"` // none: the data set is what its definition says
}

// CheckedFile is a file that was read.
type CheckedFile struct {
	File
	Published Publication `json:"published,omitempty"`
}

// Publication says how a file compares with the published one of its name.
type Publication string

const (
	AsPublished Publication = "as published" // the MD5 is the same
	Differs     Publication = "differs"
)

// CheckedSet is what a loader reads.
type CheckedSet struct {
	Name   string `json:"name"`
	Images int    `json:"images"`
	Class  []int  `json:"class"` // images of each class
}

// Normalization are means and deviations of red, green and blue.
type Normalization struct {
	Mean [3]float64 `json:"mean"`
	Std  [3]float64 `json:"std"`
}

// tolerance is how far, on the scale 0..255, a definition's mean and deviation may be from
// the measured ones: the published ones are rounded, and cifar10-valid has those of all of
// CIFAR-10.
const tolerance = 1

// Check reads a data set as Load does and holds it against its definition: the files
// against the published ones of their names, the balance of the classes, means and
// deviations. What Load refuses is an error; what else is wrong is a fault in the report.
func (d Definition) Check(root string) (*Report, error) {
	format, where, err := d.locate(root)
	if err != nil {
		return nil, err
	}
	ds, err := d.Load(root)
	if err != nil {
		return nil, err
	}
	r := &Report{
		Key: d.Name, Format: format, Path: where, Classes: d.Classes, Size: d.Size[0],
		Definition: Normalization{d.Mean, d.Std}, Faults: []string{},
	}
	for _, f := range ds.Files {
		checked := CheckedFile{File: f}
		if want, ok := configs.PublishedMD5(f.Name); ok && slices.Contains(configs.Datasets(), d.Name) {
			sum, err := hashFile(filepath.Join(where, path.Base(f.Name)), md5.New())
			if err != nil {
				return nil, err
			}
			checked.Published = AsPublished
			if sum != want {
				checked.Published = Differs
				r.fault("%s has the MD5 %s, the published file %s", f.Name, sum, want)
			}
		}
		r.Files = append(r.Files, checked)
	}
	for _, split := range append([]Split{ds.Train}, ds.Eval...) {
		set := CheckedSet{split.Name, split.Len(), split.classes(d.Classes)}
		r.Sets = append(r.Sets, set)
		if empty := slices.Index(set.Class, 0); empty >= 0 && split.Name == ds.Train.Name {
			r.fault("class %d has no image to train on", empty)
		}
	}
	m := ds.Train.Images.Stats(ds.Train.Indices)
	r.Measured = Normalization{m.Mean(), m.Std()}
	r.compare("mean", r.Measured.Mean, d.Mean)
	r.compare("deviation", r.Measured.Std, d.Std)
	return r, nil
}

func (r *Report) fault(format string, args ...any) {
	r.Faults = append(r.Faults, fmt.Sprintf(format, args...))
}

func (r *Report) compare(what string, measured, defined [3]float64) {
	for c, colour := range []string{"red", "green", "blue"} {
		if math.Abs(measured[c]-defined[c]) > tolerance {
			r.fault("the %s of %s is %.2f, not the definition's %.2f", what, colour, measured[c], defined[c])
		}
	}
}

// classes counts the images of each class.
func (s *Split) classes(n int) []int {
	counts := make([]int, n)
	if s.Indices == nil {
		for _, label := range s.Images.Labels {
			counts[label]++
		}
	}
	for _, i := range s.Indices {
		counts[s.Images.Labels[i]]++
	}
	return counts
}

// hashFile is the hash, in hex, of a file of any length.
func hashFile(file string, sum hash.Hash) (string, error) {
	f, err := infile.Open(file)
	if err != nil {
		return "", usage.Errorf("cannot read the data: %w", err)
	}
	defer f.Close()
	if _, err := io.Copy(sum, f); err != nil {
		return "", usage.Errorf("cannot read the data: %w", err)
	}
	return hex.EncodeToString(sum.Sum(nil)), nil
}

// Where is the directory or the file that Load reads with the same root, empty where the
// images are embedded, and the format it reads.
func (d Definition) Where(root string) (path, format string, err error) {
	format, path, err = d.locate(root)
	return path, format, err
}
