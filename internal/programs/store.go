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

// Limit is the size of the store in bytes. The three programs of a network of the benchmark's
// size take 1 to 3 MB, so those of about two thousand networks fit. A campaign makes many more,
// but needs a network's programs again soon (for another seed, dataset or attempt) or never, and
// the store should not fill the user's disk.
const Limit = 4 << 30

// store is a directory of compiled programs. Processes share it without locks: files are written
// atomically and never change, and a missing program is simply compiled.
type store struct {
	dir   string
	limit int64
}

// key identifies a program: the SHA-256 of everything that it depends on.
type key [sha256.Size]byte

// A program's file consists of magic, the key, the SHA-256 of the rest, and the program compressed
// with DEFLATE, which shrinks it to a fifth at the speed of memory.
const (
	magic      = "nb201 program 1\n"
	headerSize = len(magic) + 2*sha256.Size
)

func header(k key, packed []byte) []byte {
	sum := sha256.Sum256(packed)
	return slices.Concat([]byte(magic), k[:], sum[:])
}

func (s store) path(k key) string { return filepath.Join(s.dir, hex.EncodeToString(k[:])+".program") }

// programNames matches the names of programs, and of temporary files, which are programs that a
// process is writing or was killed while writing.
var programNames = regexp.MustCompile(`^(?:[0-9a-f]{64}\.program|\.[0-9a-f]{64}\.program\..*\.tmp)$`)

func temporary(f fs.FileInfo) bool { return strings.HasPrefix(f.Name(), ".") }

// maxProgram limits the size of a program in bytes. XLA's take up to about 20 MB, but a malicious
// file of 4 MB could unpack to 4 GB.
const maxProgram = 128 << 20

// load returns a program, or nil if there is none. It removes a damaged file.
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
	// trim goes by this time. If setting it fails, the program is removed earlier.
	_ = os.Chtimes(path, time.Time{}, time.Now())
	return program
}

// unpack decompresses a program's file. whole reports whether the file is undamaged and has this
// key.
func unpack(k key, file []byte) (program []byte, whole bool) {
	if len(file) < headerSize || !bytes.Equal(file[:headerSize], header(k, file[headerSize:])) {
		return nil, false
	}
	program, err := io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(file[headerSize:])), maxProgram+1))
	return program, err == nil && len(program) > 0 && len(program) <= maxProgram
}

// pack makes the content of a program's file.
func pack(k key, program []byte) ([]byte, error) {
	if len(program) > maxProgram {
		return nil, fmt.Errorf("a program of %d MiB is larger than the limit of %d MiB", len(program)>>20, maxProgram>>20)
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

// remove removes a program's file. A file that cannot be removed does no harm: load rejects it
// again next time.
func (s store) remove(k key) { _ = os.Remove(s.path(k)) }

// save writes a program's file and removes the least recently used ones if the store is full.
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

// trim removes temporary files that killed processes left. If the programs exceed the limit, it
// also removes the least recently used ones until a tenth of the limit is free.
func (s store) trim() error {
	files, _, err := s.list()
	if err != nil {
		return err
	}
	for _, f := range files {
		if temporary(f) && time.Since(f.ModTime()) > time.Hour { // no process is still writing it
			if err := os.Remove(filepath.Join(s.dir, f.Name())); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return err
			}
		}
	}
	return cachedir.Trim(s.dir, programNames, s.limit, temporary)
}

// list returns the store's files and their total bytes. A missing directory has none.
func (s store) list() (files []fs.FileInfo, total int64, err error) {
	return cachedir.List(s.dir, programNames)
}
