package results

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"iter"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/configs"
)

// Settings describe what a trial depended on besides its architecture and seed, as far as its
// file gives it: recipe, parity profile, precision, data files and so on. The trials of one
// experiment agree in them.
type Settings struct {
	Trial
	files []File // files that the images were read from, in reading order; nil: not known
	list  []setting
}

// setting is one of the Settings as text.
type setting struct {
	name, value string
	scope       scope
}

// scope says which trials of an experiment must agree in a setting: those with the same
// dataset key; those that also have the same schedule; those that also have the same
// architecture.
type scope int

const (
	ofDataset scope = iota
	ofSchedule
	ofArchitecture
)

// narrowestScope returns the narrowest scope that contains both trials; ok is false when
// their dataset keys differ.
func narrowestScope(a, b Trial) (s scope, ok bool) {
	switch {
	case a.Dataset != b.Dataset:
		return 0, false
	case a.Schedule() != b.Schedule():
		return ofDataset, true
	case a.Arch != b.Arch:
		return ofSchedule, true
	}
	return ofArchitecture, true
}

// Difference is a setting in which two trials differ.
type Difference struct {
	Setting string `json:"setting"`     // its name, such as "batch" or "precision"
	Value   string `json:"value"`       // in the trial asked about
	Other   string `json:"other_value"` // in the trial it is compared with
}

// String describes d, as in "batch is 128, not 256".
func (d Difference) String() string {
	return fmt.Sprintf("%s is %s, not %s", d.Setting, d.Value, d.Other)
}

// Differences is a list of differences that prints as one line.
type Differences []Difference

// String joins the differences with semicolons.
func (d Differences) String() string {
	texts := make([]string, len(d))
	for i := range d {
		texts[i] = d[i].String()
	}
	return strings.Join(texts, "; ")
}

// Differ lists the settings in which s differs from other. It compares the settings that both
// files give and that the two trials must share, as their dataset keys, schedules and
// architectures require. Trials with different dataset keys need not share any.
func (s Settings) Differ(other Settings) Differences {
	within, ok := narrowestScope(s.Trial, other.Trial)
	if !ok {
		return nil
	}
	return s.differ(other, within)
}

func (s Settings) differ(other Settings, within scope) Differences {
	differences := DifferentFiles(s.files, other.files)
	for _, a := range s.list {
		i := slices.IndexFunc(other.list, func(b setting) bool { return b.name == a.name })
		if i >= 0 && a.scope <= within && a.value != other.list[i].value {
			differences = append(differences, Difference{a.name, a.value, other.list[i].value})
		}
	}
	return differences
}

// ErrOtherImages reports that images are not the ones a trial was trained on.
var ErrOtherImages = errors.New("the images are not the ones that the trial was trained on")

// DifferentFiles lists the differences between the data files of two trials. Files with equal
// contents are equal whatever their names. An empty list means that the files are not known;
// it does not differ from any.
func DifferentFiles(files, others []File) Differences {
	sums := func(files []File) (sums []string) {
		for _, f := range files {
			sums = append(sums, f.SHA256)
		}
		return sums
	}
	if len(files) == 0 || len(others) == 0 || slices.Equal(sums(files), sums(others)) {
		return nil
	}
	// The directory does not matter: it may differ from machine to machine.
	names := func(files []File) string {
		var names []string
		for _, f := range files {
			names = append(names, path.Base(f.Name))
		}
		return strings.Join(names, ", ")
	}
	if a, b := names(files), names(others); a != b {
		return Differences{{"list of data files", a, b}}
	}
	var differences Differences
	for i, f := range files {
		if f.SHA256 != others[i].SHA256 {
			differences = append(differences, Difference{"SHA-256 of " + path.Base(f.Name), f.SHA256, others[i].SHA256})
		}
	}
	return differences
}

// Digest returns a hash of the settings that all architectures share. For trials with the
// same dataset key and schedule, equal digests mean that their files give the same settings
// with the same values.
func (s Settings) Digest() string { return s.digest(ofSchedule) }

func (s Settings) digest(within scope) string {
	sum := sha256.New()
	write := func(text string) { // no text contains a zero byte, so it can separate them
		io.WriteString(sum, text)
		sum.Write([]byte{0})
	}
	for _, f := range s.files {
		write(f.SHA256)
	}
	for _, a := range s.list {
		if a.scope <= within {
			write(a.name)
			write(a.value)
		}
	}
	return hex.EncodeToString(sum.Sum(nil)[:16])
}

func (s *Settings) add(scope scope, name, value string) {
	s.list = append(s.list, setting{name, value, scope})
}

// addObject adds the members of a JSON object as settings. names renames members; a member
// renamed to "" is left out.
func (s *Settings) addObject(scope scope, object []byte, names map[string]string) {
	for name, value := range members(object) {
		to, renamed := names[name]
		if !renamed {
			to = strings.ReplaceAll(name, "_", " ")
		}
		if to == "" {
			continue
		}
		s.add(scope, to, plain(value))
	}
}

