package fullsize

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"nb201/cell"
	"nb201/internal/httpload"
	"nb201/internal/needs"
)

// serveProcess is a process of nb201 serve.
type serveProcess struct {
	t    *testing.T
	base string // URL
	pid  int
}

// startServe starts nb201 serve on a benchmark.
func startServe(t *testing.T, nb201, path string) *serveProcess {
	t.Helper()
	command := exec.Command(nb201, "serve", path, "--listen", "127.0.0.1:0")
	stdout, err := command.StdoutPipe()
	if err == nil {
		err = command.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Signal(syscall.SIGTERM)
		_ = command.Wait() // a signal has ended it
	})
	base, err := httpload.ReadLink(stdout)
	if err != nil {
		t.Fatal(err)
	}
	return &serveProcess{t, base, command.Process.Pid}
}

// get reads the answer to a request, as JSON unless answer is nil.
func (s *serveProcess) get(path string, answer any) {
	s.t.Helper()
	r, err := http.Get(s.base + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil && answer != nil {
		err = json.Unmarshal(text, answer)
	}
	if err != nil || r.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s, %v", path, r.Status, err)
	}
}

// memory returns the memory of the server.
func (s *serveProcess) memory() httpload.Memory {
	s.t.Helper()
	m, err := httpload.MemoryOf(s.pid)
	if err != nil {
		s.t.Fatal(err)
	}
	return m
}

// loaded holds what clients have seen, and the CPU time of the server for a request, in seconds.
type loaded struct {
	httpload.Result
	cpu float64
}

// load lets clients work for a time.
func (s *serveProcess) load(clients int, limit time.Duration, path func(*rand.Rand) string) loaded {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), limit)
	defer cancel()
	before := s.cpu()
	r, err := httpload.Load{Clients: clients, Path: path}.Run(ctx, s.base)
	if err != nil || len(r.Latencies) == 0 {
		s.t.Fatalf("%d answers, %v", len(r.Latencies), err)
	}
	return loaded{r, (s.cpu() - before) / float64(len(r.Latencies))}
}

