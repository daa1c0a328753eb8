package results

import (
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// This file reads the files that hold all architectures in one pickle: NAS-Bench-201's
// merged checkpoint and NATS-Bench's merged .pickle.pbz2. Such a pickle has gigabytes.
// It is walked over once; where each architecture lies is kept in an index in the
// user's cache directory, and from then on an architecture is read alone. A compressed
// pickle is unpacked into the cache directory, since it cannot be read from the middle.

// mergedSource reads single entries of arch2infos.
type mergedSource struct {
	path   string
	format Format

	mu      sync.Mutex
	cached  bool // the index, or what it is of, was found in the cache
	entries *pickle.Entries
	file    io.Closer
}

// mergedIndex is what the cache keeps of a merged file.
type mergedIndex struct {
	Version  int
	Size     int64 // of the file that was indexed
	Modified time.Time
	Print    [sha256.Size]byte // of the file's content, see fingerprint
	Listed   int               // architectures in meta_archs
	Pickle   *pickle.Index
}

// mergedVersion is that of mergedIndex and of what it says of a pickle.
const mergedVersion = 2

// openMerged opens a merged file of the format NASBench201 or NATS.
func openMerged(path string, format Format, progress func(done, total int64)) (*Benchmark, error) {
	s := &mergedSource{path: path, format: format}
	index, err := s.open(true, progress)
	if err != nil {
		return nil, err
	}
	b := &Benchmark{Path: path, Format: format, Listed: index.Listed, source: s}
	for _, e := range index.Pickle.Entries {
		b.evaluated = append(b.evaluated, int(e.Key))
	}
	slices.Sort(b.evaluated)
	return b, nil
}

// open finds the index, in the cache where that is allowed, and opens what it is of.
func (s *mergedSource) open(cached bool, progress func(done, total int64)) (*mergedIndex, error) {
	p, err := locatePickle(s.path, s.format)
	if err != nil {
		return nil, err
	}
	index, src, found, err := p.indexed(cached, progress)
	if err != nil {
		_ = p.file.Close()
		return nil, err
	}
	s.cached, s.file = found, src
	s.entries = pickle.Reader{Class: torchfile.Class}.Entries(src, index.Pickle)
	return index, nil
}

func (s *mergedSource) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file.Close()
}

// decode reads an entry. Where that fails by what the cache holds, which somebody may have
// damaged, it is made anew, once.
func (s *mergedSource) decode(index int) (any, error) {
	s.mu.Lock()
	entries := s.entries
	s.mu.Unlock()
	v, err := entries.Decode(int64(index))
	if err == nil {
		return v, nil
	}
	s.mu.Lock()
	if s.cached {
		old := s.file
		if _, err := s.open(false, nil); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		_ = old.Close()
	}
	again := s.entries
	s.mu.Unlock()
	if again == entries {
		return nil, err
	}
	return again.Decode(int64(index))
}

func (s *mergedSource) architecture(index int) (*Architecture, error) {
	v, err := s.decode(index)
	if err != nil {
		return nil, usage.Errorf("%s, architecture %d: %w", s.path, index, err)
	}
	var a *Architecture
	if s.format == NASBench201 {
		a, err = readSlots(index, v, "")
	} else {
		a, err = readNATSRecord(index, v)
	}
	if err != nil {
		return nil, usage.Errorf("%s, architecture %d: %w", s.path, index, err)
	}
	return a, nil
}

// mergedPickle is where the pickle of a merged file lies.
type mergedPickle struct {
	path   string
	info   fs.FileInfo // of the file
	print  [sha256.Size]byte
	file   io.Closer
	stored *io.SectionReader
	unpack func(io.Reader) io.Reader // of what is stored; nil: not compressed
}

// pickleFile is a pickle that can be read from the middle.
type pickleFile interface {
	io.ReaderAt
	io.Closer
}

func locatePickle(path string, format Format) (*mergedPickle, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	p := &mergedPickle{path: path, info: info}
	if format == NATS {
		f, err := infile.Open(path)
		if err != nil {
			return nil, usage.Errorf("cannot open benchmark: %w", err)
		}
		p.file, p.stored, p.unpack = f, io.NewSectionReader(f, 0, info.Size()), bzip2.NewReader
		return p, nil
	}
	f, err := torchfile.Open(path)
	if err != nil {
		return nil, err
	}
	p.file = f
	stored, deflated, err := f.Pickle()
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	p.stored = stored
	if deflated {
		p.unpack = func(r io.Reader) io.Reader { return flate.NewReader(r) }
	}
	return p, nil
}

// indexed finds the index in the cache, where that is allowed, or makes it, and opens the
// pickle that it is of. found tells which.
func (p *mergedPickle) indexed(cached bool, progress func(done, total int64)) (index *mergedIndex, src pickleFile, found bool, err error) {
	if p.print, err = fingerprint(p.path, p.info.Size()); err != nil {
		return nil, nil, false, usage.Errorf("cannot open benchmark: %w", err)
	}
	cache, cacheErr := cachePath(p.path)
	if cached {
		index = p.readIndex(cache + ".index")
		found = index != nil
	}
	if p.unpack == nil {
		src := struct {
			io.ReaderAt
			io.Closer
		}{p.stored, p.file}
		if found {
			return index, src, true, nil
		}
		index, err := p.makeIndex(p.stored, progress)
		if err == nil && cacheErr == nil {
			_ = index.write(cache + ".index") // without it the next Open takes as long
		}
		return index, src, false, err
	}
	if cacheErr != nil {
		return nil, nil, false, usage.Errorf("cannot unpack %s: %w", p.path, cacheErr)
	}
	if info, err := os.Stat(cache + ".pickle"); found && (err != nil || info.Size() != index.Pickle.Length) {
		found = false // somebody cleared or cut a part of the cache
	}
	if !found {
		if index, err = p.unpackTo(cache, progress); err != nil {
			return nil, nil, false, err
		}
	}
	f, err := infile.Open(cache + ".pickle")
	if err != nil {
		return nil, nil, false, fmt.Errorf("unpack %s: %w", p.path, err)
	}
	return index, f, found, p.file.Close()
}

