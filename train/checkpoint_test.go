package train

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/backend/devicetest"
	"nb201/internal/needs"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/train/checkpoint"
	"nb201/train/device"
)

// interruptible configures a trial of two epochs of 12 batches. The training set and the three
// evaluation sets all end with a short batch. It compiles in a second.
func interruptible(t testing.TB, parity configs.Parity, workers int, precision configs.Precision) Config {
	t.Helper()
	c := onClasses(t, 10, 16, false)
	seed := uint64(0)
	c.Definition.Name = "interruptible"
	c.Definition.Train = data.SplitDefinition{From: "train", Half: "first", HalfSeed: &seed, Order: data.Shuffle}
	c.Definition.Eval = []data.SplitDefinition{
		{Name: "x-valid", From: "train", Half: "second", HalfSeed: &seed, Order: data.Subset},
		{Name: "ori-test", From: "test", Order: data.Sequential},
		{Name: "shuffled", From: "test", Order: data.Shuffle},
	}
	var err error
	if c.Data, err = data.New(c.Definition, map[string]*data.Images{
		"train": datatest.Synth(88, 16, 10, 1), "test": datatest.Synth(37, 16, 10, 2),
	}); err != nil {
		t.Fatal(err)
	}
	c.Data.Files = []data.File{{Name: "images", SHA256: strings.Repeat("0", 64)}}
	if c.Recipe, err = configs.RecipeFor(2); err != nil {
		t.Fatal(err)
	}
	c.Recipe.Channels, c.Recipe.Cells, c.Recipe.Batch = 4, 1, 16
	c.Trial.Epochs, c.Trial.Dataset = 2, c.Definition.Name
	c.Settings.Parity, c.Settings.Workers, c.Settings.Precision, c.batchesPerCall = parity, workers, precision, 1
	if err := c.Check(); err != nil {
		t.Fatal(err)
	}
	return c
}

const interruptibleBatches = 2 * 12

// leaving makes c write checkpoints to a new directory, and returns the warnings about them.
func leaving(t *testing.T, c Config, every time.Duration) (Config, *[]string) {
	warnings := new([]string)
	c.Checkpoints = &checkpoint.Options{
		Dir: filepath.Join(t.TempDir(), "running", "trial"), Every: every,
		Warn: func(s string) { *warnings = append(*warnings, s) },
	}
	return c, warnings
}

// finish runs a trial to its end. It returns the progress that was reported, after checking that the
// last batch of each pass reports what the record says of the pass, in resumed trials as well.
func finish(t *testing.T, s *Session, c Config) (*Outcome, []Progress) {
	t.Helper()
	var seen []Progress
	o, err := s.Run(t.Context(), c, func(p Progress) { seen = append(seen, p) })
	if err != nil {
		t.Fatal(err)
	}
	for i, p := range seen {
		if ended := i+1 == len(seen) || seen[i+1].Batch == 0; p.Ended != ended {
			t.Errorf("%+v: ended is %v, want %v", p, p.Ended, ended)
		}
		if !p.Ended {
			continue
		}
		curve, first := o.Record.Train.Curve, 0
		for _, e := range o.Record.Eval {
			if e.Set == p.Stage {
				curve, first = e.Curve, e.FirstEpoch
			}
		}
		if p.PassLoss != curve.Loss[p.Epoch-first] || p.PassTop1 != curve.Top1[p.Epoch-first] {
			t.Errorf("%+v: the record has loss %v and top-1 accuracy %v", p, curve.Loss[p.Epoch-first], curve.Top1[p.Epoch-first])
		}
	}
	return o, seen
}

