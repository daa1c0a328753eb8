package npy

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// literal is the unread rest of a Python literal.
type literal string

var errHeader = errors.New("has a damaged header: it is not a Python dict with descr, fortran_order and shape")

// parseHeader parses the dict of a header.
func parseHeader(text string) (Header, error) {
	in := literal(text)
	var h Header
	if !in.skip("{") {
		return Header{}, errHeader
	}
	seen := map[string]bool{}
	for !in.skip("}") {
		key, ok := in.text()
		if !ok || seen[key] || !in.skip(":") {
			return Header{}, errHeader
		}
		seen[key] = true
		switch key {
		case "descr":
			if in.skip("[") {
				return Header{}, errors.New("is an array of records; only arrays of numbers and text are supported")
			}
			var descr string
			if descr, ok = in.text(); ok {
				var err error
				if h.Type, err = parseType(descr); err != nil {
					return Header{}, err
				}
			}
		case "fortran_order":
			h.Fortran = in.skip("True")
			ok = h.Fortran || in.skip("False")
		case "shape":
			h.Shape, ok = in.shape()
		default:
			return Header{}, fmt.Errorf("has a header with the unknown key %.40q", key)
		}
		if !ok || !in.skip(",") && !strings.HasPrefix(string(in), "}") {
			return Header{}, errHeader
		}
	}
	if in.skipSpace(); in != "" || len(seen) != 3 {
		return Header{}, errHeader
	}
	return h, nil
}

func (in *literal) skipSpace() { *in = literal(strings.TrimLeft(string(*in), " \t\r\n")) }

// skip skips token and the space around it, if it comes next, and reports whether it does.
func (in *literal) skip(token string) bool {
	in.skipSpace()
	rest, ok := strings.CutPrefix(string(*in), token)
	if ok {
		*in = literal(rest)
		in.skipSpace()
	}
	return ok
}

// text reads a string. Strings with escapes are refused.
func (in *literal) text() (string, bool) {
	for _, quote := range []string{"'", `"`} {
		if in.skip(quote) {
			text, rest, ok := strings.Cut(string(*in), quote)
			*in = literal(rest)
			return text, ok && !strings.Contains(text, `\`)
		}
	}
	return "", false
}

// maxDims is numpy's limit on the number of dimensions.
const maxDims = 64

// shape reads a tuple of non-negative whole numbers. Python 2 wrote an L after them.
func (in *literal) shape() ([]int, bool) {
	if !in.skip("(") {
		return nil, false
	}
	shape := []int{}
	for !in.skip(")") {
		digits := len(*in) - len(strings.TrimLeft(string(*in), "0123456789"))
		n, err := strconv.Atoi(string((*in)[:digits]))
		if err != nil || len(shape) == maxDims {
			return nil, false
		}
		shape = append(shape, n)
		*in = (*in)[digits:]
		in.skip("L")
		if !in.skip(",") && !strings.HasPrefix(string(*in), ")") {
			return nil, false
		}
	}
	return shape, true
}
