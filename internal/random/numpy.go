package random

import "math/bits"

// Numpy is the generator of numpy.random's functions (numpy.random.RandomState).
type Numpy struct{ mt mt19937 }

// NewNumpy returns a generator seeded like numpy.random.seed(seed).
func NewNumpy(seed uint32) *Numpy { return &Numpy{newMT(seed)} }

// NewWorkerNumpy returns the generator of a loader worker, as torch 1.9 and later seed it with
// _generate_state (torch/utils/data/_utils/worker.py): numpy's SeedSequence over the worker's number
// and the loader's base seed.
func NewWorkerNumpy(base int64, worker int) *Numpy {
	pool := [4]uint32{uint32(worker), uint32(base), uint32(base >> 32), 0}
	a := uint32(0x43b0d7e5)
	hash := func(v uint32) uint32 {
		v ^= a
		a *= 0x931e8875
		v *= a
		return v ^ v>>16
	}
	for i := range pool {
		pool[i] = hash(pool[i])
	}
	for from := range pool {
		for to := range pool {
			if from != to {
				v := 0xca01f9dd*pool[to] - 0x4973f715*hash(pool[from])
				pool[to] = v ^ v>>16
			}
		}
	}
	b := uint32(0x8b51f9dd)
	for i, v := range pool {
		v ^= b
		b *= 0x58f38ded
		v *= b
		pool[i] = v ^ v>>16
	}
	return &Numpy{newMTFromArray(pool[:])}
}

// RestoreNumpy returns a generator with a state from [Numpy.AppendState].
func RestoreNumpy(state []byte) (*Numpy, error) {
	mt, err := restoreMT(state)
	return &Numpy{mt}, err
}

// AppendState appends the generator's state, [StateSize] bytes.
func (r *Numpy) AppendState(to []byte) []byte { return r.mt.appendState(to) }

// Intn draws what numpy.random.randint(n) does, for n up to 2^32: words, cut to the bits of n-1, until one
// is below n. n = 1 draws nothing.
func (r *Numpy) Intn(n int) int {
	if n == 1 {
		return 0
	}
	mask := uint32(1)<<bits.Len(uint(n-1)) - 1
	v := r.mt.uint32() & mask
	for int(v) >= n {
		v = r.mt.uint32() & mask
	}
	return int(v)
}
