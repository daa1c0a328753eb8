package programs

import (
	"bytes"
	"regexp"
)

// requestFullPrecision requests full precision for the float32 convolutions of a program, which
// is StableHLO as go-xla writes it. go-xla has no option for this and leaves the default, with
// which a GPU may round operands to TF32's 10 bits.
func requestFullPrecision(program []byte) []byte {
	return convolution.ReplaceAllFunc(program, func(operation []byte) []byte {
		if !bytes.Contains(operation, []byte("xf32>")) {
			return operation
		}
		return bytes.ReplaceAll(operation, []byte("<precision DEFAULT>"), []byte("<precision HIGHEST>"))
	})
}

// convolution matches a convolution with its attributes and the types of its operands.
var convolution = regexp.MustCompile(`"stablehlo\.convolution"\([^)]*\) \{[^}]*\} : \([^)]*\)`)