// interrupt runs a trial and cancels it after a number of batches.
func interrupt(t *testing.T, s *Session, c Config, batches int) []Progress {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var seen []Progress
	if batches == 0 {
		cancel()
	}
	o, err := s.Run(ctx, c, func(p Progress) {
		if seen = append(seen, p); len(seen) == batches {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) || o != nil {
		t.Fatalf("cancelled after %d batches: %v", batches, err)
	}
	return seen
}

// lateContext is cancelled after a trial has checked it and before the trial waits for the next
// call's program, as if a signal came while a call runs.
type lateContext struct {
	context.Context
	armed, seen bool
	done        chan struct{}
}

func (c *lateContext) arm() {
	c.armed = true
	close(c.done)
}

func (c *lateContext) Done() <-chan struct{} { return c.done }

func (c *lateContext) Err() error {
	if !c.armed {
		return nil
	}
	if !c.seen {
		c.seen = true
		return nil
	}
	return context.Canceled
}

// A trial leaves a checkpoint whenever it is cancelled.
func TestCancelledLate(t *testing.T) {
	c := interruptible(t, configs.Parities()[0], 0, configs.FP32)
	c.batchesPerCall = 1
	for turn := range 12 { // waiting for a program that is compiled already may end either way
		c.Checkpoints = &checkpoint.Options{Dir: t.TempDir(), Every: time.Hour}
		ctx := &lateContext{Context: t.Context(), done: make(chan struct{})}
		batches := 0
		_, err := openSession(t).Run(ctx, c, func(Progress) {
			if batches++; batches == 2 {
				ctx.arm()
			}
		})
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(c.Checkpoints.Dir); err != nil || len(left) != 1 {
			t.Errorf("turn %d: %d checkpoints are left, %v", turn, len(left), err)
		}
	}
}

// rounding is the allowed relative error of the losses and the weights (see distance) of a trial on a
// GPU. Two runs of a program may differ there, since the order of some sums is not fixed, and so may
// two programs compiled from the same text, since XLA selects what is fastest at the moment.
type rounding struct{ losses, weights float64 }

// onGPU returns the rounding of a short trial in a precision. Training magnifies rounding: on the CPU,
// weights in float32 differ from those in float64 by 1e-7 after two epochs and by 2e-4 after four. A
// GPU's float32 may round ten times as much as the CPU's. Rounding in float64, 2^-29 of float32's,
// stays far below its bound.
func onGPU(p configs.Precision) rounding {
	switch p {
	case configs.FP64:
		return rounding{1e-6, 1e-6}
	case configs.BF16:
		return rounding{2e-2, 1e-1}
	default:
		return rounding{1e-3, 1e-2}
	}
}

// differences lists what differs in two outcomes by more than rounding.
func (r rounding) differences(got, want *Outcome) (losses, weights float64, list []string) {
	losses, list = resultstest.Apart(got.Record, want.Record)
	if !(losses <= r.losses) {
		list = append(list, fmt.Sprintf("losses are %.2g relative apart, more than %g", losses, r.losses))
	}
	if weights = distance(got.Weights, want.Weights); !(weights <= r.weights) {
		list = append(list, fmt.Sprintf("weights are %.2g relative apart, more than %g", weights, r.weights))
	}
	return losses, weights, list
}

// distance returns the distance between two state dicts as vectors, relative to the length of want.
// It is infinite if they have different tensors or counts.
func distance(got, want torchfile.StateDict) float64 {
	if len(got) != len(want) {
		return math.Inf(1)
	}
	var square, all float64
	for i, w := range want {
		g := got[i]
		if g.Name != w.Name || !slices.Equal(g.Shape, w.Shape) || !slices.Equal(g.Int64, w.Int64) {
			return math.Inf(1)
		}
		of := numbers(g.Tensor)
		for k, v := range numbers(w.Tensor) {
			square += (of[k] - v) * (of[k] - v)
			all += v * v
		}
	}
	return math.Sqrt(square / all)
}

// same checks that two outcomes are those of the same trial, on the CPU to the bit.
func same(t *testing.T, what string, got, want *Outcome) {
	t.Helper()
	if devicetest.OnGPU(t) {
		losses, weights, list := onGPU(want.Record.Precision).differences(got, want)
		t.Logf("%s: losses %.2g, weights %.2g relative apart", what, losses, weights)
		for _, difference := range list {
			t.Errorf("%s: %s", what, difference)
		}
		return
	}
	if d := got.Record.Diff(want.Record); len(d) > 0 {
		t.Errorf("%s: the record differs: %s", what, strings.Join(d, "; "))
	}
	if !bytes.Equal(encoded(t, got.Weights), encoded(t, want.Weights)) {
		t.Errorf("%s: the weights differ", what)
	}
}

// sameBatches reports whether the same batches were trained on and evaluated, and on the CPU whether
// the results are the same.
func sameBatches(t *testing.T, got, want []Progress) bool {
	t.Helper()
	onGPU := devicetest.OnGPU(t)
	return slices.EqualFunc(got, want, func(a, b Progress) bool {
		if onGPU {
			a.Loss, a.Top1 = b.Loss, b.Top1 // in the records, too
		}
		return a == b
	})
}

// A trial in lower precision differs from the same trial in float64 by no more than a GPU's rounding,
// and a trial with another seed differs by more.
func TestRounding(t *testing.T) {
	s := openSession(t)
	c := interruptible(t, configs.Parities()[0], 0, configs.FP64)
	exact, _ := finish(t, s, c)
	for _, precision := range []configs.Precision{configs.FP32, configs.BF16} {
		c.Settings.Precision = precision
		o, _ := finish(t, s, c)
		o.Record.Precision = configs.FP64
		losses, weights, list := onGPU(precision).differences(o, exact)
		t.Logf("%s: losses %.2g, weights %.2g off", precision, losses, weights)
		if len(list) > 0 {
			t.Errorf("%s: %q", precision, list)
		}
		if _, _, list := onGPU(configs.FP64).differences(o, exact); precision == configs.BF16 && len(list) != 2 {
			t.Errorf("%s is within the rounding of fp64: %q", precision, list)
		}
		other := c
		other.Trial.Seed++
		o, _ = finish(t, s, other)
		o.Record.Precision, o.Record.Seed = configs.FP64, c.Trial.Seed
		if _, _, list := onGPU(precision).differences(o, exact); len(list) == 0 {
			t.Errorf("%s: another seed's trial is within the rounding", precision)
		}
	}
}

func encoded(t *testing.T, weights torchfile.StateDict) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := torchfile.Write(&b, weights); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stored lists the checkpoint files of a trial.
func stored(t *testing.T, c Config) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(c.Checkpoints.Dir, "*.ckpt"))
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// A trial that is cancelled after any batch and resumed equals an uninterrupted trial: each batch
// runs once, with the same results, on the CPU to the bit. With -short each parity, number of workers and precision
// occurs, but not with each other.
func TestResumed(t *testing.T) {
	parities := configs.Parities()
	tests := []struct {
		parity    configs.Parity
		workers   int
		precision configs.Precision
	}{
		{parities[0], 0, configs.FP64}, {parities[0], 4, configs.BF16}, {parities[1], 4, configs.FP32}, {parities[2], 0, configs.FP32},
		{parities[0], 0, configs.FP32}, {parities[0], 4, configs.FP32}, {parities[1], 0, configs.FP32}, {parities[2], 4, configs.FP32},
	}
	if !needs.IsLong() {
		tests = tests[:4]
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s/%d workers/%s", test.parity, test.workers, test.precision), func(t *testing.T) {
			checkResumed(t, interruptible(t, test.parity, test.workers, test.precision))
		})
	}
	t.Run("size search space", func(t *testing.T) { checkResumed(t, sized(t, interruptible(t, parities[0], 4, configs.FP32))) })
}

