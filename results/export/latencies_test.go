package export

import (
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// Every format must hold the latencies that were given, of every seed, and the trials'
// own where none was.
func TestGivenLatencies(t *testing.T) {
	c := resultstest.Fill(t, resultstest.Grid(0, 1)...)
	given := func(dataset string, arch int, seconds ...float64) *results.LatencyTable {
		r := resultstest.Record(t, results.Trial{Arch: arch, Dataset: dataset, Epochs: 2})
		return &results.LatencyTable{Batch: 256, Channels: r.Recipe.Channels, Cells: r.Recipe.Cells, Measured: []results.Latency{
			{Arch: arch, Genotype: r.Genotype, Dataset: dataset, Classes: r.Classes, ImageSize: r.ImageSize, Seconds: seconds},
		}}
	}
	small := given("cifar100", 0, 3)
	small.Channels++ // another network
	tables := []*results.LatencyTable{given("cifar10", 0, 0.5, 0.25), given("cifar100", 1, 0.125), small}
	for _, format := range []benchmark.Format{published.Archive, published.NASBench201, published.NATS, published.Parquet, published.CSV} {
		to := filepath.Join(t.TempDir(), "out")
		if format == published.NASBench201 {
			to += ".pth"
		}
		report := exportWith(t, c, Options{Format: format, To: to, Less: "2", Full: "3", Latencies: tables})
		own, trials := 0, 0
		for a, err := range open(t, to).Architectures() {
			if err != nil {
				t.Fatal(err)
			}
			for _, s := range a.Schedules {
				for _, r := range s.Results {
					want := resultstest.Record(t, r.Trial).Latency
					switch {
					case r.Dataset == "cifar10" && r.Arch == 0:
						want = []float64{0.5, 0.25}
					case r.Dataset == "cifar100" && r.Arch == 1:
						want = []float64{0.125}
					default:
						own++
					}
					trials++
					if format != published.Parquet && format != published.CSV {
						want = clientLatencies(want)
					}
					if !slices.Equal(r.Latencies, want) {
						t.Errorf("%s: the latency of %v is %v, want %v", format, r.Trial, r.Latencies, want)
					}
				}
			}
		}
		if own == 0 || own == trials || report.OwnLatency != own || !strings.Contains(strings.Join(report.Warnings(), "\n"), "no latency is given for the networks of ") {
			t.Errorf("%s: %d of %d trials have their own latency: %+v", format, own, trials, report)
		}
	}

	other := given("cifar10", 0, 1)
	other.Batch = 128
	for want, o := range map[string]Options{
		"batches of 128 images":                                {Latencies: []*results.LatencyTable{other}},
		"architecture 0 on cifar10 (C=8, N=1) was given twice": {Latencies: []*results.LatencyTable{tables[0], given("cifar10", 0, 1)}},
		"runs cannot contain latencies":                        {Format: published.Runs, Latencies: tables},
	} {
		if o.Format == "" {
			o.Format = published.CSV
		}
		o.To, o.Less, o.Full = filepath.Join(t.TempDir(), "out"), "2", "3"
		if _, err := Run(t.Context(), open(t, c.Dir), o); !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want %q", err, want)
		}
	}

	// Parts made with other latencies are not reused.
	names := map[string]bool{}
	for _, o := range [][]*results.LatencyTable{nil, tables[:1], {given("cifar10", 0, 0.5, 0.26)}, tables} {
		joined, err := joinLatencies(o, cell.Topology{})
		if err != nil {
			t.Fatal(err)
		}
		e := &exporter{benchmark: open(t, c.Dir), archs: []int{0, 1}, options: Options{Format: published.CSV}, latencies: joined}
		units, err := e.units()
		if err != nil {
			t.Fatal(err)
		}
		names[units[0].name] = true
	}
	if len(names) != 4 {
		t.Errorf("the names of the parts are %v", names)
	}
}
