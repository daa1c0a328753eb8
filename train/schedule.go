package train

// #cgo LDFLAGS: -lm
// #include <math.h>
import "C"

import (
	"math"

	"nb201/configs"
)

// learningRate computes CosineAnnealingLR.get_lr (xautodl/procedures/optimizers.py) without
// warm-up: constant within an epoch (from 0), and still above EtaMin in the last one. It calls
// the C library's cosine, as Python does, because Go's differs in the last bit.
func learningRate(r configs.Recipe, epoch int) float64 {
	cosine := float64(C.cos(C.double(math.Pi * float64(epoch) / float64(r.Epochs))))
	return r.EtaMin + (r.LearningRate-r.EtaMin)*(1+cosine)/2
}
