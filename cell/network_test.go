package cell

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nb201/internal/golden"
	"nb201/internal/usage"
)

// checkCosts compares with published or golden costs, in millions.
func checkCosts(t *testing.T, n Network, flops, params float64) {
	t.Helper()
	if got := n.FLOPs(); math.Abs(got-flops) > 1e-9 {
		t.Errorf("%+v: %v M FLOPs, want %v", n, got, flops)
	}
	if got := n.Params(); math.Abs(got-params) > 1e-9 {
		t.Errorf("%+v: %v M parameters, want %v", n, got, params)
	}
}

func TestGoldenFlops(t *testing.T) {
	var vectors struct {
		Rows map[int]map[int][2]float64 // index -> classes -> FLOPs, parameters
	}
	golden.Load(t, "flops.json", &vectors)
	for i, row := range vectors.Rows {
		a, err := Topology{}.ByIndex(i)
		if err != nil {
			t.Fatal(err)
		}
		for classes, costs := range row {
			size := 32
			if classes == 120 {
				size = 16 // ImageNet16-120
			}
			checkCosts(t, Network{a, 16, 5, classes, size}, costs[0], costs[1])
		}
	}
}

func TestCostsOfPublishedRecords(t *testing.T) {
	shapes := map[string][2]int{ // classes, image side
		"cifar10-valid": {10, 32}, "cifar10": {10, 32}, "cifar100": {100, 32}, "ImageNet16-120": {120, 16},
	}
	for _, i := range []int{0, 11} {
		a, err := Topology{}.ByIndex(i)
		if err != nil {
			t.Fatal(err)
		}
		var record map[string]struct { // by "schedule|dataset key|seed"
			FLOPs  float64 `json:"flop_M"`
			Params float64 `json:"params_MB"`
		}
		readJSON(t, fmt.Sprintf("%06d.summary.json", i), &record)
		seen := make(map[string]bool)
		for trial, costs := range record {
			dataset := strings.Split(trial, "|")[1]
			seen[dataset] = true
			checkCosts(t, Network{a, 16, 5, shapes[dataset][0], shapes[dataset][1]}, costs.FLOPs, costs.Params)
		}
		if len(seen) != len(shapes) {
			t.Errorf("record %d covers %v only", i, seen)
		}
	}
}

func TestGoldenStateKeys(t *testing.T) {
	for _, name := range golden.Glob(t, "*init_*.json") {
		var vectors struct {
			Cases []struct {
				Arch    string `json:"arch_str"`
				Classes int
				C, N    int               // absent in the size search space
				Shape   [4]int            `json:"xshape"`
				Keys    []string          `json:"state_keys_in_order"` // null in most cases
				Drawn   map[string]string `json:"sha256"`
				FLOPs   float64           `json:"flop"`
				Params  float64           `json:"param"`
			}
		}
		golden.Load(t, name, &vectors)
		for i, c := range vectors.Cases {
			t.Run(fmt.Sprintf("%s/%d", name, i), func(t *testing.T) {
				arch, err := Parse(c.Arch)
				if err != nil {
					t.Fatal(err)
				}
				n := Network{arch, c.C, c.N, c.Classes, c.Shape[2]}
				var keys []string
				drawn := 0
				for _, tensor := range n.Tensors() {
					keys = append(keys, tensor.Name)
					_, isDrawn := c.Drawn[tensor.Name]
					wantDrawn := slices.Contains([]Role{ConvWeight, LinearWeight, LinearBias}, tensor.Role)
					if isDrawn != wantDrawn {
						t.Errorf("%s: drawn is %v, role %d says %v", tensor.Name, isDrawn, tensor.Role, wantDrawn)
					}
					if isDrawn {
						drawn++
					}
				}
				if c.Keys != nil && !slices.Equal(keys, c.Keys) {
					t.Errorf("%d state keys, want %d; first difference: %s", len(keys), len(c.Keys), firstDifference(keys, c.Keys))
				}
				if drawn != len(c.Drawn) {
					t.Errorf("%d drawn tensors, want %d", drawn, len(c.Drawn))
				}
				checkCosts(t, n, c.FLOPs, c.Params)
			})
		}
	}
}

func firstDifference(got, want []string) string {
	for i := range min(len(got), len(want)) {
		if got[i] != want[i] {
			return fmt.Sprintf("number %d is %s, want %s", i, got[i], want[i])
		}
	}
	return "the length"
}

// The formulas must agree, for every architecture and many dimensions, with a
// count over the tensors' shapes.
func TestCostsEqualTensorSizes(t *testing.T) {
	for i, a := range official().archs {
		n := Network{a, 1 + i%23, 1 + i%6, 2 + i%130, 4 * (1 + i%9)}
		if err := n.Validate(); err != nil {
			t.Fatal(err)
		}
		var params, flops int
		for _, tensor := range n.Tensors() {
			if !tensor.Role.Trainable() {
				continue
			}
			params += tensor.Len()
			switch tensor.Role {
			case ConvWeight:
				side := n.Size
				if path := strings.Split(tensor.Name, "."); path[0] == "cells" {
					index, err := strconv.Atoi(path[1])
					if err != nil {
						t.Fatal(err)
					}
					side >>= (index + 1) / (n.Cells + 1) // cells N and 2N+1 halve it
				}
				flops += tensor.Len() * side * side
			case LinearWeight, LinearBias:
				flops += tensor.Len()
			}
		}
		checkCosts(t, n, float64(flops)/1e6, float64(params)/1e6)
		if t.Failed() {
			return
		}
	}
}

