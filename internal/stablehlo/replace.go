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
		next := dialects.FindStringIndex(text[at:])
		if next == nil {
			break
		}
		at += next[0]
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

// dialects finds what an operation may begin with.
var dialects = regexp.MustCompile(`"(?:stablehlo\.|func\.call")`)

// RemoveFunctions removes the functions of a program whose names begin with a prefix.
func RemoveFunctions(program []byte, prefix string) []byte {
	var kept []byte
	removing := false
	for line := range strings.Lines(string(program)) {
		trimmed := strings.TrimLeft(line, " ")
		indent := line[:len(line)-len(trimmed)]
		if len(indent) == functionIndent && strings.HasPrefix(trimmed, "func.func @"+prefix) {
			removing = true
		}
		if !removing {
			kept = append(kept, line...)
		}
		if len(indent) == functionIndent && strings.HasPrefix(trimmed, "}") {
			removing = false
		}
	}
	return kept
}

// functionIndent is how far go-xla indents the first and the last line of a function.
const functionIndent = 2

// Call returns the text of a call of target, with config as its attributes. in and out are the
// layouts of its operands and results: the axes of an array, from the one whose elements are adjacent.
func (o *Operation) Call(target, config string, in, out [][]int) string {
	return fmt.Sprintf(`"stablehlo.custom_call"(%s) {
  api_version = 4 : i32,
  backend_config = {%s},
  call_target_name = %q,
  has_side_effect = false,
  operand_layouts = [%s],
  result_layouts = [%s]
} : (%s) -> %s`, o.Operands, config, target, layouts(in), layouts(out), o.InTypes, o.OutTypes)
}

// layouts returns the text of layouts.
func layouts(of [][]int) string {
	var all []string
	for _, axes := range of {
		order := strings.Trim(strings.ReplaceAll(fmt.Sprint(axes), " ", ", "), "[]")
		all = append(all, fmt.Sprintf("dense<[%s]> : tensor<%dxindex>", order, len(axes)))
	}
	return strings.Join(all, ", ")
}

// RowMajor returns the layouts of arrays of these shapes in row-major order.
func RowMajor(shapes ...[]int64) (layouts [][]int) {
	for _, shape := range shapes {
		var axes []int
		for axis := len(shape) - 1; axis >= 0; axis-- {
			axes = append(axes, axis)
		}
		layouts = append(layouts, axes)
	}
	return layouts
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
