package export

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// writers lists formats that can be written.
type writers []writer

// allWriters returns the writers of all formats.
func allWriters() writers {
	return writers{runsWriter(), archiveWriter(), nasbench201Writer(), natsWriter(), naslibWriter(), parquetWriter(), csvWriter()}
}

// AllTraits returns the traits of the formats that [Run] writes.
func AllTraits() []Traits {
	var traits []Traits
	for _, w := range allWriters() {
		traits = append(traits, w.Traits)
	}
	return traits
}

// Formats returns the formats that [Run] writes.
func Formats() []benchmark.Format { return allWriters().formats(func(Traits) bool { return true }) }

// formats returns the formats for which has reports true.
func (all writers) formats(has func(Traits) bool) (names []benchmark.Format) {
	for _, w := range all {
		if has(w.Traits) {
			names = append(names, w.Format)
		}
	}
	return names
}

// NamesWith returns the names of the formats that have a trait, joined for a sentence.
func NamesWith(has func(Traits) bool) string { return joinNames(allWriters().formats(has)) }

// find returns the writer of a format, and whether there is one.
func (all writers) find(f benchmark.Format) (writer, bool) {
	i := slices.IndexFunc(all, func(w writer) bool { return w.Format == f })
	if i < 0 {
		return writer{}, false
	}
	return all[i], true
}

// joinNames joins the names of formats for a sentence: "a, b and c".
func joinNames(names []benchmark.Format) string {
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

// describeSlot describes the schedule that a flag gives a slot; epochs is 0 without the flag.
func describeSlot(flag, schedule, standard string) string {
	if schedule == "" {
		return fmt.Sprintf("%s %s (its default)", flag, standard)
	}
	return fmt.Sprintf("%s %.80s", flag, schedule)
}

// scheduleName returns the name of a schedule in a space that a user gives as a number of epochs; it does
// not change any other name.
func scheduleName(space cell.Space, name string) string {
	if epochs, err := strconv.Atoi(name); err == nil && epochs > 0 && strconv.Itoa(epochs) == name {
		return space.Schedule(epochs)
	}
	return name
}

// isSchedule reports whether a schedule of a space can have a name: a number of epochs, or a name of a
// recipe.
func isSchedule(space cell.Space, name string) bool {
	epochs, err := strconv.Atoi(name)
	return err == nil && epochs > 0 && space.Schedule(epochs) == name || configs.CheckRecipeName(name) == nil
}

// check refuses invalid options with a usage error, and returns the writer of the format.
func (all writers) check(o *Options, b *benchmark.Benchmark) (w writer, err error) {
	w, known := all.find(o.Format)
	of := originalOf(b.Space)
	_, isCampaign := b.Campaign()
	weights := func(choice Choice) string {
		return joinNames(all.formats(func(t Traits) bool { return t.Weights == choice }))
	}
	switch {
	case !known:
		return w, usage.Errorf("unknown format %q; use one of %s", o.Format, CommaList(all.formats(func(Traits) bool { return true })))
	case w.OneSpace && b.Space != (cell.Topology{}):
		return w, usage.Errorf("%s is of the %s, which the format %s cannot store; export to one of %s",
			b.Path, b.Space.Title(), o.Format, CommaList(all.formats(func(t Traits) bool { return !t.OneSpace })))
	case o.Seed != nil && !w.OneSeed:
		return w, usage.Errorf("%s holds the trials of all seeds; only %s holds one", o.Format, joinNames(all.formats(func(t Traits) bool { return t.OneSeed })))
	case o.AsPublished && !w.Published:
		return w, usage.Errorf("%s has no published name; only %s have one", o.Format, joinNames(all.formats(func(t Traits) bool { return t.Published })))
	case o.AsPublished && isPlain(o):
		return w, usage.Errorf("cannot export to %s under a published name: no plain pickle was published; name an existing directory", o.To)
	case !slices.Contains(AllListings(), o.Listed):
		return w, usage.Errorf("unknown listing %q; use one of %s", o.Listed, CommaList(AllListings()))
	case o.Listed != ListFirst && !w.Lists:
		return w, usage.Errorf("%s lists no architectures; only %s list them", o.Format, joinNames(all.formats(func(t Traits) bool { return t.Lists })))
	case !slices.Contains(AllTimes(), o.Times):
		return w, usage.Errorf("unknown times %q; use one of %s", o.Times, CommaList(AllTimes()))
	case o.Merged && w.Merged != ChoiceAsked:
		return w, usage.Errorf("%s has no merged form; only %s has one", o.Format, joinNames(all.formats(func(t Traits) bool { return t.Merged == ChoiceAsked })))
	case o.Weights && w.Weights != ChoiceAsked:
		return w, usage.Errorf("weights cannot be chosen for %s: %s always contain them, and only %s can add them",
			o.Format, weights(ChoiceAlways), weights(ChoiceAsked))
	case o.RawCells && !w.RawCells:
		return w, usage.Errorf("%s has no raw cells; only %s has them", o.Format, joinNames(all.formats(func(t Traits) bool { return t.RawCells })))
	case len(o.Latencies) > 0 && w.NoLatencies:
		return w, usage.Errorf("%s cannot contain latencies; leave them out", o.Format)
	case w.FromCampaign && !isCampaign:
		return w, usage.Errorf("%s can only be exported from a campaign: files of format %s do not contain the recipes", o.Format, b.Format)
	}
	o.Less, o.Full = scheduleName(b.Space, o.Less), scheduleName(b.Space, o.Full)
	less, full := describeSlot("--less", o.Less, of.Short), describeSlot("--full", o.Full, of.Full)
	switch {
	case !isSchedule(b.Space, of.less(o)) || !isSchedule(b.Space, of.full(o)):
		return w, usage.Errorf("%s and %s: use numbers of epochs, at least 1, or names of recipes", less, full)
	case of.less(o) == of.full(o) && w.Slots != FullSlot:
		return w, usage.Errorf("%s and %s are equal; give two different schedules", less, full)
	}
	if o.To == "" {
		return w, usage.Errorf("the path of the export is empty; name a file or directory")
	}
	return w, nil
}
