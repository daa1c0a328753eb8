package slurm

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/needs"
	"nb201/internal/slurmtest"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan"
)

func TestParseLimits(t *testing.T) {
	const config = `Configuration data as of 2026-11-25T23:04:29
AccountingStorageBackupHost = (null)
MaxArraySize            = 1001
MaxBatchRequeue         = 5
MaxJobCount             = 10000
MaxJobId                = 67043328

Slurmctld(primary) at vm is UP
`
	if l, err := parseLimits(config); err != nil || l != (limits{1001, 10000}) {
		t.Error(l, err)
	}
	for _, text := range []string{"", "MaxArraySize = 1001\n", "MaxArraySize = many\nMaxJobCount = 1\n"} {
		if l, err := parseLimits(text); !usage.Is(err) {
			t.Errorf("%q: %v, %v", text, l, err)
		}
	}
}

func TestChunks(t *testing.T) {
	ordinary := limits{1001, 10000}
	for _, test := range []struct {
		limits
		units, asked, queued int
		want                 int
		err                  string
	}{
		{ordinary, 100000, 0, 0, 1000, ""},
		{ordinary, 100000, 0, 8500, 750, ""},
		{ordinary, 100000, 64, 0, 64, ""},
		{ordinary, 20, 0, 0, 20, ""},
		{ordinary, 20, 64, 0, 20, ""},
		{limits{4000001, 2000000}, 265625, 0, 0, 265625, ""},
		{ordinary, 100000, 1001, 0, 0, "--elements 1001: use at most 1000 on this cluster (MaxArraySize is 1001"},
		{ordinary, 100000, 800, 8500, 0, "use at most 750 on this cluster"},
		{ordinary, 100000, -1, 0, 0, "--elements -1"},
		{ordinary, 100000, 0, 9999, 0, "has 9999 jobs in its queue and accepts 10000"},
		{limits{0, 10000}, 100000, 0, 0, 0, "does not accept job arrays"},
	} {
		got, err := test.chunkCount(test.units, test.asked, test.queued)
		if got != test.want || (err == nil) != (test.err == "") || err != nil && !strings.Contains(err.Error(), test.err) {
			t.Errorf("%+v: %d, %v", test, got, err)
		}
	}
}

func TestParseQueue(t *testing.T) {
	const name = "nb201-tour-0a1b2c3d"
	const text = `12|7|PENDING||JobArrayTaskLimit|nb201-tour-0a1b2c3d-20
12|2|RUNNING|node1|None|nb201-tour-0a1b2c3d-20
12|1|COMPLETING|node0|None|nb201-tour-0a1b2c3d-20
9|3|PENDING||BeginTime|nb201-tour-0a1b2c3d-8
13|2|RUNNING|node3|None|nb201-tour-ffffffff-20
14|N/A|RUNNING|node3|None|nb201-tour-0a1b2c3d-20
15|21|RUNNING|node3|None|nb201-tour-0a1b2c3d-20
16|N/A|RUNNING|node3|None|a|job|of another

`
	arrays, jobs := parseQueue(text, name)
	want := []Queued{
		{9, 8, []Element{{3, "PENDING", "", "BeginTime"}}},
		{12, 20, []Element{{1, "COMPLETING", "node0", ""}, {2, "RUNNING", "node1", ""}, {7, "PENDING", "", "JobArrayTaskLimit"}}},
	}
	if !reflect.DeepEqual(arrays, want) || jobs != 9 {
		t.Errorf("%+v, %d jobs", arrays, jobs)
	}
	if got := fmt.Sprint(want[1]); got != "array 12 of 20 chunks: 1 completing, 1 running, 1 pending (JobArrayTaskLimit)" {
		t.Error(got)
	}
	if arrays, jobs := parseQueue("", name); arrays != nil || jobs != 0 {
		t.Error(arrays, jobs)
	}
}

