package results

import (
	"bufio"
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
	"time"

	"nb201/internal/atomicfile"
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
	path    string
	format  Format
	entries *pickle.Entries
	file    io.Closer
}

// mergedIndex is what the cache keeps of a merged file.
type mergedIndex struct {
	Version  int
	Size     int64 // of the file that was indexed
	Modified time.Time
	Listed   int // architectures in meta_archs
	Pickle   *pickle.Index
}

// mergedVersion is that of mergedIndex and of what it says of a pickle.
const mergedVersion = 1

// openMerged opens a merged file of the format NASBench201 or NATS.
func openMerged(path string, format Format, progress func(done, total int64)) (*Benchmark, error) {
	p, err := locatePickle(path, format)
	if err != nil {
		return nil, err
	}
	index, src, err := p.indexed(progress)
	if err != nil {
		_ = p.file.Close()
		return nil, err
	}
	b := &Benchmark{Path: path, Format: format, Listed: index.Listed}
	for _, e := range index.Pickle.Entries {
		b.evaluated = append(b.evaluated, int(e.Key))
	}
	slices.Sort(b.evaluated)
	b.source = mergedSource{path, format, pickle.Reader{Class: torchfile.Class}.Entries(src, index.Pickle), src}
	return b, nil
}

func (s mergedSource) close() error { return s.file.Close() }

func (s mergedSource) architecture(index int) (*Architecture, error) {
	v, err := s.entries.Decode(int64(index))
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
		f, err := os.Open(path)
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

// indexed finds the index, or makes it, and opens the pickle that it is of.
func (p *mergedPickle) indexed(progress func(done, total int64)) (*mergedIndex, pickleFile, error) {
	cache, cacheErr := cachePath(p.path)
	index := p.readIndex(cache + ".index")
	if p.unpack == nil {
		src := struct {
			io.ReaderAt
			io.Closer
		}{p.stored, p.file}
		if index != nil {
			return index, src, nil
		}
		index, err := p.makeIndex(p.stored, progress)
		if err == nil && cacheErr == nil {
			_ = index.write(cache + ".index") // without it the next Open takes as long
		}
		return index, src, err
	}
	if cacheErr != nil {
		return nil, nil, usage.Errorf("cannot unpack %s: %w", p.path, cacheErr)
	}
	if index == nil {
		var err error
		if index, err = p.unpackTo(cache, progress); err != nil {
			return nil, nil, err
		}
	}
	f, err := os.Open(cache + ".pickle")
	if errors.Is(err, fs.ErrNotExist) { // somebody cleared a part of the cache
		if index, err = p.unpackTo(cache, progress); err == nil {
			f, err = os.Open(cache + ".pickle")
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("unpack %s: %w", p.path, err)
	}
	return index, f, p.file.Close()
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
		return nil, usage.Errorf("%s is no merged benchmark file that can be read: %w", p.path, err)
	}
	index := &mergedIndex{Version: mergedVersion, Size: p.info.Size(), Modified: p.info.ModTime(), Pickle: entries}
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

// readIndex reads the index from the cache; nil when it is not there or not of this
// file as it is now.
func (p *mergedPickle) readIndex(path string) *mergedIndex {
	f, err := os.Open(path)
	if err != nil {
		return nil
	}
	defer f.Close()
	index := new(mergedIndex)
	err = gob.NewDecoder(bufio.NewReaderSize(f, 1<<20)).Decode(index)
	if err != nil || index.Version != mergedVersion || index.Size != p.info.Size() || !index.Modified.Equal(p.info.ModTime()) {
		return nil
	}
	return index
}

func (i *mergedIndex) write(path string) error {
	return atomicfile.Replace(path, func(w io.Writer) error { return gob.NewEncoder(w).Encode(i) })
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
