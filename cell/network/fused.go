package network

import (
	"fmt"
	"slices"

	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building

	"nb201/cell"
	"nb201/internal/kernels"
)

// fused builds the stem and the cells from calls of kernels that compute several layers in one pass over
// memory, which limits most layers on a CPU:
//
//   - A convolution takes the positive part of its input as it reads it, and sums up its output for batch
//     normalisation while it is in the cache (nb201.conv_norm).
//   - Normalised maps, averages and sums are not computed where they are made, but where a convolution, or the
//     next cell, needs a map in memory: all that leads to it is then one call (nb201.mix).
//   - A convolution's gradients are computed together, and the gradients of the normalisation behind it and the
//     ReLU before it on the way (nb201.conv_gradients).
//
// Gradients are made in the same way, as sums of terms. In evaluation, convolutions are terms too, so that a whole
// cell is one call of nb201.mix; one that changes the shape of a map is a call of nb201.conv_scaled.
type fused struct {
	*tape
	functions map[string]*Function // by name; they stand for calls of kernels
}

func newFused(t *tape) *fused { return &fused{t, map[string]*Function{}} }

// canFuse reports whether the kernels accept the channels of all convolutions.
func canFuse(l *Layout) bool {
	for _, s := range l.Slots {
		if s.Role == cell.ConvWeight && (s.Shape[0]%8 != 0 || s.Shape[1]%8 != 0 && s.Name != "stem.0.weight") {
			return false
		}
	}
	return true
}

// lazy is a feature map [batch, height, width, channels], or a gradient of one, that is computed when a call
// needs it.
type lazy struct {
	dims     []int
	node     *Node  // nil if it is not computed yet
	terms    []term // what it is the sum of
	norm     *norm  // of a map that is the normalised output of a convolution
	zero     bool   // the map is zero for all images
	constant bool   // nothing needs its gradient
	uses     int    // the number of layers that read it, in training
	shared   bool   // it is a node of a cell, which several layers may read
	grads    []term // what has reached it of its gradient
	grad     *lazy  // their sum, once a step of the backward pass has asked for it
}

// term is part of a sum: a map, or what an operation makes of it.
type term struct {
	kind termKind
	of   *lazy
	conv []*Node // of a convolved term: weights, factor and offset
}

type termKind int64

// The kinds of terms, as nb201.mix numbers them (internal/kernels/mix.h).
const (
	itself      termKind = 1 + iota
	average              // of 3x3 pixels
	averageBack          // its adjoint
	normalised           // the output of a convolution, with its norm
	convolved            // in evaluation: ReLU, convolution and normalisation
)

// norm is the normalisation of the output of a convolution, in training. All vectors are [channels].
type norm struct {
	scale, shift, mean, variance *Node
	y                            *Node // the output
	factor, offset               *Node // the normalised output is factor*y + offset
	dScale, dShift               *Node // gradients, nil if they are not computed yet
}

// gradient returns the sum of what has reached x of its gradient. No more may reach it.
func (x *lazy) gradient() *lazy {
	if x.grad == nil {
		x.grad = &lazy{dims: x.dims, terms: x.grads}
	}
	return x.grad
}

// flat returns the term itself, or what it stands for if the map, which is not computed, has only one term. A
// convolution that several layers read stays a map, so that it is computed once.
func (t term) flat() term {
	for t.of.node == nil && len(t.of.terms) == 1 {
		switch only := t.of.terms[0]; {
		case only.kind == itself:
			t.of = only.of
		case t.kind == itself && !(only.kind == convolved && t.of.shared):
			t = only
		default:
			return t
		}
	}
	return t
}

// reach adds to the gradient of x.
func (f *fused) reach(x *lazy, kind termKind, of *lazy) {
	if !x.constant {
		x.grads = append(x.grads, term{kind: kind, of: of})
	}
}

// record appends a step of the backward pass, which runs if a gradient has reached x.
func (f *fused) record(x *lazy, step func()) *lazy {
	if f.training {
		f.steps = append(f.steps, func() {
			if len(x.grads) > 0 {
				step()
			}
		})
	}
	return x
}

func (f *fused) isZero(x *lazy) bool { return x.zero }

func (f *fused) enter(h *feature) *lazy {
	x := &lazy{dims: h.node.Shape().Dimensions, node: h.node, constant: h.given}
	return f.record(x, func() { h.add(f.whole(x.gradient())) })
}

func (f *fused) leave(x *lazy) *feature {
	x.uses++
	h := &feature{node: f.whole(x), zero: x.zero}
	if f.training {
		f.steps = append(f.steps, func() {
			if h.grad != nil {
				f.reach(x, itself, &lazy{dims: x.dims, node: h.grad})
			}
		})
	}
	return h
}

