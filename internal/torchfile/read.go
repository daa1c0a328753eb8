package torchfile

import (
	"archive/zip"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"os"
	"strings"

	"nb201/internal/infile"
	"nb201/internal/pickle"
	"nb201/internal/usage"
)

// maxPickle bounds the pickle that Value decodes, which then takes some ten times its
// size in memory. Published checkpoints of one architecture have less than 1 MB.
const maxPickle = 256 << 20

// maxOutline bounds the pickle that Outline decodes: a program's checkpoint of a network
// has less than 1 MB, and whatever else it holds is of no use.
const maxOutline = 16 << 20

// File is an open checkpoint of torch.save: a zip archive, or the legacy format that
// was the default before torch 1.6. Its methods are safe for concurrent use. What is
// wrong with it is a usage error that names the file.
type File struct {
	path string // "" in memory
	src  io.ReaderAt
	size int64
	file *os.File // nil in memory

	records map[string]*zip.File // by name below the top folder; nil: legacy format
	legacy  int64                // where the pickle of the legacy format begins
}

// Open opens the checkpoint at path.
func Open(path string) (*File, error) {
	file, err := infile.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot read checkpoint: %w", err)
	}
	f := &File{path: path, src: file, file: file}
	info, err := file.Stat()
	if err == nil {
		f.size = info.Size()
		err = f.open()
	}
	if err != nil {
		return nil, errors.Join(f.wrong(err), file.Close())
	}
	return f, nil
}

// NewFile opens the checkpoint that is the first size bytes of r.
func NewFile(r io.ReaderAt, size int64) (*File, error) {
	f := &File{src: r, size: size}
	if err := f.open(); err != nil {
		return nil, f.wrong(err)
	}
	return f, nil
}

// Close closes the file; what was read of it stays, tensors that were not are lost.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

func (f *File) wrong(err error) error {
	if f.path == "" {
		return usage.Errorf("checkpoint cannot be read: %w", err)
	}
	return usage.Errorf("%s is no checkpoint that can be read: %w", f.path, err)
}

func (f *File) open() error {
	head := make([]byte, 2)
	if n, err := f.src.ReadAt(head, 0); n < len(head) && err != io.EOF {
		return err
	}
	if string(head) == "PK" {
		return f.openZip()
	}
	return f.openLegacy()
}

func (f *File) openZip() error {
	z, err := zip.NewReader(f.src, f.size)
	if err != nil {
		return fmt.Errorf("no whole torch checkpoint (a zip archive): %w", err)
	}
	f.records = map[string]*zip.File{}
	stored := uint64(0)
	for _, r := range z.File {
		// A name begins with a folder that torch calls after the file.
		_, name, ok := strings.Cut(r.Name, "/")
		if !ok {
			continue
		}
		if f.records[name] != nil {
			return fmt.Errorf("it has two records %.80q", name)
		}
		f.records[name] = r
		if r.Method == zip.Store {
			// Records that share their bytes could claim any memory.
			if r.UncompressedSize64 > uint64(f.size)-stored {
				return errors.New("its records are longer than it is")
			}
			stored += r.UncompressedSize64
		}
	}
	if f.records["byteorder"] != nil {
		order, err := f.read("byteorder", 10)
		if err != nil {
			return err
		}
		if string(order) != "little" {
			return fmt.Errorf("its byte order is %q, not little", order)
		}
	}
	return nil
}

// magic is the number with which the legacy format begins (MAGIC_NUMBER of
// torch/serialization.py).
var magic, _ = new(big.Int).SetString("1950a86a20f9469cfc6c", 16)

// openLegacy reads what comes first in the legacy format (_legacy_save of
// torch/serialization.py): three small pickles.
func (f *File) openLegacy() error {
	number, next, err := f.decode(pickle.Reader{}, 0, maxPickle)
	if n, ok := number.(*big.Int); err != nil || !ok || n.Cmp(magic) != 0 {
		return errors.New("no whole torch checkpoint: neither a zip archive nor torch's legacy format")
	}
	version, next, err := f.decode(pickle.Reader{}, next, maxPickle)
	if err != nil {
		return err
	}
	if version != int64(1001) {
		return errors.New("its legacy format is not of version 1001")
	}
	info, next, err := f.decode(pickle.Reader{}, next, maxPickle)
	if err != nil {
		return err
	}
	d, ok := info.(*pickle.Dict)
	if !ok {
		return errors.New("its legacy format does not tell the byte order")
	}
	if little, _ := d.Get("little_endian"); little != true {
		return errors.New("its byte order is not little")
	}
	f.legacy = next
	return nil
}

