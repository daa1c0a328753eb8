package export

import (
	"nb201/internal/usage"
	"nb201/results/benchmark"
	"nb201/results/tables"
)

// table is a table's name, description and columns.
type table struct {
	name, about string
	columns     []tables.Column
}

// bothTables returns the tables of trials and of epochs, in this order.
func bothTables() []table {
	return []table{
		{tables.TrialsTable, "a row for each trial", tables.Columns[tables.TrialRow]()},
		{tables.EpochsTable, "a row for each set of images and epoch of a trial", tables.Columns[tables.EpochRow]()},
	}
}

// rowsOf returns an architecture's rows in both tables. An evaluation set named like the
// training set is a usage error.
func rowsOf(a *benchmark.Architecture) ([]tables.TrialRow, []tables.EpochRow, error) {
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			if _, ok := r.Set(benchmark.TrainingSet); ok {
				return nil, nil, usage.Errorf("%v has an evaluation set named %q, which the tables reserve for the training set", r.Trial, benchmark.TrainingSet)
			}
		}
	}
	trials, epochs := tables.RowsOf(a)
	return trials, epochs, nil
}
