package published

import (
	"nb201/results/benchmark"
)

// OpenParquet and OpenCSV open a directory for the tests of this package.
var (
	OpenParquet = openAs(parquetReader())
	OpenCSV     = openAs(csvReader())
)

// openAs opens a directory in a given format, whatever other files it contains.
func openAs(r reader) func(dir string) (*benchmark.Benchmark, error) {
	return func(dir string) (*benchmark.Benchmark, error) {
		return r.open(nil, &opening{path: dir, refuse: func(_ string, why error) error { return why }})
	}
}
