package train

import (
	"context"
	"errors"
	"slices"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/train/device"
)

// Trials of a session equal those that run alone, whether their programs were compiled for an
// earlier trial, ahead of time or just now, and trials with the same programs share them.
func TestSession(t *testing.T) {
	plain := interruptible(t, configs.Parities()[0], 4, configs.FP32)
	seeded, longer, wider := plain, plain, plain
	seeded.Trial.Seed++
	longer.Trial.Epochs, longer.Recipe.Epochs = 3, 3
	wider.Network.Channels, wider.Recipe.Channels = 8, 8
	more := plain // of the images, so that the last batch is another
	more.Definition.Train.Half, more.Definition.Train.HalfSeed = "", nil
	var err error
	if more.Data, err = data.New(more.Definition, map[string]*data.Images{"train": plain.Data.Train.Images, "test": plain.Data.Eval[1].Images}); err != nil {
		t.Fatal(err)
	}
	more.Data.Files = plain.Data.Files
	alone := map[string]*Outcome{}
	trials := map[string]Config{"plain": plain, "seeded": seeded, "longer": longer, "wider": wider, "more": more}
	for _, name := range []string{"plain", "seeded", "longer", "more"} {
		alone[name], _ = finish(t, openSession(t), trials[name])
	}
	if alone["wider"], err = runAlone(t.Context(), t, wider, func(Progress) {}); err != nil {
		t.Fatal(err)
	}

	s := NewSession(openBackend(t))
	for _, step := range []struct{ run, prepare string }{
		{"plain", "plain"}, {"seeded", "wider"}, {"longer", "more"}, {"more", "wider"}, {"wider", ""}, {"wider", "plain"},
	} {
		before, ahead := s.current, s.ahead
		prepared := step.prepare == ""
		o, err := s.Run(t.Context(), trials[step.run], func(Progress) {
			if !prepared {
				s.Prepare(trials[step.prepare])
			}
			prepared = true
		})
		if err != nil {
			t.Fatal(err)
		}
		same(t, step.run, o, alone[step.run])
		if before != nil && s.current.Whole != before.Whole && (ahead == nil || s.current.Whole != ahead.Whole) {
			t.Errorf("%s: the programs are compiled again", step.run)
		}
		if step.run == "more" && (s.current.Whole != before.Whole || s.current.Evaluate != before.Evaluate || s.current.Ragged == before.Ragged) {
			t.Error("the programs of whole batches are not shared, or that of the last one is")
		}
	}
	s.Close() // while programs are compiled
}

// A trial that is cancelled while its programs are being compiled returns at once, and the next trial
// waits for them.
func TestCancelledWhileCompiling(t *testing.T) {
	s := NewSession(openBackend(t))
	defer s.Close()
	c := interruptible(t, configs.Parities()[0], 0, configs.FP32)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Run(ctx, c, func(Progress) {}); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	compiling := s.current
	if err := compiling.Whole.Wait(ctx); !errors.Is(err, context.Canceled) {
		t.Error("Run waited for the compiler")
	}
	finish(t, s, c)
	if s.current.Whole != compiling.Whole {
		t.Error("the programs are compiled again")
	}
}

// An error of compiling ends the trial, and the next trial tries again.
func TestCannotCompile(t *testing.T) {
	s := NewSession(openBackend(t))
	defer s.Close()
	c := interruptible(t, configs.Parities()[0], 0, configs.FP32)
	arch := c.Network.Arch.(cell.Cell)
	arch[0] = 77
	c.Network.Arch = arch
	for range 2 {
		before := s.current
		if _, err := s.Run(t.Context(), c, func(Progress) {}); err == nil {
			t.Fatal("an unknown operation is compiled")
		}
		if before != nil && s.current.Whole == before.Whole {
			t.Error("not tried again")
		}
	}
}

// Trials that alternate between two datasets read and upload each of them once if the session keeps
// the images of both.
func TestSessionEvaluates(t *testing.T) {
	s := NewSession(openBackend(t))
	defer s.Close()
	s.KeepImages(2)
	trained := map[string]*results.Record{}
	weights := map[string]torchfile.StateDict{}
	digits := options(t, lightest, "digits", 1, 777, settings(4, 1, 256))
	for name, o := range map[string]Options{"digits": digits, "digits50": onDigits50(t, 1, 777)} {
		outcome := runTrial(t, resolve(t, o))
		trained[name], weights[name] = outcome.Record, outcome.Weights
	}
	loaded, uploaded := map[*data.Dataset]bool{}, map[*device.Images]bool{}
	for range 5 {
		for name, r := range trained {
			c, err := s.ConfigFor(r, "")
			if err != nil {
				t.Fatal(err)
			}
			sets, err := s.Evaluate(t.Context(), c, weights[name], func(Progress) {})
			if err != nil {
				t.Fatal(err)
			}
			for i, e := range r.Eval {
				if !measuredAgain(t, r.Precision, sets[i], e) {
					t.Errorf("%s: %s: evaluated %v", name, e.Set, sets[i])
				}
			}
			loaded[c.Data] = true
			for _, u := range s.uploaded.items {
				uploaded[u.images] = true
			}
		}
	}
	if len(loaded) != 2 || len(uploaded) != 2 {
		t.Errorf("images were loaded %d times and uploaded %d times, not twice", len(loaded), len(uploaded))
	}
}

// The images of a definition are loaded once, until those of another are loaded.
func TestSessionConfig(t *testing.T) {
	s := NewSession(openBackend(t))
	defer s.Close()
	options := onDigits50(t, 1, 777)
	definition := options.Definition
	config := func(d data.Definition, seed uint32) *data.Dataset {
		t.Helper()
		o := options
		o.Seed, o.Definition = seed, d
		c, err := s.Config(o)
		if err != nil {
			t.Fatal(err)
		}
		return c.Data
	}
	other := definition
	other.Eval = slices.Clone(other.Eval)
	other.Eval[0].Name = "other"
	first := config(definition, 1)
	if config(definition, 2) != first {
		t.Error("the images are loaded again")
	}
	if got := config(other, 1); got == first || got.Eval[0].Name != "other" {
		t.Errorf("the images of another definition are those of the first")
	}
	if got := config(definition, 1); got.Eval[0].Name != first.Eval[0].Name {
		t.Errorf("the images are of %s", got.Eval[0].Name)
	}
}

// Trials on the published CIFAR-10 datasets share the step of whole batches and the
// evaluation; their last batches differ.
func TestSharedExecutables(t *testing.T) {
	stored := map[string]*data.Images{"train": datatest.Synth(50, 16, 10, 1), "test": datatest.Synth(10, 16, 10, 2)}
	on := func(key string) *device.Set {
		d, err := data.Published(key)
		if err != nil {
			t.Fatal(err)
		}
		c := onClasses(t, 10, 16, false)
		d.Size = [2]int{16, 16}
		if c.Data, err = data.New(d, stored); err != nil {
			t.Fatal(err)
		}
		c.Recipe.Batch = 7
		return executables(t, c)
	}
	a, b := on("cifar10"), on("cifar10-valid")
	if !a.Whole.Same(b.Whole) || !a.Evaluate.Same(b.Evaluate) || a.Ragged.Same(b.Ragged) || a.Whole.Same(a.Evaluate) {
		t.Errorf("cifar10 has %+v, cifar10-valid %+v", a, b)
	}
}
