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

// Cluster is a Slurm cluster on this host, with nodes node0, node1 and so on.
type Cluster struct {
	t      *testing.T
	script string
	dir    string
}

// Start starts a cluster and sets SLURM_CONF, so that every program the test starts uses it. The
// cluster is shut down at the end of the test, or when the test's process dies. env configures it,
// such as GPUS=2: see tools/slurm-cluster.sh. On a host without Slurm, Start skips the test.
func Start(t *testing.T, env ...string) *Cluster {
	t.Helper()
	needs.Slurm(t)
	module, err := exec.Command("go", "env", "GOMOD").Output()
	if err != nil {
		t.Fatal(err)
	}
	// The length of socket paths is limited; t.TempDir would be too long.
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

// Up starts the daemons of the cluster that are not running.
func (c *Cluster) Up(env ...string) {
	c.t.Helper()
	c.command("up", env...)
}

// command runs tools/slurm-cluster.sh.
func (c *Cluster) command(verb string, env ...string) {
	c.t.Helper()
	command := exec.Command(c.script, verb, c.dir)
	command.Env = append(os.Environ(), env...)
	Run(c.t, command)
}

// Run runs a command, which must succeed, and returns what it prints.
func Run(t testing.TB, command *exec.Cmd) string {
	t.Helper()
	out, err := command.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", command.Args, err, out)
	}
	return string(out)
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

// KillController kills the controller once its whole state is on disk, and starts it again after a
// pause. Before that it keeps the controller from launching jobs: the restarted controller would
// launch a job of which it has saved no launch a second time, and drain the node, which refuses the
// job as already running. Jobs would then wait until an administrator resumes the node. Launches
// resume after the restart.
func (c *Cluster) KillController(pause time.Duration) {
	c.t.Helper()
	Run(c.t, exec.Command("scontrol", "update", "PartitionName=main", "State=DOWN"))
	began := time.Now()
	// The controller saves its state a few seconds after a job has changed: make one that changes.
	held := Run(c.t, exec.Command("sbatch", "--hold", "--parsable", "--output=/dev/null", "--wrap=true"))
	Run(c.t, exec.Command("scancel", strings.TrimSpace(held)))
	for {
		if info, err := os.Stat(filepath.Join(c.dir, "state", "job_state")); err == nil && info.ModTime().After(began) {
			break
		}
		if time.Since(began) > time.Minute {
			c.t.Fatal("the controller did not save its state within a minute")
		}
		time.Sleep(100 * time.Millisecond)
	}
	c.Kill("slurmctld")
	time.Sleep(pause)
	c.Up()
}

// Jobs returns the IDs of the processes of the jobs on a node.
func (c *Cluster) Jobs(node string) []int {
	c.t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/environ")
	if err != nil {
		c.t.Fatal(err)
	}
	var jobs []int
	for _, path := range paths {
		text, _ := os.ReadFile(path) // the process may have ended, or be another user's
		environment := strings.Split(string(text), "\x00")
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(path)))
		if err == nil && slices.Contains(environment, "SLURM_CONF="+filepath.Join(c.dir, "slurm.conf")) && slices.Contains(environment, "SLURMD_NODENAME="+node) {
			jobs = append(jobs, pid)
		}
	}
	return jobs
}

// Steps returns the process IDs of slurmstepd for the jobs on a node: the parents of the jobs'
// first processes.
func (c *Cluster) Steps(node string) []int {
	c.t.Helper()
	var steps []int
	for _, pid := range c.Jobs(node) {
		text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, after, _ := strings.Cut(string(text), "\nPPid:")
		var parent int
		if _, err := fmt.Sscan(after, &parent); err != nil {
			continue // the process has ended
		}
		if name, _ := os.ReadFile(fmt.Sprintf("/proc/%d/comm", parent)); string(name) == "slurmstepd\n" {
			steps = append(steps, parent)
		}
	}
	return steps
}
