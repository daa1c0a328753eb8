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

// Archs is a set of architectures. The zero value is empty. Sets can be compared with ==.
type Archs struct {
	words [(cell.Count + 63) / 64]uint64 // architecture i is bit i%64 of word i/64
}

// add adds the architectures with indices first to last.
func (a *Archs) add(first, last int) {
	for i := first; i <= last; i++ {
		a.words[i/64] |= 1 << (i % 64)
	}
}

// Has reports whether the set contains the architecture with index i.
func (a *Archs) Has(i int) bool { return a.words[i/64]&(1<<(i%64)) != 0 }

// Len returns the number of architectures.
func (a *Archs) Len() int {
	n := 0
	for _, w := range a.words {
		n += bits.OnesCount64(w)
	}
	return n
}

// All yields the indices in ascending order.
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

// union returns the set of the architectures in a or b.
func (a Archs) union(b *Archs) Archs {
	for k := range a.words {
		a.words[k] |= b.words[k]
	}
	return a
}

// intersection returns the set of the architectures in both a and b.
func (a Archs) intersection(b *Archs) Archs {
	for k := range a.words {
		a.words[k] &= b.words[k]
	}
	return a
}

// String returns indices and ranges, such as "0-4,7", as [ParseArchs] reads them.
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

// AllArchs returns the set of all architectures.
func AllArchs() Archs {
	var a Archs
	a.add(0, cell.Count-1)
	return a
}

// uniqueArchs returns the set of the first architecture of each isomorphism class.
func uniqueArchs() Archs {
	var a Archs
	for i, arch := range cell.All() {
		if arch.Class() == i {
			a.add(i, i)
		}
	}
	return a
}

// ParseArchs parses the list of architectures of a command line. Its items, separated by commas,
// are indices, ranges FIRST-LAST, genotype strings, files (FILE or @FILE) and "unique", which
// stands for the first architecture of each isomorphism class. A file has one index, range or
// genotype string per line, and comments after #. Duplicates count once. Its errors are usage
// errors that name the item, or the file and the line.
func ParseArchs(list string) (Archs, error) {
	return parseArchs(list, func(path string) ([]byte, error) { return infile.Read(path, infile.MaxText) })
}

// parseArchs is ParseArchs with the function that reads a file.
func parseArchs(list string, readFile func(string) ([]byte, error)) (Archs, error) {
	var archs Archs
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		file, marked := strings.CutPrefix(item, "@")
		switch {
		case item == "":
			return Archs{}, usage.Errorf("architectures %.120q: an item of the list is empty; separate items by single commas", list)
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
				return Archs{}, usage.Errorf("architectures %.120q: not an index from 0 to %d, a range FIRST-LAST, a genotype string, \"unique\" or a readable file: %w",
					item, cell.Count-1, err)
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

// looksLikeArchs reports whether an item is an index, a range or a genotype string rather than
// the name of a file.
func looksLikeArchs(item string) bool {
	return strings.Trim(item, "0123456789-") == "" || strings.HasPrefix(item, "|")
}

// addItem adds the architectures of an index, a range or a genotype string.
func (a *Archs) addItem(item string) error {
	from, to, isRange := strings.Cut(item, "-")
	if strings.HasPrefix(item, "|") || !isRange {
		from, to = item, item
	} else if from == "" || to == "" || strings.Contains(to, "-") {
		return usage.Errorf("architectures %.120q: not a range; write FIRST-LAST, as in 0-99", item)
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
		return usage.Errorf("architectures %s: the range ends before it begins; write FIRST-LAST", item)
	}
	a.add(ends[0], ends[1])
	return nil
}

// addFile adds the architectures listed in the text of a file.
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
		return usage.Errorf("%s: the file names no architecture; write one index, range or genotype string per line", name)
	}
	return nil
}

// abbreviate returns the list of ranges, cut to about width characters, followed by the number of
// architectures.
func (a Archs) abbreviate(width int) string {
	text, n := a.String(), a.Len()
	if len(text) > width {
		cut := strings.LastIndexByte(text[:width], ',')
		text = text[:max(cut, 0)] + ",..."
	}
	return fmt.Sprintf("%s (%d)", strings.ReplaceAll(text, ",", ", "), n)
}
