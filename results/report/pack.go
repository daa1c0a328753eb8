package report

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"io"
	"math"
	"slices"

	"nb201/results/benchmark"
)

// This file packs columns of numbers for the page. A value becomes a whole number q of a scale;
// q is stored as it is, or as its difference from that of another column, in planes of bytes: the
// low bytes of all architectures, then the next ones. Deflate makes most of it small. The script
// unpacks it in page/data.js.

// column says where a column lies among the packed columns, and what its numbers mean.
type column struct {
	Block  int   `json:"block"` // blockSummary or blockCurves
	At     int   `json:"at"`    // byte offset in the unpacked block
	Planes int   `json:"planes"`
	Scale  scale `json:"scale"`
	// After is the block and the offset of the column that this one is the difference from. Where
	// that one's value is missing, it counts as 0.
	After *[2]int `json:"after,omitempty"`
	// Mean, if not nil, makes this the mean of columns, over those that have a value. There are no
	// bytes of it.
	Mean []column `json:"mean,omitempty"`
}

// run is Count columns of one form, which follow each other in a block.
type run struct {
	column
	Count int     `json:"count"`
	Chain bool    `json:"chain"`          // each but the first is the difference from the one before
	Last  *column `json:"last,omitempty"` // one more column, from elsewhere
}

// The blocks of columns.
const (
	blockSummary = iota // what the first plots need
	blockCurves
	blocks
)

// scale converts whole numbers q from 0 to values: q*Step, Low*Ratio^q or Values[q].
type scale struct {
	Kind   string    `json:"kind"` // linear, log or table
	Step   float64   `json:"step,omitzero"`
	Low    float64   `json:"low,omitzero"`
	Ratio  float64   `json:"ratio,omitzero"`
	Values []float64 `json:"values,omitzero"`
}

// maxLevel bounds q where a column may be the predecessor of another: the differences then have
// 16 bits.
const maxLevel = 1<<15 - 2

// missing is the level of a missing value.
const missing = -1

// levels holds q of each architecture, or missing.
type levels []int64

// linear rounds values to multiples of a step. NaN is missing.
func linear(step float64) scale { return scale{Kind: "linear", Step: step} }

// fit chooses a scale for positive numbers of any size, such as seconds: their exact values if
// they are few, or else a logarithmic scale from the smallest to the largest, which rounds by a
// share of 0.02 % where the largest is a thousand times the smallest.
func fit(values []float64) scale {
	const fewValues = 300
	var distinct []float64
	for _, v := range values {
		if benchmark.IsFinite(v) && v > 0 {
			distinct = append(distinct, v)
		}
	}
	slices.Sort(distinct)
	distinct = slices.Compact(distinct)
	switch n := len(distinct); {
	case n == 0:
		return linear(1)
	case n <= fewValues:
		return scale{Kind: "table", Values: distinct}
	default:
		return scale{Kind: "log", Low: distinct[0], Ratio: math.Pow(distinct[n-1]/distinct[0], 1.0/maxLevel)}
	}
}

// level returns q of a value, or missing if the scale cannot hold it.
func (s scale) level(v float64) int64 {
	switch {
	case !benchmark.IsFinite(v):
		return missing
	case s.Kind == "table":
		if i, ok := slices.BinarySearch(s.Values, v); ok {
			return int64(i)
		}
		return missing
	case s.Kind == "log":
		if v <= 0 {
			return missing
		}
		return min(max(int64(math.Round(math.Log(v/s.Low)/math.Log(s.Ratio))), 0), maxLevel)
	case v < 0:
		return missing
	default:
		return int64(math.Round(v / s.Step))
	}
}

func (s scale) levels(values []float64) levels {
	q := make(levels, len(values))
	for i, v := range values {
		q[i] = s.level(v)
	}
	return q
}

// packer collects columns.
type packer struct {
	blocks [blocks]bytes.Buffer
}

// packed is a column in a packer, with its levels.
type packed struct {
	column
	levels levels
}

// add packs values.
func (p *packer) add(block int, s scale, values []float64) packed {
	return p.addAfter(block, s, values, nil)
}

// addAfter packs values as differences from those of another column, unless that is nil. Values
// beyond maxLevel are then missing.
func (p *packer) addAfter(block int, s scale, values []float64, other *packed) packed {
	c := packed{column{Block: block, At: p.blocks[block].Len(), Scale: s}, s.levels(values)}
	var before levels
	if other != nil {
		c.After, before = &[2]int{other.Block, other.At}, other.levels
	}
	codes := c.levels.encode(before)
	c.Planes = planes(codes)
	p.write(block, codes, c.Planes)
	return c
}

// addRun packs columns that follow each other; with chain, each after the first is the difference
// from the one before. last, unless it is nil, is a column from elsewhere at the end of the run.
func (p *packer) addRun(block int, s scale, columns [][]float64, chain bool, last *column) run {
	r := run{column: column{Block: block, At: p.blocks[block].Len(), Planes: 1, Scale: s}, Count: len(columns), Chain: chain, Last: last}
	var before levels
	var all [][]uint64
	for _, values := range columns {
		q := s.levels(values)
		codes := q.encode(before)
		all = append(all, codes)
		r.Planes = max(r.Planes, planes(codes))
		if chain {
			before = q
		}
	}
	for _, codes := range all {
		p.write(block, codes, r.Planes)
	}
	return r
}

// encode returns the code of each level, 0 for missing: one more than the level or, if before is
// not nil, than the difference from the level there. A level beyond maxLevel has no difference and
// becomes missing.
func (q levels) encode(before levels) []uint64 {
	codes := make([]uint64, len(q))
	for i, level := range q {
		switch {
		case level == missing:
		case before == nil:
			codes[i] = uint64(level) + 1
		case level > maxLevel:
			q[i] = missing
		default:
			codes[i] = zigzag(int16(level-max(before[i], 0))) + 1
		}
	}
	return codes
}

// planes returns the number of bytes that the largest code needs.
func planes(codes []uint64) int {
	n, most := 1, slices.Max(codes)
	for most >= 1<<(8*n) {
		n++
	}
	return n
}

// write writes codes in planes.
func (p *packer) write(block int, codes []uint64, planes int) {
	for plane := range planes {
		for _, code := range codes {
			p.blocks[block].WriteByte(byte(code >> (8 * plane)))
		}
	}
}

// zigzag maps 0, -1, 1, -2, ... to 0, 1, 2, 3, ...
func zigzag(d int16) uint64 { return uint64(uint16(d<<1) ^ uint16(d>>15)) }

// text returns a block as base64 of its deflated bytes.
func (p *packer) text(block int) ([]byte, error) {
	var text bytes.Buffer
	encoder := base64.NewEncoder(base64.StdEncoding, &text)
	w, err := flate.NewWriter(encoder, flate.DefaultCompression)
	if err != nil {
		return nil, err
	}
	if _, err := io.Copy(w, bytes.NewReader(p.blocks[block].Bytes())); err != nil {
		return nil, err
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	if err := encoder.Close(); err != nil {
		return nil, err
	}
	return text.Bytes(), nil
}
