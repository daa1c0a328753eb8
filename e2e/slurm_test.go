package e2e

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"nb201/internal/backend/devicetest"
	"nb201/internal/needs"
	"nb201/internal/slurmtest"
	"nb201/results"
)

// slurm is a cluster of two nodes, and a campaign of the same plan trained by a single run for
// comparison.
type slurm struct {
	*slurmtest.Cluster
	t          *testing.T
	dir, nb201 string
	alone      results.Campaign // trained by a single run
}

// newSlurm starts a cluster, plans small networks of the architectures, which should be cheap
// ones, and trains the plan on this machine. Its compiled programs are kept for the cluster.
func newSlurm(t *testing.T, archs, epochs, seeds string) *slurm {
	t.Helper()
	devicetest.CPUOnly(t, "the cluster's GPUs are only names")
	s := &slurm{t: t, dir: t.TempDir()}
	s.Cluster = slurmtest.Start(t, "CPUS=1", "GPUS=1")
	t.Setenv("NB201_PROGRAMS", filepath.Join(s.dir, "programs"))
	// Programs with oneDNN's convolutions cannot be kept.
	t.Setenv("XLA_FLAGS", "--xla_cpu_experimental_onednn_custom_call=false")
	s.nb201 = program(t, s.dir)
	s.alone.Dir = filepath.Join(s.dir, "alone")
	s.run("plan", s.alone.Dir, "--archs", archs, "--datasets", "digits", "--epochs", epochs, "--seeds", seeds,
		"--channels", "2", "--cells", "1", "--batch", "128", "--workers", "0")
	began := time.Now()
	s.run("run", s.alone.Dir)
	t.Logf("alone: %.0f s", time.Since(began).Seconds())
	return s
}

func (s *slurm) run(args ...string) string {
	s.t.Helper()
	return slurmtest.Run(s.t, exec.Command(s.nb201, args...))
}

// submit submits a campaign with the plan to the cluster, and returns its directory and the
// number of the array.
func (s *slurm) submit(name string, flags ...string) (campaign, array string) {
	s.t.Helper()
	campaign = filepath.Join(s.dir, name)
	text, err := os.ReadFile(filepath.Join(s.alone.Dir, "plan.json"))
	if err == nil {
		err = os.Mkdir(campaign, 0o777)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(campaign, "plan.json"), text, 0o666)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	args := slices.Concat([]string{"slurm", campaign, "--submit", "--gpus", "0", "--cpus", "1"}, flags, []string{"--", "--checkpoint-every", "1ms"})
	out := s.run(args...)
	m := regexp.MustCompile(`array (\d+) submitted`).FindStringSubmatch(out)
	if m == nil {
		s.t.Fatal(out)
	}
	return campaign, m[1]
}

// until waits until happened returns true, five minutes at most.
func (s *slurm) until(what string, happened func() bool) {
	s.t.Helper()
	for began := time.Now(); !happened(); time.Sleep(200 * time.Millisecond) {
		if time.Since(began) > 5*time.Minute {
			queue, _ := exec.Command("squeue", "--array").CombinedOutput()
			s.t.Fatalf("waited for %s; the queue:\n%s", what, queue)
		}
	}
}

// begun waits for the first two records of a campaign.
func (s *slurm) begun(campaign string) {
	s.t.Helper()
	s.until("the first records", func() bool { return s.done(campaign) >= 2 })
}