// TestServe measures nb201 serve on the file that TestFullSize leaves: how soon it answers, how fast
// it answers each route, and how much memory it uses. All requests name random architectures.
func TestServe(t *testing.T) {
	dir := needs.FullSize(t)
	nb201, err := filepath.Abs("../../bin/nb201")
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "merged.pth")
	began := time.Now()
	s := startServe(t, nb201, path)
	opened := time.Since(began)
	s.get("/api/v1/status", nil)
	first := time.Since(began)
	var index struct {
		Datasets []struct{ Dataset, Schedule string }
	}
	for ; len(index.Datasets) == 0; time.Sleep(100 * time.Millisecond) {
		s.get("/api/v1", &index)
	}
	read := time.Since(began)
	var archs struct{ Total int }
	s.get("/api/v1/architectures?limit=1", &archs)
	if archs.Total < 1 || archs.Total > cell.Topologies {
		t.Fatalf("%d architectures", archs.Total)
	}
	t.Logf("%s, %.2f GB, %d architectures, %d cores: link printed after %.1f s, first answer after %.1f s, everything read after %.1f s; %s",
		filepath.Base(path), float64(sizeOf(t, path))/1e9, archs.Total, runtime.NumCPU(), opened.Seconds(), first.Seconds(), read.Seconds(), mb(s.memory()))

	var held []int
	for offset := 0; offset < archs.Total; offset += 1000 {
		var page struct{ Items []struct{ Architecture int } }
		s.get(fmt.Sprintf("/api/v1/architectures?limit=1000&offset=%d", offset), &page)
		for _, a := range page.Items {
			held = append(held, a.Architecture)
		}
	}
	// form returns random paths: ARCH is an architecture, GROUP a dataset and a schedule.
	form := func(text string) func(*rand.Rand) string {
		return func(random *rand.Rand) string {
			group := index.Datasets[random.IntN(len(index.Datasets))]
			return strings.NewReplacer("ARCH", fmt.Sprint(held[random.IntN(len(held))]),
				"GROUP", "dataset="+group.Dataset+"&schedule="+group.Schedule).Replace("/api/v1" + text)
		}
	}
	table := new(strings.Builder)
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "path\tclients\trequests/s\tmedian ms\t99 % ms\tmost ms\tserver CPU ms\tkB an answer\t")
	row := func(what string, clients int, r loaded) {
		ms := func(d time.Duration) float64 { return d.Seconds() * 1e3 }
		fmt.Fprintf(w, "%s\t%d\t%.0f\t%.2f\t%.2f\t%.2f\t%.2f\t%.1f\t\n", what, clients, r.Rate(), ms(r.Quantile(0.5)), ms(r.Quantile(0.99)), ms(r.Quantile(1)),
			r.cpu*1e3, float64(r.Bytes)/1e3/float64(len(r.Latencies)))
		t.Logf("%s: %.0f requests/s", what, r.Rate()) // progress; the table is printed at the end
	}
	routes := []string{
		"", "/openapi.json", "/status", "/architectures", "/architectures?GROUP", "/architectures?GROUP&sort=training_seconds&order=descending&limit=10",
		"/architectures/ARCH", "/architectures/ARCH?GROUP", "/architectures/ARCH/curves", "/architectures/ARCH/curves?GROUP",
		"/trials", "/trials?architecture=ARCH", "/trials?GROUP&limit=10",
	}
	warm := rand.New(rand.NewPCG(1, 2))
	for _, route := range routes {
		for range len(index.Datasets) * 8 { // orders are made when they are first asked for
			s.get(form(route)(warm), nil)
		}
		row(route, 1, s.load(1, 3*time.Second, form(route)))
	}
	// Mostly what only the file has.
	mix := []string{
		"/architectures/ARCH", "/architectures/ARCH", "/architectures/ARCH?GROUP", "/architectures/ARCH?GROUP", "/architectures/ARCH/curves?GROUP",
		"/trials?architecture=ARCH", "/architectures?GROUP&sort=training_seconds&order=descending&limit=10", "/status",
	}
	mixed := func(random *rand.Rand) string { return form(mix[random.IntN(len(mix))])(random) }
	for _, clients := range []int{8, 32} {
		row("a mix", clients, s.load(clients, 10*time.Second, mixed))
	}

	before := s.memory()
	samples := []string{mb(before)}
	var most int64
	for range 6 {
		row("a mix", 8, s.load(8, 10*time.Second, mixed))
		m := s.memory()
		samples, most = append(samples, mb(m)), max(most, m.Now)
	}
	time.Sleep(5 * time.Second)
	t.Logf("memory before, during and after a minute of load: %s; %s", strings.Join(samples, ", "), mb(s.memory()))
	if most > before.Now+before.Now/4+64<<20 {
		t.Errorf("memory grows from %s to %d MB", mb(before), most>>20)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("load average %s\n%s", loadAverage(t), table)
}

// cpu returns the CPU time of the server, from its metrics.
func (s *serveProcess) cpu() float64 {
	s.t.Helper()
	r, err := http.Get(s.base + "/metrics")
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	for lines := bufio.NewScanner(r.Body); lines.Scan(); {
		var seconds float64
		if n, _ := fmt.Sscanf(lines.Text(), "process_cpu_seconds_total %g", &seconds); n == 1 {
			return seconds
		}
	}
	s.t.Fatal("the metrics lack the CPU time")
	return 0
}

// mb shows the memory of a process.
func mb(m httpload.Memory) string {
	return fmt.Sprintf("%.0f MB (peak %.0f)", float64(m.Now)/1e6, float64(m.Peak)/1e6)
}

// loadAverage returns the load averages of this machine.
func loadAverage(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}
