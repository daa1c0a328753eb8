package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	batchv1 "k8s.io/api/batch/v1"
	"sigs.k8s.io/yaml"

	"nb201/internal/needs"
	"nb201/scheduler/slurm"
)

// smallPlan plans 6 trials on digits.
func smallPlan(t *testing.T) (dir string) {
	t.Helper()
	dir = filepath.Join(t.TempDir(), "tour")
	args := strings.Fields("plan DIR --archs 0-2 --datasets digits --epochs 2 --seeds 1,2 --cells 1")
	args[1] = dir
	if _, stderr, code := nb201(args...); code != 0 {
		t.Fatal(stderr)
	}
	return dir
}

// onlyPrograms makes the given shell scripts, by name, the only programs in PATH. They replace a cluster
// in tests that depend only on its answers.
func onlyPrograms(t *testing.T, scripts map[string]string) {
	t.Helper()
	dir := t.TempDir()
	for name, script := range scripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\n"+script+"\n"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("PATH", dir)
}

// aCluster returns programs that answer for a cluster of two other hosts.
func aCluster() map[string]string {
	return map[string]string{
		"scontrol": `echo "MaxArraySize = 1001"; echo "MaxJobCount = 10000"`,
		"sinfo":    `echo node1; echo node2`,
		"squeue":   `echo "7|N/A|RUNNING|node1|None|other"`,
		"sbatch":   `echo 4711`,
	}
}

