package importer

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"nb201/data"
	"nb201/internal/usage"
)

// tree locates the class directories of a source.
type tree struct {
	source      string
	train, test data.Directory // directories of class directories; test has no path if there is none
	notes       []string       // which directories were descended into or left out
	skipped
}

// skipped counts what a source contains besides pictures in class directories.
type skipped struct {
	loose  int // pictures that are not in a class directory
	other  int // files that are not pictures
	hidden int
}

// findTree finds the class directories of a source: in directories for the training set and
// the test set, or in the source itself. It descends into a directory that contains only one
// other. It refuses directories that are neither classes nor sets.
func findTree(source string) (*tree, error) {
	t := &tree{source: source}
	root, err := t.descend(source, func(d data.Directory) bool {
		r, _ := roleOf(d.Directories[0])
		return r == unnamed || hasTraining(filepath.Join(d.Path, d.Directories[0]))
	})
	if err != nil {
		return nil, err
	}
	var sets []string // directories that may be sets, since they contain directories
	for _, name := range root.Directories {
		d, err := data.ListDirectory(filepath.Join(root.Path, name))
		if err != nil {
			return nil, err
		}
		if len(d.Directories) > 0 {
			sets = append(sets, name)
		}
	}
	named := byRole(sets, itself)
	if len(named[forTraining]) == 0 {
		t.train = root
		t.countSkipped(root)
		return t, t.checkClasses(root, named)
	}
	return t, t.openSets(root, named)
}

// openSets opens the training set in root and the test set, if any. Without a test set, it
// uses a validation set instead.
func (t *tree) openSets(root data.Directory, named map[role][]string) error {
	// Test images without labels are often all in one directory, with a wrapper of that name.
	flat := func(name string) bool {
		d, err := data.ListDirectory(filepath.Join(root.Path, name))
		return err == nil && len(d.Directories) == 1 && !hasDirectory(d.Path, func(below data.Directory, r role) bool {
			return r == unnamed || len(below.Directories) > 0
		})
	}
	train, tests, left := named[forTraining], slices.DeleteFunc(named[forTest], flat), named[forValidation]
	if len(tests) == 0 {
		tests, left = left, nil
	}
	for _, names := range [][]string{train, tests} {
		if len(names) > 1 {
			r, _ := roleOf(names[0])
			return usage.Errorf("%s: each of %s could be the %s; rename or move all but one", root.Path, joinFirst(names), r)
		}
	}
	var err error
	if t.train, err = t.openSet(root, train[0]); err != nil {
		return err
	}
	if len(tests) > 0 {
		if t.test, err = t.openSet(root, tests[0]); err != nil {
			return err
		}
		if len(left) > 0 {
			t.addNote("left out, because the test set is %s: %s", tests[0], joinFirst(left))
		}
	}
	rest := byRole(slices.DeleteFunc(slices.Clone(root.Directories), func(name string) bool {
		return slices.Contains(slices.Concat(train, tests, left), name)
	}), itself)
	if flat := slices.Concat(rest[forTraining], rest[forTest], rest[forValidation]); len(flat) > 0 {
		t.addNote("left out, because it contains no class directories: %s", joinFirst(flat))
	}
	if len(rest[unnamed]) > 0 {
		t.addNote("left out, because it is neither a training set nor a test set: %s", joinFirst(rest[unnamed]))
	}
	t.countSkipped(root)
	return nil
}

// openSet opens the training set or the test set, which is the named directory in root.
func (t *tree) openSet(root data.Directory, name string) (data.Directory, error) {
	d, err := t.descend(filepath.Join(root.Path, name), func(data.Directory) bool { return true })
	if err != nil {
		return d, err
	}
	t.countSkipped(d)
	return d, t.checkClasses(d, nil)
}

