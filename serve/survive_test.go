package serve

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"golang.org/x/sync/errgroup"

	"nb201/internal/inert"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/lookup"
	"nb201/results/published"
	"nb201/results/resultstest"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan/plantest"
	"nb201/scheduler/state"
	"nb201/scheduler/status"
)

// moment returns how the server says that the benchmark is.
func (s *served) moment(t *testing.T) moment {
	t.Helper()
	a := s.get(t, "/api/v1/status")
	var m moment
	if err := json.Unmarshal([]byte(a.body), &m); err != nil || a.StatusCode != 200 {
		t.Fatalf("status %d, %v: %.500q", a.StatusCode, err, a.body)
	}
	return m
}

// total returns the number of finished trials that the server lists, -1 before it has read them.
func (s *served) total(t *testing.T) int {
	t.Helper()
	a := s.get(t, "/api/v1/trials?limit=1")
	if a.StatusCode == http.StatusServiceUnavailable {
		return -1
	}
	var list struct {
		Total int `json:"total"`
	}
	if err := json.Unmarshal([]byte(a.body), &list); err != nil || a.StatusCode != 200 {
		t.Fatalf("status %d, %v: %.500q", a.StatusCode, err, a.body)
	}
	return list.Total
}

// waitMissing waits until the server says why the benchmark is missing, and checks that it continues to
// say so.
func (s *served) waitMissing(t *testing.T, what string) {
	t.Helper()
	var why string
	wait(t, what+": missing", func() bool { why = s.moment(t).Missing; return why != "" })
	if !inert.IsInert(why) || !strings.Contains(why, " ") || strings.Contains(why, "0x") {
		t.Errorf("%s: %q", what, why)
	}
	for range 20 {
		if s.moment(t).Missing == "" {
			t.Errorf("%s: it is not missing any more", what)
		}
		time.Sleep(beat / 2)
	}
	if !strings.Contains(s.get(t, "/metrics").body, "\nnb201_serve_benchmark_missing 1\n") {
		t.Errorf("%s: metrics do not show it", what)
	}
}

// waitTrials waits until the server lists a number of trials of a benchmark that it can read.
func (s *served) waitTrials(t *testing.T, what string, want int) {
	t.Helper()
	var m moment
	var total int
	defer func() {
		if t.Failed() {
			t.Logf("%s: %d trials, %+v", what, total, m)
		}
	}()
	wait(t, fmt.Sprintf("%s has %d trials", what, want), func() bool {
		m, total = s.moment(t), s.total(t)
		return m.Missing == "" && m.Trials == want && total == want
	})
	if a := s.get(t, "/metrics"); !strings.Contains(a.body, "\nnb201_serve_benchmark_missing 0\n") {
		t.Errorf("%s: metrics show it as missing", what)
	}
}

// checkCalm checks that questions have answers, or problems that say why not.
func (s *served) checkCalm(t *testing.T, what string) {
	t.Helper()
	for _, path := range []string{"/", "/data", "/metrics", "/api/v1", "/api/v1/failures", "/api/v1/architectures", "/api/v1/trials", "/api/v1/architectures/0", "/api/v1/architectures/1/curves", "/api/v1/architectures/4"} {
		a := s.get(t, path)
		checkHarmless(t, what+": "+path, a)
		if a.StatusCode == 500 && !strings.Contains(a.body, "damaged") && !strings.Contains(a.body, s.options.Path) {
			t.Errorf("%s: %s: %s", what, path, a.body)
		}
	}
}

func must(t *testing.T, errs ...error) {
	t.Helper()
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
}

