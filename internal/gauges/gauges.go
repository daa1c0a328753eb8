// Package gauges has what all metrics of nb201 for Prometheus have in common.
package gauges

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
)

// Registry returns a registry of the collectors given, of the program's version as nb201_build_info,
// and of this process.
func Registry(version string, own ...prometheus.Collector) *prometheus.Registry {
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "nb201_build_info", Help: "The program's version; always 1.",
	}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	r := prometheus.NewRegistry()
	r.MustRegister(own...)
	r.MustRegister(build, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}

// Describe returns the description of the metric nb201_NAME.
func Describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("nb201_"+name, help, labels, nil)
}

// OneIf returns 1 for true and 0 for false.
func OneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
