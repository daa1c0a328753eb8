package train

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/internal/torchfile"
)

// stripWrappers removes the prefixes that DataParallel ("module.") and torch.compile
// ("_orig_mod.") add to the names of all tensors of a module that they wrap.
func stripWrappers(stored []torchfile.Stored) []torchfile.Stored {
	stored = slices.Clone(stored)
	for len(stored) > 0 {
		prefix := "module."
		if strings.HasPrefix(stored[0].Name, "_orig_mod.") {
			prefix = "_orig_mod."
		}
		if slices.ContainsFunc(stored, func(s torchfile.Stored) bool { return !strings.HasPrefix(s.Name, prefix) }) {
			break
		}
		for i := range stored {
			stored[i].Name = strings.TrimPrefix(stored[i].Name, prefix)
		}
	}
	return stored
}

// fitWeights matches the tensors of a file with a network's, by name, and loads them. Other
// floating-point types are converted to float32; converted lists them ("" if there were
// none). A batch count may be stored as a float. If the file has no batch counts at all they
// are 0, as torch's load_state_dict sets them.
func fitWeights(network cell.Network, stored []torchfile.Stored) (weights torchfile.StateDict, converted string, err error) {
	byName := map[string]torchfile.Stored{}
	for _, s := range stored {
		byName[s.Name] = s
	}
	tensors := network.Tensors()
	counted := slices.ContainsFunc(tensors, func(t cell.Tensor) bool {
		_, ok := byName[t.Name]
		return ok && t.Role == cell.BNCount
	})
	if !counted {
		for _, t := range tensors {
			if t.Role == cell.BNCount {
				zero := func() (*torchfile.Tensor, error) {
					return &torchfile.Tensor{Shape: t.Shape, Int64: make([]int64, 1)}, nil
				}
				byName[t.Name] = torchfile.Stored{Name: t.Name, Shape: t.Shape, Load: zero}
			}
		}
	}
	if err := checkTensors(tensors, byName, stored); err != nil {
		return nil, "", err
	}
	types := map[torchfile.DType]bool{}
	for _, want := range tensors {
		t, err := byName[want.Name].Load()
		if err != nil {
			return nil, "", err
		}
		stored := t.DType()
		if want.Role == cell.BNCount {
			t, err = toBatchCount(t)
		} else if stored != torchfile.Float32 {
			types[stored] = true
			t, err = toFloat32(t)
		}
		if err != nil {
			return nil, "", fmt.Errorf("%s %w", want.Name, err)
		}
		weights = append(weights, torchfile.NamedTensor{Name: want.Name, Tensor: t})
	}
	var names []string
	for _, d := range []torchfile.DType{torchfile.Float16, torchfile.BFloat16, torchfile.Float64} {
		if types[d] {
			names = append(names, d.String())
		}
	}
	return weights, strings.Join(names, ", "), nil
}

// checkTensors returns an error that lists how the names and shapes of a file's tensors differ
// from the network's, or nil.
func checkTensors(tensors []cell.Tensor, byName map[string]torchfile.Stored, stored []torchfile.Stored) error {
	var lacking, reshaped, foreign []string
	known := map[string]bool{}
	for _, want := range tensors {
		known[want.Name] = true
		s, ok := byName[want.Name]
		if !ok {
			lacking = append(lacking, want.Name)
		} else if !slices.Equal(s.Shape, want.Shape) {
			reshaped = append(reshaped, fmt.Sprintf("%s%v instead of %v", want.Name, s.Shape, want.Shape))
		}
	}
	for _, s := range stored {
		if !known[s.Name] {
			foreign = append(foreign, fmt.Sprintf("%.60q", s.Name))
		}
	}
	var faults []string
	for _, f := range []struct {
		what  string
		names []string
	}{
		{fmt.Sprintf("lacks %%d of the network's %d tensors", len(tensors)), lacking},
		{"has %d that the network does not have", foreign},
		{"has %d of another shape", reshaped},
	} {
		if len(f.names) > 0 {
			faults = append(faults, fmt.Sprintf(f.what, len(f.names))+" ("+firstFew(f.names)+")")
		}
	}
	if len(faults) == 0 {
		return nil
	}
	return fmt.Errorf("it %s", strings.Join(faults, ", and "))
}

func firstFew(names []string) string {
	const few = 3
	if len(names) > few {
		return strings.Join(names[:few], "; ") + "; ..."
	}
	return strings.Join(names, "; ")
}

// toFloat32 converts a tensor to float32. It refuses integers and values beyond float32.
func toFloat32(t *torchfile.Tensor) (*torchfile.Tensor, error) {
	if t.DType() == torchfile.Int64 {
		return nil, fmt.Errorf("has the type %v, not a floating-point type", t.DType())
	}
	for i, v := range t.Float64 {
		if math.Abs(v) > math.MaxFloat32 && !math.IsInf(v, 0) {
			return nil, fmt.Errorf("has %v at element %d, which is beyond float32", v, i)
		}
	}
	return t.ToFloat32(), nil
}

// toBatchCount converts num_batches_tracked, which may be stored as a float, to int64.
func toBatchCount(t *torchfile.Tensor) (*torchfile.Tensor, error) {
	if t.Int64 != nil {
		return t, nil
	}
	v := float64(t.ToFloat32().Float32[0])
	if t.Float64 != nil {
		v = t.Float64[0]
	}
	if v != math.Trunc(v) || v < 0 || v > 1<<53 { // NaN is not equal to itself
		return nil, fmt.Errorf("is %v, not a whole number of batches", v)
	}
	return &torchfile.Tensor{Shape: t.Shape, Int64: []int64{int64(v)}}, nil
}
