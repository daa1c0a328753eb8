// Package blocksum detects damage in a large file of which only parts are read. Checking a
// hash of the whole file would mean reading gigabytes, so each block has its own hash, and a
// [Reader] checks a block when it reads a part of it. A [Writer] computes the hashes.
package blocksum

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"sync"
)

// Block is the length of a block in bytes; the last one may be shorter.
const Block = 256 << 10

// ErrDamaged reports content that differs from what was hashed. The errors of a [Reader] wrap
// it.
var ErrDamaged = errors.New("not the content that was hashed")

// Sums contains the hashes of a file. It is plain data, to be stored beside the file.
type Sums struct {
	Length int64  // of the file, in bytes
	Hashes []byte // the SHA-256 of each block, concatenated
}

// Valid reports whether the number of hashes fits the length.
func (s Sums) Valid() bool {
	return s.Length >= 0 && (s.Length+Block-1)/Block == int64(len(s.Hashes)/sha256.Size) && len(s.Hashes)%sha256.Size == 0
}

// Writer hashes what is written to it. Write never fails.
type Writer struct {
	sums Sums
	hash hash.Hash // of the incomplete block
}

// NewWriter returns a new Writer.
func NewWriter() *Writer { return &Writer{hash: sha256.New()} }

func (w *Writer) Write(b []byte) (int, error) {
	for rest := b; len(rest) > 0; {
		n := min(len(rest), Block-int(w.sums.Length%Block))
		w.hash.Write(rest[:n])
		rest = rest[n:]
		if w.sums.Length += int64(n); w.sums.Length%Block == 0 {
			w.sums.Hashes = w.hash.Sum(w.sums.Hashes)
			w.hash.Reset()
		}
	}
	return len(b), nil
}

// Sums returns the hashes of what has been written.
func (w *Writer) Sums() Sums {
	s := Sums{w.sums.Length, slices.Clone(w.sums.Hashes)}
	if s.Length%Block != 0 {
		s.Hashes = w.hash.Sum(s.Hashes)
	}
	return s
}

// Reader reads a file and checks what it reads. It is safe for concurrent use.
type Reader struct {
	src  io.ReaderAt
	sums Sums

	mu     sync.Mutex
	recent []block // the most recently used is last
}

type block struct {
	number  int64
	content []byte
}

// maxRecent is the number of blocks that a Reader caches: callers read parts of a block one
// after another, from several goroutines.
const maxRecent = 32

// NewReader returns a Reader of src, whose hashes are sums. These must be Valid.
func NewReader(src io.ReaderAt, sums Sums) *Reader { return &Reader{src: src, sums: sums} }

// ReadAt reads at an offset. The file ends where the hashes end, even if src is longer.
func (r *Reader) ReadAt(b []byte, offset int64) (n int, err error) {
	if offset < 0 {
		return 0, errors.New("negative offset")
	}
	for n < len(b) {
		at := offset + int64(n)
		if at >= r.sums.Length {
			return n, io.EOF
		}
		content, err := r.block(at / Block)
		if err != nil {
			return n, err
		}
		n += copy(b[n:], content[at%Block:])
	}
	return n, nil
}

func (r *Reader) block(number int64) ([]byte, error) {
	r.mu.Lock()
	at := slices.IndexFunc(r.recent, func(b block) bool { return b.number == number })
	if at >= 0 {
		b := r.recent[at]
		r.recent = append(slices.Delete(r.recent, at, at+1), b)
		r.mu.Unlock()
		return b.content, nil
	}
	r.mu.Unlock()

	start := number * Block
	content := make([]byte, min(Block, r.sums.Length-start))
	n, err := r.src.ReadAt(content, start)
	if n < len(content) && err != io.EOF {
		return nil, err
	}
	if sum := sha256.Sum256(content); n < len(content) || !bytes.Equal(sum[:], r.sums.Hashes[number*sha256.Size:][:sha256.Size]) {
		return nil, fmt.Errorf("the %d bytes at offset %d are %w", len(content), start, ErrDamaged)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.recent = append(r.recent, block{number, content}); len(r.recent) > maxRecent {
		r.recent = slices.Delete(r.recent, 0, 1)
	}
	return content, nil
}