func (f *fused) avgPool3x3(x *lazy) *lazy {
	x.uses++
	y := &lazy{dims: x.dims, terms: []term{{kind: average, of: x}}}
	return f.record(y, func() { f.reach(x, averageBack, y.gradient()) })
}

func (f *fused) sum(x *lazy, terms []*lazy) *lazy {
	switch {
	case len(terms) == 0:
		zeros := Zeros(f.params.Graph(), shapes.Make(f.features, x.dims...))
		return &lazy{dims: x.dims, node: zeros, zero: true, constant: true}
	case len(terms) == 1:
		terms[0].shared = true
		return terms[0]
	}
	y := &lazy{dims: terms[0].dims}
	for _, t := range terms {
		t.uses++
		y.terms = append(y.terms, term{kind: itself, of: t})
	}
	return f.record(y, func() {
		var normed []*norm // whose gradient is that of the sum
		for _, t := range terms {
			if t.norm != nil && t.uses == 1 {
				normed = append(normed, t.norm)
			}
		}
		if len(normed) > 0 {
			f.normSums(y.gradient(), normed)
		}
		for _, t := range terms {
			f.reach(t, itself, y.gradient())
		}
	})
}

// convScaled is convNorm in evaluation.
func (f *fused) convScaled(w *Node, path string, x *lazy, relu bool, dims []int) *lazy {
	vector := dims[3:]
	scaling := f.call("nb201.norm_factors", [][]int{vector, vector},
		f.tensor(path+".weight"), f.tensor(path+".bias"), f.tensor(path+".running_mean"), f.tensor(path+".running_var"))
	if relu && slices.Equal(x.dims, dims) {
		return &lazy{dims: dims, terms: []term{{convolved, x, append([]*Node{w}, scaling...)}}}
	}
	return &lazy{dims: dims, node: f.callWith(prefix(relu)+"conv_scaled", nil, [][]int{dims}, f.whole(x), w, scaling[0], scaling[1])[0]}
}

func (f *fused) convNorm(weight, path string, x *lazy, relu bool, stride int) *lazy {
	w := f.tensor(weight)
	channels := w.Shape().Dim(3)
	dims := []int{x.dims[0], x.dims[1] / stride, x.dims[2] / stride, channels}
	if !f.training {
		return f.convScaled(w, path, x, relu, dims)
	}
	n := &norm{scale: f.tensor(path + ".weight"), shift: f.tensor(path + ".bias")}
	x.uses++
	from := f.whole(x)
	vector := []int{channels}
	made := f.call(prefix(relu)+"conv_norm", [][]int{dims, vector, vector, vector, vector}, from, w, n.scale, n.shift)
	n.y, n.mean, n.variance, n.factor, n.offset = made[0], made[1], made[2], made[3], made[4]
	f.found[path+".running_mean"], f.found[path+".running_var"] = n.mean, n.variance
	f.counts[path+".running_var"] = float64(dims[0] * dims[1] * dims[2])
	y := &lazy{dims: dims, terms: []term{{kind: normalised, of: &lazy{dims: dims, node: n.y, norm: n}}}, norm: n}
	return f.record(y, func() {
		if n.dShift == nil {
			f.normSums(y.gradient(), []*norm{n})
		}
		results := [][]int{w.Shape().Dimensions}
		if !x.constant {
			results = append(results, x.dims)
		}
		grads := f.call(prefix(relu)+"conv_gradients", results, from, w, n.y, n.scale, n.mean, n.variance, f.whole(y.gradient()), n.dScale, n.dShift)
		f.found[weight], f.found[path+".weight"], f.found[path+".bias"] = grads[0], n.dScale, n.dShift
		if !x.constant {
			f.reach(x, itself, &lazy{dims: x.dims, node: grads[1]})
		}
	})
}

// prefix returns the beginning of the name of a kernel for a convolution, with a ReLU before it or without.
func prefix(relu bool) string {
	if relu {
		return "nb201.relu_"
	}
	return "nb201."
}

// normSums computes the gradients of the scales and shifts of normalisations whose sum has the gradient dy.
func (f *fused) normSums(dy *lazy, of []*norm) {
	args, vector := []*Node{f.whole(dy)}, of[0].shift.Shape().Dimensions
	results := [][]int{vector}
	for _, n := range of {
		args = append(args, n.y, n.mean, n.variance)
		results = append(results, vector)
	}
	made := f.call("nb201.norm_sums", results, args...)
	for i, n := range of {
		n.dShift, n.dScale = made[0], made[1+i]
	}
}

