package importer

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/npy"
	"nb201/internal/usage"
)

// This file imports evaluation sets alone: corrupted images, or another test set, for weights that were
// trained on a dataset that the user names. The labels keep their numbers, since the weights know the
// classes by them.

// runEvaluation is [Run] for evaluation sets alone.
func (o *Options) runEvaluation(ctx context.Context) (*Report, error) {
	if o.Like == "" {
		return nil, usage.Errorf("evaluation sets alone need the dataset that the weights were trained on; name it with --like")
	}
	var err error
	if o.like, err = data.Find(o.Like); err != nil {
		return nil, err
	}
	if o.like.EvaluationOnly() {
		return nil, usage.Errorf("--like %s: no weights can be trained on it, since it has evaluation sets alone; name the dataset that they were trained on", o.Like)
	}
	if o.like.Name == o.Name {
		return nil, usage.Errorf("%s is the dataset of --like; choose another name", o.Name)
	}
	if o.Severities < 0 || o.Severities > maxSeverities {
		return nil, usage.Errorf("--severities %d: use 1 to %d", o.Severities, maxSeverities)
	}
	o.Size = o.like.Size[0]
	src, err := o.open()
	if err != nil {
		return nil, err
	}
	defer src.close()
	if height, width, err := src.dims(ctx); ctx.Err() != nil {
		return nil, ctx.Err()
	} else if err != nil || height != o.Size || width != o.Size { // err: they differ, or cannot be read, which is reported below
		src.notes = append(src.notes, fmt.Sprintf("images of another size were resized to %dx%d pixels, that of %s", o.Size, o.Size, o.like.Name))
	}
	d := data.Definition{
		Name: o.Name, Format: "npz", Path: o.Name + pixelFile,
		Classes: o.like.Classes, Size: o.like.Size, Mean: o.like.Mean, Std: o.like.Std,
	}
	for _, s := range src.sets {
		d.Eval = append(d.Eval, data.SplitDefinition{Name: s.Name, From: s.Name, Order: data.Sequential})
	}
	return o.withStaged(ctx, src, d, o.finishEvaluation)
}

// finishEvaluation writes the staged images as evaluation sets.
func (o *Options) finishEvaluation(ctx context.Context, b begun) (*Report, error) {
	src, d, images := b.src, b.definition, b.images
	all := &arranged{classes: src.classes, size: o.Size}
	for _, label := range images.labels {
		all.labels = append(all.labels, int32(label)) // the source checked it
	}
	if all.classes == nil {
		for class := range o.like.Classes {
			all.classes = append(all.classes, strconv.Itoa(class))
		}
	}
	var indices [][]int // of the staged images of each set
	next := 0
	for i := range src.sets {
		s := &src.sets[i]
		if i < len(images.counts) {
			s.Images = images.counts[i]
		}
		if s.Images == 0 {
			return nil, usage.Errorf("%s: the evaluation set %s (%s) has no images; add some, or remove it", o.Source, s.Name, s.From)
		}
		var of []int
		for range s.Images {
			of = append(of, next)
			next++
		}
		indices = append(indices, of)
		src.notes = append(src.notes, all.noteMissing(s.Name, of)...)
	}
	err := o.writeOutputs(ctx, b.to, &d, func(w io.Writer) error {
		store := npy.NewWriter(w)
		for i, s := range src.sets {
			if err := all.writeSplit(ctx, store, images, s.Name, indices[i], func(int, []byte) {}); err != nil {
				return err
			}
		}
		return cmp.Or(store.Texts("classes", all.classes), store.Close())
	})
	if err != nil {
		return nil, err
	}
	return &Report{
		Dataset: o.Name, Definition: o.file(definitionFile), Pixels: o.file(pixelFile),
		Source: src.kind, Table: src.table, Classes: all.classes, Sets: src.sets, Like: o.like.Name,
		Size: o.Size, Mean: d.Mean, Std: d.Std,
		Notes: src.notes, Unreadable: b.unreadable, Warning: images.warnDark(),
	}, nil
}

// maxSeverities is the greatest number of sets that the images of an array are divided into.
const maxSeverities = 100

// wrongLabel returns what is wrong with the label of an image of an evaluation set, and what to do, or "".
func (o *Options) wrongLabel(label float64) string {
	if !o.EvaluationOnly || label >= 0 && label < float64(o.like.Classes) {
		return ""
	}
	return fmt.Sprintf("the label %.0f, but the classes of %s are 0 to %d; give each image the number that its class has there", label, o.like.Name, o.like.Classes-1)
}

