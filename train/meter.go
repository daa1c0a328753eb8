package train

// batchResult is what one batch gives: mean cross-entropy and the number of
// images whose label is the first, or among the first five, of the logits; with
// fewer than five classes among all of them.
type batchResult struct {
	images     int
	loss       float64
	top1, top5 int
}

// meter averages batches by their images, in float64 and in batch order
// (AverageMeter, xautodl/utils/evaluation_utils.py and log_utils).
type meter struct {
	Images int     `json:"images"`
	Loss   float64 `json:"loss"` // sums over the images
	Top1   float64 `json:"top1_percent"`
	Top5   float64 `json:"top5_percent"`
}

func (m *meter) add(b batchResult) {
	n := float64(b.images)
	m.Loss += b.loss * n
	m.Top1 += accuracy(b.top1, b.images) * n
	m.Top5 += accuracy(b.top5, b.images) * n
	m.Images += b.images
}

// accuracy is obtain_accuracy in percent: a float32 product, read back as float64.
func accuracy(correct, images int) float64 {
	return float64(float32(correct) * float32(100.0/float64(images)))
}

// averages are the mean loss and the top-1 and top-5 accuracies in percent. They are
// the original's to the bit but where its float32 product makes more than 100 % of a
// batch that is right throughout, as of 45 images: it would be no accuracy.
func (m *meter) averages() (loss, top1, top5 float64) {
	n := float64(m.Images)
	return m.Loss / n, min(m.Top1/n, 100), min(m.Top5/n, 100)
}
