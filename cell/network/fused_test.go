package network

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/gomlx/compute/dtypes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/cell"
	"nb201/internal/backend/devicetest"
)

// run builds a network and runs it on random images, parameters and statistics, which are always the same. It
// returns the logits, statistics and gradient of a step, and the logits of an evaluation.
func run(t *testing.T, net cell.Network, device Device) (results [4][]float64) {
	t.Helper()
	m := New(net, dtypes.Float32, device)
	random := rand.New(rand.NewPCG(1, 2))
	params, stats := make([]float64, m.Parameters), make([]float64, m.Statistics)
	for _, s := range m.Slots {
		if s.Vector == Host {
			continue
		}
		vector := params
		if s.Vector == Statistics {
			vector = stats
		}
		tensor := make([]float64, s.Len())
		fanIn := 1
		for _, n := range s.Shape[1:] {
			fanIn *= n
		}
		for i := range tensor {
			n := random.NormFloat64()
			switch s.Role {
			case cell.ConvWeight, cell.LinearWeight:
				tensor[i] = n / math.Sqrt(float64(fanIn))
			case cell.BNVar:
				tensor[i] = 1 + n*n/4
			case cell.BNWeight:
				tensor[i] = 1 + n/4
			default:
				tensor[i] = n / 4
			}
		}
		ToDevice(s, vector, tensor)
	}
	const batch = 5
	images, dLogits := make([]float64, batch*net.Size*net.Size*3), make([]float64, batch*net.Classes)
	for _, values := range [][]float64{images, dLogits} {
		for i := range values {
			values[i] = random.NormFloat64()
		}
	}
	for i, build := range []func(in []*Node) []*Node{
		func(in []*Node) []*Node {
			logits, stats, backward := m.Train(in[0], in[1], in[2])
			return []*Node{logits, stats, backward(in[3])}
		},
		func(in []*Node) []*Node { return []*Node{m.Evaluate(in[0], in[1], in[2])} },
	} {
		exec := MustNewExec(devicetest.Open(t).Backend, func(in []*Node) (out []*Node) {
			for i := range in {
				in[i] = ConvertDType(in[i], dtypes.Float32)
			}
			for _, o := range build(in) {
				out = append(out, ConvertDType(o, dtypes.Float64))
			}
			return out
		})
		out, err := exec.Call(tensors.FromValue(params), tensors.FromValue(stats),
			tensors.FromFlatDataAndDimensions(images, batch, net.Size, net.Size, 3), tensors.FromFlatDataAndDimensions(dLogits, batch, net.Classes))
		if err != nil {
			t.Fatal(err)
		}
		for k, o := range out {
			results[3*i+k] = tensors.MustCopyFlatData[float64](o)
		}
		exec.Finalize()
	}
	return results
}

// distance returns the norm of a-b as a share of that of b.
func distance(a, b []float64) float64 {
	var off, all float64
	for i := range b {
		off += (a[i] - b[i]) * (a[i] - b[i])
		all += b[i] * b[i]
	}
	return math.Sqrt(off / all)
}

// someCells draws n architectures of the topology search space.
func someCells(t *testing.T, random *rand.Rand, n int) (archs []string) {
	t.Helper()
	for range n {
		a, err := cell.Topology{}.ByIndex(random.IntN(15625))
		if err != nil {
			t.Fatal(err)
		}
		archs = append(archs, a.String())
	}
	return archs
}

// TestFused compares networks that are built from fused layers with those that are built layer by layer.
func TestFused(t *testing.T) {
	compiled := devicetest.Kernels(t)
	archs := []string{
		"|avg_pool_3x3~0|+|avg_pool_3x3~0|avg_pool_3x3~1|+|avg_pool_3x3~0|avg_pool_3x3~1|avg_pool_3x3~2|",
		"|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
		"|nor_conv_1x1~0|+|skip_connect~0|avg_pool_3x3~1|+|nor_conv_3x3~0|nor_conv_1x1~1|avg_pool_3x3~2|",
		"|skip_connect~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|avg_pool_3x3~1|skip_connect~2|",
		"|none~0|+|none~0|nor_conv_3x3~1|+|none~0|nor_conv_1x1~1|avg_pool_3x3~2|", // the images do not matter
		"|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|",
	}
	archs = append(archs, someCells(t, rand.New(rand.NewPCG(3, 4)), 6)...)
	archs = append(archs, "8:24:16:40:8", "16:16:32:8:64") // of the size search space
	for i, text := range archs {
		arch, err := cell.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		net := cell.Network{Arch: arch, Channels: 8, Cells: 1 + i%2, Classes: 7, Size: 16}
		layered := run(t, net, Device{})
		before := len(compiled())
		fused := run(t, net, Device{Kernels: true})
		calls := 0
		for _, p := range compiled()[before:] {
			calls += p.Kernels["nb201.conv_norm"] + p.Kernels["nb201.conv_scaled"]
			if strings.Contains(string(p.Text), "nb201__") {
				t.Errorf("%s: a function is left", text)
			}
		}
		if calls < 1 {
			t.Errorf("%s: %d convolutions are fused", text, calls)
		}
		for k, what := range []string{"logits", "statistics", "gradient", "evaluation"} {
			if off := distance(fused[k], layered[k]); !(off <= 1e-4) {
				t.Errorf("%s: %s is off by %.2g", text, what, off)
			}
		}
	}
}