// whole returns the map in memory, and computes it at the first call.
func (f *fused) whole(x *lazy) *Node {
	t := term{kind: itself, of: x}.flat()
	switch {
	case t.kind == itself && t.of.node != nil:
		return t.of.node
	case t.kind == itself:
		x = t.of
	}
	x.node = f.mix(x)
	return x.node
}

// mix computes a sum of terms, and sums that they depend on, by a call of nb201.mix.
func (f *fused) mix(x *lazy) *Node {
	p := f.newProgram()
	if !p.add(x) { // it does not fit: the maps that it depends on are computed first
		for _, t := range x.terms {
			if t = t.flat(); t.kind != normalised {
				f.whole(t.of)
			}
		}
		for p = f.newProgram(); !p.add(x); p = f.newProgram() {
			first := &lazy{dims: x.dims, terms: x.terms[:2]}
			x = &lazy{dims: x.dims, terms: slices.Concat([]term{{kind: itself, of: first}}, x.terms[2:])}
			f.whole(first)
		}
	}
	return f.callWith("nb201.mix", p.code, [][]int{x.dims}, append(p.args, p.convs...)...)[0]
}

// program describes a call of nb201.mix: sums of terms, the last of which is its result. Each term has
// a byte of code (internal/kernels/mix.h).
type program struct {
	*fused
	code    int64
	terms   int
	sources []*Node       // the maps among args
	args    []*Node       // a source that is to be normalised has its factor and offset behind it
	locals  map[*lazy]int // sums that the call computes
	convs   []*Node       // the weights, factors and offsets of convolved terms, in their order
}

func (f *fused) newProgram() *program { return &program{fused: f, locals: map[*lazy]int{}} }

// add adds the sum x and those that it depends on. It returns false if the program becomes too long.
func (p *program) add(x *lazy) bool {
	var coded []int64
	var convs []*Node
	for _, t := range x.terms {
		t = t.flat()
		at, ok := p.operand(t)
		if !ok {
			return false
		}
		coded = append(coded, int64(t.kind)<<4|at)
		convs = append(convs, t.conv...)
	}
	coded[len(coded)-1] |= 1 << 7 // the end of the sum
	for _, c := range coded {
		if p.terms == kernels.MixTerms {
			return false
		}
		p.code |= c << (8 * p.terms)
		p.terms++
	}
	p.convs = append(p.convs, convs...)
	p.locals[x] = len(p.locals)
	return true
}

// operand returns the number of a term's map: of a source, or, from [kernels.MixSources] on, of a sum.
func (p *program) operand(t term) (at int64, ok bool) {
	if t.of.node == nil {
		if local, known := p.locals[t.of]; known {
			return int64(kernels.MixSources + local), true
		}
		ok = p.add(t.of)
		return int64(kernels.MixSources + p.locals[t.of]), ok
	}
	if i := slices.Index(p.sources, t.of.node); i >= 0 {
		return int64(i), true
	}
	if len(p.sources) == kernels.MixSources {
		return 0, false
	}
	p.sources = append(p.sources, t.of.node)
	p.args = append(p.args, t.of.node)
	if t.kind == normalised {
		p.args = append(p.args, t.of.norm.factor, t.of.norm.offset)
	}
	return int64(len(p.sources) - 1), true
}

// call calls a kernel of a normalisation. out has the shapes of the results.
func (f *fused) call(kernel string, out [][]int, args ...*Node) []*Node {
	return f.callWith(kernel, float32(batchNormEpsilon), out, args...)
}

// callWith calls a kernel with an attribute.
func (f *fused) callWith(kernel string, attribute any, out [][]int, args ...*Node) []*Node {
	c := kernels.Call{Kernel: kernel, Attribute: attribute}
	for _, arg := range args {
		c.In = append(c.In, wide(arg.Shape().Dimensions))
	}
	for _, dims := range out {
		c.Out = append(c.Out, wide(dims))
	}
	name := c.Symbol()
	if !c.Fits() {
		panic("no kernel for " + name)
	}
	if f.functions[name] == nil {
		f.functions[name] = NewFunction(f.params.Graph(), name, func(g *Graph) (results []*Node) {
			var given []*Node
			for i, arg := range args {
				given = append(given, Parameter(g, fmt.Sprintf("arg%d", i), arg.Shape()))
			}
			element := Slice(given[0], slices.Repeat([]SliceAxisSpec{AxisElem(0)}, given[0].Rank())...)
			for _, dims := range out {
				results = append(results, BroadcastToDims(Reshape(element), dims...))
			}
			return results
		})
	}
	return f.functions[name].Call(args...)
}

// wide returns dimensions as int64.
func wide(dims []int) (all []int64) {
	for _, n := range dims {
		all = append(all, int64(n))
	}
	return all
}