// sized returns the same trial of an architecture of the size search space.
func sized(t testing.TB, c Config) Config { return onArch(c, archOf(t, lightWidths)) }

func checkResumed(t *testing.T, c Config) {
	s := openSession(t)
	c.batchesPerCall = 0
	whole, batches := finish(t, s, c)
	c.batchesPerCall = 1
	if len(batches) != interruptibleBatches {
		t.Fatalf("%d batches", len(batches))
	}
	// When the results of the last batch but one are read, the last one is running.
	for after := range interruptibleBatches - 1 {
		c, warnings := leaving(t, c, time.Hour)
		seen := interrupt(t, s, c, after)
		if n := len(stored(t, c)); n != min(1, len(seen)) {
			t.Fatalf("cancelled after %d batches: %d checkpoints", after, n)
		}
		o, rest := finish(t, s, c)
		if !sameBatches(t, append(seen, rest...), batches) {
			t.Errorf("cancelled after %d batches: others were trained or measured", after)
		}
		same(t, fmt.Sprintf("cancelled after %d batches", after), o, whole)
		if len(*warnings) > 0 {
			t.Errorf("cancelled after %d batches: %v", after, *warnings)
		}
	}
}

// A trial may be interrupted many times, with checkpoints at the ends of epochs in between.
func TestResumedOften(t *testing.T) {
	s := openSession(t)
	c := interruptible(t, configs.Parities()[0], 2, configs.FP32)
	whole, batches := finish(t, s, c)
	c, warnings := leaving(t, c, 0)
	var seen []Progress
	for len(seen) < interruptibleBatches-2 {
		before := len(seen)
		seen = append(seen, interrupt(t, s, c, 1)...)
		if now := len(seen); now == before || now > before+2 {
			t.Fatalf("%d batches after the cancellation", now-before)
		}
		if n := len(stored(t, c)); n > 2 {
			t.Fatalf("%d checkpoints", n)
		}
	}
	o, rest := finish(t, s, c)
	if !sameBatches(t, append(seen, rest...), batches) {
		t.Error("other batches were trained")
	}
	same(t, "interrupted often", o, whole)
	// A finished trial that could not be published is not trained again.
	o, rest = finish(t, s, c)
	if len(rest) > 0 {
		t.Errorf("%d batches after the end", len(rest))
	}
	same(t, "after the end", o, whole)
	if len(*warnings) > 0 {
		t.Error(*warnings)
	}
}

