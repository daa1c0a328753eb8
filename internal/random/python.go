package random

import "math/bits"

// Python is the generator of CPython's random module (random.Random).
type Python struct{ mt mt19937 }

// NewPython returns a generator seeded like random.seed(seed). All 64 bits of seed matter.
func NewPython(seed uint64) *Python {
	key := []uint32{uint32(seed)}
	if hi := uint32(seed >> 32); hi != 0 {
		key = append(key, hi)
	}
	return &Python{newMTFromArray(key)}
}

// RestorePython returns a generator with a state from [Python.AppendState].
func RestorePython(state []byte) (*Python, error) {
	mt, err := restoreMT(state)
	return &Python{mt}, err
}

// AppendState appends the generator's state, [StateSize] bytes.
func (r *Python) AppendState(to []byte) []byte { return r.mt.appendState(to) }

// Float64 draws what random.random() does: a uniform number in [0, 1) with 53 random bits.
func (r *Python) Float64() float64 {
	a, b := r.mt.uint32()>>5, r.mt.uint32()>>6
	return (float64(a)*(1<<26) + float64(b)) * (1.0 / (1 << 53))
}

// Intn draws what random.randint(0, n-1) does, by rejection as in
// _randbelow_with_getrandbits.
func (r *Python) Intn(n int) int {
	shift := 32 - bits.Len(uint(n))
	v := r.mt.uint32() >> shift
	for int(v) >= n {
		v = r.mt.uint32() >> shift
	}
	return int(v)
}

// Shuffle shuffles n elements as random.shuffle does. swap exchanges two of them.
func (r *Python) Shuffle(n int, swap func(i, j int)) {
	for i := n - 1; i > 0; i-- {
		swap(i, r.Intn(i+1))
	}
}
