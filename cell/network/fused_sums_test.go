package network

import (
	"fmt"
	"math/rand/v2"
	"regexp"
	"slices"
	"strconv"
	"testing"

	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/cell"
	"nb201/internal/backend/devicetest"
)

// outputs builds and runs a graph on random inputs of these shapes, and returns its outputs.
func outputs(t *testing.T, random *rand.Rand, inputs [][]int, build func(in []*Node) []*Node) (out [][]float64) {
	t.Helper()
	exec := MustNewExec(devicetest.Open(t).Backend, func(in []*Node) (out []*Node) {
		for i := range in {
			in[i] = ConvertDType(in[i], dtypes.Float32)
		}
		for _, o := range build(in) {
			out = append(out, ConvertDType(o, dtypes.Float64))
		}
		return out
	})
	defer exec.Finalize()
	var given []any
	for _, dims := range inputs {
		values := make([]float64, shapes.Make(dtypes.Float64, dims...).Size())
		for i := range values {
			values[i] = random.NormFloat64()
		}
		given = append(given, tensors.FromFlatDataAndDimensions(values, dims...))
	}
	made, err := exec.Call(given...)
	if err != nil {
		t.Fatal(err)
	}
	for _, o := range made {
		out = append(out, tensors.MustCopyFlatData[float64](o))
	}
	return out
}

// layered builds a lazy map from elementary operations.
func layered(x *lazy, known map[*lazy]*Node) *Node {
	if x.terms == nil {
		return x.node
	}
	if known[x] == nil {
		var sum *Node
		for _, term := range x.terms {
			y := layered(term.of, known)
			counts := reference{}.boxSum(Ones(y.Graph(), shapes.Make(y.DType(), 1, x.dims[1], x.dims[2], 1)))
			switch term.kind {
			case average:
				y = Div(reference{}.boxSum(y), counts)
			case averageBack:
				y = reference{}.boxSum(Div(y, counts))
			case normalised:
				y = Add(Mul(y, perChannel(term.of.norm.factor, y)), perChannel(term.of.norm.offset, y))
			}
			sum = plus(sum, y)
		}
		known[x] = sum
	}
	return known[x]
}

// copies returns how many sums of one map itself the calls of a program compute.
func copies(program []byte) (n int) {
	for _, found := range mixCode.FindAllSubmatch(program, -1) {
		code, _ := strconv.ParseInt(string(found[1]), 10, 64)
		first := true
		for left := uint64(code); left != 0; left >>= 8 {
			last := left>>7&1 == 1
			if first && last && left>>4&7 == uint64(itself) {
				n++
			}
			first = last
		}
	}
	return n
}

var mixCode = regexp.MustCompile(`backend_config = \{value = (-?[0-9]+) : i64\},\s+call_target_name = "nb201.mix"`)

// TestMix compares random sums, of sums and up to 12 terms, with elementary operations. Many do not fit into a call.
func TestMix(t *testing.T) {
	compiled := devicetest.Kernels(t)
	random := rand.New(rand.NewPCG(5, 6))
	for turn := range 5 {
		dims := []int{1 + random.IntN(3), 1 + random.IntN(5), 1 + random.IntN(5), 8 + 8*random.IntN(3)}
		inputs := [][]int{{dims[3]}, {dims[3]}}
		sources := 1 + random.IntN(11)
		for range sources {
			inputs = append(inputs, dims)
		}
		before := len(compiled())
		out := outputs(t, random, inputs, func(in []*Node) (out []*Node) {
			tape := &tape{Model: &Model{features: dtypes.Float32, layers: onCPU{}}, params: in[0], training: true}
			f := newFused(tape)
			var all []*lazy
			for i, node := range in[2:] {
				x := &lazy{dims: dims, node: node}
				if i%3 == 2 {
					x.norm = &norm{factor: in[0], offset: in[1]}
				}
				all = append(all, x)
			}
			known := map[*lazy]*Node{}
			for step := range 6 {
				x := &lazy{dims: dims}
				terms := 1 + random.IntN(3)
				if random.IntN(4) == 0 || turn == 0 && step == 0 {
					terms = 12
				}
				for range terms {
					of := all[max(random.IntN(len(all)), random.IntN(len(all)))]
					kind := []termKind{itself, average, averageBack}[random.IntN(3)]
					if of.norm != nil {
						kind = normalised
					} else if random.IntN(2) == 0 {
						kind = itself
					}
					x.terms = append(x.terms, term{kind: kind, of: of})
				}
				all = append(all, x)
				if random.IntN(4) == 0 { // it is needed before others
					f.whole(x)
				}
			}
			for _, x := range []*lazy{all[len(all)-1], all[len(all)-2], all[len(all)-4]} {
				out = append(out, f.whole(x), layered(x, known))
			}
			return out
		})
		for i := 0; i < len(out); i += 2 {
			if off := distance(out[i], out[i+1]); !(off <= 1e-6) {
				t.Errorf("turn %d: sum %d of %v is off by %.2g", turn, i/2, dims, off)
			}
		}
		if p := compiled()[before:]; len(p) == 0 || p[0].Kernels["nb201.mix"] == 0 {
			t.Errorf("turn %d: no call of nb201.mix", turn)
		}
	}
}

