package scheduler

import (
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"nb201/internal/usage"
)

// scrape fetches the metrics as Prometheus does.
func scrape(t *testing.T, m *Metrics) string {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, m.URL(), nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if kind := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || !strings.HasPrefix(kind, "text/plain; version=0.0.4") {
		t.Fatalf("%s, %s", response.Status, kind)
	}
	return string(text)
}

func serveMetrics(t *testing.T) *Metrics {
	t.Helper()
	m, err := ServeMetrics(":0", `v1 "quoted"`)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	return m
}

func TestMetrics(t *testing.T) {
	m := serveMetrics(t)
	// Before the first Show there are only metrics of the program.
	if text := scrape(t, m); strings.Contains(text, "nb201_trials") || !strings.Contains(text, `nb201_build_info{version="v1 \"quoted\""} 1`) {
		t.Errorf("metrics:\n%s", text)
	}
	s, totals := sampleRun()
	s.Started = time.Unix(1.75e9, 0)
	s.Workers[0].Since = time.Unix(1.75e9+100, 0)
	s.Workers[0].ImagesPerSecond = 8123.5
	m.Show(s, totals)
	s.Workers[0].ImagesPerSecond = 1 // must not change what is served
	text := scrape(t, m)
	for _, want := range []string{
		`nb201_trials{state="done"} 45`,
		`nb201_trials{state="running"} 1`,
		`nb201_trials{state="failed"} 1`,
		`nb201_trials{state="left"} 73`,
		`nb201_run_trials_finished_total 30`,
		`nb201_run_trials_failed_total 1`,
		`nb201_run_start_time_seconds 1.75e+09`,
		`nb201_run_paused 0`,
		`nb201_work_left_seconds 36000`,
		`nb201_worker_running{device="cuda:0",worker="0"} 1`,
		`nb201_worker_running{device="cuda:1",worker="0"} 0`,
		`nb201_worker_images_per_second{device="cuda:0",worker="0"} 8123.5`,
		`nb201_worker_images_per_second{device="cuda:1",worker="0"} 0`,
		`nb201_worker_attempt{device="cuda:0",worker="0"} 2`,
		`nb201_worker_epochs_done{device="cuda:0",worker="0"} 36`,
		`nb201_worker_epochs{device="cuda:0",worker="0"} 200`,
		`nb201_worker_trial_start_time_seconds{device="cuda:0",worker="0"} 1.7500001e+09`,
		`# TYPE nb201_run_trials_finished_total counter`,
		`# TYPE nb201_trials gauge`,
	} {
		if !strings.Contains(text, want+"\n") {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, `nb201_worker_trial_start_time_seconds{device="cuda:1"`) {
		t.Error("an idle worker has a trial")
	}
	s.Paused = "the disk is full"
	m.Show(s, totals)
	if text := scrape(t, m); !strings.Contains(text, "nb201_run_paused 1\n") {
		t.Errorf("metrics:\n%s", text)
	}
	url := m.URL()
	if err := m.Close(); err != nil {
		t.Error(err)
	}
	if answer, err := http.Get(url); err == nil {
		answer.Body.Close()
		t.Error("it serves after Close")
	}
}

func TestMetricsConcurrent(t *testing.T) {
	m := serveMetrics(t)
	s, totals := sampleRun()
	var group sync.WaitGroup
	group.Go(func() {
		for i := range 100 {
			s.Workers[0].Epoch = i
			m.Show(s, totals)
		}
	})
	group.Go(func() {
		for range 10 {
			scrape(t, m)
		}
	})
	group.Wait()
}

func TestMetricsAddress(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	if _, err := ServeMetrics(taken.Addr().String(), "v1"); !usage.Is(err) || !strings.Contains(err.Error(), "cannot serve metrics") {
		t.Errorf("error %v", err)
	}
	if _, err := ServeMetrics("none", "v1"); !usage.Is(err) {
		t.Errorf("error %v", err)
	}
}
