package torchfile

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"nb201/internal/pickle"
	"nb201/internal/usage"
)

// ReadStateDict reads a checkpoint that holds a state dict and nothing else, as
// torch.save(net.state_dict(), path) and Write make it. Unlike torch.load it checks
// the CRC of every record that it reads. Errors are usage errors that name the file.
func ReadStateDict(path string) (StateDict, error) {
	f, err := Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := f.Value()
	if err != nil {
		return nil, err
	}
	return f.StateDict(v)
}

// StateDict reads the tensors of a state dict among the values of f.
func (f *File) StateDict(v any) (StateDict, error) {
	s, err := LoadStateDict(v)
	if err != nil && !usage.Is(err) {
		return nil, f.wrong(err)
	}
	return s, err
}

// maxCopied bounds the elements that LoadStateDict copies out of views that are not
// contiguous: such views can be larger than the storage that they are of. The networks
// of the search space have a tenth as many.
const maxCopied = 1 << 24

// LoadStateDict reads the tensors of a state dict that Class made: a dictionary of
// *Ref, or an *Embedded of one.
func LoadStateDict(v any) (StateDict, error) {
	if e, ok := v.(*Embedded); ok {
		f, err := e.Open()
		if err != nil {
			return nil, err
		}
		if v, err = f.Value(); err != nil {
			return nil, err
		}
	}
	items, ok := dictionary(v)
	if !ok {
		return nil, errors.New("it holds no dictionary of tensors")
	}
	stored, err := tensors(items)
	if err != nil {
		return nil, err
	}
	copied := 0
	s := make(StateDict, len(stored))
	for i, t := range stored {
		if ref := items[i].Value.(*Ref); !ref.contiguous() {
			n := (&Tensor{Shape: t.Shape}).Elements()
			if n > maxCopied-copied {
				return nil, fmt.Errorf("its views have more than %d elements, up to %.80q: save contiguous tensors", maxCopied, t.Name)
			}
			copied += n
		}
		tensor, err := t.Load()
		if err != nil {
			return nil, err
		}
		s[i] = NamedTensor{t.Name, tensor}
	}
	return s, nil
}

// Stored is a tensor in an open file. What is to be loaded should be chosen by its name
// and shape: a view can be of any size, whatever that of the file. The tensors of a file
// share what they have read, and so are for one goroutine.
type Stored struct {
	Name  string
	Shape []int
	Load  func() (*Tensor, error)
}

// Stored is s as if it were in a file.
func (s StateDict) Stored() []Stored {
	stored := make([]Stored, len(s))
	for i, t := range s {
		stored[i] = Stored{t.Name, t.Shape, func() (*Tensor, error) { return t.Tensor, nil }}
	}
	return stored
}

// Weights finds the state dict in a checkpoint: the value itself, or what it has under
// one of the names that programs give to it, whatever else is there. The tensors keep
// the names and the order of the file, and load as long as f is open.
func (f *File) Weights() ([]Stored, error) {
	v, err := f.Outline()
	if err != nil {
		return nil, err
	}
	stored, err := Weights(v)
	if err != nil {
		return nil, f.wrong(err)
	}
	for i, t := range stored {
		stored[i].Load = func() (*Tensor, error) {
			tensor, err := t.Load()
			if err != nil && !usage.Is(err) {
				err = f.wrong(err)
			}
			return tensor, err
		}
	}
	return stored, nil
}

// wrappers are the keys under which checkpoints have a state dict.
var wrappers = []string{"state_dict", "model_state_dict", "model", "net"}

// Weights finds the state dict in a value of Outline.
func Weights(v any) ([]Stored, error) {
	const depth = 4
	items, err := find(v, depth)
	if err != nil {
		return nil, err
	}
	return tensors(items)
}

// find finds a dictionary of tensors, at most so many dictionaries deep.
func find(v any, depth int) (pickle.Dict, error) {
	if whole, ok := v.(*pickle.Opaque); ok {
		return nil, fmt.Errorf("it holds a whole Python object, a %s, which only its program can read: save the weights there, torch.save(net.state_dict(), FILE)", whole.Name)
	}
	items, ok := dictionary(v)
	if !ok || depth == 0 {
		return nil, errors.New("it holds no dictionary of tensors")
	}
	if len(items) == 0 {
		return nil, errors.New("it holds no tensor")
	}
	if !slices.ContainsFunc(items, func(p pickle.Pair) bool { _, ok := p.Value.(*Ref); return !ok }) {
		return items, nil
	}
	var found pickle.Dict
	var under []string
	var whole error
	seen := map[any]bool{} // one object may have two names
	for _, key := range wrappers {
		inner, _ := items.Get(key)
		switch inner.(type) {
		case *pickle.Opaque:
			_, whole = find(inner, depth-1)
		case *pickle.Dict, *pickle.OrderedDict:
			if d, err := find(inner, depth-1); err == nil && !seen[inner] {
				seen[inner] = true
				found, under = d, append(under, key)
			}
		}
	}
	switch {
	case len(under) > 1:
		return nil, fmt.Errorf("it holds several state dicts, as %s: save one of them alone", strings.Join(under, " and "))
	case len(under) == 1:
		return found, nil
	case whole != nil:
		return nil, whole
	}
	for _, item := range items {
		if o, ok := item.Value.(*pickle.Opaque); ok && strings.HasPrefix(o.Name, "torch._utils._rebuild") {
			return nil, fmt.Errorf("%s is not a dense tensor of a type that is read (%s)", keyName(item.Key), strings.TrimPrefix(o.Name, "torch._utils."))
		}
	}
	return nil, fmt.Errorf("it holds no state dict, neither by itself nor as %s: its keys are %s", strings.Join(wrappers, ", "), keys(items))
}