// decode decodes the pickle of at most limit bytes at offset, and tells where it ends.
func (f *File) decode(reader pickle.Reader, offset, limit int64) (any, int64, error) {
	section := io.NewSectionReader(f.src, offset, f.size-offset)
	src := io.Reader(section)
	if section.Size() > limit {
		src = io.MultiReader(io.LimitReader(section, limit), tooLong{limit})
	}
	v, n, err := reader.DecodeFrom(src)
	return v, offset + n, err
}

type tooLong struct{ limit int64 }

func (t tooLong) Read([]byte) (int, error) {
	return 0, fmt.Errorf("it has more than the %d bytes that are read at once", t.limit)
}

// Pickle is where the pickle of f's value lies: as it is, or compressed by deflate. In
// the legacy format other things follow it.
func (f *File) Pickle() (section *io.SectionReader, deflated bool, err error) {
	if f.records == nil {
		return io.NewSectionReader(f.src, f.legacy, f.size-f.legacy), false, nil
	}
	r := f.records["data.pkl"]
	if r == nil {
		return nil, false, f.wrong(errors.New("record data.pkl is missing"))
	}
	offset, err := r.DataOffset()
	if err != nil {
		return nil, false, f.wrong(err)
	}
	return io.NewSectionReader(f.src, offset, int64(r.CompressedSize64)), r.Method != zip.Store, nil
}

// Check reads every record and compares its CRC, which torch does not. The legacy
// format has none.
func (f *File) Check() error {
	for name := range f.records {
		if err := f.copyTo(io.Discard, name, math.MaxInt64); err != nil {
			return f.wrong(err)
		}
	}
	return nil
}

// copyTo copies the content of a record of at most limit bytes, and checks its CRC.
func (f *File) copyTo(w io.Writer, name string, limit int64) error {
	record := f.records[name]
	if record == nil {
		return fmt.Errorf("record %s is missing", name)
	}
	if record.UncompressedSize64 > uint64(limit) {
		return fmt.Errorf("record %s has %d bytes, more than the %d expected", name, record.UncompressedSize64, limit)
	}
	r, err := record.Open()
	if err != nil {
		return fmt.Errorf("record %s: %w", name, err)
	}
	defer r.Close()
	if _, err := io.Copy(w, r); err != nil {
		return fmt.Errorf("record %s is damaged: %w", name, err)
	}
	return nil
}

func (f *File) read(name string, limit int64) ([]byte, error) {
	var b bytes.Buffer
	if r := f.records[name]; r != nil && r.Method == zip.Store && r.UncompressedSize64 <= uint64(limit) {
		b.Grow(int(r.UncompressedSize64)) // f is as long
	}
	err := f.copyTo(&b, name, limit)
	return b.Bytes(), err
}

// Value decodes the value that was saved: what package pickle reads, with a *Ref for
// every tensor.
func (f *File) Value() (any, error) { return f.value(Class, maxPickle) }

// Outline is Value with a *pickle.Opaque for whatever else there is: options, schedulers
// and whole modules, such as checkpoints have beside their weights.
func (f *File) Outline() (any, error) { return f.value(anyClass, maxOutline) }

func (f *File) value(class classes, limit int64) (any, error) {
	var v any
	var err error
	if f.records != nil {
		v, err = f.zipValue(class, limit)
	} else {
		v, err = f.legacyValue(class, limit)
	}
	if err != nil {
		return nil, f.wrong(err)
	}
	return v, nil
}

func (f *File) zipValue(class classes, limit int64) (any, error) {
	data, err := f.read("data.pkl", limit)
	if err != nil {
		return nil, err
	}
	storages := storages{}
	v, err := pickle.Reader{Class: class, Persistent: storages.persistent}.Decode(data)
	if err != nil {
		return nil, fmt.Errorf("data.pkl: %w", err)
	}
	for key, s := range storages {
		name := "data/" + key
		want := int64(s.elements * dtypes[s.dtype].width)
		if r := f.records[name]; r != nil && (r.Method != zip.Store || r.UncompressedSize64 != uint64(want)) {
			return nil, fmt.Errorf("record %.80s holds %d bytes (method %d) where %d elements of %s are due",
				name, r.UncompressedSize64, r.Method, s.elements, s.dtype)
		}
		s.read = func() ([]byte, error) {
			b, err := f.read(name, want)
			if err != nil {
				return nil, f.wrong(err)
			}
			return b, nil
		}
	}
	return v, nil
}