// A campaign may be moved, damaged, deleted and replaced while it is served.
func TestCampaignSurvives(t *testing.T) {
	hurry(t, 10*time.Second)
	c := smallCampaign(t)
	away := c.Dir + ".away"
	s := serveAt(t, Options{Path: c.Dir})
	s.waitTrials(t, "the campaign", 24)

	must(t, os.Rename(c.Dir, away))
	s.waitMissing(t, "a campaign that was moved")
	s.checkCalm(t, "moved")
	if n := s.total(t); n != 24 {
		t.Errorf("moved: %d trials are listed", n)
	}
	must(t, os.Rename(away, c.Dir))
	s.waitTrials(t, "a campaign that is back", 24)

	must(t, os.Rename(c.Dir, away), os.WriteFile(c.Dir, []byte("not a campaign\n"), 0o666))
	s.waitMissing(t, "a campaign that is a file now")
	s.checkCalm(t, "a file")
	if n := s.total(t); n != 24 {
		t.Errorf("a file instead of the campaign: %d trials are listed", n)
	}
	must(t, os.Remove(c.Dir), os.Symlink(filepath.Join(c.Dir, "nothing"), c.Dir))
	s.waitMissing(t, "a campaign that is a broken link now")
	must(t, os.Remove(c.Dir), os.Symlink(away, c.Dir))
	s.waitTrials(t, "a link to the campaign", 24)
	must(t, os.Remove(c.Dir), os.Rename(away, c.Dir))

	trial := results.Trial{Arch: 4, Dataset: "cifar10", Epochs: 2, Seed: 111}
	path := c.RecordPath(trial)
	text, err := os.ReadFile(path)
	must(t, err, os.Remove(path), os.WriteFile(path, text[:len(text)/2], 0o666))
	s.waitTrials(t, "a campaign with a damaged record", 23)
	wait(t, "the damaged record is reported", func() bool { return len(s.moment(t).Campaign.Damaged) == 1 })
	s.checkCalm(t, "damaged")
	must(t, os.Remove(path), os.WriteFile(path, text, 0o666))
	s.waitTrials(t, "a campaign whose record is repaired", 24)
	wait(t, "no damaged record is reported", func() bool { return len(s.moment(t).Campaign.Damaged) == 0 })

	if os.Getuid() != 0 { // root reads everything
		must(t, os.Chmod(c.Dir, 0))
		s.waitMissing(t, "a campaign that nobody may read")
		s.checkCalm(t, "no rights")
		must(t, os.Chmod(c.Dir, 0o777))
		s.waitTrials(t, "a campaign that may be read again", 24)
	}

	must(t, os.Rename(filepath.Join(c.Dir, "trials"), away))
	s.waitTrials(t, "a campaign without records", 0)
	s.checkCalm(t, "no records")
	must(t, os.Rename(away, filepath.Join(c.Dir, "trials")))
	s.waitTrials(t, "a campaign with its records again", 24)

	must(t, os.RemoveAll(c.Dir))
	s.waitMissing(t, "a campaign that was deleted")
	s.checkCalm(t, "deleted")
	must(t, os.Rename(resultstest.Fill(t, resultstest.Grid(1)...).Dir, c.Dir))
	s.waitTrials(t, "another campaign", 12)
	if a := s.get(t, "/api/v1/architectures"); !strings.Contains(a.body, `"total":1`) || !strings.Contains(a.body, `"architecture":1,`) {
		t.Errorf("another campaign: %s", a.body)
	}
	if a := s.get(t, "/api/v1/architectures/1"); a.StatusCode != 200 {
		t.Errorf("another campaign: status %d", a.StatusCode)
	}
	if a := s.get(t, "/api/v1/architectures/4"); a.StatusCode != 404 {
		t.Errorf("another campaign: status %d", a.StatusCode)
	}
}

