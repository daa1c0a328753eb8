package scheduler

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"nb201/internal/schematest"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan/plantest"
	"nb201/scheduler/state"
	"nb201/scheduler/worker"
)

// The test binary is also a worker with a fake trainer, and a run of such workers.
const (
	roleVariable  = "NB201_TEST_ROLE"  // worker or run
	dirVariable   = "NB201_TEST_DIR"   // the campaign
	workVariable  = "NB201_TEST_WORK"  // the duration of a trial
	startVariable = "NB201_TEST_START" // what a worker does instead of starting: die or fail
	// scarceVariable is how long a run is kept out of file descriptors.
	scarceVariable = "NB201_TEST_SCARCE"
	chunkVariable  = "NB201_TEST_CHUNK" // the chunk that a run works on, I/N
)

func TestMain(m *testing.M) {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	checked := schematest.Watch()
	switch dir := os.Getenv(dirVariable); os.Getenv(roleVariable) {
	case "worker":
		os.Exit(fakeWorker(ctx, dir))
	case "run":
		o := options(dir)
		o.Log = os.Stderr
		if during, err := time.ParseDuration(os.Getenv(scarceVariable)); err == nil {
			time.AfterFunc(300*time.Millisecond, func() { takeDescriptors(during) })
		}
		_, whole := fmt.Sscanf(os.Getenv(chunkVariable), "%d/%d", &o.Chunk, &o.Chunks)
		totals, err := Run(ctx, o)
		if whole == nil {
			fmt.Println(totals.Planned, totals.Done)
		}
		switch {
		case err != nil:
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		case totals.Failed > 0:
			os.Exit(3)
		}
		os.Exit(0)
	}
	os.Exit(checked(m.Run()))
}

// options returns the options of a run with two fake workers and short delays.
func options(dir string) Options {
	return Options{
		Dir: dir, Devices: []string{"cpu"}, PerDevice: 2, MaxAttempts: 3,
		HangAfter: 2 * time.Second, PrepareWithin: time.Minute, Grace: 10 * time.Second,
		Command: fakeCommand(dir), Log: io.Discard, second: 10 * time.Millisecond,
	}
}

func fakeCommand(dir string, env ...string) func(string) *exec.Cmd {
	return func(string) *exec.Cmd {
		c := exec.Command(os.Args[0])
		c.Env = slices.Concat(os.Environ(), []string{roleVariable + "=worker", dirVariable + "=" + dir}, env)
		return c
	}
}

// fake is a worker.Trainer whose trials end according to their seeds.
type fake struct {
	campaign results.Campaign
	work     time.Duration
}

// Seeds that do not simply succeed.
const (
	crashes uint32 = iota
	crashesTwice
	isKilled
	hangs
	outOfDeviceMemory
	diverges
	reportsError
	writesGarbage
	fullDiskOnce
	cannotBegin
	fillsDisk
)

