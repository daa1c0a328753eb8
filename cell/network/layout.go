package network

import (
	"slices"

	"nb201/cell"
)

// Vector names the flat vector that a tensor of the state dict lies in. A step
// moves three buffers (parameters, their momenta, running statistics) instead of
// several hundred, and the optimizer is one elementwise operation.
type Vector uint8

const (
	// Parameters holds what the optimizer updates.
	Parameters Vector = iota
	// Statistics holds BatchNorm's running means and variances.
	Statistics
	// Host marks num_batches_tracked, which the program counts itself.
	Host
)

// Slot is the place of one tensor of the state dict.
type Slot struct {
	cell.Tensor
	Vector Vector
	Offset int   // first element in the vector
	Dims   []int // axes on the device: a convolution's weight is HWIO there, OIHW in the state dict
}

// Layout places the tensors of a network in the vectors, in state-dict order.
type Layout struct {
	Slots                  []Slot
	Parameters, Statistics int // lengths of the vectors
	index                  map[string]int
}

// NewLayout lays out the state dict of net.
func NewLayout(net cell.Network) *Layout {
	l := &Layout{index: map[string]int{}}
	for _, t := range net.Tensors() {
		s := Slot{Tensor: t, Dims: slices.Clone(t.Shape)}
		switch t.Role {
		case cell.BNMean, cell.BNVar:
			s.Vector, s.Offset = Statistics, l.Statistics
			l.Statistics += s.Len()
		case cell.BNCount:
			s.Vector = Host
		case cell.ConvWeight:
			s.Dims = []int{t.Shape[2], t.Shape[3], t.Shape[1], t.Shape[0]}
			fallthrough
		default:
			s.Vector, s.Offset = Parameters, l.Parameters
			l.Parameters += s.Len()
		}
		l.index[t.Name] = len(l.Slots)
		l.Slots = append(l.Slots, s)
	}
	return l
}

// ToDevice copies a tensor in the state dict's axis order to its place in vector.
func ToDevice[T any](s Slot, vector, tensor []T) {
	dst := vector[s.Offset : s.Offset+s.Len()]
	if s.Role != cell.ConvWeight {
		copy(dst, tensor)
		return
	}
	s.eachWeight(func(device, torch int) { dst[device] = tensor[torch] })
}

// FromDevice copies a tensor out of its place in vector into the state dict's
// axis order.
func FromDevice[T any](s Slot, tensor, vector []T) {
	src := vector[s.Offset : s.Offset+s.Len()]
	if s.Role != cell.ConvWeight {
		copy(tensor, src)
		return
	}
	s.eachWeight(func(device, torch int) { tensor[torch] = src[device] })
}

// eachWeight visits every weight of a convolution with its HWIO and OIHW index.
func (s Slot) eachWeight(visit func(hwio, oihw int)) {
	out, in, area := s.Shape[0], s.Shape[1], s.Shape[2]*s.Shape[3]
	oihw := 0
	for o := range out {
		for i := range in {
			for k := range area {
				visit((k*in+i)*out+o, oihw)
				oihw++
			}
		}
	}
}
