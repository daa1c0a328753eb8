package train

import "time"

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
	loss, top1, top5 float64 // sums
	images           int
}

func (m *meter) add(b batchResult) {
	n := float64(b.images)
	m.loss += b.loss * n
	m.top1 += accuracy(b.top1, b.images) * n
	m.top5 += accuracy(b.top5, b.images) * n
	m.images += b.images
}

// accuracy is obtain_accuracy in percent: a float32 product, read back as float64.
func accuracy(correct, images int) float64 {
	return float64(float32(correct) * float32(100.0/float64(images)))
}

// averages are the mean loss and the top-1 and top-5 accuracies in percent. They are
// the original's to the bit but where its float32 product makes more than 100 % of a
// batch that is right throughout, as of 45 images: it would be no accuracy.
func (m *meter) averages() (loss, top1, top5 float64) {
	n := float64(m.images)
	return m.loss / n, min(m.top1/n, 100), min(m.top5/n, 100)
}

// over is what the pass that began then has measured.
func (m *meter) over(began time.Time) Measures {
	loss, top1, top5 := m.averages()
	return Measures{loss, top1, top5, time.Since(began).Seconds()}
}