func fakeWorker(ctx context.Context, dir string) int {
	switch os.Getenv(startVariable) {
	case "die":
		return 7
	}
	work, _ := time.ParseDuration(os.Getenv(workVariable))
	f := &fake{results.Campaign{Dir: dir}, work}
	w := &worker.Worker{
		Campaign: f.campaign, In: io.NopCloser(os.Stdin), Out: os.Stdout, Log: log.New(os.Stderr, "", 0),
		Grace: 5 * time.Second, Exit: os.Exit, PublishEvery: 50 * time.Millisecond,
	}
	err := w.Work(ctx, func() (worker.Trainer, error) {
		if os.Getenv(startVariable) == "fail" {
			return nil, errors.New("no such device")
		}
		return f, nil
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		return 1
	}
	return 0
}

func (f *fake) Prepare(results.Trial) {}

func (f *fake) Train(ctx context.Context, t results.Trial, dir string, step func(attempt.Step)) (attempt.Outcome, error) {
	for _, stage := range []string{"test", "train"} {
		step(attempt.Step{Stage: stage, Epochs: t.Epochs, Images: 1, Ended: true, PassLoss: float64(t.Arch), PassTop1: float64(t.Epochs)})
	}
	tries, _ := os.ReadFile(filepath.Join(dir, "tries.ckpt"))
	if err := os.WriteFile(filepath.Join(dir, "tries.ckpt"), append(tries, 'x'), 0o666); err != nil {
		return nil, err
	}
	switch t.Seed {
	case crashes:
		os.Exit(9)
	case crashesTwice:
		if len(tries) < 2 {
			panic("crash")
		}
	case isKilled:
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	case hangs:
		select {}
	case outOfDeviceMemory:
		return nil, &attempt.Fault{Kind: attempt.OutOfMemory, Err: errors.New("RESOURCE_EXHAUSTED: no\nmemory")}
	case diverges:
		return nil, &attempt.Fault{Kind: attempt.Diverged, Err: errors.New("the loss is NaN")}
	case reportsError:
		return nil, errors.New("something else")
	case writesGarbage:
		fmt.Printf("a library says hello\n{\"event\":5}\n%s\n", strings.Repeat("long", 1000))
	case fullDiskOnce:
		if len(tries) == 0 {
			return nil, fmt.Errorf("write: %w", syscall.ENOSPC)
		}
	case fillsDisk:
		if err := fill(filepath.Join(f.campaign.Dir, "ballast")); !errors.Is(err, syscall.ENOSPC) {
			return nil, err
		}
	case cannotBegin:
		return nil, &attempt.Fault{Unable: true, Err: errors.New("no images")}
	}
	for end := time.Now().Add(f.work); time.Now().Before(end); time.Sleep(time.Millisecond) {
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		step(attempt.Step{Stage: "train", Epochs: t.Epochs, Images: 1})
	}
	return attempt.Trained{Record: resultstest.Record(noTB{}, t)}, nil
}

// fill writes a file until the disk is full.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, zeros{})
	return errors.Join(err, f.Close())
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// noTB is a testing.TB for a process that does not run a test.
type noTB struct{ testing.TB }

func (noTB) Helper()                           {}
func (noTB) Fatal(args ...any)                 { panic(fmt.Sprint(args...)) }
func (noTB) Fatalf(format string, args ...any) { panic(fmt.Sprintf(format, args...)) }

// planned creates a campaign of trials on digits: architectures 0 to archs-1, two schedules.
func planned(t testing.TB, archs int, seeds ...uint32) (dir string, all []results.Trial) {
	t.Helper()
	dir = t.TempDir()
	return dir, plantest.Digits(t, dir, archs, []int{2, 4}, seeds...)
}

// wantDone checks that exactly these trials are done, with whole records, and that nothing is
// left in running/.
func wantDone(t *testing.T, dir string, want []results.Trial) {
	t.Helper()
	c := results.Campaign{Dir: dir}
	n := 0
	for r, err := range c.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(want, r.Trial) {
			t.Errorf("%v is done", r.Trial)
		}
		n++
	}
	if n != len(want) {
		t.Errorf("%d trials are done, want %d", n, len(want))
	}
	if left, _ := filepath.Glob(filepath.Join(dir, "running", "*")); len(left) > 0 {
		t.Errorf("left in running/: %q", left)
	}
}

// TestPassesAreShown checks that the results of passes arrive in the state of the run, each with the
// trial that it belongs to.
func TestPassesAreShown(t *testing.T) {
	t.Parallel()
	dir, _ := planned(t, 6, 777)
	o := options(dir)
	o.Command = fakeCommand(dir, workVariable+"=50ms")
	shown := map[string]int{}
	o.Show = func(s state.Run, _ state.Totals) {
		for _, w := range s.Workers {
			for set, pass := range map[string]*state.Pass{"train": w.Training, "test": w.Evaluation} {
				if pass == nil {
					continue
				}
				shown[set]++
				if w.Trial == nil || *pass != (state.Pass{Set: set, Loss: float64(w.Trial.Arch), Top1: float64(w.Trial.Epochs)}) {
					t.Errorf("a worker with the trial %v shows the pass %+v", w.Trial, *pass)
				}
			}
		}
	}
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if shown["train"] == 0 || shown["test"] == 0 {
		t.Errorf("the numbers of passes shown are %v", shown)
	}
}

