package device

import (
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
)

// lookUp crops and normalises images as datatest.Fill does on the host. It maps Images and rows
// [rows of a batch, rowLen] to images, float32 [rows, size, size, 3], and labels, int32 [rows].
// The pixels equal Fill's to the bit because normalised values are looked up in a table that the
// host computes; XLA rounds a division differently. With crop false, images are not mirrored
// either. If cutout is above 0, a square with sides of that many pixels is 0, the mean, around the rows'
// centres, as far as it is within the image (xautodl/datasets/get_dataset_with_transform.py, CUTOUT). A row of padding has an arbitrary image and the label -1.
func lookUp(pixels, labels, normal, rows *Node, crop bool, cutout int) (images, classes *Node) {
	g := rows.Graph()
	field := func(i int) *Node { return Slice(rows, AxisRange(), AxisElem(i)) } // [rows, 1]

	index := field(rowIndex) // Gather clamps an index out of range, such as that of padding
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
	images = Gather(normal, ExpandAxes(Add(MulScalar(values, 3), channel), -1))
	if cutout > 0 {
		cut := cutOut(field(rowCutTop), field(rowCutLeft), images.Shape().Dim(1), cutout)
		images = Where(BroadcastToShape(cut, images.Shape()), ZerosLike(images), images)
	}
	return images, classes
}

// cutOut marks the squares of side pixels around centres, bool [rows, size, size, 1].
func cutOut(top, left *Node, size, side int) *Node {
	g, rows := top.Graph(), top.Shape().Dim(0)
	step := Iota(g, shapes.Make(dtypes.Int32, rows, size), 1)
	within := func(centre *Node) *Node {
		from := AddScalar(centre, -float64(side/2))
		return LogicalAnd(GreaterOrEqual(step, from), LessThan(step, AddScalar(from, float64(side))))
	}
	square := func(marked *Node, dimensions ...int) *Node {
		return BroadcastToDims(Reshape(marked, dimensions...), rows, size, size, 1)
	}
	return LogicalAnd(square(within(top), rows, size, 1, 1), square(within(left), rows, 1, size, 1))
}

// cropped cuts size x size pixels out of images that are surrounded by black.
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
