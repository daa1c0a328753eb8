package random

import "math/bits"

// Python is CPython's random module (random.Random).
type Python struct{ mt mt19937 }

// NewPython is random.seed(seed) for a non-negative seed: all 64 bits count.
func NewPython(seed uint64) *Python {
	key := []uint32{uint32(seed)}
	if hi := uint32(seed >> 32); hi != 0 {
		key = append(key, hi)
	}
	return &Python{newMTFromArray(key)}
}

// RestorePython makes the generator whose AppendState gave state.
func RestorePython(state []byte) (*Python, error) {
	mt, err := restoreMT(state)
	return &Python{mt}, err
}

// AppendState adds the generator's state, of StateSize bytes.
func (r *Python) AppendState(to []byte) []byte { return r.mt.appendState(to) }

// Float64 is random.random(): uniform in [0,1) with 53 bits.
func (r *Python) Float64() float64 {
	a, b := r.mt.uint32()>>5, r.mt.uint32()>>6
	return (float64(a)*(1<<26) + float64(b)) * (1.0 / (1 << 53))
}

// Intn is random.randint(0, n-1), by rejection as _randbelow_with_getrandbits.
func (r *Python) Intn(n int) int {
	shift := 32 - bits.Len(uint(n))
	v := r.mt.uint32() >> shift
	for int(v) >= n {
		v = r.mt.uint32() >> shift
	}
	return int(v)
}

// Shuffle is random.shuffle over n elements exchanged by swap.
func (r *Python) Shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, r.Intn(i+1))
	}
}
