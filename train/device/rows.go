package device

// A row describes one sample of a batch: the index of an image on the device, or padding; the
// upper left corner of the crop, which may lie outside the image; and whether the image is
// mirrored before it is cropped. If the executable cuts squares out, it also has the centre of the square.
const (
	rowIndex = iota
	rowTop
	rowLeft
	rowMirrored
	rowLen

	rowCutTop  = rowLen
	rowCutLeft = rowLen + 1
	rowLenCut  = rowLen + 2

	padding = -1 // as an index
)

// rowLen returns the length of the executable's rows.
func (e *Executable) rowLen() int {
	if e.Cutout > 0 {
		return rowLenCut
	}
	return rowLen
}

// fillRows fills dst, int32 [rows, rowLen], with rows for the images from to to-1 of the stage's
// order, and with padding after them.
func (s *Images) fillRows(dst []int32, rowLen int, stage *Stage, from, to int) {
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
			if rowLen == rowLenCut {
				row[rowCutTop], row[rowCutLeft] = int32(crop.CutRow), int32(crop.CutColumn)
			}
		}
		dst = dst[rowLen:]
	}
	for i := 0; i < len(dst); i += rowLen {
		dst[i+rowIndex] = padding
	}
}