// legacyValue also finds the elements, which follow the pickle: a list of the storages'
// keys, and for each of them the number of elements and the elements.
func (f *File) legacyValue(class classes, limit int64) (any, error) {
	storages := storages{}
	v, next, err := f.decode(pickle.Reader{Class: class, Persistent: storages.persistent}, f.legacy, limit)
	if err != nil {
		return nil, err
	}
	keys, next, err := f.decode(pickle.Reader{}, next, limit)
	if err != nil {
		return nil, err
	}
	list, ok := keys.(*pickle.List)
	if !ok {
		return nil, errors.New("it has no list of its storages")
	}
	for _, key := range *list {
		name, _ := key.(string)
		s := storages[name]
		if s == nil || s.read != nil {
			return nil, fmt.Errorf("its storage %.80q is not used, or not the only one", name)
		}
		var count [8]byte
		if _, err := f.src.ReadAt(count[:], next); err != nil {
			return nil, fmt.Errorf("it ends before storage %s", name)
		}
		size := int64(s.elements * dtypes[s.dtype].width)
		if n := binary.LittleEndian.Uint64(count[:]); n != uint64(s.elements) {
			return nil, fmt.Errorf("storage %s holds %d elements where %d are due", name, n, s.elements)
		}
		start := next + int64(len(count))
		if next = start + size; size > f.size-start {
			return nil, fmt.Errorf("it ends within storage %s", name)
		}
		s.read = func() ([]byte, error) {
			b := make([]byte, size)
			if _, err := io.ReadFull(io.NewSectionReader(f.src, start, size), b); err != nil {
				return nil, f.wrong(err)
			}
			return b, nil
		}
	}
	for key, s := range storages {
		if s.read == nil {
			return nil, fmt.Errorf("storage %.80q is missing", key)
		}
	}
	return v, nil
}

// storages are those that a pickle refers to, by their keys.
type storages map[string]*storage

// storage is a one-dimensional array of elements that are not read yet.
type storage struct {
	dtype    DType
	elements int
	read     func() ([]byte, error)
}

// persistent finds what the persistent id ("storage", class, key, location, elements)
// stands for; the legacy format adds a None, and refers to the classes of modules too.
func (s storages) persistent(id any) (any, error) {
	t, ok := id.(pickle.Tuple)
	if ok && len(t) == 4 && t[0] == "module" {
		if class, ok := t[1].(*pickle.Opaque); ok {
			return class, nil
		}
	}
	if !ok || len(t) != 5 && (len(t) != 6 || t[5] != nil) {
		return nil, errors.New("it refers to something else than a storage")
	}
	if unknown, ok := t[1].(*pickle.Opaque); ok {
		return unknown, nil
	}
	d, ok1 := t[1].(storageClass)
	key, ok2 := t[2].(string)
	n, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 || n < 0 || n > math.MaxInt/16 {
		return nil, errors.New("it refers to a storage in a malformed way")
	}
	known := s[key]
	if known == nil {
		known = &storage{dtype: DType(d), elements: int(n)}
		s[key] = known
	}
	if known.dtype != DType(d) || known.elements != int(n) {
		return nil, fmt.Errorf("storage %.80q is used as two types or lengths", key)
	}
	return known, nil
}

func (s *storage) load() (*Tensor, error) {
	b, err := s.read()
	if err != nil {
		return nil, err
	}
	return FromBytes(s.dtype, []int{s.elements}, b)
}

// Embedded is a checkpoint inside a pickle: what torch.storage._load_from_bytes gets.
// As such a plain pickle holds the storages of its tensors.
type Embedded struct{ data []byte }

// Open opens the checkpoint, in memory.
func (e *Embedded) Open() (*File, error) {
	return NewFile(bytes.NewReader(e.data), int64(len(e.data)))
}

// load reads a checkpoint that is one storage. A pickle writes one for each tensor.
func (e *Embedded) load() (*Tensor, error) {
	f, err := e.Open()
	if err != nil {
		return nil, err
	}
	v, err := f.Value()
	if err != nil {
		return nil, err
	}
	s, ok := v.(*storage)
	if !ok {
		return nil, usage.Errorf("a checkpoint inside a pickle holds something else than a storage")
	}
	return s.load()
}