// descend lists the directory at a path. If that contains only one directory, which in turn
// contains only directories, and wrapper agrees, descend goes down to that one, and so on.
func (t *tree) descend(path string, wrapper func(data.Directory) bool) (data.Directory, error) {
	d, err := data.ListDirectory(path)
	for err == nil && len(d.Directories) == 1 && len(d.Pictures) == 0 && wrapper(d) {
		var inner data.Directory
		inner, err = data.ListDirectory(filepath.Join(d.Path, d.Directories[0]))
		if err != nil || len(inner.Pictures) > 0 || len(inner.Directories) == 0 {
			break
		}
		if strings.Count(t.relative(inner), string(filepath.Separator)) > deepest {
			return d, usage.Errorf("%s contains only directories in directories, more than %d deep; name the one that contains the classes", path, deepest)
		}
		t.countSkipped(d)
		t.addNote("%s contains only the directory %s, which was used instead", d.Path, d.Directories[0])
		d = inner
	}
	return d, err
}

// deepest is the greatest depth of wrappers. More are a loop of links.
const deepest = 10

// checkClasses refuses directories in d that cannot be classes: those that contain
// directories but no pictures, and training and test sets without classes. It adds notes on
// directories that are classes but do not look like them. sets are the names in d that may
// be sets.
func (t *tree) checkClasses(d data.Directory, sets map[role][]string) error {
	var hollow []string // directories without pictures, but with directories
	var inner []string  // the directories in those
	var flat []string   // directories with pictures and the name of a set
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
	others := slices.Concat(sets[forTest], sets[forValidation])
	switch {
	case len(hollow) > 0 && len(named[unnamed]) == 0:
		return usage.Errorf("%s: the classes (%s) contain training or test sets (%s); put the classes into the sets, as in %s",
			d.Path, joinFirst(hollow), joinFirst(inner), filepath.Join(inner[0], hollow[0]))
	case len(flat) > 0 && len(others) > 0, len(flat) == 1 && len(d.Directories) == 1, alikeButRole(flat):
		return usage.Errorf("%s: the training or test set (%s) contains pictures but no class directories; "+
			"put the pictures of each class into a directory of its name",
			d.Path, joinFirst(flat))
	case len(others) > 0:
		return usage.Errorf("%s: found a test or validation set (%s), but no training set (train, training, ...); %s",
			d.Path, joinFirst(others), betterSource(d.Path))
	case len(hollow) > 0:
		return usage.Errorf("%s: the classes (%s) contain only directories (%s); %s", d.Path, joinFirst(hollow), joinFirst(inner), betterSource(d.Path))
	case len(flat) > 0:
		t.addNote("used as a class, because it contains pictures and no class directories: %s", joinFirst(flat))
	}
	if nested > 0 {
		t.addNote("directories inside class directories, whose pictures belong to the class: %d", nested)
	}
	return nil
}

// alikeButRole reports whether two of the names differ only in the words for a role.
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

// betterSource advises which directory to name instead of one that contains no classes.
func betterSource(path string) string {
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
			return fmt.Sprintf("name the directory that contains the classes or the sets, such as %s", below[i])
		}
		level = below
	}
	return "put the pictures of each class into a directory of its name"
}

// isSource reports whether a directory looks as if it could be imported.
func isSource(path string) bool {
	return hasTraining(path) || hasDirectory(path, func(d data.Directory, r role) bool { return r == unnamed && len(d.Pictures) > 0 })
}

// hasTraining reports whether a directory contains a training set.
func hasTraining(path string) bool {
	return hasDirectory(path, func(d data.Directory, r role) bool { return r == forTraining && len(d.Directories) > 0 })
}

// hasDirectory reports whether wanted is true of one of the directories in a directory.
func hasDirectory(path string, wanted func(data.Directory, role) bool) bool {
	d, err := data.ListDirectory(path)
	return err == nil && slices.ContainsFunc(d.Directories, func(name string) bool {
		below, err := data.ListDirectory(filepath.Join(path, name))
		r, _ := roleOf(name)
		return err == nil && wanted(below, r)
	})
}

// countSkipped counts the files that are skipped in a directory of directories.
func (s *skipped) countSkipped(d data.Directory) {
	s.loose += len(d.Pictures)
	s.other += d.Other
	s.hidden += d.Hidden
}

func (t *tree) addNote(format string, args ...any) {
	t.notes = append(t.notes, fmt.Sprintf(format, args...))
}

// relative returns the path of a directory relative to the source, as reports show it. The
// source itself keeps its path.
func (t *tree) relative(d data.Directory) string {
	if within, err := filepath.Rel(t.source, d.Path); err == nil && within != "." {
		return within
	}
	return t.source
}
