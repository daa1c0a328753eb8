package results

import (
	"fmt"
	"math"

	"nb201/cell"
	"nb201/internal/torchfile"
)

// WeightFaults lists values that no trained network can have: infinities and NaNs, negative
// BatchNorm variances, negative batch counts. The weights must have passed [CheckWeights].
// [Campaign.Publish] refuses weights with such faults, and verify reports them.
func WeightFaults(network cell.Network, weights torchfile.StateDict) (faults []string) {
	for i, tensor := range network.Tensors() {
		w := weights[i]
		negative, infinite := 0, 0
		for _, v := range w.Float32 {
			if v < 0 {
				negative++
			}
			if v != v || math.IsInf(float64(v), 0) {
				infinite++
			}
		}
		if infinite > 0 {
			faults = append(faults, fmt.Sprintf("%d values of %s are not finite", infinite, w.Name))
		}
		if tensor.Role == cell.BNVar && negative > 0 {
			faults = append(faults, fmt.Sprintf("%d variances in %s are negative", negative, w.Name))
		}
		if tensor.Role == cell.BNCount && w.Int64[0] < 0 {
			faults = append(faults, fmt.Sprintf("%s is %d", w.Name, w.Int64[0]))
		}
	}
	return faults
}
