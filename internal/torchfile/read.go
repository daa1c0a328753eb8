package torchfile

import (
	"archive/zip"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strings"

	"github.com/nlpodyssey/gopickle/types"

	"nb201/internal/pickle"
	"nb201/internal/usage"
)

// maxPickle bounds the data.pkl of a state dict; one of this search space has some 60 kB.
const maxPickle = 4 << 20

// ReadStateDict reads a checkpoint that holds a state dict and nothing else, as
// torch.save(net.state_dict(), path) and Write make it. Unlike torch.load it checks
// the CRC of every record that it reads. Only contiguous tensors of type float32,
// float64 and int64 are taken. Errors are usage errors that name the file.
func ReadStateDict(path string) (StateDict, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot read weights: %w", err)
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, usage.Errorf("cannot read weights: %w", err)
	}
	s, err := readStateDict(f, info.Size())
	if err != nil {
		return nil, usage.Errorf("%s is not a state dict that can be read: %w", path, err)
	}
	return s, nil
}

func readStateDict(r io.ReaderAt, size int64) (StateDict, error) {
	z, err := zip.NewReader(r, size)
	if err != nil {
		return nil, fmt.Errorf("no whole torch checkpoint (a zip archive): %w", err)
	}
	c := checkpoint{records: map[string]*zip.File{}, storages: map[string]*Tensor{}, left: size}
	for _, f := range z.File {
		// A name begins with a folder that torch calls after the file.
		if _, name, ok := strings.Cut(f.Name, "/"); ok {
			c.records[name] = f
		}
	}
	if c.records["byteorder"] != nil {
		order, err := c.read("byteorder", 10)
		if err != nil {
			return nil, err
		}
		if string(order) != "little" {
			return nil, fmt.Errorf("its byte order is %q, not little", order)
		}
	}
	data, err := c.read("data.pkl", maxPickle)
	if err != nil {
		return nil, err
	}
	v, err := pickle.Reader{Class: class, Persistent: c.storage}.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	return stateDict(v)
}

func stateDict(v any) (StateDict, error) {
	var s StateDict
	seen := map[string]bool{}
	add := func(key, value any) error {
		name, ok := key.(string)
		if !ok || seen[name] {
			return fmt.Errorf("key %v is not a name, or not the only one", key)
		}
		t, ok := value.(*Tensor)
		if !ok {
			return fmt.Errorf("%q is not a tensor", name)
		}
		seen[name] = true
		s = append(s, NamedTensor{name, t})
		return nil
	}
	switch v := v.(type) {
	case *types.OrderedDict:
		for e := v.List.Front(); e != nil; e = e.Next() {
			item := e.Value.(*types.OrderedDictEntry)
			if err := add(item.Key, item.Value); err != nil {
				return nil, err
			}
		}
	case *types.Dict:
		for _, item := range *v {
			if err := add(item.Key, item.Value); err != nil {
				return nil, err
			}
		}
	default:
		return nil, errors.New("it holds no dictionary")
	}
	if len(s) == 0 {
		return nil, errors.New("it holds no tensor")
	}
	return s, nil
}

// checkpoint is an open archive.
type checkpoint struct {
	records  map[string]*zip.File
	storages map[string]*Tensor // read already, one-dimensional
	left     int64              // bytes of the file that no storage has used
}

// read returns the content of a record of at most limit bytes.
func (c *checkpoint) read(name string, limit int64) ([]byte, error) {
	f := c.records[name]
	if f == nil {
		return nil, fmt.Errorf("record %s is missing", name)
	}
	if f.UncompressedSize64 > uint64(limit) {
		return nil, fmt.Errorf("record %s has %d bytes, more than the %d expected", name, f.UncompressedSize64, limit)
	}
	r, err := f.Open()
	if err != nil {
		return nil, fmt.Errorf("record %s: %w", name, err)
	}
	defer r.Close()
	b := make([]byte, f.UncompressedSize64)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, fmt.Errorf("record %s is damaged: %w", name, err)
	}
	// The CRC is checked at the end of the record.
	if n, err := r.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("record %s is damaged: %w", name, err)
	}
	return b, nil
}

