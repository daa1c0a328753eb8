package cell

import (
	"math"
	"slices"
	"testing"
)

// The passes of cells that can be counted by hand, in maps.
func TestPassesOfCells(t *testing.T) {
	const forward, backward = false, true
	const conv1, conv3 = "nor_conv_1x1", "nor_conv_3x3"
	for _, test := range []struct {
		name                 string
		arch                 Cell
		training, evaluation []cellPass
	}{
		{"no edges", Cell{}, nil, nil},
		{"skip_connect to the output", Cell{3: SkipConnect}, nil, nil},
		{"a pooling to the output", Cell{3: AvgPool3x3},
			[]cellPass{{"sum", forward, 2, 0, 0, 0, 0}, {"sum", backward, 2, 0, 0, 0, 0}},
			[]cellPass{{"sum", forward, 2, 0, 0, 0, 0}}},
		// The next layer normalises the convolution's output while it reads it.
		{"a convolution to the output", Cell{3: NorConv3x3},
			[]cellPass{{conv3, forward, 2, 3, 1, 0, 0}, {conv3, backward, 2, 3, 0, 0, 0}, {conv3, backward, 4, 3, 2, 0, 0}},
			[]cellPass{{conv3, forward, 2, 3, 1, 0, 0}}},
		// Node 1 is the input, and both share one gradient map.
		{"skip_connect and then a convolution", Cell{0: SkipConnect, 4: NorConv3x3},
			[]cellPass{{conv3, forward, 2, 3, 1, 0, 0}, {conv3, backward, 2, 3, 0, 0, 0}, {conv3, backward, 4, 3, 2, 0, 0}},
			[]cellPass{{conv3, forward, 2, 3, 1, 0, 0}}},
		// No gradient reaches what leads to node 1 alone. Its statistics still count.
		{"a convolution that leads nowhere", Cell{0: NorConv1x1, 3: SkipConnect},
			[]cellPass{{conv1, forward, 2, 1, 1, 0, 0}, {conv1, backward, 0, 1, 0, 0, 0}, {conv1, backward, 0, 1, 2, 0, 0}},
			[]cellPass{{conv1, forward, 0, 1, 1, 0, 0}}},
		{"a convolution of zeros", Cell{4: NorConv1x1},
			[]cellPass{{conv1, forward, 0, 1, 1, 0, 0}, {conv1, backward, 0, 1, 0, 0, 0}, {conv1, backward, 0, 1, 2, 0, 0}},
			[]cellPass{{conv1, forward, 0, 1, 1, 0, 0}}},
		// Forward, the output's sum reads two maps and writes one. Backward, the first
		// convolution adds the output's gradient to that of the input, just as in evaluation
		// the second convolution adds the input to the output.
		{"two ways to the output", Cell{0: NorConv1x1, 3: SkipConnect, 4: NorConv1x1},
			[]cellPass{
				{conv1, forward, 2, 1, 1, 0, 0}, {conv1, backward, 2, 1, 0, 0, 0}, {conv1, backward, 5, 1, 2, 0, 0},
				{conv1, forward, 2, 1, 1, 0, 0}, {conv1, backward, 2, 1, 0, 0, 0}, {conv1, backward, 4, 1, 2, 0, 0},
				{"sum", forward, 3, 0, 0, 0, 0},
			},
			[]cellPass{{conv1, forward, 2, 1, 1, 0, 0}, {conv1, forward, 3, 1, 1, 0, 0}}},
		// Architecture 0: nodes 1 and 2 are never written, because no convolution reads them.
		// The output sums three maps: the input, pooled and doubled, and those of the two
		// convolutions. The gradient of node 2 is the output's. The gradient of the input sums
		// three maps: the output's, pooled and doubled, and the two that the convolutions
		// write; the second convolution reads the first one's and the output's.
		{"pooling, skip_connect and two convolutions", Cell{AvgPool3x3, NorConv1x1, SkipConnect, NorConv1x1, SkipConnect, SkipConnect},
			[]cellPass{
				{conv1, forward, 2, 1, 1, 0, 0}, {conv1, backward, 2, 1, 0, 0, 0}, {conv1, backward, 4, 1, 2, 0, 0},
				{conv1, forward, 2, 1, 1, 0, 0}, {conv1, backward, 2, 1, 0, 0, 0}, {conv1, backward, 4 + 1 + 1, 1, 2, 0, 0},
				{"sum", forward, 4, 0, 0, 0, 0},
			},
			[]cellPass{{conv1, forward, 2, 1, 1, 0, 0}, {conv1, forward, 2 + 1 + 1, 1, 1, 0, 0}}},
		// A convolution reads one map, so the pooled input is written for the smaller kernel.
		// Where the larger kernel can add, it does: the smaller one's output in evaluation,
		// and the gradient of the pooling backward.
		{"a pooling before the smaller kernel", Cell{0: AvgPool3x3, 1: NorConv3x3, 2: NorConv1x1, 5: NorConv3x3},
			[]cellPass{
				{conv3, forward, 2, 3, 1, 0, 0}, {conv3, backward, 2, 3, 0, 0, 0}, {conv3, backward, 4 + 1, 3, 2, 0, 0},
				{conv1, forward, 2, 1, 1, 0, 0}, {conv1, backward, 2, 1, 0, 0, 0}, {conv1, backward, 4, 1, 2, 0, 0},
				{conv3, forward, 2, 3, 1, 0, 0}, {conv3, backward, 2, 3, 0, 0, 0}, {conv3, backward, 4, 3, 2, 0, 0},
				{"sum", forward, 2, 0, 0, 0, 0}, {"sum", forward, 3, 0, 0, 0, 0},
			},
			[]cellPass{
				{conv3, forward, 2 + 1, 3, 1, 0, 0}, {conv1, forward, 2, 1, 1, 0, 0}, {conv3, forward, 2, 3, 1, 0, 0},
				{"sum", forward, 2, 0, 0, 0, 0},
			}},
		// A convolution cannot add its pooled output while it writes that output.
		{"a pooling behind a convolution", Cell{0: NorConv1x1, 4: AvgPool3x3},
			[]cellPass{
				{conv1, forward, 2, 1, 1, 0, 0}, {conv1, backward, 2, 1, 0, 0, 0}, {conv1, backward, 4, 1, 2, 0, 0},
				{"sum", forward, 2, 0, 0, 0, 0}, {"sum", backward, 2, 0, 0, 0, 0},
			},
			[]cellPass{{conv1, forward, 2, 1, 1, 0, 0}, {"sum", forward, 2, 0, 0, 0, 0}}},
	} {
		if got, _ := (Module{Cell: test.arch, In: 2, Out: 2}).passes(true); !slices.Equal(alike(got), test.training) {
			t.Errorf("%s, training:\n%v, want\n%v", test.name, got, test.training)
		}
		got, _ := (Module{Cell: test.arch, In: 2, Out: 2}).passes(false)
		got = slices.DeleteFunc(got, func(p cellPass) bool { return p.backward })
		if !slices.Equal(alike(got), test.evaluation) {
			t.Errorf("%s, evaluation:\n%v, want\n%v", test.name, got, test.evaluation)
		}
	}
}

