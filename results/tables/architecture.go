package tables

import (
	"cmp"
	"fmt"
	"slices"

	"nb201/cell"
	"nb201/configs"
	"nb201/results"
	"nb201/results/benchmark"
)

// RowsOf returns the rows of an architecture in both tables. They share memory with a.
func RowsOf(a *benchmark.Architecture) ([]TrialRow, []EpochRow) {
	var trials []TrialRow
	var epochs []EpochRow
	for _, schedule := range a.Schedules {
		for _, r := range schedule.Results {
			row := TrialRow{
				Architecture: r.Arch, Genotype: r.Genotype, Dataset: r.Dataset, Schedule: schedule.HP, Epochs: r.Epochs, Seed: r.Seed,
				Channels: r.Channels, Cells: r.Cells, Classes: r.Classes, FLOPs: r.FLOPs, Params: r.Params, Latencies: r.Latencies,
			}
			epochs = appendRows(epochs, &r.Training, row, benchmark.TrainingSet)
			if r.Recipe != nil && r.Recipe.Name != "" {
				row.Recipe = string(r.Recipe.JSON())
			}
			for _, e := range r.Evaluation {
				row.EvaluationSets = append(row.EvaluationSets, e.Set)
				epochs = appendRows(epochs, &e.Measures, row, e.Set)
			}
			trials = append(trials, row)
		}
	}
	return trials, epochs
}

// appendRows appends a row for each epoch that has at least one value.
func appendRows(rows []EpochRow, m *benchmark.Measures, trial TrialRow, set string) []EpochRow {
	first := len(rows)
	for _, s := range []struct {
		series benchmark.Series
		field  func(*EpochRow) **float64
	}{{m.Loss, (*EpochRow).loss}, {m.Top1, (*EpochRow).top1}, {m.Top5, (*EpochRow).top5}, {m.Seconds, (*EpochRow).seconds}} {
		next := first // both the series and the rows are in order of epochs
		for i := range s.series {
			p := &s.series[i]
			for next < len(rows) && rows[next].Epoch < p.Epoch {
				next++
			}
			if next == len(rows) || rows[next].Epoch > p.Epoch {
				rows = slices.Insert(rows, next, EpochRow{
					Architecture: trial.Architecture, Dataset: trial.Dataset, Schedule: trial.Schedule, Seed: trial.Seed, Set: set, Epoch: p.Epoch,
				})
			}
			*s.field(&rows[next]) = &p.Value
		}
	}
	return rows
}

func (r *EpochRow) loss() **float64 { return &r.Loss }

func (r *EpochRow) top1() **float64 { return &r.Top1 }

func (r *EpochRow) top5() **float64 { return &r.Top5 }

func (r *EpochRow) seconds() **float64 { return &r.Seconds }

// rowKey identifies a trial of an architecture in the tables.
type rowKey struct {
	dataset, schedule string
	seed              uint32
}

// ArchitectureOf is the inverse of [RowsOf] for an architecture of a space. It takes the rows of one
// architecture in any order. It fails if they contradict each other; the error names the rows.
func ArchitectureOf(space cell.Space, trials []TrialRow, epochs []EpochRow) (*benchmark.Architecture, error) {
	if len(trials) == 0 {
		return nil, fmt.Errorf("no rows in the table %s", TrialsTable)
	}
	a, err := benchmark.NewArchitecture(space, trials[0].Architecture)
	if err != nil {
		return nil, err
	}
	found := map[rowKey]*benchmark.ResultsCount{}
	for i := range trials {
		row := &trials[i]
		key := rowKey{row.Dataset, row.Schedule, row.Seed}
		r, err := row.resultsCount(a)
		if err != nil {
			return nil, err
		}
		if found[key] != nil {
			return nil, fmt.Errorf("%v, schedule %q: the trial has two rows in the table %s", r.Trial, row.Schedule, TrialsTable)
		}
		found[key] = r
		a.Add(row.Schedule, r)
	}
	for _, s := range a.Schedules {
		slices.SortFunc(s.Results, func(a, b *benchmark.ResultsCount) int { return a.Compare(b.Trial) })
	}
	slices.SortFunc(a.Schedules, func(a, b *benchmark.ArchResults) int {
		return cmp.Or(a.Results[0].Epochs-b.Results[0].Epochs, cmp.Compare(a.HP, b.HP))
	})
	order := make([]*EpochRow, len(epochs)) // rows are long
	for i := range epochs {
		order[i] = &epochs[i]
	}
	slices.SortStableFunc(order, func(a, b *EpochRow) int { return cmp.Compare(a.Epoch, b.Epoch) })
	for _, row := range order {
		if err := row.addTo(found[rowKey{row.Dataset, row.Schedule, row.Seed}]); err != nil {
			return nil, fmt.Errorf("epoch %d of set %q of dataset %q, schedule %q, seed %d: %w", row.Epoch, row.Set, row.Dataset, row.Schedule, row.Seed, err)
		}
	}
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			if !slices.ContainsFunc(r.Sets(), hasValues) { // as in all architectures after the place where the table was cut off
				return nil, fmt.Errorf("%v, schedule %q: the trial has no rows in the table %s", r.Trial, s.HP, EpochsTable)
			}
		}
	}
	return a, nil
}

