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

// Work is what there is to compute for a trial.
type Work struct {
	Train  float64 // images to train on, of all epochs
	Eval   float64 // images to evaluate, of all epochs
	MFLOPs float64 // multiply-adds of one image
}

// Work is what there is to compute for a trial of the plan.
func (p *Plan) Work(t results.Trial) Work {
	d := p.dataset(t.Dataset)
	if d == nil {
		return Work{}
	}
	return p.work(t.Arch, d, t.Epochs)
}

func (p *Plan) work(arch int, d *Dataset, epochs int) Work {
	return Work{
		Train:  float64(epochs) * float64(d.Images.Train),
		Eval:   float64(epochs) * float64(d.Images.Eval),
		MFLOPs: p.network(arch, d).FLOPs(),
	}
}

func (p *Plan) network(arch int, d *Dataset) cell.Network {
	a, err := cell.ByIndex(arch)
	if err != nil {
		panic(err) // Archs holds indices of architectures only
	}
	return p.Settings.network(a, d.definition.Classes, d.definition.Size[0])
}

// trainingCost is how often an image could be evaluated in the time of training on it: a
// backward pass is about two forward ones.
const trainingCost = 3

// Rate says how fast a device works a trial, beside the others that it has.
type Rate struct {
	// Device and Trials and Archs tell what it was measured on; none: given by hand.
	Device string `json:"device,omitempty"`
	Trials int    `json:"trials,omitzero"`
	Archs  int    `json:"architectures,omitzero"`
	// MFLOPs is the mean of the trials'.
	MFLOPs float64 `json:"mean_mflops,omitzero"`
	// Error is the root mean square of the relative errors that the rate makes of these
	// trials' own times of training and evaluation.
	Error float64 `json:"relative_error,omitzero"`

	Train    Line    `json:"training"`
	Eval     Line    `json:"evaluation"`
	PerTrial float64 `json:"seconds_per_trial"` // beside both: compiling, reading data
}

// Line gives the seconds of an image by its FLOPs.
type Line struct {
	PerImage float64 `json:"seconds_per_image"`
	PerMFLOP float64 `json:"seconds_per_mflop"`
}

func (l Line) seconds(images, mflops float64) float64 {
	return images * (l.PerImage + mflops*l.PerMFLOP)
}

// FixedRate is a rate of so many images a second to train on, whatever the
// architecture; evaluating is three times as fast.
func FixedRate(imagesPerSecond float64) *Rate {
	return &Rate{Train: Line{PerImage: 1 / imagesPerSecond}, Eval: Line{PerImage: 1 / imagesPerSecond / trainingCost}}
}

// Seconds is how long a device takes for a trial's work.
func (r *Rate) Seconds(w Work) float64 { return r.passes(w) + r.PerTrial }

// EpochSeconds is how long a device takes for one of so many epochs of a trial's work, and
// for what comes before the first.
func (r *Rate) EpochSeconds(w Work, epochs int) float64 {
	return r.passes(w)/float64(epochs) + r.PerTrial
}

func (r *Rate) passes(w Work) float64 {
	return r.Train.seconds(w.Train, w.MFLOPs) + r.Eval.seconds(w.Eval, w.MFLOPs)
}

// measured is how long a finished trial took.
type measured struct {
	arch             int
	work             Work
	train, eval, all float64 // seconds
}

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

// mostMeasured bounds the records that a rate is measured from.
const mostMeasured = 400

// MeasureRate finds how fast a device was at the trials done in a campaign, in a
// precision: seconds of an image are a + b MFLOPs, for training and for evaluating, with
// a and b of 0 or more fitted by least squares, plus what a trial took beside these,
// which is the median. Of a campaign that more than one kind of device worked, the one
// with most trials counts. Of many trials, some hundreds spread evenly are read; damaged
// records are passed over. It is nil where none was done so.
func MeasureRate(ctx context.Context, c results.Campaign, done []results.Trial, precision configs.Precision) (*Rate, error) {
	byDevice := map[string][]measured{}
	n := min(len(done), mostMeasured)
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
		relative := r.passes(m.work)/(m.train+m.eval) - 1
		sum += relative * relative
	}
	r.Error = math.Sqrt(sum / float64(len(trials)))
}

// point is how many seconds an image of so many MFLOPs took.
type point struct{ mflops, seconds float64 }

// fitLine fits a line whose two coefficients are 0 or more by least squares. Where all
// points are of the same FLOPs, time is taken to grow with them.
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
	// The best is on an edge: one of the two is 0.
	flat, steep := Line{PerImage: y / n}, Line{PerMFLOP: xy / xx}
	if squares(flat, points) < squares(steep, points)*(1-1e-9) {
		return flat
	}
	return steep
}

func squares(l Line, points []point) float64 {
	sum := 0.0
	for _, p := range points {
		e := l.seconds(1, p.mflops) - p.seconds
		sum += e * e
	}
	return sum
}

// Cost is what trials cost together.
type Cost struct {
	Trials      int     `json:"trials"`
	TrainImages float64 `json:"training_images"`   // to train on, of all epochs
	EvalImages  float64 `json:"evaluation_images"` // to evaluate, of all epochs
	Seconds     float64 `json:"trial_seconds,omitzero"`
	RecordBytes float64 `json:"record_bytes"`
	WeightBytes float64 `json:"weight_bytes"`
}

// Estimate is what trials of the plan cost; the seconds are 0 when the rate is nil.
func (p *Plan) Estimate(trials iter.Seq[results.Trial], rate *Rate) Cost {
	type shape struct {
		dataset string
		convolutions
	}
	weights := map[shape]float64{} // file sizes
	records := map[string][2]float64{}
	for i := range p.Datasets {
		base, perEpoch := p.Datasets[i].recordBytes()
		records[p.Datasets[i].Key] = [2]float64{base, perEpoch}
	}
	var c Cost
	for t := range trials {
		d := p.dataset(t.Dataset)
		w := p.work(t.Arch, d, t.Epochs)
		c.Trials++
		c.TrainImages += w.Train
		c.EvalImages += w.Eval
		if rate != nil {
			c.Seconds += rate.Seconds(w)
		}
		bytes := records[t.Dataset]
		c.RecordBytes += bytes[0] + bytes[1]*float64(t.Epochs)
		if p.Settings.Weights {
			n := p.network(t.Arch, d)
			at := shape{t.Dataset, convolutionsOf(n.Arch)}
			if weights[at] == 0 {
				weights[at] = weightBytes(n)
			}
			c.WeightBytes += weights[at]
		}
	}
	return c
}

// Sizes in bytes, as measured on files: of the parts of a record, and of what a
// checkpoint holds for a tensor beside its elements (name, shape, zip entry), which fill
// up whole blocks.
const (
	recordFixed    = 1280
	recordEpoch    = 71  // a set: loss and accuracies in 17 digits, seconds in 10
	recordSet      = 130 // the names of its measures
	recordFile     = 125 // name and SHA-256 of a data file
	weightsTensor  = 234
	weightsAligned = 64
)

// recordBytes is the size of a record: its fixed part, and what an epoch adds.
func (d *Dataset) recordBytes() (base, perEpoch float64) {
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
	// In the record the definition is indented, which adds about half to it.
	base = recordFixed + 1.5*float64(len(d.Definition)) + float64(recordSet*sets+recordFile*files)
	return base, float64(recordEpoch * sets)
}

// weightBytes is the size of a checkpoint.
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
