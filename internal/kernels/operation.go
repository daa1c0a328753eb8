package kernels

import (
	"strconv"
	"strings"
)

// operation is an operation of a program in MLIR's generic form:
//
//	"stablehlo.NAME"(%a, %b) <{PROPERTIES}> {ATTRIBUTES} : (TYPE, TYPE) -> TYPE
//
// where PROPERTIES, ATTRIBUTES or both may be left out, and several results have their types
// in parentheses. Both are ATTRIBUTE = VALUE, ... and mean the same.
type operation struct {
	name              string
	operands          string            // as they are written
	attributes        map[string]string // by name, without white space
	inTypes, outTypes string            // as they are written
	in, out           [][]int64         // the shapes of operands and results, all of float32
}

// parse reads the operation of StableHLO that a text begins with. It returns the operation's
// length, or ok false for whatever is not written as an operation above is: with a region, an
// attribute without a value, or an operand or result that is not a float32 array of known
// dimensions.
func parse(text string) (o *operation, length int, ok bool) {
	s := &scanner{text: text}
	o = &operation{attributes: map[string]string{}}
	s.expect(`"stablehlo.`)
	o.name = s.word()
	s.expect(`"(`)
	o.operands = s.until(")")
	if s.skips("<{") {
		s.dictionary(o.attributes)
		s.expect("}>")
	}
	if s.skips("{") {
		s.dictionary(o.attributes)
		s.expect("}")
	}
	s.expect(":")
	s.expect("(")
	o.inTypes = s.until(")")
	s.expect("->")
	if s.skips("(") {
		o.outTypes = "(" + s.until(")") + ")"
	} else {
		o.outTypes = s.tensor()
	}
	o.in, o.out = s.shapes(o.inTypes), s.shapes(strings.Trim(o.outTypes, "()"))
	operands := strings.Split(o.operands, ",")
	for _, operand := range operands {
		operand, isValue := strings.CutPrefix(strings.TrimSpace(operand), "%")
		if !isValue || strings.ContainsAny(operand, " \t\r\n%(){}<>\"") {
			s.failed = true
		}
	}
	return o, s.at, !s.failed && len(operands) == len(o.in)
}

// scanner goes through a text and remembers whether all of it was as expected.
type scanner struct {
	text   string
	at     int
	failed bool
}

// skips passes over a token, after white space, and reports whether it was there.
func (s *scanner) skips(token string) bool {
	rest := strings.TrimLeft(s.text[s.at:], " \t\r\n")
	if s.failed || !strings.HasPrefix(rest, token) {
		return false
	}
	s.at = len(s.text) - len(rest) + len(token)
	return true
}

func (s *scanner) expect(token string) {
	if !s.skips(token) {
		s.failed = true
	}
}

// until returns what comes before a token, and passes over both.
func (s *scanner) until(token string) string {
	before, _, found := strings.Cut(s.text[s.at:], token)
	if s.failed || !found {
		s.failed = true
		return ""
	}
	s.at += len(before) + len(token)
	return before
}

// word returns letters, digits and underscores.
func (s *scanner) word() string {
	s.skips("")
	length := strings.IndexFunc(s.text[s.at:], func(c rune) bool {
		return c != '_' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z')
	})
	if s.failed || length <= 0 {
		s.failed = true
		return ""
	}
	s.at += length
	return s.text[s.at-length : s.at]
}

// dictionary reads attributes up to the bracket that ends them.
func (s *scanner) dictionary(attributes map[string]string) {
	for more := true; more && !s.failed; more = s.skips(",") {
		name := s.word()
		s.expect("=")
		if _, twice := attributes[name]; twice {
			s.failed = true
		}
		attributes[name] = s.value()
	}
}

// value reads an attribute's value, up to the comma or bracket that ends it, and returns it
// without white space.
func (s *scanner) value() string {
	start, open := s.at, 0
	for ; s.at < len(s.text) && !s.failed; s.at++ {
		switch s.text[s.at] {
		case '"': // a string has escapes, and no operation of ours has one
			s.failed = true
		case '<', '[', '(', '{':
			open++
		case '-':
			if strings.HasPrefix(s.text[s.at:], "->") {
				s.at++
			}
		case ',', '>', ']', ')', '}':
			if open == 0 {
				return strings.Join(strings.Fields(s.text[start:s.at]), "")
			}
			if s.text[s.at] != ',' {
				open--
			}
		}
	}
	s.failed = true
	return ""
}

// tensor reads a type and returns it as it is written.
func (s *scanner) tensor() string {
	s.expect("tensor<")
	return "tensor<" + s.until(">") + ">"
}

// shapes reads types that are separated by commas.
func (s *scanner) shapes(types string) (shapes [][]int64) {
	for name := range strings.SplitSeq(types, ",") {
		name = strings.TrimSpace(name)
		dimensions, isTensor := strings.CutPrefix(name, "tensor<")
		dimensions, isFloat32 := strings.CutSuffix(dimensions, "xf32>")
		var shape []int64
		for dimension := range strings.SplitSeq(dimensions, "x") {
			n, err := strconv.ParseUint(dimension, 10, 31)
			if err != nil || !isTensor || !isFloat32 {
				s.failed = true
				return nil
			}
			shape = append(shape, int64(n))
		}
		shapes = append(shapes, shape)
	}
	return shapes
}
