package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"nb201/internal/backend/devicetest"
	"nb201/internal/browsertest"
	"nb201/internal/httpload"
	"nb201/internal/needs"
)

// server is a process of nb201 serve.
type server struct {
	t       *testing.T
	program string
	path    string
	address string // HOST:PORT
	process *exec.Cmd
}

// startServer starts nb201 serve at a free port.
func startServer(t *testing.T, program, path string) *server {
	t.Helper()
	s := &server{t: t, program: program, path: path, address: "127.0.0.1:0"}
	t.Cleanup(s.kill)
	s.start()
	return s
}

// start starts the server, at the same address as before.
func (s *server) start() {
	s.t.Helper()
	s.process = exec.Command(s.program, "serve", s.path, "--listen", s.address)
	var complaints bytes.Buffer
	s.process.Stderr = &complaints
	stdout, err := s.process.StdoutPipe()
	if err == nil {
		err = s.process.Start()
	}
	if err != nil {
		s.t.Fatal(err)
	}
	base, err := httpload.ReadLink(stdout)
	if err != nil {
		s.kill()
		s.t.Fatalf("%v\n%s", err, &complaints)
	}
	s.address = strings.TrimPrefix(base, "http://")
}

// kill ends the server as kill -9 does.
func (s *server) kill() {
	if s.process.Process == nil {
		return
	}
	_ = s.process.Process.Kill()
	_ = s.process.Wait() // it was killed
}

// get returns the answer to a request as a document in JSON.
func (s *server) get(path string) (answer map[string]any) {
	s.t.Helper()
	r, err := http.Get("http://" + s.address + path)
	if err != nil {
		s.t.Fatal(err)
	}
	defer r.Body.Close()
	text, err := io.ReadAll(r.Body)
	if err == nil {
		err = json.Unmarshal(text, &answer)
	}
	if err != nil || r.StatusCode != http.StatusOK {
		s.t.Fatalf("%s: %s, %v\n%s", path, r.Status, err, text)
	}
	return answer
}

// disturbance is an attempt whose worker is killed when it begins, after it was stopped until a channel
// was closed.
type disturbance struct {
	arch, seed, attempt int
	until               <-chan struct{}
}

// begins matches the line of a worker's log with which an attempt begins.
var begins = regexp.MustCompile(`architecture (\d+) on \S+, \d+ epochs, seed (\d+): attempt (\d+) begins`)

// disturb follows the log of a run with one worker, until quit is closed.
func disturb(t *testing.T, campaign string, run int, all []disturbance, quit <-chan struct{}) {
	for seen := 0; ; {
		select {
		case <-quit:
			return
		case <-time.After(10 * time.Millisecond):
		}
		text := logOf(t, campaign, run)
		lines := begins.FindAllStringSubmatch(text, -1)
		for ; seen < len(lines); seen++ {
			var now [3]int
			for i := range now {
				now[i], _ = strconv.Atoi(lines[seen][i+1]) // digits
			}
			at := slices.IndexFunc(all, func(d disturbance) bool { return now == [3]int{d.arch, d.seed, d.attempt} })
			workers := workersOf(t, campaign, run)
			if at < 0 || len(workers) != 1 {
				continue
			}
			_ = syscall.Kill(workers[0], syscall.SIGSTOP)
			select {
			case <-all[at].until:
			case <-quit:
			}
			_ = syscall.Kill(workers[0], syscall.SIGKILL)
		}
	}
}

// logOf returns the log of a run's worker.
func logOf(t *testing.T, campaign string, run int) string {
	paths, err := filepath.Glob(filepath.Join(campaign, "logs", fmt.Sprintf("*-%d-*.log", run)))
	var text []byte
	if err == nil && len(paths) > 0 {
		text, err = os.ReadFile(paths[0])
	}
	if err != nil {
		t.Error(err)
	}
	return string(text)
}

