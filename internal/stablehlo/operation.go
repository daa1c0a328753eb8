package stablehlo

import (
	"strconv"
	"strings"
)

// Operation is an operation of a program in MLIR's generic form:
//
//	%c = "stablehlo.NAME"(%a, %b) <{PROPERTIES}> {ATTRIBUTES} : (TYPE, TYPE) -> TYPE
//
// or the call of a function, "func.call", whose NAME is call and whose attribute callee is @FUNCTION.
// PROPERTIES and ATTRIBUTES are lists of NAME = VALUE with the same meaning; either or both may be
// missing. The types of several results are in parentheses.
type Operation struct {
	Name              string
	Operands          string            // as they are written
	Attributes        map[string]string // by name, without white space
	InTypes, OutTypes string            // as they are written
	In, Out           [][]int64         // shapes of operands and results, all float32
}

// parse parses the operation at the start of a text, without its results, and returns its length.
// ok is false if it is not written as above, or has a region, an attribute without a value, or an
// operand or result that is not a float32 array of known dimensions.
func parse(text string) (o *Operation, length int, ok bool) {
	s := &scanner{text: text}
	o = &Operation{Attributes: map[string]string{}}
	if !s.accept(`"func.`) {
		s.expect(`"stablehlo.`)
	}
	o.Name = s.word()
	s.expect(`"(`)
	o.Operands = s.until(")")
	if s.accept("<{") {
		s.dictionary(o.Attributes)
		s.expect("}>")
	}
	if s.accept("{") {
		s.dictionary(o.Attributes)
		s.expect("}")
	}
	s.expect(":")
	s.expect("(")
	o.InTypes = s.until(")")
	s.expect("->")
	if s.accept("(") {
		o.OutTypes = "(" + s.until(")") + ")"
	} else {
		o.OutTypes = s.tensor()
	}
	o.In, o.Out = s.shapes(o.InTypes), s.shapes(strings.Trim(o.OutTypes, "()"))
	operands := strings.Split(o.Operands, ",")
	for _, operand := range operands {
		operand, isValue := strings.CutPrefix(strings.TrimSpace(operand), "%")
		if !isValue || strings.ContainsAny(operand, " \t\r\n%(){}<>\"") {
			s.failed = true
		}
	}
	return o, s.at, !s.failed && len(operands) == len(o.In)
}

// scanner reads a text and remembers whether everything so far was as expected.
type scanner struct {
	text   string
	at     int
	failed bool
}

// accept skips white space and a token, and reports whether the text has this token.
func (s *scanner) accept(token string) bool {
	rest := strings.TrimLeft(s.text[s.at:], " \t\r\n")
	if s.failed || !strings.HasPrefix(rest, token) {
		return false
	}
	s.at = len(s.text) - len(rest) + len(token)
	return true
}

// expect skips white space and a token, and fails if the text does not have this token.
func (s *scanner) expect(token string) {
	if !s.accept(token) {
		s.failed = true
	}
}

// until returns the text before a token, and skips both.
func (s *scanner) until(token string) string {
	before, _, found := strings.Cut(s.text[s.at:], token)
	if s.failed || !found {
		s.failed = true
		return ""
	}
	s.at += len(before) + len(token)
	return before
}

// word skips white space and reads letters, digits and underscores.
func (s *scanner) word() string {
	s.accept("")
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

// dictionary reads attributes up to the closing bracket.
func (s *scanner) dictionary(attributes map[string]string) {
	for more := true; more && !s.failed; more = s.accept(",") {
		name := s.word()
		s.expect("=")
		if _, twice := attributes[name]; twice {
			s.failed = true
		}
		attributes[name] = s.value()
	}
}

// value reads an attribute's value, up to the comma or bracket after it, and returns it without
// white space.
func (s *scanner) value() string {
	start, open := s.at, 0
	for ; s.at < len(s.text) && !s.failed; s.at++ {
		switch s.text[s.at] {
		case '"': // strings have escapes; no operation that is replaced has a string
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

// shapes parses the shapes of float32 types that are separated by commas.
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