// TestEndings lets trials end in every way. None keeps the others from being done.
func TestEndings(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 2, crashes, crashesTwice, isKilled, hangs, outOfDeviceMemory, diverges, reportsError, writesGarbage, fullDiskOnce, 777)
	o := options(dir)
	o.PerDevice = 4
	var lines strings.Builder
	o.Log = &lines
	var shown state.Totals
	o.Show = func(s state.Run, totals state.Totals) { shown = totals }
	totals, err := Run(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	endings := map[uint32]struct {
		kind     attempt.Kind
		attempts int
		reason   string
	}{
		crashes:           {attempt.Crashed, 3, "the worker process ended: exit status 9"},
		isKilled:          {attempt.Crashed, 3, "the worker process ended: signal: killed"},
		hangs:             {attempt.Hung, 3, `no progress for 2s in stage "train"`},
		outOfDeviceMemory: {attempt.OutOfMemory, 3, "RESOURCE_EXHAUSTED: no memory"},
		diverges:          {attempt.Diverged, 1, "the loss is NaN"},
		reportsError:      {attempt.OtherError, 3, "something else"},
	}
	want := state.Totals{Planned: len(all), Done: 4 * (10 - len(endings)), Failed: 4 * len(endings)}
	if totals != want || shown != want {
		t.Errorf("totals %+v, shown %+v, want %+v", totals, shown, want)
	}
	var succeed []results.Trial
	for _, trial := range all {
		ending, fails := endings[trial.Seed]
		f, err := attempt.ReadFailure(attempt.FailurePath(dir, trial))
		if !fails {
			succeed = append(succeed, trial)
			if err == nil {
				t.Errorf("%v is done and failed: %+v", trial, f.Attempts)
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		if f.Trial != trial || !f.TrialFailed || len(f.Attempts) != ending.attempts {
			t.Errorf("%v: %+v", trial, f)
		}
		for i, a := range f.Attempts {
			text, err := os.ReadFile(a.Log)
			if a.Kind != ending.kind || a.Reason != ending.reason || a.Device != "cpu" || err != nil || !strings.Contains(string(text), fmt.Sprintf("%v: attempt %d begins\n", trial, i+1)) {
				t.Errorf("%v: %+v (%v)", trial, a, err)
			}
		}
		line := fmt.Sprintf("%v: attempt %d failed (%s): %s; the trial has failed, run with --retry-failed to retry it\n",
			trial, ending.attempts, ending.kind, ending.reason)
		if strings.Count(lines.String(), line) != 1 {
			t.Errorf("not logged exactly once: %s", line)
		}
	}
	wantDone(t, dir, succeed)
	if t.Failed() {
		t.Fatal(lines.String())
	}
	for seed, attempts := range map[uint32]int{777: 1, crashesTwice: 3, fullDiskOnce: 1} {
		r, err := results.Campaign{Dir: dir}.Record(results.Trial{Arch: 1, Dataset: "digits", Epochs: 2, Seed: seed})
		if err != nil || r.Attempts != attempts {
			t.Errorf("seed %d: %v attempts (%v), want %d", seed, r.Attempts, err, attempts)
		}
	}
	for _, line := range []string{"run paused, no trial starts: write: no space left on device", "run resumed: the host has room again"} {
		if !strings.Contains(lines.String(), line) {
			t.Errorf("not logged: %s", line)
		}
	}
	if t.Failed() {
		t.Log(lines.String())
	}

	// Failed trials are not retried unless asked for.
	o.Log = io.Discard
	if totals, err := Run(t.Context(), o); err != nil || totals != want {
		t.Errorf("again: %+v (%v)", totals, err)
	}
	o.RetryFailed, o.MaxAttempts = true, 1
	if totals, err := Run(t.Context(), o); err != nil || totals != want {
		t.Errorf("retried: %+v (%v)", totals, err)
	}
	f, err := attempt.ReadFailure(attempt.FailurePath(dir, results.Trial{Arch: 0, Dataset: "digits", Epochs: 4, Seed: crashes}))
	if err != nil || len(f.Attempts) != 1 || !f.TrialFailed {
		t.Errorf("retried: %+v (%v)", f, err)
	}
}

// A run leaves no goroutine behind, whether its workers crash or hang or it is stopped. The test
// is not parallel, because parallel tests have goroutines too.
func TestRunLeavesNoGoroutine(t *testing.T) {
	ignored := goleak.IgnoreCurrent()
	dir, _ := planned(t, 2, crashes, hangs, 777, reportsError)
	o := options(dir)
	o.MaxAttempts, o.HangAfter = 1, 300*time.Millisecond
	if _, err := Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, ignored)

	dir, _ = planned(t, 2, hangs)
	o = options(dir)
	o.Grace = 100 * time.Millisecond
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if _, err := Run(ctx, o); !errors.Is(err, context.DeadlineExceeded) {
		t.Fatal(err)
	}
	goleak.VerifyNone(t, ignored)

	m := serveMetrics(t)
	scrape(t, m)
	if err := m.Close(); err != nil {
		t.Fatal(err)
	}
	http.DefaultClient.CloseIdleConnections()
	goleak.VerifyNone(t, ignored)
}

// A run whose workers cannot begin any trial ends with the reason.
func TestNoWorker(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		start, reason string
		seed          uint32
	}{
		{"die", "exit status 7", 777},
		{"fail", "no such device", 777},
		{"", "no images", cannotBegin},
	} {
		dir, _ := planned(t, 3, test.seed)
		o := options(dir)
		o.Command = fakeCommand(dir, startVariable+"="+test.start)
		totals, err := Run(t.Context(), o)
		if err == nil || !strings.Contains(err.Error(), "no worker can start a trial: cpu: ") || !strings.Contains(err.Error(), test.reason) || totals.Left != totals.Planned {
			t.Errorf("%s: %+v, %v", test.reason, totals, err)
		}
		if failures, _ := filepath.Glob(filepath.Join(dir, "failed", "*")); len(failures) > 0 {
			t.Errorf("%s: counted as failed attempts", test.reason)
		}
	}
	dir, _ := planned(t, 1, 777)
	o := options(dir)
	o.Command = func(string) *exec.Cmd { return exec.Command(filepath.Join(dir, "missing")) }
	if _, err := Run(t.Context(), o); err == nil || !strings.Contains(err.Error(), "missing: no such file") {
		t.Errorf("missing command: %v", err)
	}
}

