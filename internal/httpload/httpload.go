// Package httpload puts a bounded load on an HTTP server of this host, for tests and benchmarks, and
// measures how fast it answers.
package httpload

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
)

// Load describes clients. Each has its own connections, which it keeps open, and waits for an answer
// before it sends the next request.
type Load struct {
	Clients int
	Every   time.Duration // the least time between two requests of a client
	// Path returns the path of the next request of a client, which calls it with its own random numbers.
	Path func(random *rand.Rand) string
	// Accept lists status codes that are answers, too, besides 200.
	Accept []int
	// Stream is the path of server-sent events that each client receives meanwhile; "": none.
	Stream string
}

// Result describes the answers that the clients of a load have received.
type Result struct {
	Seconds   float64
	Latencies []time.Duration // of all answers, in ascending order
	Bytes     int64           // in the bodies of answers, without those of events
	Events    int
	Silent    int // clients without an event, if they wait for events
}

// Rate returns the number of answers in a second.
func (r Result) Rate() float64 { return float64(len(r.Latencies)) / r.Seconds }

// Quantile returns the latency that a share of the answers does not exceed; 1 is the longest.
func (r Result) Quantile(share float64) time.Duration {
	if len(r.Latencies) == 0 {
		return 0
	}
	return r.Latencies[min(int(share*float64(len(r.Latencies))), len(r.Latencies)-1)]
}

// Run lets the clients work until ctx ends. base is the server's URL without a path. Run fails when a
// request does.
func (l Load) Run(ctx context.Context, base string) (r Result, err error) {
	work, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var group errgroup.Group
	var mu sync.Mutex
	began := time.Now()
	for i := range l.Clients {
		c := &client{load: l, base: base, random: rand.New(rand.NewPCG(uint64(i), 201))}
		add := func(do func(context.Context) error) {
			group.Go(func() error {
				err := do(work)
				if work.Err() != nil { // what failed was cancelled
					err = nil
				}
				cancel(err)
				return err
			})
		}
		var both sync.WaitGroup
		both.Add(1)
		add(func(ctx context.Context) error {
			defer both.Done()
			return c.ask(ctx)
		})
		if l.Stream != "" {
			both.Add(1)
			add(func(ctx context.Context) error {
				defer both.Done()
				return c.receive(ctx)
			})
		}
		group.Go(func() error {
			both.Wait()
			mu.Lock()
			defer mu.Unlock()
			r.Latencies = append(r.Latencies, c.latencies...)
			r.Bytes += c.bytes
			r.Events += c.events
			if l.Stream != "" && c.events == 0 {
				r.Silent++
			}
			return nil
		})
	}
	err = group.Wait()
	r.Seconds = time.Since(began).Seconds()
	slices.Sort(r.Latencies)
	return r, err
}

// client is one of the clients of a load. ask and receive may run at the same time.
type client struct {
	load   Load
	base   string
	random *rand.Rand

	latencies []time.Duration
	bytes     int64
	events    int
}

// ask sends requests until ctx ends.
func (c *client) ask(ctx context.Context) error {
	connections := &http.Transport{MaxConnsPerHost: 1}
	defer connections.CloseIdleConnections()
	server := &http.Client{Transport: connections}
	next := time.Now()
	if c.load.Every > 0 { // not all clients at once
		next = next.Add(time.Duration(c.random.Int64N(int64(c.load.Every))))
	}
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(time.Until(next)):
		}
		next = time.Now().Add(c.load.Every)
		path := c.load.Path(c.random)
		began := time.Now()
		answer, err := get(ctx, server, c.base+path)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		if answer.StatusCode != http.StatusOK && !slices.Contains(c.load.Accept, answer.StatusCode) {
			return fmt.Errorf("%s: %s", path, answer.Status)
		}
		c.latencies = append(c.latencies, time.Since(began))
		c.bytes += n
	}
	return nil
}

// receive receives events until ctx ends.
func (c *client) receive(ctx context.Context) error {
	connections := &http.Transport{MaxConnsPerHost: 1}
	defer connections.CloseIdleConnections()
	answer, err := get(ctx, &http.Client{Transport: connections}, c.base+c.load.Stream)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("%s: %s", c.load.Stream, answer.Status)
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if bytes.HasPrefix(lines.Bytes(), []byte("data:")) {
			c.events++
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return errors.New("the stream of events has ended")
}

// get sends a request, whose answer the caller must close.
func get(ctx context.Context, server *http.Client, address string) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	return server.Do(request)
}

// link matches the address of a server without its path.
var link = regexp.MustCompile(`http://[^\s/]+`)

// ReadLink returns the URL, without a path, in the first line that a server prints.
func ReadLink(stdout io.Reader) (base string, err error) {
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return "", fmt.Errorf("the server prints %q: %w", line, err)
	}
	if base = link.FindString(line); base == "" {
		return "", fmt.Errorf("the server prints %q, without a link", line)
	}
	return base, nil
}

// Memory is the resident memory of a process, in bytes.
type Memory struct{ Now, Peak int64 }

// MemoryOf returns the memory of a process.
func MemoryOf(pid int) (m Memory, err error) {
	text, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "status"))
	if err != nil {
		return m, err
	}
	for line := range bytes.Lines(text) {
		var kib int64
		if n, _ := fmt.Sscanf(string(line), "VmRSS: %d kB", &kib); n == 1 {
			m.Now = kib << 10
		}
		if n, _ := fmt.Sscanf(string(line), "VmHWM: %d kB", &kib); n == 1 {
			m.Peak = kib << 10
		}
	}
	if m.Now == 0 || m.Peak == 0 {
		return m, fmt.Errorf("the memory of process %d is unknown", pid)
	}
	return m, nil
}