// openEvaluation recognises the kind of a source of evaluation sets alone and opens it.
func (o *Options) openEvaluation() (*source, error) {
	info, err := os.Stat(o.Source)
	if err != nil {
		return nil, usage.Errorf("cannot read the images: %w", err)
	}
	open, table := o.openEvaluationPictures, false
	switch {
	case info.IsDir():
		files, err := os.ReadDir(o.Source)
		if err != nil {
			return nil, usage.Errorf("cannot read the images: %w", err)
		}
		var arrays, tables []string
		for _, f := range files {
			switch name := f.Name(); {
			case f.IsDir() || strings.HasPrefix(name, "."):
			case filepath.Ext(name) == ".npy":
				arrays = append(arrays, name)
			case isTable(name):
				tables = append(tables, name)
			}
		}
		switch {
		case len(arrays) > 0 && len(tables) > 0:
			return nil, usage.Errorf("%s contains both arrays (%s) and tables (%s); name a directory of one kind", o.Source, joinFirst(arrays), joinFirst(tables))
		case len(arrays) > 0:
			open = o.openEvaluationArrays
		case len(tables) > 0:
			open, table = func() (*source, error) { return o.openEvaluationTables(tables) }, true
		}
	case isTable(o.Source):
		open, table = func() (*source, error) { return o.openEvaluationTables([]string{""}) }, true
	case filepath.Ext(o.Source) == ".npz":
		open = o.openEvaluationArrays
	default:
		return nil, usage.Errorf("%s cannot be imported; name a directory of class directories, *.npy or *.csv files, or a file *.npz, *.csv or *.csv.gz", o.Source)
	}
	if err := o.checkTable(table); err != nil {
		return nil, err
	}
	src, err := open()
	if err != nil {
		return nil, err
	}
	if o.Severities > 0 && src.kind != ofArrays {
		src.close()
		return nil, usage.Errorf("%s has no numpy arrays; --severities is only for arrays with the images of one severity after another", o.Source)
	}
	return src, nil
}

// chooseSets returns the names that can be those of evaluation sets, in alphabetical order, and notes the
// others: the Python clients call the training set train, and x-valid valid. It refuses names that
// cannot be written, and a source without any other.
func (o *Options) chooseSets(src *source, names []string) ([]string, error) {
	var chosen, left []string
	for _, name := range slices.Sorted(slices.Values(names)) {
		if err := configs.CheckName(name); err != nil {
			return nil, usage.Errorf("%s: the evaluation set %w; rename it", o.Source, err)
		}
		if name == "train" || name == "valid" {
			left = append(left, name)
		} else {
			chosen = append(chosen, name)
		}
	}
	if len(left) == 0 {
		return chosen, nil
	}
	if len(chosen) == 0 {
		return nil, usage.Errorf("%s: an evaluation set cannot be called %s, by which the Python clients mean another set; rename it", o.Source, joinFirst(left))
	}
	src.notes = append(src.notes, fmt.Sprintf("left out, because an evaluation set cannot be called so: %s", joinFirst(left)))
	return chosen, nil
}

// onlySet is the name of the evaluation set of a source that does not name it.
const onlySet = "test"

// openEvaluationPictures opens class directories: those of each directory in the source, which is a
// set, or those in the source itself.
func (o *Options) openEvaluationPictures() (*source, error) {
	src := &source{kind: ofPictures, close: func() {}}
	root, err := data.ListDirectory(o.Source)
	if err != nil {
		return nil, err
	}
	var names, flat []string
	for _, name := range root.Directories {
		d, err := data.ListDirectory(filepath.Join(o.Source, name))
		if err != nil {
			return nil, err
		}
		if len(d.Directories) > 0 {
			names = append(names, name)
		} else {
			flat = append(flat, name)
		}
	}
	switch {
	case len(root.Directories) == 0:
		return nil, usage.Errorf("%s contains no class directories; put the pictures of each class into a directory of its name", o.Source)
	case len(names) > 0 && len(flat) > 0:
		return nil, usage.Errorf("%s: %s contain directories, but %s do not; name a directory of evaluation sets, each with class directories, or one of class directories",
			o.Source, joinFirst(names), joinFirst(flat))
	}
	var counts skipped
	dirs := map[string]string{onlySet: o.Source}
	if len(names) > 0 {
		counts.countSkipped(root)
		dirs = map[string]string{}
		for _, name := range names {
			dirs[name] = filepath.Join(o.Source, name)
		}
	} else {
		names = []string{onlySet}
	}
	if names, err = o.chooseSets(src, names); err != nil {
		return nil, err
	}
	var files []string
	var samples []sample
	for i, name := range names {
		d, err := data.ListDirectory(dirs[name])
		if err != nil {
			return nil, err
		}
		counts.countSkipped(d)
		classes, err := data.ListClasses(dirs[name])
		if err != nil {
			return nil, err
		}
		if err := o.checkClassNames(dirs[name], classes, src.classes, dirs[names[0]]); err != nil {
			return nil, err
		}
		src.classes = nil
		for label, c := range classes {
			src.classes = append(src.classes, c.Name)
			files = append(files, c.Files...)
			samples = append(samples, slices.Repeat([]sample{{set: i, label: float64(label)}}, len(c.Files))...)
			counts.other += c.Other
			counts.hidden += c.Hidden
		}
		src.sets = append(src.sets, Set{Name: name, From: dirs[name]})
	}
	if len(files) == 0 {
		return nil, usage.Errorf("%s contains no pictures in class directories; add *.png, *.jpg or *.jpeg files", o.Source)
	}
	o.readPictures(src, counts, files, samples)
	return src, nil
}

