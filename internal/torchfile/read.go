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

// maxPickle is the largest pickle, in bytes, that Value decodes. It takes about ten times
// its size in memory. Pickles in published checkpoints of one architecture have less than
// 1 MB.
const maxPickle = 256 << 20

// maxOutline is the largest pickle, in bytes, that Outline decodes. The pickle of a network
// has less than 1 MB; whatever else a checkpoint contains is not used.
const maxOutline = 16 << 20

// File is an open checkpoint of torch.save: a zip archive, or the legacy format that was the
// default before torch 1.6. Its methods are safe for concurrent use. Errors in the file are
// usage errors that name it.
type File struct {
	path string // "" in memory
	src  io.ReaderAt
	size int64
	file *os.File // nil in memory

	records map[string]*zip.File // by name below the top directory; nil in the legacy format
	legacy  int64                // offset of the pickle in the legacy format
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
		return nil, errors.Join(f.readError(err), file.Close())
	}
	return f, nil
}

// NewFile opens the checkpoint in the first size bytes of r.
func NewFile(r io.ReaderAt, size int64) (*File, error) {
	f := &File{src: r, size: size}
	if err := f.open(); err != nil {
		return nil, f.readError(err)
	}
	return f, nil
}

// Close closes the file. Tensors that have been read remain valid.
func (f *File) Close() error {
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

func (f *File) readError(err error) error {
	if f.path == "" {
		return usage.Errorf("cannot read checkpoint: %w", err)
	}
	return usage.Errorf("%s: cannot read checkpoint: %w", f.path, err)
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
		return fmt.Errorf("not a complete torch checkpoint (a zip archive): %w", err)
	}
	f.records = map[string]*zip.File{}
	stored := uint64(0)
	for _, r := range z.File {
		// A name begins with a directory that torch names after the file.
		_, name, ok := strings.Cut(r.Name, "/")
		if !ok {
			continue
		}
		if f.records[name] != nil {
			return fmt.Errorf("it has two records named %.80q", name)
		}
		f.records[name] = r
		if r.Method == zip.Store {
			// Records that share bytes could need any amount of memory.
			if r.UncompressedSize64 > uint64(f.size)-stored {
				return errors.New("its records are longer than the file")
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
			return fmt.Errorf("its byte order is %q, not \"little\"", order)
		}
	}
	return nil
}

// magic is the number at the beginning of the legacy format (MAGIC_NUMBER in
// torch/serialization.py).
var magic, _ = new(big.Int).SetString("1950a86a20f9469cfc6c", 16)

// openLegacy reads the beginning of the legacy format, three small pickles (_legacy_save in
// torch/serialization.py).
func (f *File) openLegacy() error {
	number, next, err := f.decode(pickle.Reader{}, 0, maxPickle)
	if n, ok := number.(*big.Int); err != nil || !ok || n.Cmp(magic) != 0 {
		return errors.New("not a complete torch checkpoint: neither a zip archive nor torch's legacy format")
	}
	version, next, err := f.decode(pickle.Reader{}, next, maxPickle)
	if err != nil {
		return err
	}
	if version != int64(1001) {
		return errors.New("its legacy format does not have version 1001")
	}
	info, next, err := f.decode(pickle.Reader{}, next, maxPickle)
	if err != nil {
		return err
	}
	d, ok := info.(*pickle.Dict)
	if !ok {
		return errors.New("its legacy format does not contain the byte order")
	}
	if little, _ := d.Get("little_endian"); little != true {
		return errors.New("its byte order is not little-endian")
	}
	f.legacy = next
	return nil
}

// decode decodes the pickle of at most limit bytes at offset, and returns the offset of its
// end.
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
	return 0, fmt.Errorf("its pickle has more than %d bytes, the limit", t.limit)
}

// Pickle returns the pickle of f's value, which may be compressed by deflate. In the legacy
// format, the section continues after the pickle.
func (f *File) Pickle() (section *io.SectionReader, deflated bool, err error) {
	if f.records == nil {
		return io.NewSectionReader(f.src, f.legacy, f.size-f.legacy), false, nil
	}
	r := f.records["data.pkl"]
	if r == nil {
		return nil, false, f.readError(errors.New("record data.pkl is missing"))
	}
	offset, err := r.DataOffset()
	if err != nil {
		return nil, false, f.readError(err)
	}
	return io.NewSectionReader(f.src, offset, int64(r.CompressedSize64)), r.Method != zip.Store, nil
}

