package train

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/backend/devicetest"
)

// Latency returns the seconds of the timed runs, whose sum is less than the time of all runs.
func TestLatency(t *testing.T) {
	n := cell.Network{Arch: archOf(t, "1462"), Channels: 2, Cells: 1, Classes: 10, Size: 8}
	widths := cell.Network{Arch: archOf(t, lightWidths), Classes: 10, Size: 8}
	for _, test := range []struct {
		network   cell.Network
		precision configs.Precision
	}{{n, configs.FP32}, {n, configs.BF16}, {widths, configs.FP32}, {widths, configs.BF16}} {
		began := time.Now()
		seconds, err := Latency(t.Context(), openBackend(t), test.network, test.precision, 4, 5)
		most := time.Since(began).Seconds()
		if err != nil || len(seconds) != 5 {
			t.Fatalf("%+v: %v, %v", test, seconds, err)
		}
		for _, s := range seconds {
			if most -= s; !(s > 0) {
				t.Errorf("%+v: a latency of %v", test, s)
			}
		}
		if most < 0 {
			t.Errorf("%+v: %v take longer than all", test, seconds)
		}
	}
	// The latency grows with the amount of work.
	small, err1 := Latency(t.Context(), openBackend(t), n, configs.FP32, 4, 5)
	n.Size = 32
	images := 256
	if devicetest.OnGPU(t) {
		n.Channels, images = 16, 4096 // a smaller batch takes no longer than starting its kernels
	}
	large, err2 := Latency(t.Context(), openBackend(t), n, configs.FP32, images, 5)
	if err := errors.Join(err1, err2); err != nil || !(slices.Min(large) > 3*slices.Min(small)) {
		t.Errorf("4 images of 8x8: %v; %d of 32x32: %v (%v)", small, images, large, err)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if seconds, err := Latency(ctx, openBackend(t), n, configs.FP32, 4, 5); !errors.Is(err, context.Canceled) || seconds != nil {
		t.Errorf("cancelled: %v, %v", seconds, err)
	}
	n.Size = 7
	if _, err := Latency(t.Context(), openBackend(t), n, configs.FP32, 4, 5); err == nil || !strings.Contains(err.Error(), "architecture 1462") {
		t.Errorf("a network of no such images: %v", err)
	}
}

// A trial with the published batch size measures its latency; others do not.
func TestLatencyOfTrial(t *testing.T) {
	c := onClasses(t, 3, 8, false)
	if seconds, err := newTrial(c, nil, nil).measureLatency(); seconds != nil || err != nil {
		t.Errorf("in batches of %d: %v, %v", c.Recipe.Batch, seconds, err)
	}
	images := datatest.Synth(LatencyBatch, 8, 3, 1)
	var err error
	if c.Data, err = data.New(c.Definition, map[string]*data.Images{"train": images, "test": images}); err != nil {
		t.Fatal(err)
	}
	c.Recipe.Batch = LatencyBatch
	o, _ := finish(t, openSession(t), c)
	if l := o.Record.Latency; len(l) != LatencyRuns || slices.Min(l) <= 0 {
		t.Errorf("in batches of %d: %v", LatencyBatch, l)
	}
}
