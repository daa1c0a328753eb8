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

// Report is the result of [Definition.Check].
type Report struct {
	Key     string        `json:"key"`
	Format  string        `json:"format"`         // of the files read
	Path    string        `json:"path,omitempty"` // their directory, or the npz file; empty if embedded
	Classes int           `json:"classes"`
	Size    int           `json:"size"` // side of the images in pixels
	Files   []CheckedFile `json:"files"`
	Sets    []CheckedSet  `json:"sets"` // the training set, if there is one, then the evaluation sets
	// Measured is computed over the training set, nil if there is none; Definition is what the
	// definition normalises with.
	Measured   *Normalization `json:"measured,omitzero"`
	Definition Normalization  `json:"definition"`
	Faults     []string       `json:"faults"` // empty if the dataset agrees with its definition
}

// CheckedFile is a file that was read.
type CheckedFile struct {
	File
	Published PublishedMatch `json:"published,omitempty"` // empty if no published file has its name
}

// PublishedMatch is the result of comparing a file with the published file of the same name.
type PublishedMatch string

// The results of comparing a file with the published one.
const (
	AsPublished PublishedMatch = "as published" // the MD5 sums are equal
	Differs     PublishedMatch = "differs"
)

// CheckedSet counts the images of a training or evaluation set.
type CheckedSet struct {
	Name   string `json:"name"`
	Images int    `json:"images"`
	Class  []int  `json:"class"` // number of images by class
}

// Normalization holds the means and standard deviations of red, green and blue, on the
// scale 0 to 255.
type Normalization struct {
	Mean [3]float64 `json:"mean"`
	Std  [3]float64 `json:"std"`
}

// tolerance is the largest accepted difference, on the scale 0 to 255, between a mean or
// deviation of a definition and the measured one. The published ones are rounded, and
// cifar10-valid uses those of all of CIFAR-10.
const tolerance = 1

// Check reads a dataset as [Definition.Load] does and checks it against its definition. It
// compares the files with the published files of the same names, makes sure that every class
// has training images, and compares means and deviations. The last two do not apply to evaluation
// sets alone. If Load fails, Check returns its error; anything else that is wrong is a fault in the
// report.
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
				r.fault("%s has the MD5 %s; the published file has %s", f.Name, sum, want)
			}
		}
		r.Files = append(r.Files, checked)
	}
	sets := ds.Eval
	if !ds.EvaluationOnly() {
		sets = append([]Split{ds.Train}, sets...)
	}
	for _, split := range sets {
		set := CheckedSet{split.Name, split.Len(), split.classes(d.Classes)}
		r.Sets = append(r.Sets, set)
		if empty := slices.Index(set.Class, 0); empty >= 0 && split.Name == ds.Train.Name {
			r.fault("class %d has no training images", empty)
		}
	}
	if ds.EvaluationOnly() {
		return r, nil
	}
	m := ds.Train.Images.Stats(ds.Train.Indices)
	r.Measured = &Normalization{m.Mean(), m.Std()}
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

// classes returns the number of images in each of n classes.
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

// hashFile returns the hash of a file of any length, in hex.
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

// Where returns the directory, or the npz file, that [Definition.Load] would read with the
// same root, and its format. path is empty if the images are embedded in the program.
func (d Definition) Where(root string) (path, format string, err error) {
	format, path, err = d.locate(root)
	return path, format, err
}
