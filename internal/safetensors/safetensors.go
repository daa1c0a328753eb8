// Package safetensors reads the files that the Python library safetensors writes. A file is
// the length of a header in 8 little-endian bytes, the header in JSON, which has the name,
// type, shape and place of each tensor, and the elements in C order. Start at [Open].
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
	// maxHeader is the longest header, in bytes, that the Python library accepts.
	maxHeader = 100_000_000
	// metadata is the one key of the header whose value is a map of strings instead of a
	// tensor.
	metadata = "__metadata__"
)

// File is an open file. Errors in it are usage errors that name it.
type File struct {
	path    string
	file    *os.File
	tensors []torchfile.Stored
}

// IsFile reports whether a file that begins with head is a safetensors file.
func IsFile(head []byte) bool {
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
		return nil, errors.Join(f.readError(err), file.Close())
	}
	for i, t := range f.tensors {
		f.tensors[i].Load = func() (*torchfile.Tensor, error) {
			tensor, err := t.Load()
			if err != nil {
				return nil, f.readError(fmt.Errorf("%.80q: %w", t.Name, err))
			}
			return tensor, nil
		}
	}
	return f, nil
}

func (f *File) readError(err error) error {
	return usage.Errorf("%s: cannot read safetensors file: %w", f.path, err)
}

// Close closes the file.
func (f *File) Close() error { return f.file.Close() }

// Weights returns the tensors, in the order of the header. They can be loaded while f is
// open.
func (f *File) Weights() []torchfile.Stored { return f.tensors }

// entry describes a tensor in the header.
type entry struct {
	Type    string   `json:"dtype"`
	Shape   []int    `json:"shape"`
	Offsets [2]int64 `json:"data_offsets"` // of the first byte and of the one after the last, from the header's end
}

// types maps the supported element types.
var types = map[string]torchfile.DType{
	"F64": torchfile.Float64, "F32": torchfile.Float32, "F16": torchfile.Float16, "BF16": torchfile.BFloat16, "I64": torchfile.Int64,
}

// read reads the header of src, a file of size bytes.
func read(src io.ReaderAt, size int64) ([]torchfile.Stored, error) {
	var length [lengthBytes]byte
	if _, err := src.ReadAt(length[:], 0); err != nil {
		return nil, errors.New("it ends within the length of its header")
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > maxHeader || int64(n) > size-lengthBytes {
		return nil, fmt.Errorf("its header has %d bytes, but the file has %d; it is truncated or damaged", n, size)
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
	if err := checkOffsets(entries, names, size-data); err != nil {
		return nil, err
	}
	tensors := make([]torchfile.Stored, len(names))
	for i, e := range entries {
		tensors[i] = torchfile.Stored{Name: names[i], Shape: e.Shape, Load: func() (*torchfile.Tensor, error) {
			d, ok := types[e.Type]
			if !ok {
				return nil, fmt.Errorf("its type %.20q is not supported", e.Type)
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

// decode decodes the JSON of a header, keeping the order of its keys.
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
		return nil, nil, errors.New("its header contains more than a JSON object")
	}
	if len(names) == 0 {
		return nil, nil, errors.New("it contains no tensors")
	}
	return entries, names, nil
}

func headerError(err error) error { return fmt.Errorf("its header is damaged: %w", err) }

// checkOffsets returns an error unless the tensors cover each of the size bytes of data once.
func checkOffsets(entries []entry, names []string, size int64) error {
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
			return fmt.Errorf("%.80q is at bytes %d to %d of %d, but should begin at %d; the file is truncated or damaged",
				names[i], e.Offsets[0], e.Offsets[1], size, at)
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
		return fmt.Errorf("it has %d bytes after its tensors", size-at)
	}
	return nil
}
