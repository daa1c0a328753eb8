package main

import (
	"github.com/spf13/cobra"

	"nb201/internal/progress"
	"nb201/results/benchmark"
	"nb201/results/published"
)

// openBenchmark opens a campaign or published file, and shows how far the first
// opening of a large one is.
func openBenchmark(c *cobra.Command, path string) (*benchmark.Benchmark, error) {
	var bar *progress.Bar
	var shown int64
	b, err := published.Open(c.Context(), path, published.WithProgress(func(done, total int64) {
		if bar == nil {
			bar = progress.New(c.ErrOrStderr(), total, progress.Bytes, "indexing "+path)
		}
		if more := done - shown; more > 1<<20 || done == total {
			bar.Add(more)
			shown = done
		}
	}))
	if bar != nil {
		bar.Done()
	}
	return b, err
}
