package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"time"
	"unique"

	"nb201/results/summary"
)

// census counts trials by how they were made, as their records say.
type census struct {
	first, last time.Time // zero: there was no record
	properties  []property
}

// property is something that a record says about how its trial was made.
type property struct {
	title string
	value func(*summary.Properties) string
	rows  map[string]*share // by value
}

// share is the trials with one value of a property.
type share struct {
	name   string
	trials int
	time   time.Duration // of all passes; whole numbers, so that the order of adding does not matter
}

// newCensus counts the trials of a summary that have a record.
func newCensus(s *summary.Summary) *census {
	c := &census{properties: []property{
		{title: "device", value: func(p *summary.Properties) string { return p.Device }},
		{title: "nb201 version", value: func(p *summary.Properties) string { return p.Program }},
		{title: "XLA plugin", value: func(p *summary.Properties) string { return p.Plugin }},
		{title: "gomlx version", value: func(p *summary.Properties) string { return p.GoMLX }},
		{title: "nb201's kernels", value: func(p *summary.Properties) string { return cmp.Or(p.Kernels, "not recorded") }},
		{title: "precision", value: func(p *summary.Properties) string { return string(p.Precision) }},
		{title: "parity", value: func(p *summary.Properties) string {
			return fmt.Sprintf("%s, %s, %d workers", p.Parity.Profile, p.Parity.Timeline, p.Parity.Workers)
		}},
		{title: "network and batch", value: func(p *summary.Properties) string {
			return fmt.Sprintf("C=%d, N=%d, batch %d", p.Channels, p.Cells, p.Batch)
		}},
		{title: "attempts", value: func(p *summary.Properties) string { return fmt.Sprint(p.Attempts) }},
	}}
	for i := range c.properties {
		c.properties[i].rows = map[string]*share{}
	}
	shares := map[unique.Handle[summary.Properties]]*share{}
	for _, g := range s.Groups {
		for i := range g.Trials {
			m := g.Trials[i].Made
			if m == nil {
				continue
			}
			if c.first.IsZero() || m.Started.Before(c.first) {
				c.first = m.Started
			}
			if m.Finished.After(c.last) {
				c.last = m.Finished
			}
			if shares[m.Properties] == nil {
				shares[m.Properties] = &share{}
			}
			shares[m.Properties].add(1, m.Spent)
		}
	}
	for made, all := range shares {
		values := made.Value()
		for _, p := range c.properties {
			name := p.value(&values)
			if p.rows[name] == nil {
				p.rows[name] = &share{name: name}
			}
			p.rows[name].add(all.trials, all.time)
		}
	}
	return c
}

func (s *share) add(trials int, time time.Duration) {
	s.trials += trials
	s.time += time
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