// Interrupting a trial keeps its start time, and the seconds of a pass add up.
func TestResumedTimes(t *testing.T) {
	s := openSession(t)
	c, _ := leaving(t, interruptible(t, configs.Parities()[0], 0, configs.FP32), time.Hour)
	const pause = 300 * time.Millisecond
	began := time.Now().Truncate(time.Millisecond)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := s.Run(ctx, c, func(Progress) {
		time.Sleep(pause)
		cancel()
	})
	if !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	interrupted := time.Now()
	o, _ := finish(t, s, c)
	if first, second := o.Record.Train.Seconds[0], o.Record.Train.Seconds[1]; first < pause.Seconds() || second >= pause.Seconds() {
		t.Errorf("the epochs took %v and %v seconds", first, second)
	}
	if at := o.Record.Started; at.Before(began) || at.After(interrupted) || o.Record.Finished.Before(interrupted) {
		t.Errorf("the trial ran from %v to %v, but started at %v", at, o.Record.Finished, began)
	}
}

// damage lists ways to damage a file.
var damage = map[string]func([]byte) []byte{
	"empty":           func([]byte) []byte { return nil },
	"cut short":       func(b []byte) []byte { return b[:len(b)-1] },
	"half":            func(b []byte) []byte { return b[:len(b)/2] },
	"a byte more":     func(b []byte) []byte { return append(b, 0) },
	"altered version": func(b []byte) []byte { b[17]++; return b },
	"altered header":  func(b []byte) []byte { b[40] ^= 1; return b },
	"altered state":   func(b []byte) []byte { b[len(b)-100] ^= 1; return b },
	"altered hash":    func(b []byte) []byte { b[len(b)-1] ^= 1; return b },
	"zeros":           func(b []byte) []byte { return make([]byte, len(b)) },
	"a later version": func(b []byte) []byte { b[17]++; return rehash(b) },
	"another place":   func(b []byte) []byte { return rehash(bytes.Replace(b, []byte(`"epoch":1`), []byte(`"epoch":0`), 1)) },
	"no place":        func(b []byte) []byte { return rehash(bytes.Replace(b, []byte(`"stage":`), []byte(`"stage":9`), 1)) },
	"unknown key": func(b []byte) []byte {
		return rehash(bytes.Replace(b, []byte(`"stage":`), []byte(`"x":1,"stage":`), 1))
	},
	"short state": func(b []byte) []byte { return rehash(b[:len(b)-4]) },
	"long state":  func(b []byte) []byte { return rehash(append(b, 1, 2, 3, 4)) },
}

