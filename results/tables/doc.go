// Package tables defines the two tables of the formats Parquet and CSV: trials, with a row for
// each trial ([TrialRow]), and epochs, with a row for each epoch and set of images of a trial
// ([EpochRow]). Together they hold everything in a [benchmark.ResultsCount] except the weights,
// the recipe and the record.
//
// A third table, without trials, has a row for each architecture of the search space and each
// dataset ([SpaceRow]).
//
// [RowsOf] converts an architecture into rows, and [ArchitectureOf] converts rows back.
// [Columns] describes the columns.
package tables
