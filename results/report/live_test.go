package report

import (
	"bytes"
	"fmt"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/go-json-experiment/json"

	"nb201/internal/browsertest"
	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/resultstest"
)

// livePolicy is the content security policy of nb201 serve.
const livePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// object is a document in JSON.
type object = map[string]any

// liveServer serves the live page as nb201 serve does, with a status and data that the test sets.
type liveServer struct {
	t       *testing.T
	address string
	server  *http.Server
	files   map[string]LiveFile

	mu       sync.Mutex // guards what follows
	status   object
	data     []byte
	changed  chan struct{} // closed when the status changes
	refusal  int           // status code with which event streams are refused; 0: they are not
	delay    time.Duration // of data
	loads    int           // of data, so far
	loading  int           // now
	together int           // the most at a time
	streams  int           // that were opened
}

func newLiveServer(t *testing.T) *liveServer {
	s := &liveServer{t: t, files: map[string]LiveFile{}, changed: make(chan struct{})}
	for _, f := range LiveFiles() {
		s.files["/"+f.Path] = f
	}
	s.status = object{"program": "nb201 test", "path": "tour", "format": "campaign", "page": "1", "data": "", "architectures": 0, "trials": 0, "failures": 0}
	s.start()
	t.Cleanup(s.kill)
	return s
}

