package hlo

import (
	"math"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// message builds a protocol buffer.
type message []byte

func (m message) number(field protowire.Number, v int64) message {
	return protowire.AppendVarint(protowire.AppendTag(m, field, protowire.VarintType), uint64(v))
}

func (m message) bytes(field protowire.Number, v []byte) message {
	return protowire.AppendBytes(protowire.AppendTag(m, field, protowire.BytesType), v)
}

func (m message) text(field protowire.Number, v string) message { return m.bytes(field, []byte(v)) }

func (m message) numbers(field protowire.Number, v ...int64) message {
	var packed []byte
	for _, n := range v {
		packed = protowire.AppendVarint(packed, uint64(n))
	}
	return m.bytes(field, packed)
}

const bfloat16Type = 16

func array(element int64, dimensions ...int64) message {
	return message(nil).number(2, element).numbers(3, dimensions...)
}

func float(dimensions ...int64) message { return array(float32Type, dimensions...) }

func tuple(parts ...message) message {
	m := message(nil).number(2, 13)
	for _, p := range parts {
		m = m.bytes(4, p)
	}
	return m
}

// op describes an instruction; its id is derived from its name.
type op struct {
	name, opcode, target string
	shape                message
	operands             []string
	called               []int64
	number               int64 // of a parameter, or of a part of a tuple
	more                 message
}

// conv returns a call of cuDNN with 3x3 taps; axis 3 of its input has the channels.
func conv(name, kind string, shape message, highest bool, operands ...string) op {
	size := message(nil).number(1, 3)
	more := message(nil).bytes(15, message(nil).bytes(1, size).bytes(1, size)).bytes(16, message(nil).number(8, 3))
	if highest {
		more = more.bytes(51, message(nil).numbers(1, 2, 2))
	}
	return op{name: name, opcode: "custom-call", target: "__cudnn$conv" + kind, shape: tuple(shape, array(6, 999)), operands: operands, more: more}
}

func parameter(name string, number int64, shape message) op {
	return op{name: name, opcode: "parameter", shape: shape, number: number}
}

// computationOf makes a computation with a number; its last instruction is the root.
func computationOf(id int64, ops ...op) message {
	ids := map[string]int64{}
	c := message(nil).number(5, id)
	for i, o := range ops {
		ids[o.name] = int64(100*int(id) + i)
		m := message(nil).text(1, o.name).text(2, o.opcode).bytes(3, o.shape).number(35, ids[o.name])
		for _, operand := range o.operands {
			m = m.numbers(36, ids[operand])
		}
		m = m.numbers(38, o.called...)
		if o.target != "" {
			m = m.text(28, o.target)
		}
		switch o.opcode {
		case "parameter":
			m = m.number(9, o.number)
		case "get-tuple-element":
			m = m.number(13, o.number)
		}
		c = c.bytes(2, append(m, o.more...))
	}
	return c.number(6, ids[ops[len(ops)-1].name])
}

// moduleOf makes a module whose last computation is the entry, number 9.
func moduleOf(computations ...message) []byte {
	m := message(nil).number(6, 9).text(1, "step")
	for _, c := range computations {
		m = m.bytes(3, c)
	}
	return message(nil).bytes(1, m).bytes(2, nil)
}

var maps = Maps{Batch: [4]int{8, 32, 32, 3}, Smallest: 8 * 16 * 16 * 32}

func TestDescribe(t *testing.T) {
	input, output, weights := float(8, 32, 32, 16), float(8, 16, 16, 32), float(32, 3, 3, 16)
	const inputBytes, outputBytes, weightBytes = 4 * 8 * 32 * 32 * 16, 4 * 8 * 16 * 16 * 32, 4 * 32 * 3 * 3 * 16
	const flop = 2 * 8 * 16 * 16 * 32 * 9 * 16
	params := []op{parameter("x", 0, input), parameter("w", 1, weights), parameter("dy", 2, output)}
	with := func(ops ...op) [][]byte {
		return [][]byte{moduleOf(computationOf(9, append(slices.Clone(params), ops...)...))}
	}
	fused := func(root op, inside ...op) [][]byte {
		inside[len(inside)-1].shape = root.shape
		return [][]byte{moduleOf(computationOf(1, inside...), computationOf(9, append(slices.Clone(params), root)...))}
	}
	fusion := func(shape message, operands ...string) op {
		return op{name: "f", opcode: "fusion", shape: shape, operands: operands, called: []int64{1}}
	}
	for _, c := range []struct {
		name   string
		module [][]byte
		want   Profile
	}{
		{"forward", with(conv("y", "Forward", output, true, "x", "w")),
			Profile{Kernels: []Kernel{{"y", inputBytes + weightBytes + outputBytes, flop}}, Chain: 1, Convolutions: Convolutions{Forward: 1}}},
		{"input gradient", with(conv("dx", "BackwardInput", input, true, "dy", "w")),
			Profile{Kernels: []Kernel{{"dx", inputBytes + weightBytes + outputBytes, flop}}, Chain: 1, Convolutions: Convolutions{Input: 1}}},
		{"weight gradient, rounded", with(conv("dw", "BackwardFilter", weights, false, "x", "dy")),
			Profile{Kernels: []Kernel{{"dw", inputBytes + weightBytes + outputBytes, flop}}, Chain: 1, Convolutions: Convolutions{Filter: 1}, Rounded: 1}},
		{"in a row", with(conv("y", "Forward", output, true, "x", "w"), op{name: "z", opcode: "get-tuple-element", shape: output, operands: []string{"y"}},
			op{name: "other", opcode: "copy", shape: weights, operands: []string{"w"}}, op{name: "t", opcode: "transpose", shape: output, operands: []string{"z"}}),
			Profile{Kernels: []Kernel{{"y", inputBytes + weightBytes + outputBytes, flop}, {"other", 2 * weightBytes, 0}, {"t", 2 * outputBytes, 0}}, Chain: 2,
				Convolutions: Convolutions{Forward: 1}, Moved: []string{"t"}}},
		{"the same twice", with(op{name: "sum", opcode: "add", shape: input, operands: []string{"x", "x"}}),
			Profile{Kernels: []Kernel{{"sum", 2 * inputBytes, 0}}, Chain: 1}},
		{"slice", with(op{name: "s", opcode: "slice", shape: float(2, 3), operands: []string{"x"}}),
			Profile{Kernels: []Kernel{{"s", 2 * 24, 0}}, Chain: 1}},
		{"fusion", fused(fusion(input, "x", "x"), parameter("a", 0, input), parameter("b", 1, input), op{name: "r", opcode: "add", operands: []string{"a", "b"}}),
			Profile{Kernels: []Kernel{{"f", 2 * inputBytes, 0}}, Chain: 1}},
		{"fusion that cuts", fused(fusion(float(4), "x"), parameter("a", 0, input),
			op{name: "flat", opcode: "bitcast", shape: float(8 * 32 * 32 * 16), operands: []string{"a"}},
			op{name: "r", opcode: "dynamic-slice", operands: []string{"flat"}}),
			Profile{Kernels: []Kernel{{"f", 2 * 16, 0}}, Chain: 1}},
		{"fusion that gathers twice", fused(fusion(float(6), "x"), parameter("a", 0, input),
			op{name: "one", opcode: "gather", shape: float(6), operands: []string{"a"}},
			op{name: "two", opcode: "slice", shape: float(6), operands: []string{"a"}}, op{name: "r", opcode: "add", operands: []string{"one", "two"}}),
			Profile{Kernels: []Kernel{{"f", 3 * 24, 0}}, Chain: 1}},
		{"fusion in place", fused(fusion(input, "x"), parameter("a", 0, input), op{name: "small", opcode: "constant", shape: float(5)},
			op{name: "r", opcode: "dynamic-update-slice", operands: []string{"a", "small"}}),
			Profile{Kernels: []Kernel{{"f", 20, 0}}, Chain: 1}},
		{"fusion of two results", fused(fusion(tuple(input, output), "x"), parameter("a", 0, input),
			op{name: "o", opcode: "reduce", shape: output, operands: []string{"a"}},
			op{name: "r", opcode: "tuple", operands: []string{"a", "o"}}),
			Profile{Kernels: []Kernel{{"f", 2*inputBytes + outputBytes, 0}}, Chain: 1}},
		{"fusion with a transposed map", fused(fusion(float(16, 32, 32, 8), "x"), parameter("a", 0, input),
			op{name: "r", opcode: "transpose", operands: []string{"a"}}),
			Profile{Kernels: []Kernel{{"f", 2 * inputBytes, 0}}, Chain: 1, Moved: []string{"f"}}},
		{"fusion with transposed images", fused(fusion(float(3, 32, 32, 8), "x"), parameter("a", 0, float(8, 32, 32, 3)),
			op{name: "r", opcode: "transpose", operands: []string{"a"}}),
			Profile{Kernels: []Kernel{{"f", 2 * 4 * 8 * 32 * 32 * 3, 0}}, Chain: 1}},
		{"fusion with transposed weights", fused(fusion(float(8, 3, 3, 16), "w"), parameter("a", 0, float(16, 3, 3, 8)),
			op{name: "r", opcode: "transpose", operands: []string{"a"}}),
			Profile{Kernels: []Kernel{{"f", 2 * 4 * 8 * 3 * 3 * 16, 0}}, Chain: 1}},
		{"XLA's own", fused(fusion(output, "x", "w"), parameter("a", 0, input), parameter("b", 1, weights),
			op{name: "d", opcode: "dot", shape: output, operands: []string{"a", "b"}},
			op{name: "r", opcode: "convolution", operands: []string{"a", "b"}, more: message(nil).bytes(51, message(nil).numbers(1, 2, 2))}),
			Profile{Kernels: []Kernel{{"f", inputBytes + weightBytes + outputBytes, 0}}, Chain: 1, Other: 1, Rounded: 1}},
		{"nb201's own", with(op{name: "y", opcode: "custom-call", target: "nb201.cuda.conv_fp32", shape: input, operands: []string{"x", "w"}}),
			Profile{Kernels: []Kernel{{"y", 2*inputBytes + weightBytes, 4 * flop}}, Chain: 1, Own: Convolutions{Forward: 1}}},
		{"nb201's own gradients, rounded", with(
			op{name: "dw", opcode: "custom-call", target: "nb201.cuda.weight_gradient_tf32", shape: float(5, 32, 3, 3, 16), operands: []string{"x", "x"}},
			op{name: "dx", opcode: "custom-call", target: "nb201.cuda.input_gradient_tf32", shape: input, operands: []string{"x", "w"}}),
			Profile{Kernels: []Kernel{{"dw", inputBytes + 5*weightBytes, 4 * flop}, {"dx", 2*inputBytes + weightBytes, 4 * flop}},
				Chain: 1, Own: Convolutions{Input: 1, Filter: 1}, Rounded: 2}},
		{"bfloat16 has nothing to round", with(op{name: "h", opcode: "bitcast", shape: array(bfloat16Type, 8, 8), operands: []string{"x"}},
			op{name: "d", opcode: "dot", shape: float(8, 8), operands: []string{"h", "h"}}),
			Profile{Kernels: []Kernel{{"d", 4*64 + 2*64, 0}}, Chain: 1}},
		{"loop", [][]byte{moduleOf(
			computationOf(1, parameter("s", 0, tuple(input)), op{name: "c", opcode: "compare", shape: array(1)}),
			computationOf(2, parameter("s", 0, tuple(input)), op{name: "x", opcode: "get-tuple-element", shape: input, operands: []string{"s"}},
				op{name: "k", opcode: "negate", shape: input, operands: []string{"x"}}, op{name: "r", opcode: "tuple", shape: tuple(input), operands: []string{"k"}}),
			computationOf(9, parameter("s", 0, tuple(input)), op{name: "l", opcode: "while", shape: tuple(input), operands: []string{"s"}, called: []int64{2, 1}}))},
			Profile{Kernels: []Kernel{{"k", 2 * inputBytes, 0}}, Chain: 1}},
	} {
		got, err := Describe(c.module[0], maps)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if !slices.Equal(got.Kernels, c.want.Kernels) || got.Chain != c.want.Chain || got.Convolutions != c.want.Convolutions || got.Own != c.want.Own ||
			got.Other != c.want.Other || got.Rounded != c.want.Rounded || !slices.Equal(got.Moved, c.want.Moved) {
			t.Errorf("%s: %+v, want %+v", c.name, *got, c.want)
		}
	}
}

func TestRoofline(t *testing.T) {
	p := Profile{Kernels: []Kernel{{"bytes", 1000, 10}, {"arithmetic", 10, 900}, {"neither", 0, 0}}}
	if got, want := p.Roofline(100, 50), 10.0+18; math.Abs(got-want) > 1e-12 {
		t.Errorf("%v s, want %v", got, want)
	}
	if p.Bytes() != 1010 || p.FLOP() != 910 {
		t.Errorf("%d bytes, %d FLOP", p.Bytes(), p.FLOP())
	}
}

// What is not a module is an error.
func TestDescribeDamaged(t *testing.T) {
	x := parameter("x", 0, float(2))
	for name, c := range map[string]struct {
		module []byte
		want   string
	}{
		"empty":               {nil, "entry"},
		"cut":                 {moduleOf(computationOf(9, x))[:20], "EOF"},
		"no entry":            {moduleOf(computationOf(1, x)), "entry"},
		"foreign operand":     {moduleOf(computationOf(9, op{name: "a", opcode: "negate", shape: float(2), more: message(nil).numbers(36, 7)})), "operand"},
		"foreign call":        {moduleOf(computationOf(9, op{name: "a", opcode: "fusion", shape: float(2), called: []int64{4}})), "calls"},
		"fusion of nothing":   {moduleOf(computationOf(9, op{name: "a", opcode: "fusion", shape: float(2)})), "0 computations"},
		"loop of nothing":     {moduleOf(computationOf(9, x, op{name: "a", opcode: "while", shape: float(2), operands: []string{"x"}})), "loop"},
		"unknown convolution": {moduleOf(computationOf(9, parameter("m", 0, float(8, 32, 32, 16)), conv("a", "Sideways", float(2), true, "m", "m"))), "Sideways"},
		"one operand":         {moduleOf(computationOf(9, x, conv("a", "Forward", float(2), true, "x"))), "operands"},
		"unknown kernel":      {moduleOf(computationOf(9, parameter("m", 0, float(8, 32, 32, 16)), op{name: "a", opcode: "custom-call", target: "nb201.cuda.x", shape: float(2), operands: []string{"m", "m"}})), "nb201.cuda.x"},
		"kernel of no map":    {moduleOf(computationOf(9, x, op{name: "a", opcode: "custom-call", target: "nb201.cuda.conv_fp32", shape: float(2), operands: []string{"x", "x"}})), "feature maps"},
		"no channels":         {moduleOf(computationOf(9, x, conv("a", "Forward", float(2), true, "x", "x"))), "channels"},
	} {
		if p, err := Describe(c.module, maps); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
}

func FuzzDescribe(f *testing.F) {
	input := float(8, 32, 32, 16)
	f.Add(moduleOf(computationOf(9, parameter("x", 0, input), parameter("w", 1, float(32, 3, 3, 16)), conv("y", "Forward", float(8, 32, 32, 32), true, "x", "w"))))
	f.Add(moduleOf(computationOf(1, parameter("a", 0, input), op{name: "r", opcode: "dynamic-update-slice", shape: input, operands: []string{"a", "a"}}),
		computationOf(9, parameter("x", 0, input), op{name: "f", opcode: "fusion", shape: input, operands: []string{"x"}, called: []int64{1}})))
	f.Fuzz(func(t *testing.T, module []byte) {
		if p, err := Describe(module, maps); (p == nil) == (err == nil) {
			t.Errorf("%v, %v", p, err)
		}
	})
}
