package cell

import (
	"math"
	"math/bits"
	"slices"
)

// Pass is one pass over the feature maps of a batch: the least that it must move between
// memory and processor, and what it computes. A pass takes at least the longer of these two
// times, and a step at least the sum over its passes.
//
// The model assumes that no map survives in a cache from one pass to the next, that a
// convolution reads one map and writes one, and that whatever can be done to a map while it
// is read or written is done then. A pass reads or writes each element of a map once.
//
//   - A convolution reads its input and writes its output. While reading, it applies the
//     preceding normalisation and ReLU; while writing, it computes the sums over the batch
//     that its batch normalisation needs.
//   - A node that sums several maps reads them, normalises and pools them, and writes the
//     sum. A sum of a single unpooled map is not written (its readers read that map), nor is
//     a sum that only skip_connect and avg_pool_3x3 read (they read its terms).
//   - Where nothing waits for a sum over the batch, in evaluation and for the gradient of a
//     convolution's input, the convolutions add the terms while they write. Each but the
//     first reads the sum so far, and the last also reads the terms that no convolution
//     computes. The larger kernels come last, because their reads may cost no time. The
//     shortcut of a residual block, which has no normalisation, works this way in training
//     too.
//   - Backward, a convolution with batch normalisation takes two passes and moves six maps.
//     The gradient of the normalisation needs two sums over the whole batch, for which the
//     first pass reads the output and its gradient. The second reads both again, and the
//     input, which the ReLU and the weights need; it computes the gradients of the weights
//     and the input, and writes the latter. The stem has no gradient of its input.
//   - The shortcut of a residual block takes one pass: it reads the gradient and the large
//     input, and writes the gradient of its pooled input, which conv_a's second pass spreads
//     and adds.
//   - The last normalisation and the global mean read the last map and compute, per image
//     and channel, the sums that its gradient needs. The backward pass therefore reads the
//     map only once more, and writes its gradient.
//   - The forward passes read the parameters. The backward passes read them and write their
//     gradients. The update reads the gradients, and reads and writes parameters and momenta.
//   - Whatever does not depend on the images moves nothing. In backward passes and in
//     evaluation, neither does what does not lead to the output. If a cell's output does not
//     depend on its input, that is almost the whole network.
//
// A step can still be faster than this. A GPU's cache of 50 MB holds whole maps, passes over
// the same map can share a read, the sums of a batch normalisation's gradient can be computed
// while the output's gradient is written, and passes can run in parallel.
//
// The FLOP of all forward passes are those that [Network.FLOPs] counts; the backward passes
// have twice as many. Some of that work is unnecessary: that of edges that lead nowhere, and
// the gradient of the images. A pass that moves nothing is such work and need not take time.
type Pass struct {
	Layer      string // stem, head, update, conv_a, conv_b, shortcut, sum, or the name of an operation
	Backward   bool
	Maps       float64 // bytes of images, feature maps and their gradients
	Parameters float64 // bytes of parameters, their gradients and momenta
	FLOP       float64 // a multiply-add counts as 2
}

// Bytes returns the number of bytes that the pass moves.
func (p Pass) Bytes() float64 { return p.Maps + p.Parameters }

// Passes lists the passes of a step over a batch, layer by layer. A layer's backward passes
// follow its forward pass.
type Passes []Pass

// Traffic is the least number of bytes that passes move.
type Traffic struct {
	Forward    float64 // of images and feature maps
	Backward   float64 // of images, feature maps and their gradients
	Parameters float64 // of parameters, their gradients and momenta
}

// Total returns the sum of all traffic in bytes.
func (t Traffic) Total() float64 { return t.Forward + t.Backward + t.Parameters }

// Traffic sums the bytes that the passes move.
func (p Passes) Traffic() Traffic {
	var t Traffic
	for _, pass := range p {
		if pass.Backward {
			t.Backward += pass.Maps
		} else {
			t.Forward += pass.Maps
		}
		t.Parameters += pass.Parameters
	}
	return t
}

// TrainingPasses lists the passes of a training step over a batch of that many images.
// elementBytes is the size of an element of images and feature maps: 4 in float32, 2 in
// bfloat16. Parameters always take 4 bytes.
func (n Network) TrainingPasses(batch, elementBytes int) Passes {
	return n.passes(batch, elementBytes, true)
}