// checkClassNames refuses the class directories of a set, in dir, unless they are as many as the classes,
// those of the first set, and numbered as their names say, if these are numbers.
func (o *Options) checkClassNames(dir string, classes []data.ClassDirectory, first []string, firstDir string) error {
	if len(classes) != o.like.Classes {
		return usage.Errorf("%s has %d class directories, but %s has %d classes; make one for each class, without pictures if the set has none of it",
			dir, len(classes), o.like.Name, o.like.Classes)
	}
	numbers := true
	for i, c := range classes {
		if first != nil && c.Name != first[i] {
			return usage.Errorf("%s has the class %q where %s has %q; use the same class directories in each set", dir, c.Name, firstDir, first[i])
		}
		_, err := strconv.Atoi(c.Name)
		numbers = numbers && err == nil
	}
	if !numbers {
		return nil
	}
	for i, c := range classes {
		if n, _ := strconv.Atoi(c.Name); n != i { // it is a number
			return usage.Errorf("%s: the class directory %q has place %d in the order of the names, which is its label; number the directories from 0, with zeros in front (00, 01, ...)",
				dir, c.Name, i)
		}
	}
	return nil
}

// openEvaluationTables opens CSV files, by their names in the source, or the source itself as the only
// one. Each is a set, with the name of the file.
func (o *Options) openEvaluationTables(names []string) (*source, error) {
	src := &source{kind: ofTables, close: func() {}}
	paths := map[string]string{} // by the name of the set
	var sets []string
	for _, name := range names {
		path := o.Source
		if name != "" {
			path = filepath.Join(o.Source, name)
		}
		set := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(path), ".gz"), ".csv")
		if other, taken := paths[set]; taken {
			return nil, usage.Errorf("%s and %s are both the evaluation set %s; remove one of them", other, path, set)
		}
		paths[set] = path
		sets = append(sets, set)
	}
	sets, err := o.chooseSets(src, sets)
	if err != nil {
		return nil, err
	}
	var files []string
	for _, set := range sets {
		files = append(files, paths[set])
		src.sets = append(src.sets, Set{Name: set, From: paths[set]})
	}
	return src, o.readTables(src, files)
}

// setOf returns the set that an array's name contains, before or after a word for images or labels, as in
// x_fog, fog_images and fog_labels. words is imageWords or labelWords; ok is false if the name has none
// of them. A name that consists of the word has the set "".
func setOf(name string, words []string) (set string, ok bool) {
	isWord := func(text string) bool { return slices.Contains(words, strings.ToLower(text)) }
	if isWord(name) {
		return "", true
	}
	for _, separator := range []string{"_", "-", "."} {
		if before, after, found := strings.Cut(name, separator); found && isWord(before) && after != "" {
			return after, true
		}
		if at := strings.LastIndex(name, separator); at > 0 && isWord(name[at+1:]) {
			return name[:at], true
		}
	}
	return "", false
}

