package serve

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"sync"

	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/results/summary"
)

// groupTable holds the architectures of a group, with means over their trials. It is made when it is
// first asked for.
type groupTable struct {
	rows   func() []*row // in order of their indices
	orders sync.Map      // rows by a column: of order to []*row
}

// order is a column by which rows are sorted.
type order struct {
	by  string
	set int
}

// row holds the means over the trials of an architecture that have a value, NaN if none has.
type row struct {
	arch, trials                    int
	flops, params, latency, seconds float64
	top1                            []float64 // by set
}

// costs are the columns of a row by which rows may be sorted, by their names in the API.
var costs = map[string]func(*row) float64{
	"flops_millions":                   func(r *row) float64 { return r.flops },
	"params_millions":                  func(r *row) float64 { return r.params },
	"latency_seconds_per_batch_of_256": func(r *row) float64 { return r.latency },
	"training_seconds":                 func(r *row) float64 { return r.seconds },
}

// newRows returns the architectures of a group, in order of their indices.
func newRows(g *summary.Group) []*row {
	var rows []*row
	for trials := range g.ByArch {
		mean := func(value func(*summary.Trial) float64) float64 { return summary.Mean(trials, value) }
		r := &row{
			arch: trials[0].Arch, trials: len(trials),
			flops: mean(func(t *summary.Trial) float64 { return t.FLOPs }), params: mean(func(t *summary.Trial) float64 { return t.Params }),
			latency: mean(func(t *summary.Trial) float64 { return t.Latency }), seconds: mean(func(t *summary.Trial) float64 { return t.Seconds }),
		}
		for s := range g.Sets {
			r.top1 = append(r.top1, mean(func(t *summary.Trial) float64 { return t.Sets[s].Top1 }))
		}
		rows = append(rows, r)
	}
	return rows
}

// sorted returns the architectures in ascending order of a column, those without a value first. set is
// that of top1_percent. The caller must not change the list.
func (t *groupTable) sorted(by string, set int) []*row {
	rows := t.rows()
	value := costs[by]
	switch by {
	case "architecture":
		return rows
	case "top1_percent":
		value = func(r *row) float64 { return r.top1[set] }
	default:
		set = 0
	}
	if sorted, ok := t.orders.Load(order{by, set}); ok {
		return sorted.([]*row)
	}
	sorted := slices.SortedStableFunc(slices.Values(rows), func(a, b *row) int { return cmp.Compare(value(a), value(b)) })
	t.orders.Store(order{by, set}, sorted)
	return sorted
}

// errSeveral reports that a dataset or a schedule alone selects several groups.
var errSeveral = errors.New("several")

// group returns the position of the group with a dataset and a schedule. One of them may be empty if
// the other one leaves only one group.
func (d *data) group(dataset, schedule string) (int, error) {
	found := -1
	for i, g := range d.summary.Groups {
		if dataset != "" && g.Dataset != dataset || schedule != "" && g.Schedule != schedule {
			continue
		}
		if found >= 0 {
			return 0, usage.Mark(errSeveral, badRequest("name a dataset and a schedule; %s", d.describeGroups()))
		}
		found = i
	}
	if found < 0 {
		return 0, usage.Mark(benchmark.ErrNotHeld, usage.Errorf("the benchmark has no trials with dataset=%s&schedule=%s; %s", cmp.Or(dataset, "any"), cmp.Or(schedule, "any"), d.describeGroups()))
	}
	return found, nil
}

// describeGroups lists the groups, for errors.
func (d *data) describeGroups() string {
	var names []string
	for _, g := range d.summary.Groups {
		names = append(names, fmt.Sprintf("dataset=%s&schedule=%s", g.Dataset, g.Schedule))
	}
	if names == nil {
		return "it has no finished trial yet"
	}
	return "it has " + strings.Join(names, ", ")
}

func setNames(g *summary.Group) []string {
	var names []string
	for _, s := range g.Sets {
		names = append(names, s.Name)
	}
	return names
}

// column returns the values of a series after the epochs, NaN where it has none.
func column(epochs []int, s benchmark.Series) numbers {
	values := make(numbers, len(epochs))
	at := 0
	for i, epoch := range epochs {
		values[i] = math.NaN()
		if at < len(s) && s[at].Epoch == epoch {
			values[i] = s[at].Value
			at++
		}
	}
	return values
}
