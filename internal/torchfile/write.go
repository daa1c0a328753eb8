package torchfile

import (
	"archive/zip"
	"encoding/binary"
	"fmt"
	"hash"
	"hash/crc32"
	"hash/fnv"
	"io"
	"math"
	"strconv"

	"nb201/internal/pickle"
)

const (
	// root is the directory of all records; torch accepts any name.
	root = "archive/"
	// alignment is that of a record's first byte, so that tensors can be mapped into memory.
	alignment = 64
)

// Write writes v as a checkpoint that torch.load opens. v consists of values of package
// pickle, *Tensor and StateDict. Equal values give equal bytes. Like torch, Write compresses
// nothing. It writes the pickle while encoding it, so a pickle.DictSeq in v is never in
// memory as a whole.
func Write(w io.Writer, v any) error {
	a := newArchive(w)
	data, err := a.stream("data.pkl")
	if err != nil {
		return err
	}
	var tensors []*Tensor
	encoder := pickle.NewEncoder(data)
	encoder.Convert = func(v any) (any, error) {
		switch v := v.(type) {
		case *Tensor:
			if err := v.check(); err != nil {
				return nil, err
			}
			tensors = append(tensors, v)
			return rebuild(v, strconv.Itoa(len(tensors)-1)), nil
		case StateDict:
			return v.pickled(), nil
		}
		return nil, fmt.Errorf("torchfile: cannot write a %T", v)
	}
	if err := encoder.Encode(v); err != nil {
		return err
	}
	a.endStream(data)
	for _, r := range []struct{ name, content string }{
		{".format_version", "1"}, {".storage_alignment", strconv.Itoa(alignment)}, {"byteorder", "little"},
	} {
		if err := a.record(r.name, []byte(r.content)); err != nil {
			return err
		}
	}
	for i, t := range tensors {
		if err := a.record("data/"+strconv.Itoa(i), t.bytes()); err != nil {
			return err
		}
	}
	if err := a.record("version", []byte("3\n")); err != nil {
		return err
	}
	if err := a.record(".data/serialization_id", a.serializationID()); err != nil {
		return err
	}
	return a.zip.Close()
}

// rebuild returns the form in which torch pickles a tensor (Tensor._reduce_ex_internal): a
// call of _rebuild_tensor_v2 with its storage, which is the record data/key.
func rebuild(t *Tensor, key string) pickle.Reduce {
	ints := func(s []int) pickle.Tuple {
		t := make(pickle.Tuple, len(s))
		for i, v := range s {
			t[i] = v
		}
		return t
	}
	storage := pickle.Global{Module: "torch", Name: dtypes[t.DType()].storage}
	return pickle.Reduce{
		Func: pickle.Global{Module: "torch._utils", Name: "_rebuild_tensor_v2"},
		Args: pickle.Tuple{
			pickle.PersistentID{ID: pickle.Tuple{"storage", storage, key, "cpu", t.Elements()}},
			0, ints(t.Shape), ints(t.strides()),
			false,                // requires_grad
			pickle.OrderedDict{}, // backward hooks
		},
	}
}

// archive is a zip file of uncompressed, aligned records.
type archive struct {
	zip     *zip.Writer
	written *counter
	pending int64     // bytes of a data descriptor still to be written before the next header
	id      hash.Hash // of the records' names and contents
}

func newArchive(w io.Writer) *archive {
	written := &counter{w: w}
	return &archive{zip: zip.NewWriter(written), written: written, id: fnv.New128a()}
}

// header prepares the local header of the next record. Its extra field "FB" is padding, as
// in inline_container.cc (getPadding).
func (a *archive) header(name string) (*zip.FileHeader, error) {
	if err := a.zip.Flush(); err != nil {
		return nil, err
	}
	const fixed, extra = 30, 4 // bytes of a local header, and of the extra field's header
	start := a.written.n + a.pending + fixed + int64(len(root+name)) + extra
	a.pending = 0
	padding := make([]byte, extra+(alignment-start%alignment)%alignment)
	copy(padding, "FB")
	binary.LittleEndian.PutUint16(padding[2:], uint16(len(padding)-extra))
	for i := range padding[extra:] {
		padding[extra+i] = 'Z'
	}
	return &zip.FileHeader{Name: root + name, Method: zip.Store, Extra: padding}, nil
}

// record writes a whole record.
func (a *archive) record(name string, content []byte) error {
	h, err := a.header(name)
	if err != nil {
		return err
	}
	h.CRC32 = crc32.ChecksumIEEE(content)
	h.CompressedSize64, h.UncompressedSize64 = uint64(len(content)), uint64(len(content))
	fmt.Fprintln(a.id, name, h.CRC32)
	w, err := a.zip.CreateRaw(h)
	if err != nil {
		return err
	}
	_, err = w.Write(content)
	return err
}

// stream begins a record of unknown length; endStream ends it.
func (a *archive) stream(name string) (*counter, error) {
	h, err := a.header(name)
	if err != nil {
		return nil, err
	}
	w, err := a.zip.CreateHeader(h)
	return &counter{w: w}, err
}

func (a *archive) endStream(c *counter) {
	a.pending = 16
	if c.n >= math.MaxUint32 {
		a.pending = 24 // zip64
	}
	fmt.Fprintln(a.id, c.n)
}

// serializationID returns an ID like torch's: 40 digits that depend on the records.
func (a *archive) serializationID() []byte {
	sum := a.id.Sum(nil)
	return fmt.Appendf(nil, "%020d%020d", binary.BigEndian.Uint64(sum), binary.BigEndian.Uint64(sum[8:]))
}

// counter counts the bytes that pass through it.
type counter struct {
	w io.Writer
	n int64
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.n += int64(n)
	return n, err
}
