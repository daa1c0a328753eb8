package main

import (
	"github.com/spf13/cobra"

	"nb201/internal/progress"
	"nb201/results/benchmark"
	"nb201/results/published"
)

// openBenchmark opens a campaign or published file. It shows progress on stderr while a large file
// is indexed, which happens when the file is first opened.
func openBenchmark(c *cobra.Command, path string) (*benchmark.Benchmark, error) {
	report, end := progress.Reporter(c.ErrOrStderr(), progress.Bytes)
	defer end()
	return published.Open(c.Context(), path, published.WithProgress(func(done, total int64) { report("indexing "+path, done, total) }))
}
