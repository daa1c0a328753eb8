package kernels

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"nb201/internal/stablehlo"
)

// Call is a call of a kernel that computes what XLA would need several operations for. gomlx has no
// operation for it, so a program calls a function in its place, whose name is [Call.Symbol] and whose
// body does not matter: [Replace] replaces the calls, and [RemoveFunctions] removes the function.
type Call struct {
	Kernel    string    // such as "nb201.mix"
	Attribute any       // of the kernel: a float32, an int64 or nil
	In, Out   [][]int64 // the shapes of the arguments and results, float32 arrays
}

// Fits reports whether the kernel accepts the call.
func (c Call) Fits() bool { return accepts(c.Kernel, c.Attribute, c.In, c.Out) }

// prefix begins the names of functions that stand for kernels.
const prefix = "nb201__"

// Symbol returns the name of the function, which is the same only for equal calls:
// nb201__KERNEL__ATTRIBUTE__SHAPES.
func (c Call) Symbol() string {
	attribute := ""
	switch n := c.Attribute.(type) {
	case float32:
		attribute = fmt.Sprintf("f%08x", math.Float32bits(n))
	case int64:
		attribute = fmt.Sprintf("i%016x", uint64(n))
	}
	var shapes []string
	for _, shape := range append(c.In[:len(c.In):len(c.In)], c.Out...) {
		shapes = append(shapes, strings.Trim(strings.ReplaceAll(fmt.Sprint(shape), " ", "x"), "[]"))
	}
	return prefix + strings.TrimPrefix(c.Kernel, "nb201.") + "__" + attribute + "__" + strings.Join(shapes, "_")
}

// findCall returns the name of the kernel that an operation, a call, asks for, and the text of its
// attribute. ok is false if it asks for none, or for one that does not accept its arguments. A float32 must be
// positive and finite, as the epsilon of a normalisation is.
func findCall(o *stablehlo.Operation) (name, config string, ok bool) {
	symbol, ok := strings.CutPrefix(o.Attributes["callee"], "@"+prefix)
	parts := strings.SplitN(symbol, "__", 3)
	if !ok || len(parts) != 3 || len(o.Attributes) != 1 {
		return "", "", false
	}
	c := Call{Kernel: "nb201." + parts[0], In: o.In, Out: o.Out}
	if attribute := parts[1]; attribute != "" {
		n, err := strconv.ParseUint(attribute[1:], 16, 64)
		if err != nil {
			return "", "", false
		}
		switch attribute[0] {
		case 'f':
			value := math.Float32frombits(uint32(n))
			if !(value > 0) || math.IsInf(float64(value), 0) {
				return "", "", false
			}
			c.Attribute, config = value, fmt.Sprintf("value = %.9e : f32", value)
		case 'i':
			c.Attribute, config = int64(n), fmt.Sprintf("value = %d : i64", int64(n))
		default:
			return "", "", false
		}
	}
	return c.Kernel, config, c.Fits() && c.Symbol() == prefix+symbol
}
