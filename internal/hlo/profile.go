package hlo

import (
	"errors"
	"fmt"
	"slices"
)

// Profile is what a GPU runs in one turn of a program's loop, or in all of a program that
// has none.
type Profile struct {
	Kernels      []Kernel     // cuDNN's and XLA's own, in the order of the program
	Chain        int          // kernels of the longest sequence in which each needs the one before
	Convolutions Convolutions // those that cuDNN computes
	Other        int          // convolutions that XLA computes itself, which is slow
	Rounded      int          // convolutions and products of float32 that may round what they multiply
	Moved        []string     // kernels that transpose or copy a feature map
}

// Kernel is a kernel. Bytes are what it reads and writes in the GPU's memory, each array
// once; what it takes from a larger array counts, not that array.
type Kernel struct {
	Name  string
	Bytes int64
	FLOP  int64 // of a convolution; a multiply-add is 2
}

// Convolutions counts calls of cuDNN by their kind.
type Convolutions struct {
	Forward, Input, Filter int // the last two are gradients
	Fused                  int // forward, with what follows it
}

// String is forward/filter gradients/input gradients/fused.
func (c Convolutions) String() string {
	return fmt.Sprintf("%d/%d/%d/%d", c.Forward, c.Filter, c.Input, c.Fused)
}

// Bytes are those of all kernels.
func (p *Profile) Bytes() int64 {
	sum := int64(0)
	for _, k := range p.Kernels {
		sum += k.Bytes
	}
	return sum
}

// FLOP is that of all convolutions.
func (p *Profile) FLOP() int64 {
	sum := int64(0)
	for _, k := range p.Kernels {
		sum += k.FLOP
	}
	return sum
}

// Roofline returns the least time of a turn of the loop in seconds: the sum over kernels of
// the longer of the times for its bytes and its FLOP at these rates. A step can be faster
// where a cache keeps what one kernel has written for the next.
func (p *Profile) Roofline(bytesPerSecond, flopPerSecond float64) float64 {
	sum := 0.0
	for _, k := range p.Kernels {
		sum += max(float64(k.Bytes)/bytesPerSecond, float64(k.FLOP)/flopPerSecond)
	}
	return sum
}

func (m Maps) has(s shape) bool {
	batch := make([]int64, 0, len(m.Batch))
	for _, d := range m.Batch {
		batch = append(batch, int64(d))
	}
	return len(s.dimensions) == 4 && s.elements() >= int64(m.Smallest) && slices.Contains(s.dimensions, batch[0]) &&
		!slices.Equal(slices.Sorted(slices.Values(s.dimensions)), slices.Sorted(slices.Values(batch)))
}

// free are the operations that take no time: they name what is there.
var free = []string{"after-all", "bitcast", "constant", "get-tuple-element", "parameter", "tuple"}

// Maps says which arrays of a program are feature maps: those of four axes, one of which has
// as many elements as the batch has images, with at least so many elements; but not the
// batch itself.
type Maps struct {
	Batch    [4]int // images, height, width, channels
	Smallest int    // elements of the smallest feature map of a batch
}

