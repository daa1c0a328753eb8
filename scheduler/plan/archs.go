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

// maxArchs is the number of architectures of the largest search space.
const maxArchs = 1 << 15

// Archs is a set of architectures of one search space. The zero value is empty, in the default space.
// Sets can be compared with ==.
type Archs struct {
	space cell.Name
	words [maxArchs / 64]uint64 // architecture i is bit i%64 of word i/64
}

// Space returns the search space of the architectures.
func (a *Archs) Space() cell.Space { return a.space.Space() }

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
	for i := 0; i < maxArchs; i++ {
		if !a.Has(i) {
			continue
		}
		first := i
		for i+1 < maxArchs && a.Has(i+1) {
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

// AllArchs returns the set of all architectures of a space.
func AllArchs(space cell.Space) Archs {
	a := Archs{space: space.Name()}
	a.add(0, space.Count()-1)
	return a
}

// uniqueArchs returns the set of the first architecture of each isomorphism class of a space.
func uniqueArchs(space cell.Space) Archs {
	a := Archs{space: space.Name()}
	for i, arch := range space.All() {
		if arch.Class() == i {
			a.add(i, i)
		}
	}
	return a
}

// ParseArchs parses the list of architectures of a command line. Its items, separated by commas,
// are indices, ranges FIRST-LAST, strings of architectures, files (FILE or @FILE) and "unique", which
// stands for the first architecture of each isomorphism class. A file has one index, range or
// string per line, and comments after #. Duplicates count once. If space is nil, it is that of
// the first string in the list, or else the default. The errors are usage errors that name the item, or the
// file and the line.
func ParseArchs(space cell.Space, list string) (Archs, error) {
	return parseArchs(space, list, func(path string) ([]byte, error) { return infile.Read(path, infile.MaxText) })
}

// archItem is an item of a list of architectures, and the place in a file that it comes from, or "".
type archItem struct{ text, place string }

// parseArchs is ParseArchs with the function that reads a file.
func parseArchs(space cell.Space, list string, readFile func(string) ([]byte, error)) (Archs, error) {
	var items []archItem
	for item := range strings.SplitSeq(list, ",") {
		item = strings.TrimSpace(item)
		file, marked := strings.CutPrefix(item, "@")
		switch {
		case item == "":
			return Archs{}, usage.Errorf("architectures %.120q: an item of the list is empty; separate items by single commas", list)
		case item == unique || !marked && looksLikeArchs(item):
			items = append(items, archItem{text: item})
		default:
			text, err := readFile(file)
			if err != nil && !marked {
				return Archs{}, usage.Errorf("architectures %.120q: not an index, a range FIRST-LAST, the string of an architecture, %q or a readable file: %w",
					item, unique, err)
			} else if err != nil {
				return Archs{}, usage.Errorf("cannot read the architectures: %w", err)
			}
			if text, err = bom.Strip(text); err != nil {
				return Archs{}, usage.Errorf("%s: %w", file, err)
			}
			listed, err := itemsOf(file, string(text))
			if err != nil {
				return Archs{}, err
			}
			items = append(items, listed...)
		}
	}
	if space == nil {
		space = spaceOf(items)
	}
	archs := Archs{space: space.Name()}
	for _, item := range items {
		var err error
		if item.text == unique && item.place == "" {
			first := uniqueArchs(space)
			archs = archs.union(&first)
		} else {
			err = archs.addItem(item.text)
		}
		if err != nil && item.place != "" {
			return Archs{}, usage.Errorf("%s: %w", item.place, err)
		} else if err != nil {
			return Archs{}, err
		}
	}
	return archs, nil
}

// spaceOf returns the search space of the first string among some items, or the default.
func spaceOf(items []archItem) cell.Space {
	for _, item := range items {
		if space, ok := cell.SpaceOf(item.text); ok {
			return space
		}
	}
	return cell.Default()
}

// unique is the item that stands for the first architecture of each isomorphism class.
const unique = "unique"

// looksLikeArchs reports whether an item is an index, a range or a genotype string rather than
// the name of a file.
func looksLikeArchs(item string) bool {
	return strings.Trim(item, "0123456789-:") == "" || strings.HasPrefix(item, "|")
}

// addItem adds the architectures of an index, a range or a string.
func (a *Archs) addItem(item string) error {
	from, to, isRange := strings.Cut(item, "-")
	if strings.ContainsAny(item, "|:") || !isRange {
		from, to = item, item
	} else if from == "" || to == "" || strings.Contains(to, "-") {
		return usage.Errorf("architectures %.120q: not a range; write FIRST-LAST, as in 0-99", item)
	}
	var ends [2]int
	for i, end := range []string{from, to} {
		arch, err := cell.Resolve(a.Space(), end)
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

// itemsOf returns the architectures that the text of a file lists.
func itemsOf(name, text string) ([]archItem, error) {
	var items []archItem
	number := 0
	for line := range strings.Lines(text) {
		number++
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			items = append(items, archItem{line, fmt.Sprintf("%s, line %d", name, number)})
		}
	}
	if items == nil {
		return nil, usage.Errorf("%s: the file names no architecture; write one index, range or string per line", name)
	}
	return items, nil
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
