package serve

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"nb201/internal/gauges"
	"nb201/internal/inert"
)

// metrics serves what Prometheus wants to know: of the campaign, of its active runs and of this
// server.
type metrics struct {
	live     *live
	registry *prometheus.Registry
	streams  atomic.Int64 // open
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(l *live, program string) *metrics {
	m := &metrics{
		live: l,
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "nb201_serve_requests_total", Help: "Requests answered, by route and status code.",
		}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "nb201_serve_request_seconds", Help: "Time to answer a request, by route; not of streams of events.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, 1, 5},
		}, []string{"route"}),
	}
	streams := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "nb201_serve_streams", Help: "Open streams of events.",
	}, func() float64 { return float64(m.streams.Load()) })
	m.registry = gauges.Registry(program, m, streams, m.requests, m.seconds)
	return m
}

func (m *metrics) handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// count counts the answers of a handler.
func (m *metrics) count(route string, h http.Handler) http.Handler {
	route = strings.TrimSuffix(route, "{$}") // of the root
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		began := time.Now()
		seen := &statusWriter{ResponseWriter: w, status: http.StatusOK}
		h.ServeHTTP(seen, r)
		m.requests.WithLabelValues(route, strconv.Itoa(seen.status)).Inc()
		if _, isStream := h.(*stream); !isStream {
			m.seconds.WithLabelValues(route).Observe(time.Since(began).Seconds())
		}
	})
}

// statusWriter remembers the status code of an answer.
type statusWriter struct {
	http.ResponseWriter
	status int
}

// WriteHeader implements [http.ResponseWriter].
func (w *statusWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap returns the writer for [http.ResponseController].
func (w *statusWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// Describe implements [prometheus.Collector]. It sends nothing: which metrics exist depends on the
// campaign.
func (m *metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector]. It sends what is known of the campaign.
func (m *metrics) Collect(out chan<- prometheus.Metric) {
	sent := map[string]bool{} // a second one with the same labels, of a file that was made up, would be an error
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		for i := range labels {
			labels[i] = inert.Text(labels[i])
		}
		if key := fmt.Sprintf("%v %q", d, labels); !sent[key] {
			sent[key] = true
			out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
		}
	}
	m.live.mu.Lock()
	missing := m.live.now.Missing != ""
	m.live.mu.Unlock()
	gauge(gauges.Describe("serve_benchmark_missing", "1 while the benchmark cannot be read, else 0."), gauges.OneIf(missing))
	s := m.live.campaign.Load()
	if s == nil {
		return
	}
	trials := gauges.Describe("trials", "Trials of the plan by state; \"left\" are those neither done, damaged, running nor failed.", "dataset", "epochs", "schedule", "state")
	for _, g := range s.Trials {
		for _, c := range []struct {
			state string
			count int
		}{{"done", g.Done}, {"damaged", g.Damaged}, {"running", g.Running}, {"failed", g.Failed}, {"left", g.Left}} {
			gauge(trials, float64(c.count), g.Dataset, strconv.Itoa(g.Epochs), g.Schedule, c.state)
		}
	}
	gauge(gauges.Describe("trials_with_failures", "Trials that have failed attempts and are not finished."), float64(len(s.Failures)))
	gauge(gauges.Describe("trial_hours_done", "Hours that finished trials took, estimated from a sample of them."), s.Hours.Done)
	if s.Hours.Left > 0 {
		gauge(gauges.Describe("seconds_left", "Estimated seconds until the active runs are done."), s.Hours.Left*3600)
	}
	paused := gauges.Describe("run_paused", "1 while the run starts no trials because disk space or memory is short.", "host", "pid")
	finished := gauges.Describe("run_trials_finished", "Trials that the run has finished.", "host", "pid")
	running := gauges.Describe("worker_running", "1 while the worker has a trial, else 0.", "host", "pid", "device", "worker")
	images := gauges.Describe("worker_images_per_second", "Images that the worker trains on or evaluates per second.", "host", "pid", "device", "worker")
	for _, r := range s.Runs {
		if r.Stale != "" {
			continue
		}
		run := []string{r.Host, strconv.Itoa(r.PID)}
		gauge(paused, gauges.OneIf(r.Paused != ""), run...)
		gauge(finished, float64(r.Finished), run...)
		for _, w := range r.Workers {
			labels := append(run[:2:2], w.Device, strconv.Itoa(w.Index))
			gauge(running, gauges.OneIf(w.Trial != nil), labels...)
			gauge(images, w.ImagesPerSecond, labels...)
		}
	}
}
