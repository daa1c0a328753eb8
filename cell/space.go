package cell

import (
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"

	"nb201/internal/usage"
)

// Space is a search space: its architectures in their official order, and what was published of
// them. Its values can be compared.
type Space interface {
	// Name returns the name of the space in files and flags.
	Name() Name
	// Title names the space in sentences: "topology search space".
	Title() string
	// Form shows how an architecture is written, for help texts and errors.
	Form() string

	// Count returns the number of architectures.
	Count() int
	// All yields every architecture with its index.
	All() iter.Seq2[int, Arch]
	// ByIndex returns the architecture with an index, from 0 to Count-1. Any other index is a usage
	// error.
	ByIndex(i int) (Arch, error)
	// Parse reads the string of an architecture. Any text but the published spelling is a usage
	// error, which says where the fault is.
	Parse(text string) (Arch, error)
	// Costliest returns the architecture with the most parameters and FLOPs.
	Costliest() Arch
	// Sample returns the indices of a few architectures, in ascending order, whose costs range from the
	// least to the most.
	Sample() []int

	// Parts describes what architectures are made of.
	Parts() Parts

	// NetworkName returns the original's name of the network, as in the clients' get_net_config.
	NetworkName() string
	// Skeleton returns the published macro skeleton: C, the channels of the first stage, and N, the
	// cells per stage. Both are 0 where an architecture fixes the whole network.
	Skeleton() (channels, cells int)
	// Schedule returns the name of a schedule with this number of epochs, the "hp" of the Python
	// clients.
	Schedule(epochs int) string
	// Preset returns the name of the published trials.
	Preset() string
	// Published lists the published trials. Each entry is about all architectures.
	Published() []Published
}

// Published describes published trials: those of one schedule, from some seeds.
type Published struct {
	Epochs  int
	Seeds   []uint32
	Dataset string // the only dataset key, "" if all four were trained on
}

// Arch is an architecture. Its values can be compared.
type Arch interface {
	// String returns the architecture's string, such as a genotype string.
	String() string
	// Label returns a short name for tables and messages: the index of a cell, whose string is long, and the
	// string of any other architecture.
	Label() string
	// Index returns the index in the space's official order.
	Index() int
	// Choices returns the architecture's option at each place, counted from 0: see [Parts].
	Choices() []int
	// Genotype returns the genotype string of the network's cells.
	Genotype() string
	// Class returns the architecture's isomorphism class, identified by the smallest index in it.
	Class() int
	// Space returns the search space.
	Space() Space
	// Shapes returns a value that is equal for two architectures of a space exactly when the tensors of
	// their networks have the same shapes, in any order.
	Shapes() any
	// SVG draws the architecture as a self-contained SVG document.
	SVG() []byte

	// modules lists the modules of the network between the stem and the head.
	modules(channels, cells int) []Module
	// checkSkeleton refuses C and N that the network cannot have.
	checkSkeleton(channels, cells int) error
}

// Spaces lists the search spaces, the default first.
func Spaces() []Space { return []Space{Default(), Size{}} }

// Default returns the search space of an index alone.
func Default() Space { return Topology{} }

// Name is the name of a search space in files and flags, as in nats_bench.create: "tss" or "sss". The
// topology search space is the default; its Name is "", which files leave out.
type Name string

// tss is how people write the Name of the topology search space.
const tss = "tss"

// String returns the name as it is written: "tss" or "sss".
func (n Name) String() string {
	if n == "" {
		return tss
	}
	return string(n)
}

// ParseName returns the name of a space as a user writes it. An unknown name is a usage error.
func ParseName(text string) (Name, error) {
	var names []string
	for _, s := range Spaces() {
		name := s.Name().String()
		if name == text {
			return s.Name(), nil
		}
		names = append(names, fmt.Sprintf("%s (%s)", name, s.Title()))
	}
	return "", usage.Errorf("unknown search space %.40q; use %s", text, strings.Join(names, " or "))
}

// Check refuses, as a usage error, a name from a file that no space has.
func (n Name) Check() error {
	if n.find() != nil {
		return nil
	}
	_, err := ParseName(string(n))
	if err == nil { // "tss" is not what files contain
		err = usage.Errorf("search space %q: files do not name the %s; remove the key", string(n), Topology{}.Title())
	}
	return err
}

// Space returns the space with a name that [Name.Check] accepts. It panics for any other.
func (n Name) Space() Space {
	if s := n.find(); s != nil {
		return s
	}
	panic("cell: unknown search space " + string(n))
}

// find returns the space with the name, or nil.
func (n Name) find() Space {
	for _, s := range Spaces() {
		if s.Name() == n {
			return s
		}
	}
	return nil
}

// CheckSkeleton refuses, as a usage error, C and N that some network of a space cannot have.
func CheckSkeleton(s Space, channels, cells int) error {
	return Network{Arch: s.Costliest(), Channels: channels, Cells: cells, Classes: 2, Size: 4}.Validate()
}

// SpaceOf returns the space whose architectures are written like text: strings of the size search
// space contain a colon, genotype strings a vertical bar. ok is false for any other text, such as an
// index.
func SpaceOf(text string) (s Space, ok bool) {
	switch {
	case strings.Contains(text, "|"):
		return Topology{}, true
	case strings.Contains(text, ":"):
		return Size{}, true
	}
	return nil, false
}

// Parse reads the string of an architecture of any space. Any other text is a usage error.
func Parse(text string) (Arch, error) {
	if s, ok := SpaceOf(text); ok {
		return s.Parse(text)
	}
	return Topology{}.Parse(text)
}

// Resolve returns the architecture of a space that a user names by its index or its string.
// Anything else is a usage error.
func Resolve(s Space, text string) (Arch, error) {
	i, err := strconv.Atoi(text)
	switch {
	case err == nil:
		return s.ByIndex(i)
	case errors.Is(err, strconv.ErrRange):
		return nil, outOfRange(s, text)
	}
	of, ok := SpaceOf(text)
	switch {
	case ok && of != s:
		return nil, usage.Errorf("architecture %.120q is of the %s, not of the %s; use an index from 0 to %d or %s",
			text, of.Title(), s.Title(), s.Count()-1, s.Form())
	case ok || strings.ContainsAny(text, "~+"):
		return s.Parse(text)
	}
	forms := s.Form()
	for _, other := range Spaces() {
		if other != s {
			forms += fmt.Sprintf(", or in the %s %s", other.Title(), other.Form())
		}
	}
	return nil, usage.Errorf("unknown architecture %.120q; use an index from 0 to %d or %s", text, s.Count()-1, forms)
}

// Describe names an architecture by its index in a sentence. It names the space too unless it is the
// default.
func Describe(s Space, index int) string {
	text := fmt.Sprintf("architecture %d", index)
	if s != Default() {
		text += " of the " + s.Title()
	}
	return text
}

// checkIndex refuses an index that a space does not have.
func checkIndex(s Space, i int) error {
	if i < 0 || i >= s.Count() {
		return outOfRange(s, strconv.Itoa(i))
	}
	return nil
}

func outOfRange(s Space, index string) error {
	hint := ""
	for _, other := range Spaces() {
		if i, err := strconv.Atoi(index); err == nil && i >= 0 && i < other.Count() {
			hint += fmt.Sprintf(", or the %s (%s)", other.Title(), other.Name())
		}
	}
	return usage.Errorf("architecture index %.40s is out of range; use 0 to %d in the %s%s", index, s.Count()-1, s.Title(), hint)
}
