package programs

import (
	"bytes"
	"regexp"
)

// inFull asks for full precision in the float32 convolutions of a program, StableHLO as
// go-xla writes it. go-xla leaves them at the default, with which a GPU may round what it
// multiplies to TF32's 10 bits, and has no option for it.
func inFull(program []byte) []byte {
	return convolution.ReplaceAllFunc(program, func(operation []byte) []byte {
		if !bytes.Contains(operation, []byte("xf32>")) {
			return operation
		}
		return bytes.ReplaceAll(operation, []byte("<precision DEFAULT>"), []byte("<precision HIGHEST>"))
	})
}

// convolution is a convolution with its attributes and the types of its operands.
var convolution = regexp.MustCompile(`"stablehlo\.convolution"\([^)]*\) \{[^}]*\} : \([^)]*\)`)
