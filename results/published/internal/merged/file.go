package merged

import (
	"cmp"
	"compress/bzip2"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"sync"
	"time"

	"nb201/cell"
	"nb201/internal/blocksum"
	"nb201/internal/infile"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/published/internal/pickled"
)

// File is an open merged file. It reads single entries of arch2infos, and is safe for concurrent
// use.
type File struct {
	path   string
	locate Locate

	mu      sync.RWMutex // guards the fields below
	index   *fileIndex
	entries *pickle.Entries
	file    io.Closer
}

// Locate opens a file of size bytes and locates its pickle.
type Locate func(path string, size int64) (*Stored, error)

// Stored locates the pickle in a merged file.
type Stored struct {
	File   io.Closer                 // the open file
	Bytes  *io.SectionReader         // the pickle, perhaps compressed
	Unpack func(io.Reader) io.Reader // unpacks Bytes; nil: they are not compressed
	CRC    *uint32                   // CRC-32 (IEEE) of the unpacked pickle; nil: the file has none, or Unpack checks it
}

// BZ2 is the [Locate] of files that consist of one pickle compressed with bzip2.
func BZ2(path string, size int64) (*Stored, error) {
	f, err := infile.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	return &Stored{File: f, Bytes: io.NewSectionReader(f, 0, size), Unpack: bzip2.NewReader}, nil
}

// Open opens a merged file. It uses the index in the cache, or makes one; meanwhile it calls
// progress, unless that is nil, with the number of bytes scanned so far and their total. It
// returns early with ctx's error if ctx is cancelled. If the file is damaged, the error is
// [results.ErrDamaged].
func Open(ctx context.Context, path string, locate Locate, progress func(done, total int64)) (*File, error) {
	f := &File{path: path, locate: locate}
	if err := f.open(ctx, progress); err != nil {
		return nil, err
	}
	return f, nil
}

// Listed returns the number of architectures in meta_archs, and their search space.
func (f *File) Listed() (cell.Space, int) { return f.index.Space.Space(), f.index.Listed }

// Architectures returns the indices of the architectures that have an entry.
func (f *File) Architectures() (archs []int) {
	for _, e := range f.index.Pickle.Entries {
		archs = append(archs, int(e.Key))
	}
	return archs
}

// open opens the file with the index in the cache or, if that is missing or is the index that f
// already has, with a new one.
func (f *File) open(ctx context.Context, progress func(done, total int64)) error {
	p, err := f.locatePickle()
	if err != nil {
		return err
	}
	index, src, err := p.findOrMakeIndex(ctx, f.index, progress)
	if err != nil {
		return errors.Join(err, p.file.Close())
	}
	f.index, f.file = index, src
	f.entries = pickle.Reader{Class: torchfile.Class}.Entries(blocksum.NewReader(src, index.Sums), index.Pickle)
	return nil
}

// locatePickle opens the file and locates the pickle in it.
func (f *File) locatePickle() (*located, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	s, err := f.locate(f.path, info.Size())
	if err != nil {
		return nil, err
	}
	return &located{path: f.path, info: info, file: s.File, stored: s.Bytes, unpack: s.Unpack, crc: s.CRC}, nil
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}

// Decode reads the entry of an architecture. If its bytes have changed since they were indexed,
// because the cache was damaged or the file was written to, Decode makes the index again, once.
func (f *File) Decode(index int) (any, error) {
	v, usedIndex, err := f.decodeOnce(index)
	if !errors.Is(err, blocksum.ErrDamaged) {
		return v, results.AsDamaged(err)
	}
	f.mu.Lock()
	if f.index == usedIndex {
		old := f.file
		if err := f.open(context.Background(), nil); err != nil {
			f.mu.Unlock()
			return nil, err
		}
		_ = old.Close()
	}
	f.mu.Unlock()
	if v, _, err = f.decodeOnce(index); errors.Is(err, blocksum.ErrDamaged) {
		return nil, fmt.Errorf("the file or its copy in the cache changed while it was read (%w); try again when no process writes to it", err)
	}
	return v, results.AsDamaged(err)
}

// decodeOnce is Decode with the present index, which it returns too.
func (f *File) decodeOnce(index int) (any, *fileIndex, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	v, err := f.entries.Decode(int64(index))
	return v, f.index, err
}

// located is the pickle of an open merged file.
type located struct {
	path   string
	info   fs.FileInfo       // of the merged file
	print  [sha256.Size]byte // its fingerprint
	file   io.Closer
	stored *io.SectionReader         // the pickle, perhaps compressed
	unpack func(io.Reader) io.Reader // unpacks stored; nil: it is not compressed
	crc    *uint32                   // of the unpacked pickle; nil: not known
}

