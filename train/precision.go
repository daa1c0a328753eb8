package train

import "nb201/train/device"

// Precision is the arithmetic of a trial.
type Precision = device.Precision

const (
	FP32 = device.FP32
	TF32 = device.TF32
	BF16 = device.BF16
	FP64 = device.FP64
)