// EvaluationPasses lists the passes, all of them forward, over a batch in evaluation mode.
// Its parameters are those of [Network.TrainingPasses].
func (n Network) EvaluationPasses(batch, elementBytes int) Passes {
	return n.passes(batch, elementBytes, false)
}

func (n Network) passes(batch, elementBytes int, training bool) Passes {
	var all Passes
	const parameterBytes = 4
	depends := true   // whether the layers that follow depend on the images
	connected := true // whether the images' gradients reach them
	modules := n.Modules()
	if i := slices.IndexFunc(modules, func(m Module) bool { return !m.Reduction }); i >= 0 {
		_, connected = modules[i].passes(training) // all cells have the same operations
	}
	// add appends a pass. elements and multiplyAdds are per image, parameters per batch.
	add := func(layer string, backward bool, elements, parameters, multiplyAdds int) {
		if backward && !training {
			return
		}
		p := Pass{Layer: layer, Backward: backward, FLOP: 2 * float64(multiplyAdds) * float64(batch)}
		if elements > 0 && depends && (connected || training && !backward) {
			p.Maps = float64(elements) * float64(batch) * float64(elementBytes)
			p.Parameters = float64(parameters) * parameterBytes
		}
		all = append(all, p)
	}

	const forward, backward = false, true
	side := n.Size
	c, _ := ends(modules)
	image, large := 3*side*side, c*side*side // elements
	weights := 9 * 3 * c
	add("stem", forward, image+large, weights+2*c, weights*side*side)
	add("stem", backward, 2*large, 0, 0)
	add("stem", backward, 2*large+image, 2*(weights+2*c), weights*side*side)
	add("stem", backward, 0, 0, weights*side*side) // the gradient of the images
	for _, m := range modules {
		c = m.Out
		if m.Reduction {
			side /= 2
			small := c * side * side
			weights = 9 * m.In * c
			add("conv_a", forward, large+small, weights+2*c, weights*side*side)
			add("conv_a", backward, 2*small, 0, 0)
			add("conv_a", backward, 2*small+2*large+small, 2*(weights+2*c), 2*weights*side*side)
			weights = 9 * c * c
			add("conv_b", forward, 2*small, weights+2*c, weights*side*side)
			add("conv_b", backward, 2*small, 0, 0)
			add("conv_b", backward, 4*small, 2*(weights+2*c), 2*weights*side*side)
			weights = m.In * c
			add("shortcut", forward, large+2*small, weights, weights*side*side)
			add("shortcut", backward, large+2*small, 2*weights, 2*weights*side*side)
			large = small
			continue
		}
		passes, _ := m.passes(training)
		out := c * side * side
		for _, p := range passes {
			weights = p.kernel * p.kernel * m.edgeIn(p.edge) * c
			add(p.layer, p.backward, (p.maps-p.inputs)*out+p.inputs*large, p.forwards*(weights+2*c), p.forwards*weights*side*side)
		}
		depends, large = connected, out
	}
	weights = (c + 1) * n.Classes
	add("head", forward, large, weights+2*c, weights)
	add("head", backward, 2*large, 2*(weights+2*c), 2*weights)
	if training {
		all = append(all, Pass{Layer: "update", Backward: true, Parameters: 5 * math.Round(n.Params()*1e6) * parameterBytes})
	}
	return all
}

// cellPass is a pass in a cell.
type cellPass struct {
	layer    string
	backward bool
	maps     int // read and written
	kernel   int // side of the convolution's kernel
	forwards int // its work, in forward passes of the convolution
	edge     int // of the convolution
	inputs   int // those of the maps that have the channels of the cell's input; the others have its output's
}

