package export

import (
	"cmp"
	"io"
	"strconv"
	"strings"

	"nb201/results/benchmark"
)

// Traits say what a format takes and holds.
type Traits struct {
	Format benchmark.Format
	About  string // lines for help
	Slots  Slotting
	// Weights and Merged say whether its files hold the trained weights, and whether it is
	// one file of all architectures.
	Weights, Merged Choice
	Named           bool // in a directory that is there it has the name of the published one
	RawCells        bool // it has cells that Options.RawCells is for
	NoLatencies     bool // it has no place for latencies
	FromCampaign    bool // it holds what the records of a campaign alone say

	// clients: the Python clients, or the original's programs, read it. The others take a
	// trial as it is.
	clients bool
}

// Slotting says how a format names schedules.
type Slotting int

const (
	NoSlots    Slotting = iota // every schedule under its own name
	AskedSlots                 // '12' and '200' where Options.Less or Full is given, else NoSlots
	FixedSlots                 // less and full, which the clients call '12' and '200'
)

// Choice says when something is so of an export.
type Choice int

const (
	Never Choice = iota
	Asked        // by the options
	Always
)

// writer is all that is known of how a format is written. Its value is in the file of the
// format; allWriters lists it.
type writer struct {
	Traits
	mergedExtension string // of Options.To, that asks for the merged form; "" for none
	completeTimes   bool   // its client needs the times of every epoch, or of none
	listed          bool   // its files list the architectures that the benchmark is of
	layout          func(o *Options) layout
}

// layout is how a format is written. Exactly one of file and fill makes the export
// of its parts.
type layout struct {
	// begin begins a part in the folder dir.
	begin func(dir string) (partWriter, error)
	file  func(w io.Writer, x *whole) error
	fill  func(dir string, x *whole) error
	// name is that of an export in a directory that was there, by its MD5; nil where
	// there is no such name.
	name func(md5 string) string
}

// partWriter writes a part.
type partWriter interface {
	// add writes an architecture, as chosen from the source.
	add(a *benchmark.Architecture) error
	close() error
}

// slot is a place for a schedule of a benchmark.
type slot struct{ name, schedule string }

// slots are those of the format, or nil when it takes every schedule.
func (w *writer) slots(o *Options) []slot {
	less, full := strconv.Itoa(cmp.Or(o.Less, 12)), strconv.Itoa(cmp.Or(o.Full, 200))
	switch {
	case w.Slots == NoSlots, w.Slots == AskedSlots && o.Less == 0 && o.Full == 0:
		return nil
	case w.Slots == AskedSlots:
		return []slot{{"12", less}, {"200", full}}
	default:
		return []slot{{"less", less}, {"full", full}}
	}
}

// mergedBy reports whether the export is one file.
func (w *writer) mergedBy(o *Options) bool {
	asked := o.Merged || w.mergedExtension != "" && strings.HasSuffix(o.To, w.mergedExtension)
	return w.Merged == Always || w.Merged == Asked && asked
}

// weightsBy reports whether the export holds weights.
func (w *writer) weightsBy(o *Options) bool { return w.Weights == Always || o.Weights }
