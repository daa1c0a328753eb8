package published

import (
	"nb201/results/benchmark"
)

// What only tests of this package may call.
var (
	OpenParquet = openAs(parquetReader())
	OpenCSV     = openAs(csvReader())
)

// openAs opens a directory as one of a format, whatever else is in it.
func openAs(r reader) func(dir string) (*benchmark.Benchmark, error) {
	return func(dir string) (*benchmark.Benchmark, error) {
		return r.open(nil, &opening{path: dir, refuse: func(_ string, why error) error { return why }})
	}
}
