package importer

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"nb201/data"
	"nb201/internal/usage"
)

// tree is where the class directories of a source lie.
type tree struct {
	source      string
	train, test data.Directory // of class directories; without a path: none
	notes       []string       // what was descended into and left out
	loose       int            // pictures that lie in no class directory
	other       int            // files that are no pictures
	hidden      int
}

// findTree finds the class directories of a source: in a training part and a test part,
// or in the source itself. A directory that holds nothing but another is descended into;
// what is neither a part nor a class is refused.
func findTree(source string) (*tree, error) {
	t := &tree{source: source}
	root, err := t.descend(source, func(d data.Directory) bool {
		r, _ := roleOf(d.Directories[0])
		return r == unnamed || hasTraining(filepath.Join(d.Path, d.Directories[0]))
	})
	if err != nil {
		return nil, err
	}
	var parts []string // directories that may be parts, since directories are in them
	for _, name := range root.Directories {
		d, err := data.ListDirectory(filepath.Join(root.Path, name))
		if err != nil {
			return nil, err
		}
		if len(d.Directories) > 0 {
			parts = append(parts, name)
		}
	}
	named := byRole(parts, itself)
	if len(named[forTraining]) == 0 {
		t.train = root
		t.count(root)
		return t, t.checkClasses(root, named)
	}
	return t, t.openParts(root, named)
}

// openParts opens the training part in root and the test part, if any, for which a
// validation part stands in.
func (t *tree) openParts(root data.Directory, named map[role][]string) error {
	// What is to be tested without labels often lies flat, in a wrapper of the part's name.
	flat := func(name string) bool {
		d, err := data.ListDirectory(filepath.Join(root.Path, name))
		return err == nil && len(d.Directories) == 1 && !hasDirectory(d.Path, func(below data.Directory, r role) bool { return r == unnamed || len(below.Directories) > 0 })
	}
	train, tests, left := named[forTraining], slices.DeleteFunc(named[forTest], flat), named[forValidation]
	if len(tests) == 0 {
		tests, left = left, nil
	}
	for _, names := range [][]string{train, tests} {
		if len(names) > 1 {
			r, _ := roleOf(names[0])
			return usage.Errorf("%s: %s may each be the %s: rename or move all but one", root.Path, list(names), r)
		}
	}
	var err error
	if t.train, err = t.openPart(root, train[0]); err != nil {
		return err
	}
	if len(tests) > 0 {
		if t.test, err = t.openPart(root, tests[0]); err != nil {
			return err
		}
		if len(left) > 0 {
			t.note("left out, as the test part is %s: %s", tests[0], list(left))
		}
	}
	rest := byRole(slices.DeleteFunc(slices.Clone(root.Directories), func(name string) bool {
		return slices.Contains(slices.Concat(train, tests, left), name)
	}), itself)
	if flat := slices.Concat(rest[forTraining], rest[forTest], rest[forValidation]); len(flat) > 0 {
		t.note("left out, as there are no class directories in it: %s", list(flat))
	}
	if len(rest[unnamed]) > 0 {
		t.note("left out, as neither a training nor a test part: %s", list(rest[unnamed]))
	}
	t.count(root)
	return nil
}

// openPart opens a part in root.
func (t *tree) openPart(root data.Directory, name string) (data.Directory, error) {
	d, err := t.descend(filepath.Join(root.Path, name), func(data.Directory) bool { return true })
	if err != nil {
		return d, err
	}
	t.count(d)
	return d, t.checkClasses(d, nil)
}

// descend is the directory at a path, or the one that lies in it alone and holds nothing
// but directories, if that may be a wrapper, and so on.
func (t *tree) descend(path string, wrapper func(data.Directory) bool) (data.Directory, error) {
	d, err := data.ListDirectory(path)
	for err == nil && len(d.Directories) == 1 && len(d.Pictures) == 0 && wrapper(d) {
		var inner data.Directory
		inner, err = data.ListDirectory(filepath.Join(d.Path, d.Directories[0]))
		if err != nil || len(inner.Pictures) > 0 || len(inner.Directories) == 0 {
			break
		}
		if strings.Count(t.name(inner), string(filepath.Separator)) > deepest {
			return d, usage.Errorf("%s: holds nothing but a directory in a directory, over and over", path)
		}
		t.count(d)
		t.note("%s holds one directory, %s, which was taken in its place", d.Path, d.Directories[0])
		d = inner
	}
	return d, err
}

// deepest is beyond any depth of wrappers that is no loop of links.
const deepest = 10

