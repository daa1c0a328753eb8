package export

import (
	"cmp"
	"slices"
	"strings"

	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// writers are the formats that can be written.
type writers []writer

// allWriters lists the writers.
func allWriters() writers {
	return writers{runsWriter(), archiveWriter(), nasbench201Writer(), natsWriter(), parquetWriter(), csvWriter()}
}

// AllTraits lists what there is to know of the formats that Run writes.
func AllTraits() []Traits {
	var traits []Traits
	for _, w := range allWriters() {
		traits = append(traits, w.Traits)
	}
	return traits
}

// Formats lists the formats that Run writes.
func Formats() []benchmark.Format { return allWriters().formats(func(Traits) bool { return true }) }

// formats lists those of which has holds.
func (all writers) formats(has func(Traits) bool) (names []benchmark.Format) {
	for _, w := range all {
		if has(w.Traits) {
			names = append(names, w.Format)
		}
	}
	return names
}

// NamesWith names the formats that have a trait, for a sentence.
func NamesWith(has func(Traits) bool) string { return and(allWriters().formats(has)) }

// find finds the writer of a format.
func (all writers) find(f benchmark.Format) (writer, bool) {
	i := slices.IndexFunc(all, func(w writer) bool { return w.Format == f })
	if i < 0 {
		return writer{}, false
	}
	return all[i], true
}

// and joins the names of formats in a sentence.
func and(names []benchmark.Format) string {
	var text string
	for i, name := range names {
		switch {
		case i > 0 && i == len(names)-1:
			text += " and "
		case i > 0:
			text += ", "
		}
		text += string(name)
	}
	return text
}

// CommaList joins the values that an option can have.
func CommaList[T ~string](values []T) string {
	names := make([]string, len(values))
	for i, v := range values {
		names[i] = string(v)
	}
	return strings.Join(names, ", ")
}

// check refuses options that cannot be, and finds the writer of the format.
func (all writers) check(o *Options, b *benchmark.Benchmark) (w writer, err error) {
	w, known := all.find(o.Format)
	_, isCampaign := b.Campaign()
	is := func(choice Choice) func(Traits) bool { return func(t Traits) bool { return t.Weights == choice } }
	switch {
	case !known:
		return w, usage.Errorf("unknown format %q: use one of %s", o.Format, CommaList(all.formats(func(Traits) bool { return true })))
	case !slices.Contains(AllTimes(), o.Times):
		return w, usage.Errorf("unknown times %q: use one of %s", o.Times, CommaList(AllTimes()))
	case o.Merged && w.Merged != Asked:
		return w, usage.Errorf("%s has no merged form: that is for %s", o.Format, and(all.formats(func(t Traits) bool { return t.Merged == Asked })))
	case o.Weights && w.Weights != Asked:
		return w, usage.Errorf("weights cannot be asked for in %s: %s always hold them, of the others only %s can", o.Format, and(all.formats(is(Always))), and(all.formats(is(Asked))))
	case o.RawCells && !w.RawCells:
		return w, usage.Errorf("%s has no cells: raw ones are for %s", o.Format, and(all.formats(func(t Traits) bool { return t.RawCells })))
	case len(o.Latencies) > 0 && w.NoLatencies:
		return w, usage.Errorf("%s has no place for latencies", o.Format)
	case w.FromCampaign && !isCampaign:
		return w, usage.Errorf("%s can be made from a campaign alone: a file of format %s does not tell the recipe of a run", o.Format, b.Format)
	}
	if less, full := cmp.Or(o.Less, 12), cmp.Or(o.Full, 200); less < 1 || full < 1 || less == full {
		return w, usage.Errorf("schedules %d and %d cannot fill the two slots: name two different numbers of epochs", less, full)
	}
	if o.To == "" {
		return w, usage.Errorf("an export needs a place to be written to")
	}
	return w, nil
}
