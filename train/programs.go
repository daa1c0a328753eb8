package train

import (
	"fmt"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	. "github.com/gomlx/gomlx/core/graph" // the idiom for graph building
	"github.com/gomlx/gomlx/core/tensors"
	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/cell/network"
	"nb201/internal/backend"
)

// Precision is the arithmetic of a trial.
type Precision string

const (
	// FP32 is float32 throughout, the original's.
	FP32 Precision = "fp32"
	// TF32 is float32 whose convolutions and matrix products may round their
	// operands to 10 bits, on GPUs that can.
	TF32 Precision = "tf32"
	// BF16 has bfloat16 convolutions and feature maps, and float32 elsewhere: the
	// parameters, their gradients and momenta, BatchNorm, the classifier and the loss.
	BF16 Precision = "bf16"
	// FP64 is float64 after float32 initial weights and images: slow, to check by.
	FP64 Precision = "fp64"
)

// dtype is the type of all that a trial keeps: parameters, momenta and statistics.
func (p Precision) dtype() dtypes.DType {
	if p == FP64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}

// features is the type of feature maps.
func (p Precision) features() dtypes.DType {
	if p == BF16 {
		return dtypes.BFloat16
	}
	return p.dtype()
}

// plan is all that the programs of a trial depend on: equal plans, equal programs.
type plan struct {
	Network   cell.Network
	Precision Precision
	Batch     int // images
	Ragged    int // images of an epoch's last batch where it is shorter, or 0

	Momentum    float64
	Nesterov    bool
	WeightDecay float64
}

func (c Config) plan() plan {
	return plan{
		c.Network, c.Precision, c.Recipe.Batch, c.Data.Train.Len() % c.Recipe.Batch,
		c.Recipe.Momentum, c.Recipe.Nesterov, c.Recipe.WeightDecay,
	}
}

// programs are the two programs of a network: the training step and the evaluation of
// a batch.
type programs struct {
	plan
	backend compute.Backend
	model   *network.Model
	dtype   dtypes.DType

	steps    map[int]*Graph // the training step, by batch size
	evaluate *Graph
}

// newPrograms prepares for compiling.
func newPrograms(b compute.Backend, p plan) *programs {
	return &programs{plan: p, backend: b, model: network.New(p.Network, p.Precision.features(), backend.OnGPU(b)), dtype: p.Precision.dtype()}
}

// compileAll compiles the programs side by side.
func (p *programs) compileAll() error {
	var group errgroup.Group
	var whole, last *Graph
	group.Go(func() (err error) { whole, err = p.step(p.Batch); return err })
	if p.Ragged > 0 {
		group.Go(func() (err error) { last, err = p.step(p.Ragged); return err })
	}
	group.Go(func() (err error) { p.evaluate, err = p.evaluation(p.Batch); return err })
	err := group.Wait()
	p.steps = map[int]*Graph{p.Ragged: last, p.Batch: whole}
	return err
}

func (p *programs) finalize() {
	for _, g := range p.steps {
		g.Finalize()
	}
	p.evaluate.Finalize()
}

// step compiles the training step for batches of the given size. It maps
// (params, momenta, stats, rate, images, labels) to (params, momenta, stats,
// measures); measures are the mean loss and the top-1 and top-5 counts before the
// update, in training mode.
func (p *programs) step(batch int) (*Graph, error) {
	return p.compile("step", func(g *Graph) []*Node {
		params, momenta := p.vector(g, "params", p.model.Parameters), p.vector(g, "momenta", p.model.Parameters)
		stats := p.vector(g, "stats", p.model.Statistics)
		rate := Parameter(g, "rate", shapes.Make(p.dtype))
		images, labels := p.batch(g, batch)

		logits, newStats, backward := p.model.Train(params, stats, images)
		measures, dLogits := crossEntropy(logits, labels)
		newParams, newMomenta := p.descend(params, momenta, backward(dLogits), rate)
		return []*Node{newParams, newMomenta, newStats, measures}
	})
}