// A campaign that goes away, or another takes its place, between a look and the reading of its records
// keeps its trials.
func TestCampaignGoesWhileItIsRead(t *testing.T) {
	for what, put := range map[string]func(path string) error{
		"nothing":          func(string) error { return nil },
		"a file":           func(path string) error { return os.WriteFile(path, []byte("not a campaign\n"), 0o666) },
		"an empty folder":  func(path string) error { return os.Mkdir(path, 0o777) },
		"a broken link":    func(path string) error { return os.Symlink(path+".nothing", path) },
		"a link to itself": func(path string) error { return os.Symlink(path, path) },
	} {
		c := smallCampaign(t)
		src, err := openSource(t.Context(), c.Dir, nil)
		must(t, err)
		b := newBuilder(src)
		must(t, b.look(t.Context()))
		must(t, os.Rename(c.Dir, c.Dir+".away"), put(c.Dir))
		if d, err := b.build(t.Context(), "nb201", nil); err == nil {
			t.Errorf("with %s instead: %d trials", what, d.summary.Trials())
		}
		must(t, os.RemoveAll(c.Dir), os.Rename(c.Dir+".away", c.Dir), b.look(t.Context()))
		if d, err := b.build(t.Context(), "nb201", nil); err != nil || d.summary.Trials() != 24 {
			t.Errorf("back after %s: %v", what, err)
		}
		must(t, src.close())
	}
}

// Tables that change after they were opened, and before all of them is read, keep their trials.
func TestTablesChangeWhileTheyAreRead(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tables")
	exportTo(t, resultstest.Fill(t, resultstest.Grid(0, 4)...), published.CSV, path)
	src, err := openSource(t.Context(), path, nil)
	must(t, err)
	b := newBuilder(src)
	file := filepath.Join(path, "epochs.csv")
	text, err := os.ReadFile(file)
	must(t, err)
	for what, damaged := range map[string][]byte{"HTML": []byte("<!doctype html><p>Not found"), "truncated": text[:len(text)/2]} {
		must(t, b.look(t.Context()), os.WriteFile(file, damaged, 0o666))
		if _, err := b.build(t.Context(), "nb201", nil); err == nil || !strings.Contains(err.Error(), "changed while it was read") {
			t.Errorf("%s: %v", what, err)
		}
		must(t, os.WriteFile(file, text, 0o666), b.look(t.Context()))
		if d, err := b.build(t.Context(), "nb201", nil); err != nil || d.summary.Trials() != 24 {
			t.Errorf("tables that were %s: %v", what, err)
		}
	}
	must(t, src.close())
}

// A published file may be deleted, replaced and damaged while it is served.
func TestPublishedSurvives(t *testing.T) {
	for name, format := range map[string]benchmark.Format{"merged.pth": published.NASBench201, "tables": published.CSV} {
		t.Run(name, func(t *testing.T) {
			hurry(t, 10*time.Second)
			dir := t.TempDir()
			path, away, other := filepath.Join(dir, name), filepath.Join(dir, "away-"+name), filepath.Join(dir, "other-"+name)
			exportTo(t, resultstest.Fill(t, resultstest.Grid(0, 4)...), format, path)
			exportTo(t, resultstest.Fill(t, resultstest.Grid(1)...), format, other)
			s := serveAt(t, Options{Path: path})
			wait(t, "the file is read", func() bool { return s.live.data.Load() != nil })
			all := s.total(t)
			s.waitTrials(t, "the file", all)

			must(t, os.Rename(path, away))
			s.waitMissing(t, "a file that was deleted")
			s.checkCalm(t, "deleted")
			if n := s.total(t); n != all {
				t.Errorf("deleted: %d trials are listed", n)
			}
			must(t, os.Rename(away, path))
			s.waitTrials(t, "a file that is back", all)

			must(t, os.Rename(path, away), os.Rename(other, path))
			s.waitTrials(t, "another file", all/2)
			if a, b := s.get(t, "/api/v1/architectures/1"), s.get(t, "/api/v1/architectures/4"); a.StatusCode != 200 || b.StatusCode != 404 {
				t.Errorf("another file: status %d and %d", a.StatusCode, b.StatusCode)
			}
			must(t, os.Rename(path, other), os.Rename(away, path))
			s.waitTrials(t, "the first file", all)

			file := path
			if format == published.CSV {
				file = filepath.Join(path, "epochs.csv")
			}
			text, err := os.ReadFile(file)
			must(t, err)
			for what, damaged := range map[string][]byte{
				"truncated": text[:len(text)/2], "empty": {}, "garbage": []byte(strings.Repeat("\x80\x02<script>\xff\x00", 1000)), "HTML": []byte("<!doctype html><p>Not found"),
			} {
				must(t, os.WriteFile(file, damaged, 0o666))         // which the server still reads
				if what == "truncated" && format == published.CSV { // the rest is read
					wait(t, "trials of a truncated table are left out", func() bool { return s.total(t) < all })
					s.checkCalm(t, what)
				} else {
					s.waitMissing(t, "a file that is "+what)
					s.checkCalm(t, what)
					if n := s.total(t); n != all {
						t.Errorf("%s: %d trials are listed", what, n)
					}
				}
				must(t, os.WriteFile(file, text, 0o666))
				s.waitTrials(t, "a file that was "+what, all)
			}
			if a := s.get(t, "/api/v1/architectures/4"); a.StatusCode != 200 {
				t.Errorf("at the end: status %d: %s", a.StatusCode, a.body)
			}
		})
	}
}

