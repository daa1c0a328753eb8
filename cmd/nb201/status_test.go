package main

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan/plantest"
	"nb201/scheduler/state"
	"nb201/scheduler/status"
)

// statusCampaign makes a campaign with a plan of 12 trials on digits: 5 are done, one is running and
// one failed.
func statusCampaign(t *testing.T) (dir string) {
	t.Helper()
	digits := func(arch, epochs int, seed uint32) results.Trial {
		return results.Trial{Arch: arch, Dataset: "digits", Epochs: epochs, Seed: seed}
	}
	dir = resultstest.Fill(t, digits(0, 2, 1), digits(0, 2, 2), digits(1, 2, 1), digits(1, 2, 2), digits(0, 3, 1), digits(7, 2, 1)).Dir
	plantest.Digits(t, dir, 3, []int{2, 3}, 1, 2)
	now := time.Now().UTC()
	trial := digits(0, 3, 2)
	run := state.Run{
		Host: "node1", PID: 4711, Started: now.Add(-2 * time.Hour), Chunk: "1/2", Finished: 30, Failed: 1, Paused: "1 GiB free on the disk",
		Workers: []state.Worker{
			{Device: "cuda:0", Trial: &trial, Attempt: 2, Stage: "train", Epoch: 1, Epochs: 3,
				Since: now.Add(-90 * time.Second), ImagesPerSecond: 8123, Log: "logs/a.log"},
			{Device: "cuda:1", Stage: state.StageIdle, Since: now.Add(-20 * time.Minute)},
		},
		LastHour: state.Throughput{Seconds: 3600, Trials: 15, Images: 29.3e6},
	}
	write := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	write(os.Mkdir(filepath.Join(dir, "running"), 0o777))
	write(run.Write(dir))
	stale := run
	stale.Host, stale.Started = "node2", now.Add(-3*time.Hour)
	write(stale.Write(dir))
	write(os.Chtimes(state.RunPath(dir, "node2", 4711), now.Add(-time.Hour), now.Add(-time.Hour)))
	failed := attempt.FailedAttempt{
		When: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Host: "node1", Device: "cuda:0", Kind: attempt.OutOfMemory,
		Reason: "RESOURCE_EXHAUSTED: " + strings.Repeat("words ", 20), Log: "logs/node1-4711-cuda0-0.log",
	}
	for _, f := range []attempt.Failure{
		{Trial: digits(2, 2, 1), Attempts: []attempt.FailedAttempt{failed}},
		{Trial: digits(2, 2, 2), Attempts: []attempt.FailedAttempt{failed, failed}, TrialFailed: true},
	} {
		write(f.Write(dir))
	}
	return dir
}

func TestStatus(t *testing.T) {
	dir := statusCampaign(t)
	stdout, stderr, code := nb201("status", dir)
	want := `  dataset  schedule  trials  done  running  failed  left  hours
   digits         2       6     4        0       1     1   5.00
   digits         3       6     1        1       0     4   1.00
    total                12     5        1       1     5   6.00

plan       5 of 12 trials done (41.6 %)
besides    1 trial done, not in the plan
rate       15 trials and 29.3 million images an hour, over the last 1h00m
spent      6.0 hours in trials that are done, 1m30s in running ones
to do      about 6.0 hours of one worker
time left  about 3h00m

run on node2, process 4711, chunk 1/2: stale, silent for 1h00m

run on node1, process 4711, chunk 1/2, for 2h00m: 30 trials done (15 an hour), 1 failed
  paused: 1 GiB free on the disk
  device  trial                    at                          images/s  for
  cuda:0  000000/digits/0003-0002  epoch 2/3 train, attempt 2  8123      1m30s
  cuda:1  -                        idle                        -         20m00s

failures:
  architecture 2 on digits, 2 epochs, seed 2: failed after 2 attempts
    out of memory: RESOURCE_EXHAUSTED: words words words words words words words words words words
    logs/node1-4711-cuda0-0.log
  architecture 2 on digits, 2 epochs, seed 1: 1 failed attempt, to be retried
    out of memory: RESOURCE_EXHAUSTED: words words words words words words words words words words
    logs/node1-4711-cuda0-0.log
`
	if code != 0 || stderr != "" || stdout != want {
		t.Errorf("code %d, stderr %q, stdout\n%s\nwant\n%s", code, stderr, stdout, want)
	}
	for line := range strings.Lines(stdout) {
		if len(line) > 101 {
			t.Errorf("%d characters: %s", len(line)-1, line)
		}
	}
}

