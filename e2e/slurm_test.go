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
	"nb201/internal/slurmtest"
	"nb201/results"
)

// slurm is a cluster of two nodes that train, with a plan that a single machine works too.
type slurm struct {
	*slurmtest.Cluster
	t          *testing.T
	dir, nb201 string
	alone      results.Campaign // the plan, worked by one run
}

// newSlurm starts a cluster, plans small networks of the architectures, which should be ones
// that take little time, and works the plan on this machine. Programs are compiled once.
func newSlurm(t *testing.T, archs, epochs, seeds string) *slurm {
	t.Helper()
	devicetest.CPUOnly(t, "the cluster's GPUs are names alone")
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

func (s *slurm) do(c *exec.Cmd) string {
	s.t.Helper()
	out, err := c.CombinedOutput()
	if err != nil {
		s.t.Fatalf("%v: %v\n%s", c.Args, err, out)
	}
	return string(out)
}

func (s *slurm) run(args ...string) string {
	s.t.Helper()
	return s.do(exec.Command(s.nb201, args...))
}

// submit sends a campaign of the plan to the cluster, and returns its directory and the
// array's number.
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

// until waits for something, which takes minutes at most.
func (s *slurm) until(what string, happened func() bool) {
	s.t.Helper()
	for began := time.Now(); !happened(); time.Sleep(200 * time.Millisecond) {
		if time.Since(began) > 5*time.Minute {
			queue, _ := exec.Command("squeue", "--array").CombinedOutput()
			s.t.Fatalf("waited for %s; the queue:\n%s", what, queue)
		}
	}
}

// begun waits until every running element of a campaign is in the middle of its work.
func (s *slurm) begun(campaign string) {
	s.t.Helper()
	s.until("the first records", func() bool { return s.done(campaign) >= 2 })
}

func (s *slurm) done(campaign string) int {
	records, err := filepath.Glob(filepath.Join(campaign, "trials", "*", "*", "*.json"))
	if err != nil {
		s.t.Fatal(err)
	}
	return len(records)
}

// finish waits until the queue is empty, and holds the campaign's records against those of
// the single machine. It returns the logs of the elements.
func (s *slurm) finish(campaign string) (logs string) {
	s.t.Helper()
	// While its controller is away squeue fails.
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
		s.t.Errorf("%d trials in %d attempts, %d are planned", done, attempts, n)
	}
	return s.read(campaign, "slurm-*.log")
}

// read reads logs of a campaign.
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

// requeued waits until an element is begun a second time.
func (s *slurm) requeued(campaign string) {
	s.t.Helper()
	again := regexp.MustCompile("begun [1-9] times before")
	s.until("a second beginning", func() bool { return again.MatchString(s.read(campaign, "slurm-*.log")) })
}

// nextLook waits until Slurm is to look at time limits some seconds from now. It does that every
// 30 seconds, when it looked a job tells that it warns at the first opportunity.
func (s *slurm) nextLook() {
	s.t.Helper()
	warned := filepath.Join(s.dir, "warned")
	s.do(exec.Command("sbatch", "--time=1", "--signal=B:USR1@50", "--output=/dev/null", "--wrap",
		"trap 'touch "+warned+"; exit' USR1; sleep 100 & wait"))
	s.until("a warning", func() bool {
		_, err := os.Stat(warned)
		return err == nil
	})
	time.Sleep(24 * time.Second)
}