// When the workers of one device cannot start, those of the other device do all the work.
func TestOneBadDevice(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 10, 777, 888, 999)
	o := options(dir)
	o.Devices = []string{"cuda:0", "cuda:1"}
	good, bad := fakeCommand(dir), fakeCommand(dir, startVariable+"=fail")
	o.Command = func(device string) *exec.Cmd {
		if device == "cuda:1" {
			return bad(device)
		}
		return good(device)
	}
	if totals, err := Run(t.Context(), o); err != nil || totals.Done != len(all) {
		t.Errorf("%+v, %v", totals, err)
	}
	wantDone(t, dir, all)
}

// start starts a run in a separate process.
func start(t *testing.T, dir string, env ...string) *exec.Cmd {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = slices.Concat(os.Environ(), []string{roleVariable + "=run", dirVariable + "=" + dir}, env)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}

// waitTraining waits until all workers of a run train.
func waitTraining(t *testing.T, dir string, pid int) {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	training := func() bool {
		s, err := state.ReadRun(state.RunPath(dir, host, pid))
		return err == nil && !slices.ContainsFunc(s.Workers, func(w state.Worker) bool { return w.Stage != "train" })
	}
	for deadline := time.Now().Add(time.Minute); !training(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the workers do not train after a minute")
		}
	}
}

// TestKilled kills runs at random moments until the campaign is complete.
func TestKilled(t *testing.T) {
	t.Parallel()
	for _, sig := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM} {
		dir, all := planned(t, 20, 777, 888, 999)
		for kills := 0; ; kills++ {
			c := start(t, dir, workVariable+"=10ms")
			ended := make(chan error, 1)
			go func() { ended <- c.Wait() }()
			select {
			case err := <-ended:
				if err != nil {
					t.Fatal(err)
				}
				if kills < 3 {
					t.Errorf("complete after %d kills", kills)
				}
			case <-time.After(time.Duration(rand.IntN(400+100*kills)) * time.Millisecond): // longer each time, so that slow machines finish too
				if err := c.Process.Signal(sig); err != nil && !errors.Is(err, os.ErrProcessDone) {
					t.Fatal(err)
				}
				<-ended
				continue
			}
			break
		}
		wantDone(t, dir, all)
	}
}

