package serve

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
)

// hurry shortens, for a test, how long the server waits for clients and between two looks.
func hurry(t *testing.T, waits time.Duration) {
	before, part := []time.Duration{patience, beat, eventEvery}, share
	patience, beat, eventEvery, share = waits, 20*time.Millisecond, 20*time.Millisecond, 0.5
	t.Cleanup(func() { patience, beat, eventEvery, share = before[0], before[1], before[2], part })
}

// checkServes checks that the server answers within a time whatever others do.
func (s *served) checkServes(t *testing.T, within time.Duration) {
	t.Helper()
	var took []time.Duration
	for range 21 {
		began := time.Now()
		if a := s.get(t, "/api/v1/status"); a.StatusCode != 200 {
			t.Fatalf("status %d", a.StatusCode)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	if median := took[len(took)/2]; median > within {
		t.Errorf("an answer takes %v, not at most %v", median, within)
	}
}

// checkIdle waits until the server has closed all connections.
func (s *served) checkIdle(t *testing.T, what string) {
	t.Helper()
	wait(t, "all connections of "+what+" are closed", func() bool {
		now, _ := s.opened.count()
		return now == 0
	})
}

func TestLargeRequests(t *testing.T) {
	s := serveAt(t, Options{Path: smallCampaign(t).Dir}).ready(t)
	const megabyte = 1 << 20
	for what, test := range map[string]struct {
		request string
		want    int
	}{
		"a large header":         {request("GET", "/", "X: "+strings.Repeat("a", megabyte)), 431},
		"many headers":           {request("GET", "/", slices.Repeat([]string{"X: a"}, megabyte/6)...), 431},
		"a large cookie":         {request("GET", "/", "Cookie: "+strings.Repeat("a=b; ", megabyte/5)), 431},
		"a header without end":   {"GET / HTTP/1.1\r\nHost: HOST\r\nX: " + strings.Repeat("a", megabyte), 431},
		"a long URL":             {request("GET", "/"+strings.Repeat("a", megabyte)), 431},
		"a long query":           {request("GET", "/api/v1/trials?"+strings.Repeat("a", megabyte)), 431},
		"a line without end":     {strings.Repeat("a", megabyte), 431},
		"10,000 parameters":      {request("GET", "/api/v1/trials?"+strings.Repeat("a=1&", 10_000)), 431},
		"2,000 parameters":       {request("GET", "/api/v1/trials?"+strings.Repeat("a=1&", 2_000)), 400},
		"2,000 of one parameter": {request("GET", "/api/v1/trials?"+strings.Repeat("s=&", 2_000)), 400},
		"many dots":              {request("GET", strings.Repeat("/..", 2_000)), 404},
		"a long architecture":    {request("GET", "/api/v1/architectures/"+strings.Repeat("9", 8_000)), 404},
		"a long genotype":        {request("GET", "/api/v1/architectures/"+strings.Repeat("|none~0|+", 900)), 404},
		"a large number":         {request("GET", "/api/v1/trials?offset="+strings.Repeat("9", 8_000)), 400},
		"an offset out of range": {request("GET", "/api/v1/trials?offset=1099511627777"), 400},
		"the last offset":        {request("GET", "/api/v1/trials?offset=1099511627776&limit=1000"), 200},
		"too many trials":        {request("GET", "/api/v1/trials?limit=1001"), 400},
		"a chunk without end":    {request("GET", "/", "Transfer-Encoding: chunked") + "ffffffff\r\n" + strings.Repeat("a", megabyte), 413},
		"a body":                 {request("POST", "/", fmt.Sprintf("Content-Length: %d", 1<<40)) + strings.Repeat("a", megabyte), 405},
	} {
		began := time.Now()
		a := s.send(t, test.request)
		checkHarmless(t, what, a)
		if a.StatusCode != test.want || time.Since(began) > 5*time.Second || len(a.body) > 64<<10 {
			t.Errorf("%s: status %d after %v, want %d: %d bytes", what, a.StatusCode, time.Since(began), test.want, len(a.body))
		}
	}
}

// Clients that send slowly, or nothing, are cut off.
func TestSlowSenders(t *testing.T) {
	hurry(t, 500*time.Millisecond)
	s := serveAt(t, Options{Path: smallCampaign(t).Dir}).ready(t)
	for what, text := range map[string]string{
		"nothing":                   "",
		"a header, byte by byte":    "GET /api/v1/status HTTP/1.1\r\nHost: HOST\r\nX: " + strings.Repeat("a", 8000),
		"endless lines":             "GET /api/v1/status HTTP/1.1\r\nHost: HOST\r\n" + strings.Repeat("X: a\r\n", 1000),
		"empty lines":               strings.Repeat("\r\n", 1000),
		"a request, then nothing":   request("GET", "/api/v1/status"),
		"a request, and a half":     request("GET", "/api/v1/status") + "GET /api/v1/sta",
		"half a chunk":              request("GET", "/api/v1/status", "Transfer-Encoding: chunked") + "ffff\r\n" + strings.Repeat("a", 1000),
		"a body that does not come": request("POST", "/", "Content-Length: 1000000", "Expect: 100-continue"),
	} {
		began := time.Now()
		var clients sync.WaitGroup
		for range 20 {
			c := s.dial(t)
			clients.Go(func() { _, _ = io.Copy(io.Discard, c) })
			clients.Go(func() {
				quickly := strings.Contains(what, "request")
				for i, b := range []byte(strings.ReplaceAll(text, "HOST", s.address)) {
					if _, err := c.Write([]byte{b}); err != nil {
						return
					}
					if !quickly && i > 16 {
						time.Sleep(10 * time.Millisecond)
					}
				}
			})
		}
		s.checkServes(t, time.Second)
		s.checkIdle(t, what)
		clients.Wait()
		// A request's answer makes the connection idle, for as long again.
		if took := time.Since(began); took > 2*patience+3*time.Second {
			t.Errorf("%s: closed after %v", what, took)
		}
	}
}

// Clients that do not read are cut off, and others are served meanwhile.
func TestSlowReaders(t *testing.T) {
	hurry(t, 500*time.Millisecond)
	s := serveAt(t, Options{Path: smallCampaign(t).Dir}).ready(t)
	s.opened.mu.Lock()
	s.opened.sendBuffer = 64 << 10
	s.opened.mu.Unlock()
	large := *s.live.data.Load()
	large.page = make([]byte, 8<<20)
	s.live.data.Store(&large)
	s.live.update(func(m *moment) { m.Program = strings.Repeat("x", 1<<20) })
	for _, path := range []string{"/data", "/api/v1/events", "/api/v1/status"} {
		var clients []net.Conn
		for range 50 {
			c := s.dial(t)
			if err := c.(*net.TCPConn).SetReadBuffer(4 << 10); err != nil {
				t.Fatal(err)
			}
			if _, err := io.WriteString(c, strings.ReplaceAll(request("GET", path), "HOST", s.address)); err != nil {
				t.Fatal(err)
			}
			clients = append(clients, c)
		}
		wait(t, "all are connected", func() bool { now, _ := s.opened.count(); return now == len(clients) })
		began := time.Now()
		if a := s.get(t, "/data"); len(a.body) != len(large.page) {
			t.Errorf("meanwhile another client received %d bytes", len(a.body))
		}
		s.checkIdle(t, path)
		if took := time.Since(began); took > patience+10*time.Second {
			t.Errorf("%s: closed after %v", path, took)
		}
		for _, c := range clients {
			c.Close()
		}
	}
	// A client that is slow, but reads, receives everything.
	c := s.dial(t)
	if _, err := io.WriteString(c, strings.ReplaceAll(request("GET", "/data", "Connection: close"), "HOST", s.address)); err != nil {
		t.Fatal(err)
	}
	part, got := make([]byte, 256<<10), 0
	for {
		n, err := io.ReadFull(c, part)
		got += n
		if err != nil {
			break
		}
		time.Sleep(30 * time.Millisecond)
	}
	if got < len(large.page) {
		t.Errorf("a slow reader received %d bytes", got)
	}
}

// streams opens a number of streams of events at the same time, and returns those that the server keeps
// open.
func (s *served) streams(t *testing.T, n int) (open []net.Conn, refused int) {
	t.Helper()
	var mu sync.Mutex
	var clients errgroup.Group
	clients.SetLimit(100)
	for range n {
		clients.Go(func() error {
			c, err := net.Dial("tcp", s.address)
			if err != nil {
				return err
			}
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			if _, err = io.WriteString(c, strings.ReplaceAll(request("GET", "/api/v1/events"), "HOST", s.address)); err != nil {
				return errors.Join(err, c.Close())
			}
			r, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // its connection is closed
			if err != nil {
				return errors.Join(err, c.Close())
			}
			mu.Lock()
			defer mu.Unlock()
			if open = append(open, c); r.StatusCode == 200 {
				return nil
			}
			open = open[:len(open)-1]
			refused++
			if r.StatusCode != http.StatusServiceUnavailable || r.Header.Get("Retry-After") == "" || r.Header.Get("Content-Type") != "application/problem+json" || !r.Close {
				t.Errorf("status %d, headers %v", r.StatusCode, r.Header)
			}
			if _, err := io.Copy(io.Discard, r.Body); err != nil {
				t.Error(err)
			}
			return c.Close()
		})
	}
	if err := clients.Wait(); err != nil {
		t.Fatal(err)
	}
	return open, refused
}

// Of 1,000 streams of events, 256 are served.
func TestManyStreams(t *testing.T) {
	s := serveAt(t, Options{Path: smallCampaign(t).Dir}).ready(t)
	for range 2 {
		open, refused := s.streams(t, 1000)
		if len(open) != maxStreams || refused != 1000-maxStreams {
			t.Errorf("%d streams are open, %d were refused", len(open), refused)
		}
		s.checkServes(t, 100*time.Millisecond)
		for _, c := range open {
			c.Close()
		}
		wait(t, "no stream is open", func() bool { return strings.Contains(s.get(t, "/metrics").body, "\nnb201_serve_streams 0\n") })
		s.checkIdle(t, "streams")
	}
}

// Of 2,000 connections, 512 are served at a time, and the others later.
func TestManyConnections(t *testing.T) {
	hurry(t, time.Second)
	s := serveAt(t, Options{Path: smallCampaign(t).Dir}).ready(t)
	var clients errgroup.Group
	for range 2000 {
		clients.Go(func() error {
			c, err := net.Dial("tcp", s.address)
			if err != nil {
				return err
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(time.Minute))
			if _, err = io.WriteString(c, strings.ReplaceAll(request("GET", "/api/v1"), "HOST", s.address)); err != nil {
				return err
			}
			from := bufio.NewReader(c)
			r, err := http.ReadResponse(from, nil) //nolint:bodyclose // its connection is closed
			if err != nil {
				return err
			}
			_, err = io.Copy(io.Discard, r.Body)
			if r.StatusCode != 200 {
				err = errors.Join(err, errors.New(r.Status))
			}
			_, _ = io.Copy(io.Discard, from) // the connection stays open until the server closes it
			return err
		})
	}
	if err := clients.Wait(); err != nil {
		t.Error(err)
	}
	s.checkIdle(t, "2,000 clients")
	if _, most := s.opened.count(); most > maxConnections {
		t.Errorf("%d connections were open", most)
	}
	s.checkServes(t, time.Second)
}

// heap returns the bytes of live objects.
func heap() int {
	runtime.GC()
	runtime.GC() // what has a finalizer
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int(m.HeapAlloc)
}

// Memory stays flat however long 100 clients ask.
func TestMemoryIsFlat(t *testing.T) {
	s := serveAt(t, Options{Path: smallCampaign(t).Dir}).ready(t)
	paths := []string{
		"/", "/data", "/metrics", "/nothing", "/api/v1", "/api/v1/status", "/api/v1/failures", "/api/v1/trials?limit=1000", "/api/v1/architectures?dataset=cifar10&schedule=3&sort=flops_millions",
		"/api/v1/architectures?unknown=1", "/api/v1/architectures/4", "/api/v1/architectures/0/curves?dataset=cifar100",
	}
	ask := func(rounds int) {
		var clients errgroup.Group
		for k := range 100 {
			clients.Go(func() error {
				c, err := net.Dial("tcp", s.address)
				if err != nil {
					return err
				}
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(time.Minute))
				from := bufio.NewReader(c)
				for i := range rounds {
					path := paths[(k+i)%len(paths)]
					if _, err := io.WriteString(c, strings.ReplaceAll(request("GET", path), "HOST", s.address)); err != nil {
						return err
					}
					r, err := http.ReadResponse(from, nil) //nolint:bodyclose // its connection is closed
					if err != nil {
						return err
					}
					if _, err := io.Copy(io.Discard, r.Body); err != nil {
						return err
					}
				}
				return nil
			})
		}
		if err := clients.Wait(); err != nil {
			t.Fatal(err)
		}
		s.checkIdle(t, "100 clients")
	}
	ask(len(paths))
	files, before := openFiles(t), heap()
	ask(30) // one request a second, for half a minute
	if grown := heap() - before; grown > 1<<20 {
		t.Errorf("%d bytes more are in use", grown)
	}
	if now := openFiles(t); now > files {
		t.Errorf("%d files are open, not %d", now, files)
	}
}

// openFiles counts the open files of this process.
func openFiles(t *testing.T) int {
	t.Helper()
	files, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		t.Fatal(err)
	}
	return len(files)
}
