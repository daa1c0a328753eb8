// Package tables has the two tables of the formats Parquet and CSV: trials, a row for each
// trial, and epochs, a row for each epoch and set of images of a trial. RowsOf makes the
// rows of an architecture, ArchitectureOf an architecture of its rows. Together they hold
// all of a benchmark.ResultsCount but for the weights.
package tables
