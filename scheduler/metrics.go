package scheduler

import (
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"golang.org/x/net/netutil"

	"nb201/internal/usage"
	"nb201/scheduler/state"
)

// Metrics serves the state of a run to Prometheus, at /metrics. It is safe for
// concurrent use.
type Metrics struct {
	server   *http.Server
	listener net.Listener
	done     chan struct{} // closed when the server has ended

	mu     sync.Mutex
	state  state.Run
	totals state.Totals
}

// ServeMetrics listens at an address HOST:PORT; a port alone, 9100 or :9100, is one of
// this host that others do not reach. version is the program's. Errors are usage errors.
func ServeMetrics(address, version string) (*Metrics, error) {
	address, err := metricsAddress(address)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, usage.Errorf("cannot serve metrics: %w", err)
	}
	m := &Metrics{listener: listener, done: make(chan struct{})}
	registry := prometheus.NewRegistry()
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "nb201_build_info", Help: "The program's version; always 1.",
	}, []string{"version"})
	build.WithLabelValues(version).Set(1)
	registry.MustRegister(m, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	// Whoever reaches the port holds few of the run's file descriptors, and none for long:
	// a connection is closed after its answer.
	const patience = 5 * time.Second
	m.server = &http.Server{
		Handler: mux, MaxHeaderBytes: 16 << 10,
		ErrorLog:          log.New(io.Discard, "", 0), // it would write to a terminal that may take nothing
		ReadHeaderTimeout: patience, ReadTimeout: patience, WriteTimeout: patience, IdleTimeout: patience,
	}
	m.server.SetKeepAlivesEnabled(false)
	go func() {
		defer close(m.done)
		_ = m.server.Serve(netutil.LimitListener(listener, mostScrapes)) // ends with Close; a scrape that fails is seen by its client
	}()
	return m, nil
}

// mostScrapes is how many connections are served at a time; others wait.
const mostScrapes = 32

// metricsAddress puts the loopback address before a port that stands alone.
func metricsAddress(address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil && !strings.Contains(address, ":") {
		host, port, err = "", address, nil
	}
	if err == nil {
		if n, e := strconv.ParseUint(port, 10, 16); e != nil || n == 0 && port != "0" {
			err = errors.New("the port is not a number 0..65535")
		}
	}
	if err != nil {
		return "", usage.Errorf("metrics address %q: use HOST:PORT, or :PORT for this host alone: %w", address, err)
	}
	if host == "" {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port), nil
}

// URL is where the metrics are.
func (m *Metrics) URL() string { return fmt.Sprintf("http://%s/metrics", m.listener.Addr()) }

// Show has the metrics be those of a state.
func (m *Metrics) Show(s state.Run, t state.Totals) {
	m.mu.Lock()
	defer m.mu.Unlock()
	s.Workers = slices.Clone(s.Workers)
	m.state, m.totals = s, t
}

// Close stops serving.
func (m *Metrics) Close() error {
	err := m.server.Close()
	<-m.done
	return err
}

// metric describes a metric of this program's.
func metric(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("nb201_"+name, help, labels, nil)
}

// Describe tells nothing: the metrics are those of the state at hand.
func (m *Metrics) Describe(chan<- *prometheus.Desc) {}

// Collect sends the metrics of the last state that was shown.
func (m *Metrics) Collect(out chan<- prometheus.Metric) {
	m.mu.Lock()
	s, t := m.state, m.totals
	m.mu.Unlock()
	if s.Started.IsZero() {
		return // nothing was shown yet
	}
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	counter := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, v, labels...)
	}

	trials := metric("trials", "Trials of the plan, or of its chunk, by what became of them; left ones are neither done, running nor failed.", "state")
	gauge(trials, float64(t.Done), "done")
	gauge(trials, float64(t.Running), "running")
	gauge(trials, float64(t.Failed), "failed")
	gauge(trials, float64(t.Left), "left")
	counter(metric("run_trials_finished_total", "Trials that this run finished."), float64(s.Finished))
	counter(metric("run_trials_failed_total", "Trials that this run set aside."), float64(s.Failed))
	gauge(metric("run_start_time_seconds", "When this run began, in seconds since 1970."), unixSeconds(s.Started))
	gauge(metric("run_paused", "1 while no trial begins, for want of disk or memory."), oneIf(s.Paused != ""))
	if t.Work > 0 {
		gauge(metric("work_left_seconds", "How long one worker would take for the trials that are left and running, by the plan's estimate."), t.Work.Seconds())
	}

	running := metric("worker_running", "1 while the worker has a trial.", "device", "worker")
	images := metric("worker_images_per_second", "Images that the worker trains on or evaluates in a second.", "device", "worker")
	attempt := metric("worker_attempt", "Which attempt at its trial the worker is at; 0: it has none.", "device", "worker")
	epoch := metric("worker_epochs_done", "Epochs of its trial that the worker has behind it.", "device", "worker")
	epochs := metric("worker_epochs", "Epochs of the worker's trial.", "device", "worker")
	began := metric("worker_trial_start_time_seconds", "When the worker was given its trial, in seconds since 1970.", "device", "worker")
	for _, w := range s.Workers {
		labels := []string{w.Device, strconv.Itoa(w.Index)}
		gauge(running, oneIf(w.Trial != nil), labels...)
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

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}
