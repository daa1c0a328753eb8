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

// ReadStateDict reads a checkpoint that contains only a state dict, as
// torch.save(net.state_dict(), path) and [Write] make it. Unlike torch.load, it checks the
// CRC of every record that it reads. Errors are usage errors that name the file.
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

// StateDict reads the tensors of v, a state dict in the value of f.
func (f *File) StateDict(v any) (StateDict, error) {
	s, err := LoadStateDict(v)
	if err != nil && !usage.Is(err) {
		return nil, f.readError(err)
	}
	return s, err
}

// maxCopied bounds the elements that LoadStateDict copies from views that are not
// contiguous, since such views can be larger than their storage. The networks of the search
// space have a tenth of that.
const maxCopied = 1 << 24

// LoadStateDict reads the tensors of a state dict that was decoded with [Class]: a dict of
// *Ref, or an *Embedded with one.
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
		return nil, errors.New("it contains no dictionary of tensors")
	}
	stored, err := storedTensors(items)
	if err != nil {
		return nil, err
	}
	copied := 0
	s := make(StateDict, len(stored))
	for i, t := range stored {
		if ref := items[i].Value.(*Ref); !ref.contiguous() {
			n := (&Tensor{Shape: t.Shape}).Elements()
			if n > maxCopied-copied {
				return nil, fmt.Errorf("its views up to %.80q have more than %d elements, the limit; save contiguous tensors", t.Name, maxCopied)
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

// Stored is a tensor in an open file. Choose what to load by name and shape, as a view can
// be far larger than the file. The tensors of a file share what they have read, so only one
// goroutine may use them.
type Stored struct {
	Name  string
	Shape []int
	Load  func() (*Tensor, error)
}

// Stored returns the tensors of s as if they were in a file.
func (s StateDict) Stored() []Stored {
	stored := make([]Stored, len(s))
	for i, t := range s {
		stored[i] = Stored{t.Name, t.Shape, func() (*Tensor, error) { return t.Tensor, nil }}
	}
	return stored
}

// Weights finds the state dict in a checkpoint: the value itself, or the dict under one of
// the usual keys (state_dict, model_state_dict, model, net), whatever else the checkpoint
// contains. The tensors have the names and order of the file, and can be loaded while f is
// open.
func (f *File) Weights() ([]Stored, error) {
	v, err := f.Outline()
	if err != nil {
		return nil, err
	}
	stored, err := Weights(v)
	if err != nil {
		return nil, f.readError(err)
	}
	for i, t := range stored {
		stored[i].Load = func() (*Tensor, error) {
			tensor, err := t.Load()
			if err != nil && !usage.Is(err) {
				err = f.readError(err)
			}
			return tensor, err
		}
	}
	return stored, nil
}

// wrappers lists the keys under which checkpoints have a state dict.
var wrappers = []string{"state_dict", "model_state_dict", "model", "net"}

// Weights finds the state dict in a value returned by [File.Outline].
func Weights(v any) ([]Stored, error) {
	const depth = 4
	items, err := findStateDict(v, depth)
	if err != nil {
		return nil, err
	}
	return storedTensors(items)
}

// findStateDict finds a dictionary of tensors, at most depth dictionaries deep.
func findStateDict(v any, depth int) (pickle.Dict, error) {
	if whole, ok := v.(*pickle.Opaque); ok {
		return nil, fmt.Errorf("it contains a whole Python object (%s), which only its own program can read; "+
			"save the weights with that program, by torch.save(net.state_dict(), FILE)", whole.Name)
	}
	items, ok := dictionary(v)
	if !ok || depth == 0 {
		return nil, errors.New("it contains no dictionary of tensors")
	}
	if len(items) == 0 {
		return nil, errors.New("it contains no tensors")
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
			_, whole = findStateDict(inner, depth-1)
		case *pickle.Dict, *pickle.OrderedDict:
			if d, err := findStateDict(inner, depth-1); err == nil && !seen[inner] {
				seen[inner] = true
				found, under = d, append(under, key)
			}
		}
	}
	switch {
	case len(under) > 1:
		return nil, fmt.Errorf("it contains several state dicts, under %s; save only one of them", strings.Join(under, " and "))
	case len(under) == 1:
		return found, nil
	case whole != nil:
		return nil, whole
	}
	for _, item := range items {
		if o, ok := item.Value.(*pickle.Opaque); ok && strings.HasPrefix(o.Name, "torch._utils._rebuild") {
			return nil, fmt.Errorf("%s is not a dense tensor of a supported type (%s)", keyName(item.Key), strings.TrimPrefix(o.Name, "torch._utils."))
		}
	}
	return nil, fmt.Errorf("it is not a state dict, and has none under %s; its keys are %s", strings.Join(wrappers, ", "), firstKeys(items))
}

// firstKeys lists the first keys of a dictionary.
func firstKeys(items pickle.Dict) string {
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

// keyName returns a key as text, unless it is an object, whose text may have any length.
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

// storedTensors returns the tensors of a state dict.
func storedTensors(items pickle.Dict) ([]Stored, error) {
	if len(items) == 0 {
		return nil, errors.New("it contains no tensors")
	}
	stored := make([]Stored, len(items))
	seen := map[string]bool{}
	read := map[any]*Tensor{} // by storage
	for i, item := range items {
		name, ok := item.Key.(string)
		if !ok || seen[name] {
			return nil, fmt.Errorf("key %d of its dictionary is not a string, or a duplicate", i)
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
					return nil, nameTensor(name, err)
				}
				read[ref.storage] = storage
			}
			t, err := ref.viewOf(storage)
			if err != nil {
				return nil, nameTensor(name, err)
			}
			return t, nil
		}}
	}
	return stored, nil
}

// nameTensor adds the name of the tensor to an error, unless the error names the file.
func nameTensor(name string, err error) error {
	if usage.Is(err) {
		return err
	}
	return fmt.Errorf("%.80q: %w", name, err)
}

// checkBounds returns an error unless the view is within a storage of that many elements.
func (r *Ref) checkBounds(elements int) error {
	n, last := 1, r.offset
	for i, size := range r.Shape {
		n *= size
		stride := r.stride[i]
		if stride < 0 {
			return fmt.Errorf("a tensor with the negative stride %d", stride)
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
		return fmt.Errorf("a tensor of %d elements with strides %v at offset %d is beyond its storage of %d elements", n, r.stride, r.offset, elements)
	}
	return nil
}

// contiguous reports whether the elements are adjacent and in C order.
func (r *Ref) contiguous() bool {
	for i, want := range (&Tensor{Shape: r.Shape}).strides() {
		if r.Shape[i] > 1 && r.stride[i] != want {
			return false
		}
	}
	return true
}

// viewOf returns the tensor, a view of the storage s. It shares the storage's memory if the
// view is contiguous.
func (r *Ref) viewOf(s *Tensor) (*Tensor, error) {
	if err := r.checkBounds(s.Elements()); err != nil {
		return nil, err
	}
	return &Tensor{
		Shape: r.Shape, Float32: view(r, s.Float32), Float64: view(r, s.Float64), Int64: view(r, s.Int64),
		Float16: view(r, s.Float16), BFloat16: view(r, s.BFloat16),
	}, nil
}

// view returns the elements of a tensor from those of its storage; nil if those are nil.
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