// rehash makes the hash at the end of a checkpoint right.
func rehash(b []byte) []byte {
	body := b[:len(b)-sha256.Size]
	sum := sha256.Sum256(body)
	return append(slices.Clone(body), sum[:]...)
}

// If a checkpoint is damaged, the trial resumes from the one before it, and if that is damaged too,
// starts from the beginning.
func TestDamaged(t *testing.T) {
	s := openSession(t)
	plain := interruptible(t, configs.Parities()[0], 0, configs.FP32)
	whole, batches := finish(t, s, plain)
	c, warnings := leaving(t, plain, 0)
	interrupt(t, s, c, 18) // one checkpoint at the first epoch's end, one in the second
	files := stored(t, c)
	if len(files) != 2 {
		t.Fatalf("%d checkpoints", len(files))
	}
	var sound [2][]byte
	for i, file := range files {
		var err error
		if sound[i], err = os.ReadFile(file); err != nil {
			t.Fatal(err)
		}
	}
	for name, damaged := range damage {
		for count := 1; count <= 2; count++ {
			for _, file := range stored(t, c) { // the one of the end, too
				if err := os.Remove(file); err != nil {
					t.Fatal(err)
				}
			}
			for i, file := range files {
				text := slices.Clone(sound[i])
				if i >= 2-count {
					text = damaged(text)
				}
				write(t, file, text)
			}
			*warnings = nil
			again := c
			again.Checkpoints = &checkpoint.Options{Dir: c.Checkpoints.Dir, Every: time.Hour, Warn: c.Checkpoints.Warn}
			o, rest := finish(t, s, again)
			want := batches[12:]
			if count == 2 {
				want = batches
			}
			if !sameBatches(t, rest, want) {
				t.Errorf("%s, %d times: resumed at %+v", name, count, rest[0])
			}
			same(t, name, o, whole)
			if len(*warnings) != count || !strings.Contains((*warnings)[0], filepath.Base(files[1])) {
				t.Errorf("%s, %d times: warned %q", name, count, *warnings)
			}
		}
	}

	// A damaged checkpoint is removed once there are undamaged ones.
	for _, file := range stored(t, c) {
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
	}
	write(t, files[1], damage["half"](slices.Clone(sound[1])))
	write(t, files[0], sound[0])
	interrupt(t, s, c, 2)
	left := stored(t, c)
	if len(left) != 2 || left[0] != files[0] || left[1] == files[1] {
		t.Errorf("left are %v of %v", left, files)
	}
}