// Workers exit when their run is killed, and leave checkpoints.
func TestWorkerOutlivesNoRun(t *testing.T) {
	t.Parallel()
	dir, _ := planned(t, 1, 777, 888)
	c := start(t, dir, workVariable+"=1h")
	defer c.Wait()
	var pids []int
	for len(pids) < 2 {
		time.Sleep(10 * time.Millisecond)
		logs, _ := filepath.Glob(filepath.Join(dir, "logs", "*"))
		pids = nil
		for _, log := range logs {
			text, _ := os.ReadFile(log)
			var when string
			var pid int
			if n, _ := fmt.Sscanf(string(text), "%s worker %d started", &when, &pid); n == 2 && strings.Contains(string(text), "begins") {
				pids = append(pids, pid)
			}
		}
	}
	waitTraining(t, dir, c.Process.Pid) // the line in the log comes a little earlier
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(time.Minute); slices.ContainsFunc(pids, state.Alive); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the workers are still alive after a minute")
		}
	}
	if ckpts, _ := filepath.Glob(filepath.Join(dir, "running", "*", "*", "*", "*.ckpt")); len(ckpts) != 2 {
		t.Errorf("checkpoints: %q", ckpts)
	}
}

// When two runs share a campaign, no trial is trained twice.
func TestTwoRuns(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 20, 777, 888, 999)
	runs := []*exec.Cmd{start(t, dir, workVariable+"=5ms"), start(t, dir, workVariable+"=5ms")}
	for _, c := range runs {
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	wantDone(t, dir, all)
	logs, _ := filepath.Glob(filepath.Join(dir, "logs", "*"))
	begun := 0
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			t.Fatal(err)
		}
		n := strings.Count(string(text), "begins")
		if n == 0 {
			t.Errorf("%s: a worker did nothing", filepath.Base(log))
		}
		begun += n
	}
	if begun != len(all) || len(logs) != 4 {
		t.Errorf("%d trials begun by %d workers, want %d by 4", begun, len(logs), len(all))
	}
}

func TestChunks(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 6, 777, 888, 999)
	var group sync.WaitGroup
	for i := range 3 {
		group.Go(func() {
			c := exec.CommandContext(t.Context(), os.Args[0]) // a run's state is named by its process
			c.Env = append(os.Environ(), roleVariable+"=run", dirVariable+"="+dir, fmt.Sprintf("%s=%d/3", chunkVariable, i+1))
			totals, err := c.Output()
			if want := fmt.Sprintln(len(all)/3, len(all)/3); err != nil || string(totals) != want {
				t.Errorf("chunk %d: planned and done %s, want %s (%v)", i+1, totals, want, err)
			}
		})
	}
	group.Wait()
	wantDone(t, dir, all)
}

// A run that is stopped ends in time, even when its workers do not react.
func TestStopped(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint32{777, hangs} {
		dir, _ := planned(t, 2, seed)
		o := options(dir)
		o.Command = fakeCommand(dir, workVariable+"=1h")
		o.Grace, o.HangAfter = 300*time.Millisecond, time.Hour
		ctx, cancel := context.WithCancel(t.Context())
		var stopped time.Time
		o.Show = func(s state.Run, _ state.Totals) {
			if s.Workers[0].Stage == "train" && s.Workers[1].Stage == "train" && stopped.IsZero() {
				stopped = time.Now()
				cancel()
			}
		}
		totals, err := Run(ctx, o)
		if !errors.Is(err, context.Canceled) || totals.Left != 4 {
			t.Errorf("%+v, %v", totals, err)
		}
		// A worker that does not react would continue for an hour.
		if took := time.Since(stopped); took > time.Minute {
			t.Errorf("left after %v", took)
		}
		if failures, _ := filepath.Glob(filepath.Join(dir, "failed", "*")); len(failures) > 0 {
			t.Error("counted as a failed attempt")
		}
	}
}

// While another process has the claim on a trial, the run trains the others.
func TestClaims(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 2, 777, 888, 999)
	c, err := attempt.TakeClaim(dir, all[1])
	if err != nil || c == nil {
		t.Fatal(c, err)
	}
	if again, err := attempt.TakeClaim(dir, all[1]); again != nil || err != nil {
		t.Fatal("claimed twice:", err)
	}
	o := options(dir)
	o.Show = func(_ state.Run, totals state.Totals) {
		if totals.Done == len(all)-1 && c != nil {
			if err := c.Release(); err != nil {
				t.Error(err)
			}
			c = nil
		}
	}
	if totals, err := Run(t.Context(), o); err != nil || totals.Done != len(all) {
		t.Errorf("%+v, %v", totals, err)
	}
	wantDone(t, dir, all)
}

