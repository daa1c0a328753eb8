package export

import (
	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/results/tables"
)

// table is the name of a table and its columns.
type table struct {
	name, about string
	columns     []tables.Column
}

// bothTables are those of trials and of epochs.
func bothTables() []table {
	return []table{
		{tables.TrialsTable, "a row for each trial", tables.Columns[tables.TrialRow]()},
		{tables.EpochsTable, "a row for each set of images and epoch of a trial", tables.Columns[tables.EpochRow]()},
	}
}

// rowsOf are the rows of an architecture in both tables.
func rowsOf(a *benchmark.Architecture) ([]tables.TrialRow, []tables.EpochRow, error) {
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			if _, ok := r.Set(benchmark.TrainingSet); ok {
				return nil, nil, usage.Errorf("%v has an evaluation set %s: in the tables that names the training", r.Trial, benchmark.TrainingSet)
			}
		}
	}
	trials, epochs := tables.RowsOf(a)
	return trials, epochs, nil
}