// A checkpoint that differs in anything that a result depends on is neither used nor removed.
func TestForeign(t *testing.T) {
	s := openSession(t)
	c, warnings := leaving(t, interruptible(t, configs.Parities()[0], 4, configs.FP32), time.Hour)
	interrupt(t, s, c, 5)
	files := stored(t, c)
	for name, change := range map[string]func(*Config){
		"seed": func(c *Config) { c.Trial.Seed++ },
		"architecture": func(c *Config) {
			arch := c.Network.Arch.(cell.Cell)
			arch[2] = cell.SkipConnect
			c.Network.Arch, c.Trial.Arch = arch, arch.Index()
		},
		"dataset":         func(c *Config) { c.Trial.Dataset = "other" },
		"learning rate":   func(c *Config) { c.Recipe.LearningRate *= 2 },
		"epochs":          func(c *Config) { c.Recipe.Epochs, c.Trial.Epochs = 3, 3 },
		"channels":        func(c *Config) { c.Network.Channels, c.Recipe.Channels = 8, 8 },
		"definition":      func(c *Config) { c.Definition.Mean[0]++ },
		"data file":       func(c *Config) { c.Data.Files = []data.File{{Name: "images", SHA256: strings.Repeat("1", 64)}} },
		"parity":          func(c *Config) { c.Settings.Parity = configs.Parities()[1] },
		"timeline":        func(c *Config) { c.Settings.Timeline = configs.Nov2019 },
		"workers":         func(c *Config) { c.Settings.Workers = 3 },
		"precision":       func(c *Config) { c.Settings.Precision = configs.FP64 },
		"initial weights": func(c *Config) { c.Initial = &Initial{File: results.StartWeights{File: results.File{Name: "W.pth"}}} },
		"versions":        func(c *Config) { c.Checkpoints.Versions.Program = "2" },
		"kernels":         func(c *Config) { c.Checkpoints.Versions.Kernels = "2 avx2" },
	} {
		other := interruptible(t, configs.Parities()[0], 4, configs.FP32)
		other.Checkpoints = &checkpoint.Options{Dir: c.Checkpoints.Dir, Warn: c.Checkpoints.Warn}
		change(&other)
		tr := newTrial(other, &device.Runner{Set: executables(t, other)}, nil)
		var err error
		if tr.record, err = other.newRecord(time.Now()); err != nil {
			t.Fatal(err)
		}
		*warnings = nil
		if err := tr.resume(); err != nil {
			t.Fatal(err)
		}
		if tr.cursor != (checkpoint.Cursor{}) || len(*warnings) != 1 || !strings.Contains((*warnings)[0], "another trial") {
			t.Errorf("another %s: at %+v, warned %q", name, tr.cursor, *warnings)
		}
	}
	// It is not used under the right name either.
	other := c
	other.Trial.Seed++
	plain := other
	plain.Checkpoints = nil
	whole, batches := finish(t, s, plain)
	interrupt(t, s, other, 3)
	var theirs string
	for _, file := range stored(t, c) {
		if file != files[0] {
			theirs = file
		}
	}
	text, err := os.ReadFile(files[0])
	if err != nil {
		t.Fatal(err)
	}
	write(t, theirs, text)
	*warnings = nil
	o, seen := finish(t, s, other)
	if !sameBatches(t, seen, batches) || len(*warnings) != 2 || !slices.Contains(stored(t, c), files[0]) {
		t.Errorf("%d batches, warned %q", len(seen), *warnings)
	}
	same(t, "beside another's checkpoint", o, whole)
}

// A trial runs, and can be cancelled, even if no checkpoint can be written.
func TestUnwritable(t *testing.T) {
	s := openSession(t)
	c := interruptible(t, configs.Parities()[0], 0, configs.FP32)
	whole, _ := finish(t, s, c)
	c, warnings := leaving(t, c, 0)
	interrupt(t, s, c, 3)
	sound := stored(t, c)
	// A file has the name of the checkpoints' directory.
	kept := c.Checkpoints.Dir + "-kept"
	if err := os.Rename(c.Checkpoints.Dir, kept); err != nil {
		t.Fatal(err)
	}
	write(t, c.Checkpoints.Dir, nil)
	o, _ := finish(t, s, c)
	same(t, "unwritable", o, whole)
	if len(*warnings) != 4 || !strings.Contains((*warnings)[1], "cannot write a checkpoint") { // looking, two epochs' ends, and the end
		t.Errorf("warned %q", *warnings)
	}
	*warnings = nil
	interrupt(t, s, c, 3)
	if len(*warnings) != 2 {
		t.Errorf("warned %q", *warnings)
	}
	if err := errors.Join(os.Remove(c.Checkpoints.Dir), os.Rename(kept, c.Checkpoints.Dir)); err != nil {
		t.Fatal(err)
	}
	if left := stored(t, c); !slices.Equal(left, sound) {
		t.Errorf("left are %v, not %v", left, sound)
	}
}

// killed is the variable that names the trial's directory to a process that TestKilled starts.
const killed = "NB201_TEST_KILLED"

// A trial whose process is killed at any moment resumes in the next one.
func TestKilled(t *testing.T) {
	precision := configs.FP32
	if devicetest.OnGPU(t) {
		precision = configs.FP64 // over this many epochs a rounding in float32 can grow to anything
	}
	c := interruptible(t, configs.Parities()[0], 4, precision)
	t.Run("tss", func(t *testing.T) { checkKilled(t, c) })
	t.Run("sss", func(t *testing.T) { checkKilled(t, sized(t, c)) })
}

