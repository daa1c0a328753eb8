package importer

import (
	"regexp"
	"slices"
	"strings"
)

// role is the purpose of a file, directory or array in a dataset, according to its name.
type role int

const (
	unnamed role = iota // the name does not say
	forTraining
	forTest
	forValidation
)

func (r role) String() string {
	return [...]string{"", "training set", "test set", "validation set"}[r]
}

// roles maps the words in names to roles. A word may end in one of suffixes, as in testset.
var (
	roles = map[string]role{
		"train": forTraining, "training": forTraining, "tr": forTraining, "trainval": forTraining,
		"test": forTest, "testing": forTest,
		"val": forValidation, "valid": forValidation, "validation": forValidation, "dev": forValidation, "eval": forValidation,
	}
	suffixes = []string{"set", "dataset", "data", "images", "imgs"}
)

// word matches a word of a name. Words end at separators, digits, and before a capital that
// follows a small letter.
var word = regexp.MustCompile(`\p{Lu}*[\p{Ll}\p{Lo}]+|\p{Lu}+`)

// roleOf returns the role that a name denotes and its other words, in lower case. A name
// with two roles, such as train_test_split, denotes none.
func roleOf(name string) (r role, others []string) {
	for _, w := range word.FindAllString(name, -1) {
		w = strings.ToLower(w)
		found := roles[w]
		for _, suffix := range suffixes {
			if found == unnamed {
				found = roles[strings.TrimSuffix(w, suffix)]
			}
		}
		switch {
		case found == unnamed:
			others = append(others, w)
		case r == unnamed || r == found:
			r = found
		default:
			return unnamed, nil
		}
	}
	return r, others
}

// byRole groups names by role.
func byRole(names []string, nameOf func(string) string) map[role][]string {
	sorted := map[role][]string{}
	for _, name := range names {
		r, _ := roleOf(nameOf(name))
		sorted[r] = append(sorted[r], name)
	}
	return sorted
}

// itself returns name, for byRole.
func itself(name string) string { return name }

// joinFirst joins the first few of many names.
func joinFirst(names []string) string {
	const few = 5
	if len(names) > few {
		names = append(slices.Clone(names[:few]), "...")
	}
	return strings.Join(names, ", ")
}
