package hlo

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Profile describes what a GPU runs in one iteration of a program's loop, or in the whole program
// if it has no loop.
type Profile struct {
	Kernels      []Kernel     // cuDNN's, nb201's and XLA's own, in program order
	Chain        int          // length of the longest sequence of kernels in which each needs the previous one
	Convolutions Convolutions // those that cuDNN computes
	Own          Convolutions // those that nb201's kernels compute
	Other        int          // convolutions that XLA computes itself, which is slow
	Rounded      int          // float32 convolutions and products that may round their operands
	Moved        []string     // kernels that transpose or copy a feature map
}

// Kernel is a function that the GPU runs. Bytes is the number of bytes that it reads and writes in
// the GPU's memory, counting each array once, and only the part of an array that it uses.
type Kernel struct {
	Name  string
	Bytes int64
	FLOP  int64 // of its convolutions; a multiply-add counts as 2
}

// Convolutions counts calls of each kind.
type Convolutions struct {
	Forward, Input, Filter int // Input and Filter are gradients
	Fused                  int // forward, fused with the operations that follow
}

// String returns the counts as "forward/filter gradients/input gradients/fused".
func (c Convolutions) String() string {
	return fmt.Sprintf("%d/%d/%d/%d", c.Forward, c.Filter, c.Input, c.Fused)
}

// Bytes returns the sum over all kernels.
func (p *Profile) Bytes() int64 {
	sum := int64(0)
	for _, k := range p.Kernels {
		sum += k.Bytes
	}
	return sum
}

// FLOP returns the sum over all kernels.
func (p *Profile) FLOP() int64 {
	sum := int64(0)
	for _, k := range p.Kernels {
		sum += k.FLOP
	}
	return sum
}

// Roofline returns a lower bound of the time of one iteration in seconds: the sum over kernels of
// the longer of the times for its bytes and for its FLOP at these rates. The real time can be less
// if the GPU's cache keeps what one kernel writes until the next one reads it.
func (p *Profile) Roofline(bytesPerSecond, flopPerSecond float64) float64 {
	sum := 0.0
	for _, k := range p.Kernels {
		sum += max(float64(k.Bytes)/bytesPerSecond, float64(k.FLOP)/flopPerSecond)
	}
	return sum
}

// includes reports whether an array of this shape is a feature map.
func (m Maps) includes(s shape) bool {
	batch := make([]int64, 0, len(m.Batch))
	for _, d := range m.Batch {
		batch = append(batch, int64(d))
	}
	return len(s.dimensions) == 4 && s.elements() >= int64(m.Smallest) && slices.Contains(s.dimensions, batch[0]) &&
		!slices.Equal(slices.Sorted(slices.Values(s.dimensions)), slices.Sorted(slices.Values(batch)))
}

// free lists the operations that take no time, because they only rename existing values.
var free = []string{"after-all", "bitcast", "constant", "get-tuple-element", "parameter", "tuple"}

// Maps defines which arrays of a program are feature maps: those with four axes, one of them as long
// as the batch has images, and with at least Smallest elements, except the batch itself.
type Maps struct {
	Batch    [4]int // images, height, width, channels
	Smallest int    // elements of the smallest feature map of a batch
}

// Describe makes the profile of an optimised program, a serialised HloModuleProtoWithConfig.
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

// body returns the body of a loop: the one of its two computations that returns a tuple, and not a
// boolean.
func (m *module) body(loop *instruction) (*computation, error) {
	for _, called := range loop.called {
		if c := m.computations[called]; c.byID[c.root].shape.parts != nil {
			return c, nil
		}
	}
	return nil, errors.New("the optimised program has a loop without a body")
}

// add adds the kernel of instruction i to a profile.
func (m *module) add(p *Profile, c *computation, i *instruction, maps Maps) error {
	k := Kernel{Name: i.name, Bytes: m.traffic(c, i)}
	parts := []*instruction{i}
	within := c
	if i.opcode == "fusion" {
		within = m.computations[i.called[0]]
		parts = within.instructions
	}
	moves := func(part *instruction) bool {
		return (part.opcode == "transpose" || part.opcode == "copy") && maps.includes(part.shape)
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
		if part.isOwn() {
			if err := p.Own.addOwn(part.target); err != nil {
				return err
			}
			k.FLOP += within.flopOf(part)
			if strings.HasSuffix(part.target, "_tf32") {
				p.Rounded++
			}
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

// add counts a call of cuDNN; kind is the end of its target's name.
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
		return fmt.Errorf("the optimised program has a cuDNN convolution of the unknown kind %q", kind)
	}
	return nil
}

// addOwn counts a call of one of nb201's kernels.
func (c *Convolutions) addOwn(target string) error {
	kind, _, _ := strings.Cut(strings.TrimPrefix(target, own), "_")
	switch kind {
	case "conv":
		c.Forward++
	case "input":
		c.Input++
	case "weight":
		c.Filter++
	default:
		return fmt.Errorf("the optimised program calls an unknown kernel, %q", target)
	}
	return nil
}

// rounds reports whether a convolution or product may round its float32 operands.
func rounds(c *computation, i *instruction) bool {
	if c.byID[i.operands[0]].shape.element != float32Type {
		return false
	}
	return len(i.precisions) < 2 || i.precisions[0] != highest || i.precisions[1] != highest
}

// traffic returns the number of bytes that a kernel reads and writes.
func (m *module) traffic(c *computation, i *instruction) int64 {
	switch {
	case i.opcode == "fusion":
		inside := m.computations[i.called[0]]
		sum := inside.writtenBytes(inside.byID[inside.root])
		seen := map[int64]bool{}
		for n, o := range i.operands {
			if !seen[o] {
				seen[o] = true
				sum += inside.readBytes(inside.parameterOf(int64(n)))
			}
		}
		return sum
	case i.opcode == "slice" || i.opcode == "dynamic-slice":
		return 2 * i.shape.bytes()
	}
	sum := i.shape.bytes()
	if i.target != "" && i.shape.parts != nil { // leave out a library's workspace
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

// readBytes returns the number of bytes that a fusion reads of an array: all, or only what it cuts
// out of the array.
func (c *computation) readBytes(array *instruction) int64 {
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
				cut += c.readBytes(user)
			default:
				return array.shape.bytes()
			}
		}
	}
	return min(cut, array.shape.bytes())
}

// writtenBytes returns the number of bytes that a fusion writes for the result of an instruction.
func (c *computation) writtenBytes(result *instruction) int64 {
	switch result.opcode {
	case "tuple":
		sum := int64(0)
		for n, o := range result.operands {
			if !slices.Contains(result.operands[:n], o) {
				sum += c.writtenBytes(c.byID[o])
			}
		}
		return sum
	case "bitcast":
		return c.writtenBytes(c.byID[result.operands[0]])
	case "dynamic-update-slice": // in place
		return c.byID[result.operands[1]].shape.bytes()
	}
	return result.shape.bytes()
}
