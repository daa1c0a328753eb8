package httpload

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// newServer answers with texts, events, and 404 at /missing.
func newServer(t *testing.T) (base string, connections *atomic.Int64) {
	mux := http.NewServeMux()
	mux.HandleFunc("/text", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "four") })
	mux.HandleFunc("/missing", http.NotFound)
	mux.HandleFunc("/events", func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			fmt.Fprint(w, "event: status\ndata: {}\n\n")
			_ = http.NewResponseController(w).Flush()
			time.Sleep(10 * time.Millisecond)
		}
	})
	mux.HandleFunc("/short", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "data: {}\n\n") })
	mux.HandleFunc("/quiet", func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	s := httptest.NewUnstartedServer(mux)
	connections = new(atomic.Int64)
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	return s.URL, connections
}

// always returns the path of every request.
func always(path string) func(*rand.Rand) string { return func(*rand.Rand) string { return path } }

// Clients keep their connections, bound their rate, and count what they receive.
func TestRun(t *testing.T) {
	for _, c := range []struct {
		name    string
		load    Load
		fails   string // part of the error
		silent  int
		atMost  int // requests; 0: any number
		streams bool
	}{
		{name: "closed loop", load: Load{Clients: 3, Path: always("/text")}},
		{name: "bounded rate", load: Load{Clients: 3, Path: always("/text"), Every: 100 * time.Millisecond}, atMost: 3 * 6},
		{name: "events", load: Load{Clients: 3, Path: always("/text"), Every: 50 * time.Millisecond, Stream: "/events"}, streams: true},
		{name: "no events", load: Load{Clients: 3, Path: always("/text"), Every: 50 * time.Millisecond, Stream: "/quiet"}, silent: 3},
		{name: "accepted", load: Load{Clients: 2, Path: always("/missing"), Accept: []int{404}}},
		{name: "refused", load: Load{Clients: 2, Path: always("/missing")}, fails: "/missing: 404"},
		{name: "end of events", load: Load{Clients: 2, Path: always("/text"), Stream: "/short"}, fails: "the stream of events has ended"},
	} {
		t.Run(c.name, func(t *testing.T) {
			base, connections := newServer(t)
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			r, err := c.load.Run(ctx, base)
			if c.fails != "" {
				if err == nil || !strings.Contains(err.Error(), c.fails) {
					t.Errorf("error %v, want %q", err, c.fails)
				}
				return
			}
			n := len(r.Latencies)
			if err != nil || n < c.load.Clients || r.Seconds < 0.4 || r.Silent != c.silent || (r.Events > 0) != c.streams || r.Bytes < 4*int64(n) {
				t.Errorf("%d answers, %+v, %v", n, r, err)
			}
			if c.atMost > 0 && n > c.atMost {
				t.Errorf("%d answers, want at most %d", n, c.atMost)
			}
			// When the time ends, some may be opened again.
			if most := 2 * int64(c.load.Clients); connections.Load() > most && c.load.Stream == "" {
				t.Errorf("%d connections for %d requests of %d clients", connections.Load(), n, c.load.Clients)
			}
			if r.Quantile(0) > r.Quantile(0.5) || r.Quantile(0.5) > r.Quantile(1) || r.Quantile(1) != r.Latencies[n-1] || r.Rate() <= 0 {
				t.Errorf("quantiles %v, %v, %v", r.Quantile(0), r.Quantile(0.5), r.Quantile(1))
			}
		})
	}
}

func TestMemoryOf(t *testing.T) {
	before, err := MemoryOf(os.Getpid())
	if err != nil {
		t.Fatal(err)
	}
	used := make([]byte, 64<<20)
	for i := range used {
		used[i] = 1
	}
	after, err := MemoryOf(os.Getpid())
	if err != nil || after.Peak < before.Now+60<<20 || after.Peak < after.Now {
		t.Errorf("%+v, then %+v, %v", before, after, err)
	}
	if used[0] != 1 {
		t.Error("the memory was not used")
	}
	if _, err := MemoryOf(1 << 30); err == nil {
		t.Error("a process that does not exist has memory")
	}
}

func TestReadLink(t *testing.T) {
	for line, want := range map[string]string{
		"serving c at http://127.0.0.1:8201/ (Ctrl-C stops)\nmore": "http://127.0.0.1:8201",
		"serving c at http://127.0.0.1:8201/":                      "", // the line does not end
		"nothing\n":                                                "",
	} {
		if base, err := ReadLink(strings.NewReader(line)); base != want || (err == nil) != (want != "") {
			t.Errorf("%q: %q, error %v", line, base, err)
		}
	}
}