// lostConnection matches what Chromium reports of requests while the server does not run.
var lostConnection = regexp.MustCompile(`^error: Failed to load resource: net::ERR_(CONNECTION_REFUSED|CONNECTION_RESET|INCOMPLETE_CHUNKED_ENCODING|EMPTY_RESPONSE|NETWORK_CHANGED)? ?\((http://127\.0\.0\.1:\d+)/(api/v1/events|data):\d+\)$`)

// TestServeInBrowser watches a campaign in a browser, from before its first trial to its end. Workers
// are killed, so that one trial is retried and another one fails, and so is the server.
func TestServeInBrowser(t *testing.T) {
	needs.Long(t, "it trains a campaign")
	needs.Chromium(t)
	needs.Axe(t)
	device := devicetest.Device(t)
	devicetest.Open(t)
	dir := t.TempDir()
	nb201 := build(t)
	campaign := filepath.Join(dir, "campaign")
	const first, second = 1835, 1836 // few operations
	if out, err := exec.Command(nb201, "plan", campaign, "--archs", fmt.Sprintf("%d,%d", first, second), "--datasets", "digits",
		"--epochs", "30", "--seeds", "777,888", "--channels", "8", "--cells", "1").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}

	s := startServer(t, nb201, campaign)
	p := reportPage{browsertest.OpenURL(t, "http://"+s.address+"/", browsertest.Options{Width: 1280, Height: 900, Limit: 3 * time.Minute}), t}
	contains := func(selector, text string) {
		t.Helper()
		p.WaitFor(fmt.Sprintf(`document.querySelector(%q)?.innerText.includes(%q)`, selector, text))
	}
	contains("#connection", "Live")
	contains("#campaign .state", "No run is active; 4 trials left: nb201 run ")
	contains("#campaign .states", "0 finished")
	contains("#campaign .states", "of 4 planned")
	contains("#nothing", "No trial has finished yet")
	// A page that loads itself again loses this, with the numbers of points of each trial in progress.
	p.Do(chromedp.Evaluate[chromedp.Void](`{
		window.watched = {grown: {}};
		setInterval(() => {
			const counts = {};
			for (const {label} of nb201.plots.progress.points()) counts[label] = (counts[label] ?? 0) + 1;
			for (const [label, n] of Object.entries(counts)) (watched.grown[label] ??= new Set()).add(n);
		}, 50);
	}`))

	run := exec.Command(nb201, "run", campaign, "--max-attempts", "2", "--devices", device.String())
	var said bytes.Buffer
	run.Stdout, run.Stderr = &said, &said
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	finished, failed, now := make(chan struct{}), make(chan struct{}), make(chan struct{})
	close(now)
	quit := make(chan struct{})
	var following sync.WaitGroup
	following.Go(func() {
		disturb(t, campaign, run.Process.Pid, []disturbance{
			{first, 888, 1, finished}, {second, 777, 1, failed}, {second, 777, 2, now},
		}, quit)
	})
	ended := make(chan struct{})
	var outcome error
	following.Go(func() {
		outcome = run.Wait()
		close(ended)
	})
	t.Cleanup(func() {
		_ = run.Process.Signal(syscall.SIGTERM) // it may have ended
		close(quit)
		following.Wait()
		if t.Failed() {
			t.Logf("nb201 run printed\n%s\n%s", &said, logOf(t, campaign, run.Process.Pid))
		}
	})

	// A trial is in progress, its curve grows, and it appears in the plots when it has finished.
	contains("#campaign .state", "Running on 1 device of 1 host.")
	contains("#campaign .workers", strconv.Itoa(first))
	p.WaitFor(`Object.values(watched.grown).some(counts => counts.size >= 2)`)
	contains("#shown", "1 of 1 architecture")
	p.WaitFor(`nb201.plots.cost.points().length === 1 && nb201.plots.curves.points().length > 0`)
	before := s.get("/api/v1/status")["data"]
	close(finished)

	// The next one fails, and is retried.
	const announced = `document.querySelector("#announcer").textContent`
	const failure = `[...document.querySelectorAll("#campaign .failures tbody tr")].map(row => [...row.cells].map(c => c.innerText))`
	rows := func() [][]string { return browsertest.Eval[[][]string](p.Page, failure) }
	isRow := func(row []string, arch, seed, attempt int, failed string) bool {
		text := strings.Join(row, "\n")
		return row[1] == strconv.Itoa(arch) && strings.HasSuffix(row[0], fmt.Sprintf("seed %d", seed)) && row[2] == strconv.Itoa(attempt) &&
			row[3] == failed && strings.Contains(text, "crashed\nthe worker process ended: signal: killed")
	}
	p.WaitFor(failure + `.length === 1`)
	if got := rows(); !isRow(got[0], first, 888, 1, "retried") {
		t.Errorf("failures: %q", got)
	}
	p.WaitFor(announced + `.includes("signal: killed")`)
	if found := p.Errors(); len(found) > 0 {
		t.Errorf("the console shows %q", found)
	}

	// The server is killed, and started again.
	s.kill()
	contains("#connection", "Connection lost; retrying")
	if got := rows(); len(got) != 1 {
		t.Errorf("without the server, the page shows the failures %q", got)
	}
	s.start()
	contains("#connection", "Live")
	p.WaitFor(failure + `.length === 1`)
	contains("#shown", "1 of 1 architecture")
	during := p.Errors()
	for _, text := range during {
		if m := lostConnection.FindStringSubmatch(text); m == nil || m[2] != "http://"+s.address {
			t.Errorf("the console shows %q", text)
		}
	}
	if len(during) == 0 {
		t.Error("the browser does not report that the server was gone")
	}
	close(failed)

	// The trial finishes, and its failure disappears; another one fails, and that stays.
	p.WaitFor(fmt.Sprintf(`%s.length === 2 && %[1]s.every(row => row[3] === "trial failed")`, failure))
	if got := rows(); !isRow(got[0], second, 777, 2, "trial failed") || !isRow(got[1], second, 777, 1, "trial failed") {
		t.Errorf("failures: %q", got)
	}

	// The end.
	contains("#campaign .state", "3 trials finished. 1 trial failed.")
	contains("#shown", "2 of 2 architectures")
	p.WaitFor(`nb201.plots.cost.points().length === 2 && nb201.plots.progress.points().length === 0`)
	p.WaitFor(announced + `.includes("3 trials finished. 1 trial failed.")`)
	var exit *exec.ExitError
	<-ended
	if !errors.As(outcome, &exit) || exit.ExitCode() != 3 {
		t.Errorf("nb201 run ends with %v", outcome)
	}
	status := s.get("/api/v1/status")
	if status["data"] == before || status["trials"] != 3.0 || status["architectures"] != 2.0 || status["failures"] != 1.0 {
		t.Errorf("status: %v", status)
	}
	if title := browsertest.Eval[string](p.Page, "document.title"); !strings.HasPrefix(title, "75 % of ") {
		t.Errorf("title %q", title)
	}
	if len(rows()) != 2 {
		t.Errorf("failures: %q", rows())
	}
	if !browsertest.Eval[bool](p.Page, `"watched" in window`) {
		t.Error("the page has loaded itself again")
	}
	if found := p.Errors(); len(found) != len(during) {
		t.Errorf("the console shows %q", found[len(during):])
	}

	to := os.Getenv("NB201_SCREENSHOTS")
	for _, width := range []int{1280, 390} {
		p.Show(browsertest.Options{Width: width, Height: 900})
		for _, plot := range p.plots() {
			p.show(plot)
		}
		p.checkAccessible(fmt.Sprint("window of ", width))
		if wide := browsertest.Eval[[]string](p.Page, tooWide); len(wide) > 0 {
			t.Errorf("%d: the page is wider than the window: %q", width, wide)
		}
		p.Do(chromedp.Evaluate[chromedp.Void](`scrollTo({top: 0, behavior: "instant"})`))
		if to != "" {
			p.FullScreenshot(filepath.Join(to, fmt.Sprintf("serve-%d.png", width)))
		}
	}
}