func TestTensorShapes(t *testing.T) {
	n := Network{parse(t, "|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|"), 2, 1, 7, 8}
	var got []string
	for _, tensor := range n.Tensors() {
		if strings.Contains(tensor.Name, ".running_") || tensor.Role == BNBias {
			continue
		}
		got = append(got, fmt.Sprint(tensor.Name, " ", tensor.Shape, " ", tensor.Role))
	}
	cellOf := func(i, c int) []string {
		return []string{
			fmt.Sprintf("cells.%d.layers.0.op.1.weight [%d %d 3 3] %d", i, c, c, ConvWeight),
			fmt.Sprintf("cells.%d.layers.0.op.2.weight [%d] %d", i, c, BNWeight),
			fmt.Sprintf("cells.%d.layers.0.op.2.num_batches_tracked [] %d", i, BNCount),
			fmt.Sprintf("cells.%d.layers.2.op.1.weight [%d %d 1 1] %d", i, c, c, ConvWeight),
			fmt.Sprintf("cells.%d.layers.2.op.2.weight [%d] %d", i, c, BNWeight),
			fmt.Sprintf("cells.%d.layers.2.op.2.num_batches_tracked [] %d", i, BNCount),
		}
	}
	reduction := func(i, c int) []string {
		return []string{
			fmt.Sprintf("cells.%d.conv_a.op.1.weight [%d %d 3 3] %d", i, 2*c, c, ConvWeight),
			fmt.Sprintf("cells.%d.conv_a.op.2.weight [%d] %d", i, 2*c, BNWeight),
			fmt.Sprintf("cells.%d.conv_a.op.2.num_batches_tracked [] %d", i, BNCount),
			fmt.Sprintf("cells.%d.conv_b.op.1.weight [%d %d 3 3] %d", i, 2*c, 2*c, ConvWeight),
			fmt.Sprintf("cells.%d.conv_b.op.2.weight [%d] %d", i, 2*c, BNWeight),
			fmt.Sprintf("cells.%d.conv_b.op.2.num_batches_tracked [] %d", i, BNCount),
			fmt.Sprintf("cells.%d.downsample.1.weight [%d %d 1 1] %d", i, 2*c, c, ConvWeight),
		}
	}
	want := slices.Concat(
		[]string{
			fmt.Sprintf("stem.0.weight [2 3 3 3] %d", ConvWeight),
			fmt.Sprintf("stem.1.weight [2] %d", BNWeight),
			fmt.Sprintf("stem.1.num_batches_tracked [] %d", BNCount),
		},
		cellOf(0, 2), reduction(1, 2), cellOf(2, 4), reduction(3, 4), cellOf(4, 8),
		[]string{
			fmt.Sprintf("lastact.0.weight [8] %d", BNWeight),
			fmt.Sprintf("lastact.0.num_batches_tracked [] %d", BNCount),
			fmt.Sprintf("classifier.weight [7 8] %d", LinearWeight),
			fmt.Sprintf("classifier.bias [7] %d", LinearBias),
		})
	if !slices.Equal(got, want) {
		t.Errorf("%d tensors, want %d; first difference: %s", len(got), len(want), firstDifference(got, want))
	}
}

func TestValidate(t *testing.T) {
	tests := []struct {
		network Network
		want    string // part of the error; none where empty
	}{
		{Network{Arch: Cell{}, Channels: 16, Cells: 5, Classes: 10, Size: 32}, ""},
		{Network{Arch: Cell{}, Channels: 1, Cells: 1, Classes: 2, Size: 4}, ""},
		{Network{Arch: Cell{}, Channels: 0, Cells: 5, Classes: 10, Size: 32}, "0 channels"},
		{Network{Arch: Cell{}, Channels: -16, Cells: 5, Classes: 10, Size: 32}, "-16 channels"},
		{Network{Arch: Cell{}, Channels: 4096, Cells: 5, Classes: 10, Size: 32}, ""},
		{Network{Arch: Cell{}, Channels: 4097, Cells: 5, Classes: 10, Size: 32}, "may each be at most 4096"},
		{Network{Arch: Cell{NorConv1x1}, Channels: 4096, Cells: 4096, Classes: 10, Size: 1024}, "million parameters; use fewer"}, // its FLOPs overflow
		{Network{Arch: Cell{}, Channels: 16, Cells: 0, Classes: 10, Size: 32}, "0 cells"},
		{Network{Arch: Cell{}, Channels: 16, Cells: 5, Classes: 1, Size: 32}, "1 classes"},
		{Network{Arch: Cell{}, Channels: 16, Cells: 5, Classes: 10, Size: 0}, "0x0 pixels"},
		{Network{Arch: Cell{}, Channels: 16, Cells: 5, Classes: 10, Size: -4}, "-4x-4 pixels"},
		{Network{Arch: Cell{}, Channels: 16, Cells: 5, Classes: 10, Size: 30}, "30x30 pixels; use a multiple of 4"},
	}
	for _, tt := range tests {
		err := tt.network.Validate()
		if tt.want == "" {
			if err != nil {
				t.Errorf("%+v is refused: %v", tt.network, err)
			}
		} else if err == nil || !strings.Contains(err.Error(), tt.want) || !usage.Is(err) {
			t.Errorf("%+v gives %v, want a usage error with %q", tt.network, err, tt.want)
		}
	}
}