// openEvaluationArrays opens an .npz file or a directory of .npy files. Each set has an array of images and
// one of labels; or all arrays have the same labels, as those of CIFAR-10-C have.
func (o *Options) openEvaluationArrays() (src *source, err error) {
	set, err := npy.OpenSet(o.Source)
	if err != nil {
		return nil, usage.Errorf("%s: %w", o.Source, err)
	}
	defer func() {
		if err != nil {
			_ = set.Close() // it was only read
		}
	}()
	src = &source{kind: ofArrays, close: func() { _ = set.Close() }}
	pairs, others, err := o.pairArrays(set.Names())
	if err != nil {
		return nil, err
	}
	alone := pairs[""] // images, labels or both, of a set without a name
	delete(pairs, "")
	add := func(name string, p pair) error {
		if other, taken := pairs[name]; taken {
			return usage.Errorf("%s: each of the arrays %s could be the images of the evaluation set %s; keep one of them",
				o.Source, joinFirst(slices.Concat(p.images, other.images)), name)
		}
		pairs[name] = p
		return nil
	}
	switch {
	case len(alone.images) > 0:
		if err := add(onlySet, alone); err != nil {
			return nil, err
		}
	case len(alone.labels) > 0: // the layout of CIFAR-10-C: labels.npy, and NAME.npy for each corruption
		for name, p := range pairs {
			if len(p.labels) == 0 {
				pairs[name] = pair{p.images, alone.labels}
			}
		}
		for _, name := range others {
			if err := add(name, pair{[]string{name}, alone.labels}); err != nil {
				return nil, err
			}
		}
		others = nil
	}
	var names []string
	for name, p := range pairs {
		switch {
		case p.complete():
			names = append(names, name)
		case len(p.images) > 0:
			return nil, usage.Errorf("%s: the images %s have no labels; add an array of them, y_%s or labels, or remove the images", o.Source, p.images[0], name)
		default: // as label_names, which is not an array of labels
			others = append(others, p.labels...)
		}
	}
	if len(names) == 0 {
		return nil, usage.Errorf("%s: its arrays are %s; name those of each evaluation set x_SET and y_SET, or SET_images and SET_labels, or all labels labels",
			o.Source, cmp.Or(joinFirst(set.Names()), "none"))
	}
	if names, err = o.chooseSets(src, names); err != nil {
		return nil, err
	}
	if len(others) > 0 {
		src.notes = append(src.notes, fmt.Sprintf("arrays left out: %s", joinFirst(slices.Sorted(slices.Values(others)))))
	}
	var opened []*arrays
	for _, name := range names {
		p := pairs[name]
		a := &arrays{source: o.Source, name: p.images[0], set: set, first: len(src.sets)}
		if err := a.open(p.labels[0]); err != nil {
			return nil, usage.Errorf("%s: %w", o.Source, err)
		}
		for i, label := range a.labels {
			if problem := o.wrongLabel(label); problem != "" {
				return nil, usage.Errorf("%s: image %d of %s has %s", o.Source, i, p.labels[0], problem)
			}
		}
		if err := o.divide(src, a, name); err != nil {
			return nil, err
		}
		opened = append(opened, a)
	}
	return src, o.readArrays(src, opened)
}

// pairArrays sorts the names of arrays by evaluation set. others are the names of neither images nor
// labels.
func (o *Options) pairArrays(names []string) (pairs map[string]pair, others []string, err error) {
	pairs = map[string]pair{}
	for _, name := range names {
		if set, ok := setOf(name, imageWords); ok {
			p := pairs[set]
			p.images = append(p.images, name)
			pairs[set] = p
		} else if set, ok := setOf(name, labelWords); ok {
			p := pairs[set]
			p.labels = append(p.labels, name)
			pairs[set] = p
		} else {
			others = append(others, name)
		}
	}
	for set, p := range pairs {
		if len(p.images) > 1 || len(p.labels) > 1 {
			return nil, nil, usage.Errorf("%s: each of the arrays %s could be the evaluation set %s; keep one of images and one of labels",
				o.Source, joinFirst(p.names()), cmp.Or(set, onlySet))
		}
	}
	return pairs, others, nil
}

// divide adds the sets of an array to src: one, or with --severities as many of equal size, named NAME-1
// and so on.
func (o *Options) divide(src *source, a *arrays, name string) error {
	if o.Severities == 0 {
		src.sets = append(src.sets, Set{Name: name, From: a.name})
		return nil
	}
	n := len(a.labels)
	if n%o.Severities != 0 {
		return usage.Errorf("%s: %s has %d images, which --severities %d does not divide; use the number of severities in it", o.Source, a.name, n, o.Severities)
	}
	a.each = n / o.Severities
	for i := range o.Severities {
		s := Set{Name: fmt.Sprintf("%s-%d", name, i+1), From: fmt.Sprintf("%s, images %d to %d", a.name, i*a.each, (i+1)*a.each-1)}
		if err := configs.CheckName(s.Name); err != nil {
			return usage.Errorf("%s: the evaluation set %w; rename %s", o.Source, err, a.name)
		}
		src.sets = append(src.sets, s)
	}
	return nil
}
