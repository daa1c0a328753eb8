package train

import (
	"errors"
	"math"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/torchfile"
	"nb201/results"
)

// deadEnd has a convolution that does not reach the output, so that its faults do not show in the loss.
const deadEnd = "|nor_conv_3x3~0|+|skip_connect~0|none~1|+|skip_connect~0|none~1|none~2|"

// startingFrom configures a small trial with changed initial weights.
func startingFrom(t *testing.T, genotype string, precision configs.Precision, change func(torchfile.StateDict)) Config {
	t.Helper()
	c := small(t)
	var err error
	if c.Network.Arch, err = cell.Parse(genotype); err != nil {
		t.Fatal(err)
	}
	c.Trial.Arch, c.Settings.Precision = c.Network.Arch.Index(), precision
	weights := newTrial(c, nil, nil).seed()
	change(weights)
	c.Initial = &Initial{File: results.StartWeights{File: results.File{Name: "W.pth"}}, Weights: weights}
	return c
}

// set sets the first value of the tensors with a name that ends so.
func set(t *testing.T, weights torchfile.StateDict, suffix string, value float32) {
	t.Helper()
	found := false
	for _, w := range weights {
		if strings.HasSuffix(w.Name, suffix) {
			w.Float32[0], found = value, true
		}
	}
	if !found {
		t.Fatalf("no tensor is called %s", suffix)
	}
}

// A trial fails if its state is not that of a trained network, whether or not this shows in the loss.
func TestDivergedState(t *testing.T) {
	plain := small(t).Network.Arch.String()
	for _, test := range []struct {
		name, genotype string
		precision      configs.Precision
		tensor         string
		value          float32
		want           string
	}{
		{"overflow before the last ReLU", plain, configs.FP32, "stem.0.weight", 3e38, "the loss is NaN at epoch 0, step "},
		{"overflow before the last ReLU", plain, configs.BF16, "stem.0.weight", 3e38, "the loss is NaN at epoch 0, step "},
		{"variance", plain, configs.FP32, "cells.1.conv_a.op.2.running_var", -1e6, "the loss is NaN at epoch 0, step 0 (ori-test)"},
		{"overflow in a dead end", deadEnd, configs.FP32, "cells.0.layers.0.op.1.weight", 3e38, "the running statistics are not finite at epoch 0, step "},
		{"variance in a dead end", deadEnd, configs.FP32, "cells.0.layers.0.op.2.running_var", -1e6,
			"1 variances in cells.0.layers.0.op.2.running_var are negative at epoch 1, step 5 (train)"},
		{"beyond float32 in a dead end", deadEnd, configs.FP64, "cells.0.layers.0.op.1.weight", 3e38,
			"1 values of cells.0.layers.0.op.2.running_var are not finite at epoch 1, step 5 (train)"},
	} {
		c := startingFrom(t, test.genotype, test.precision, func(weights torchfile.StateDict) { set(t, weights, test.tensor, test.value) })
		_, err := openSession(t).Run(t.Context(), c, func(Progress) {})
		var diverged *Diverged
		if !errors.As(err, &diverged) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s, %s: %v, want %q", test.name, test.precision, err, test.want)
		}
	}
}

// TestEvaluateNaN evaluates weights with which the network computes NaN.
func TestEvaluateNaN(t *testing.T) {
	for _, precision := range []configs.Precision{configs.FP32, configs.BF16, configs.FP64} {
		c := startingFrom(t, small(t).Network.Arch.String(), precision, func(weights torchfile.StateDict) {
			set(t, weights, "lastact.0.running_var", -1)
		})
		sets, err := openSession(t).Evaluate(t.Context(), c, c.Initial.Weights, func(Progress) {})
		var diverged *Diverged
		if !errors.As(err, &diverged) || !math.IsNaN(diverged.Loss) {
			t.Errorf("%s: %v, %v", precision, sets, err)
		}
	}
}