func checkKilled(t *testing.T, c Config) {
	kills := 3
	if needs.IsNightly() {
		kills = 40
	}
	s := openSession(t)
	c.Recipe.Epochs, c.Trial.Epochs = 10*kills, 10*kills // more than the kills let pass
	if dir := os.Getenv(killed); dir != "" {
		c.Checkpoints = &checkpoint.Options{Dir: dir}
		_, err := s.Run(t.Context(), c, func(Progress) { fmt.Print(".") })
		t.Fatal("the trial ended: ", err)
	}
	whole, batches := finish(t, s, c)
	c, warnings := leaving(t, c, 0)
	for range kills {
		child := exec.Command(os.Args[0], "-test.run=^"+strings.Replace(t.Name(), "/", "$/^", 1)+"$")
		child.Env = append(os.Environ(), killed+"="+c.Checkpoints.Dir)
		out, err := child.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := child.Start(); err != nil {
			t.Fatal(err)
		}
		if _, err := io.ReadFull(out, make([]byte, 20+rand.IntN(60))); err != nil {
			t.Error(err)
		}
		time.Sleep(time.Duration(rand.IntN(20)) * time.Millisecond)
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
	}
	o, rest := finish(t, s, c)
	t.Logf("%d of %d batches were left", len(rest), len(batches))
	if len(rest) > len(batches)-12*kills {
		t.Error("the trial started from the beginning")
	}
	same(t, "killed", o, whole)
	if len(*warnings) > 0 {
		t.Error(*warnings)
	}
	if temps, _ := filepath.Glob(filepath.Join(c.Checkpoints.Dir, ".*")); len(temps) > 0 {
		t.Errorf("left are %v", temps)
	}
}

// A checkpoint of a device that orders weights differently is not used.
func TestCheckpointOfAnotherOrder(t *testing.T) {
	s := openSession(t)
	plain := interruptible(t, configs.Parities()[0], 0, configs.FP32)
	whole, batches := finish(t, s, plain)
	order := s.current.Whole.WeightOrder()
	for _, other := range []string{order, "ohwi of no device"} {
		c, warnings := leaving(t, plain, time.Hour)
		seen := interrupt(t, s, c, 5)
		path := stored(t, c)[0]
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		write(t, path, rehash(bytes.Replace(text, fmt.Appendf(nil, "%q", order), fmt.Appendf(nil, "%q", other), 1)))
		o, rest := finish(t, s, c)
		same(t, "after a checkpoint in the order "+other, o, whole)
		if other == order {
			if len(*warnings) > 0 || len(seen)+len(rest) != len(batches) {
				t.Errorf("%d and %d batches, warned %q", len(seen), len(rest), *warnings)
			}
			continue
		}
		want := fmt.Sprintf("its weights are in the order %q, not %q", other, order)
		if len(*warnings) != 1 || !strings.Contains((*warnings)[0], want) || len(rest) != len(batches) {
			t.Errorf("%d batches, warned %q, want %s", len(rest), *warnings, want)
		}
	}
}

// A trial leaves a checkpoint at its end, in case its campaign cannot publish it at once.
func TestCheckpointOfTheEnd(t *testing.T) {
	s := openSession(t)
	c, warnings := leaving(t, interruptible(t, configs.Parities()[0], 0, configs.FP32), time.Hour)
	first, _ := finish(t, s, c)
	again, seen := finish(t, s, c)
	if len(seen) > 0 {
		t.Errorf("trained %d batches again", len(seen))
	}
	if different := first.Record.Diff(again.Record); len(different) > 0 {
		t.Error(different)
	}
	for i, w := range first.Weights {
		if !slices.Equal(w.Float32, again.Weights[i].Float32) || !slices.Equal(w.Int64, again.Weights[i].Int64) {
			t.Errorf("%s differs", w.Name)
		}
	}
	if len(*warnings) > 0 {
		t.Error(*warnings)
	}
}
