package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"

	"nb201/internal/inert"
	"nb201/results"
	"nb201/results/benchmark"
)

// census counts trials by how they were made, as their records say.
type census struct {
	first, last time.Time // zero: there was no record
	properties  []property
}

// property is something that a record says about how its trial was made.
type property struct {
	title string
	value func(*results.Record) string
	rows  map[string]*share // by value
}

// share is the trials with one value of a property.
type share struct {
	name   string
	trials int
	time   time.Duration // of all passes; whole numbers, so that the order of adding does not matter
}

func newCensus() census {
	c := census{properties: []property{
		{title: "device", value: func(r *results.Record) string { return r.Device }},
		{title: "nb201 version", value: func(r *results.Record) string { return r.Versions.Program }},
		{title: "XLA plugin", value: func(r *results.Record) string { return r.Versions.Plugin }},
		{title: "gomlx version", value: func(r *results.Record) string { return r.Versions.GoMLX }},
		{title: "CPU kernels", value: func(r *results.Record) string { return cmp.Or(r.Versions.Kernels, "not recorded") }},
		{title: "precision", value: func(r *results.Record) string { return string(r.Precision) }},
		{title: "parity", value: func(r *results.Record) string {
			return fmt.Sprintf("%s, %s, %d workers", r.Parity.Profile, r.Parity.Timeline, r.Parity.Workers)
		}},
		{title: "network and batch", value: func(r *results.Record) string {
			return fmt.Sprintf("C=%d, N=%d, batch %d", r.Recipe.Channels, r.Recipe.Cells, r.Recipe.Batch)
		}},
		{title: "attempts", value: func(r *results.Record) string { return fmt.Sprint(r.Attempts) }},
	}}
	for i := range c.properties {
		c.properties[i].rows = map[string]*share{}
	}
	return c
}

// add counts a trial, if it has a record.
func (c *census) add(t *benchmark.ResultsCount) {
	r := t.Record
	if r == nil {
		return
	}
	if c.first.IsZero() || r.Started.Before(c.first) {
		c.first = r.Started
	}
	if r.Finished.After(c.last) {
		c.last = r.Finished
	}
	spent := time.Duration(r.Seconds() * float64(time.Second))
	for _, p := range c.properties {
		name := inert.Text(p.value(r))
		if p.rows[name] == nil {
			p.rows[name] = &share{name: name}
		}
		p.rows[name].trials++
		p.rows[name].time += spent
	}
}

// maxRows bounds the rows of a table of properties.
const maxRows = 50

// health returns the census as the page shows it, the most frequent values first.
func (c *census) health() health {
	h := health{Tables: []tally{}, Damaged: []string{}}
	if c.first.IsZero() {
		return h
	}
	h.First, h.Last = &c.first, &c.last
	for _, p := range c.properties {
		rows := slices.SortedFunc(maps.Values(p.rows), func(a, b *share) int {
			return cmp.Or(cmp.Compare(b.trials, a.trials), cmp.Compare(a.name, b.name))
		})
		table := tally{Title: p.title}
		for i, r := range rows {
			if i >= maxRows {
				others := &table.Rows[maxRows-1]
				others.Name = "others"
				others.Trials += r.trials
				others.Hours += r.time.Hours()
				continue
			}
			table.Rows = append(table.Rows, row{r.name, r.trials, r.time.Hours()})
		}
		h.Tables = append(h.Tables, table)
	}
	return h
}
