package cell

// Traffic is how many bytes a step over a batch has to move between the memory and the
// processor, at least, when it goes through the network layer by layer and no feature
// map survives in a cache from one layer to the next. Divided by the device's memory
// bandwidth it is a lower limit of the step's time.
//
// What is counted. A pass over a map reads or writes each of its elements once:
//
//   - A convolution reads its input and writes its output. The ReLU and the
//     normalisation before it are done while it reads, the sums of a batch
//     normalisation while the map is written. A pooling reads all of its input and,
//     inside a sum or before a convolution, writes nothing of its own.
//   - A node reads the terms of its sum, normalising them, and writes the sum. The sum
//     of a single skip_connect is its input, and none has no bytes.
//   - Backward, a convolution with batch normalisation takes three passes, as the
//     gradient of a batch normalisation needs sums over the whole batch first: the sums
//     read the output's gradient and the output; the gradient of the input reads both
//     and the input, for its ReLU; the gradient of the weights reads all three again.
//   - A map's gradient is written by the first consumer, and read and written by each
//     further one. Where the one consumer is a skip_connect it is that node's gradient.
//     What no gradient reaches has no backward pass.
//   - In evaluation the normalisation is part of the convolution, so that a node of a
//     single term is this term.
//   - A parameter is read forward and backward, its gradient written and read, it and
//     its momentum read and written. An image is read once forward, and once for the
//     gradient of the stem's weights.
type Traffic struct {
	Forward    float64 // of the feature maps
	Backward   float64 // of the feature maps and their gradients
	Parameters float64 // of the parameters, their gradients and momenta
}

// Total is all of it.
func (t Traffic) Total() float64 { return t.Forward + t.Backward + t.Parameters }

// TrainingTraffic is the traffic of a training step over a batch of so many images, whose
// feature maps have elements of so many bytes: 4 in float32, 2 in bfloat16. Parameters
// and images have 4.
func (n Network) TrainingTraffic(batch, elementBytes int) Traffic {
	return n.traffic(batch, elementBytes, true)
}

// EvaluationTraffic is the same of a batch in evaluation mode, which is forward only.
func (n Network) EvaluationTraffic(batch, elementBytes int) Traffic {
	return n.traffic(batch, elementBytes, false)
}

func (n Network) traffic(batch, elementBytes int, training bool) Traffic {
	cell := n.Arch.passes(training)
	var t Traffic
	add := func(forward, backward, elements int) {
		size := float64(elements) * float64(batch) * float64(elementBytes)
		t.Forward += float64(forward) * size
		if training {
			t.Backward += float64(backward) * size
		}
	}

	side, c := n.Size, n.Channels
	const channels, imageBytes = 3, 4
	images := float64(batch*channels*side*side) * imageBytes
	t.Forward += images
	if training {
		t.Backward += images
		// The stem writes its output, which is normalised into the first cell's input.
		// Backward: the sums, the gradient of the weights.
		add(1+2, 2+2, c*side*side)
	} else {
		add(1, 0, c*side*side)
	}
	for stage := range stages {
		if stage > 0 {
			large, small := c*side*side, c*side*side/2 // elements of the block's input and output
			c, side = 2*c, side/2
			// conv_a and the shortcut read the input.
			add(2, 0, large)
			if training {
				// conv_a, conv_b and the shortcut write, conv_b reads, the sum reads two and writes.
				add(3+1+3, 0, small)
				// conv_b: three passes over the gradient, its output and, but for the sums, its
				// input; it writes its input's gradient. conv_a: the same, but its input is the
				// large map. The shortcut reads the gradient for each of its two.
				add(0, (2+3+3)+1+(2+2+2)+2, small)
				// conv_a reads the input twice and writes its gradient; the shortcut reads it
				// once and adds to the gradient.
				add(0, 2+1+1+2, large)
			} else {
				// conv_a and the shortcut write, conv_b reads, adds the shortcut and writes.
				add(2+3, 0, small)
			}
		}
		add(n.Cells*cell.forward, n.Cells*cell.backward, c*side*side)
	}
	// The last normalisation and the mean read the last map; backward, its sums read it,
	// and its gradient is written in another pass over it.
	add(1, 1+2, c*side*side)

	const parameterBytes = 4
	parameters := n.Params() * 1e6 * parameterBytes
	t.Parameters = parameters
	if training {
		t.Parameters = (2 + 2 + 4) * parameters
	}
	return t
}

// passes counts the passes over the maps of a cell, all of which are equal in size.
type passes struct{ forward, backward int }

// passes counts those of one cell; see Traffic.
func (a Arch) passes(training bool) passes {
	var p passes
	lists := a.Lists()
	for _, inputs := range lists {
		convolutions, others, skips := 0, 0, 0
		for _, in := range inputs {
			switch {
			case in.Op.kernel() > 0:
				convolutions++
			case in.Op == SkipConnect:
				skips++
			case in.Op == AvgPool3x3:
				others++
			}
		}
		terms := convolutions + others + skips
		p.forward += 2 * convolutions
		switch {
		case terms == 0 || terms == 1 && skips == 1: // no map of its own
		case terms == 1 && convolutions == 1 && !training: // the convolution's output
		default:
			p.forward += terms + 1
		}
	}

	if !training {
		return p
	}
	live := [nodes]bool{nodes - 1: true} // whether a gradient reaches the node
	var consumers, skips [nodes]int      // of its gradient
	for i := nodes - 1; i > 0; i-- {
		if !live[i] {
			continue
		}
		for _, in := range lists[i-1] {
			if in.Op == None {
				continue
			}
			live[in.Node] = true
			consumers[in.Node]++
			switch {
			case in.Op.kernel() > 0:
				p.backward += 2 + 3 + 3
			case in.Op == SkipConnect:
				skips[in.Node]++
				p.backward++ // reads the node's gradient
			default:
				p.backward++
			}
		}
	}
	for j := range nodes {
		switch {
		case consumers[j] == 0:
		case consumers[j] == 1 && skips[j] == 1:
			p.backward-- // it is the consumer's gradient, which is not even read
		default:
			p.backward += 2*consumers[j] - 1
		}
	}
	return p
}