// checkClasses refuses directories in d that cannot be taken for classes: those without
// pictures but with directories, and pairs of a training and a test part without classes.
func (t *tree) checkClasses(d data.Directory, parts map[role][]string) error {
	var hollow, inner, flat []string // names: of hollow directories and those in them; of others with a role
	nested := 0
	for _, name := range d.Directories {
		class, err := data.ListDirectory(filepath.Join(d.Path, name))
		if err != nil {
			return err
		}
		switch r, _ := roleOf(name); {
		case len(class.Pictures) == 0 && len(class.Directories) > 0:
			hollow = append(hollow, name)
			inner = append(inner, class.Directories...)
		case len(class.Pictures) > 0 && r != unnamed:
			flat = append(flat, name)
		}
		if len(class.Pictures) > 0 {
			nested += len(class.Directories)
		}
	}
	slices.Sort(inner)
	inner = slices.Compact(inner)
	named := byRole(inner, itself)
	others := slices.Concat(parts[forTest], parts[forValidation])
	switch {
	case len(hollow) > 0 && len(named[unnamed]) == 0:
		return usage.Errorf("%s: what was taken for classes (%s) holds parts (%s): put the classes into the parts, as in %s", d.Path, list(hollow), list(inner), filepath.Join(inner[0], hollow[0]))
	case len(flat) > 0 && len(others) > 0, len(flat) == 1 && len(d.Directories) == 1, alikeButRole(flat):
		return usage.Errorf("%s: what was taken for a part (%s) holds pictures and no class directories: put the pictures of each class into a directory of its name", d.Path, list(flat))
	case len(others) > 0:
		return usage.Errorf("%s: what was taken for parts (%s) includes no training part (train, training, ...): %s", d.Path, list(others), mend(d.Path))
	case len(hollow) > 0:
		return usage.Errorf("%s: what was taken for classes (%s) holds only directories (%s): %s", d.Path, list(hollow), list(inner), mend(d.Path))
	case len(flat) > 0:
		t.note("taken for a class, since it holds pictures and no class directories: %s", list(flat))
	}
	if nested > 0 {
		t.note("directories within class directories, whose pictures are of the class: %d", nested)
	}
	return nil
}

// alikeButRole reports whether two of the names differ in the words for a part alone.
func alikeButRole(names []string) bool {
	seen := map[string]bool{}
	for _, name := range names {
		_, others := roleOf(name)
		key := strings.Join(slices.DeleteFunc(others, func(w string) bool { return slices.Contains(suffixes, w) }), " ")
		if seen[key] {
			return true
		}
		seen[key] = true
	}
	return false
}

// mend says which directory to name in place of one that holds no classes.
func mend(path string) string {
	level := []string{path}
	for range deepest {
		var below []string
		for _, path := range level {
			d, err := data.ListDirectory(path)
			if err != nil {
				continue
			}
			for _, name := range d.Directories {
				below = append(below, filepath.Join(path, name))
			}
		}
		if i := slices.IndexFunc(below, isSource); i >= 0 {
			return fmt.Sprintf("name the directory in which the classes or the parts lie, such as %s", below[i])
		}
		level = below
	}
	return "put the pictures of each class into a directory of its name"
}

// isSource reports whether a directory looks like one to import.
func isSource(path string) bool {
	return hasTraining(path) || hasDirectory(path, func(d data.Directory, r role) bool { return r == unnamed && len(d.Pictures) > 0 })
}

// hasTraining reports whether a training part lies in a directory.
func hasTraining(path string) bool {
	return hasDirectory(path, func(d data.Directory, r role) bool { return r == forTraining && len(d.Directories) > 0 })
}

// hasDirectory reports whether one of the directories in a directory is as wanted.
func hasDirectory(path string, wanted func(data.Directory, role) bool) bool {
	d, err := data.ListDirectory(path)
	return err == nil && slices.ContainsFunc(d.Directories, func(name string) bool {
		below, err := data.ListDirectory(filepath.Join(path, name))
		r, _ := roleOf(name)
		return err == nil && wanted(below, r)
	})
}

// count counts what is passed over in a directory of directories.
func (t *tree) count(d data.Directory) {
	t.loose += len(d.Pictures)
	t.other += d.Other
	t.hidden += d.Hidden
}

func (t *tree) note(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// name is what a report calls a directory: its path within the source.
func (t *tree) name(d data.Directory) string {
	if within, err := filepath.Rel(t.source, d.Path); err == nil && within != "." {
		return within
	}
	return t.source
}