// keys names the first keys of a dictionary.
func keys(items pickle.Dict) string {
	const most = 5
	var names []string
	for _, item := range items[:min(len(items), most)] {
		names = append(names, keyName(item.Key))
	}
	if len(items) > most {
		names = append(names, "...")
	}
	return strings.Join(names, ", ")
}

// keyName names a key, unless it is an object, which may be of any size when written out.
func keyName(key any) string {
	switch key.(type) {
	case string, int64:
		return fmt.Sprintf("%.80q", fmt.Sprint(key))
	}
	return "an object"
}

func dictionary(v any) (pickle.Dict, bool) {
	switch v := v.(type) {
	case *pickle.OrderedDict:
		return v.Items, true
	case *pickle.Dict:
		return *v, true
	}
	return nil, false
}

// tensors are those of a state dict.
func tensors(items pickle.Dict) ([]Stored, error) {
	if len(items) == 0 {
		return nil, errors.New("it holds no tensor")
	}
	stored := make([]Stored, len(items))
	seen := map[string]bool{}
	read := map[any]*Tensor{} // by storage
	for i, item := range items {
		name, ok := item.Key.(string)
		if !ok || seen[name] {
			return nil, fmt.Errorf("key %d of its dictionary is not a name, or not the only one", i)
		}
		seen[name] = true
		ref, ok := item.Value.(*Ref)
		if !ok {
			return nil, fmt.Errorf("%.80q is not a tensor", name)
		}
		stored[i] = Stored{name, ref.Shape, func() (*Tensor, error) {
			storage, err := read[ref.storage], error(nil)
			if storage == nil {
				if storage, err = ref.storage.load(); err != nil {
					return nil, named(name, err)
				}
				read[ref.storage] = storage
			}
			t, err := ref.of(storage)
			if err != nil {
				return nil, named(name, err)
			}
			return t, nil
		}}
	}
	return stored, nil
}

// named says which tensor an error is of, unless it names the file.
func named(name string, err error) error {
	if usage.Is(err) {
		return err
	}
	return fmt.Errorf("%.80q: %w", name, err)
}

// within makes sure that a view lies in a storage of so many elements.
func (r *Ref) within(elements int) error {
	n, last := 1, r.offset
	for i, size := range r.Shape {
		n *= size
		stride := r.stride[i]
		if stride < 0 {
			return fmt.Errorf("a tensor with the stride %d", stride)
		}
		if size > 1 && last >= 0 {
			if stride > (math.MaxInt-last)/(size-1) {
				last = math.MaxInt
			} else {
				last += (size - 1) * stride
			}
		}
	}
	if r.offset < 0 || n == 0 && r.offset > elements || n > 0 && last >= elements {
		return fmt.Errorf("a tensor of %d elements at %d in a storage of %d elements, with the strides %v", n, r.offset, elements, r.stride)
	}
	return nil
}

// contiguous reports whether the elements lie one after the other, in C order.
func (r *Ref) contiguous() bool {
	for i, want := range (&Tensor{Shape: r.Shape}).strides() {
		if r.Shape[i] > 1 && r.stride[i] != want {
			return false
		}
	}
	return true
}

// of is the tensor that is a view of a storage, with whose elements it shares its own
// where they are contiguous.
func (r *Ref) of(s *Tensor) (*Tensor, error) {
	if err := r.within(s.Elements()); err != nil {
		return nil, err
	}
	return &Tensor{
		Shape: r.Shape, Float32: view(r, s.Float32), Float64: view(r, s.Float64), Int64: view(r, s.Int64),
		Float16: view(r, s.Float16), BFloat16: view(r, s.BFloat16),
	}, nil
}

// view is what of a storage's elements a tensor has; nil of none.
func view[T any](r *Ref, elements []T) []T {
	if elements == nil {
		return nil
	}
	n := (&Tensor{Shape: r.Shape}).Elements()
	if n == 0 {
		return elements[:0] // one axis may be of any length
	}
	if r.contiguous() {
		return elements[r.offset : r.offset+n]
	}
	copied := make([]T, 0, n)
	var walk func(axis, at int)
	walk = func(axis, at int) {
		if axis == len(r.Shape) {
			copied = append(copied, elements[at])
			return
		}
		for i := range r.Shape[axis] {
			walk(axis+1, at+i*r.stride[axis])
		}
	}
	walk(0, r.offset)
	return copied
}