// Trials finish, fail and run all the time while many clients ask.
func TestCampaignIsWritten(t *testing.T) {
	hurry(t, 10*time.Second)
	c := results.Campaign{Dir: t.TempDir()}
	const archs, seeds = 6, 4
	trials := plantest.Digits(t, c.Dir, archs, []int{1}, 1, 2, 3, 4)
	must(t, os.MkdirAll(filepath.Join(c.Dir, "running"), 0o777))
	host, err := os.Hostname()
	must(t, err)
	s := serveAt(t, Options{Path: c.Dir}).ready(t)
	writing, stop := context.WithCancel(t.Context())
	var clients, writers errgroup.Group
	for k := range seeds {
		writers.Go(func() error {
			for _, trial := range trials {
				if int(trial.Seed) != k+1 {
					continue
				}
				run := state.Run{Host: host, PID: os.Getpid() + k, Started: time.Now(), Workers: []state.Worker{{Device: "cpu", Trial: &trial, Epochs: 1}}}
				failure := attempt.Failure{Trial: trial, Attempts: []attempt.FailedAttempt{{When: time.Now(), Host: host, Device: "cpu", Kind: attempt.Crashed, Reason: "signal: killed"}}}
				for range 3 {
					if err := errors.Join(run.Write(c.Dir), failure.Write(c.Dir)); err != nil {
						return err
					}
					time.Sleep(20 * time.Millisecond)
				}
				r := resultstest.Record(t, trial)
				if err := c.Publish(r, nil); err != nil {
					return err
				}
				if err := os.Remove(attempt.FailurePath(c.Dir, trial)); err != nil {
					return err
				}
				run.Workers[0].Trial = nil
				if err := run.Write(c.Dir); err != nil {
					return err
				}
			}
			return nil
		})
	}
	paths := []string{"/data", "/metrics", "/api/v1", "/api/v1/status", "/api/v1/failures", "/api/v1/trials", "/api/v1/architectures", "/api/v1/architectures/0", "/api/v1/architectures/3/curves",
		"/api/v1/architectures?dataset=digits&schedule=1&sort=params_millions"}
	for k := range 20 {
		clients.Go(func() error {
			for i := k; writing.Err() == nil; i++ {
				path := paths[i%len(paths)]
				a, err := s.ask(request("GET", path))
				if err != nil {
					return err
				}
				if a.StatusCode != 200 && a.StatusCode != 404 { // not finished yet
					return fmt.Errorf("%s: status %d: %s", path, a.StatusCode, a.body)
				}
			}
			return nil
		})
	}
	err = writers.Wait()
	stop()
	must(t, err, clients.Wait())
	s.waitTrials(t, "the campaign", len(trials))
	wait(t, "the campaign's state is shown", func() bool {
		m := s.moment(t)
		return m.Campaign.Totals.Done == len(trials) && m.Failures == 0 && len(m.Campaign.Problems) == 0
	})
	for i := range archs {
		if a := s.get(t, "/api/v1/architectures/"+strconv.Itoa(i)); a.StatusCode != 200 || strings.Count(a.body, `"seed":`) != seeds {
			t.Errorf("architecture %d: status %d: %.200q", i, a.StatusCode, a.body)
		}
	}
}

