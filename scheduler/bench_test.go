package scheduler

import (
	"os"
	"runtime"
	"testing"
	"time"

	"nb201/cell"
	"nb201/results"
	"nb201/scheduler/state"
	"nb201/scheduler/status"
)

// BenchmarkCampaign runs a campaign of 3,000 trials that take no time, with 64 workers, to measure
// the cost of scheduling and publishing. NB201_BENCH=whole runs 312,500 trials.
func BenchmarkCampaign(b *testing.B) {
	archs, seeds := 500, 3
	if os.Getenv("NB201_BENCH") == "whole" {
		archs, seeds = cell.Topologies, 10
	}
	var list []uint32
	for i := range seeds {
		list = append(list, uint32(777+i))
	}
	for b.Loop() {
		b.StopTimer()
		began := time.Now()
		dir, all := planned(b, archs, list...)
		b.ReportMetric(time.Since(began).Seconds(), "s/plan")
		o := options(dir)
		o.PerDevice, o.second = 64, time.Second
		files := 0
		o.Show = func(state.Run, state.Totals) {
			fds, _ := os.ReadDir("/proc/self/fd")
			files = max(files, len(fds))
		}
		b.StartTimer()
		began = time.Now()
		totals, err := Run(b.Context(), o)
		if err != nil || totals.Done != len(all) {
			b.Fatalf("%+v, %v", totals, err)
		}
		passed := time.Since(began)
		b.ReportMetric(float64(passed.Microseconds())/float64(len(all)), "µs/trial")
		b.ReportMetric(float64(files), "files")
		var memory runtime.MemStats
		runtime.ReadMemStats(&memory)
		b.ReportMetric(float64(memory.Sys)/(1<<20), "MiB")

		began = time.Now()
		listed := 0
		for _, err := range (results.Campaign{Dir: dir}).Trials() {
			if err != nil {
				b.Fatal(err)
			}
			listed++
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/list")
		began = time.Now()
		if _, err := status.Read(b.Context(), dir); err != nil {
			b.Fatal(err)
		}
		b.ReportMetric(time.Since(began).Seconds(), "s/status")
		if listed != len(all) {
			b.Errorf("%d of %d trials listed", listed, len(all))
		}
	}
}