// Ref is a tensor that has not been read: a view of a storage.
type Ref struct {
	Shape []int

	storage interface{ load() (*Tensor, error) }
	offset  int   // of its first element
	stride  []int // in elements
}

type (
	storageClass DType                                  // a storage class of torch
	function     func(args pickle.Tuple) (any, error)   // a function of torch
	classes      func(module, name string) (any, error) // see pickle.Reader.Class
)

func (f function) Call(args pickle.Tuple) (any, error) { return f(args) }

// Class resolves what pickles with tensors in them name, be it in a checkpoint or in a
// plain pickle, besides what pickle.Plain does. It is safe for any pickle. A tensor
// becomes a *Ref, a checkpoint in a plain pickle an *Embedded.
func Class(module, name string) (any, error) {
	switch module + "." + name {
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
		return function(rebuildTensor), nil
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state": // (tensor, requires_grad, hooks)
		return function(first), nil
	case "torch._tensor._rebuild_from_type_v2": // a tensor with attributes
		return function(rebuildFromType), nil
	case "torch.Size": // of a tuple
		return function(first), nil
	case "torch.storage._load_from_bytes":
		return function(loadFromBytes), nil
	}
	for d, t := range dtypes {
		if module == "torch" && name == t.storage {
			return storageClass(d), nil
		}
	}
	if strings.HasPrefix(module, "torch") {
		return nil, fmt.Errorf("%s.%s has no place among dense tensors", module, name)
	}
	return pickle.Plain(module, name)
}

// anyClass is Class with a *pickle.Opaque for what that does not resolve.
func anyClass(module, name string) (any, error) {
	if c, err := Class(module, name); err == nil {
		return c, nil
	}
	return &pickle.Opaque{Name: module + "." + name}, nil
}

func first(args pickle.Tuple) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("a parameter or a shape of nothing")
	}
	return args[0], nil
}

func loadFromBytes(args pickle.Tuple) (any, error) {
	if len(args) == 1 {
		if b, ok := args[0].([]byte); ok {
			return &Embedded{b}, nil
		}
	}
	return nil, errors.New("a storage without its bytes")
}

// rebuildFromType is (function, type, arguments, attributes).
func rebuildFromType(args pickle.Tuple) (any, error) {
	if len(args) == 4 {
		rebuild, ok1 := args[0].(function)
		arguments, ok2 := args[2].(pickle.Tuple)
		if ok1 && ok2 {
			return rebuild(arguments)
		}
	}
	return nil, errors.New("a tensor with attributes is malformed")
}

// rebuildTensor makes a tensor of (storage, offset, size, stride, requires_grad, hooks,
// metadata), the last of which says what is still to be done with the elements.
func rebuildTensor(args pickle.Tuple) (any, error) {
	if len(args) < 4 {
		return nil, errors.New("a tensor without its shape")
	}
	offset, ok1 := args[1].(int64)
	shape, ok2 := ints(args[2])
	stride, ok3 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || len(shape) != len(stride) {
		return nil, errors.New("a tensor with a malformed shape")
	}
	if len(args) > 6 {
		if metadata, ok := args[6].(*pickle.Dict); !ok || len(*metadata) > 0 {
			return nil, errors.New("a tensor is negated or conjugated only when it is read: save its clone()")
		}
	}
	const maxAxes = 64 // of torch
	if len(shape) > maxAxes {
		return nil, fmt.Errorf("a tensor with %d axes", len(shape))
	}
	n := 1
	for i := range shape {
		if shape[i] < 0 || n > math.MaxInt/16/max(shape[i], 1) {
			return nil, fmt.Errorf("a tensor of an impossible shape, which has %d where %d elements are", shape[i], n)
		}
		n *= shape[i]
	}
	t := &Ref{Shape: shape, offset: int(offset), stride: stride}
	switch s := args[0].(type) {
	case *storage:
		t.storage = s
		if err := t.within(s.elements); err != nil {
			return nil, err
		}
	case *pickle.Opaque:
		return s, nil
	case *Embedded:
		t.storage = s
	default:
		return nil, errors.New("a tensor without a storage")
	}
	return t, nil
}

func ints(v any) ([]int, bool) {
	t, ok := v.(pickle.Tuple)
	if !ok {
		return nil, false
	}
	s := make([]int, len(t))
	for i := range s {
		n, ok := t[i].(int64)
		if !ok {
			return nil, false
		}
		s[i] = int(n)
	}
	return s, true
}
