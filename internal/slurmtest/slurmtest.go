// Package slurmtest starts Slurm clusters for tests, with tools/slurm-cluster.sh.
package slurmtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"nb201/internal/needs"
)

// Cluster is a cluster on this host, with the nodes node0, node1 and so on.
type Cluster struct {
	t      *testing.T
	script string
	dir    string
}

// Start starts a cluster, which goes down with the test, or when the test's process ends in
// any other way. env says how it is made, as in GPUS=2. All that the test starts speaks to
// this cluster. Without Slurm the test skips.
func Start(t *testing.T, env ...string) *Cluster {
	t.Helper()
	needs.Slurm(t)
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	// The paths of sockets have a limit, and so t.TempDir is too long.
	dir, err := os.MkdirTemp("", "slurm")
	if err != nil {
		t.Fatal(err)
	}
	c := &Cluster{t, filepath.Join(filepath.Dir(strings.TrimSpace(string(module))), "tools", "slurm-cluster.sh"), dir}
	t.Cleanup(func() {
		if t.Failed() {
			logs, _ := filepath.Glob(filepath.Join(dir, "log", "*.log"))
			out, _ := exec.Command("tail", append([]string{"-n", "30"}, logs...)...).CombinedOutput()
			t.Logf("logs of the cluster:\n%s", out)
		}
		c.command("down")
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	c.Up(append(env, "OWNER="+strconv.Itoa(os.Getpid()))...)
	t.Setenv("SLURM_CONF", filepath.Join(dir, "slurm.conf"))
	return c
}

// Up starts what of the cluster does not run.
func (c *Cluster) Up(env ...string) {
	c.t.Helper()
	c.command("up", env...)
}

func (c *Cluster) command(verb string, env ...string) {
	c.t.Helper()
	command := exec.Command(c.script, verb, c.dir)
	command.Env = append(os.Environ(), env...)
	if out, err := command.CombinedOutput(); err != nil {
		c.t.Fatalf("%s: %v\n%s", verb, err, out)
	}
}

// Kill kills a daemon, slurmctld or slurmd.NODE, with SIGKILL.
func (c *Cluster) Kill(daemon string) {
	c.t.Helper()
	text, err := os.ReadFile(filepath.Join(c.dir, "run", daemon+".pid"))
	if err != nil {
		c.t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err == nil {
		err = syscall.Kill(pid, syscall.SIGKILL)
	}
	if err != nil {
		c.t.Fatalf("kill %s: %v", daemon, err)
	}
}

// Saved waits until the controller has saved its state, which it does every few seconds.
func (c *Cluster) Saved() {
	c.t.Helper()
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
		if info, err := os.Stat(filepath.Join(c.dir, "state", "job_state")); err == nil && info.ModTime().After(began) {
			return
		}
	}
	c.t.Fatal("the controller has not saved its state for a minute")
}

// Jobs lists the processes of the jobs on a node.
func (c *Cluster) Jobs(node string) []int {
	c.t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		c.t.Fatal(err)
	}
	var jobs []int
	for _, path := range paths {
		text, _ := os.ReadFile(path) // a process may be gone, or another user's
		environment := strings.Split(string(text), "\x00")
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && slices.Contains(environment, "SLURM_CONF="+filepath.Join(c.dir, "slurm.conf")) && slices.Contains(environment, "SLURMD_NODENAME="+node) {
			jobs = append(jobs, pid)
		}
	}
	return jobs
}

// Steps lists the slurmstepd of the jobs on a node, which are the parents of their first
// processes.
func (c *Cluster) Steps(node string) []int {
	c.t.Helper()
	var steps []int
	for _, pid := range c.Jobs(node) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, after, _ := strings.Cut(string(text), "\nPPid:")
		var parent int
		if _, err := fmt.Sscan(after, &parent); err != nil {
			continue // it has ended
		}
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent)); string(name) == "slurmstepd\n" {
			steps = append(steps, parent)
		}
	}
	return steps
}
