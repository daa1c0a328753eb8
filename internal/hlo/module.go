// Package hlo analyses what XLA has compiled for a GPU: the optimised module (HloModuleProto,
// xla/service/hlo.proto) and its list of thunks. [Describe] returns a [Profile], which counts what
// the GPU will run and how many bytes it will move, and [CountLaunches] what the host will launch.
// Neither needs a GPU.
//
// A module consists of computations, and a computation of instructions. In an optimised module, an
// instruction of the entry computation or of the body of its loop is a kernel, a call of a library,
// or an operation that takes no time, such as a bitcast. A fusion is a single kernel, described by
// the computation that it calls.
package hlo

import (
	"errors"
	"fmt"
	"strings"

	"google.golang.org/protobuf/encoding/protowire"
)

// module is an HloModuleProto.
type module struct {
	entry        int64 // computation
	computations map[int64]*computation
}

// computation is an HloComputationProto.
type computation struct {
	instructions []*instruction // operands come before their users
	root         int64
	byID         map[int64]*instruction
}

// instruction is an HloInstructionProto.
type instruction struct {
	id               int64
	name, opcode     string
	target           string // of a custom call
	shape            shape
	operands, called []int64
	parameter, index int64   // number of a parameter; index of a get-tuple-element
	window           []int64 // sizes of a convolution's window
	inputFeature     int64   // of a convolution: the axis of its input that has the channels
	precisions       []int64 // of the operands of a convolution or product; see highest
}

// shape is a ShapeProto: an array, or a tuple of shapes.
type shape struct {
	element    int64 // a PrimitiveType
	dimensions []int64
	parts      []shape // of a tuple
}

// elementBytes maps PrimitiveTypes (xla/xla_data.proto) to their sizes in bytes.
var elementBytes = map[int64]int64{
	1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 2, 8: 4, 9: 8, 10: 2, 11: 4, 12: 8, 15: 8, 16: 2, 18: 16,
}

// float32Type is the PrimitiveType F32.
const float32Type = 11

func (s shape) elements() int64 {
	n := int64(1)
	for _, d := range s.dimensions {
		n *= d
	}
	return n
}

func (s shape) bytes() int64 {
	if s.parts == nil {
		return s.elements() * elementBytes[s.element]
	}
	sum := int64(0)
	for _, p := range s.parts {
		sum += p.bytes()
	}
	return sum
}

// highest is PrecisionConfig.HIGHEST.
const highest = 2

// parseModule reads a serialised HloModuleProtoWithConfig.
func parseModule(b []byte) (*module, error) {
	m := &module{computations: map[int64]*computation{}}
	err := eachField(b, func(field protowire.Number, _ uint64, value []byte) error {
		if field != 1 { // hlo_module
			return nil
		}
		return eachField(value, func(field protowire.Number, n uint64, value []byte) error {
			switch field {
			case 6: // entry_computation_id
				m.entry = int64(n)
			case 3: // computations
				id, c, err := parseComputation(value)
				m.computations[id] = c
				return err
			}
			return nil
		})
	})
	if err != nil {
		return nil, err
	}
	if m.computations[m.entry] == nil {
		return nil, errors.New("no entry computation")
	}
	return m, m.check()
}

// leastOperands maps opcodes to the number of operands that making a Profile relies on.
var leastOperands = map[string]int{"bitcast": 1, "convolution": 1, "dot": 1, "dynamic-update-slice": 2}

// check checks what making a Profile relies on: that everything that instructions refer to exists,
// and that operands come before the instructions that use them.
func (m *module) check() error {
	for _, c := range m.computations {
		if c.byID[c.root] == nil {
			return errors.New("a computation has no root")
		}
		seen := map[int64]bool{}
		for _, i := range c.instructions {
			for _, o := range i.operands {
				if !seen[o] {
					return fmt.Errorf("%s has an operand that does not precede it in its computation", i.name)
				}
			}
			seen[i.id] = true
			for _, called := range i.called {
				if m.computations[called] == nil {
					return fmt.Errorf("%s calls a computation that is not in the module", i.name)
				}
			}
			if i.opcode == "fusion" && len(i.called) != 1 {
				return fmt.Errorf("fusion %s calls %d computations, not one", i.name, len(i.called))
			}
			least := leastOperands[i.opcode]
			if i.isCuDNN() || i.isOwn() {
				least = 2
			}
			if len(i.operands) < least {
				return fmt.Errorf("%s has %d operands, not at least %d", i.name, len(i.operands), least)
			}
			if i.isOwn() && len(c.byID[i.operands[0]].shape.dimensions) != 4 {
				return fmt.Errorf("%s is not a convolution of feature maps", i.name)
			}
			if _, input, _ := c.convolution(i); i.isCuDNN() && (i.inputFeature < 0 || i.inputFeature >= int64(len(input.dimensions))) {
				return fmt.Errorf("convolution %s has its channels on axis %d, which its input does not have", i.name, i.inputFeature)
			}
		}
	}
	return nil
}

// cuDNN is the prefix of the targets of custom calls that are convolutions by cuDNN.
const cuDNN = "__cudnn$conv"

func (i *instruction) isCuDNN() bool { return strings.HasPrefix(i.target, cuDNN) }

// own is the prefix of the targets of calls of nb201's kernels (internal/cudakernels), which compute
// convolutions of stride 1 and gradients of their weights, or parts of these gradients.
const own = "nb201.cuda."

func (i *instruction) isOwn() bool { return strings.HasPrefix(i.target, own) }