// alike returns passes without the numbers that matter only where the maps of a cell differ in size.
func alike(passes []cellPass) []cellPass {
	for i := range passes {
		passes[i].edge, passes[i].inputs = 0, 0
	}
	return passes
}

// Networks whose passes are counted by hand: C=2, N=1, three classes, images of 4x4, of
// which there are two. A map has 32, 16 and 8 elements in the three stages.
func TestPassesOfNetworks(t *testing.T) {
	const forward, backward = false, true
	pass := func(layer string, backward bool, elements, parameters, multiplyAdds float64) Pass {
		return Pass{layer, backward, 2 * 4 * elements, 4 * parameters, 2 * 2 * multiplyAdds}
	}
	for _, test := range []struct {
		name   string
		arch   Cell
		passes func(n Network, batch, elementBytes int) Passes
		want   Passes
	}{
		{
			"training", Cell{3: NorConv3x3}, Network.TrainingPasses, Passes{
				pass("stem", forward, 48+32, 54+4, 54*16), pass("stem", backward, 32+32, 0, 0), pass("stem", backward, 32+32+48, 2*(54+4), 54*16), pass("stem", backward, 0, 0, 54*16),
				pass("nor_conv_3x3", forward, 2*32, 36+4, 36*16), pass("nor_conv_3x3", backward, 2*32, 0, 0), pass("nor_conv_3x3", backward, 4*32, 2*(36+4), 2*36*16),
				pass("conv_a", forward, 32+16, 72+8, 72*4), pass("conv_a", backward, 2*16, 0, 0), pass("conv_a", backward, 3*16+2*32, 2*(72+8), 2*72*4),
				pass("conv_b", forward, 2*16, 144+8, 144*4), pass("conv_b", backward, 2*16, 0, 0), pass("conv_b", backward, 4*16, 2*(144+8), 2*144*4),
				pass("shortcut", forward, 32+2*16, 8, 8*4), pass("shortcut", backward, 32+2*16, 2*8, 2*8*4),
				pass("nor_conv_3x3", forward, 2*16, 144+8, 144*4), pass("nor_conv_3x3", backward, 2*16, 0, 0), pass("nor_conv_3x3", backward, 4*16, 2*(144+8), 2*144*4),
				pass("conv_a", forward, 16+8, 288+16, 288), pass("conv_a", backward, 2*8, 0, 0), pass("conv_a", backward, 3*8+2*16, 2*(288+16), 2*288),
				pass("conv_b", forward, 2*8, 576+16, 576), pass("conv_b", backward, 2*8, 0, 0), pass("conv_b", backward, 4*8, 2*(576+16), 2*576),
				pass("shortcut", forward, 16+2*8, 32, 32), pass("shortcut", backward, 16+2*8, 2*32, 2*32),
				pass("nor_conv_3x3", forward, 2*8, 576+16, 576), pass("nor_conv_3x3", backward, 2*8, 0, 0), pass("nor_conv_3x3", backward, 4*8, 2*(576+16), 2*576),
				pass("head", forward, 8, 27+16, 27), pass("head", backward, 2*8, 2*(27+16), 2*27),
				pass("update", backward, 0, 5*2053, 0),
			},
		},
		{
			"evaluation", Cell{0: NorConv1x1, 3: SkipConnect, 4: NorConv1x1}, Network.EvaluationPasses, Passes{
				pass("stem", forward, 48+32, 54+4, 54*16),
				pass("nor_conv_1x1", forward, 2*32, 4+4, 4*16), pass("nor_conv_1x1", forward, 3*32, 4+4, 4*16),
				pass("conv_a", forward, 32+16, 72+8, 72*4), pass("conv_b", forward, 2*16, 144+8, 144*4), pass("shortcut", forward, 32+2*16, 8, 8*4),
				pass("nor_conv_1x1", forward, 2*16, 16+8, 16*4), pass("nor_conv_1x1", forward, 3*16, 16+8, 16*4),
				pass("conv_a", forward, 16+8, 288+16, 288), pass("conv_b", forward, 2*8, 576+16, 576), pass("shortcut", forward, 16+2*8, 32, 32),
				pass("nor_conv_1x1", forward, 2*8, 64+16, 64), pass("nor_conv_1x1", forward, 3*8, 64+16, 64),
				pass("head", forward, 8, 27+16, 27),
			},
		},
		{
			// Only what the running statistics of the stem and the first cell need is left.
			"a cell without a way to its output", Cell{0: NorConv1x1}, Network.TrainingPasses, Passes{
				pass("stem", forward, 48+32, 54+4, 54*16), pass("stem", backward, 0, 0, 0), pass("stem", backward, 0, 0, 54*16), pass("stem", backward, 0, 0, 54*16),
				pass("nor_conv_1x1", forward, 2*32, 4+4, 4*16), pass("nor_conv_1x1", backward, 0, 0, 0), pass("nor_conv_1x1", backward, 0, 0, 2*4*16),
				pass("conv_a", forward, 0, 0, 72*4), pass("conv_a", backward, 0, 0, 0), pass("conv_a", backward, 0, 0, 2*72*4),
				pass("conv_b", forward, 0, 0, 144*4), pass("conv_b", backward, 0, 0, 0), pass("conv_b", backward, 0, 0, 2*144*4),
				pass("shortcut", forward, 0, 0, 8*4), pass("shortcut", backward, 0, 0, 2*8*4),
				pass("nor_conv_1x1", forward, 0, 0, 16*4), pass("nor_conv_1x1", backward, 0, 0, 0), pass("nor_conv_1x1", backward, 0, 0, 2*16*4),
				pass("conv_a", forward, 0, 0, 288), pass("conv_a", backward, 0, 0, 0), pass("conv_a", backward, 0, 0, 2*288),
				pass("conv_b", forward, 0, 0, 576), pass("conv_b", backward, 0, 0, 0), pass("conv_b", backward, 0, 0, 2*576),
				pass("shortcut", forward, 0, 0, 32), pass("shortcut", backward, 0, 0, 2*32),
				pass("nor_conv_1x1", forward, 0, 0, 64), pass("nor_conv_1x1", backward, 0, 0, 0), pass("nor_conv_1x1", backward, 0, 0, 2*64),
				pass("head", forward, 0, 0, 27), pass("head", backward, 0, 0, 2*27),
				pass("update", backward, 0, 5*1381, 0),
			},
		},
	} {
		n := Network{Arch: test.arch, Channels: 2, Cells: 1, Classes: 3, Size: 4}
		got, want := test.passes(n, 2, 4), test.want
		for i := range max(len(got), len(want)) {
			if i >= len(got) || i >= len(want) || got[i] != want[i] {
				t.Errorf("%s, pass %d: have\n%+v, want\n%+v", test.name, i, got[min(i, len(got)):], want[min(i, len(want)):])
				break
			}
		}
	}
}

