package results

import (
	"cmp"
	"compress/bzip2"
	"compress/flate"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"nb201/internal/blocksum"
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

	mu      sync.RWMutex // for writing while what is below changes
	index   *mergedIndex
	entries *pickle.Entries
	file    io.Closer
}

// openMerged opens a merged file of the format NASBench201 or NATS.
func openMerged(ctx context.Context, path string, format Format, progress func(done, total int64)) (*Benchmark, error) {
	s := &mergedSource{path: path, format: format}
	if err := s.open(ctx, progress); err != nil {
		return nil, err
	}
	b := &Benchmark{Path: path, Format: format, Listed: s.index.Listed, source: s}
	for _, e := range s.index.Pickle.Entries {
		b.evaluated = append(b.evaluated, int(e.Key))
	}
	slices.Sort(b.evaluated)
	return b, nil
}

// open opens the file by its index: one in the cache, if that is not the index that s has,
// or a new one.
func (s *mergedSource) open(ctx context.Context, progress func(done, total int64)) error {
	p, err := locatePickle(s.path, s.format)
	if err != nil {
		return err
	}
	index, src, err := p.indexed(ctx, s.index, progress)
	if err != nil {
		return errors.Join(err, p.file.Close())
	}
	s.index, s.file = index, src
	s.entries = pickle.Reader{Class: torchfile.Class}.Entries(blocksum.NewReader(src, index.Sums), index.Pickle)
	return nil
}

func (s *mergedSource) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.file.Close()
}

// decode reads an entry. Where its bytes are not those that were indexed, because somebody
// has damaged the cache or written to the file, the index is made anew, once.
func (s *mergedSource) decode(index int) (any, error) {
	v, of, err := s.decodeBy(index)
	if !errors.Is(err, blocksum.ErrDamaged) {
		return v, err
	}
	s.mu.Lock()
	if s.index == of {
		old := s.file
		if err := s.open(context.Background(), nil); err != nil {
			s.mu.Unlock()
			return nil, err
		}
		_ = old.Close()
	}
	s.mu.Unlock()
	if v, _, err = s.decodeBy(index); errors.Is(err, blocksum.ErrDamaged) {
		return nil, fmt.Errorf("it, or its copy in the cache, changes while it is read (%w): try again when nobody writes to it", err)
	}
	return v, err
}

// decodeBy is decode by the index that s has now, which it returns.
func (s *mergedSource) decodeBy(index int) (any, *mergedIndex, error) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	v, err := s.entries.Decode(int64(index))
	return v, s.index, err
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

