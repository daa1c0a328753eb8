// Package safetensors reads the files that the Python library safetensors writes: the
// length of a header in 8 little-endian bytes, the header in JSON, which names tensors
// and says where the elements of each lie, and the elements in C order.
package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/internal/infile"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

const (
	lengthBytes = 8
	// maxHeader is the longest header that the Python library reads.
	maxHeader = 100_000_000
	// metadata is the key of the header that names strings of any meaning instead of a tensor.
	metadata = "__metadata__"
)

// File is an open file. What is wrong with it is a usage error that names it.
type File struct {
	path    string
	file    *os.File
	tensors []torchfile.Stored
}

// Is reports whether a file that begins so is one of safetensors.
func Is(head []byte) bool {
	return len(head) > lengthBytes && head[lengthBytes] == '{' && binary.LittleEndian.Uint64(head) <= maxHeader
}

// Open opens the file at path and reads its header.
func Open(path string) (*File, error) {
	file, err := infile.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot read weights: %w", err)
	}
	f := &File{path: path, file: file}
	info, err := file.Stat()
	if err == nil {
		f.tensors, err = read(file, info.Size())
	}
	if err != nil {
		return nil, errors.Join(f.wrong(err), file.Close())
	}
	for i, t := range f.tensors {
		f.tensors[i].Load = func() (*torchfile.Tensor, error) {
			tensor, err := t.Load()
			if err != nil {
				return nil, f.wrong(fmt.Errorf("%.80q: %w", t.Name, err))
			}
			return tensor, nil
		}
	}
	return f, nil
}

func (f *File) wrong(err error) error {
	return usage.Errorf("%s cannot be read as a safetensors file: %w", f.path, err)
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// Weights are the tensors in the order of the header. They load as long as f is open.
func (f *File) Weights() []torchfile.Stored { return f.tensors }

// entry is what the header says of a tensor.
type entry struct {
	Type    string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"` // of its first byte and the one after its last, from the header's end
}

// types are the element types that are read.
var types = map[string]torchfile.DType{
	"F64": torchfile.Float64, "F32": torchfile.Float32, "F16": torchfile.Float16, "BF16": torchfile.BFloat16, "I64": torchfile.Int64,
}

// read reads the header of src, a file of size bytes.
func read(src io.ReaderAt, size int64) ([]torchfile.Stored, error) {
	var length [lengthBytes]byte
	if _, err := src.ReadAt(length[:], 0); err != nil {
		return nil, errors.New("it ends before the length of its header")
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-lengthBytes {
		return nil, fmt.Errorf("its header has %d bytes, the file %d: it is cut off or damaged", n, size)
	}
	text := make([]byte, n)
	if _, err := src.ReadAt(text, lengthBytes); err != nil {
		return nil, err
	}
	data := lengthBytes + int64(n)
	entries, names, err := decode(text)
	if err != nil {
		return nil, err
	}
	if err := cover(entries, names, size-data); err != nil {
		return nil, err
	}
	tensors := make([]torchfile.Stored, len(names))
	for i, e := range entries {
		tensors[i] = torchfile.Stored{Name: names[i], Shape: e.Shape, Load: func() (*torchfile.Tensor, error) {
			d, ok := types[e.Type]
			if !ok {
				return nil, fmt.Errorf("it is of %.20q, which is not read", e.Type)
			}
			b := make([]byte, e.Offsets[1]-e.Offsets[0])
			if _, err := src.ReadAt(b, data+e.Offsets[0]); err != nil {
				return nil, err
			}
			return torchfile.FromBytes(d, e.Shape, b)
		}}
	}
	return tensors, nil
}

// decode reads the JSON, in the order of its keys.
func decode(text []byte) (entries []entry, names []string, err error) {
	d := jsontext.NewDecoder(bytes.NewReader(text))
	if _, err := d.ReadToken(); err != nil || text[0] != '{' {
		return nil, nil, errors.New("its header is not a JSON object")
	}
	for d.PeekKind() == '"' {
		name, err := d.ReadToken()
		if err != nil {
			return nil, nil, headerError(err)
		}
		key := name.String()
		var strings map[string]string
		var e entry
		into := any(&e)
		if key == metadata {
			into = &strings
		}
		if err := json.UnmarshalDecode(d, into, json.RejectUnknownMembers(true)); err != nil {
			return nil, nil, headerError(err)
		}
		if key != metadata {
			entries, names = append(entries, e), append(names, key)
		}
	}
	if _, err := d.ReadToken(); err != nil {
		return nil, nil, headerError(err)
	}
	if _, err := d.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, nil, errors.New("something follows the JSON of its header")
	}
	if len(names) == 0 {
		return nil, nil, errors.New("it holds no tensor")
	}
	return entries, names, nil
}

func headerError(err error) error { return fmt.Errorf("its header is damaged: %w", err) }

// cover makes sure that the tensors cover the data, each byte once.
func cover(entries []entry, names []string, size int64) error {
	order := make([]int, len(entries))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(entries[a].Offsets[0], entries[b].Offsets[0]), cmp.Compare(entries[a].Offsets[1], entries[b].Offsets[1]))
	})
	at := int64(0)
	for _, i := range order {
		e := entries[i]
		if e.Offsets[0] != at || e.Offsets[1] < at || e.Offsets[1] > size {
			return fmt.Errorf("%.80q lies at %d to %d of %d bytes, where %d is due: the file is cut off or damaged", names[i], e.Offsets[0], e.Offsets[1], size, at)
		}
		elements := 1
		for _, n := range e.Shape {
			if n < 0 || elements > math.MaxInt/16/max(n, 1) {
				return fmt.Errorf("%.80q has an impossible shape", names[i])
			}
			elements *= n
		}
		at = e.Offsets[1]
	}
	if at != size {
		return fmt.Errorf("%d bytes follow its tensors", size-at)
	}
	return nil
}
