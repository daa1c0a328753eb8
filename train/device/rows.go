package device

// A row describes one sample of a batch: the index of an image on the device, or padding; the
// upper left corner of the crop, which may lie outside the image; and whether the image is
// mirrored before it is cropped.
const (
	rowIndex = iota
	rowTop
	rowLeft
	rowMirrored
	rowLen

	padding = -1 // as an index
)

// fillRows fills dst, int32 [rows, rowLen], with rows for the images from to to-1 of the stage's
// order, and with padding after them.
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
