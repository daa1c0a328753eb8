package e2e

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"nb201/internal/backend/devicetest"
	"nb201/internal/needs"
	"nb201/results"
)

// TestKilledCampaign trains a campaign twice: once undisturbed, and once with its run or one of its
// workers killed at 50 random moments. The records and the weights are equal except for times and
// attempts. It needs NB201_NIGHTLY.
func TestKilledCampaign(t *testing.T) {
	needs.Nightly(t)
	devicetest.CPUOnly(t, "only there are trials reproducible to the bit")
	dir := t.TempDir()
	nb201 := program(t, dir)
	command := func(args ...string) *exec.Cmd { return exec.Command(nb201, args...) }
	undisturbed, disturbed := filepath.Join(dir, "undisturbed"), filepath.Join(dir, "disturbed")
	finish := func(c *exec.Cmd) {
		t.Helper()
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v: %v\n%s", c.Args, err, out)
		}
	}
	for _, campaign := range []string{undisturbed, disturbed} {
		finish(command("plan", campaign, "--archs", "0-11", "--datasets", "digits", "--epochs", "3,6", "--seeds", "777,888",
			"--channels", "4", "--cells", "1"))
	}
	run := func(campaign string) *exec.Cmd {
		return command("run", campaign, "--per-device", "2", "--max-attempts", "1000", "--checkpoint-every", "1ms")
	}
	began := time.Now()
	finish(run(undisturbed))
	whole := time.Since(began)

	moment := func() time.Duration { return rand.N(whole / 12) }
	const wanted = 50
	kills := map[string]int{}
	for n, complete := 0, false; !complete; {
		c := run(disturbed)
		var out bytes.Buffer
		c.Stdout, c.Stderr = &out, &out
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		ended := make(chan error, 1)
		go func() { ended <- c.Wait() }()
		for running := true; running; {
			var next <-chan time.Time
			if n < wanted {
				next = time.After(moment())
			}
			select {
			case err := <-ended:
				if err != nil {
					t.Fatalf("%v\n%s", err, &out)
				}
				running, complete = false, true
			case <-next:
				n++
				switch workers := workersOf(t, disturbed, c.Process.Pid); {
				case len(workers) > 0 && rand.N(3) > 0:
					kills["worker"]++
					_ = syscall.Kill(workers[rand.N(len(workers))], syscall.SIGKILL)
				case rand.N(3) == 0:
					kills["run, SIGTERM"]++
					_ = c.Process.Signal(syscall.SIGTERM)
					<-ended
					running = false
				default:
					kills["run"]++
					_ = c.Process.Kill()
					<-ended
					running = false
				}
			}
		}
	}
	t.Logf("undisturbed %.0f s; killed: %v", whole.Seconds(), kills)
	n, attempts := 0, 0
	for want, err := range (results.Campaign{Dir: undisturbed}).Records() {
		if err != nil {
			t.Fatal(err)
		}
		got, err := results.Campaign{Dir: disturbed}.Record(want.Trial)
		if err != nil {
			t.Fatal(err)
		}
		for _, difference := range want.Diff(got) {
			t.Errorf("%v: %s", want.Trial, difference)
		}
		n++
		attempts += got.Attempts
	}
	if n != 12*2*2 {
		t.Errorf("%d trials are done, want %d", n, 12*2*2)
	}
	t.Logf("%d trials in %d attempts", n, attempts)
}

// workersOf returns the IDs of the live worker processes of a run, according to their logs.
func workersOf(t *testing.T, campaign string, run int) []int {
	t.Helper()
	logs, err := filepath.Glob(filepath.Join(campaign, "logs", fmt.Sprintf("*-%d-*.log", run)))
	if err != nil {
		t.Fatal(err)
	}
	var workers []int
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		worker := 0
		for line := range bytes.Lines(text) {
			var when, did string
			var pid int
			if n, _ := fmt.Sscanf(string(line), "%s worker %d %s", &when, &pid, &did); n == 3 {
				worker = 0
				if did == "started" {
					worker = pid
				}
			}
		}
		if worker != 0 {
			workers = append(workers, worker)
		}
	}
	return workers
}