// The passes of every architecture have the FLOP of the network, three times in training.
// They move each parameter eight times, or once in evaluation, unless some pass moves
// nothing. Their bytes are between those of no operation and of 3x3 convolutions on all edges.
func TestPassesOfAll(t *testing.T) {
	network := Network{Channels: 16, Cells: 5, Classes: 10, Size: 32}
	for _, phase := range []struct {
		name            string
		passes          func(n Network, batch, elementBytes int) Passes
		flop, parameter float64
	}{
		{"training", Network.TrainingPasses, 3 * 2, 8 * 4},
		{"evaluation", Network.EvaluationPasses, 2, 4},
	} {
		network.Arch = Cell{}
		least := phase.passes(network, 256, 4).Traffic()
		network.Arch = Cell{NorConv3x3, NorConv3x3, NorConv3x3, NorConv3x3, NorConv3x3, NorConv3x3}
		most := phase.passes(network, 256, 4).Traffic()
		for i, a := range official().archs {
			network.Arch = a
			passes := phase.passes(network, 256, 4)
			flop, idle := 0.0, false
			for _, p := range passes {
				flop += p.FLOP
				idle = idle || p.Layer != "stem" && p.FLOP > 0 && p.Bytes() == 0
			}
			if want := phase.flop * network.FLOPs() * 1e6 * 256; math.Abs(flop-want) > 1e-9*want {
				t.Fatalf("architecture %d, %s: %v FLOP, want %v", i, phase.name, flop, want)
			}
			traffic := passes.Traffic()
			if want := phase.parameter * network.Params() * 1e6; traffic.Parameters > (1+1e-9)*want || !idle && traffic.Parameters < (1-1e-9)*want {
				t.Fatalf("architecture %d, %s: %v bytes of parameters, want %v, or less if %t", i, phase.name, traffic.Parameters, want, idle)
			}
			if traffic.Forward < least.Forward || traffic.Forward > most.Forward || traffic.Backward < least.Backward || traffic.Backward > most.Backward {
				t.Fatalf("architecture %d, %s: %+v, want from %+v to %+v", i, phase.name, traffic, least, most)
			}
			half := phase.passes(network, 256, 2).Traffic()
			if 2*half.Forward != traffic.Forward || 2*half.Backward != traffic.Backward || half.Parameters != traffic.Parameters {
				t.Fatalf("architecture %d, %s: %+v with elements of 2 bytes, %+v with 4", i, phase.name, half, traffic)
			}
		}
	}
}