// walk asks for everything that the server has, and checks that each answer comes, is inert text, and
// contains nothing of the secret.
func (s *served) walk(t *testing.T, what string) {
	t.Helper()
	paths := []string{"/", "/data", "/metrics", "/api/v1/failures?limit=1000", "/api/v1/trials?limit=1000&architecture=0", "/api/v1/architectures?limit=1000&dataset=digits&schedule=2&sort=training_seconds"}
	for pattern := range newAPI(s.live, s.source).routes() {
		for _, arch := range []string{"0", "1", "2", "3"} {
			paths = append(paths, strings.ReplaceAll(pattern, "{arch}", arch))
		}
	}
	slices.Sort(paths)
	check := func(path, text string) {
		t.Helper()
		if at := strings.Index(text, secret); at >= 0 {
			t.Errorf("%s: %s contains the secret: %q", what, path, text[max(0, at-200):at+20])
		}
		if path == "/" {
			return
		}
		for line := range strings.Lines(text) {
			if line = strings.TrimRight(line, "\n"); !inert.IsInert(line) {
				t.Errorf("%s: %s is not inert: %.300q", what, path, line)
			}
		}
	}
	for _, path := range slices.Compact(paths) {
		began := time.Now()
		a := s.get(t, path)
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: %s took %v", what, path, took)
		}
		checkHarmless(t, what+": "+path, a)
		check(path, a.body)
		if kind := a.Header.Get("Content-Type"); kind == "application/json" {
			var v any
			if err := json.Unmarshal([]byte(a.body), &v); err != nil {
				t.Errorf("%s: %s: %v", what, path, err)
			}
		}
		if path == "/metrics" && a.StatusCode != 200 {
			t.Errorf("%s: metrics: %d %s", what, a.StatusCode, a.body)
		}
	}
	c := s.dial(t)
	defer c.Close()
	_, err := io.WriteString(c, strings.ReplaceAll(request("GET", "/api/v1/events"), "HOST", s.address))
	must(t, err)
	r, err := http.ReadResponse(bufio.NewReader(c), nil) //nolint:bodyclose // its connection is closed
	must(t, err)
	events := bufio.NewReader(r.Body)
	for range 3 { // lines: the event, the data, none
		line, err := events.ReadString('\n')
		must(t, err)
		check("/api/v1/events", line)
	}
}