// PickleCRC returns the CRC-32 (IEEE) of the unpacked pickle; ok is false in the legacy format, which has
// none.
func (f *File) PickleCRC() (crc uint32, ok bool) {
	if r := f.records["data.pkl"]; r != nil {
		return r.CRC32, true
	}
	return 0, false
}

// Check reads every record and compares its CRC, which torch does not do. The legacy format
// has no CRCs.
func (f *File) Check() error {
	for name := range f.records {
		if err := f.copyTo(io.Discard, name, math.MaxInt64); err != nil {
			return f.readError(err)
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
		b.Grow(int(r.UncompressedSize64)) // at most the length of f
	}
	err := f.copyTo(&b, name, limit)
	return b.Bytes(), err
}

// Value decodes the value that was saved. It consists of the types that package pickle
// reads, with a [*Ref] for every tensor.
func (f *File) Value() (any, error) { return f.value(Class, maxPickle) }

// Outline is like Value, but returns a *pickle.Opaque for anything unknown, such as the
// options, schedulers and whole modules in checkpoints beside the weights.
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
		return nil, f.readError(err)
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
			return nil, fmt.Errorf("record %.80s has %d bytes (compression method %d), not %d uncompressed elements of %s",
				name, r.UncompressedSize64, r.Method, s.elements, s.dtype)
		}
		s.read = func() ([]byte, error) {
			b, err := f.read(name, want)
			if err != nil {
				return nil, f.readError(err)
			}
			return b, nil
		}
	}
	return v, nil
}

