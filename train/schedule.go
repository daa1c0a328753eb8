package train

import (
	"math"

	"nb201/configs"
)

// learningRate is CosineAnnealingLR.get_lr (xautodl/procedures/optimizers.py)
// without warm-up: constant within an epoch, above EtaMin in the last one.
func learningRate(r configs.Recipe, epoch int) float64 {
	return r.EtaMin + (r.LearningRate-r.EtaMin)*(1+math.Cos(math.Pi*float64(epoch)/float64(r.Epochs)))/2
}