// evaluation compiles the evaluation of a batch: it maps (params, stats, images,
// labels) to measures. Rows with label -1 are padding and do not count.
func (p *programs) evaluation(batch int) (*Graph, error) {
	return p.compile("evaluation", func(g *Graph) []*Node {
		params, stats := p.vector(g, "params", p.model.Parameters), p.vector(g, "stats", p.model.Statistics)
		images, labels := p.batch(g, batch)
		measures, _ := crossEntropy(p.model.Evaluate(params, stats, images), labels)
		return []*Node{measures}
	})
}

func (p *programs) compile(name string, build func(*Graph) []*Node) (*Graph, error) {
	g := NewGraph(p.backend, name)
	if err := backend.Catch(func() error { return g.Compile(build(g)...) }); err != nil {
		return nil, fmt.Errorf("cannot compile the %s of %s: %w", name, p.Network.Arch, err)
	}
	return g, nil
}

func (p *programs) vector(g *Graph, name string, length int) *Node {
	return Parameter(g, name, shapes.Make(p.dtype, length))
}

// batch declares the inputs of a batch: normalised NHWC images in float32, labels.
func (p *programs) batch(g *Graph, size int) (images, labels *Node) {
	images = Parameter(g, "images", shapes.Make(dtypes.Float32, size, p.Network.Size, p.Network.Size, 3))
	labels = Parameter(g, "labels", shapes.Make(dtypes.Int32, size))
	return ConvertDType(images, p.dtype), labels
}

// crossEntropy is nn.CrossEntropyLoss and the counts of obtain_accuracy. It
// returns [mean loss, top-1 count, top-5 count] over the rows whose label is not
// -1, and the gradient of the mean loss. With fewer than five classes, for which
// obtain_accuracy fails, the top-5 count is that of all images. Where logits are equal,
// the class with the lower number goes first; torch.topk promises no order of equals.
func crossEntropy(logits, labels *Node) (measures, dLogits *Node) {
	g, dtype := logits.Graph(), logits.DType()
	classes := Iota(g, shapes.Make(dtypes.Int32, logits.Shape().Dimensions...), 1)
	label := ExpandAxes(labels, -1)
	isLabel := ConvertDType(Equal(classes, label), dtype) // no 1 in a row of padding

	shifted := Sub(logits, ReduceAndKeep(logits, ReduceMax, 1))
	sum := ReduceAndKeep(Exp(shifted), ReduceSum, 1)
	count := ReduceAllSum(isLabel)
	loss := Div(Neg(ReduceAllSum(Mul(isLabel, Sub(shifted, Log(sum))))), count)
	dLogits = Div(Sub(Div(Exp(shifted), sum), isLabel), count)

	score := ReduceAndKeep(Mul(isLabel, logits), ReduceSum, 1)
	before := LogicalOr(GreaterThan(logits, score),
		LogicalAnd(Equal(logits, score), LessThan(classes, label)))
	rank := ReduceSum(ConvertDType(before, dtype), 1)
	valid := ReduceSum(isLabel, 1)
	top := func(k int) *Node {
		return ReduceAllSum(Mul(valid, ConvertDType(LessThan(rank, Scalar(g, dtype, k)), dtype)))
	}
	return Stack([]*Node{loss, top(1), top(5)}, 0), dLogits
}

// descend is torch.optim.SGD with momentum, Nesterov and weight decay on all
// parameters, BatchNorm's and the classifier's bias included.
func (p *programs) descend(params, momenta, gradient, rate *Node) (newParams, newMomenta *Node) {
	gradient = Add(gradient, MulScalar(params, p.WeightDecay))
	newMomenta = Add(MulScalar(momenta, p.Momentum), gradient)
	direction := newMomenta
	if p.Nesterov {
		direction = Add(gradient, MulScalar(newMomenta, p.Momentum))
	}
	return Sub(params, Mul(rate, direction)), newMomenta
}

// readMeasures fetches what a program measured on a batch of so many images.
func readMeasures(t *tensors.Tensor, images int) (batchResult, error) {
	var m [3]float64
	err := t.ConstFlatData(func(flat any) {
		switch v := flat.(type) {
		case []float32:
			m = [3]float64{float64(v[0]), float64(v[1]), float64(v[2])}
		case []float64:
			copy(m[:], v)
		}
	})
	return batchResult{images: images, loss: m[0], top1: int(m[1]), top5: int(m[2])}, err
}
