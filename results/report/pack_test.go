package report

import (
	"bytes"
	"compress/flate"
	"encoding/base64"
	"io"
	"math"
	"math/rand/v2"
	"testing"
)

// unpacker reads columns as page/data.js does.
type unpacker struct {
	n      int // architectures
	blocks [blocks][]byte
	read   map[[2]int][]int64 // levels of columns by block and offset
}

func newUnpacker(t *testing.T, n int, texts [blocks][]byte) *unpacker {
	t.Helper()
	u := &unpacker{n: n, read: map[[2]int][]int64{}}
	for i, text := range texts {
		var err error
		u.blocks[i], err = io.ReadAll(flate.NewReader(base64.NewDecoder(base64.StdEncoding, bytes.NewReader(text))))
		if err != nil {
			t.Fatal(err)
		}
	}
	return u
}

// levels returns the levels of a column whose predecessors have been read.
func (u *unpacker) levels(c column) []int64 {
	key := [2]int{c.Block, c.At}
	if q, ok := u.read[key]; ok {
		return q
	}
	q := make([]int64, u.n)
	for i := range q {
		code := int64(0)
		for plane := range c.Planes {
			code |= int64(u.blocks[c.Block][c.At+plane*u.n+i]) << (8 * plane)
		}
		q[i] = code - 1
		if c.After != nil && code > 0 {
			z := uint64(code - 1)
			q[i] = max(u.read[*c.After][i], 0) + int64(int16(z>>1)^-int16(z&1))
		}
	}
	u.read[key] = q
	return q
}

// expand returns the columns of a run.
func (u *unpacker) expand(r run) []column {
	var columns []column
	for k := range r.Count {
		c := r.column
		c.At += k * u.n * r.Planes
		if r.Chain && k > 0 {
			c.After = &[2]int{c.Block, columns[k-1].At}
		}
		columns = append(columns, c)
		u.levels(c)
	}
	if r.Last != nil {
		columns = append(columns, *r.Last)
	}
	return columns
}

// values returns the values of a column; NaN is missing.
func (u *unpacker) values(c column) []float64 {
	values := make([]float64, u.n)
	if c.Mean != nil {
		counts := make([]float64, u.n)
		for _, of := range c.Mean {
			for i, v := range u.values(of) {
				if !math.IsNaN(v) {
					values[i], counts[i] = values[i]+v, counts[i]+1
				}
			}
		}
		for i := range values {
			values[i] /= counts[i]
		}
		return values
	}
	for i, q := range u.levels(c) {
		switch {
		case q == missing:
			values[i] = math.NaN()
		case c.Scale.Kind == "table":
			values[i] = c.Scale.Values[q]
		case c.Scale.Kind == "log":
			values[i] = c.Scale.Low * math.Pow(c.Scale.Ratio, float64(q))
		default:
			values[i] = float64(q) * c.Scale.Step
		}
	}
	return values
}

// TestPack packs random columns of all kinds, some as differences from others, and unpacks them.
func TestPack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	const n = 500
	draw := func(size func() float64) []float64 {
		values := make([]float64, n)
		for i := range values {
			values[i] = size()
			if random.IntN(10) == 0 {
				values[i] = math.NaN()
			}
		}
		return values
	}
	percent := func() float64 { return random.Float64() * 100 }
	huge := draw(func() float64 { return math.Exp(random.NormFloat64() * 4) })
	few := draw(func() float64 { return float64(1+random.IntN(3)) * 0.1 })
	none := draw(math.NaN)
	seeds := draw(func() float64 { return float64(random.Uint32()) })
	seeds[0] = math.MaxUint32
	var p packer
	type test struct {
		name   string
		packed packed
		values []float64
		within func(float64) float64
	}
	exactly := func(float64) float64 { return 0 }
	half := func(step float64) func(float64) float64 { return func(float64) float64 { return step/2 + 1e-9 } }
	tests := []test{
		{"no value", p.add(blockSummary, fit(none), none), none, exactly},
		{"table", p.add(blockSummary, fit(few), few), few, exactly},
		{"logarithmic", p.add(blockCurves, fit(huge), huge), huge, func(v float64) float64 { return v * 1e-3 }},
		{"seeds", p.add(blockSummary, linear(1), seeds), seeds, exactly},
	}
	chain := [][]float64{draw(percent), draw(percent), draw(percent), draw(percent)}
	r := p.addRun(blockCurves, linear(fineStep), chain, true, nil)
	single := p.addRun(blockCurves, linear(fineStep), chain[1:], false, &tests[1].packed.column)
	extremes := draw(func() float64 { return float64(random.IntN(2) * maxLevel) })
	first := p.add(blockSummary, linear(1), extremes)
	others := draw(func() float64 { return float64(random.IntN(2) * maxLevel) })
	tests = append(tests, test{"extremes", first, extremes, exactly},
		test{"their differences", p.addAfter(blockSummary, linear(1), others, &first), others, exactly})

	var texts [blocks][]byte
	for i := range texts {
		var err error
		if texts[i], err = p.text(i); err != nil {
			t.Fatal(err)
		}
	}
	u := newUnpacker(t, n, texts)
	for i, c := range u.expand(r) {
		tests = append(tests, test{"a chain of differences", packed{column: c}, chain[i], half(fineStep)})
	}
	for i, c := range u.expand(single) {
		test := test{"a run", packed{column: c}, few, exactly}
		if i < 3 {
			test.values, test.within = chain[i+1], half(fineStep)
		}
		tests = append(tests, test)
	}
	for _, test := range tests {
		for i, v := range u.values(test.packed.column) {
			if want := test.values[i]; math.IsNaN(v) != math.IsNaN(want) || math.Abs(v-want) > test.within(want) {
				t.Errorf("%s: value %d is %v instead of %v", test.name, i, v, want)
				break
			}
		}
	}
}
