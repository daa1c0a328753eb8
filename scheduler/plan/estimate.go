package plan

import (
	"context"
	"iter"
	"math"
	"slices"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/usage"
	"nb201/results"
)

// Work is the amount of computation of a trial.
type Work struct {
	Train  float64 // images to train on, in all epochs
	Eval   float64 // images to evaluate, in all epochs
	MFLOPs float64 // millions of multiply-adds per image, forward
}

// Work returns the amount of computation of a trial; zero when its dataset or schedule is not in the plan.
func (p *Plan) Work(t results.Trial) Work {
	d := p.dataset(t.Dataset)
	r, ok := p.Recipe(t)
	if d == nil || !ok {
		return Work{}
	}
	return p.work(t.Arch, d, &r)
}

// work returns the amount of computation of an architecture on a dataset.
func (p *Plan) work(arch int, d *Dataset, r *configs.Recipe) Work {
	return Work{
		Train:  float64(r.Epochs) * float64(d.Images.Train),
		Eval:   float64(r.Evaluations(r.Epochs)) * float64(d.Images.Eval),
		MFLOPs: network(p.mustArch(arch), d, r).FLOPs(),
	}
}

// mustArch returns the architecture with an index that [Archs] holds.
func (p *Plan) mustArch(index int) cell.Arch {
	a, err := p.Space.Space().ByIndex(index)
	if err != nil {
		panic(err) // Archs contains only valid indices
	}
	return a
}

// trainingCost is the cost of training on an image divided by that of evaluating it: a backward
// pass costs about as much as two forward passes.
const trainingCost = 3

// Rate is the speed of one worker of a device, while the device's other workers run too.
type Rate struct {
	// Device, Trials and Archs say what the rate was measured on. They are empty for a rate given
	// by the user.
	Device string `json:"device,omitempty"`
	Trials int    `json:"trials,omitzero"`
	Archs  int    `json:"architectures,omitzero"`
	// MFLOPs is the mean over these trials.
	MFLOPs float64 `json:"mean_mflops,omitzero"`
	// Error is the root mean square of the relative errors that the rate makes when it predicts
	// the training and evaluation times of these trials.
	Error float64 `json:"relative_error,omitzero"`

	Train    Line    `json:"training"`
	Eval     Line    `json:"evaluation"`
	PerTrial float64 `json:"seconds_per_trial"` // compiling and reading data
}

// Line is the time per image as a linear function of its MFLOPs, in seconds.
type Line struct {
	PerImage float64 `json:"seconds_per_image"`
	PerMFLOP float64 `json:"seconds_per_mflop"`
}

// seconds returns the time for a number of images of the given MFLOPs each.
func (l Line) seconds(images, mflops float64) float64 {
	return images * (l.PerImage + mflops*l.PerMFLOP)
}

// FixedRate returns a rate that trains on the given number of images per second, whatever the
// architecture, and evaluates three times as many.
func FixedRate(imagesPerSecond float64) *Rate {
	return &Rate{Train: Line{PerImage: 1 / imagesPerSecond}, Eval: Line{PerImage: 1 / imagesPerSecond / trainingCost}}
}

// Seconds returns how long a worker needs for a trial.
func (r *Rate) Seconds(w Work) float64 { return r.passSeconds(w) + r.PerTrial }

// EpochSeconds returns how long a worker needs for the first of the given number of epochs of a
// trial, including compiling and reading data.
func (r *Rate) EpochSeconds(w Work, epochs int) float64 {
	return r.passSeconds(w)/float64(epochs) + r.PerTrial
}

// passSeconds returns the time of training and evaluation.
func (r *Rate) passSeconds(w Work) float64 {
	return r.Train.seconds(w.Train, w.MFLOPs) + r.Eval.seconds(w.Eval, w.MFLOPs)
}

// measured holds the work and the times of a finished trial.
type measured struct {
	arch             int
	work             Work
	train, eval, all float64 // seconds
}

// measure reads the work and the times of a trial from its record.
func measure(r *results.Record) measured {
	m := measured{arch: r.Arch, work: Work{MFLOPs: r.FLOPs}, all: r.Finished.Sub(r.Started).Seconds()}
	add := func(p *results.Pass, images, seconds *float64) {
		for _, s := range p.Seconds {
			*images += float64(p.Images)
			*seconds += s
		}
	}
	add(&r.Train, &m.work.Train, &m.train)
	for i := range r.Eval {
		add(&r.Eval[i].Pass, &m.work.Eval, &m.eval)
	}
	return m
}

// maxMeasured is the number of records that MeasureRate reads at most.
const maxMeasured = 400

// MeasureRate measures the rate of a campaign from the finished trials in done that have the
// given precision, or returns nil if there are none. It models the seconds per image as
// a + b*MFLOPs, separately for training and evaluation, with a, b >= 0 fitted by least squares;
// PerTrial is the median of the remaining time. If the trials ran on different kinds of device, it
// uses the kind with most trials. It reads up to 400 records, evenly spaced, and skips damaged
// ones.
func MeasureRate(ctx context.Context, c results.Campaign, done []results.Trial, precision configs.Precision) (*Rate, error) {
	byDevice := map[string][]measured{}
	n := min(len(done), maxMeasured)
	for i := range n {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		r, err := c.Record(done[i*len(done)/n])
		if usage.Is(err) || err == nil && r.Precision != precision {
			continue
		}
		if err != nil {
			return nil, err
		}
		byDevice[r.Device] = append(byDevice[r.Device], measure(r))
	}
	rate := &Rate{}
	for device, m := range byDevice {
		if len(m) > rate.Trials || len(m) == rate.Trials && device < rate.Device {
			rate.Device, rate.Trials = device, len(m)
		}
	}
	if rate.Trials == 0 {
		return nil, nil
	}
	rate.fit(byDevice[rate.Device])
	return rate, nil
}