// storageClass is a storage class of torch, and the function that rebuilds a tensor
// from one.
type (
	storageClass  DType
	rebuildTensor struct{}
)

func class(module, name string) (any, error) {
	if module == "torch._utils" && name == "_rebuild_tensor_v2" {
		return rebuildTensor{}, nil
	}
	for d, t := range dtypes {
		if module == "torch" && name == t.storage {
			return storageClass(d), nil
		}
	}
	return nil, fmt.Errorf("%s.%s has no place in a state dict of float32, float64 and int64 tensors", module, name)
}

// storage loads what the persistent id ("storage", class, key, location, elements)
// stands for.
func (c *checkpoint) storage(id any) (any, error) {
	t, ok := id.(*types.Tuple)
	if !ok || t.Len() != 5 {
		return nil, fmt.Errorf("unknown kind of persistent id %v", id)
	}
	d, ok1 := t.Get(1).(storageClass)
	key, ok2 := t.Get(2).(string)
	n, ok3 := t.Get(4).(int)
	if !ok1 || !ok2 || !ok3 || n < 0 || n > math.MaxInt/8 {
		return nil, fmt.Errorf("unknown kind of persistent id %v", *t)
	}
	s := c.storages[key]
	if s == nil {
		name := "data/" + key
		want := int64(n * dtypes[d].width)
		if f := c.records[name]; f != nil && (f.Method != zip.Store || f.UncompressedSize64 != uint64(want)) {
			return nil, fmt.Errorf("record %s holds %d bytes (method %d) where %d elements of %s are due",
				name, f.UncompressedSize64, f.Method, n, DType(d))
		}
		b, err := c.read(name, c.left)
		if err != nil {
			return nil, err
		}
		c.left -= want
		s = &Tensor{Shape: []int{n}}
		s.setBytes(DType(d), b)
		c.storages[key] = s
	}
	if s.DType() != DType(d) || s.Elements() != n {
		return nil, fmt.Errorf("record data/%s is used as two types or lengths", key)
	}
	return s, nil
}

// Call makes a tensor of (storage, offset, size, stride, requires_grad, hooks); it
// shares the storage's elements.
func (rebuildTensor) Call(args ...any) (any, error) {
	if len(args) < 4 {
		return nil, errors.New("a tensor without its shape")
	}
	s, ok1 := args[0].(*Tensor)
	offset, ok2 := args[1].(int)
	shape, ok3 := ints(args[2])
	stride, ok4 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || !ok4 || len(shape) != len(stride) {
		return nil, errors.New("a tensor with a malformed shape")
	}
	t := &Tensor{Shape: shape}
	n := 1
	for i, want := range t.strides() {
		if shape[i] < 0 || n > math.MaxInt/max(shape[i], 1) {
			return nil, fmt.Errorf("a tensor of the impossible shape %v", shape)
		}
		n *= shape[i]
		if shape[i] > 1 && stride[i] != want {
			return nil, fmt.Errorf("a tensor of shape %v and strides %v is not contiguous", shape, stride)
		}
	}
	if offset < 0 || offset > s.Elements()-n {
		return nil, fmt.Errorf("a tensor of shape %v at %d in a storage of %d elements", shape, offset, s.Elements())
	}
	switch s.DType() {
	case Float32:
		t.Float32 = s.Float32[offset : offset+n]
	case Float64:
		t.Float64 = s.Float64[offset : offset+n]
	case Int64:
		t.Int64 = s.Int64[offset : offset+n]
	}
	return t, nil
}

func ints(v any) ([]int, bool) {
	t, ok := v.(*types.Tuple)
	if !ok {
		return nil, false
	}
	s := make([]int, t.Len())
	for i := range s {
		if s[i], ok = t.Get(i).(int); !ok {
			return nil, false
		}
	}
	return s, true
}