// TestFusedCells compares cells of fused layers with the same, layer by layer, for all that the cells' nodes can
// be: zero, a node before, read several times, and sums that do not fit into a call.
func TestFusedCells(t *testing.T) {
	compiled := devicetest.Kernels(t)
	archs := []string{
		"|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|",
		"|avg_pool_3x3~0|+|avg_pool_3x3~0|skip_connect~1|+|avg_pool_3x3~0|avg_pool_3x3~1|skip_connect~2|",
		"|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
		"|none~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|avg_pool_3x3~2|", // a convolution of zeros
		"|nor_conv_1x1~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_1x1~2|",
		"|nor_conv_1x1~0|+|nor_conv_1x1~0|none~1|+|none~0|skip_connect~1|skip_connect~2|",
		"|nor_conv_1x1~0|+|none~0|skip_connect~1|+|none~0|avg_pool_3x3~1|none~2|",
	}
	random := rand.New(rand.NewPCG(7, 8))
	archs = append(archs, someCells(t, random, 3)...)
	for i, text := range archs {
		arch, err := cell.Parse(text)
		if err != nil {
			t.Fatal(err)
		}
		m := New(cell.Network{Arch: arch, Channels: 8, Cells: 2, Classes: 3, Size: 4}, dtypes.Float32, Device{})
		dims, some := []int{3, 4, 4, 8}, m.net.Modules()[:1]
		if i < 3 { // without convolutions, for which XLA needs time
			some = m.net.Modules()[:2]
		}
		for _, training := range []bool{true, false} {
			before := len(compiled())
			out := outputs(t, random, [][]int{{m.Parameters}, {m.Statistics}, dims, dims}, func(in []*Node) (out []*Node) {
				for _, fuses := range []bool{true, false} {
					// Evaluation normalises with positive variances.
					tape := &tape{Model: m, params: in[0], stats: Exp(in[1]), training: training, found: map[string]*Node{}, counts: map[string]float64{}}
					x := &feature{node: in[2]}
					var y *feature
					if fuses {
						y = cells(some, newFused(tape), x)
					} else {
						y = cells(some, tape, x)
					}
					out = append(out, y.node)
					if !training {
						continue
					}
					y.add(in[3])
					tape.unwind()
					if x.grad == nil {
						x.grad = ZerosLike(x.node)
					}
					out = append(out, x.grad, tape.gather(Parameters, in[0]), tape.gather(Statistics, in[1]))
				}
				return out
			})
			half := len(out) / 2
			for i, what := range []string{"the output", "the gradient of the input", "that of the parameters", "the statistics"}[:half] {
				if slices.ContainsFunc(out[half+i], func(v float64) bool { return v != 0 }) {
					if off := distance(out[i], out[half+i]); !(off <= 1e-4) {
						t.Errorf("%s: %s is off by %.2g in training (%v)", text, what, off, training)
					}
				} else if !slices.Equal(out[i], out[half+i]) {
					t.Errorf("%s: %s is not zero in training (%v)", text, what, training)
				}
			}
			for _, p := range compiled()[before:] {
				if n := copies(p.Text); n > 0 {
					t.Errorf("%s: calls of nb201.mix copy %d maps, %v", text, n, p.Kernels)
				}
			}
		}
	}
}

// cells builds the first cells of a network.
func cells[F any](modules []cell.Module, b builder[F], x *feature) *feature {
	y := b.enter(x)
	for i, module := range modules {
		y = buildCell(b, fmt.Sprintf("cells.%d", i), module, y)
	}
	return b.leave(y)
}