// flopOf returns the FLOP of a call of one of nb201's kernels: two for each pixel of the output and
// each weight.
func (c *computation) flopOf(i *instruction) int64 {
	x, weights := c.byID[i.operands[0]].shape, c.byID[i.operands[1]].shape.elements()
	if len(i.shape.dimensions) == 5 {
		weights = i.shape.elements() / i.shape.dimensions[0]
	}
	return 2 * x.elements() / x.dimensions[len(x.dimensions)-1] * weights
}

// convolution returns the kind of a call of cuDNN, and the input and output of the forward
// convolution that it computes, or whose gradient it computes. kind is "" if i is not such a call.
func (c *computation) convolution(i *instruction) (kind string, input, output shape) {
	if !i.isCuDNN() {
		return "", input, output
	}
	kind = strings.TrimPrefix(i.target, cuDNN)
	first, second, result := c.byID[i.operands[0]].shape, c.byID[i.operands[1]].shape, i.shape
	if result.parts != nil { // the second part is cuDNN's workspace
		result = result.parts[0]
	}
	switch kind {
	case "BackwardInput":
		return kind, result, first
	case "BackwardFilter":
		return kind, first, second
	}
	return kind, first, result
}

func parseComputation(b []byte) (id int64, c *computation, err error) {
	c = &computation{byID: map[int64]*instruction{}}
	err = eachField(b, func(field protowire.Number, n uint64, value []byte) error {
		switch field {
		case 5: // id
			id = int64(n)
		case 6: // root_id
			c.root = int64(n)
		case 2: // instructions
			i, err := parseInstruction(value)
			if err != nil {
				return err
			}
			c.instructions, c.byID[i.id] = append(c.instructions, i), i
		}
		return nil
	})
	return id, c, err
}

func parseInstruction(b []byte) (*instruction, error) {
	i := &instruction{}
	err := eachField(b, func(field protowire.Number, n uint64, value []byte) (err error) {
		switch field {
		case 1:
			i.name = string(value)
		case 2:
			i.opcode = string(value)
		case 3:
			i.shape, err = parseShape(value)
		case 9: // parameter_number
			i.parameter = int64(n)
		case 13: // tuple_index
			i.index = int64(n)
		case 15: // window
			i.window, err = parseWindow(value)
		case 16: // convolution_dimension_numbers
			err = eachField(value, func(field protowire.Number, n uint64, _ []byte) error {
				if field == 8 { // input_feature_dimension
					i.inputFeature = int64(n)
				}
				return nil
			})
		case 28: // custom_call_target
			i.target = string(value)
		case 35: // id
			i.id = int64(n)
		case 36: // operand_ids
			i.operands, err = appendNumbers(i.operands, n, value)
		case 38: // called_computation_ids
			i.called, err = appendNumbers(i.called, n, value)
		case 51: // precision_config
			err = eachField(value, func(field protowire.Number, n uint64, value []byte) error {
				if field != 1 { // operand_precision
					return nil
				}
				i.precisions, err = appendNumbers(i.precisions, n, value)
				return err
			})
		}
		return err
	})
	return i, err
}

func parseShape(b []byte) (s shape, err error) {
	err = eachField(b, func(field protowire.Number, n uint64, value []byte) (err error) {
		switch field {
		case 2: // element_type
			s.element = int64(n)
		case 3: // dimensions
			s.dimensions, err = appendNumbers(s.dimensions, n, value)
		case 4: // tuple_shapes
			var part shape
			part, err = parseShape(value)
			s.parts = append(s.parts, part)
		}
		return err
	})
	return s, err
}

// parseWindow parses a Window and returns its sizes.
func parseWindow(b []byte) (sizes []int64, err error) {
	err = eachField(b, func(field protowire.Number, _ uint64, value []byte) error {
		if field != 1 { // dimensions
			return nil
		}
		return eachField(value, func(field protowire.Number, n uint64, _ []byte) error {
			if field == 1 { // size
				sizes = append(sizes, int64(n))
			}
			return nil
		})
	})
	return sizes, err
}

// appendNumbers appends the numbers in one field of a repeated number: n, or those in value if they
// are packed.
func appendNumbers(to []int64, n uint64, value []byte) ([]int64, error) {
	if value == nil {
		return append(to, int64(n)), nil
	}
	for len(value) > 0 {
		v, size := protowire.ConsumeVarint(value)
		if size < 0 {
			return nil, protowire.ParseError(size)
		}
		to, value = append(to, int64(v)), value[size:]
	}
	return to, nil
}

// eachField calls use with each field of a message. For a number, n is set and value is nil; for
// strings and messages, value is not nil. Other fields are skipped.
func eachField(b []byte, use func(field protowire.Number, n uint64, value []byte) error) error {
	for len(b) > 0 {
		field, kind, size := protowire.ConsumeTag(b)
		if size < 0 {
			return protowire.ParseError(size)
		}
		b = b[size:]
		var n uint64
		var value []byte
		switch kind {
		case protowire.VarintType:
			n, size = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			if value, size = protowire.ConsumeBytes(b); value == nil {
				value = []byte{}
			}
		default:
			if size = protowire.ConsumeFieldValue(field, kind, b); size >= 0 {
				b = b[size:]
				continue
			}
		}
		if size < 0 {
			return protowire.ParseError(size)
		}
		if err := use(field, n, value); err != nil {
			return err
		}
		b = b[size:]
	}
	return nil
}
