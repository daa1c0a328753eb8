package random

import "math"

// Torch is torch's default CPU generator (at::mt19937 behind CPUGeneratorImpl).
type Torch struct{ mt mt19937 }

// NewTorch returns a generator seeded like torch.manual_seed(seed). Torch uses only the low
// 32 bits of a seed, even of the 63-bit seeds that it draws for workers and samplers.
func NewTorch(seed uint64) *Torch { return &Torch{newMT(uint32(seed))} }

// RestoreTorch returns a generator with a state from [Torch.AppendState].
func RestoreTorch(state []byte) (*Torch, error) {
	mt, err := restoreMT(state)
	return &Torch{mt}, err
}

// AppendState appends the generator's state, [StateSize] bytes.
func (g *Torch) AppendState(to []byte) []byte { return g.mt.appendState(to) }

// Uint32 draws what the generator's random() does.
func (g *Torch) Uint32() uint32 { return g.mt.uint32() }

// Uint64 draws what the generator's random64() does. The first word drawn is the high one.
func (g *Torch) Uint64() uint64 {
	hi := uint64(g.mt.uint32())
	return hi<<32 | uint64(g.mt.uint32())
}

// Int63 draws what torch.empty((), dtype=int64).random_() does: uniform from 0 to 2^63-1.
func (g *Torch) Int63() int64 { return int64(g.Uint64() & math.MaxInt64) }

// Intn draws what torch.randint(0, n) does. n must be below 2^28.
func (g *Torch) Intn(n int) int { return int(g.mt.uint32() % uint32(n)) }

// Float32 draws an element of torch.rand in float32: uniform in [0, 1) with 24 random bits.
func (g *Torch) Float32() float32 {
	return float32(g.mt.uint32()&(1<<24-1)) * (1.0 / (1 << 24))
}

// Float64 draws an element of torch.rand in float64: uniform in [0, 1) with 53 random bits.
func (g *Torch) Float64() float64 {
	return float64(g.Uint64()&(1<<53-1)) * (1.0 / (1 << 53))
}

// Uniform fills dst as tensor.uniform_(lo, hi) does in float32: with x*(hi-lo)+lo, whose
// bounds are rounded to float32 first. With fma, the product and the sum are rounded once
// (torch 1.7 and later on AVX2); otherwise, each is rounded.
func (g *Torch) Uniform(dst []float32, lo, hi float64, fma bool) {
	from := float32(lo)
	width := float32(hi) - from
	for i := range dst {
		x := g.Float32()
		if fma {
			dst[i] = fma32(x, width, from)
		} else {
			// The conversion keeps the compiler from fusing the product and the sum.
			dst[i] = float32(x*width) + from
		}
	}
}

// fma32 returns x*y+z, rounded once to float32. The product of two float32 is exact in
// float64. The float64 sum is rounded to odd, so that the final rounding to float32 takes
// into account whether anything was cut off.
func fma32(x, y, z float32) float32 {
	p, c := float64(x)*float64(y), float64(z)
	s := p + c
	b := s - p
	err := (p - (s - b)) + (c - b) // exact error of s (TwoSum)
	bits := math.Float64bits(s)
	if err != 0 && bits&1 == 0 {
		if (err > 0) == (s > 0) {
			bits++
		} else {
			bits--
		}
	}
	return float32(math.Float64frombits(bits))
}

// Perm draws what torch.randperm(n) does, with n-1 words. n must be below 2^32/20.
func (g *Torch) Perm(n int) []int32 {
	r := make([]int32, n)
	for i := range r {
		r[i] = int32(i)
	}
	for i := range n - 1 {
		j := i + g.Intn(n-i)
		r[i], r[j] = r[j], r[i]
	}
	return r
}

// Skip draws n words and discards them.
func (g *Torch) Skip(n int) {
	for range n {
		g.mt.uint32()
	}
}