func TestSlurmScript(t *testing.T) {
	dir := smallPlan(t)
	onlyPrograms(t, aCluster())
	stdout, stderr, code := nb201("slurm", dir, "--shared", "--partition", "gpu", "--max-running", "2", "--", "--per-device", "2")
	if code != 0 || stderr != "" || !strings.HasPrefix(stdout, "#!/bin/bash\n# Made by nb201 slurm ("+version+"): 6 trials of "+dir+", in 3 of its 3 chunks.\n") ||
		!strings.Contains(stdout, "#SBATCH --array=1-3%2\n") || !strings.Contains(stdout, "#SBATCH --gres=gpu:1\n") ||
		!strings.HasSuffix(stdout, `run "$campaign" --chunk "$SLURM_ARRAY_TASK_ID/3" --devices visible --per-device 2`+"\n") {
		t.Errorf("code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
	stdout, stderr, code = nb201("slurm", dir, "--shared", "--elements", "2", "--submit")
	if code != 0 || stderr != "" || stdout != "array 4711 submitted: elements 1-2 of 2 chunks, with 6 trials left\n" {
		t.Errorf("code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
	stdout, _, code = nb201("slurm", dir, "--shared", "--resubmit", "--json")
	var a slurm.Array
	if err := json.Unmarshal([]byte(stdout), &a, json.RejectUnknownMembers(true)); err != nil || code != 0 ||
		a.Job != 4711 || a.Chunks != 3 || a.Elements != "1-3" || a.Trials != 6 || a.Campaign != dir || !strings.HasPrefix(a.Script, "#!/bin/bash") {
		t.Errorf("code %d, %v in\n%s", code, err, stdout)
	}
	if entries, err := os.ReadDir(filepath.Join(dir, "logs")); err != nil || len(entries) > 0 {
		t.Error(entries, err)
	}
}

// TestSlurmQueue checks that status shows the campaign's array, and that it is not submitted twice.
func TestSlurmQueue(t *testing.T) {
	dir := smallPlan(t)
	cluster := aCluster()
	onlyPrograms(t, cluster)
	script, _, _ := nb201("slurm", dir, "--shared")
	_, name, _ := strings.Cut(script, "--job-name=")
	name, _, _ = strings.Cut(name, "\n")
	cluster["squeue"] = `echo "17|2|RUNNING|node1|None|` + name + `"; echo "17|3|PENDING||Resources|` + name + `"`
	onlyPrograms(t, cluster)
	stdout, stderr, code := nb201("status", dir)
	if code != 0 || stderr != "" || !strings.Contains(stdout, "\nSlurm      array 17 of 3 chunks: 1 running, 1 pending (Resources)\n") {
		t.Errorf("code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
	stdout, _, _ = nb201("status", dir, "--json")
	var status statusView
	if err := json.Unmarshal([]byte(stdout), &status, json.RejectUnknownMembers(true)); err != nil || len(status.Arrays) != 1 ||
		len(status.Arrays[0].Elements) != 2 {
		t.Errorf("%v in\n%s", err, stdout)
	}
	if _, stderr, code = nb201("slurm", dir, "--shared", "--submit"); code != 2 ||
		!strings.Contains(stderr, "in array 17 of 3 chunks: 1 running, 1 pending (Resources); use --resubmit to submit the rest") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
	stdout, _, code = nb201("slurm", dir, "--shared", "--resubmit")
	if code != 0 || stdout != "array 4711 submitted: elements 1 of 3 chunks, with 2 trials left\n" {
		t.Errorf("code %d, stdout %q", code, stdout)
	}
	cluster["squeue"] = `for i in 1 2 3; do echo "17|$i|RUNNING|node1|None|` + name + `"; done`
	onlyPrograms(t, cluster)
	if stdout, stderr, code = nb201("slurm", dir, "--shared", "--resubmit"); code != 0 || stdout != "" || !strings.HasPrefix(stderr, "nothing is left to submit") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	cluster["squeue"] = `echo "squeue: error: slurm_load_jobs: Unable to contact slurm controller (connect failure)" >&2; exit 1`
	onlyPrograms(t, cluster)
	stdout, stderr, code = nb201("status", dir)
	if code != 0 || stderr != "" || !strings.HasSuffix(stdout, "\ncannot be read:\n  squeue: slurm_load_jobs: Unable to contact slurm controller (connect failure)\n") {
		t.Errorf("code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
	cluster["squeue"] = `echo "squeue: fatal: Could not establish a configuration source" >&2; exit 1`
	onlyPrograms(t, cluster)
	if stdout, _, code = nb201("status", dir); code != 0 || strings.Contains(stdout, "squeue") {
		t.Errorf("code %d, stdout\n%s", code, stdout)
	}
}

// TestSlurmProblems checks that each problem is reported in one sentence.
func TestSlurmProblems(t *testing.T) {
	dir := smallPlan(t)
	answer := func(program, script string) map[string]string {
		cluster := aCluster()
		cluster[program] = script
		return cluster
	}
	for _, test := range []struct {
		programs map[string]string
		args     string
		code     int
		want     string
	}{
		{nil, "", 2, "this host has no Slurm (scontrol is missing); use a login node of the cluster"},
		{answer("scontrol", `echo "scontrol: fatal: Could not establish a configuration source" >&2; exit 1`), "", 2, "this host has no Slurm (scontrol does not find a cluster); set SLURM_CONF"},
		{answer("scontrol", `echo "slurm_load_ctl_conf error: Unable to contact slurm controller" >&2; exit 1`), "", 1, "scontrol: slurm_load_ctl_conf error: Unable to contact slurm controller"},
		{answer("scontrol", "echo nothing"), "", 2, "does not report Max"},
		{answer("squeue", "exit 1"), "--shared", 1, "squeue: exit status 1"},
		{answer("sbatch", `echo "sbatch: error: Batch job submission failed: Invalid qos specification" >&2; exit 1`), "--shared --submit", 2,
			"Slurm rejected the array: sbatch: Batch job submission failed: Invalid qos specification"},
		{answer("sbatch", "echo hello"), "--shared --submit", 1, `sbatch printed "hello" instead of a job number`},
		{aCluster(), "--shared --elements 1001", 2, "--elements 1001: use at most 1000 on this cluster"},
		{aCluster(), "--time 1:00 --warn 2m", 2, "--time 1m0s: no element would train, because the warning comes 2m0s before the end"},
		{aCluster(), "--time soon", 2, `--time "soon": not a positive time`},
		{aCluster(), "--warn 5s", 2, "--warn 5s: too short; use at least 30s"},
		{aCluster(), "--gpus many", 2, `--gpus "many": not a number`},
		{aCluster(), "--submit --resubmit", 2, "--resubmit and --submit exclude each other"},
		{aCluster(), "-- --colour", 2, "after --: unknown flag --colour (see nb201 run --help)"},
		{aCluster(), "-- --chunk 1/2", 2, "after --: leave out --chunk; use --elements instead"},
		{aCluster(), "-- --devices cpu", 2, "after --: leave out --devices; use --gpus instead"},
		{aCluster(), "-- --retry-failed", 2, "after --: leave out --retry-failed; use --retry-failed before -- instead"},
		{aCluster(), "-- more", 2, "after --: more is not a flag of nb201 run"},
		{aCluster(), "--like " + dir, 2, "cannot measure a rate on " + dir},
		{aCluster(), "--image i", 2, "--image, --claim and --path need --kubernetes"},
		{aCluster(), "--kubernetes --partition gpu", 2, "--kubernetes and --partition exclude each other"},
		{aCluster(), "--kubernetes --claim c", 2, `--image "": not a container image`},
		{aCluster(), "--kubernetes --claim c --image i --gpus a100:1", 2, "with --kubernetes, use only a number"},
	} {
		onlyPrograms(t, test.programs)
		stdout, stderr, code := nb201(append([]string{"slurm", dir}, strings.Fields(test.args)...)...)
		if code != test.code || stdout != "" || !strings.Contains(stderr, test.want) || !strings.HasPrefix(stderr, "nb201: ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: code %d, stdout %q, stderr %q; want %d and %q", test.args, code, stdout, stderr, test.code, test.want)
		}
	}
	onlyPrograms(t, aCluster())
	// The campaign is in the memory of this host, but elements run on others.
	own, err := os.MkdirTemp("/dev/shm", "nb201-test-")
	needs.System(t, err)
	defer os.RemoveAll(own)
	if err := os.CopyFS(own, os.DirFS(dir)); err != nil {
		t.Fatal(err)
	}
	_, stderr, code := nb201("slurm", own)
	if code != 2 || !strings.Contains(stderr, "is on a local file system of this host (tmpfs), but elements run on others (node1 to node2); move it") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
	if _, stderr, code := nb201("slurm", own, "--shared"); code != 0 {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
	// A file in place of the logs' directory is like a directory that cannot be written.
	if err := os.RemoveAll(filepath.Join(own, "logs")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(own, "logs"), nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := nb201("slurm", own, "--shared"); code != 2 || !strings.Contains(stderr, "cannot write to campaign "+own+": mkdir "+own+"/logs: not a directory") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

func TestKubernetes(t *testing.T) {
	dir := smallPlan(t)
	onlyPrograms(t, nil) // it needs none
	stdout, stderr, code := nb201("slurm", dir, "--kubernetes", "--image", "nb201:1", "--claim", "volume",
		"--gpus", "2", "--max-running", "3", "--", "--data", "/nb201/data")
	if code != 0 || stderr != "" {
		t.Fatal(code, stderr)
	}
	var job batchv1.Job
	if err := yaml.UnmarshalStrict([]byte(stdout), &job); err != nil {
		t.Fatal(err, stdout)
	}
	pod := job.Spec.Template.Spec
	if !strings.HasPrefix(job.Annotations["kubernetes.io/description"], "Made by nb201 slurm --kubernetes ("+version+"): 6 trials of tour, in 3 chunks.") ||
		*job.Spec.Completions != 3 || *job.Spec.Parallelism != 3 || pod.Volumes[0].PersistentVolumeClaim.ClaimName != "volume" ||
		pod.Containers[0].Args[0] != `exec nb201 run /nb201/tour --chunk "$((JOB_COMPLETION_INDEX + 1))/3" --devices cuda:0,1 --data /nb201/data` {
		t.Errorf("%s", stdout)
	}
}
