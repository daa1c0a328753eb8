package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"nb201/internal/backend/devicetest"
	"nb201/internal/httpload"
	"nb201/internal/needs"
)

// TestServeClients trains a campaign while 100 clients ask nb201 serve about it: all are answered, all
// receive events, and the server's memory does not grow. bench/run serve measures what that costs the
// campaign.
func TestServeClients(t *testing.T) {
	needs.Long(t, "it trains a campaign")
	device := devicetest.Device(t)
	devicetest.Open(t)
	dir := t.TempDir()
	nb201 := build(t)
	campaign := filepath.Join(dir, "campaign")
	const arch, trials = 1835, 3 // few operations
	if out, err := exec.Command(nb201, "plan", campaign, "--archs", fmt.Sprint(arch), "--datasets", "digits",
		"--epochs", "3", "--seeds", "777,888,999", "--channels", "8", "--cells", "1").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	s := startServer(t, nb201, campaign)
	paths := []string{"/api/v1/status", "/api/v1/trials", fmt.Sprintf("/api/v1/architectures/%d", arch), fmt.Sprintf("/api/v1/architectures/%d/curves", arch)}
	clients := httpload.Load{
		Clients: 100, Every: 500 * time.Millisecond, Stream: "/api/v1/events",
		Path:   func(random *rand.Rand) string { return paths[random.IntN(len(paths))] },
		Accept: []int{http.StatusNotFound, http.StatusServiceUnavailable}, // before a trial has finished, and before anything is read
	}
	// ask lets the clients work until an end, and returns the server's memory then.
	ask := func(name string, end context.Context) httpload.Memory {
		t.Helper()
		r, err := clients.Run(end, "http://"+s.address)
		if err != nil || r.Silent > 0 || len(r.Latencies) < clients.Clients {
			t.Errorf("%s: %d answers, %d of %d clients received no event, %v", name, len(r.Latencies), r.Silent, clients.Clients, err)
		}
		m, err := httpload.MemoryOf(s.process.Process.Pid)
		if err != nil {
			t.Error(err)
		}
		t.Logf("%s: %d answers in %.1f s, 99 %% within %v, %d events; memory %d MB, peak %d MB",
			name, len(r.Latencies), r.Seconds, r.Quantile(0.99), r.Events, m.Now>>20, m.Peak>>20)
		return m
	}
	before, stop := context.WithTimeout(t.Context(), 5*time.Second)
	defer stop()
	first := ask("before the campaign", before)

	during, end := context.WithCancel(t.Context())
	defer end()
	var last httpload.Memory
	var asking sync.WaitGroup
	asking.Go(func() { last = ask("during the campaign", during) })
	out, err := exec.Command(nb201, "run", campaign, "--devices", device.String()).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	// The server soon knows of the last trial.
	for until := time.Now().Add(time.Minute); s.get("/api/v1/status")["trials"] != float64(trials); time.Sleep(100 * time.Millisecond) {
		if time.Now().After(until) {
			t.Fatalf("status: %v", s.get("/api/v1/status"))
		}
	}
	end()
	asking.Wait()
	if last.Peak > first.Peak+32<<20 {
		t.Errorf("memory grows from %d to %d MB", first.Peak>>20, last.Peak>>20)
	}
	if number := s.get(fmt.Sprintf("/api/v1/architectures/%d", arch))["architecture"]; number != float64(arch) {
		t.Errorf("architecture %v", number)
	}
}