// fingerprint is the hash of a file's size, its ends and blocks spread over it. The ends
// alone tell contents apart: a zip file has the CRC of each of its files at its end, and
// a bzip2 file that of all that it holds.
func fingerprint(path string, size int64) (print [sha256.Size]byte, err error) {
	const end, block, blocks = 64 << 10, 4 << 10, 64
	f, err := infile.Open(path)
	if err != nil {
		return print, err
	}
	defer f.Close()
	sum := sha256.New()
	fmt.Fprintln(sum, size)
	read := func(from, n int64) {
		if err == nil {
			_, err = io.Copy(sum, io.NewSectionReader(f, from, n))
		}
	}
	read(0, end)
	for i := range int64(blocks) {
		read(size/blocks*i, block)
	}
	read(max(size-end, 0), end)
	return [sha256.Size]byte(sum.Sum(nil)), err
}

// unpackTo puts the pickle and its index into the cache.
func (p *mergedPickle) unpackTo(cache string, progress func(done, total int64)) (index *mergedIndex, err error) {
	err = atomicfile.Replace(cache+".pickle", func(w io.Writer) error {
		packed := &progressReader{r: p.stored, total: p.stored.Size(), report: progress}
		index, err = p.makeIndexOf(io.TeeReader(p.unpack(packed), w))
		return err
	})
	if err == nil {
		err = index.write(cache + ".index")
	}
	if err != nil && !usage.Is(err) {
		err = fmt.Errorf("unpack %s into %s: %w", p.path, filepath.Dir(cache), err)
	}
	return index, err
}

func (p *mergedPickle) makeIndex(stored *io.SectionReader, progress func(done, total int64)) (*mergedIndex, error) {
	return p.makeIndexOf(&progressReader{r: stored, total: stored.Size(), report: progress})
}

// makeIndexOf walks over a pickle once, to its end.
func (p *mergedPickle) makeIndexOf(r io.Reader) (*mergedIndex, error) {
	value, entries, err := pickle.Reader{Class: torchfile.Class}.Index(r, "arch2infos")
	if err != nil {
		return nil, usage.Errorf("%s is no merged benchmark file that can be read: %w: get it again, or name another file", p.path, err)
	}
	index := &mergedIndex{Version: mergedVersion, Size: p.info.Size(), Modified: p.info.ModTime(), Print: p.print, Pickle: entries}
	if index.Listed, err = listedArchs(dict(*value)); err != nil {
		return nil, usage.Errorf("%s: %w", p.path, err)
	}
	held := map[int]bool{}
	for _, e := range entries.Entries {
		if e.Key < 0 || e.Key >= int64(index.Listed) {
			return nil, usage.Errorf("%s: arch2infos holds architecture %d, meta_archs lists %d", p.path, e.Key, index.Listed)
		}
		held[int(e.Key)] = true
	}
	evaluated, err := field(dict(*value), "evaluated_indexes", listOf)
	if err != nil {
		return nil, usage.Errorf("%s: %w", p.path, err)
	}
	for _, v := range evaluated {
		index, err := intOf(v)
		if err != nil || !held[index] {
			return nil, usage.Errorf("%s: evaluated_indexes lists %v, which arch2infos lacks or which stands there twice", p.path, v)
		}
		delete(held, index)
	}
	if len(held) > 0 {
		return nil, usage.Errorf("%s: arch2infos holds %d architectures that evaluated_indexes lacks", p.path, len(held))
	}
	return index, nil
}

// readIndex reads the index from the cache; nil when it is not there, damaged, or not of
// this file as it is now.
func (p *mergedPickle) readIndex(path string) *mergedIndex {
	text, err := os.ReadFile(path)
	if err != nil || len(text) < sha256.Size {
		return nil
	}
	sum, text := text[:sha256.Size], text[sha256.Size:]
	if now := sha256.Sum256(text); !bytes.Equal(sum, now[:]) {
		return nil
	}
	index := new(mergedIndex)
	err = gob.NewDecoder(bytes.NewReader(text)).Decode(index)
	if err != nil || index.Version != mergedVersion || index.Size != p.info.Size() || !index.Modified.Equal(p.info.ModTime()) || index.Print != p.print {
		return nil
	}
	return index
}

// write puts the index into the cache, behind its hash.
func (i *mergedIndex) write(path string) error {
	var text bytes.Buffer
	if err := gob.NewEncoder(&text).Encode(i); err != nil {
		return err
	}
	sum := sha256.Sum256(text.Bytes())
	return atomicfile.Replace(path, func(w io.Writer) error {
		_, err := w.Write(append(sum[:], text.Bytes()...))
		return err
	})
}

// cachePath is where the cache keeps what belongs to a file, less an extension. It
// makes the directory.
func cachePath(path string) (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	cache = filepath.Join(cache, "nb201")
	sum := sha256.Sum256([]byte(absolute))
	return filepath.Join(cache, hex.EncodeToString(sum[:12])), os.MkdirAll(cache, 0o777)
}

// progressReader reports how much of a file was read.
type progressReader struct {
	r           io.Reader
	done, total int64
	report      func(done, total int64)
}

func (r *progressReader) Read(b []byte) (int, error) {
	n, err := r.r.Read(b)
	r.done += int64(n)
	if r.report != nil {
		r.report(r.done, r.total)
	}
	return n, err
}
