package cell

import (
	"math"
	"math/bits"
)

// Pass is one pass over the feature maps: what it has to move between the memory and the
// processor at least, and what it computes. A pass takes at least the longer of the two
// times, and a step at least the sum over its passes.
//
// The model: no map survives in a cache from one pass to the next, a convolution reads one
// map and writes one, and all that can be done to a map while it is read or written is done
// then. A pass reads or writes each element of a map once.
//
//   - A convolution reads its input and writes its output. While it reads, it applies the
//     normalisation and the ReLU before it; while it writes, it makes the sums over the
//     batch that its batch normalisation needs.
//   - A node that sums several maps reads them, normalising and pooling them, and writes the
//     sum. No sum of one unpooled map is written (its readers read that map), and none that
//     only skip_connect and avg_pool_3x3 read (they read its terms).
//   - Where nothing waits for a sum over the batch, which is in evaluation and for the
//     gradient of a convolution's input, the convolutions add the terms while they write:
//     each but the first reads the sum so far, the last reads the terms that no convolution
//     makes. The larger kernels come last, as their reading may cost no time. A reduction's
//     shortcut, which has no normalisation, does so in training too.
//   - Backward, a convolution with batch normalisation takes two passes, six maps: the
//     gradient of the normalisation needs two sums over the whole batch, for which the first
//     pass reads the output's gradient and the output. The second reads both again and the
//     input, which the ReLU and the weights need, computes the gradients of weights and
//     input, and writes the latter. The stem has no gradient of its input.
//   - The shortcut of a reduction takes one: it reads the gradient and the large input, and
//     writes the gradient of what it pooled, which conv_a's second pass spreads and adds.
//   - The last normalisation and the mean read the last map and make, for each image and
//     channel, the sums that its gradient needs, so that the backward pass reads it once
//     more and writes its gradient.
//   - Forward reads the parameters; backward reads them and writes their gradients; the
//     update reads the gradients, and reads and writes parameters and momenta.
//   - What does not depend on the images moves nothing, nor does, backward and in
//     evaluation, what does not lead to the output. In a cell whose output does not depend
//     on its input that is almost the whole network.
//
// A step can still take less than this says: a GPU's cache of 50 MB holds whole maps, passes
// over the same map can share a reading, the sums of a batch normalisation's gradient can be
// made while the output's gradient is written, and passes can run side by side.
//
// The FLOP of all passes are those that Network.FLOPs counts, the backward ones twice as many
// as the forward ones. Some of that work nobody needs: that of edges which lead nowhere, and
// the gradient of the images. A pass that moves nothing is such work and need not take time.
type Pass struct {
	Layer      string // stem, head, update, conv_a, conv_b, shortcut, sum, or the name of an operation
	Backward   bool
	Maps       float64 // bytes of images, feature maps and their gradients
	Parameters float64 // bytes of parameters, their gradients and momenta
	FLOP       float64 // a multiply-add is 2
}

// Bytes is all that the pass moves.
func (p Pass) Bytes() float64 { return p.Maps + p.Parameters }

// Passes are those of a step over a batch, layer by layer: a layer's backward passes follow
// its forward one.
type Passes []Pass

// Traffic is how many bytes the passes move at least.
type Traffic struct {
	Forward    float64 // of images and feature maps
	Backward   float64 // of images, feature maps and their gradients
	Parameters float64 // of the parameters, their gradients and momenta
}

// Total is all of it.
func (t Traffic) Total() float64 { return t.Forward + t.Backward + t.Parameters }

// Traffic sums what the passes move.
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

// TrainingPasses lists the passes of a training step over batch images. elementBytes is the
// size of an element of images and feature maps, 4 in float32 and 2 in bfloat16; parameters
// have 4 bytes.
func (n Network) TrainingPasses(batch, elementBytes int) Passes {
	return n.passes(batch, elementBytes, true)
}

// EvaluationPasses are those of a batch in evaluation mode, which is forward only.
func (n Network) EvaluationPasses(batch, elementBytes int) Passes {
	return n.passes(batch, elementBytes, false)
}