// done returns the number of records of a campaign.
func (s *slurm) done(campaign string) int {
	records, err := filepath.Glob(filepath.Join(campaign, "trials", "*", "*", "*.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(records)
}

// finish waits until the queue is empty and compares the campaign's records with those of the
// single machine. It returns the logs of the elements.
func (s *slurm) finish(campaign string) (logs string) {
	s.t.Helper()
	// squeue fails while its controller is down.
	s.until("the queue to empty", func() bool {
		out, err := exec.Command("squeue", "--noheader").CombinedOutput()
		return err == nil && len(out) == 0
	})
	n, attempts := 0, 0
	for want, err := range s.alone.Records() {
		if err != nil {
			s.t.Fatal(err)
		}
		got, err := results.Campaign{Dir: campaign}.Record(want.Trial)
		if err != nil {
			s.t.Fatal(err)
		}
		for _, difference := range want.Diff(got) {
			s.t.Errorf("%v: %s", want.Trial, difference)
		}
		n++
		attempts += got.Attempts
	}
	if done := s.done(campaign); done != n || attempts != n {
		s.t.Errorf("%d trials done in %d attempts, want %d in as many", done, attempts, n)
	}
	return s.read(campaign, "slurm-*.log")
}

// read returns the text of the logs of a campaign that match pattern.
func (s *slurm) read(campaign, pattern string) (logs string) {
	s.t.Helper()
	paths, err := filepath.Glob(filepath.Join(campaign, "logs", pattern))
	if err != nil || len(paths) == 0 {
		s.t.Fatal("no logs: ", err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			s.t.Fatal(err)
		}
		logs += string(text)
	}
	return logs
}

// requeued waits until an element is restarted.
func (s *slurm) requeued(campaign string) {
	s.t.Helper()
	again := regexp.MustCompile("restart count [1-9]")
	s.until("a restart of an element", func() bool { return again.MatchString(s.read(campaign, "slurm-*.log")) })
}

// nextLook waits until a few seconds before Slurm checks time limits, which it does every 30
// seconds. A job that asks for a warning at the first check shows when that was.
func (s *slurm) nextLook() {
	s.t.Helper()
	warned := filepath.Join(s.dir, "warned")
	slurmtest.Run(s.t, exec.Command("sbatch", "--time=1", "--signal=B:USR1@50", "--output=/dev/null", "--wrap",
		"trap 'touch "+warned+"; exit' USR1; sleep 100 & wait"))
	s.until("a warning", func() bool {
		_, err := os.Stat(warned)
		return err == nil
	})
	time.Sleep(24 * time.Second)
}

// TestSlurm trains a small campaign on a cluster. One element is requeued while it runs, and one is
// submitted again after its end. A plan of the whole benchmark fits a cluster's default limits.
func TestSlurm(t *testing.T) {
	needs.Long(t, "starts a cluster")
	s := newSlurm(t, "186", "1,2", "1,2,3,4,5,6,7,8")
	campaign, array := s.submit("campaign")
	running := regexp.MustCompile(`Slurm +array ` + array + ` of 2 chunks: 2 running`)
	s.until("running elements", func() bool { return running.MatchString(s.run("status", campaign)) })
	s.begun(campaign)
	slurmtest.Run(s.t, exec.Command("scontrol", "requeue", array+"_1"))
	logs := s.finish(campaign)
	// Slurm also sends SIGTERM to the workers, which must not keep them from writing checkpoints.
	if workers := s.read(campaign, "*-cpu-0.log"); strings.Contains(workers, "ended: signal") {
		t.Errorf("a worker was killed before it wrote its checkpoint:\n%s", workers)
	}
	for _, want := range []string{"chunk 1/2 on node0, restart count 0", "chunk 2/2 on node1, restart count 0", "restart count 1"} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %q in the logs\n%s", want, logs)
		}
	}
	if out := s.run("slurm", campaign, "--resubmit"); !strings.Contains(out, "nothing is left to submit") {
		t.Error(out)
	}
	// The rest goes into another array: one chunk of two.
	trial := results.Trial{Arch: 186, Dataset: "digits", Epochs: 1, Seed: 2}
	if err := os.Remove((results.Campaign{Dir: campaign}).RecordPath(trial)); err != nil {
		t.Fatal(err)
	}
	out := s.run("slurm", campaign, "--resubmit", "--gpus", "0", "--cpus", "1")
	if ok, _ := regexp.MatchString(`array \d+ submitted: elements [12] of 2 chunks, with 1 trial left`, out); !ok {
		t.Error(out)
	}
	if out := s.run("slurm", campaign, "--resubmit"); !strings.Contains(out, "nothing is left to submit") {
		t.Errorf("an element that is in the queue was submitted again: %s", out)
	}
	s.finish(campaign)

	whole := filepath.Join(s.dir, "whole")
	s.run("plan", whole, "--preset", "nas-bench-201-v1_1")
	s.run("plan", whole, "--archs", "0-15624", "--datasets", "cifar10", "--epochs", "200", "--seeds", "1,2,3")
	if _, err := exec.LookPath("shellcheck"); err == nil {
		check := exec.Command("shellcheck", "-")
		check.Stdin = strings.NewReader(s.run("slurm", whole))
		slurmtest.Run(s.t, check)
	}
	if out := s.run("slurm", whole, "--submit", "--cpus", "1", "--sbatch=--hold"); !strings.Contains(out, "submitted: elements 1-1000 of 1000 chunks, with 312500 trials left") {
		t.Error(out)
	}
	if out := s.run("status", whole); !regexp.MustCompile(`Slurm +array \d+ of 1000 chunks: 1000 pending \(JobHeldUser\)`).MatchString(out) {
		t.Error(out)
	}
	slurmtest.Run(s.t, exec.Command("scancel", "--user", fmt.Sprint(os.Getuid())))
}

