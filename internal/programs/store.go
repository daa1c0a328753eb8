package programs

import (
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"nb201/internal/atomicfile"
	"nb201/internal/cachedir"
	"nb201/internal/infile"
)

// Limit is how many bytes of files a directory may hold. The three programs of a network
// of the benchmark's size take 1 to 3 MB, so that those of some two thousand networks
// stay. A campaign makes many more, but comes back to one (another seed, dataset or
// attempt) soon or never; and the user's disk should not notice.
const Limit = 4 << 30

// store is a directory of programs. Processes share it without locks: files appear
// whole and never change, and one that is not there, for whatever reason, is compiled.
type store struct {
	dir   string
	limit int64
}

// key says which program it is: the SHA-256 of all that it depends on.
type key [sha256.Size]byte

// A program's file is: magic, key, the SHA-256 of what follows, the program in DEFLATE,
// which makes a fifth of it at the speed of memory.
const (
	magic      = "nb201 program 1\n"
	headerSize = len(magic) + 2*sha256.Size
)

func header(k key, packed []byte) []byte {
	sum := sha256.Sum256(packed)
	return slices.Concat([]byte(magic), k[:], sum[:])
}

func (s store) path(k key) string { return filepath.Join(s.dir, hex.EncodeToString(k[:])+".program") }

// ours are the names of programs, and of those that a process writes or was killed at.
var ours = regexp.MustCompile(`^(?:[0-9a-f]{64}\.program|\.[0-9a-f]{64}\.program\..*\.tmp)$`)

func temporary(f fs.FileInfo) bool { return strings.HasPrefix(f.Name(), ".") }

// maxProgram bounds the bytes of a program. XLA's take up to some 20 MB; one file of 4 MB
// could unpack to as much as 4 GB.
const maxProgram = 128 << 20

// load returns a program, or nil. It removes a file that is not whole.
func (s store) load(k key) []byte {
	path := s.path(k)
	file, err := infile.Read(path, maxProgram)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			s.remove(k)
		}
		return nil
	}
	program, whole := unpack(k, file)
	if !whole {
		s.remove(k)
		return nil
	}
	// For trim. Where it fails the program is compiled again sooner.
	_ = os.Chtimes(path, time.Time{}, time.Now())
	return program
}

// unpack reads a program's file; whole tells that it is one, of this key.
func unpack(k key, file []byte) (program []byte, whole bool) {
	if len(file) < headerSize || !bytes.Equal(file[:headerSize], header(k, file[headerSize:])) {
		return nil, false
	}
	program, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(file[headerSize:])), maxProgram+1))
	return program, err == nil && len(program) > 0 && len(program) <= maxProgram
}

// pack makes a program's file.
func pack(k key, program []byte) ([]byte, error) {
	if len(program) > maxProgram {
		return nil, fmt.Errorf("a program of %d MiB is too large", len(program)>>20)
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	_, err = w.Write(program)
	if err := errors.Join(err, w.Close()); err != nil {
		return nil, err
	}
	return append(header(k, packed.Bytes()), packed.Bytes()...), nil
}

// remove removes a program; it is none when that fails, it is only found again.
func (s store) remove(k key) { _ = os.Remove(s.path(k)) }

// save keeps a program and removes those that were not used for longest.
func (s store) save(k key, program []byte) error {
	file, err := pack(k, program)
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(s.dir); err != nil {
		return err
	}
	if err := atomicfile.Replace(s.path(k), func(w io.Writer) error {
		_, err := w.Write(file)
		return err
	}); err != nil {
		return err
	}
	return s.trim()
}

// trim removes what killed processes left and, when the programs exceed the limit, those
// that were not used for longest, until a tenth of it is free.
func (s store) trim() error {
	files, _, err := s.list()
	if err != nil {
		return err
	}
	for _, f := range files {
		if temporary(f) && time.Since(f.ModTime()) > time.Hour { // no process writes it any more
			if err := os.Remove(filepath.Join(s.dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return cachedir.Trim(s.dir, ours, s.limit, temporary)
}

// list returns the files and their bytes. A directory that is not there has none.
func (s store) list() (files []fs.FileInfo, total int64, err error) {
	return cachedir.List(s.dir, ours)
}
