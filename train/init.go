package train

import (
	"math"

	"nb201/cell"
	"nb201/internal/random"
	"nb201/internal/torchfile"
)

// InitialWeights draws a network's initial weights from torch's generator, in the order in which
// the original constructs its layers: kaiming_uniform_(a=sqrt(5)) for convolutions and the
// classifier's weight, U(-1/sqrt(fan in), 1/sqrt(fan in)) for the classifier's bias. This is
// torch's reset_parameters; the original does not initialise them a second time. BatchNorm
// starts with weight 1, bias 0, mean 0 and variance 1, and draws nothing.
func InitialWeights(net cell.Network, generator *random.Torch, profile random.Profile) torchfile.StateDict {
	var dict torchfile.StateDict
	fanIn := 0
	for _, t := range net.Tensors() {
		tensor := &torchfile.Tensor{Shape: t.Shape}
		if t.Role == cell.BNCount {
			tensor.Int64 = make([]int64, 1)
		} else {
			tensor.Float32 = make([]float32, t.Len())
		}
		switch t.Role {
		case cell.ConvWeight, cell.LinearWeight:
			fanIn = t.Len() / t.Shape[0]
			// torch computes this in float64 and in this order.
			slope := math.Sqrt(5)
			gain := math.Sqrt(2.0 / (1 + slope*slope))
			bound := math.Sqrt(3.0) * (gain / math.Sqrt(float64(fanIn)))
			generator.Uniform(tensor.Float32, -bound, bound, profile.FMA)
		case cell.LinearBias: // follows its weight
			bound := 1 / math.Sqrt(float64(fanIn))
			generator.Uniform(tensor.Float32, -bound, bound, profile.FMA)
		case cell.BNWeight, cell.BNVar:
			for i := range tensor.Float32 {
				tensor.Float32[i] = 1
			}
		}
		dict = append(dict, torchfile.NamedTensor{Name: t.Name, Tensor: tensor})
	}
	return dict
}

// skipModelInfo skips the draws of get_model_infos (xautodl/utils/flop_benchmark.py), which
// counts FLOPs on a random image: one 32-bit word for each value of its 3 channels.
func skipModelInfo(net cell.Network, generator *random.Torch) {
	generator.Skip(3 * net.Size * net.Size)
}
