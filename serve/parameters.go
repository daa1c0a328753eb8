package serve

import (
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"nb201/cell"
)

// parameters reads the query of a request's URL. It keeps the first error, and refuses parameters that
// nobody has asked for.
type parameters struct {
	values url.Values
	known  []string
	err    error
}

func newParameters(r *http.Request) *parameters {
	values, err := url.ParseQuery(r.URL.RawQuery)
	p := &parameters{values: values}
	if err != nil {
		p.err = badRequest("the query cannot be read: %w", err)
	}
	return p
}

func (p *parameters) fail(format string, args ...any) {
	if p.err == nil {
		p.err = badRequest(format, args...)
	}
}

// check returns the first error. A parameter that was not read is one.
func (p *parameters) check() error {
	for name := range p.values {
		if !slices.Contains(p.known, name) {
			if len(p.known) == 0 {
				p.fail("unknown parameter %q; there are none", name)
				break
			}
			p.fail("unknown parameter %q; use %s", name, strings.Join(p.known, ", "))
		}
	}
	return p.err
}

// text returns a parameter, "" if it is not given.
func (p *parameters) text(name string) string {
	if !slices.Contains(p.known, name) {
		p.known = append(p.known, name)
	}
	if len(p.values[name]) > 1 {
		p.fail("%s is given twice", name)
	}
	return p.values.Get(name)
}

// number returns a whole number from least to most, or other if it is not given.
func (p *parameters) number(name string, other, least, most int) int {
	text := p.text(name)
	if text == "" {
		return other
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < least || n > most {
		p.fail("%s=%s is not a whole number from %d to %d", name, text, least, most)
		return other
	}
	return n
}

// offset and pageLimit return the place of the first item of a list, and the most items of a page.
func (p *parameters) offset() int    { return p.number("offset", 0, 0, 1<<40) }
func (p *parameters) pageLimit() int { return p.number("limit", 100, 1, 1000) }

// limit returns a number above 0, or 0 if it is not given.
func (p *parameters) limit(name string) float64 {
	text := p.text(name)
	if text == "" {
		return 0
	}
	v, err := strconv.ParseFloat(text, 64)
	if err != nil || !(v > 0) || math.IsInf(v, 0) {
		p.fail("%s=%s is not a number above 0", name, text)
		return 0
	}
	return v
}

// seed returns a seed, nil if it is not given.
func (p *parameters) seed(name string) *uint32 {
	text := p.text(name)
	if text == "" {
		return nil
	}
	v, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		p.fail("%s=%s is not a whole number from 0 to 4294967295", name, text)
		return nil
	}
	seed := uint32(v)
	return &seed
}

// oneOf returns one of the values, the first if it is not given.
func (p *parameters) oneOf(name string, values []string) string {
	text := p.text(name)
	if text == "" {
		return values[0]
	}
	if !slices.Contains(values, text) {
		p.fail("%s=%s: use %s", name, text, strings.Join(values, ", "))
		return values[0]
	}
	return text
}

// arch returns the index of an architecture of a space, given as an index or its string, nil if it is not
// given.
func (p *parameters) arch(name string, space cell.Space) *int {
	text := p.text(name)
	if text == "" {
		return nil
	}
	arch, err := cell.Resolve(space, text)
	if err != nil {
		p.fail("%s: %w", name, err)
		return nil
	}
	index := arch.Index()
	return &index
}
