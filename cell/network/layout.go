package network

import (
	"slices"

	"nb201/cell"
)

// Vector names the flat vector that holds a tensor of the state dict. With flat vectors, a
// step moves three buffers (parameters, their momenta, running statistics) instead of
// several hundred, and the optimizer is a single elementwise operation.
type Vector uint8

const (
	// Parameters is the vector of tensors that the optimizer updates.
	Parameters Vector = iota
	// Statistics is the vector of BatchNorm's running means and variances.
	Statistics
	// Host marks num_batches_tracked, which is in neither vector: train counts the batches.
	Host
)

// Slot is the position of a tensor of the state dict in its vector.
type Slot struct {
	cell.Tensor
	Vector Vector
	Offset int   // of the first element in the vector
	Dims   []int // shape on the device
	order  weightOrder
}

// Layout is the arrangement of a network's tensors in the vectors, in state-dict order.
type Layout struct {
	Slots                  []Slot
	Parameters, Statistics int    // lengths of the vectors in elements
	Weights                string // axis order of convolution weights on the device: "hwio" or "ohwi"
	index                  map[string]int
}

// weightOrder is the axis order of convolution weights on the device, in terms of the axes
// of the state dict's OIHW: 0 output channels, 1 input channels, 2 rows, 3 columns.
type weightOrder [4]int

var (
	hwio = weightOrder{2, 3, 1, 0}
	ohwi = weightOrder{0, 2, 3, 1}
)

func (o weightOrder) String() string {
	var name []byte
	for _, axis := range o {
		name = append(name, "oihw"[axis])
	}
	return string(name)
}

// position returns the device axis that holds an axis of OIHW.
func (o weightOrder) position(axis int) int { return slices.Index(o[:], axis) }

// newLayout arranges the state dict of net, with convolution weights in the given order.
func newLayout(net cell.Network, order weightOrder) *Layout {
	l := &Layout{Weights: order.String(), index: map[string]int{}}
	for _, t := range net.Tensors() {
		s := Slot{Tensor: t, Dims: slices.Clone(t.Shape), order: order}
		switch t.Role {
		case cell.BNMean, cell.BNVar:
			s.Vector, s.Offset = Statistics, l.Statistics
			l.Statistics += s.Len()
		case cell.BNCount:
			s.Vector = Host
		case cell.ConvWeight:
			for i, axis := range order {
				s.Dims[i] = t.Shape[axis]
			}
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

// ToDevice copies a tensor, in the state dict's axis order, to its slot in vector.
func ToDevice[T any](s Slot, vector, tensor []T) {
	dst := vector[s.Offset : s.Offset+s.Len()]
	if s.Role != cell.ConvWeight {
		copy(dst, tensor)
		return
	}
	s.eachWeight(func(device, torch int) { dst[device] = tensor[torch] })
}

// FromDevice copies the tensor in slot s of vector to tensor, in the state dict's axis
// order.
func FromDevice[T any](s Slot, tensor, vector []T) {
	src := vector[s.Offset : s.Offset+s.Len()]
	if s.Role != cell.ConvWeight {
		copy(tensor, src)
		return
	}
	s.eachWeight(func(device, torch int) { tensor[torch] = src[device] })
}

// eachWeight calls visit with the offset of every weight of a convolution on the device and
// in the state dict.
func (s Slot) eachWeight(visit func(device, torch int)) {
	var stride [4]int // on the device, of the axes of OIHW
	n := 1
	for i := 3; i >= 0; i-- {
		stride[s.order[i]] = n
		n *= s.Dims[i]
	}
	torch := 0
	for o := range s.Shape[0] {
		for i := range s.Shape[1] {
			for row := range s.Shape[2] {
				for column := range s.Shape[3] {
					visit(o*stride[0]+i*stride[1]+row*stride[2]+column*stride[3], torch)
					torch++
				}
			}
		}
	}
}
