package device

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
