package device

// Batch holds the results of one batch: the mean cross entropy, and the numbers of images whose
// label has the highest, or one of the five highest, logits. If there are fewer than five classes,
// CorrectTop5 counts all images.
type Batch struct {
	Images                   int
	Loss                     float64
	CorrectTop1, CorrectTop5 int // images
}

// Accuracy returns the top-1 accuracy in percent.
func (b Batch) Accuracy() float64 { return accuracy(b.CorrectTop1, b.Images) }

// Meter averages the results of batches, weighted by their images, in float64 and in batch order
// (AverageMeter, xautodl/utils/evaluation_utils.py and log_utils). Loss, Top1 and Top5 are sums
// over the images: of the mean loss and of the accuracies in percent of each image's batch.
// [Meter.Averages] divides them by Images.
type Meter struct {
	Images int     `json:"images"`
	Loss   float64 `json:"loss"`
	Top1   float64 `json:"top1_percent"`
	Top5   float64 `json:"top5_percent"`
}

// Add adds the results of a batch.
func (m *Meter) Add(b Batch) {
	n := float64(b.Images)
	m.Loss += b.Loss * n
	m.Top1 += accuracy(b.CorrectTop1, b.Images) * n
	m.Top5 += accuracy(b.CorrectTop5, b.Images) * n
	m.Images += b.Images
}

// accuracy computes obtain_accuracy, in percent: a float32 product, read back as float64.
func accuracy(correct, images int) float64 {
	return float64(float32(correct) * float32(100.0/float64(images)))
}

// Averages returns the mean loss and the top-1 and top-5 accuracies in percent. They equal the
// original's to the bit, with one exception: if all images of a batch are right, the original's
// float32 product can exceed 100 % (for 45 images, say), and Averages returns 100.
func (m *Meter) Averages() (loss, top1, top5 float64) {
	n := float64(m.Images)
	return m.Loss / n, min(m.Top1/n, 100), min(m.Top5/n, 100)
}