// hasValues reports whether a set has a value of any measure.
func hasValues(s benchmark.SetMeasures) bool {
	return len(s.Loss)+len(s.Top1)+len(s.Top5)+len(s.Seconds) > 0
}

// resultsCount returns the trial of a row, without measures.
func (row *TrialRow) resultsCount(a *benchmark.Architecture) (*benchmark.ResultsCount, error) {
	r := &benchmark.ResultsCount{
		Trial:    results.Trial{Space: a.Space.Name(), Arch: row.Architecture, Dataset: row.Dataset, Epochs: row.Epochs, Seed: row.Seed},
		Genotype: row.Genotype, Channels: row.Channels, Cells: row.Cells, Classes: row.Classes,
		FLOPs: row.FLOPs, Params: row.Params, Latencies: row.Latencies,
	}
	if len(r.Latencies) == 0 {
		r.Latencies = nil
	}
	if err := r.Trial.Check(); err != nil {
		return nil, err
	}
	if row.Recipe != "" {
		var recipe configs.Recipe
		if err := configs.Decode("recipe", []byte(row.Recipe), &recipe); err != nil {
			return nil, fmt.Errorf("%v: %w", r.Trial, err)
		}
		if err := recipe.Check(); err != nil {
			return nil, fmt.Errorf("%v: recipe: %w", r.Trial, err)
		}
		if recipe.Name != row.Schedule || recipe.Epochs != row.Epochs {
			return nil, fmt.Errorf("%v: its recipe is %s, of %d epochs, but its schedule is %s, of %d", r.Trial, recipe.Schedule(), recipe.Epochs, row.Schedule, row.Epochs)
		}
		r.Recipe = &recipe
	}
	if row.Architecture != a.Index || row.Genotype != a.Genotype {
		return nil, fmt.Errorf("%v: genotype %.80q does not match architecture %d, which is %s", r.Trial, row.Genotype, a.Index, a.Genotype)
	}
	for _, set := range row.EvaluationSets {
		if err := configs.CheckName(set); err != nil {
			return nil, fmt.Errorf("%v: evaluation set %w", r.Trial, err)
		}
		if _, twice := r.Set(set); twice || set == benchmark.TrainingSet {
			return nil, fmt.Errorf("%v: evaluation set %s is listed twice or has the name of the training set", r.Trial, set)
		}
		r.Evaluation = append(r.Evaluation, benchmark.SetMeasures{Set: set})
	}
	return r, nil
}

// addTo adds the values of the row to its trial; trial is nil if that does not exist. Rows must be
// added in order of their epochs.
func (r *EpochRow) addTo(trial *benchmark.ResultsCount) error {
	if trial == nil {
		return fmt.Errorf("the trial is missing in the table %s", TrialsTable)
	}
	if r.Epoch < 0 || r.Epoch >= trial.Epochs {
		return fmt.Errorf("the trial has epochs 0 to %d only", trial.Epochs-1)
	}
	m := &trial.Training
	if r.Set != benchmark.TrainingSet {
		var ok bool
		if m, ok = trial.Set(r.Set); !ok {
			return fmt.Errorf("the trial does not list this evaluation set")
		}
	}
	for _, v := range []struct {
		series *benchmark.Series
		value  *float64
	}{{&m.Loss, r.Loss}, {&m.Top1, r.Top1}, {&m.Top5, r.Top5}, {&m.Seconds, r.Seconds}} {
		if v.value == nil {
			continue
		}
		if n := len(*v.series); n > 0 && (*v.series)[n-1].Epoch == r.Epoch {
			return fmt.Errorf("two rows give the same value")
		}
		*v.series = append(*v.series, benchmark.Point{Epoch: r.Epoch, Value: *v.value})
	}
	return nil
}