func TestStatusFailed(t *testing.T) {
	dir := statusCampaign(t)
	stdout, _, code := nb201("status", dir, "--failed")
	attempt := ", 2026-01-02 03:04:05, on node1 (cuda:0): out of memory\n    RESOURCE_EXHAUSTED: " +
		strings.Repeat("words ", 20) + "\n    logs/node1-4711-cuda0-0.log\n"
	want := "architecture 2 on digits, 2 epochs, seed 1: 1 failed attempt, to be retried\n  attempt 1" + attempt +
		"\narchitecture 2 on digits, 2 epochs, seed 2: failed after 2 attempts\n  attempt 1" + attempt + "  attempt 2" + attempt
	if code != 0 || stdout != want {
		t.Errorf("code %d, stdout\n%s\nwant\n%s", code, stdout, want)
	}
	if err := os.RemoveAll(filepath.Join(dir, "failed")); err != nil {
		t.Fatal(err)
	}
	if stdout, _, code := nb201("status", dir, "--failed"); code != 0 || stdout != "no trial has failed attempts\n" {
		t.Errorf("code %d, stdout %q", code, stdout)
	}
}

// A failure file that cannot be read is listed, as its trial is not.
func TestStatusFailedUnreadable(t *testing.T) {
	dir := statusCampaign(t)
	unreadable := attempt.FailurePath(dir, results.Trial{Arch: 0, Dataset: "digits", Epochs: 200, Seed: 1})
	if err := errors.Join(os.MkdirAll(filepath.Dir(unreadable), 0o777), os.WriteFile(unreadable, []byte(`{"oops"`), 0o666)); err != nil {
		t.Fatal(err)
	}
	if stdout, _, code := nb201("status", dir, "--failed"); code != 0 || !strings.Contains(stdout, "\ncannot be read:\n  "+unreadable+": ") {
		t.Errorf("code %d, stdout %q", code, stdout)
	}
}

func TestStatusJSON(t *testing.T) {
	dir := statusCampaign(t)
	stdout, _, code := nb201("status", dir, "--json")
	var got status.Status
	if err := json.Unmarshal([]byte(stdout), &got, json.RejectUnknownMembers(true)); err != nil || code != 0 {
		t.Fatalf("code %d, %v in\n%s", code, err, stdout)
	}
	want := state.Totals{Planned: 12, Done: 5, Running: 1, Failed: 1, Left: 5}
	if got.Totals != want || len(got.Trials) != 2 || len(got.Runs) != 2 || len(got.Failures) != 2 ||
		got.Runs[0].Stale == "" || got.Runs[1].Workers[0].Trial == nil || got.LastHour.Trials != 15 {
		t.Errorf("got\n%s", stdout)
	}
	for _, key := range []string{`"campaign"`, `"has_plan": true`, `"done_but_not_in_the_plan": 1`, `"hours"`, `"records_read": 6`, `"problems": []`} {
		if !strings.Contains(stdout, key) {
			t.Errorf("no %s in\n%s", key, stdout)
		}
	}
}

func TestStatusWithoutPlan(t *testing.T) {
	dir := statusCampaign(t)
	for _, name := range []string{"plan.json", "running", "failed"} {
		if err := os.RemoveAll(filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "running"), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "running", "host-1.json"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	stdout, stderr, code := nb201("status", dir)
	want := `  dataset  schedule  trials  done  running  failed  left  hours
   digits         2       5     5        0       0     0   5.00
   digits         3       1     1        0       0     0   1.00
    total                 6     6        0       0     0   6.00

plan       none
spent      6.0 hours in trials that are done

cannot be read:
  ` + filepath.Join(dir, "running", "host-1.json") + ": not JSON at byte 0: unexpected end of the file\n"
	if code != 0 || stderr != "" || stdout != want {
		t.Errorf("code %d, stderr %q, stdout\n%s\nwant\n%s", code, stderr, stdout, want)
	}
}

// A fast run's rate has no exponent.
func TestStatusRate(t *testing.T) {
	var out strings.Builder
	printRun(&out, status.Run{Run: state.Run{Host: "node1", PID: 7, Started: time.Now().Add(-10 * time.Hour), Finished: 12_600}})
	if got, _, _ := strings.Cut(out.String(), "  device"); got != "\nrun on node1, process 7, for 10h00m: 12600 trials done (1,260 an hour), 0 failed\n" {
		t.Errorf("got %q", got)
	}
}

// A run that began ahead of this host's clock has no rate.
func TestStatusClock(t *testing.T) {
	var out strings.Builder
	printRun(&out, status.Run{Run: state.Run{Host: "node1", PID: 7, Started: time.Now().Add(time.Hour), Finished: 3}})
	want := "\nrun on node1, process 7, for 0s: 3 trials done (it started ahead of this host's clock: synchronize the clocks of the hosts), 0 failed\n"
	if got, _, _ := strings.Cut(out.String(), "  device"); got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
