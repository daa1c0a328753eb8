// Package stablehlo replaces operations of a program by calls of functions outside XLA, in the text
// of StableHLO as go-xla writes it: gomlx has no operation for such calls. [Replace] finds the
// operations, [Operation.Match] compares one with a closed list of attributes, and [Operation.Call]
// writes the call.
package stablehlo

import (
	"fmt"
	"regexp"
	"strings"
)

// Replacement is the text that replaces an operation.
type Replacement struct {
	Before    string // operations before it, each with its results and a line break
	Operation string // without its results, which keep their names
}

// Replace passes the operations of a program to find, in their order, and replaces those for which
// it returns true. It leaves out operations that are written as [Operation] does not describe.
// results is the text before the operation in its line, such as "%69 = ".
func Replace(program []byte, find func(o *Operation, results string) (Replacement, bool)) []byte {
	text := string(program)
	var replaced []byte
	done := 0
	for at := 0; ; at++ {
		next := strings.Index(text[at:], `"stablehlo.`)
		if next < 0 {
			break
		}
		at += next
		line := strings.LastIndexByte(text[:at], '\n') + 1
		if strings.Contains(text[line:at], "//") {
			continue // a comment
		}
		o, length, ok := parse(text[at:])
		if !ok {
			continue
		}
		line = max(line, done)
		if r, ok := find(o, text[line:at]); ok {
			replaced = append(replaced, text[done:line]...)
			replaced = append(append(append(replaced, r.Before...), text[line:at]...), r.Operation...)
			done = at + length
		}
	}
	return append(replaced, text[done:]...)
}

// Call returns the text of a call of target, with the operation's operands and results in row-major
// order, and config as its attributes.
func (o *Operation) Call(target, config string) string {
	return o.CallInOrder(target, config, rowMajor(o.In), rowMajor(o.Out))
}

// CallInOrder is Call with operands and results in other orders: each lists the axes of an array
// from the one whose elements are next to each other in memory to the one whose are furthest apart.
func (o *Operation) CallInOrder(target, config string, in, out [][]int) string {
	return fmt.Sprintf(`"stablehlo.custom_call"(%s) {
  api_version = 4 : i32,
  backend_config = {%s},
  call_target_name = %q,
  has_side_effect = false,
  operand_layouts = [%s],
  result_layouts = [%s]
} : (%s) -> %s`, o.Operands, config, target, layouts(in), layouts(out), o.InTypes, o.OutTypes)
}

// rowMajor returns the row-major orders of arrays of these shapes.
func rowMajor(shapes [][]int64) (orders [][]int) {
	for _, shape := range shapes {
		var order []int
		for axis := len(shape) - 1; axis >= 0; axis-- {
			order = append(order, axis)
		}
		orders = append(orders, order)
	}
	return orders
}

// layouts returns the text that declares arrays to be in these orders.
func layouts(orders [][]int) string {
	var all []string
	for _, order := range orders {
		axes := strings.Join(strings.Fields(strings.Trim(fmt.Sprint(order), "[]")), ", ")
		all = append(all, fmt.Sprintf("dense<[%s]> : tensor<%dxindex>", axes, len(order)))
	}
	return strings.Join(all, ", ")
}

// Match reports whether the operation has exactly these attributes, which map names to values as
// go-xla writes them, with * for a number. numbers maps names to the numbers in the place of *.
func (o *Operation) Match(attributes map[string]string) (numbers map[string]string, ok bool) {
	numbers, found := map[string]string{}, 0
	for name, want := range attributes {
		value, has := o.Attributes[name]
		if !has {
			if name == "precision_config" { // if it is missing, it is DEFAULT
				continue
			}
			return nil, false
		}
		found++
		before, after, open := strings.Cut(strings.Join(strings.Fields(want), ""), "*")
		number, begins := strings.CutPrefix(unsplat(value), before)
		number, ends := strings.CutSuffix(number, after)
		if !begins || !ends || !open && number != "" {
			return nil, false
		}
		numbers[name] = number
	}
	return numbers, found == len(o.Attributes)
}

var splat = regexp.MustCompile(`^dense<(-?[0-9]+)>:tensor<2x2xi64>$`)

// unsplat expands a padding that is written as a single number.
func unsplat(value string) string {
	return splat.ReplaceAllString(value, "dense<[[$1,$1],[$1,$1]]>:tensor<2x2xi64>")
}

// Convolution returns the attributes of a convolution without groups, at default precision. axes
// are its dimension numbers, strides and dilations are the same on both axes of the maps, and start
// and end are the padding of each.
func Convolution(axes string, stride, inputDilation, kernelDilation, start, end int64) map[string]string {
	pair := func(n int64) string { return fmt.Sprintf("array<i64: %d, %d>", n, n) }
	return map[string]string{
		"dimension_numbers":   "#stablehlo.conv<" + axes + ">",
		"window_strides":      pair(stride),
		"lhs_dilation":        pair(inputDilation),
		"rhs_dilation":        pair(kernelDilation),
		"padding":             fmt.Sprintf("dense<[[%d, %d], [%d, %d]]> : tensor<2x2xi64>", start, end, start, end),
		"window_reversal":     "array<i1: false, false>",
		"feature_group_count": "1 : i64",
		"batch_group_count":   "1 : i64",
		"precision_config":    "[#stablehlo<precision DEFAULT>, #stablehlo<precision DEFAULT>]",
	}
}