// A run removes what killed processes left of finished trials.
func TestSweep(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 1, 777)
	if _, err := Run(t.Context(), options(dir)); err != nil {
		t.Fatal(err)
	}
	c, err := attempt.TakeClaim(dir, all[0])
	if err != nil {
		t.Fatal(err)
	}
	host, _ := os.Hostname()
	gone := state.Run{Host: host, PID: 1 << 30}
	if err := errors.Join(c.Release(), attempt.Failure{Trial: all[0]}.Write(dir), gone.Write(dir)); err != nil {
		t.Fatal(err)
	}
	if _, err := Run(t.Context(), options(dir)); err != nil {
		t.Fatal(err)
	}
	wantDone(t, dir, all)
	if left, _ := filepath.Glob(filepath.Join(dir, "failed", "*", "*", "*")); len(left) > 0 {
		t.Errorf("left %q", left)
	}
}

// No trial starts while the disk has too little free space.
func TestHostWatch(t *testing.T) {
	t.Parallel()
	dir, all := planned(t, 1, 777)
	o := options(dir)
	o.MinFreeDisk = 1 << 62
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	var paused string
	o.Show = func(s state.Run, _ state.Totals) { paused = s.Paused }
	totals, err := Run(ctx, o)
	if !errors.Is(err, context.DeadlineExceeded) || totals.Left != len(all) || !strings.Contains(paused, "free, less than") {
		t.Errorf("%+v, %v, paused %q", totals, err, paused)
	}
}

func TestQueue(t *testing.T) {
	trial := func(arch int, seed uint32) results.Trial {
		return results.Trial{Arch: arch, Dataset: "digits", Epochs: 2, Seed: seed}
	}
	var order []results.Trial
	for arch := range 3 {
		for seed := range uint32(3) {
			order = append(order, trial(arch, seed))
		}
	}
	now := time.Now()
	q := newQueue(order, 3)
	take := func(worker int, want results.Trial, next *results.Trial) {
		t.Helper()
		got, following, ok := q.take(worker, now)
		if !ok || got != want || (following == nil) != (next == nil) || next != nil && *following != *next {
			t.Errorf("worker %d takes %v, then %v (%v), want %v, then %v", worker, got, following, ok, want, next)
		}
	}
	one, two := trial(1, 0), trial(2, 0)
	take(0, trial(0, 0), &one)
	take(1, trial(2, 0), nil)
	take(2, trial(1, 0), nil) // the whole unit from worker 0
	take(0, trial(0, 1), nil)
	q.putBack(0, trial(0, 1))
	take(0, trial(0, 1), nil)
	q.deferUnit(1, trial(2, 0), now.Add(time.Second)) // another run has the unit
	take(1, trial(1, 2), nil)                         // from worker 2, which has most ahead
	take(2, trial(1, 1), nil)
	take(0, trial(0, 2), nil)
	if _, _, ok := q.take(0, now); ok || q.empty() {
		t.Error("a trial that another run has was taken before it was due")
	}
	q.retry(trial(0, 0), now.Add(time.Second))
	now = now.Add(time.Minute)
	take(0, trial(0, 0), nil)
	take(0, two, nil)
	take(1, trial(2, 1), nil)
	take(2, trial(2, 2), nil)
	if !q.empty() {
		t.Error("the queue is not empty")
	}
}

// A worker that finds no trial stays as long as another may put one back.
func TestTakeTrialWaits(t *testing.T) {
	trial := results.Trial{Dataset: "digits", Epochs: 1}
	r := &run{queue: newQueue([]results.Trial{trial}, 2)}
	r.state.Workers = make([]state.Worker, 2)
	if _, _, ok, _ := r.takeTrial(1); !ok {
		t.Fatal("the trial was not taken")
	}
	for stage, want := range map[string]bool{state.StageStarting: false, state.StagePreparing: true, "train": true} {
		r.state.Workers[1] = state.Worker{Trial: &trial, Stage: stage}
		if _, _, ok, ended := r.takeTrial(0); ok || ended != want {
			t.Errorf("%s: taken %t, ended %t", stage, ok, ended)
		}
	}
	r.state.Workers[1] = state.Worker{Stage: state.StageIdle}
	if _, _, _, ended := r.takeTrial(0); !ended {
		t.Error("a worker waits although no worker has a trial")
	}
	r.putBack(1, trial)
	if _, _, ok, _ := r.takeTrial(0); !ok {
		t.Error("a trial that was put back was not taken")
	}
}