// indexed returns the index and the pickle that it is of: from the cache, if what is there
// is sound and not the index that is distrusted, or made anew. It closes p.file where that
// is not the pickle's, unless it fails.
func (p *mergedPickle) indexed(ctx context.Context, distrusted *mergedIndex, progress func(done, total int64)) (*mergedIndex, pickleFile, error) {
	var err error
	if p.print, err = fingerprint(p.path, p.info.Size()); err != nil {
		return nil, nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	packed := &progressReader{ctx: ctx, r: p.stored, total: p.stored.Size(), report: progress}
	cache, err := cacheOf(p.path)
	if err != nil {
		if p.unpack != nil {
			return nil, nil, usage.Errorf("cannot unpack %s: %w: name a directory where nb201 can write in XDG_CACHE_HOME", p.path, err)
		}
		index, err := p.indexInFile(packed) // the next Open takes as long
		return index, p.inFile(), err
	}
	if index, src := p.cached(cache, distrusted); index != nil {
		return index, src, nil
	}
	unlock, locked, err := cache.lock(ctx, packed.show)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if index, src := p.cached(cache, distrusted); index != nil { // another process has made it
		return index, src, nil
	}
	if locked {
		cache.sweep(mergedLimit)
	}
	if p.unpack != nil {
		return p.unpackTo(cache, packed)
	}
	index, err := p.indexInFile(packed)
	if err != nil {
		return nil, nil, err
	}
	_ = cache.write(index) // without it the next Open takes as long
	return index, p.inFile(), nil
}

// inFile is a pickle that is not compressed.
func (p *mergedPickle) inFile() pickleFile {
	return struct {
		io.ReaderAt
		io.Closer
	}{p.stored, p.file}
}

// cached is what the cache holds of the file as it is now; nil where it holds nothing that
// is sound.
func (p *mergedPickle) cached(cache mergedCache, distrusted *mergedIndex) (*mergedIndex, pickleFile) {
	index := cache.read()
	if index == nil || index.Size != p.info.Size() || !index.Modified.Equal(p.info.ModTime()) || index.Print != p.print {
		return nil, nil
	}
	if distrusted != nil && index.Made.Equal(distrusted.Made) {
		return nil, nil
	}
	if p.unpack == nil {
		cache.used()
		return index, p.inFile()
	}
	f, err := infile.Open(cache.pickle())
	if err != nil {
		return nil, nil
	}
	if info, err := f.Stat(); err != nil || info.Size() != index.Sums.Length {
		_ = f.Close()
		return nil, nil
	}
	cache.used()
	_ = p.file.Close() // it was only read
	return index, f
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
func (p *mergedPickle) unpackTo(cache mergedCache, packed *progressReader) (index *mergedIndex, src pickleFile, err error) {
	to := &bounded{path: p.path, dir: cache.dir, packed: p.stored.Size(), limit: max(maxUnpacked, maxRatio*p.stored.Size())}
	err = cache.replace(cache.pickle(), func(w io.Writer) (err error) {
		sums := blocksum.NewWriter()
		to.w = io.MultiWriter(w, sums)
		unpacked := p.unpack(packed)
		if index, err = p.makeIndex(io.TeeReader(unpacked, to), sums); err == nil {
			err = p.checkEnd(unpacked, to)
		}
		return cmp.Or(to.err, err)
	})
	if err == nil {
		err = cache.write(index)
	}
	if err != nil {
		return nil, nil, cmp.Or(packed.ctx.Err(), to.explain(err))
	}
	f, err := infile.Open(cache.pickle())
	if err != nil {
		return nil, nil, to.explain(err)
	}
	_ = p.file.Close() // it was only read
	return index, f, nil
}

// checkEnd reads what lies behind a pickle, nothing as a rule: only then has the last part
// of a compressed file been held against its checksum.
func (p *mergedPickle) checkEnd(unpacked io.Reader, to *bounded) error {
	switch _, err := io.CopyN(io.Discard, unpacked, to.limit-to.done+1); {
	case err == nil:
		return to.tooLarge()
	case err != io.EOF:
		return p.wrong(err)
	}
	return nil
}

func (p *mergedPickle) wrong(err error) error {
	return usage.Errorf("%s is no merged benchmark file that can be read: %w: get it again, or name another file", p.path, err)
}

// indexInFile makes the index of a pickle that is not compressed.
func (p *mergedPickle) indexInFile(packed io.Reader) (*mergedIndex, error) {
	sums := blocksum.NewWriter()
	return p.makeIndex(io.TeeReader(packed, sums), sums)
}

// makeIndex walks over a pickle once, to its end. sums has hashed what it reads.
func (p *mergedPickle) makeIndex(r io.Reader, sums *blocksum.Writer) (*mergedIndex, error) {
	value, entries, err := pickle.Reader{Class: torchfile.Class}.Index(r, "arch2infos")
	if err != nil {
		return nil, p.wrong(err)
	}
	index := &mergedIndex{Version: mergedVersion, Made: time.Now(), Size: p.info.Size(), Modified: p.info.ModTime(), Print: p.print, Pickle: entries, Sums: sums.Sums()}
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

// progressReader reports how much of a file was read, and ends with its context.
type progressReader struct {
	ctx         context.Context
	r           io.Reader
	done, total int64
	report      func(done, total int64)
}

func (r *progressReader) Read(b []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := r.r.Read(b)
	r.done += int64(n)
	r.show()
	return n, err
}

func (r *progressReader) show() {
	if r.report != nil {
		r.report(r.done, r.total)
	}
}