// The passes of a step never move more than XLA's program for it. XLA's bytes are the
// operands and results of every kernel in the optimised HLO that XLA 0.11.2's CUDA plugin
// makes for an H100, without the stored images.
func TestXLAMovesMore(t *testing.T) {
	training, evaluation := Network.TrainingPasses, Network.EvaluationPasses
	for _, test := range []struct {
		arch                              string
		cells, classes, size, elementSize int
		passes                            func(n Network, batch, elementBytes int) Passes
		gigabytes                         float64
	}{
		{"0", 5, 10, 32, 4, training, 5.62},
		{"14452", 5, 10, 32, 4, training, 5.91},
		{"1462", 5, 10, 32, 4, training, 14.27},
		{"14452", 5, 10, 32, 2, training, 3.26},
		{"14452", 5, 120, 16, 4, training, 1.61},
		{"14452", 5, 10, 32, 4, evaluation, 1.69},
		{"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", 2, 10, 32, 4, training, 0.19},
		{"|none~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|none~2|", 2, 10, 32, 4, training, 1.02},
		{"|none~0|+|none~0|none~1|+|avg_pool_3x3~0|none~1|none~2|", 2, 10, 32, 4, evaluation, 0.35},
		{"|skip_connect~0|+|skip_connect~0|none~1|+|none~0|skip_connect~1|skip_connect~2|", 2, 10, 32, 4, training, 0.77},
		{"|nor_conv_1x1~0|+|none~0|none~1|+|none~0|avg_pool_3x3~1|none~2|", 2, 10, 32, 4, evaluation, 0.51},
		{"|skip_connect~0|+|none~0|skip_connect~1|+|none~0|nor_conv_1x1~1|nor_conv_3x3~2|", 2, 10, 32, 4, training, 2.53},
	} {
		arch, err := Resolve(Topology{}, test.arch)
		if err != nil {
			t.Fatal(err)
		}
		n := Network{Arch: arch, Channels: 16, Cells: test.cells, Classes: test.classes, Size: test.size}
		if got := test.passes(n, 256, test.elementSize).Traffic(); got.Total() > test.gigabytes*1e9 {
			t.Errorf("%+v, elements of %d bytes: %+v, more than the %v GB of XLA", n, test.elementSize, got, test.gigabytes)
		}
	}
}