// legacyValue also locates the elements, which follow the pickle: a list of the storages'
// keys, then the number of elements and the elements of each.
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
			return nil, fmt.Errorf("its storage %.80q is unused or a duplicate", name)
		}
		var count [8]byte
		if _, err := f.src.ReadAt(count[:], next); err != nil {
			return nil, fmt.Errorf("it ends before storage %s", name)
		}
		size := int64(s.elements * dtypes[s.dtype].width)
		if n := binary.LittleEndian.Uint64(count[:]); n != uint64(s.elements) {
			return nil, fmt.Errorf("storage %s has %d elements instead of %d", name, n, s.elements)
		}
		start := next + int64(len(count))
		if next = start + size; size > f.size-start {
			return nil, fmt.Errorf("it ends within storage %s", name)
		}
		s.read = func() ([]byte, error) {
			b := make([]byte, size)
			if _, err := io.ReadFull(io.NewSectionReader(f.src, start, size), b); err != nil {
				return nil, f.readError(err)
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

// storages contains the storages to which a pickle refers, by key.
type storages map[string]*storage

// storage is a one-dimensional array of elements that have not been read.
type storage struct {
	dtype    DType
	elements int
	read     func() ([]byte, error)
}

// persistent returns the storage of a persistent ID ("storage", class, key, location,
// elements). The legacy format appends a None, and has IDs of modules' classes too.
func (s storages) persistent(id any) (any, error) {
	t, ok := id.(pickle.Tuple)
	if ok && len(t) == 4 && t[0] == "module" {
		if class, ok := t[1].(*pickle.Opaque); ok {
			return class, nil
		}
	}
	if !ok || len(t) != 5 && (len(t) != 6 || t[5] != nil) {
		return nil, errors.New("it refers to an object that is not a storage")
	}
	if unknown, ok := t[1].(*pickle.Opaque); ok {
		return unknown, nil
	}
	d, ok1 := t[1].(storageClass)
	key, ok2 := t[2].(string)
	n, ok3 := t[4].(int64)
	if !ok1 || !ok2 || !ok3 || n < 0 || n > math.MaxInt/16 {
		return nil, errors.New("it has a malformed reference to a storage")
	}
	known := s[key]
	if known == nil {
		known = &storage{dtype: DType(d), elements: int(n)}
		s[key] = known
	}
	if known.dtype != DType(d) || known.elements != int(n) {
		return nil, fmt.Errorf("storage %.80q is used with two types or lengths", key)
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

// Embedded is a checkpoint inside a pickle, an argument of torch.storage._load_from_bytes.
// Plain pickles contain the storages of their tensors in this form.
type Embedded struct{ data []byte }

// Open opens the checkpoint in memory.
func (e *Embedded) Open() (*File, error) {
	return NewFile(bytes.NewReader(e.data), int64(len(e.data)))
}

// load reads a checkpoint of one storage. A pickle contains one for each tensor.
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
		return nil, usage.Errorf("a checkpoint inside a pickle contains something other than a storage")
	}
	return s.load()
}

// Ref is a tensor that has not been read: a view of a storage.
type Ref struct {
	Shape []int

	storage interface{ load() (*Tensor, error) }
	offset  int   // of the first element, in elements
	stride  []int // in elements
}

type (
	storageClass DType                                  // a storage class of torch
	function     func(args pickle.Tuple) (any, error)   // a function in torch
	classes      func(module, name string) (any, error) // see pickle.Reader.Class
)

func (f function) Call(args pickle.Tuple) (any, error) { return f(args) }

// Class is a pickle.Reader.Class for pickles that contain tensors, in checkpoints and plain
// pickles. It also knows everything that pickle.Plain does. It is safe for any pickle. A
// tensor is read as a [*Ref], a checkpoint in a plain pickle as an [*Embedded].
func Class(module, name string) (any, error) {
	switch module + "." + name {
	case "torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2":
		return function(rebuildTensor), nil
	case "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state": // (tensor, requires_grad, hooks)
		return function(firstArgument), nil
	case "torch._tensor._rebuild_from_type_v2": // a tensor with attributes
		return function(rebuildFromType), nil
	case "torch.Size": // of a tuple
		return function(firstArgument), nil
	case "torch.storage._load_from_bytes":
		return function(loadFromBytes), nil
	}
	for d, t := range dtypes {
		if module == "torch" && name == t.storage {
			return storageClass(d), nil
		}
	}
	if strings.HasPrefix(module, "torch") {
		return nil, fmt.Errorf("%s.%s is not supported; only dense tensors are", module, name)
	}
	return pickle.Plain(module, name)
}

// anyClass is like Class, with a *pickle.Opaque for what Class does not know.
func anyClass(module, name string) (any, error) {
	if c, err := Class(module, name); err == nil {
		return c, nil
	}
	return &pickle.Opaque{Name: module + "." + name}, nil
}

func firstArgument(args pickle.Tuple) (any, error) {
	if len(args) == 0 {
		return nil, errors.New("a parameter or a shape without a value")
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

// rebuildFromType makes a tensor from (function, type, arguments, attributes).
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

// rebuildTensor makes a tensor from (storage, offset, size, stride, requires_grad, hooks,
// metadata). Metadata lists operations that remain to be done on the elements.
func rebuildTensor(args pickle.Tuple) (any, error) {
	if len(args) < 4 {
		return nil, errors.New("a tensor without a shape")
	}
	offset, ok1 := args[1].(int64)
	shape, ok2 := ints(args[2])
	stride, ok3 := ints(args[3])
	if !ok1 || !ok2 || !ok3 || len(shape) != len(stride) {
		return nil, errors.New("a tensor with a malformed shape")
	}
	if len(args) > 6 {
		if metadata, ok := args[6].(*pickle.Dict); !ok || len(*metadata) > 0 {
			return nil, errors.New("a tensor is a negated or conjugated view; save its clone() instead")
		}
	}
	const maxAxes = 64 // torch's limit
	if len(shape) > maxAxes {
		return nil, fmt.Errorf("a tensor with %d axes, more than %d", len(shape), maxAxes)
	}
	n := 1
	for i := range shape {
		if shape[i] < 0 || n > math.MaxInt/16/max(shape[i], 1) {
			return nil, fmt.Errorf("a tensor with an impossible shape: an axis of %d, with %d elements in the axes before it", shape[i], n)
		}
		n *= shape[i]
	}
	t := &Ref{Shape: shape, offset: int(offset), stride: stride}
	switch s := args[0].(type) {
	case *storage:
		t.storage = s
		if err := t.checkBounds(s.elements); err != nil {
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
