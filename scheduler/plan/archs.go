package plan

import (
	"fmt"
	"iter"
	"math/bits"
	"strconv"
	"strings"

	"nb201/cell"
	"nb201/internal/bom"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// Archs is a set of architectures. Its zero value is empty; sets are compared with ==.
type Archs struct {
	words [(cell.Count + 63) / 64]uint64 // bit i%64 of word i/64: architecture i
}

// add puts the architectures from first to last, official indices, into the set.
func (a *Archs) add(first, last int) {
	for i := first; i <= last; i++ {
		a.words[i/64] |= 1 << (i % 64)
	}
}

// Has tells whether the set holds the architecture of an official index.
func (a *Archs) Has(i int) bool { return a.words[i/64]&(1<<(i%64)) != 0 }

// Len is the number of architectures.
func (a *Archs) Len() int {
	n := 0
	for _, w := range a.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// All yields the official indices in order.
func (a *Archs) All() iter.Seq[int] {
	return func(yield func(int) bool) {
		for k, w := range a.words {
			for ; w != 0; w &= w - 1 {
				if !yield(64*k + bits.TrailingZeros64(w)) {
					return
				}
			}
		}
	}
}

// union is the set of the architectures in a or b.
func (a Archs) union(b *Archs) Archs {
	for k := range a.words {
		a.words[k] |= b.words[k]
	}
	return a
}

// intersection is the set of the architectures in both a and b.
func (a Archs) intersection(b *Archs) Archs {
	for k := range a.words {
		a.words[k] &= b.words[k]
	}
	return a
}

// String lists indices and ranges, "0-4,7", as ParseArchs reads them.
func (a Archs) String() string {
	var list []string
	for i := 0; i < cell.Count; i++ {
		if !a.Has(i) {
			continue
		}
		first := i
		for i+1 < cell.Count && a.Has(i+1) {
			i++
		}
		item := strconv.Itoa(first)
		if i > first {
			item += "-" + strconv.Itoa(i)
		}
		list = append(list, item)
	}
	return strings.Join(list, ",")
}

// AllArchs is the set of all architectures.
func AllArchs() Archs {
	var a Archs
	a.add(0, cell.Count-1)
	return a
}

// uniqueArchs holds the first architecture of each isomorphism class.
func uniqueArchs() Archs {
	var a Archs
	for i, arch := range cell.All() {
		if arch.Class() == i {
			a.add(i, i)
		}
	}
	return a
}

// ParseArchs reads a list as a command line gives it: indices, ranges FIRST-LAST,
// genotype strings, files (FILE or @FILE) and the word unique, which stands for the
// first architecture of each isomorphism class, joined by commas. A file holds an
// index, a range or a string a line; what follows a # is a comment. What is named twice
// counts once. Errors are usage errors that name the item, or the file and the line.
func ParseArchs(list string) (Archs, error) {
	return parseArchs(list, func(path string) ([]byte, error) { return infile.Read(path, infile.MaxText) })
}

func parseArchs(list string, readFile func(string) ([]byte, error)) (Archs, error) {
	var archs Archs
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		file, marked := strings.CutPrefix(item, "@")
		switch {
		case item == "":
			return Archs{}, usage.Errorf("architectures %.120q: an item of the list is empty", list)
		case item == "unique":
			unique := uniqueArchs()
			archs = archs.union(&unique)
		case !marked && looksLikeArchs(item):
			if err := archs.addItem(item); err != nil {
				return Archs{}, err
			}
		default:
			text, err := readFile(file)
			if err != nil && !marked {
				return Archs{}, usage.Errorf("architectures %.120q: neither an index 0..%d, a range FIRST-LAST, a genotype string nor unique, and as a file: %w", item, cell.Count-1, err)
			} else if err != nil {
				return Archs{}, usage.Errorf("cannot read the architectures: %w", err)
			}
			if text, err = bom.Strip(text); err != nil {
				return Archs{}, usage.Errorf("%s: %w", file, err)
			}
			if err := archs.addFile(file, string(text)); err != nil {
				return Archs{}, err
			}
		}
	}
	return archs, nil
}

// looksLikeArchs tells an index, a range or a genotype string from a file's name.
func looksLikeArchs(item string) bool {
	return strings.Trim(item, "0123456789-") == "" || strings.HasPrefix(item, "|")
}

// addItem adds what an index, a range or a genotype string names.
func (a *Archs) addItem(item string) error {
	from, to, isRange := strings.Cut(item, "-")
	if strings.HasPrefix(item, "|") || !isRange {
		from, to = item, item
	} else if from == "" || to == "" || strings.Contains(to, "-") {
		return usage.Errorf("architectures %.120q: a range is FIRST-LAST, as in 0-99", item)
	}
	var ends [2]int
	for i, end := range []string{from, to} {
		arch, err := cell.Resolve(end)
		if err != nil {
			return err
		}
		ends[i] = arch.Index()
	}
	if ends[0] > ends[1] {
		return usage.Errorf("architectures %s: the range ends before it begins", item)
	}
	a.add(ends[0], ends[1])
	return nil
}

func (a *Archs) addFile(name, text string) error {
	empty, number := true, 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line == "" {
			continue
		}
		if err := a.addItem(line); err != nil {
			return usage.Errorf("%s, line %d: %w", name, number, err)
		}
		empty = false
	}
	if empty {
		return usage.Errorf("%s names no architecture", name)
	}
	return nil
}

// abbreviate shortens a list of ranges to about the given number of characters, with
// the number of architectures behind it.
func (a Archs) abbreviate(width int) string {
	text, n := a.String(), a.Len()
	if len(text) > width {
		cut := strings.LastIndexByte(text[:width], ',')
		text = text[:max(cut, 0)] + ",..."
	}
	return fmt.Sprintf("%s (%d)", strings.ReplaceAll(text, ",", ", "), n)
}
