package scheduler

import (
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"nb201/internal/gauges"
	"nb201/internal/listen"
	"nb201/internal/usage"
	"nb201/scheduler/state"
)

// Metrics serves the state of a run to Prometheus at /metrics. It is safe for concurrent use.
type Metrics struct {
	server   *http.Server
	listener net.Listener
	done     chan struct{} // closed when the server has stopped

	mu     sync.Mutex
	state  state.Run
	totals state.Totals
}

// ServeMetrics starts serving metrics at address, which is HOST:PORT. A bare port, 9100 or
// :9100, listens on the loopback interface only. version is the program's version, reported as
// nb201_build_info. Its errors are usage errors.
func ServeMetrics(address, version string) (*Metrics, error) {
	address, err := listen.Address("--metrics", address)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, usage.Errorf("cannot serve metrics: %w; choose another address with --metrics", err)
	}
	m := &Metrics{listener: listener, done: make(chan struct{})}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(gauges.Registry(version, m), promhttp.HandlerOpts{}))
	// Clients share the run's file descriptors with its workers: limit the number of connections,
	// and close each one after its answer.
	const patience = 5 * time.Second
	m.server = &http.Server{
		Handler: mux, MaxHeaderBytes: 16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // the default is stderr, which may block
		ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: patience,
	}
	m.server.SetKeepAlivesEnabled(false)
	go func() {
		defer close(m.done)
		_ = m.server.Serve(netutil.LimitListener(listener, maxConnections)) // returns when Close is called
	}()
	return m, nil
}

// maxConnections is the number of connections served at a time; further ones wait.
const maxConnections = 32

// URL returns the URL of the metrics.
func (m *Metrics) URL() string { return fmt.Sprintf("http://%s/metrics", m.listener.Addr()) }

// Show replaces the state and the totals from which the metrics are computed.
func (m *Metrics) Show(s state.Run, t state.Totals) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Workers = slices.Clone(s.Workers)
	m.state, m.totals = s, t
}

// Close stops the server and waits for it.
func (m *Metrics) Close() error {
	err := m.server.Close()
	<-m.done
	return err
}

// Describe implements [prometheus.Collector]. It sends nothing, which makes this an unchecked
// collector: which metrics exist depends on the state.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector]. It sends the metrics of the state last passed to
// [Metrics.Show].
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	s, t := m.state, m.totals
	m.mu.Unlock()
	if s.Started.IsZero() {
		return // Show has not been called yet
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}

	trials := gauges.Describe("trials", "Trials of the plan, or of the run's chunk, by state; \"left\" are those neither done, running nor failed.", "state")
	gauge(trials, float64(t.Done), "done")
	gauge(trials, float64(t.Running), "running")
	gauge(trials, float64(t.Failed), "failed")
	gauge(trials, float64(t.Left), "left")
	counter(gauges.Describe("run_trials_finished_total", "Trials that this run has finished."), float64(s.Finished))
	counter(gauges.Describe("run_trials_failed_total", "Trials that failed in this run: their attempts are used up."), float64(s.Failed))
	gauge(gauges.Describe("run_start_time_seconds", "Start time of this run, in seconds since the Unix epoch."), unixSeconds(s.Started))
	gauge(gauges.Describe("run_paused", "1 while the run starts no trials because disk space or memory is short."), gauges.OneIf(s.Paused != ""))
	if t.Work > 0 {
		gauge(gauges.Describe("work_left_seconds", "Estimated seconds that a single worker would need for the running and left trials."), t.Work.Seconds())
	}

	running := gauges.Describe("worker_running", "1 while the worker has a trial, else 0.", "device", "worker")
	images := gauges.Describe("worker_images_per_second", "Images that the worker trains on or evaluates per second.", "device", "worker")
	attempt := gauges.Describe("worker_attempt", "Number of the attempt at the worker's trial, from 1; 0 when it has no trial.", "device", "worker")
	epoch := gauges.Describe("worker_epochs_done", "Epochs of its trial that the worker has completed.", "device", "worker")
	epochs := gauges.Describe("worker_epochs", "Total epochs of the worker's trial.", "device", "worker")
	began := gauges.Describe("worker_trial_start_time_seconds", "When the worker got its trial, in seconds since the Unix epoch.", "device", "worker")
	for _, w := range s.Workers {
		labels := []string{w.Device, strconv.Itoa(w.Index)}
		gauge(running, gauges.OneIf(w.Trial != nil), labels...)
		gauge(images, w.ImagesPerSecond, labels...)
		gauge(attempt, float64(w.Attempt), labels...)
		gauge(epoch, float64(w.Epoch), labels...)
		gauge(epochs, float64(w.Epochs), labels...)
		if w.Trial != nil && !w.Since.IsZero() {
			gauge(began, unixSeconds(w.Since), labels...)
		}
	}
}

func unixSeconds(t time.Time) float64 { return float64(t.UnixNano()) / 1e9 }
