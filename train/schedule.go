package train

// #cgo LDFLAGS: -lm
// #include <math.h>
import "C"

import (
	"math"

	"nb201/configs"
)

// learningRate is CosineAnnealingLR.get_lr (xautodl/procedures/optimizers.py)
// without warm-up: constant within an epoch, above EtaMin in the last one. The
// cosine is the C library's, as Python's is: Go's own differs in the last bit.
func learningRate(r configs.Recipe, epoch int) float64 {
	cosine := float64(C.cos(C.double(math.Pi * float64(epoch) / float64(r.Epochs))))
	return r.EtaMin + (r.LearningRate-r.EtaMin)*(1+cosine)/2
}
