package device

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/data"
)

// Images are the images of a dataset on the device: those of its stored splits, one split
// after another.
type Images struct {
	pixels *tensors.Tensor        // uint8 [images, size, size, 3]
	labels *tensors.Tensor        // int32 [images]
	normal *tensors.Tensor        // float32 [256*3], what each byte is in each channel
	first  map[*data.Images]int32 // where a split begins among them
}

// CountStored counts the images that Upload brings to the device.
func CountStored(set *data.Dataset) int {
	_, images := storedSplits(set)
	return images
}

// storedSplits lists the stored splits that a dataset takes images of, and counts these.
func storedSplits(set *data.Dataset) (splits []*data.Images, images int) {
	splits = []*data.Images{set.Train.Images}
	for i := range set.Eval {
		if split := set.Eval[i].Images; !slices.Contains(splits, split) {
			splits = append(splits, split)
		}
	}
	for _, split := range splits {
		images += split.Len()
	}
	return splits, images
}

// Upload brings the images of a dataset to the device. The caller finalizes them.
func Upload(b compute.Backend, set *data.Dataset) (*Images, error) {
	splits, images := storedSplits(set)
	s := &Images{first: map[*data.Images]int32{}}
	var pixels [][]byte
	var labels [][]int32
	n := 0
	for _, split := range splits {
		s.first[split] = int32(n)
		n += split.Len()
		pixels, labels = append(pixels, split.Pixels), append(labels, split.Labels)
	}
	normal := set.Normal()
	var err [3]error
	s.pixels, err[0] = onDevice(b, concat(pixels), images, set.Size, set.Size, 3)
	s.labels, err[1] = onDevice(b, concat(labels), images)
	s.normal, err[2] = onDevice(b, concat([][]float32{normal}), len(normal))
	if err := errors.Join(err[:]...); err != nil {
		s.Finalize()
		return nil, fmt.Errorf("cannot bring the images of %s to the device: %w", set.Name, err)
	}
	return s, nil
}

// concat fills with parts, one after another.
func concat[T any](parts [][]T) func(dst []T) {
	return func(dst []T) {
		for _, part := range parts {
			dst = dst[copy(dst, part):]
		}
	}
}

// onDevice makes a tensor on the device that fill has filled: in place, where the device's
// memory is the host's.
func onDevice[T uint8 | int32 | float32](b compute.Backend, fill func(dst []T), dimensions ...int) (*tensors.Tensor, error) {
	t, err := tensors.FromShapeForBackend(b, 0, shapes.Make(dtypes.FromGenericsType[T](), dimensions...))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(tensors.MutableFlatData(t, fill), t.ToDevice(b, 0)); err != nil {
		return nil, errors.Join(err, t.FinalizeAll())
	}
	return t, nil
}

// Finalize frees the images; there may be none.
func (s *Images) Finalize() {
	if s == nil {
		return
	}
	for _, t := range []*tensors.Tensor{s.pixels, s.labels, s.normal} {
		if t != nil {
			t.MustFinalizeAll()
		}
	}
}

// inputs are what an executable takes of the images, and the rows of batches of them: see
// Executable.loop.
func (s *Images) inputs(rows *tensors.Tensor, batches int) []any {
	return []any{s.pixels, s.labels, s.normal, rows, int32(batches)}
}

// A row says what a row of a batch shows: the index of an image among those on the device,
// or padding; where the image's upper left corner is cut, which may be outside the image;
// and whether the image is mirrored, which comes first.
const (
	rowIndex = iota
	rowTop
	rowLeft
	rowMirrored
	rowLen

	padding = -1 // as an index
)

// fillRows fills dst with rows of the images from..to-1 of a stage's order, and with padding.
func (s *Images) fillRows(dst []int32, stage *Stage, from, to int) {
	first := s.first[stage.Split.Images]
	corner := int32(stage.CropPadding)
	for k := from; k < to; k++ {
		row := dst[:rowLen]
		clear(row)
		row[rowIndex] = first + stage.Order.Order[k]
		if stage.Order.Crops != nil {
			crop := stage.Order.Crops[k]
			row[rowTop], row[rowLeft] = int32(crop.Row)-corner, int32(crop.Column)-corner
			if crop.Flip {
				row[rowMirrored] = 1
			}
		}
		dst = dst[rowLen:]
	}
	for i := 0; i < len(dst); i += rowLen {
		dst[i+rowIndex] = padding
	}
}

// lookUp crops and normalises images as datatest.Fill does on the host: it maps Images and
// rows [rows of a batch, rowLen] to images, float32 [rows, size, size, 3], and labels, int32
// [rows]. The pixels are Fill's to the bit, since they are looked up in a table of the
// host's: XLA rounds a division otherwise. Images that are not cropped are not mirrored
// either. Padding shows any image, and its label is -1.
func lookUp(pixels, labels, normal, rows *Node, crop bool) (images, classes *Node) {
	g := rows.Graph()
	field := func(i int) *Node { return Slice(rows, AxisRange(), AxisElem(i)) } // [rows, 1]

	index := field(rowIndex) // Gather takes the nearest of what lies outside
	isPadding := LessThan(index, ScalarZero(g, dtypes.Int32))
	classes = Where(Squeeze(isPadding, 1), Scalar(g, dtypes.Int32, padding), Gather(labels, index))
	var values *Node
	if crop {
		values = cropped(pixels, index, field(rowTop), field(rowLeft), field(rowMirrored))
	} else {
		values = Gather(pixels, index)
	}
	values = ConvertDType(values, dtypes.Int32)
	channel := Iota(g, values.Shape(), 3)
	return Gather(normal, ExpandAxes(Add(MulScalar(values, 3), channel), -1)), classes
}

// cropped cuts size x size pixels from images with black around them.
func cropped(pixels, index, top, left, mirrored *Node) *Node {
	g := pixels.Graph()
	rows, size := index.Shape().Dim(0), pixels.Shape().Dim(1)
	zero, last := ScalarZero(g, dtypes.Int32), Scalar(g, dtypes.Int32, size-1)
	step := Iota(g, shapes.Make(dtypes.Int32, rows, size), 1)
	y, x := Add(step, top), Add(step, left) // [rows, size]
	x = Where(Equal(BroadcastToShape(mirrored, x.Shape()), zero), x, Sub(last, x))
	inside := func(v *Node) *Node { return LogicalAnd(GreaterOrEqual(v, zero), LessOrEqual(v, last)) }

	coordinate := func(v *Node, dimensions ...int) *Node {
		return BroadcastToDims(Reshape(v, dimensions...), rows, size, size, 1)
	}
	at := Concatenate([]*Node{coordinate(index, rows, 1, 1, 1), coordinate(y, rows, size, 1, 1), coordinate(x, rows, 1, size, 1)}, 3)
	shown := LogicalAnd(Reshape(inside(y), rows, size, 1, 1), Reshape(inside(x), rows, 1, size, 1))
	colours := Gather(pixels, at) // [rows, size, size, 3]
	return Where(BroadcastToShape(shown, colours.Shape()), colours, ZerosLike(colours))
}