// A campaign from a stranger cannot make the server send other files of the host, wait, or crash.
func TestHostileCampaign(t *testing.T) {
	outside := t.TempDir()
	put := func(name, text string) string {
		path := filepath.Join(outside, name)
		must(t, os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666))
		return path
	}
	record := `"trial": {"architecture": 1, "dataset": "digits", "epochs": 2, "seed": 1}`
	secrets := map[string]func(path string) error{}
	for name, text := range map[string]string{
		// The name of an unknown key is shown, as the commands show it, but nothing else.
		"text": secret + "\n", "a key": `{"key": "` + secret + `"}`, "a value": `{"trial": "` + secret + `"}`, "in a trial": `{"trial": {"architecture": "` + secret + `", "dataset": "` + secret + `"}}`,
		"a dataset": `{"trial": {"architecture": 1, "dataset": "` + secret + `", "epochs": 2, "seed": 1}}`, "a host": `{"host": "` + secret + `", "pid": 7}`, "a list": `["` + secret + `"]`,
		"attempts": `{` + record + `, "attempts": "` + secret + `"}`, "twice": `{"seed": "` + secret + `", "seed": "` + secret + `"}`, "a plan": `{"format_version": 1, "settings": {"precision": "` + secret + `"}, "parts": []}`,
	} {
		target := put(name+".json", text)
		secrets["a link to "+name] = func(path string) error { return os.Symlink(target, path) }
	}
	folder := filepath.Dir(put("folder/"+secret+".json", secret))
	kinds := map[string]func(path string) error{
		"a link to a folder": func(path string) error { return os.Symlink(folder, path) },
		"a link to itself":   func(path string) error { return os.Symlink(path, path) },
		"a pipe":             func(path string) error { return syscall.Mkfifo(path, 0o666) },
		"a device":           func(path string) error { return os.Symlink("/dev/zero", path) },
		"a socket of bytes":  func(path string) error { return os.Symlink("/proc/self/environ", path) },
		"a sparse file":      func(path string) error { return errors.Join(os.WriteFile(path, nil, 0o666), os.Truncate(path, 1<<30)) },
		"a folder":           func(path string) error { return os.Mkdir(path, 0o777) },
		"a nest":             func(path string) error { return os.WriteFile(path, []byte(strings.Repeat("[", 1<<20)), 0o666) },
		"hostile names":      func(path string) error { return os.WriteFile(path, []byte(`{"\u001b[2J<img src=x>\u202e": 1}`), 0o666) },
		"hostile numbers":    func(path string) error { return os.WriteFile(path, []byte(`{"pid": 1e999, "seed": -1e308}`), 0o666) },
	}
	maps.Copy(kinds, secrets)
	kinds["nothing"] = func(string) error { return nil }
	hurry(t, 10*time.Second)
	for _, kind := range slices.Sorted(maps.Keys(kinds)) {
		c := results.Campaign{Dir: t.TempDir()}
		must(t, c.Publish(resultstest.Record(t, results.Trial{Arch: 0, Dataset: "digits", Epochs: 2, Seed: 1}), nil))
		trial := results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: 1}
		for _, path := range []string{
			"plan.json", "latency.json", c.RecordPath(trial)[len(c.Dir):], "trials/000002", "trials/000003/digits", "trials/000000/digits/0003-0001.json", "trials/000000/\x1b[2J<b>\u202e", "trials/000000/digits/0002-0002.json",
			"failed/000001/digits/0002-0001.json", "failed/000001/digits/\x1b[2J.json", "failed/000009", "running/" + secret[:3] + "-7.json", "running/h\x1b[2J-1.json", "weights/000000/digits/0002-0002.pth",
		} {
			path = filepath.Join(c.Dir, path)
			must(t, os.MkdirAll(filepath.Dir(path), 0o777), kinds[kind](path))
		}
		t.Run(kind, func(t *testing.T) {
			s := serveAt(t, Options{Path: c.Dir}).ready(t)
			wait(t, "the campaign's state is read", func() bool { m := s.moment(t); return m.Campaign != nil || m.Missing != "" })
			s.walk(t, kind)
			if n := s.total(t); n < 1 {
				t.Error("the trial that is good is not listed")
			}
		})
	}
}