// fit sets the rate from measured trials of its device.
func (r *Rate) fit(trials []measured) {
	var train, eval []point
	var rest []float64
	archs := map[int]bool{}
	for _, m := range trials {
		train = append(train, point{m.work.MFLOPs, m.train / m.work.Train})
		eval = append(eval, point{m.work.MFLOPs, m.eval / m.work.Eval})
		rest = append(rest, max(m.all-m.train-m.eval, 0))
		archs[m.arch] = true
		r.MFLOPs += m.work.MFLOPs / float64(len(trials))
	}
	r.Archs = len(archs)
	r.Train, r.Eval = fitLine(train), fitLine(eval)
	slices.Sort(rest)
	r.PerTrial = rest[len(rest)/2]
	sum := 0.0
	for _, m := range trials {
		relative := r.passSeconds(m.work)/(m.train+m.eval) - 1
		sum += relative * relative
	}
	r.Error = math.Sqrt(sum / float64(len(trials)))
}

// point is the measured time of one image.
type point struct{ mflops, seconds float64 }

// fitLine fits a line with two non-negative coefficients by least squares. If all points have the
// same FLOPs, it takes the time to be proportional to them.
func fitLine(points []point) Line {
	var n, x, y, xx, xy float64
	for _, p := range points {
		n, x, y, xx, xy = n+1, x+p.mflops, y+p.seconds, xx+p.mflops*p.mflops, xy+p.mflops*p.seconds
	}
	if det := n*xx - x*x; det > 1e-9*n*xx {
		l := Line{PerImage: (xx*y - x*xy) / det, PerMFLOP: (n*xy - x*y) / det}
		if l.PerImage >= 0 && l.PerMFLOP >= 0 {
			return l
		}
	}
	// The optimum is on the boundary: one of the two is 0.
	flat, steep := Line{PerImage: y / n}, Line{PerMFLOP: xy / xx}
	if squaredError(flat, points) < squaredError(steep, points)*(1-1e-9) {
		return flat
	}
	return steep
}

// squaredError returns the sum of the squared errors of a line.
func squaredError(l Line, points []point) float64 {
	sum := 0.0
	for _, p := range points {
		e := l.seconds(1, p.mflops) - p.seconds
		sum += e * e
	}
	return sum
}

// Cost is the total cost of some trials.
type Cost struct {
	Trials      int     `json:"trials"`
	TrainImages float64 `json:"training_images"`   // to train on, in all epochs
	EvalImages  float64 `json:"evaluation_images"` // to evaluate, in all epochs
	Seconds     float64 `json:"trial_seconds,omitzero"`
	RecordBytes float64 `json:"record_bytes"`
	WeightBytes float64 `json:"weight_bytes"`
}

// Estimate returns the cost of trials of the plan. Seconds is 0 when rate is nil.
func (p *Plan) Estimate(trials iter.Seq[results.Trial], rate *Rate) Cost {
	type shape struct {
		classes         int
		channels, cells int
		tensors         any // see cell.Arch.Shapes
	}
	weights := map[shape]float64{} // file sizes
	var c Cost
	for t := range trials {
		d := p.dataset(t.Dataset)
		r, _ := p.Recipe(t)
		w := p.work(t.Arch, d, &r)
		c.Trials++
		c.TrainImages += w.Train
		c.EvalImages += w.Eval
		if rate != nil {
			c.Seconds += rate.Seconds(w)
		}
		c.RecordBytes += d.recordBytes(&r)
		if p.Settings.Weights {
			n := network(p.mustArch(t.Arch), d, &r)
			at := shape{n.Classes, r.Channels, r.Cells, n.Arch.Shapes()}
			if weights[at] == 0 {
				weights[at] = weightBytes(n)
			}
			c.WeightBytes += weights[at]
		}
	}
	return c
}

// Sizes in bytes, measured on files.
const (
	recordFixed    = 1280
	recordEpoch    = 71  // per epoch and set: loss and accuracies with 17 digits, seconds with 10
	recordSet      = 130 // per set: the names of its measures
	recordFile     = 125 // per data file: name and SHA-256
	weightsTensor  = 234 // per tensor, besides its elements: name, shape, zip entry
	weightsAligned = 64  // the elements of a tensor are padded to a multiple of this
)

// recordBytes estimates the size of a record.
func (d *Dataset) recordBytes(r *configs.Recipe) float64 {
	files := 2
	switch d.definition.Format {
	case "digits":
		files = 1
	case "cifar10-python", "cifar10-binary":
		files = 6
	case "imagenet16":
		files = 11
	}
	sets := 1 + len(d.definition.Eval)
	// The record contains the definition with indentation, which makes it about half as long again.
	base := recordFixed + 1.5*float64(len(d.Definition)) + float64(recordSet*sets+recordFile*files)
	return base + float64(recordEpoch*(r.Epochs+(sets-1)*r.Evaluations(r.Epochs)))
}

// weightBytes returns the size of the weights of a network as a torch checkpoint.
func weightBytes(n cell.Network) float64 {
	size := 0
	for _, t := range n.Tensors() {
		bytes := 4 * t.Len()
		if t.Role == cell.BNCount {
			bytes = 8
		}
		size += weightsTensor + (bytes+weightsAligned-1)/weightsAligned*weightsAligned
	}
	return float64(size)
}