// pickleFile is a pickle that can be read from the middle.
type pickleFile interface {
	io.ReaderAt
	io.Closer
}

// findOrMakeIndex returns an index and the pickle that it describes. It uses the cache if that
// is sound and does not hold the distrusted index; otherwise it makes the index. If it succeeds
// with an unpacked pickle from the cache, it closes p.file.
func (p *located) findOrMakeIndex(ctx context.Context, distrusted *fileIndex, progress func(done, total int64)) (*fileIndex, pickleFile, error) {
	var err error
	if p.print, err = fingerprint(p.path, p.info.Size()); err != nil {
		return nil, nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	packed := &progressReader{ctx: ctx, r: p.stored, total: p.stored.Size(), report: progress}
	cache, err := cacheOf(p.path)
	if err != nil {
		if p.unpack != nil {
			return nil, nil, usage.Errorf("cannot unpack %s: %w; set XDG_CACHE_HOME to a directory that nb201 can write to", p.path, err)
		}
		index, err := p.indexInFile(packed) // not cached: the next Open takes as long
		return index, p.inFile(), err
	}
	if index, src := p.readCached(cache, distrusted); index != nil {
		return index, src, nil
	}
	unlock, locked, err := cache.lock(ctx, packed.show)
	if err != nil {
		return nil, nil, err
	}
	defer unlock()
	if index, src := p.readCached(cache, distrusted); index != nil { // made by another process meanwhile
		return index, src, nil
	}
	if locked {
		cache.sweep(cacheLimit)
	}
	if p.unpack != nil {
		return p.unpackTo(cache, packed)
	}
	index, err := p.indexInFile(packed)
	if err != nil {
		return nil, nil, err
	}
	_ = cache.write(index) // if this fails, the next Open takes as long
	return index, p.inFile(), nil
}

// inFile returns the pickle of a file that is not compressed.
func (p *located) inFile() pickleFile {
	return struct {
		io.ReaderAt
		io.Closer
	}{p.stored, p.file}
}

// readCached returns the index and the pickle in the cache; nil unless they are sound, match the
// file as it is now, and the index is not the distrusted one.
func (p *located) readCached(cache fileCache, distrusted *fileIndex) (*fileIndex, pickleFile) {
	index := cache.read()
	if index == nil || index.Size != p.info.Size() || !index.Modified.Equal(p.info.ModTime()) || index.Print != p.print {
		return nil, nil
	}
	if distrusted != nil && index.Made.Equal(distrusted.Made) {
		return nil, nil
	}
	if p.unpack == nil {
		cache.markUsed()
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
	cache.markUsed()
	_ = p.file.Close() // it was only read
	return index, f
}

// fingerprint returns a hash of a file's size, its ends and blocks spread over it. The ends alone
// distinguish contents: a zip file ends with the CRC of each of its members, and a bzip2 file with
// a CRC of all its contents.
func fingerprint(path string, size int64) (sum [sha256.Size]byte, err error) {
	const end, block, blocks = 64 << 10, 4 << 10, 64
	f, err := infile.Open(path)
	if err != nil {
		return sum, err
	}
	defer f.Close()
	h := sha256.New()
	fmt.Fprintln(h, size)
	read := func(from, n int64) {
		if err == nil {
			_, err = io.Copy(h, io.NewSectionReader(f, from, n))
		}
	}
	read(0, end)
	for i := range int64(blocks) {
		read(size/blocks*i, block)
	}
	read(max(size-end, 0), end)
	return [sha256.Size]byte(h.Sum(nil)), err
}

// unpackTo writes the unpacked pickle and its index into the cache, and returns both.
func (p *located) unpackTo(cache fileCache, packed *progressReader) (index *fileIndex, src pickleFile, err error) {
	to := &boundedWriter{path: p.path, dir: cache.dir, packed: p.stored.Size(), limit: max(maxUnpacked, maxRatio*p.stored.Size())}
	err = cache.replace(cache.pickle(), func(w io.Writer) (err error) {
		sums := blocksum.NewWriter()
		to.w = io.MultiWriter(w, sums)
		crc := crc32.NewIEEE()
		unpacked := io.TeeReader(p.unpack(packed), crc)
		if index, err = p.makeIndex(io.TeeReader(unpacked, to), sums); err == nil {
			err = cmp.Or(p.checkEnd(unpacked, to), p.compare(crc))
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

// checkEnd reads to the end of the unpacked data, which is normally the end of the pickle: only
// then has the last block of a compressed file been compared with its checksum.
func (p *located) checkEnd(unpacked io.Reader, to *boundedWriter) error {
	switch _, err := io.CopyN(io.Discard, unpacked, to.limit-to.done+1); {
	case err == nil:
		return to.tooLarge()
	case err != io.EOF: //nolint:errorlint // a wrapped one is of a damaged file
		return p.unreadable(err)
	}
	return nil
}

func (p *located) unreadable(err error) error {
	return results.AsDamaged(usage.Errorf("%s is not a readable merged benchmark file: %w; download it again, or name another file", p.path, err))
}

// indexInFile makes the index of a pickle that is not compressed.
func (p *located) indexInFile(packed io.Reader) (*fileIndex, error) {
	sums, crc := blocksum.NewWriter(), crc32.NewIEEE()
	all := io.TeeReader(packed, crc)
	index, err := p.makeIndex(io.TeeReader(all, sums), sums)
	if err == nil && p.crc != nil {
		if _, err := io.Copy(io.Discard, all); err != nil {
			return nil, p.unreadable(err)
		}
		err = p.compare(crc)
	}
	return index, err
}

// compare compares the CRC of the whole pickle with that in the file.
func (p *located) compare(crc hash.Hash32) error {
	if p.crc != nil && crc.Sum32() != *p.crc {
		return p.unreadable(errors.New("its contents do not match their CRC"))
	}
	return nil
}

// makeIndex scans a pickle to its end. sums must hash everything that r reads.
func (p *located) makeIndex(r io.Reader, sums *blocksum.Writer) (*fileIndex, error) {
	value, entries, err := pickle.Reader{Class: torchfile.Class}.Index(r, "arch2infos")
	if err != nil {
		return nil, p.unreadable(err)
	}
	index := &fileIndex{
		Version: indexVersion, Made: time.Now(), Size: p.info.Size(), Modified: p.info.ModTime(), Print: p.print,
		Pickle: entries, Sums: sums.Sums(),
	}
	space, listed, err := Listed(pickled.Dict(*value))
	if err != nil {
		return nil, results.AsDamaged(usage.Errorf("%s: %w", p.path, err))
	}
	index.Space, index.Listed = space.Name(), listed
	held := map[int]bool{}
	for _, e := range entries.Entries {
		if e.Key < 0 || e.Key >= int64(index.Listed) {
			return nil, results.AsDamaged(usage.Errorf("%s: arch2infos contains architecture %d, but meta_archs lists only %d", p.path, e.Key, index.Listed))
		}
		held[int(e.Key)] = true
	}
	evaluated, err := pickled.Field(pickled.Dict(*value), "evaluated_indexes", pickled.AsList)
	if err != nil {
		return nil, results.AsDamaged(usage.Errorf("%s: %w", p.path, err))
	}
	for _, v := range evaluated {
		index, err := pickled.AsInt(v)
		if err != nil || !held[index] {
			return nil, results.AsDamaged(usage.Errorf("%s: evaluated_indexes lists %v, which is not in arch2infos or is listed twice", p.path, v))
		}
		delete(held, index)
	}
	if len(held) > 0 {
		return nil, results.AsDamaged(usage.Errorf("%s: arch2infos contains %d architectures that are not in evaluated_indexes", p.path, len(held)))
	}
	return index, nil
}

// Listed returns the number of architectures in the meta_archs of a file, and their search space, which is
// that of the first. They must be the first ones in the order of their indices. Usually it lists all.
func Listed(d pickled.Dict) (space cell.Space, listed int, err error) {
	archs, err := pickled.Field(d, "meta_archs", pickled.AsList)
	if err != nil {
		return nil, 0, err
	}
	space = cell.Topology{}
	if len(archs) > 0 {
		if of, ok := cell.SpaceOf(fmt.Sprint(archs[0])); ok {
			space = of
		}
	}
	if len(archs) > space.Count() {
		return nil, 0, fmt.Errorf("meta_archs lists %d architectures, but the %s has %d", len(archs), space.Title(), space.Count())
	}
	for i, a := range space.All() {
		if i < len(archs) && archs[i] != a.String() {
			return nil, 0, fmt.Errorf("meta_archs[%d] is %v, but architecture %d of the %s is %s", i, archs[i], i, space.Title(), a)
		}
	}
	return space, len(archs), nil
}

// progressReader reports how many bytes it has read, and fails once its context is done.
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
