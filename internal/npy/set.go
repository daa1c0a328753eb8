package npy

import (
	"archive/zip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

const extension = ".npy"

// Set is a set of named arrays: the members of an .npz file, or the .npy files in a
// directory. It is not safe for concurrent use.
type Set struct {
	files fs.FS
	names []string
	close func() error
	size  int64 // of the .npz file
}

// OpenSet opens a directory of .npy files or an .npz file.
func OpenSet(name string) (*Set, error) {
	info, err := os.Stat(name)
	if err != nil {
		return nil, err
	}
	if info.IsDir() {
		entries, err := os.ReadDir(name)
		if err != nil {
			return nil, err
		}
		s := &Set{files: os.DirFS(name), close: func() error { return nil }}
		for _, e := range entries {
			s.add(e.Name())
		}
		return s, nil
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("is not a regular file")
	}
	z, err := zip.OpenReader(name)
	if err != nil {
		return nil, fmt.Errorf("is not a complete .npz file: %w", err)
	}
	s := &Set{files: z, close: z.Close, size: info.Size()}
	for _, f := range z.File {
		s.add(f.Name)
	}
	return s, nil
}

func (s *Set) add(file string) {
	if name, ok := strings.CutSuffix(file, extension); ok {
		s.names = append(s.names, name)
	}
}

// Names returns the names of the arrays, without .npy.
func (s *Set) Names() []string { return s.names }

// Close closes the set. Its arrays cannot be read afterwards.
func (s *Set) Close() error { return s.close() }

// Array is an array of a [Set]. Read reads the bytes of its elements. When it has returned
// the last of them, the archive's checksum has been verified.
type Array struct {
	Header
	file fs.File
	left int64 // unread bytes
}

// Open opens an array and reads its header. It checks that the file's length fits the shape.
// Errors begin with the name.
func (s *Set) Open(name string) (*Array, error) {
	a, err := s.open(name)
	if err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	return a, nil
}

func (s *Set) open(name string) (*Array, error) {
	file := name + extension
	info, err := fs.Stat(s.files, file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, errors.New("is missing")
	case err != nil:
		return nil, fmt.Errorf("cannot be read: %w", err)
	case !info.Mode().IsRegular():
		return nil, errors.New("is not a regular file")
	}
	if h, ok := info.Sys().(*zip.FileHeader); ok && !s.isPlausible(h) {
		return nil, errors.New("claims to be longer than its archive allows; the file is damaged")
	}
	f, err := s.files.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot be read: %w", err)
	}
	a := &Array{file: f}
	if err := a.open(info.Size()); err != nil {
		return nil, errors.Join(err, f.Close())
	}
	return a, nil
}

// Integers reads an array of whole numbers of shape [N] or [N, 1]. Numbers beyond 2^53 are
// rounded. Errors begin with the name.
func (s *Set) Integers(name string) ([]float64, error) {
	a, err := s.Open(name)
	if err != nil {
		return nil, err
	}
	defer a.Close()
	column := len(a.Shape) == 1 || len(a.Shape) == 2 && a.Shape[1] == 1
	if !column || !a.Type.Integer() {
		return nil, fmt.Errorf("%s is an array of %v of shape %v, not a list of whole numbers", name, a.Type, a.Shape)
	}
	values := make([]float64, a.Shape[0])
	raw := make([]byte, len(values)*a.Type.Size)
	if _, err := io.ReadFull(a, raw); err != nil {
		return nil, fmt.Errorf("%s %w", name, err)
	}
	a.Type.Float64s(values, raw)
	return values, nil
}

// isPlausible reports whether a member of the archive can be as long as it claims: deflate
// expands a byte to at most 1,032.
func (s *Set) isPlausible(h *zip.FileHeader) bool {
	const most = 1032
	switch size := uint64(s.size); {
	case h.CompressedSize64 > size:
		return false
	case h.Method == zip.Store:
		return h.UncompressedSize64 == h.CompressedSize64
	default:
		return h.UncompressedSize64/most <= h.CompressedSize64
	}
}

func (a *Array) open(size int64) (err error) {
	var header int
	if a.Header, header, err = readHeader(a.file); err != nil {
		return err
	}
	a.left = size - int64(header)
	// Only divide, as a product could overflow.
	elements := a.left / int64(a.Type.Size)
	fits := a.left%int64(a.Type.Size) == 0
	if slices.Contains(a.Shape, 0) {
		fits = a.left == 0
	} else {
		for _, n := range a.Shape {
			fits = fits && elements%int64(n) == 0
			elements /= int64(n)
		}
		fits = fits && elements == 1
	}
	if !fits {
		return fmt.Errorf("has %d bytes of elements, which do not fit its shape %v of %v; the file is damaged", a.left, a.Shape, a.Type)
	}
	return nil
}

// Read reads bytes of elements, in the order of the file.
func (a *Array) Read(p []byte) (int, error) {
	if a.left == 0 {
		return 0, io.EOF
	}
	n, err := a.file.Read(p[:min(int64(len(p)), a.left)])
	a.left -= int64(n)
	if a.left > 0 {
		return n, readError(err)
	}
	// The zip reader verifies the checksum at the end of the member. Callers such as
	// io.ReadFull ignore an error returned with the last bytes, so return no bytes with it.
	if err == nil {
		_, err = io.ReadFull(a.file, make([]byte, 1))
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return 0, readError(err)
	}
	return n, nil
}

// Close closes the array.
func (a *Array) Close() error { return a.file.Close() }

// Writer writes an .npz file of uncompressed members, so that its bytes depend only on the
// arrays.
type Writer struct{ z *zip.Writer }

// NewWriter returns a Writer of an .npz file to w.
func NewWriter(w io.Writer) *Writer { return &Writer{zip.NewWriter(w)} }

// Create begins an array in C order. Write the bytes of its elements before calling another
// method. The type is a typestr of numpy's array interface, such as |u1.
func (w *Writer) Create(name, typestr string, shape ...int) (io.Writer, error) {
	member, err := w.z.CreateHeader(&zip.FileHeader{
		Name:     path.Base(name) + extension,
		Method:   zip.Store,
		Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC), // as numpy.savez
	})
	if err == nil {
		err = writeHeader(member, typestr, shape)
	}
	return member, err
}

// Texts writes an array of strings (numpy's str).
func (w *Writer) Texts(name string, texts []string) error {
	longest := 1
	for _, t := range texts {
		longest = max(longest, utf8.RuneCountInString(t))
	}
	member, err := w.Create(name, fmt.Sprintf("<U%d", longest), len(texts))
	if err != nil {
		return err
	}
	for _, t := range texts {
		out := make([]byte, 0, 4*longest)
		for _, r := range t {
			out = binary.LittleEndian.AppendUint32(out, uint32(r))
		}
		if _, err := member.Write(out[:cap(out)]); err != nil {
			return err
		}
	}
	return nil
}

// Close ends the file. It does not close the underlying writer.
func (w *Writer) Close() error { return w.z.Close() }
