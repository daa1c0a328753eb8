package device

import (
	"github.com/gomlx/compute/dtypes"

	"nb201/configs"
)

// stateType returns the type of parameters, momenta and running statistics.
func stateType(p configs.Precision) dtypes.DType {
	if p == configs.FP64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}

// featureType returns the type of feature maps.
func featureType(p configs.Precision) dtypes.DType {
	if p == configs.BF16 {
		return dtypes.BFloat16
	}
	return stateType(p)
}
