package cell

import (
	"math"
	"testing"
)

// The passes of cells whose traffic can be counted by hand.
func TestPasses(t *testing.T) {
	for _, test := range []struct {
		name                 string
		arch                 Arch
		training, evaluation passes
	}{
		{"no edges", Arch{}, passes{}, passes{}},
		{"skip_connect to the output", Arch{3: SkipConnect}, passes{}, passes{}},
		// The convolution reads and writes, the node reads and writes. Backward: three
		// passes of 2, 3 and 3 maps, and the gradient is written.
		{"a convolution to the output", Arch{3: NorConv3x3}, passes{2 + 2, 8 + 1}, passes{2, 0}},
		{"a pooling to the output", Arch{3: AvgPool3x3}, passes{2, 2}, passes{2, 0}},
		// No gradient reaches what leads to node 1 alone.
		{"a convolution that leads nowhere", Arch{0: NorConv1x1}, passes{4, 0}, passes{2, 0}},
		// Node 1 is the input, so that its gradient and the output's are the same map.
		{"skip_connect and then a convolution", Arch{0: SkipConnect, 4: NorConv3x3}, passes{4, 9}, passes{2, 0}},
		// Two terms: the node reads both and writes. The input has two consumers of its
		// gradient: it is written twice and read once.
		{"two ways to the output", Arch{0: NorConv1x1, 3: SkipConnect, 4: NorConv1x1},
			passes{4 + 2 + 3, 8 + 1 + 8 + 1 + 3}, passes{2 + 2 + 3, 0}},
	} {
		for training, want := range map[bool]passes{true: test.training, false: test.evaluation} {
			if got := test.arch.passes(training); got != want {
				t.Errorf("%s, training %t: %+v, want %+v", test.name, training, got, want)
			}
		}
	}
}

// A network whose maps are counted by hand: C=16, N=1, one convolution to the output.
func TestTraffic(t *testing.T) {
	n := Network{Arch: Arch{3: NorConv3x3}, Channels: 16, Cells: 1, Classes: 10, Size: 32}
	const image, map1, map2, map3 = 3 * 32 * 32, 16 * 32 * 32, 32 * 16 * 16, 64 * 8 * 8
	want := Traffic{
		Forward: image + (3+4)*map1 + // stem, cell
			2*map1 + (7+4)*map2 + 2*map2 + (7+4)*map3 + // reduction, cell, reduction, cell
			map3, // head
		Backward:   image + (4+9)*map1 + 6*map1 + (17+9)*map2 + 6*map2 + (17+9)*map3 + 3*map3,
		Parameters: 8 * n.Params() * 1e6,
	}
	got := n.TrainingTraffic(2, 4)
	for _, c := range []struct{ got, want float64 }{
		{got.Forward, want.Forward * 2 * 4}, {got.Backward, want.Backward * 2 * 4}, {got.Parameters, want.Parameters * 4},
	} {
		if math.Abs(c.got-c.want) > 1e-9*c.want {
			t.Errorf("%+v, want %+v times 4 bytes, of two images", got, want)
			break
		}
	}
	if e := n.EvaluationTraffic(2, 4); e.Backward != 0 || e.Forward >= got.Forward {
		t.Errorf("evaluation moves %+v, training %+v", e, got)
	}
}

// More operations never move less: every architecture lies between none and all 3x3.
func TestTrafficOfAll(t *testing.T) {
	network := Network{Channels: 16, Cells: 5, Classes: 10, Size: 32}
	traffic := func(a Arch) (training, evaluation float64) {
		network.Arch = a
		return network.TrainingTraffic(256, 4).Total(), network.EvaluationTraffic(256, 4).Total()
	}
	least, leastEvaluation := traffic(Arch{})
	most, mostEvaluation := traffic(Arch{NorConv3x3, NorConv3x3, NorConv3x3, NorConv3x3, NorConv3x3, NorConv3x3})
	for i, a := range All() {
		training, evaluation := traffic(a)
		if training < least || training > most || evaluation < leastEvaluation || evaluation > mostEvaluation || evaluation >= training {
			t.Errorf("architecture %d: a step moves %v, evaluation %v; want %v-%v and %v-%v",
				i, training, evaluation, least, most, leastEvaluation, mostEvaluation)
		}
	}
}