// TestSlurm has a cluster work a small campaign; an element is put back into the queue on
// the way, and another after its end. A larger plan is accepted with a cluster's default
// limits.
func TestSlurm(t *testing.T) {
	s := newSlurm(t, "186", "1,2", "1,2,3,4,5,6,7,8")
	campaign, array := s.submit("campaign")
	running := regexp.MustCompile(`Slurm +array ` + array + ` of 2 chunks: 2 running`)
	s.until("running elements", func() bool { return running.MatchString(s.run("status", campaign)) })
	s.begun(campaign)
	s.do(exec.Command("scontrol", "requeue", array+"_1"))
	logs := s.finish(campaign)
	// Slurm tells the workers too to end. That must not keep them from leaving checkpoints.
	if workers := s.read(campaign, "*-cpu-0.log"); strings.Contains(workers, "ended: signal") {
		t.Errorf("a worker was not stopped in peace:\n%s", workers)
	}
	for _, want := range []string{"chunk 1/2 on node0, begun 0 times", "chunk 2/2 on node1, begun 0 times", "begun 1 times before"} {
		if !strings.Contains(logs, want) {
			t.Errorf("no %q in the logs\n%s", want, logs)
		}
	}
	if out := s.run("slurm", campaign, "--resubmit"); !strings.Contains(out, "nothing is left to submit") {
		t.Error(out)
	}
	// What is left goes into an array of its own: a chunk of two.
	trial := results.Trial{Arch: 186, Dataset: "digits", Epochs: 1, Seed: 2}
	if err := os.Remove((results.Campaign{Dir: campaign}).RecordPath(trial)); err != nil {
		t.Fatal(err)
	}
	out := s.run("slurm", campaign, "--resubmit", "--gpus", "0", "--cpus", "1")
	if ok, _ := regexp.MatchString(`array \d+ submitted: elements [12] of 2 chunks, with 1 trial left`, out); !ok {
		t.Error(out)
	}
	if out := s.run("slurm", campaign, "--resubmit"); !strings.Contains(out, "nothing is left to submit") {
		t.Errorf("what is in the queue is sent again: %s", out)
	}
	s.finish(campaign)

	whole := filepath.Join(s.dir, "whole")
	s.run("plan", whole, "--preset", "nas-bench-201-v1_1")
	s.run("plan", whole, "--archs", "0-15624", "--datasets", "cifar10", "--epochs", "200", "--seeds", "1,2,3")
	if _, err := exec.LookPath("shellcheck"); err == nil {
		check := exec.Command("shellcheck", "-")
		check.Stdin = strings.NewReader(s.run("slurm", whole))
		s.do(check)
	}
	if out := s.run("slurm", whole, "--submit", "--cpus", "1", "--sbatch=--hold"); !strings.Contains(out, "submitted: elements 1-1000 of 1000 chunks, with 312500 trials left") {
		t.Error(out)
	}
	if out := s.run("status", whole); !regexp.MustCompile(`Slurm +array \d+ of 1000 chunks: 1000 pending \(JobHeldUser\)`).MatchString(out) {
		t.Error(out)
	}
	s.do(exec.Command("scancel", "--user", fmt.Sprint(os.Getuid())))
}

// TestSlurmFailures has a cluster work 40 trials to the end, in peace and with everything
// killed that a cluster is made of. The records are those of a single machine. NB201_NIGHTLY
// asks for it.
func TestSlurmFailures(t *testing.T) {
	setting(t, "NB201_NIGHTLY")
	s := newSlurm(t, "186,3043,3398,4189", "1", "1,2,3,4,5,6,7,8,9,10")
	signal := func(pids []int, sig syscall.Signal) {
		for _, pid := range pids {
			_ = syscall.Kill(pid, sig) // one may have ended
		}
	}
	// onNode0 waits for a job on node0, and tells what it is made of.
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
		harm   func(campaign, array string) // when there are records
		traces []string                     // in the logs
	}{
		{"in peace", nil, func(string, string) {}, []string{"on node0, begun 0", "on node1, begun 0"}},
		{"slurmd killed", []string{"--elements", "2"}, func(campaign, _ string) {
			_, jobs := onNode0()
			s.Kill("slurmd.node0")
			signal(jobs, syscall.SIGSTOP) // else they may end before Slurm counts the node as lost
			s.requeued(campaign)
			signal(jobs, syscall.SIGCONT) // the element is at work twice from now on
		}, []string{"begun 1 times before"}},
		{"node lost", []string{"--elements", "4"}, func(campaign, _ string) {
			steps, jobs := onNode0()
			s.Kill("slurmd.node0")
			signal(append(steps, jobs...), syscall.SIGKILL)
			s.requeued(campaign)
		}, []string{"begun 1 times before"}},
		{"slurmstepd killed", []string{"--elements", "2"}, func(campaign, _ string) {
			steps, jobs := onNode0()
			signal(steps, syscall.SIGKILL)
			signal(jobs, syscall.SIGSTOP)
			s.requeued(campaign)
			signal(jobs, syscall.SIGCONT) // nobody ends the old one
		}, []string{"begun 1 times before"}},
		{"slurmctld killed and restarted", nil, func(string, string) {
			s.Saved() // else it forgets the array, and gives its number to another
			s.Kill("slurmctld")
			time.Sleep(3 * time.Second)
			s.Up()
		}, nil},
		{"scontrol requeue", nil, func(campaign, array string) {
			s.do(exec.Command("scontrol", "requeue", array+"_1"))
			s.requeued(campaign)
			s.do(exec.Command("scontrol", "requeue", array+"_1,"+array+"_2"))
		}, []string{"begun 1 times before"}},
		{"time limit", []string{"--elements", "1", "--time", "1", "--warn", "45s"}, func(campaign, _ string) {
			s.requeued(campaign)
		}, []string{"goes back into Slurm's queue", "begun 1 times before"}},
	} {
		ok := t.Run(test.name, func(t *testing.T) {
			began := time.Now()
			s.t = t
			if slices.Contains(test.flags, "--time") {
				s.nextLook() // some trials into the elements' work
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
			break // what is left in the queue would disturb the next
		}
	}
}