// Text that others write reaches nobody unescaped, and no number confuses the server.
func TestHostileTexts(t *testing.T) {
	const nasty = "</script><img src=x onerror=alert(1)>\x1b[2J\u202e\n\r\t\"\\{}\u2028"
	hurry(t, 10*time.Second)
	c := resultstest.Fill(t, results.Trial{Arch: 0, Dataset: "digits", Epochs: 2, Seed: 1})
	name := strings.ReplaceAll(nasty, "/", "")
	trial := results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: 1}
	pass := &state.Pass{Set: nasty, Epoch: -1, Loss: 1e308, Top1: -1e308}
	worker := state.Worker{Device: nasty, Trial: &trial, Stage: nasty, Epoch: 1 << 60, Epochs: -1, ImagesPerSecond: 1e308, Since: time.Unix(1<<37, 0), Training: pass, Evaluation: pass,
		Curves: []state.Curve{{Set: nasty, Epochs: []int{-5}, Loss: []float64{1e308}, Top1: []float64{-1}}}}
	host, err := os.Hostname()
	must(t, err)
	must(t, os.MkdirAll(filepath.Join(c.Dir, "running"), 0o777))
	write := func(path string, v any) {
		t.Helper()
		text, err := json.Marshal(v)
		must(t, err, os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, text, 0o666))
	}
	for _, run := range []state.Run{
		// Twice the same worker: metrics with the same labels.
		{Host: host, PID: os.Getpid(), Started: time.Now(), Workers: []state.Worker{worker, worker}, Finished: -1 << 60, Paused: nasty, Chunk: nasty},
		{Host: name, PID: 1 << 40, Started: time.Unix(-1<<35, 0), Workers: []state.Worker{worker}, LastHour: state.Throughput{Seconds: 1e-308, Trials: 1 << 60, Images: 1e15}},
		{Host: name, PID: 2, Workers: []state.Worker{{}, {}}},
	} {
		write(state.RunPath(c.Dir, run.Host, run.PID), run)
	}
	write(attempt.FailurePath(c.Dir, trial), attempt.Failure{Trial: trial, TrialFailed: true, Attempts: []attempt.FailedAttempt{
		{Host: nasty, Device: nasty, Kind: nasty, Reason: strings.Repeat(nasty, 1000), Log: nasty}, {}}})
	// A time that JSON lacks, if the file system keeps it.
	must(t, os.Chtimes(state.RunPath(c.Dir, name, 2), time.Time{}, time.Unix(1<<50, 0)))
	s := serveAt(t, Options{Path: c.Dir, Hosts: []string{nasty}}).ready(t)
	wait(t, "the campaign's state is read", func() bool { m := s.moment(t); return m.Campaign != nil && len(m.Campaign.Runs) == 3 })
	s.walk(t, "hostile texts")
	if m := s.moment(t); m.Missing != "" || m.Failures != 1 || len(m.Campaign.Problems) > 0 {
		t.Errorf("missing %q, %d failures, problems %q", m.Missing, m.Failures, m.Campaign.Problems)
	}
	for query, want := range map[string]int{"dataset=%3Cb%3E%1b%5B2J%E2%80%AE": 404, "%1b=1": 400, "seed=%0a": 400, "architecture=%E2%80%AE": 400} {
		a := s.get(t, "/api/v1/trials?"+query)
		checkHarmless(t, query, a)
		if a.StatusCode != want || !inert.IsInert(strings.TrimRight(a.body, "\n")) {
			t.Errorf("%s: status %d: %q", query, a.StatusCode, a.body)
		}
	}
}

// All text in an answer passes the marshalers: they know every type of text that an answer contains.
func TestTextTypes(t *testing.T) {
	seen := map[reflect.Type]bool{}
	var visit func(reflect.Type)
	visit = func(v reflect.Type) {
		if seen[v] {
			return
		}
		seen[v] = true
		switch v.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Array:
			visit(v.Elem())
		case reflect.Map:
			visit(v.Key())
			visit(v.Elem())
		case reflect.Struct:
			for i := range v.NumField() {
				if f := v.Field(i); f.Tag.Get("json") != "-" && v != reflect.TypeFor[time.Time]() && (f.IsExported() || f.Anonymous) {
					visit(f.Type)
				}
			}
		case reflect.String:
			if v == reflect.TypeFor[benchmark.Format]() { // the program's own constants
				return
			}
			value := reflect.New(v).Elem()
			value.SetString("\x1b")
			for _, value := range []any{value.Interface(), mapWith(value)} {
				if text, err := encode(value); err != nil || !strings.Contains(string(text), `\\x1b`) {
					t.Errorf("%v is encoded as %s, %v", v, text, err)
				}
			}
		}
	}
	for _, v := range []any{moment{}, index{}, page[archRow]{}, page[trialRow]{}, page[attempt.Failure]{}, lookup.Answer{}, curvesAnswer{}, problem{}, status.Status{}} {
		visit(reflect.TypeOf(v))
	}
	if !seen[reflect.TypeFor[attempt.Kind]()] || !seen[reflect.TypeFor[benchmark.Format]()] {
		t.Error("the walk has not found all types")
	}
}

// mapWith returns a map with a key.
func mapWith(key reflect.Value) any {
	m := reflect.MakeMap(reflect.MapOf(key.Type(), reflect.TypeFor[int]()))
	m.SetMapIndex(key, reflect.ValueOf(1))
	return m.Interface()
}
