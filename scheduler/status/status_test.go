package status

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan"
	"nb201/scheduler/plan/plantest"
	"nb201/scheduler/state"
)

// newCampaign makes a plan of 3 architectures on digits, along schedules of 2 and 3
// epochs, from seeds 1 and 2, with records of some of its trials.
func newCampaign(t *testing.T, done ...results.Trial) (dir string) {
	t.Helper()
	dir = resultstest.Fill(t, done...).Dir
	plantest.Digits(t, dir, 3, []int{2, 3}, 1, 2)
	return dir
}

func digits(arch, epochs int, seed uint32) results.Trial {
	return results.Trial{Arch: arch, Dataset: "digits", Epochs: epochs, Seed: seed}
}

func readStatus(t *testing.T, dir string) *Status {
	t.Helper()
	s, err := Read(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// putRun writes the state of a run of this process.
func putRun(t *testing.T, dir string, change func(*state.Run)) string {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	s := state.Run{Host: host, PID: os.Getpid(), Started: time.Now().Add(-2 * time.Hour), Finished: 3,
		LastHour: state.Throughput{Seconds: 3600, Trials: 2, Images: 5e6}}
	change(&s)
	if err := os.MkdirAll(filepath.Join(dir, "running"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := s.Write(dir); err != nil {
		t.Fatal(err)
	}
	return state.RunPath(dir, s.Host, s.PID)
}

func putFailure(t *testing.T, dir string, trial results.Trial, failed bool) {
	t.Helper()
	f := attempt.Failure{Trial: trial, TrialFailed: failed, Attempts: []attempt.FailedAttempt{{
		When: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Host: "node1", Device: "cuda:0", Kind: attempt.OutOfMemory,
		Reason: "RESOURCE_EXHAUSTED: 3 GiB", Log: "logs/node1-7-cuda0-0.log",
	}}}
	if err := f.Write(dir); err != nil {
		t.Fatal(err)
	}
}

func TestStatusCounts(t *testing.T) {
	dir := newCampaign(t, digits(0, 2, 1), digits(0, 2, 2), digits(1, 3, 1), digits(9, 2, 1), digits(0, 4, 1))
	putFailure(t, dir, digits(2, 2, 1), true)
	putFailure(t, dir, digits(2, 2, 2), false) // will be retried
	putFailure(t, dir, digits(0, 2, 1), true)  // done since
	running, ended, other := digits(1, 2, 1), digits(0, 2, 2), digits(7, 2, 2)
	hourAgo := time.Now().Add(-time.Hour)
	putRun(t, dir, func(s *state.Run) {
		s.Workers = []state.Worker{
			{Device: "cpu", Trial: &running, Since: hourAgo},
			{Device: "cpu", Index: 1, Trial: &ended, Since: hourAgo}, // its record exists by now
			{Device: "cpu", Index: 2, Trial: &other, Since: hourAgo}, // of an earlier plan
			{Device: "cpu", Index: 3, Stage: state.StageIdle},
		}
	})
	s := readStatus(t, dir)
	for i := range s.Trials {
		if s.Trials[i].Work <= 0 {
			t.Errorf("%d epochs: %v of work are left", s.Trials[i].Epochs, s.Trials[i].Work)
		}
		s.Trials[i].Work = 0
	}
	// A synthetic trial takes an hour, all in all.
	for i, want := range []float64{3, 1} {
		if got := s.Trials[i].Hours; got < 0.99*want || got > 1.01*want {
			t.Errorf("%d epochs took %v hours, not about %v", s.Trials[i].Epochs, got, want)
		}
		s.Trials[i].Hours = 0
	}
	want := []Group{
		{Dataset: "digits", Schedule: "2", Epochs: 2, Totals: state.Totals{Planned: 6, Done: 2, Running: 1, Failed: 1, Left: 2}},
		{Dataset: "digits", Schedule: "3", Epochs: 3, Totals: state.Totals{Planned: 6, Done: 1, Left: 5}},
	}
	if !reflect.DeepEqual(s.Trials, want) {
		t.Errorf("groups %+v, not %+v", s.Trials, want)
	}
	s.Totals.Work = 0
	if want := (state.Totals{Planned: 12, Done: 3, Running: 1, Failed: 1, Left: 7}); s.Totals != want {
		t.Errorf("totals %+v, not %+v", s.Totals, want)
	}
	if s.NotPlanned != 2 || len(s.Problems) != 0 || s.Hours.Records != 5 {
		t.Errorf("%d not planned, problems %q, %d records", s.NotPlanned, s.Problems, s.Hours.Records)
	}
	if len(s.Failures) != 2 || s.Failures[0].Trial != digits(2, 2, 1) || s.Failures[1].Trial != digits(2, 2, 2) {
		t.Errorf("failures %+v", s.Failures)
	}
	if s.Hours.Running < 1.99 || s.Hours.Running > 2.01 {
		t.Errorf("%v hours in running trials, not 2", s.Hours.Running)
	}
	if want := (state.Throughput{Seconds: 3600, Trials: 2, Images: 5e6}); s.LastHour != want {
		t.Errorf("last hour %+v, not %+v", s.LastHour, want)
	}
}

// The time left is the cost of the trials left, shared among the workers.
func TestStatusForecast(t *testing.T) {
	dir := newCampaign(t, digits(0, 2, 1), digits(1, 2, 1), digits(2, 2, 1))
	work := readStatus(t, dir).Hours
	// Three trials of 2 epochs and six of 3 are left, of which three are done.
	p, err := plan.Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	c := results.Campaign{Dir: dir}
	rate, err := plan.MeasureRate(t.Context(), c, []results.Trial{digits(0, 2, 1), digits(1, 2, 1), digits(2, 2, 1)}, "fp32")
	if err != nil {
		t.Fatal(err)
	}
	want := 0.0
	for trial := range p.Trials() {
		if done, err := c.Done(trial); err != nil {
			t.Fatal(err)
		} else if !done {
			want += rate.Seconds(p.Work(trial)) / 3600
		}
	}
	if work.Work < want*0.999 || work.Work > want*1.001 || work.Left != 0 {
		t.Errorf("%v hours of work, %v left without a run; want %v and 0", work.Work, work.Left, want)
	}
	putRun(t, dir, func(s *state.Run) { s.Workers = make([]state.Worker, 4) })
	if left := readStatus(t, dir).Hours.Left; left < want/4*0.999 || left > want/4*1.001 {
		t.Errorf("%v hours left with four workers, want %v", left, want/4)
	}
	// Without finished trials, only the number of trials is known.
	if s := readStatus(t, newCampaign(t)); s.Hours != (Hours{}) || s.Totals != (state.Totals{Planned: 12, Left: 12}) {
		t.Errorf("hours %+v, totals %+v", s.Hours, s.Totals)
	}
}

// The hours of many trials are estimated from a sample of their records.
func TestStatusSample(t *testing.T) {
	var done []results.Trial
	for seed := range uint32(3 * sampleSize) {
		done = append(done, digits(0, 1, seed))
	}
	dir := resultstest.Fill(t, done...).Dir
	s := readStatus(t, dir)
	want := float64(len(done))
	if s.Hours.Records != sampleSize || s.Hours.Done < 0.99*want || s.Hours.Done > 1.01*want {
		t.Errorf("%v hours from %d records; want %v from %d", s.Hours.Done, s.Hours.Records, want, sampleSize)
	}
}

func TestStatusWithoutPlan(t *testing.T) {
	dir := resultstest.Fill(t, digits(0, 2, 1), digits(4, 3, 1)).Dir
	putFailure(t, dir, digits(2, 2, 1), true)
	s := readStatus(t, dir)
	if want := (state.Totals{Planned: 3, Done: 2, Failed: 1}); s.HasPlan || s.Totals != want || s.NotPlanned != 0 || len(s.Trials) != 2 {
		t.Errorf("plan %v, totals %+v, %d not planned, groups %+v", s.HasPlan, s.Totals, s.NotPlanned, s.Trials)
	}
	for _, dir := range []string{t.TempDir(), filepath.Join(dir, "none")} {
		if _, err := Read(t.Context(), dir); !usage.Is(err) || !strings.Contains(err.Error(), "is not a campaign") {
			t.Errorf("%s: error %v", dir, err)
		}
	}
}

// A directory with nothing but failed attempts is a campaign, whose failures are shown.
func TestStatusOfFailures(t *testing.T) {
	dir := t.TempDir()
	f := attempt.Failure{Trial: results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: 1}}
	f.Add(attempt.FailedAttempt{When: time.Now(), Kind: attempt.Diverged, Reason: "the loss is NaN"}, 3)
	if err := f.Write(dir); err != nil {
		t.Fatal(err)
	}
	s, err := Read(t.Context(), dir)
	if err != nil || len(s.Failures) != 1 || s.Totals.Done != 0 {
		t.Errorf("%+v, %v", s, err)
	}
}

func TestStatusRuns(t *testing.T) {
	dir := newCampaign(t)
	running := digits(1, 2, 1)
	busy := []state.Worker{{Device: "cpu", Trial: &running}}
	live := putRun(t, dir, func(s *state.Run) { s.Workers = busy })
	// Process IDs are far smaller than this.
	putRun(t, dir, func(s *state.Run) { s.PID, s.Workers, s.Started = 1<<30, busy, s.Started.Add(-time.Hour) })
	silent := putRun(t, dir, func(s *state.Run) { s.Host, s.Workers, s.Started = "elsewhere", busy, s.Started.Add(time.Hour) })
	old := time.Now().Add(-10 * time.Minute)
	if err := os.Chtimes(silent, old, old); err != nil {
		t.Fatal(err)
	}
	s := readStatus(t, dir)
	var stale []string
	for _, r := range s.Runs {
		stale = append(stale, r.Stale)
	}
	if want := []string{"its process is gone", "", "silent for 10m00s"}; !reflect.DeepEqual(stale, want) {
		t.Errorf("stale %q, not %q", stale, want)
	}
	if s.Totals.Running != 1 || s.LastHour.Trials != 2 {
		t.Errorf("%d running, %d in the last hour, want those of the one active run", s.Totals.Running, s.LastHour.Trials)
	}
	if err := os.Remove(live); err != nil {
		t.Fatal(err)
	}
	if s := readStatus(t, dir); s.Totals.Running != 0 || s.Totals.Left != 12 {
		t.Errorf("with stale runs alone: %+v", s.Totals)
	}
}

// Damaged files are reported and hide nothing else.
func TestStatusProblems(t *testing.T) {
	dir := newCampaign(t, digits(0, 2, 1), digits(0, 2, 2))
	putRun(t, dir, func(*state.Run) {})
	putFailure(t, dir, digits(2, 2, 1), true)
	putFailure(t, dir, digits(2, 2, 2), true)
	c := results.Campaign{Dir: dir}
	moved := attempt.FailurePath(dir, digits(2, 3, 2))
	if err := os.Rename(attempt.FailurePath(dir, digits(2, 2, 2)), moved); err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		filepath.Join(dir, "running", "host-1.json"):     `{"host": "host`,
		filepath.Join(dir, "running", "host-2.json"):     `{"hots": "host"}`,
		filepath.Join(dir, "running", "host-3.json"):     "",
		attempt.FailurePath(dir, digits(1, 2, 1)):        "[]",
		c.RecordPath(digits(0, 2, 2)):                    "{",
		filepath.Join(dir, "running", "host-4.json.tmp"): "",
		filepath.Join(dir, "failed", "README"):           "",
	}
	for path, text := range files {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "running", "host-5.json"), 0o777); err != nil {
		t.Fatal(err)
	}
	s := readStatus(t, dir)
	problems := strings.Join(s.Problems, "\n")
	for _, want := range []string{"host-1.json", "host-2.json: the file is the state of process 0 on host \"\", which does not match its name", "host-3.json", "host-5.json",
		attempt.FailurePath(dir, digits(1, 2, 1)), moved + `: "trial" is`} {
		if !strings.Contains(problems, want) {
			t.Errorf("no problem contains %q:\n%s", want, problems)
		}
	}
	if len(s.Problems) != 6 {
		t.Errorf("%d problems:\n%s", len(s.Problems), problems)
	}
	if len(s.Damaged) != 1 || !strings.Contains(s.Damaged[0], c.RecordPath(digits(0, 2, 2))) {
		t.Errorf("damaged records: %q", s.Damaged)
	}
	if want := (state.Totals{Planned: 12, Done: 1, Damaged: 1, Failed: 1, Left: 9, Work: s.Totals.Work}); s.Totals != want || len(s.Runs) != 1 || s.Hours.Records != 1 {
		t.Errorf("totals %+v, %d runs, %d records", s.Totals, len(s.Runs), s.Hours.Records)
	}

	// A plan that cannot be read is an error.
	if err := os.WriteFile(plan.Path(dir), []byte("{"), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(t.Context(), dir); !usage.Is(err) || !strings.Contains(err.Error(), "plan.json") {
		t.Errorf("error %v", err)
	}
}

// The first release, which refuses keys that it does not know, can read today's files.
func TestFirstVersionReadsOurs(t *testing.T) {
	dir := newCampaign(t)
	trial := digits(1, 2, 1)
	putFailure(t, dir, trial, true)
	path := putRun(t, dir, func(s *state.Run) {
		s.Workers = []state.Worker{{Device: "cpu", Trial: &trial, Attempt: 1, Stage: "train"}}
	})
	first := map[string]any{
		attempt.FailurePath(dir, trial): &struct {
			Trial    results.Trial `json:"trial"`
			Attempts []struct {
				When   time.Time `json:"when"`
				Host   string    `json:"host"`
				Device string    `json:"device"`
				Kind   string    `json:"kind"`
				Reason string    `json:"reason"`
				Log    string    `json:"log"`
			} `json:"attempts"`
			TrialFailed bool `json:"set_aside"`
		}{},
		path: &struct {
			Host     string           `json:"host"`
			PID      int              `json:"pid"`
			Started  time.Time        `json:"started"`
			Chunk    string           `json:"chunk"`
			Workers  []jsontext.Value `json:"workers"`
			Finished int              `json:"finished"`
			Failed   int              `json:"failed"`
			Paused   string           `json:"paused"`
			LastHour state.Throughput `json:"last_hour"`
		}{},
	}
	for path, v := range first {
		text, err := os.ReadFile(path)
		if err == nil {
			err = json.Unmarshal(text, v, json.RejectUnknownMembers(true))
		}
		if err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}

// A run whose state file is dated in the future does not count as active.
func TestStateFromTheFuture(t *testing.T) {
	running := digits(1, 2, 1)
	for _, host := range []string{"elsewhere", ""} {
		for ahead, live := range map[time.Duration]bool{5 * 365 * 24 * time.Hour: false, 90 * time.Second: false, 30 * time.Second: true} {
			dir := newCampaign(t)
			path := putRun(t, dir, func(s *state.Run) {
				s.Workers = []state.Worker{{Device: "cpu", Trial: &running}}
				if host != "" {
					s.Host = host
				}
			})
			then := time.Now().Add(ahead)
			if err := os.Chtimes(path, then, then); err != nil {
				t.Fatal(err)
			}
			s := readStatus(t, dir)
			if stale := s.Runs[0].Stale; (stale == "") != live || !live && !strings.Contains(stale, "ahead of this host's clock; synchronize the hosts' clocks") {
				t.Errorf("%v ahead: stale %q", ahead, stale)
			}
			if !live && (s.LastHour != state.Throughput{} || s.Hours.Left != 0 || s.Totals.Running != 0) {
				t.Errorf("%v ahead: last hour %+v, %v hours left, %d running", ahead, s.LastHour, s.Hours.Left, s.Totals.Running)
			}
		}
	}
}

// A run that cannot write its state, because the disk is full, still counts as alive.
func TestStateWithoutRoom(t *testing.T) {
	dir := newCampaign(t)
	path := putRun(t, dir, func(*state.Run) {})
	old := time.Now().Add(-time.Hour)
	if err := errors.Join(os.Chtimes(path, old, old), os.Mkdir(path+".tmp", 0o777)); err != nil { // which WriteFile fails at, too
		t.Fatal(err)
	}
	s, err := state.ReadRun(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Write(dir); err == nil {
		t.Fatal("written")
	}
	if got := readStatus(t, dir).Runs[0]; got.Stale != "" {
		t.Errorf("stale: %s", got.Stale)
	}
}

func FuzzReadRun(f *testing.F) {
	trial := digits(1, 2, 1)
	for _, s := range []state.Run{
		{},
		{Host: "h", PID: 7, Started: time.Unix(1e9, 0), Workers: []state.Worker{
			{Device: "cpu", Trial: &trial, Stage: "train", Training: &state.Pass{Set: "train", Loss: 1e300, Top1: -1e300}},
		}},
		{Host: "h", PID: 7, LastHour: state.Throughput{Seconds: 1e-300, Trials: 1, Images: 1e300}},
	} {
		text, err := json.Marshal(s)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"version": 9, "host": "h", "pid": 7, "mood": {}, "workers": [{"device": "tpu", "trial": null}], "last_hour": {"seconds": 1e300}}`))
	path := state.RunPath("campaign", "h", 7)
	f.Fuzz(func(t *testing.T, text []byte) {
		told, err := state.DecodeRun(path, text)
		if err != nil {
			if !strings.Contains(err.Error(), path) {
				t.Errorf("the error does not name the file: %v", err)
			}
			return
		}
		_ = told.WorkerTable(160, nil)
		s := Status{HasPlan: true, Runs: []Run{{Run: told}, {Run: told}}}
		running, _ := s.unfinished()
		s.forecast(running, time.Now())
		if _, err := json.Marshal(s); err != nil {
			t.Error(err)
		}
	})
}
