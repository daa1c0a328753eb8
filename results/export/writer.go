package export

import (
	"io"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/results/benchmark"
)

// Traits describes what a format can contain and which options apply to it.
type Traits struct {
	Format benchmark.Format
	About  string // lines of help
	Slots  Slotting
	// Weights and Merged say when the format's files contain the trained weights, and when
	// the format is one file of all architectures.
	Weights, Merged Choice
	Named           bool // in an existing directory, it is named like the published one
	Published       bool // a published file or directory has it: Options.AsPublished applies
	RawCells        bool // Options.RawCells applies
	NoLatencies     bool // it cannot contain latencies
	OneSpace        bool // it holds the topology search space alone
	OneSeed         bool // it holds one trial of each architecture and dataset key: Options.Seed applies
	Lists           bool // its files list the architectures that they cover: Options.Listed applies
	FromCampaign    bool // it contains facts that only a campaign's records have

	// clients is set if the Python clients, or the original's programs, read the format.
	// Other formats write a trial unchanged.
	clients bool
}

// Slotting is how a format names schedules.
type Slotting int

// How formats name schedules.
const (
	NoSlots    Slotting = iota // every schedule under its own name
	AskedSlots                 // '12' and '200' ('90' in the size search space) if Options.Less or Full is given, else as NoSlots
	FullSlot                   // only the one that Options.Full names
	FixedSlots                 // less and full, which the clients call '12' and '200'; in the size search space, as AskedSlots
)

// Choice says when a format has a property.
type Choice int

// When formats have a property.
const (
	ChoiceNever Choice = iota
	ChoiceAsked        // if the options ask for it
	ChoiceAlways
)

// writer describes how a format is written. Each format's writer is in the format's own
// file; allWriters lists them.
type writer struct {
	Traits
	// mergedExtensions lists the extensions of an Options.To that ask for the merged form.
	mergedExtensions []string
	completeTimes    bool // the format's client needs the times of every epoch, or none
	// trueCosts is set if FLOPs and parameters are replaced by those of the network, as for clients.
	trueCosts bool
	// omits lists the dataset keys that the format cannot hold.
	omits []string
	// dropsWeights is set if the format leaves out the weights of the schedule original.unweighted.
	dropsWeights bool
	layout       func(o *Options, space cell.Space) layout
}

// layout writes the files of a format. Exactly one of file and fill is set; it makes the
// export from its parts.
type layout struct {
	// begin begins a part in the directory dir.
	begin func(dir string) (partWriter, error)
	file  func(w io.Writer, x *whole) error
	fill  func(dir string, x *whole) error
	// name returns the name of an export in an existing directory, from an MD5; nil if the
	// format has no such name.
	name func(md5 string) string
	// namesake is the layout, with file, whose MD5 name gets; nil if it is this one. A part of it
	// is the file itemsName.
	namesake *layout
	// published is the name of the published file or directory; "" if there is none.
	published string
}

// partWriter writes a part.
type partWriter interface {
	// add writes an architecture, as choose returns it.
	add(a *benchmark.Architecture) error
	close() error
}

// slot is a name under which a format stores a schedule.
type slot struct{ name, schedule string }

// slots returns the slots of the format in a space, or nil if it takes every schedule.
func (w *writer) slots(o *Options, space cell.Space) []slot {
	of := originalOf(space)
	less, full := of.less(o), of.full(o)
	switch {
	case w.fixedSlots(space):
		return []slot{{"less", less}, {"full", full}}
	case w.Slots == FullSlot:
		return []slot{{"full", full}}
	case w.Slots == NoSlots, o.Less == "" && o.Full == "":
		return nil
	default:
		return []slot{{of.Short, less}, {of.Full, full}}
	}
}

// fixedSlots reports whether the format has the slots less and full in a space.
func (w *writer) fixedSlots(space cell.Space) bool {
	of := originalOf(space)
	return w.Slots == FixedSlots && of.slotted
}

// mergedBy reports whether the export is one file.
func (w *writer) mergedBy(o *Options) bool {
	asked := o.Merged || slices.ContainsFunc(w.mergedExtensions, func(e string) bool { return strings.HasSuffix(o.To, e) })
	return w.Merged == ChoiceAlways || w.Merged == ChoiceAsked && asked
}

// weightsBy reports whether the export contains weights.
func (w *writer) weightsBy(o *Options) bool { return w.Weights == ChoiceAlways || o.Weights }
