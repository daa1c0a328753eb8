package data

// Crop is how a training image is varied: mirrored first, then padded with
// Augment.CropPadding zeros on each side and cut from Row and Column on.
type Crop struct {
	Flip        bool
	Row, Column int16 // of the padded image, 0..2*CropPadding
}

// table is ToTensor and Normalize for each byte and channel.
type table [256][3]float32

// newTable computes as torch does: byte and 255 in float32, mean and standard
// deviation divided by 255 in float64 first, every result rounded to float32.
func newTable(mean, std [3]float64) table {
	var t table
	for v := range t {
		for c := range 3 {
			m, s := float32(mean[c]/255), float32(std[c]/255)
			t[v][c] = (float32(v)/255 - m) / s
		}
	}
	return t
}

// Normal is what Fill makes of each byte in each channel: 256 times three values.
func (ds *Dataset) Normal() []float32 {
	var values []float32
	for _, v := range ds.normal {
		values = append(values, v[:]...)
	}
	return values
}

// Fill writes the images from..to-1 of an epoch over split: into dst their
// pixels, normalised, as image, row, column, channel (to-from images of
// 3*Size*Size values), and into labels their labels. The epoch's crops apply
// where it has them. Calls may run at the same time.
func (ds *Dataset) Fill(dst []float32, labels []int32, split *Split, e *Epoch, from, to int) {
	n := 3 * ds.Size * ds.Size
	for k := from; k < to; k++ {
		index := e.Order[k]
		labels[k-from] = split.Images.Labels[index]
		image, out := split.Images.at(index), dst[(k-from)*n:][:n]
		if e.Crops == nil {
			ds.normal.row(out, image, false)
			continue
		}
		ds.crop(out, image, e.Crops[k])
	}
}

// crop writes one varied image. Padding is black before Normalize, not after.
func (ds *Dataset) crop(out []float32, image []byte, c Crop) {
	size, stride := ds.Size, 3*ds.Size
	up, left := int(c.Row)-ds.Augment.CropPadding, int(c.Column)-ds.Augment.CropPadding
	first, last := max(0, -left), min(size, size-left) // columns of out that show the image
	for r := range size {
		row := out[r*stride:][:stride]
		y := r + up
		if y < 0 || y >= size {
			ds.normal.black(row)
			continue
		}
		ds.normal.black(row[:3*first])
		ds.normal.black(row[3*last:])
		x := first + left // of the mirrored image
		if c.Flip {
			x = size - last - left
		}
		ds.normal.row(row[3*first:3*last], image[y*stride+3*x:], c.Flip)
	}
}

// row normalises pixels of in until out is full, mirrored from right to left.
func (t *table) row(out []float32, in []byte, mirrored bool) {
	in = in[:len(out)]
	if mirrored {
		for i, j := 0, len(in)-3; j >= 0; i, j = i+3, j-3 {
			o, p := out[i:][:3], in[j:][:3]
			o[0], o[1], o[2] = t[p[0]][0], t[p[1]][1], t[p[2]][2]
		}
		return
	}
	for i := 0; i < len(in); i += 3 {
		o, p := out[i:][:3], in[i:][:3]
		o[0], o[1], o[2] = t[p[0]][0], t[p[1]][1], t[p[2]][2]
	}
}

// black fills out with black pixels.
func (t *table) black(out []float32) {
	for i := 0; i < len(out); i += 3 {
		copy(out[i:i+3], t[0][:])
	}
}