func TestJobName(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "my campaign (1)")
	if err := os.Mkdir(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(t.TempDir(), "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	name, err := jobName(dir)
	if err != nil || !strings.HasPrefix(name, "nb201-my_campaign_1_-") || len(name) != len("nb201-my_campaign_1_-01234567") {
		t.Error(name, err)
	}
	if again, err := jobName(link); again != name || err != nil {
		t.Error(again, err)
	}
	if other, err := jobName(t.TempDir()); other == name || err != nil {
		t.Error(other, err)
	}
	if _, err := jobName(filepath.Join(dir, "missing")); !usage.Is(err) {
		t.Error(err)
	}
}

func TestJob(t *testing.T) {
	for want, environment := range map[string]map[string]string{
		"":     {},
		"17":   {"SLURM_JOB_ID": "17"},
		"12_3": {"SLURM_JOB_ID": "17", "SLURM_ARRAY_JOB_ID": "12", "SLURM_ARRAY_TASK_ID": "3"},
	} {
		if got := Job(func(name string) string { return environment[name] }); got != want {
			t.Errorf("%v: %q", environment, got)
		}
	}
}

func TestParseTime(t *testing.T) {
	for text, want := range map[string]string{
		"":              "0-00:00:00",
		"90":            "0-01:30:00",
		"90:30":         "0-01:30:30",
		"8:00:00":       "0-08:00:00",
		"2-0":           "2-00:00:00",
		"2-12:30":       "2-12:30:00",
		"1-02:03:04":    "1-02:03:04",
		"8h":            "0-08:00:00",
		"90m":           "0-01:30:00",
		"1h30m":         "0-01:30:00",
		"50h":           "2-02:00:00",
		"0":             "",
		"0:00":          "",
		"-1h":           "",
		"-5":            "",
		"1:2:3:4":       "",
		"1-1:2:3:4":     "",
		"1-":            "",
		"x":             "",
		"8 h":           "",
		"UNLIMITED":     "",
		"1-2-3":         "",
		"99999999999":   "",
		"99999999-0":    "",
		"1:99999999999": "",
	} {
		got, err := ParseTime(text)
		if want == "" && !usage.Is(err) || want != "" && (err != nil || formatTime(got) != want) {
			t.Errorf("%q: %v, %v; want %q", text, got, err, want)
		}
	}
}

func TestParseGPUs(t *testing.T) {
	for text, want := range map[string]GPUs{"0": {}, "2": {2, ""}, "a100:2": {2, "a100"}, "nvidia_a100_1g.5gb:1": {1, "nvidia_a100_1g.5gb"}} {
		if got, err := ParseGPUs(text); got != want || err != nil || got.String() != text {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for text, want := range map[string]string{
		"gpu:1": "1", "gpu:a100:2": "a100:2", "gres:gpu:1": "1", "gres/gpu:h100:4": "h100:4", "gres=gpu:2": "2", "gpu2:1": "gpu2:1",
	} {
		if got, err := ParseGPUs(text); err != nil || got.String() != want {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
	for _, text := range []string{"gpu", "gpu:", "gpu:gpu:gpu:1", "gres:1:2", "", "a100", ":2", "2:a100", "-1", "1.5", "a b:1", "1000"} {
		if got, err := ParseGPUs(text); !usage.Is(err) {
			t.Errorf("%q: %v, %v", text, got, err)
		}
	}
}

func TestRanges(t *testing.T) {
	for want, numbers := range map[string][]int{"": nil, "4": {4}, "1-3": {1, 2, 3}, "1,3-4,9": {1, 3, 4, 9}} {
		if got := formatRanges(numbers); got != want {
			t.Errorf("%v: %s", numbers, got)
		}
	}
}

func TestHosts(t *testing.T) {
	if got := namesExcept("login.site", "n2\nlogin\nn1.site\nn2\n"); !slices.Equal(got, []string{"n1.site", "n2"}) {
		t.Error(got)
	}
	dir := t.TempDir()
	if err := checkShared(dir, nil); err != nil {
		t.Error(err)
	}
	if err := checkShared(filepath.Join(dir, "missing"), nil); !usage.Is(err) {
		t.Error(err)
	}
	// A file system in the memory of this host.
	err := checkShared("/dev/shm", []string{"n1", "n2"})
	if !usage.Is(err) || !strings.Contains(err.Error(), "campaign /dev/shm is on a local file system of this host (tmpfs), but elements run on others (n1 to n2)") {
		t.Error(err)
	}
	// NFS, Lustre, GPFS, BeeGFS, CephFS, FUSE.
	for _, kind := range []int64{0x6969, 0x0BD00BD0, 0x47504653, 0x19830326, 0x00C36400, 0x65735546} {
		if name := localFileSystem(kind); name != "" {
			t.Errorf("%x: %s", kind, name)
		}
	}
}

// full returns a request with every field set.
func full() Request {
	return Request{
		Partition: "gpu,long", Account: "proj-1", Time: 8 * time.Hour, Warn: 3 * time.Minute, GPUs: GPUs{2, "a100"}, CPUs: 8, Memory: "32G",
		MaxRunning: 16, Sbatch: []string{"--qos=long", "--constraint=a100&ib"}, Modules: []string{"cuda/13.0"},
		Lines: []string{"export NB201_DATA=/scratch/data"}, RunFlags: []string{"--per-device", "2", "--data", "/with space/it's"},
	}
}

func TestScript(t *testing.T) {
	r := full()
	got := r.script("/opt/my tools/nb201", "/home/a b/100%", "nb201-100_-0a1b2c3d", "Made for a test.", []int{1, 2, 3, 7}, 20)
	want := `#!/bin/bash
# Made for a test.
#SBATCH --job-name=nb201-100_-0a1b2c3d-20
#SBATCH --array=1-3,7%16
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --partition=gpu,long
#SBATCH --account=proj-1
#SBATCH --time=0-08:00:00
#SBATCH --gres=gpu:a100:2
#SBATCH --cpus-per-task=8
#SBATCH --mem=32G
#SBATCH --requeue
#SBATCH --signal=B:USR1@180
#SBATCH --open-mode=append
#SBATCH --output="/home/a b/100%%/logs/slurm-%A_%a.log"
#SBATCH --qos=long
#SBATCH --constraint=a100&ib

campaign='/home/a b/100%'
echo "chunk $SLURM_ARRAY_TASK_ID/20 on $SLURMD_NODENAME, restart count ${SLURM_RESTART_COUNT:-0}"
module load cuda/13.0 || exit
export NB201_DATA=/scratch/data
if [ ! -e "$campaign/plan.json" ]; then
	echo "node $SLURMD_NODENAME: $campaign/plan.json not found; the campaign must be on a file system that all nodes share" >&2
	exit 2
fi
# When Slurm warns that the time is ending (USR1), nb201 writes checkpoints and requeues this
# element.
exec '/opt/my tools/nb201' run "$campaign" --chunk "$SLURM_ARRAY_TASK_ID/20" --devices visible --per-device 2 --data '/with space/it'\''s'
`
	if got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	least := Request{Warn: time.Minute}
	text := least.script("/bin/nb201", "/c", "nb201-c-0a1b2c3d", "Made for a test.", []int{1}, 1)
	if strings.Count(text, "#SBATCH") != 8 || !strings.HasSuffix(text, "--devices cpu\n") {
		t.Error(text)
	}
	shellcheck := needs.Program(t, "shellcheck")
	for _, script := range []string{got, text} {
		c := exec.Command(shellcheck, "-")
		c.Stdin = strings.NewReader(script)
		if out, err := c.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
	}
}

func TestRequestCheck(t *testing.T) {
	for _, test := range []struct {
		change func(*Request)
		dir    string
		want   string
	}{
		{func(*Request) {}, "/a b/c'd%", ""},
		{func(r *Request) { r.Partition = "gpu long" }, "/c", `--partition "gpu long"`},
		{func(r *Request) { r.Account = "a\nb" }, "/c", "--account"},
		{func(r *Request) { r.Memory = "1 G" }, "/c", "--mem"},
		{func(r *Request) { r.Modules = []string{"cuda; rm"} }, "/c", "--module"},
		{func(r *Request) { r.Sbatch = []string{"qos"} }, "/c", "--sbatch"},
		{func(r *Request) { r.Sbatch = []string{"--a\nb"} }, "/c", "--sbatch"},
		{func(r *Request) { r.CPUs = -1 }, "/c", "negative"},
		{func(r *Request) { r.MaxRunning = -1 }, "/c", "negative"},
		{func(r *Request) { r.Warn = time.Second }, "/c", "use at least 30s"},
		{func(r *Request) { r.Time = r.Warn }, "/c", "no element would train"},
		{func(*Request) {}, "/a\"b", "with the character '\"'"},
		{func(*Request) {}, "/a\nb", "rename the directory"},
	} {
		r := full()
		test.change(&r)
		if err := r.check(test.dir); (err == nil) != (test.want == "") || err != nil && (!usage.Is(err) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%+v on %s: %v, want %q", r, test.dir, err, test.want)
		}
	}
}

// campaign creates a campaign with a plan of 4 architectures on digits, schedules 1 and 2, and 3
// seeds, and with records of some of its trials.
func campaign(t *testing.T, done ...results.Trial) (dir string, p *plan.Plan) {
	t.Helper()
	dir = resultstest.Fill(t, done...).Dir
	archs, err := plan.ParseArchs(nil, "0-3")
	if err != nil {
		t.Fatal(err)
	}
	settings := plan.Settings{Settings: configs.Settings{Parity: "2019", Timeline: "dec2019", Workers: 4, Precision: "fp32", Channels: 8, Cells: 1, Batch: 256}}
	p, err = plan.New(settings, plan.Selection{Archs: &archs, Datasets: []string{"digits"}, Epochs: []int{1, 2}, Seeds: []uint32{1, 2, 3}}, "")
	if err == nil {
		err = p.Write(dir)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, p
}

func digits(arch, epochs int, seed uint32) results.Trial {
	return results.Trial{Arch: arch, Dataset: "digits", Epochs: epochs, Seed: seed}
}

// putFailed records that a trial has failed.
func putFailed(t *testing.T, dir string, trial results.Trial) {
	t.Helper()
	path := attempt.FailurePath(dir, trial)
	text, err := json.Marshal(attempt.Failure{Trial: trial, TrialFailed: true, Attempts: []attempt.FailedAttempt{}})
	if err == nil {
		err = os.MkdirAll(filepath.Dir(path), 0o777)
	}
	if err == nil {
		err = os.WriteFile(path, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestChunksLeft(t *testing.T) {
	dir, p := campaign(t, digits(0, 1, 1), digits(0, 1, 2), digits(0, 1, 3), digits(1, 2, 2))
	putFailed(t, dir, digits(2, 1, 1))
	for _, trial := range []results.Trial{digits(3, 2, 1), digits(3, 2, 2), digits(3, 2, 3)} {
		putFailed(t, dir, trial)
	}
	// Each of 8 chunks is one unit.
	chunk := map[results.Trial]int{}
	for i, trial := range p.Chunks(8) {
		chunk[trial] = i
	}
	all := func(without ...results.Trial) []int {
		var chunks []int
		for i := range 8 {
			if !slices.ContainsFunc(without, func(t results.Trial) bool { return chunk[t] == i+1 }) {
				chunks = append(chunks, i+1)
			}
		}
		return chunks
	}
	// One of two chunks, whichever units it has.
	half := []Queued{{Job: 5, Chunks: 2, Elements: []Element{{Chunk: 1}}}}
	inHalf := 0
	for i, trial := range p.Chunks(2) {
		away := trial == digits(0, 1, 1) || trial == digits(0, 1, 2) || trial == digits(0, 1, 3) || trial == digits(1, 2, 2) ||
			trial == digits(2, 1, 1) || trial.Arch == 3 && trial.Epochs == 2
		if i == 1 && !away {
			inHalf++
		}
	}
	for _, test := range []struct {
		name   string
		o      Options
		queued []Queued
		want   []int // nil: not checked
		trials int
	}{
		{"finished and failed trials are excluded", Options{}, nil, all(digits(0, 1, 1), digits(3, 2, 1)), 24 - 4 - 4},
		{"failed trials are retried", Options{RetryFailed: true}, nil, all(digits(0, 1, 1)), 24 - 4},
		{"the queue is ignored", Options{}, half, all(digits(0, 1, 1), digits(3, 2, 1)), 24 - 4 - 4},
		{"without the queue's trials", Options{SkipQueued: true}, []Queued{{Job: 5, Chunks: 8, Elements: []Element{{Chunk: chunk[digits(1, 1, 1)]}}}},
			all(digits(0, 1, 1), digits(3, 2, 1), digits(1, 1, 1)), 24 - 4 - 4 - 3},
		{"without the trials of an array with other chunks", Options{SkipQueued: true}, half, nil, 24 - 4 - 4 - inHalf},
	} {
		a := &Array{Campaign: dir, Chunks: 8, Queued: test.queued}
		got, err := a.chunksLeft(t.Context(), p, test.o)
		if err != nil || test.want != nil && !slices.Equal(got, test.want) || a.Trials != test.trials {
			t.Errorf("%s: chunks %v with %d trials, %v; want %v with %d", test.name, got, a.Trials, err, test.want, test.trials)
		}
	}
}

func TestCheckTime(t *testing.T) {
	_, p := campaign(t)
	rate := plan.FixedRate(10) // 1347 images take 135 s, evaluating 450 takes 15 s
	onCPU := *rate
	onCPU.Device = "cpu"
	for _, test := range []struct {
		time time.Duration
		rate *plan.Rate
		want string
	}{
		{0, rate, ""},
		{4 * time.Minute, &onCPU, ""}, // says nothing about a GPU
		{5 * time.Minute, nil, ""},
		{5 * time.Minute, rate, ""},
		{4 * time.Minute, rate, "--time 4m0s: too short, as preparing and training one epoch of architecture 0 on digits, 1 epoch, seed 1 takes about 2m30s, and the warning comes 2m0s before the end"},
	} {
		o := Options{Request: Request{Time: test.time, Warn: 2 * time.Minute, GPUs: GPUs{Count: 1}}, Rate: test.rate}
		if err := o.checkTime(p); (err == nil) != (test.want == "") || err != nil && (!usage.Is(err) || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%v: %v", test.time, err)
		}
	}
}

// The chunks of the whole benchmark, as many as a cluster with default limits accepts, have about
// the same cost.
func TestSpread(t *testing.T) {
	p, err := plan.New(plan.Settings{Settings: configs.Settings{Parity: "2019", Timeline: "dec2019", Workers: 4, Precision: "fp32", Channels: 16, Cells: 5, Batch: 256}, Weights: true},
		plan.Selection{Preset: cell.Topology{}.Preset()}, "")
	if err != nil {
		t.Fatal(err)
	}
	chunks, err := limits{1001, 10000}.chunkCount(p.Units(), 0, 0)
	if err != nil {
		t.Fatal(err)
	}
	cost, trials := make([]float64, chunks), make([]int, chunks)
	sum := 0.0
	for i, trial := range p.Chunks(chunks) {
		w := p.Work(trial)
		c := (w.Train + w.Eval/3) * w.MFLOPs
		cost[i-1] += c
		trials[i-1]++
		sum += c
	}
	mean := sum / float64(chunks)
	t.Logf("%d chunks: %.4f to %.4f of the mean cost, %d to %d trials", chunks,
		slices.Min(cost)/mean, slices.Max(cost)/mean, slices.Min(trials), slices.Max(trials))
	if slices.Max(cost) > 1.05*mean || slices.Min(cost) < 0.95*mean || slices.Max(trials)-slices.Min(trials) > 10 {
		t.Error("the chunks are uneven")
	}
}

// A cluster assigns each element its GPU, and runs the script with paths that need quotes. Nothing
// trains: nb201 is a script that prints its arguments.
func TestDevices(t *testing.T) {
	made, _ := campaign(t)
	dir := filepath.Join(t.TempDir(), "it's 100%")
	if err := os.Rename(made, dir); err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "a program")
	if err := os.WriteFile(program, []byte("#!/bin/sh\nprintf '<%s>' \"gpu $CUDA_VISIBLE_DEVICES\" \"$@\"\nsleep 3\n"), 0o777); err != nil {
		t.Fatal(err)
	}
	slurmtest.Start(t, "NODES=1", "CPUS=2", "GPUS=2")
	o := Options{
		Request: Request{Warn: time.Minute, Time: 10 * time.Minute, GPUs: GPUs{Count: 1}, CPUs: 1, MaxRunning: 2, Account: "none",
			Lines: []string{"NAME='a line'"}, RunFlags: []string{"--data", "it's"}},
		Dir: dir, Program: program, Version: "test", Chunks: 2,
	}
	a, err := Prepare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Submit(t.Context()); err != nil || a.Job == 0 {
		t.Fatal(a.Job, err)
	}
	var waiting []Queued
	for began := time.Now(); time.Since(began) < time.Minute; time.Sleep(100 * time.Millisecond) {
		if waiting, err = ReadQueue(t.Context(), dir); err != nil {
			t.Fatal(err)
		}
		if len(waiting) == 0 {
			break
		}
		if q := waiting[0]; len(waiting) != 1 || q.Job != a.Job || q.Chunks != 2 {
			t.Fatalf("the queue has %+v, of array %d", waiting, a.Job)
		}
	}
	var gpus []string
	for i := range 2 {
		text, err := os.ReadFile(filepath.Join(dir, "logs", fmt.Sprintf("slurm-%d_%d.log", a.Job, i+1)))
		if err != nil {
			t.Fatal(err, waiting)
		}
		_, called, _ := strings.Cut(string(text), "<gpu ")
		gpu, called, _ := strings.Cut(called, ">")
		gpus = append(gpus, gpu)
		if want := fmt.Sprintf("<run><%s><--chunk><%d/2><--devices><visible><--data><it's>", dir, i+1); called != want {
			t.Errorf("element %d was called %s, want %s", i+1, called, want)
		}
	}
	slices.Sort(gpus)
	if !slices.Equal(gpus, []string{"0", "1"}) {
		t.Errorf("the elements had the GPUs %q", gpus)
	}
	o.Partition = "missing"
	o.Shared = true // so that Prepare does not ask for the partition's hosts
	a, err = Prepare(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Submit(t.Context()); !usage.Is(err) || !strings.Contains(err.Error(), "Slurm rejected the array: sbatch: invalid partition specified: missing") {
		t.Error(err)
	}
}
