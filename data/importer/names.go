package importer

import (
	"regexp"
	"slices"
	"strings"
)

// role is the part of a data set that a name stands for.
type role int

const (
	unnamed role = iota // the name says nothing of it
	forTraining
	forTest
	forValidation
)

func (r role) String() string {
	return [...]string{"", "training part", "test part", "validation part"}[r]
}

// roles are the words for a part, also with one of suffixes behind, as in testset.
var (
	roles = map[string]role{
		"train": forTraining, "training": forTraining, "tr": forTraining, "trainval": forTraining,
		"test": forTest, "testing": forTest,
		"val": forValidation, "valid": forValidation, "validation": forValidation, "dev": forValidation, "eval": forValidation,
	}
	suffixes = []string{"set", "dataset", "data", "images", "imgs"}
)

// word is what separators, digits and a capital after a small letter leave of a name.
var word = regexp.MustCompile(`\p{Lu}*[\p{Ll}\p{Lo}]+|\p{Lu}+`)

// roleOf is the part that a name stands for and its other words, in lower case. A name of
// two parts, as train_test_split, stands for none.
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

// byRole sorts names by the part that they stand for.
func byRole(names []string, nameOf func(string) string) map[role][]string {
	sorted := map[role][]string{}
	for _, name := range names {
		r, _ := roleOf(nameOf(name))
		sorted[r] = append(sorted[r], name)
	}
	return sorted
}

// itself is the name that byRole takes where names are whole.
func itself(name string) string { return name }

// list joins the first few of many names.
func list(names []string) string {
	const few = 5
	if len(names) > few {
		names = append(slices.Clone(names[:few]), "...")
	}
	return strings.Join(names, ", ")
}
