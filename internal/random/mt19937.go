// Package random reproduces, to the bit, the two random generators that the original program
// draws from: torch's default CPU generator ([Torch]) and CPython's random module ([Python]).
// Both are MT19937. They differ in how they turn a seed into a state, and words into numbers.
//
// A parity profile ([Profile]) names the versions of torch and torchvision whose use of these
// generators is reproduced: how float32 uniforms are rounded, which generator draws a shuffled
// order, and which one draws flips and crops.
package random

import (
	"encoding/binary"
	"fmt"
)

const (
	stateSize   = 624
	shiftSize   = 397
	matrixA     = 0x9908b0df
	upperMask   = 0x80000000
	lowerMask   = 0x7fffffff
	arrayInit   = 19650218
	goldenRatio = 1812433253
)

// mt19937 is the 32-bit Mersenne Twister of Matsumoto and Nishimura.
type mt19937 struct {
	state [stateSize]uint32
	next  int // index of the next state word to temper; stateSize if a twist is due
}

// newMT seeds the twister with one word (init_genrand), as torch does.
func newMT(seed uint32) mt19937 {
	var m mt19937
	m.state[0] = seed
	for i := uint32(1); i < stateSize; i++ {
		prev := m.state[i-1]
		m.state[i] = goldenRatio*(prev^prev>>30) + i
	}
	m.next = stateSize
	return m
}

// newMTFromArray seeds the twister with a key of words (init_by_array), as CPython does.
func newMTFromArray(key []uint32) mt19937 {
	m := newMT(arrayInit)
	s := &m.state
	i, j := 1, 0
	for range max(stateSize, len(key)) {
		s[i] = (s[i] ^ (s[i-1]^s[i-1]>>30)*1664525) + key[j] + uint32(j)
		i++
		j++
		if i >= stateSize {
			s[0] = s[stateSize-1]
			i = 1
		}
		if j >= len(key) {
			j = 0
		}
	}
	for range stateSize - 1 {
		s[i] = (s[i] ^ (s[i-1]^s[i-1]>>30)*1566083941) - uint32(i)
		i++
		if i >= stateSize {
			s[0] = s[stateSize-1]
			i = 1
		}
	}
	s[0] = upperMask
	return m
}

func (m *mt19937) twist() {
	s := &m.state
	for i := range s {
		y := s[i]&upperMask | s[(i+1)%stateSize]&lowerMask
		v := s[(i+shiftSize)%stateSize] ^ y>>1
		if y&1 != 0 {
			v ^= matrixA
		}
		s[i] = v
	}
	m.next = 0
}

func (m *mt19937) uint32() uint32 {
	if m.next == stateSize {
		m.twist()
	}
	y := m.state[m.next]
	m.next++
	y ^= y >> 11
	y ^= y << 7 & 0x9d2c5680
	y ^= y << 15 & 0xefc60000
	return y ^ y>>18
}

// StateSize is the size in bytes of the state of either generator: its words and the index
// of the next one, each a little-endian 32-bit number.
const StateSize = 4 * (stateSize + 1)

func (m *mt19937) appendState(to []byte) []byte {
	for _, word := range m.state {
		to = binary.LittleEndian.AppendUint32(to, word)
	}
	return binary.LittleEndian.AppendUint32(to, uint32(m.next))
}

func restoreMT(state []byte) (mt19937, error) {
	var m mt19937
	if len(state) != StateSize {
		return m, fmt.Errorf("the state of a random generator has %d bytes, not %d", len(state), StateSize)
	}
	for i := range m.state {
		m.state[i] = binary.LittleEndian.Uint32(state[4*i:])
	}
	next := binary.LittleEndian.Uint32(state[4*stateSize:])
	if next > stateSize {
		return m, fmt.Errorf("the next word in the state of a random generator is number %d of %d", next, stateSize)
	}
	m.next = int(next)
	return m, nil
}
