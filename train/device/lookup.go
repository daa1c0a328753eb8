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
// either. A row of padding has an arbitrary image and the label -1.
func lookUp(pixels, labels, normal, rows *Node, crop bool) (images, classes *Node) {
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
	return Gather(normal, ExpandAxes(Add(MulScalar(values, 3), channel), -1)), classes
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
