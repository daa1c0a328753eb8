package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/internal/progress"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/scheduler/plan"
)

// openBegun opens a benchmark as openBenchmark does, or a campaign that has a plan but no finished trial.
func openBegun(c *cobra.Command, path string) (*benchmark.Benchmark, error) {
	_, noTrials := os.Stat(filepath.Join(path, "trials"))
	_, noPlan := os.Stat(plan.Path(path))
	if noPlan == nil && errors.Is(noTrials, fs.ErrNotExist) {
		return published.OfCampaign(results.Campaign{Dir: path}, cell.Default(), nil), nil
	}
	return openBenchmark(c, path)
}

// openBenchmark opens a campaign or published file. It shows progress on stderr while a large file
// is indexed, which happens when the file is first opened.
func openBenchmark(c *cobra.Command, path string, options ...published.Option) (*benchmark.Benchmark, error) {
	report, end := progress.Reporter(c.ErrOrStderr(), progress.Bytes)
	defer end()
	options = append(options, published.WithProgress(func(done, total int64) { report("indexing "+path, done, total) }))
	return published.Open(c.Context(), path, options...)
}