// Describe reads the optimised module of a program, a serialised HloModuleProtoWithConfig.
func Describe(serialised []byte, maps Maps) (*Profile, error) {
	m, err := parseModule(serialised)
	if err != nil {
		return nil, fmt.Errorf("the optimised program cannot be read: %w", err)
	}
	c := m.computations[m.entry]
	for _, i := range c.instructions {
		if i.opcode == "while" {
			if c, err = m.body(i); err != nil {
				return nil, err
			}
			break
		}
	}
	p := &Profile{}
	depth := map[int64]int{}
	for _, i := range c.instructions {
		for _, o := range i.operands {
			depth[i.id] = max(depth[i.id], depth[o])
		}
		if slices.Contains(free, i.opcode) {
			continue
		}
		depth[i.id]++
		p.Chain = max(p.Chain, depth[i.id])
		if err := m.add(p, c, i, maps); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// body is that of a loop: of its two computations the one that does not make a boolean.
func (m *module) body(loop *instruction) (*computation, error) {
	for _, called := range loop.called {
		if c := m.computations[called]; c.byID[c.root].shape.parts != nil {
			return c, nil
		}
	}
	return nil, errors.New("the optimised program has a loop without a body")
}

// add adds a kernel to a profile.
func (m *module) add(p *Profile, c *computation, i *instruction, maps Maps) error {
	k := Kernel{Name: i.name, Bytes: m.traffic(c, i)}
	parts := []*instruction{i}
	within := c
	if i.opcode == "fusion" {
		within = m.computations[i.called[0]]
		parts = within.instructions
	}
	moves := func(part *instruction) bool {
		return (part.opcode == "transpose" || part.opcode == "copy") && maps.has(part.shape)
	}
	if slices.ContainsFunc(parts, moves) {
		p.Moved = append(p.Moved, i.name)
	}
	for _, part := range parts {
		kind, input, output := within.convolution(part)
		if kind != "" {
			if err := p.Convolutions.add(kind); err != nil {
				return err
			}
			flop := 2 * output.elements() * input.dimensions[part.inputFeature] // for each tap
			for _, size := range part.window {
				flop *= size
			}
			k.FLOP += flop
		}
		if part.opcode == "convolution" {
			p.Other++
		}
		if (kind != "" || part.opcode == "convolution" || part.opcode == "dot") && rounds(within, part) {
			p.Rounded++
		}
	}
	p.Kernels = append(p.Kernels, k)
	return nil
}

// add counts a call of cuDNN by the end of its target's name.
func (c *Convolutions) add(kind string) error {
	switch kind {
	case "Forward":
		c.Forward++
	case "BackwardInput":
		c.Input++
	case "BackwardFilter":
		c.Filter++
	case "BiasActivationForward":
		c.Fused++
	default:
		return fmt.Errorf("unknown kind of convolution %q", kind)
	}
	return nil
}

// rounds reports whether a convolution or product may round what it multiplies.
func rounds(c *computation, i *instruction) bool {
	if c.byID[i.operands[0]].shape.element != float32Type {
		return false
	}
	return len(i.precisions) < 2 || i.precisions[0] != highest || i.precisions[1] != highest
}

// traffic is how many bytes a kernel reads and writes.
func (m *module) traffic(c *computation, i *instruction) int64 {
	switch {
	case i.opcode == "fusion":
		inside := m.computations[i.called[0]]
		sum := inside.written(inside.byID[inside.root])
		seen := map[int64]bool{}
		for n, o := range i.operands {
			if !seen[o] {
				seen[o] = true
				sum += inside.read(inside.parameterOf(int64(n)))
			}
		}
		return sum
	case i.opcode == "slice" || i.opcode == "dynamic-slice":
		return 2 * i.shape.bytes()
	}
	sum := i.shape.bytes()
	if i.target != "" && i.shape.parts != nil { // without a library's workspace
		sum = i.shape.parts[0].bytes()
	}
	for n, o := range i.operands {
		if !slices.Contains(i.operands[:n], o) {
			sum += c.byID[o].shape.bytes()
		}
	}
	return sum
}

func (c *computation) parameterOf(number int64) *instruction {
	for _, i := range c.instructions {
		if i.opcode == "parameter" && i.parameter == number {
			return i
		}
	}
	return nil
}

// read is how many bytes a fusion reads of an array: all, or what it cuts out of it.
func (c *computation) read(array *instruction) int64 {
	if array == nil {
		return 0
	}
	cut := int64(0)
	for _, user := range c.instructions {
		for n, o := range user.operands {
			if o != array.id {
				continue
			}
			switch {
			case n == 0 && (user.opcode == "slice" || user.opcode == "dynamic-slice" || user.opcode == "gather"):
				cut += user.shape.bytes()
			case n == 0 && user.opcode == "dynamic-update-slice": // in place
			case user.opcode == "bitcast":
				cut += c.read(user)
			default:
				return array.shape.bytes()
			}
		}
	}
	return min(cut, array.shape.bytes())
}

// written is how many bytes a fusion writes as the result of an instruction.
func (c *computation) written(result *instruction) int64 {
	switch result.opcode {
	case "tuple":
		sum := int64(0)
		for n, o := range result.operands {
			if !slices.Contains(result.operands[:n], o) {
				sum += c.written(c.byID[o])
			}
		}
		return sum
	case "bitcast":
		return c.written(c.byID[result.operands[0]])
	case "dynamic-update-slice": // in place
		return c.byID[result.operands[1]].shape.bytes()
	}
	return result.shape.bytes()
}