// TestSlurmFailures trains 40 trials on a cluster, undisturbed and with each of Slurm's daemons
// killed. The records must equal those of a single machine. It needs NB201_NIGHTLY.
func TestSlurmFailures(t *testing.T) {
	needs.Nightly(t)
	s := newSlurm(t, "186,3043,3398,4189", "1", "1,2,3,4,5,6,7,8,9,10")
	signal := func(pids []int, sig syscall.Signal) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, sig) // the process may have ended
		}
	}
	// onNode0 waits for a job on node0 and returns its slurmstepd and its processes.
	onNode0 := func() (steps, jobs []int) {
		s.until("a job on node0", func() bool {
			steps, jobs = s.Steps("node0"), s.Jobs("node0")
			return len(steps) > 0
		})
		return steps, jobs
	}
	for _, test := range []struct {
		name   string
		flags  []string
		harm   func(campaign, array string) // called after the first records
		traces []string                     // in the logs
	}{
		{"undisturbed", nil, func(string, string) {}, []string{"on node0, restart count 0", "on node1, restart count 0"}},
		{"slurmd killed", []string{"--elements", "2"}, func(campaign, _ string) {
			_, jobs := onNode0()
			s.Kill("slurmd.node0")
			signal(jobs, syscall.SIGSTOP) // or they may end before Slurm considers the node lost
			s.requeued(campaign)
			signal(jobs, syscall.SIGCONT) // from now on the element runs twice
		}, []string{"restart count 1"}},
		{"node lost", []string{"--elements", "4"}, func(campaign, _ string) {
			steps, jobs := onNode0()
			s.Kill("slurmd.node0")
			signal(append(steps, jobs...), syscall.SIGKILL)
			s.requeued(campaign)
		}, []string{"restart count 1"}},
		{"slurmstepd killed", []string{"--elements", "2"}, func(campaign, _ string) {
			steps, jobs := onNode0()
			signal(steps, syscall.SIGKILL)
			signal(jobs, syscall.SIGSTOP)
			s.requeued(campaign)
			signal(jobs, syscall.SIGCONT) // nothing ends the old process
		}, []string{"restart count 1"}},
		{"slurmctld killed and restarted", nil, func(string, string) {
			s.KillController(3 * time.Second)
		}, nil},
		{"scontrol requeue", nil, func(campaign, array string) {
			slurmtest.Run(s.t, exec.Command("scontrol", "requeue", array+"_1"))
			s.requeued(campaign)
			slurmtest.Run(s.t, exec.Command("scontrol", "requeue", array+"_1,"+array+"_2"))
		}, []string{"restart count 1"}},
		{"time limit", []string{"--elements", "1", "--time", "1", "--warn", "45s"}, func(campaign, _ string) {
			s.requeued(campaign)
		}, []string{"goes back into Slurm's queue", "restart count 1"}},
	} {
		ok := t.Run(test.name, func(t *testing.T) {
			began := time.Now()
			s.t = t
			if slices.Contains(test.flags, "--time") {
				s.nextLook() // so that the warning comes a few trials after the start
			}
			campaign, array := s.submit(strings.ReplaceAll(test.name, " ", "-"), test.flags...)
			s.begun(campaign)
			test.harm(campaign, array)
			logs := s.finish(campaign)
			s.Up()
			for _, want := range test.traces {
				if !strings.Contains(logs, want) {
					t.Errorf("no %q in the logs\n%s", want, logs)
				}
			}
			t.Logf("%.0f s", time.Since(began).Seconds())
		})
		if !ok {
			break // jobs left in the queue would disturb the next case
		}
	}
}