// plain returns a JSON value as text; a string loses its quotes.
func plain(value jsontext.Value) string {
	if text, err := jsontext.AppendUnquote(nil, value); err == nil {
		return string(text)
	}
	return string(value)
}

// members yields the members of a JSON object in order, with the values in canonical form
// (RFC 8785). It yields nothing for any other JSON value.
func members(object []byte) iter.Seq2[string, jsontext.Value] {
	return func(yield func(string, jsontext.Value) bool) {
		d := jsontext.NewDecoder(bytes.NewReader(object))
		if token, err := d.ReadToken(); err != nil || token.Kind() != '{' {
			return
		}
		for d.PeekKind() == '"' {
			name, err := d.ReadToken()
			if err != nil {
				return
			}
			key := name.String()
			value, err := d.ReadValue()
			if err != nil {
				return
			}
			value = value.Clone()
			if value.Canonicalize() != nil || !yield(key, value) {
				return
			}
		}
	}
}

// inDefinition renames members of a dataset definition. Those that are not settings become
// "": name is the trial's dataset key, path is a location, images only restricts what is
// accepted, and addEvaluation handles eval.
var inDefinition = map[string]string{
	"name": "", "path": "", "images": "", "eval": "",
	"mean": "mean of the pixels", "std": "deviation of the pixels", "size": "size of the images",
	"augment": "augmentation", "train": "training set",
}

// inRecipe renames members of a recipe. Those that are the name of the schedule are left out: the name, and
// without one the number of epochs.
var inRecipe = map[string]string{
	"name": "", "epochs": "", "batch": "batch", "channels": "channels (C)", "cells": "cells (N)", "eta_min": "last learning rate",
	"augment": augmentOfRecipe,
}

// optionalInRecipe lists the names of the settings that a recipe need not contain.
var optionalInRecipe = []string{"decayed", "milestones", "gamma", "label smoothing", augmentOfRecipe, "evaluate every"}

// augmentOfRecipe names the augmentation of a recipe, which changes that of the dataset.
const augmentOfRecipe = "augmentation of the recipe"

// Settings returns the settings of the trial, all of which are known.
func (r *Record) Settings() Settings {
	s := Settings{Trial: r.Trial, files: r.DataFiles}
	s.addObject(ofDataset, r.Definition, inDefinition)
	s.addRecipe(r.Recipe)
	s.add(ofSchedule, "parity", string(r.Parity.Profile))
	s.add(ofSchedule, "timeline", string(r.Parity.Timeline))
	s.add(ofSchedule, "workers", strconv.Itoa(r.Parity.Workers))
	s.add(ofSchedule, "precision", string(r.Precision))
	s.addEvaluation(r.Definition)
	if r.InitialWeights == nil {
		s.add(ofSchedule, "source of the initial weights", "the seed")
	} else {
		s.add(ofSchedule, "source of the initial weights", "a file")
		s.add(ofArchitecture, "SHA-256 of the initial weights", r.InitialWeights.SHA256)
		classifier := "the file"
		if r.InitialWeights.NewClassifier() {
			classifier = "the seed"
		}
		s.add(ofSchedule, "source of the classifier to start from", classifier)
	}
	return s
}

// PublishedSettings returns the settings that a published file gives for a trial: the number
// of classes, and the whole recipe, or only channels (C) and cells (N), unless they are 0, if recipe is nil.
func PublishedSettings(t Trial, recipe *configs.Recipe, classes, channels, cells int) Settings {
	s := Settings{Trial: t}
	s.add(ofDataset, "classes", strconv.Itoa(classes))
	if recipe != nil {
		s.addRecipe(*recipe)
		return s
	}
	if channels != 0 {
		s.add(ofSchedule, inRecipe["channels"], strconv.Itoa(channels))
		s.add(ofSchedule, inRecipe["cells"], strconv.Itoa(cells))
	}
	return s
}

func (s *Settings) addRecipe(r configs.Recipe) {
	text, err := json.Marshal(r)
	if err != nil {
		panic(err) // cannot happen: every recipe can be marshalled
	}
	s.addObject(ofSchedule, text, inRecipe)
	if r.Name != "" {
		s.add(ofSchedule, "epochs", strconv.Itoa(r.Epochs))
	}
	for _, name := range optionalInRecipe {
		if !slices.ContainsFunc(s.list, func(known setting) bool { return known.name == name }) {
			s.add(ofSchedule, name, "absent")
		}
	}
}

// addEvaluation adds the evaluation sets of a dataset definition.
func (s *Settings) addEvaluation(definition []byte) {
	for key, sets := range members(definition) {
		var list []jsontext.Value
		if key != "eval" || json.Unmarshal(sets, &list) != nil {
			continue
		}
		var names []string
		for _, set := range list {
			for key, name := range members(set) {
				if key == "name" {
					names = append(names, plain(name))
					s.add(ofSchedule, "evaluation set "+plain(name), string(set))
				}
			}
		}
		s.add(ofSchedule, "list of evaluation sets", strings.Join(names, ", "))
	}
}
