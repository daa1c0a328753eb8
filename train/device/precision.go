package device

import "github.com/gomlx/compute/dtypes"

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

// stateType returns the type of all that a trial keeps: parameters, momenta and statistics.
func stateType(p Precision) dtypes.DType {
	if p == FP64 {
		return dtypes.Float64
	}
	return dtypes.Float32
}

// featureType returns the type of feature maps.
func featureType(p Precision) dtypes.DType {
	if p == BF16 {
		return dtypes.BFloat16
	}
	return stateType(p)
}