// passes lists the forward and backward passes of a cell (see [Pass]), and reports whether
// the cell's output depends on its input.
func (m Module) passes(training bool) (passes []cellPass, connected bool) {
	all := m.graph()
	var moving graph // the edges that depend on the cell's input
	fromInput := [nodes]bool{0: true}
	for i, e := range all {
		if e.op != None && fromInput[e.from] {
			moving[i], fromInput[e.to] = e, true
		}
	}
	var live graph // those of them that lead to the output
	toOutput := [nodes]bool{nodes - 1: true}
	for i := edges - 1; i >= 0; i-- {
		if e := moving[i]; e.op != None && toOutput[e.to] {
			live[i], toOutput[e.from] = e, true
		}
	}
	if !training {
		moving = live
	}

	sums, added := moving.sums(!training)
	sumsBack, addedBack := live.reversed().sums(true)
	for i, e := range all {
		kernel := e.op.kernel()
		if kernel == 0 {
			continue
		}
		layer := m.Cell[i].String()
		fromCell := 0 // whether the convolution reads the cell's input
		if e.from == 0 {
			fromCell = 1
		}
		forward, reduce, gradients := 0, 0, 0
		if moving[i].op != None {
			forward = 2 + added[i]
		}
		if live[i].op != None {
			reduce, gradients = 2, 4+addedBack[i]
		}
		passes = append(passes, cellPass{layer, false, forward, kernel, 1, i, min(forward, fromCell)},
			cellPass{layer, true, reduce, kernel, 0, i, 0},
			cellPass{layer, true, gradients, kernel, 2, i, min(gradients, (2+addedBack[i])*fromCell)})
	}
	for _, maps := range sums {
		passes = append(passes, cellPass{layer: "sum", maps: maps})
	}
	for _, maps := range sumsBack {
		passes = append(passes, cellPass{layer: "sum", backward: true, maps: maps})
	}
	return passes, fromInput[nodes-1]
}

// graph lists a cell's edges in the order of [Cell]. The operation of an edge that moves
// nothing is None.
type graph [edges]struct {
	op       Op
	from, to int
}

func (m Module) graph() graph {
	var g graph
	for i, op := range m.Cell {
		if m.Projects(i) {
			op = NorConv1x1 // moves as much
		}
		g[i].op, g[i].from, g[i].to = op, endpoints[i].from, endpoints[i].to
	}
	return g
}

// reversed returns the graph that gradients flow through: its node 0 is the output, its
// last node the input.
func (g graph) reversed() graph {
	for i, e := range g {
		g[i].from, g[i].to = nodes-1-e.to, nodes-1-e.from
	}
	return g
}

// sums plans how the nodes' sums are computed. passes counts, for each pass that only adds,
// the maps that it reads and writes; read counts, for each edge, the maps that its
// convolution reads in order to add them while it writes. adding says whether convolutions
// can do that.
//
// A node sums the cell's input and the outputs of convolutions, which it finds through
// skip_connect and avg_pool_3x3. That a sum is never read from memory here costs nothing:
// only node 1 can feed both a convolution and another operation, and it sums one map.
func (g graph) sums(adding bool) (passes []int, read [edges]int) {
	var maps, pooled [nodes]uint // a bit for each: 0 is the cell's input, 1+i made by edge i
	maps[0] = 1
	kept := uint(1) // maps that are read as they are
	for node := 1; node < nodes; node++ {
		wanted := node == nodes-1 // whether the sum must be in memory as a map
		for i, e := range g {
			convolution := e.op.kernel() > 0
			wanted = wanted || convolution && e.from == node
			switch {
			case e.to != node || e.op == None:
			case convolution:
				maps[node] |= 1 << (1 + i)
			case e.op == AvgPool3x3:
				maps[node] |= maps[e.from]
				pooled[node] |= maps[e.from]
			default:
				maps[node] |= maps[e.from]
				pooled[node] |= pooled[e.from]
			}
		}
		terms := bits.OnesCount(maps[node])
		direct := maps[node] &^ pooled[node] &^ kept // from convolutions that can write the sum
		switch {
		case !wanted || terms == 0:
		case terms == 1 && pooled[node] == 0:
			kept |= maps[node]
		case adding && direct != 0:
			last := -1
			for _, op := range []Op{NorConv1x1, NorConv3x3} {
				for i, e := range g {
					if e.op == op && direct>>(1+i)&1 != 0 {
						if last >= 0 {
							read[i]++
						}
						last = i
					}
				}
			}
			read[last] += terms - bits.OnesCount(direct)
		default:
			passes = append(passes, terms+1)
		}
	}
	return passes, read
}