// start starts the server, at the same address as before.
func (s *liveServer) start() {
	s.t.Helper()
	if s.address == "" {
		s.address = "127.0.0.1:0"
	}
	listener, err := net.Listen("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.address = listener.Addr().String()
	s.server = &http.Server{Handler: s}
	go s.server.Serve(listener)
}

// kill ends the server and all connections.
func (s *liveServer) kill() { _ = s.server.Close() }

func (s *liveServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Security-Policy", livePolicy)
	w.Header().Set("X-Content-Type-Options", "nosniff")
	switch f, ok := s.files[r.URL.Path]; {
	case ok:
		w.Header().Set("Content-Type", f.Type)
		_, _ = w.Write(f.Content)
	case r.URL.Path == "/data":
		s.serveData(w)
	case r.URL.Path == "/api/v1/events":
		s.serveEvents(w, r)
	default:
		http.NotFound(w, r)
	}
}

func (s *liveServer) serveData(w http.ResponseWriter) {
	s.mu.Lock()
	s.loads++
	s.loading++
	s.together = max(s.together, s.loading)
	data, delay := s.data, s.delay
	s.mu.Unlock()
	time.Sleep(delay)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write(data)
	s.mu.Lock()
	s.loading--
	s.mu.Unlock()
}

func (s *liveServer) serveEvents(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.streams++
	refusal := s.refusal
	s.mu.Unlock()
	if refusal != 0 {
		http.Error(w, "refused", refusal)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for {
		s.mu.Lock()
		text, err := json.Marshal(s.status, json.Deterministic(true))
		changed := s.changed
		s.mu.Unlock()
		if err != nil {
			s.t.Error(err)
		}
		if _, err := fmt.Fprintf(w, ": heartbeat\n\nevent: status\ndata: %s\n\n", text); err != nil {
			return
		}
		_ = http.NewResponseController(w).Flush()
		select {
		case <-changed:
		case <-r.Context().Done():
			return
		}
	}
}

// set changes the status, which all streams then send. A nil removes a key.
func (s *liveServer) set(changes object) {
	s.mu.Lock()
	defer s.mu.Unlock()
	status := object{}
	for _, values := range []object{s.status, changes} {
		for key, v := range values {
			status[key] = v
			if v == nil {
				delete(status, key)
			}
		}
	}
	s.status = status
	close(s.changed)
	s.changed = make(chan struct{})
}

// show serves the data of a report, as a version.
func (s *liveServer) show(r *Report, version string) {
	s.t.Helper()
	var data bytes.Buffer
	if err := r.WriteData(&data); err != nil {
		s.t.Fatal(err)
	}
	s.mu.Lock()
	s.data = data.Bytes()
	s.mu.Unlock()
	s.set(object{"data": version, "architectures": r.Architectures(), "trials": r.Trials()})
}

// locked runs f while nothing is served.
func (s *liveServer) locked(f func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f()
}

// choices returns the labels of the filters, one a line.
func (p livePage) choices() string {
	return browsertest.Eval[string](p.Page, `[...document.querySelectorAll("#places select")].map(e => e.ariaLabel).join("\n")`)
}

// worker is a worker in the status of a campaign that trains on digits for 12 epochs, after some epochs.
func worker(device string, index, arch, epochs int) object {
	w := object{
		"device": device, "index": index, "stage": "idle", "since": "2026-01-02T03:04:05Z", "log": "",
	}
	if arch < 0 {
		return w
	}
	w["trial"] = object{"architecture": arch, "dataset": "digits", "epochs": 12, "seed": 777}
	w["attempt"], w["stage"], w["epoch"], w["epochs"], w["images_per_second"] = 1, "train", epochs, 12, 8123.4
	curve := func(set string, gap float64) object {
		var at []int
		var loss []*float64
		var top1 []float64
		for epoch := range epochs {
			v := 2.3 * math.Exp(-float64(epoch)/4) * (1 + float64(arch%7)/20)
			at, loss, top1 = append(at, epoch), append(loss, &v), append(top1, 95-gap-80*math.Exp(-float64(epoch)/(3+float64(arch%5))))
		}
		return object{"set": set, "epochs": at, "loss": loss, "top1_percent": top1}
	}
	if epochs > 0 {
		w["curves"] = []object{curve("train", 0), curve("ori-test", 4)}
		w["last_training"] = object{"set": "train", "epoch": epochs - 1, "loss": 0.45678, "top1_percent": 84.567}
		w["last_evaluation"] = object{"set": "ori-test", "epoch": epochs - 1, "loss": 0.5, "top1_percent": 80.125}
	}
	return w
}

// campaignStatus is the status of a campaign of 48 trials on digits, whose workers belong to one run.
func campaignStatus(done, failed int, workers ...object) object {
	running := 0
	for _, w := range workers {
		if w["trial"] != nil {
			running++
		}
	}
	totals := object{"planned": 48, "done": done, "damaged": 0, "running": running, "failed": failed, "left": 48 - done - failed - running}
	group := object{"dataset": "digits", "schedule": "12", "epochs": 12, "hours": 1.5}
	for key, v := range totals {
		group[key] = v
	}
	runs := []object{}
	if workers != nil {
		runs = append(runs, object{
			"version": 2, "host": "node1", "pid": 4711, "started": "2026-01-02T03:00:00Z", "workers": workers, "finished": done, "failed": failed,
			"last_hour": object{"seconds": 1800, "trials": done, "images": 2.4e6}, "seen": "2026-01-02T03:14:05Z",
		})
	}
	return object{
		"campaign": "tour", "has_plan": true, "trials": []object{group}, "totals": totals, "done_but_not_in_the_plan": 0, "runs": runs,
		"last_hour": object{"seconds": 1800, "trials": done, "images": 2.4e6},
		"hours":     object{"done": 1.5, "records_read": done, "running": 0.25, "work": 4.0, "left": 2.0},
		"failures":  []object{}, "problems": []string{}, "damaged_records": []string{},
	}
}

// failure is a failed trial in the status of a campaign.
func failure(arch int, reason string, attempts int) object {
	var all []object
	for i := range attempts {
		all = append(all, object{
			"when": fmt.Sprintf("2026-01-02T03:%02d:05Z", arch%50+i), "host": "node1", "device": "cuda:0", "kind": "crashed", "reason": reason, "log": "",
		})
	}
	return object{"trial": object{"architecture": arch, "dataset": "digits", "epochs": 12, "seed": 777}, "attempts": all, "set_aside": true}
}

// grown returns the report of synthetic trials of n architectures, two datasets and two schedules each.
func grown(t *testing.T, n int) *Report {
	t.Helper()
	c := results.Campaign{Dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(c.Dir, "trials"), 0o777); err != nil {
		t.Fatal(err)
	}
	var archs []int
	for i := range n {
		archs = append(archs, i*331)
	}
	if n > 1 {
		for _, trial := range trials(archs...) {
			if err := c.Publish(resultstest.Record(t, trial), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	r, err := Make(t.Context(), open(t, c.Dir), Options{Program: "nb201 test", Campaign: object{}})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// livePage is the live page in a browser.
type livePage struct {
	*browsertest.Page
	t *testing.T
}

func openLive(t *testing.T, s *liveServer, o browsertest.Options) livePage {
	t.Helper()
	p := livePage{browsertest.OpenURL(t, "http://"+s.address+"/", o), t}
	p.WaitFor(`document.documentElement.dataset.ready`)
	return p
}

// checkQuiet checks that the console shows nothing but requests that could not succeed.
func (p livePage) checkQuiet(allowed ...string) {
	p.t.Helper()
	for _, text := range p.Errors() {
		if !slices.ContainsFunc(allowed, func(part string) bool { return strings.Contains(text, part) }) {
			p.t.Errorf("the console shows %q", text)
		}
	}
}

func (p livePage) eval(script string) {
	p.t.Helper()
	p.Do(chromedp.Evaluate[chromedp.Void](script))
}

// pause lets the page draw what it is about to.
func (p livePage) pause(d time.Duration) {
	p.t.Helper()
	browsertest.Eval[any](p.Page, fmt.Sprintf("new Promise(done => setTimeout(done, %d))", d.Milliseconds()))
}

// waitForText waits until an element contains a text.
func (p livePage) waitForText(selector, text string) {
	p.t.Helper()
	p.WaitFor(fmt.Sprintf(`document.querySelector(%q)?.innerText.includes(%q)`, selector, text))
}

// TestLiveSpaces shows a benchmark of the size search space on a page that has shown none, and then one
// of the topology search space.
func TestLiveSpaces(t *testing.T) {
	t.Parallel()
	needs.Chromium(t)
	s := newLiveServer(t)
	p := openLive(t, s, browsertest.Options{})
	if got := p.choices(); got != "" {
		t.Errorf("without data there are the filters\n%s", got)
	}
	r, err := Make(t.Context(), open(t, resultstest.Fill(t, sizes(0, 11, 284, 32767)...).Dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.show(r, "sizes")
	p.waitForText("#shown", "4 of 4 architectures")
	if got, want := p.choices(), "Width of cell 1\nWidth of block 1\nWidth of cell 2\nWidth of block 2\nWidth of cell 3"; got != want {
		t.Errorf("filters\n%s\nwant\n%s", got, want)
	}
	p.choose(`select[data-place="4"]`, "32")
	p.waitForText("#shown", "1 of 4 architectures")
	p.waitForText("#cells", "8:8:8:16:32")

	s.show(grown(t, 4), "cells")
	p.waitForText("#operations", "Accuracy by operation")
	p.waitForText("#shown", "4 of 4 architectures") // the filter is another
	if got := p.choices(); !strings.HasPrefix(got, "Operation on the edge 0 → 1\n") || strings.Count(got, "\n") != 5 {
		t.Errorf("filters\n%s", got)
	}
	p.checkQuiet()
}

// TestLive watches a campaign from its first trial to its last.
func TestLive(t *testing.T) {
	t.Parallel()
	needs.Chromium(t)
	s := newLiveServer(t)
	p := openLive(t, s, browsertest.Options{})
	p.waitForText("#connection", "Live")
	p.waitForText("#nothing", "No trial has finished yet")
	p.checkSections()

	// No trial has finished, and one runs.
	s.show(grown(t, 0), "0")
	s.set(object{"campaign": campaignStatus(0, 0, worker("cuda:0", 0, 331, 0))})
	p.waitForText(".state", "Running on 1 device of 1 host.")
	p.waitForText(".workers", "331")
	p.waitForText("[data-plot=progress]", "No trial in progress has finished an epoch.")
	p.checkSections("campaign")
	s.set(object{"campaign": campaignStatus(0, 0, worker("cuda:0", 0, 331, 3))})
	p.WaitFor(`nb201.plots.progress.points().length === 3`)
	s.set(object{"campaign": campaignStatus(0, 0, worker("cuda:0", 0, 331, 7))})
	p.WaitFor(`nb201.plots.progress.points().length === 7`)

	// Trials finish.
	s.set(object{"campaign": campaignStatus(9, 0, worker("cuda:0", 0, 331, 7), worker("cuda:1", 0, 662, 2))})
	s.show(grown(t, 4), "4")
	p.waitForText("#shown", "4 of 4 architectures")
	p.checkSections("campaign", "cost", "learning", "operations", "cells", "ranks", "health")
	p.WaitFor(`nb201.plots.cost.points().length === 4`)
	p.WaitFor(`document.querySelector(".workers button[data-arch='331']")`)

	// What is chosen stays when there are more.
	p.choose("#dataset", "cifar100")
	p.choose("#set", "x-valid")
	p.choose("[data-plot=curves] select", "loss")
	p.eval(`{
		document.querySelector("[data-plot=cost] [data-action=table]").click();
		document.querySelector("#notes").open = true;
	}`)
	p.WaitFor(`document.querySelector("#set").selectedOptions[0].text === "x-valid"`)
	p.eval(`{
		nb201.kept = document.querySelector("[data-plot=cost] .numbers button[data-arch='662']");
		nb201.kept.focus();
		scrollTo({top: 700, behavior: "instant"});
		nb201.shifts = 0;
		addEventListener("scroll", () => nb201.shifts++);
		document.addEventListener("focusout", () => nb201.shifts++);
	}`)
	p.pause(200 * time.Millisecond)
	p.eval(`nb201.shifts = 0; nb201.top = scrollY`)
	s.show(grown(t, 12), "12")
	p.waitForText("#shown", "12 of 12 architectures")
	p.WaitFor(`nb201.plots.cost.points().length === 12 && document.querySelectorAll("[data-plot=cost] .numbers tbody tr").length === 12`)
	const kept = `[document.querySelector("#dataset").value, document.querySelector("#set").selectedOptions[0].text,
		document.querySelector("[data-plot=curves] select").value, document.querySelector("#notes").open, document.activeElement === nb201.kept,
		nb201.kept.dataset.arch, nb201.shifts, scrollY - nb201.top].join()`
	if got := browsertest.Eval[string](p.Page, kept); got != "cifar100,x-valid,loss,true,true,662,0,0" {
		t.Errorf("after more data, the page shows %s", got)
	}

	// An open architecture shows its new trials.
	p.eval(`nb201.kept.click()`)
	p.waitForText("dialog#architecture", "Architecture 662")
	s.show(grown(t, 13), "13")
	p.waitForText("#shown", "13 of 13 architectures")
	if !browsertest.Eval[bool](p.Page, `document.querySelector("dialog#architecture[open] h2").textContent === "Architecture 662"`) {
		t.Error("the open architecture changed")
	}
	p.eval(`document.querySelector("dialog").close()`)

	// A failure appears with its reason, and is announced.
	failed := campaignStatus(20, 1, worker("cuda:0", 0, 331, 9))
	failed["failures"] = []object{failure(4303, "the GPU has fallen <b>off</b> the bus", 2)}
	s.set(object{"campaign": failed, "failures": 1})
	p.waitForText("#campaign .failures", `the GPU has fallen <b>off</b> the bus`)
	p.WaitFor(`document.querySelector("#announcer").textContent.includes("fallen")`)
	p.waitForText(".state", "1 trial failed.")
	p.eval(`document.querySelector("#announcer").textContent = ""`)
	failed["failures"] = []object{failure(1, "another reason", 1), failure(4303, "the GPU has fallen off the bus", 2)}
	s.set(object{"campaign": failed, "failures": 107})
	p.waitForText("#campaign", "nb201 status shows those of all 107.")
	if rows := browsertest.Eval[[]string](p.Page, `[...document.querySelectorAll("#campaign .failures tbody tr")].map(row => row.cells[1].innerText + " " + row.cells[2].innerText)`); !slices.Equal(rows, []string{"4303 2", "4303 1", "1 1"}) {
		t.Errorf("failures: %q", rows)
	}

	// The end shows.
	s.set(object{"campaign": campaignStatus(48, 0), "failures": 0})
	p.waitForText(".state", "All 48 trials have finished.")
	p.WaitFor(`document.querySelector("#announcer").textContent.includes("All 48 trials have finished.")`)
	p.waitForText("#campaign", "No attempt failed.")
	if title := browsertest.Eval[string](p.Page, "document.title"); title != "100 % of tour - nb201" {
		t.Errorf("title %q", title)
	}
	p.checkQuiet()
}

// choose selects the option of a select element that has a text, as a user does.
func (p livePage) choose(selector, text string) {
	p.t.Helper()
	p.WaitFor(fmt.Sprintf(`(select => {
		const option = [...select.options].find(o => o.text === %q);
		if (!option) return false;
		select.value = option.value;
		select.dispatchEvent(new Event("change", {bubbles: true}));
		return true;
	})(document.querySelector(%q))`, text, selector))
}

// checkSections checks which sections are in sight, and that links lead to them.
func (p livePage) checkSections(want ...string) {
	p.t.Helper()
	p.WaitFor(fmt.Sprintf(`[...document.querySelectorAll("main > section")].filter(e => e.checkVisibility()).map(e => e.id).join() === %q`, strings.Join(want, ",")))
	links := browsertest.Eval[string](p.Page, `[...document.querySelectorAll("#sections a")].map(e => e.hash.slice(1)).join()`)
	if links != strings.Join(want, ",") {
		p.t.Errorf("links to %s, want %q", links, want)
	}
}

// TestLiveConnection loses the server in several ways.
func TestLiveConnection(t *testing.T) {
	t.Parallel()
	needs.Chromium(t)
	s := newLiveServer(t)
	s.show(grown(t, 4), "4")
	s.set(object{"campaign": campaignStatus(9, 0, worker("cuda:0", 0, 331, 7))})
	p := openLive(t, s, browsertest.Options{})
	p.waitForText("#shown", "4 of 4 architectures")
	p.checkQuiet()
	refused := []string{"net::ERR_CONNECTION_REFUSED", "net::ERR_CONNECTION_RESET", "net::ERR_INCOMPLETE_CHUNKED_ENCODING", "net::ERR_EMPTY_RESPONSE"}

	// A short gap is not mentioned.
	p.eval(`{
		nb201.said = [];
		new MutationObserver(() => nb201.said.push(document.querySelector("#connection").textContent))
			.observe(document.querySelector("#connection"), {childList: true, characterData: true, subtree: true});
	}`)
	streams := func() (n int) { s.locked(func() { n = s.streams }); return n }
	before, gap := streams(), time.Now()
	s.kill()
	s.start()
	for end := time.Now().Add(20 * time.Second); streams() == before; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the page does not connect again")
		}
	}
	// On a busy machine the gap may be longer than the 3 s that the page does not mention.
	said := browsertest.Eval[[]string](p.Page, "nb201.said")
	if took := time.Since(gap); len(said) > 0 && took < 3*time.Second {
		t.Errorf("after a short gap the page says %q", said)
	}

	// A server that is killed and started again has moved on.
	s.kill()
	p.waitForText("#connection", "Connection lost; retrying")
	s.show(grown(t, 6), "6")
	s.set(object{"campaign": campaignStatus(30, 0, worker("cuda:0", 0, 662, 2))})
	s.start()
	p.waitForText("#connection", "Live")
	p.waitForText("#shown", "6 of 6 architectures")
	p.WaitFor(`nb201.plots.progress.points().length === 2`)
	if sections := browsertest.Eval[int](p.Page, `document.querySelectorAll("main > section").length`); sections != 7 {
		t.Errorf("%d sections", sections)
	}
	p.checkQuiet(refused...)

	// A server with too many streams refuses, until it has fewer.
	s.locked(func() { s.refusal = http.StatusServiceUnavailable })
	s.kill()
	s.start()
	p.waitForText("#connection", "Connection lost; retrying")

	// So does one that wants another token, which a user can do something about.
	s.locked(func() { s.refusal = http.StatusUnauthorized })
	p.waitForText("#connection", "The server wants another token; open the link that it printed")
	s.locked(func() { s.refusal = 0 })
	p.waitForText("#connection", "Live")

	// The benchmark cannot be read for a while.
	s.set(object{"missing": "open tour: no such file or directory"})
	p.waitForText("#trouble", "The benchmark cannot be read: open tour: no such file or directory. The page shows what was read last.")
	p.waitForText("#shown", "6 of 6 architectures")
	s.set(object{"missing": nil})
	p.WaitFor(`document.querySelector("#trouble").hidden`)

	// Versions that come faster than the page loads them are skipped.
	reports := map[int]*Report{7: grown(t, 7), 8: grown(t, 8), 9: grown(t, 9)}
	s.locked(func() { s.loads, s.together, s.delay = 0, 0, time.Second })
	began := time.Now()
	for i := range 20 {
		s.show(reports[7+i%2], fmt.Sprint("fast ", i))
		time.Sleep(50 * time.Millisecond)
	}
	took := time.Since(began)
	s.show(reports[9], "9")
	p.waitForText("#shown", "9 of 9 architectures")
	s.locked(func() {
		if most := 3 + int(took/s.delay); s.loads > most || s.together != 1 { // one more at the begin, two at the end
			t.Errorf("21 versions are loaded %d times, want at most %d; %d at a time", s.loads, most, s.together)
		}
		s.delay = 0
	})

	// Another program has another page.
	p.eval(`nb201.old = true`)
	s.set(object{"page": "2"})
	p.WaitFor(`window.nb201 && !nb201.old && document.querySelector("#shown").textContent === "9 of 9 architectures"`)
	p.checkQuiet(append(refused, "503 (Service Unavailable)", "401 (Unauthorized)")...)
}

// TestLiveReading shows a benchmark while it is read for the first time.
func TestLiveReading(t *testing.T) {
	t.Parallel()
	needs.Chromium(t)
	s := newLiveServer(t)
	s.set(object{"path": "NAS-Bench-201-v1_1-096897.pth", "format": "nasbench201", "reading": object{"done": 1024, "total": 15625}})
	p := openLive(t, s, browsertest.Options{})
	p.waitForText("#nothing", "Reading the benchmark: 1,024 of 15,625 architectures")
	p.checkSections()
	s.set(object{"missing": "cut short"})
	p.waitForText("#trouble", "The benchmark cannot be read: cut short.")
	s.set(object{"reading": nil, "missing": nil})
	s.show(grown(t, 3), "1")
	p.waitForText("#shown", "3 of 3 architectures")
	p.checkSections("cost", "learning", "operations", "cells", "ranks", "health")
	p.checkQuiet()
}

// busyCampaign is a campaign with 24 workers on 8 devices, failures and faults.
func busyCampaign(epoch int) object {
	var workers []object
	for i := range 24 {
		arch := i * 331
		if i == 23 {
			arch = -1
		}
		workers = append(workers, worker(fmt.Sprintf("cuda:%d", i/3), i%3, arch, max(epoch-i%5, 0)))
	}
	c := campaignStatus(13, 2, workers...)
	c["failures"] = []object{
		failure(4303, "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 3221225472 bytes", 3), failure(4634, "the loss is not finite after epoch 3", 1),
	}
	c["runs"] = append(c["runs"].([]object), object{
		"host": "node2", "pid": 99, "started": "2026-01-02T03:00:00Z", "workers": []object{}, "finished": 1, "failed": 0,
		"last_hour": object{"seconds": 0, "trials": 0, "images": 0}, "seen": "2026-01-02T03:01:05Z", "stale": "silent for 13m00s",
	})
	c["problems"] = []string{"running/node3-7.json: the file is damaged"}
	return c
}

// TestLiveQuick checks that the page is idle while nothing changes, and that an update of 24 workers, each
// with curves of 100 epochs, takes little processor time: 40 ms on two cores of an AMD EPYC that others
// share (2026-11-29).
func TestLiveQuick(t *testing.T) {
	needs.Chromium(t)
	s := newLiveServer(t)
	s.show(grown(t, 13), "1")
	update := func(step int) {
		c := busyCampaign(9)
		for _, w := range c["runs"].([]object)[0]["workers"].([]object) {
			curves, _ := w["curves"].([]object)
			for _, curve := range curves {
				var epochs []int
				var loss, top1 []float64
				for i := range 100 {
					epochs, loss, top1 = append(epochs, 2*i), append(loss, 2.5/float64(i+1+step)), append(top1, 90-80/float64(i+1+step))
				}
				curve["epochs"], curve["loss"], curve["top1_percent"] = epochs, loss, top1
			}
		}
		s.set(object{"campaign": c})
	}
	update(0)
	p := openLive(t, s, browsertest.Options{Width: 1200, Height: 2500}) // the plot is in sight
	p.waitForText("#shown", "13 of 13")
	p.WaitFor(`document.querySelector("[data-plot=progress] canvas")`)
	p.pause(2 * time.Second)
	before := p.Busy()
	p.pause(2 * time.Second)
	if idle := p.Busy() - before; idle > 100*time.Millisecond {
		t.Errorf("while nothing changes, the page is busy for %v in 2 s", idle)
	}
	const updates = 10
	before = p.Busy()
	for i := range updates {
		update(i + 1)
		p.WaitFor(fmt.Sprintf(`Math.abs(nb201.plots.progress.points()[0].y - %v) < 1e-9`, 90-80/float64(i+2)))
		p.pause(300 * time.Millisecond)
	}
	if each := (p.Busy() - before) / updates; each > 120*time.Millisecond {
		t.Errorf("an update takes %v", each)
	}
	p.checkQuiet()
}

// TestLiveLooks checks that the live page is accessible and fits windows of all widths. NB201_SCREENSHOTS
// names a directory that gets pictures.
func TestLiveLooks(t *testing.T) {
	needs.Long(t, "looks at pages in windows of many sizes")
	t.Parallel()
	needs.Chromium(t)
	needs.Axe(t)
	to := os.Getenv("NB201_SCREENSHOTS")
	full, none := grown(t, 13), grown(t, 0)
	type look struct {
		width int
		dark  bool
	}
	few := []look{{390, true}, {1024, false}} // of pages with few elements
	for _, test := range []struct {
		name   string
		report *Report
		status object
		looks  []look
	}{
		{
			"busy", full, object{"campaign": busyCampaign(9), "failures": 2},
			[]look{{390, false}, {390, true}, {1024, false}, {1024, true}, {1920, false}, {1920, true}},
		},
		{"begun", none, object{"campaign": campaignStatus(0, 0, worker("cpu", 0, 331, 2))}, few},
		{"reading", nil, object{"reading": object{"done": 1024, "total": 15625}, "missing": "tour: permission denied"}, few},
	} {
		s := newLiveServer(t)
		if test.report != nil {
			s.show(test.report, "1")
		}
		s.set(test.status)
		p := openLive(t, s, browsertest.Options{})
		if test.report == full {
			p.waitForText("#shown", "13 of 13")
			// Controls, tables and the dialog that scripts draw must not violate the policy either.
			p.eval(`document.querySelectorAll("[data-action=table]").forEach(button => button.click())`)
		}
		for i, look := range test.looks {
			name := fmt.Sprintf("live-%s-%d-%s", test.name, look.width, map[bool]string{false: "light", true: "dark"}[look.dark])
			p.Show(browsertest.Options{Width: look.width, Height: 900, Dark: look.dark})
			p.pause(500 * time.Millisecond)
			if wide := browsertest.Eval[float64](p.Page, `document.scrollingElement.scrollWidth - innerWidth`); wide > 0 {
				t.Errorf("%s: the page is %v pixels wider than the window", name, wide)
			}
			for _, v := range p.Axe() {
				t.Errorf("%s: %s (%s): %s\n%s", name, v.ID, v.Impact, v.Help, strings.Join(v.Nodes[:min(len(v.Nodes), 5)], "\n"))
			}
			if to != "" {
				p.Screenshot(filepath.Join(to, name+".png"))
			}
			if test.report != full || to == "" && i > 0 {
				continue
			}
			p.eval(`document.querySelectorAll(".numbers").forEach(e => { e.style.display = "none" })`)
			p.Show(browsertest.Options{Width: look.width, Height: 9000, Dark: look.dark}) // all plots are in sight, and drawn
			p.pause(time.Second)
			if to != "" {
				p.ElementScreenshot("#campaign", filepath.Join(to, name+"-campaign.png"))
			}
			p.eval(`document.querySelectorAll(".numbers").forEach(e => { e.style.display = "" })`)
		}
		p.checkQuiet()
	}
}
