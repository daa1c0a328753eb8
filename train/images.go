package train

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

// deviceImages are the images of a dataset on the device: those of its stored splits, one
// split after another.
type deviceImages struct {
	pixels *tensors.Tensor        // uint8 [images, size, size, 3]
	labels *tensors.Tensor        // int32 [images]
	normal *tensors.Tensor        // float32 [256*3], what each byte is in each channel
	first  map[*data.Images]int32 // the number of a split's first image
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

// upload brings the images of a dataset to the device.
func upload(b compute.Backend, set *data.Dataset) (*deviceImages, error) {
	splits, images := storedSplits(set)
	s := &deviceImages{first: map[*data.Images]int32{}}
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
		s.finalize()
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

func (s *deviceImages) finalize() {
	if s == nil {
		return
	}
	for _, t := range []*tensors.Tensor{s.pixels, s.labels, s.normal} {
		if t != nil {
			t.MustFinalizeAll()
		}
	}
}

// inputs are what a program takes of the images, and batches of them: see programs.loop.
func (s *deviceImages) inputs(places *tensors.Tensor, batches int) []any {
	return []any{s.pixels, s.labels, s.normal, places, int32(batches)}
}

// A place says where a row of a batch comes from: the number of an image on the device, or
// padding; the row and column of the upper left corner, which may lie outside the image;
// and whether the image is mirrored, which comes first.
const (
	placeImage = iota
	placeRow
	placeColumn
	placeMirrored
	placeLen

	padding = -1 // in the place of an image
)

// fillPlaces fills dst with the places of the images from..to-1 of the order of the
// trial's stage, and with padding.
func (t *trial) fillPlaces(dst []int32, order *data.Epoch, from, to int) {
	first := t.images.first[t.split(t.at.Stage).Images]
	corner := int32(t.Data.Augment.CropPadding)
	for k := from; k < to; k++ {
		place := dst[:placeLen]
		clear(place)
		place[placeImage] = first + order.Order[k]
		if order.Crops != nil {
			crop := order.Crops[k]
			place[placeRow], place[placeColumn] = int32(crop.Row)-corner, int32(crop.Column)-corner
			if crop.Flip {
				place[placeMirrored] = 1
			}
		}
		dst = dst[placeLen:]
	}
	for i := 0; i < len(dst); i += placeLen {
		dst[i+placeImage] = padding
	}
}

// take is data.Dataset.Fill on the device: it maps deviceImages and places [rows, placeLen]
// to images, float32 [rows, size, size, 3], and labels, int32 [rows]. The pixels are Fill's
// to the bit, since they are looked up in a table of the host's: XLA rounds a division
// otherwise. Images that are not cropped are neither mirrored. Padding shows any image,
// and its label is -1.
func take(pixels, labels, normal, places *Node, crop bool) (images, classes *Node) {
	g := places.Graph()
	of := func(field int) *Node { return Slice(places, AxisRange(), AxisElem(field)) } // [rows, 1]

	number := of(placeImage) // Gather takes the nearest of what lies outside
	isPadding := LessThan(number, ScalarZero(g, dtypes.Int32))
	classes = Where(Squeeze(isPadding, 1), Scalar(g, dtypes.Int32, padding), Gather(labels, number))
	var values *Node
	if crop {
		values = cropped(pixels, number, of(placeRow), of(placeColumn), of(placeMirrored))
	} else {
		values = Gather(pixels, number)
	}
	values = ConvertDType(values, dtypes.Int32)
	channel := Iota(g, values.Shape(), 3)
	return Gather(normal, ExpandAxes(Add(MulScalar(values, 3), channel), -1)), classes
}

// cropped cuts size x size pixels from images with black around them.
func cropped(pixels, number, row, column, mirrored *Node) *Node {
	g := pixels.Graph()
	rows, size := number.Shape().Dim(0), pixels.Shape().Dim(1)
	zero, last := ScalarZero(g, dtypes.Int32), Scalar(g, dtypes.Int32, size-1)
	step := Iota(g, shapes.Make(dtypes.Int32, rows, size), 1)
	y, x := Add(step, row), Add(step, column) // [rows, size]
	x = Where(Equal(BroadcastToShape(mirrored, x.Shape()), zero), x, Sub(last, x))
	inside := func(v *Node) *Node { return LogicalAnd(GreaterOrEqual(v, zero), LessOrEqual(v, last)) }

	index := func(v *Node, dimensions ...int) *Node {
		return BroadcastToDims(Reshape(v, dimensions...), rows, size, size, 1)
	}
	at := Concatenate([]*Node{index(number, rows, 1, 1, 1), index(y, rows, size, 1, 1), index(x, rows, 1, size, 1)}, 3)
	shown := LogicalAnd(Reshape(inside(y), rows, size, 1, 1), Reshape(inside(x), rows, 1, size, 1))
	colours := Gather(pixels, at) // [rows, size, size, 3]
	return Where(BroadcastToShape(shown, colours.Shape()), colours, ZerosLike(colours))
}