func (n Network) passes(batch, elementBytes int, training bool) Passes {
	cell, connected := n.Arch.passes(training)
	all := make(Passes, 0, stages*n.Cells*len(cell)+21) // 21 passes are of no cell
	const parameterBytes = 4
	depends := true // what comes next, on the images
	// add adds a pass over so many elements of an image's maps and of the parameters, with so
	// many multiply-adds an image.
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
	side, c := n.Size, n.Channels
	image, large := 3*side*side, c*side*side // elements
	weights := 9 * 3 * c
	add("stem", forward, image+large, weights+2*c, weights*side*side)
	add("stem", backward, 2*large, 0, 0)
	add("stem", backward, 2*large+image, 2*(weights+2*c), weights*side*side)
	add("stem", backward, 0, 0, weights*side*side) // the gradient of the images
	for stage := range stages {
		if stage > 0 {
			in := c
			c, side = 2*c, side/2
			small := c * side * side
			weights = 9 * in * c
			add("conv_a", forward, large+small, weights+2*c, weights*side*side)
			add("conv_a", backward, 2*small, 0, 0)
			add("conv_a", backward, 2*small+2*large+small, 2*(weights+2*c), 2*weights*side*side)
			weights = 9 * c * c
			add("conv_b", forward, 2*small, weights+2*c, weights*side*side)
			add("conv_b", backward, 2*small, 0, 0)
			add("conv_b", backward, 4*small, 2*(weights+2*c), 2*weights*side*side)
			weights = in * c
			add("shortcut", forward, large+2*small, weights, weights*side*side)
			add("shortcut", backward, large+2*small, 2*weights, 2*weights*side*side)
			large = small
		}
		for range n.Cells {
			for _, p := range cell {
				weights = p.kernel * p.kernel * c * c
				add(p.layer, p.backward, p.maps*large, p.forwards*(weights+2*c), p.forwards*weights*side*side)
			}
			depends = connected
		}
	}
	weights = (c + 1) * n.Classes
	add("head", forward, large, weights+2*c, weights)
	add("head", backward, 2*large, 2*(weights+2*c), 2*weights)
	if training {
		all = append(all, Pass{Layer: "update", Backward: true, Parameters: 5 * math.Round(n.Params()*1e6) * parameterBytes})
	}
	return all
}

// cellPass is a pass in a cell, whose maps are all equal in size.
type cellPass struct {
	layer    string
	backward bool
	maps     int // read and written
	kernel   int // side of the convolution's
	forwards int // how many forward passes of the convolution it computes as much as
}

// passes lists those of one cell, with the backward ones (see Pass), and says whether the
// cell's output depends on its input.
func (a Arch) passes(training bool) (passes []cellPass, connected bool) {
	all := a.graph()
	var moving graph // what depends on the cell's input
	fromInput := [nodes]bool{0: true}
	for i, e := range all {
		if e.op != None && fromInput[e.from] {
			moving[i], fromInput[e.to] = e, true
		}
	}
	var live graph // of that, what leads to the output
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
		layer := e.op.String()
		forward, reduce, gradients := 0, 0, 0
		if moving[i].op != None {
			forward = 2 + added[i]
		}
		if live[i].op != None {
			reduce, gradients = 2, 4+addedBack[i]
		}
		passes = append(passes, cellPass{layer, false, forward, kernel, 1},
			cellPass{layer, true, reduce, kernel, 0}, cellPass{layer, true, gradients, kernel, 2})
	}
	for _, maps := range sums {
		passes = append(passes, cellPass{layer: "sum", maps: maps})
	}
	for _, maps := range sumsBack {
		passes = append(passes, cellPass{layer: "sum", backward: true, maps: maps})
	}
	return passes, fromInput[nodes-1]
}

// graph is a cell's edges in the order of Arch. An edge that moves nothing is None.
type graph [edges]struct {
	op       Op
	from, to int
}

func (a Arch) graph() graph {
	var g graph
	i := 0
	for to := 1; to < nodes; to++ {
		for from := range to {
			g[i].op, g[i].from, g[i].to = a[i], from, to
			i++
		}
	}
	return g
}

// reversed is the way of the gradients: its node 0 is the output, its last the input.
func (g graph) reversed() graph {
	for i, e := range g {
		g[i].from, g[i].to = nodes-1-e.to, nodes-1-e.from
	}
	return g
}

// sums says how the nodes' sums are made: how many maps each pass reads and writes that only
// adds, and how many each edge's convolution reads to add them while it writes, if adding
// says that convolutions can.
//
// What a node sums are maps that the cell's input and convolutions have made, found through
// skip_connect and avg_pool_3x3. That no sum is read from memory here loses nothing: only
// node 1 can have both a convolution and another operation behind it, and it sums one map.
func (g graph) sums(adding bool) (passes []int, read [edges]int) {
	var maps, pooled [nodes]uint // a bit for each: 0 is the cell's input, 1+i made by edge i
	maps[0] = 1
	kept := uint(1) // maps that are read as they are
	for node := 1; node < nodes; node++ {
		wanted := node == nodes-1 // as a map
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
		direct := maps[node] &^ pooled[node] &^ kept // by convolutions that can write the sum
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
