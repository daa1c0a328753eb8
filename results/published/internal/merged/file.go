package merged

import (
	"cmp"
	"compress/bzip2"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
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

// File is a merged file that is open, of which single entries of arch2infos are read. It is
// safe for concurrent use.
type File struct {
	path   string
	locate Locate

	mu      sync.RWMutex // for writing while what is below changes
	index   *fileIndex
	entries *pickle.Entries
	file    io.Closer
}

// Locate opens a file and says where its pickle lies.
type Locate func(path string, size int64) (*Stored, error)

// Stored is where the pickle of a merged file lies.
type Stored struct {
	File   io.Closer
	Bytes  *io.SectionReader
	Unpack func(io.Reader) io.Reader // of Bytes; nil: they are not compressed
}

// BZ2 is a Locate of files that are one pickle, compressed with bzip2.
func BZ2(path string, size int64) (*Stored, error) {
	f, err := infile.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	return &Stored{File: f, Bytes: io.NewSectionReader(f, 0, size), Unpack: bzip2.NewReader}, nil
}

// Open opens a merged file by its index: one in the cache, or a new one. While it makes that
// it calls progress, unless that is nil, with how many bytes it has walked over. It ends early
// when ctx does. A file that is damaged is results.ErrDamaged.
func Open(ctx context.Context, path string, locate Locate, progress func(done, total int64)) (*File, error) {
	f := &File{path: path, locate: locate}
	if err := f.open(ctx, progress); err != nil {
		return nil, err
	}
	return f, nil
}

// Listed counts the architectures in meta_archs.
func (f *File) Listed() int { return f.index.Listed }

// Architectures lists those that have an entry.
func (f *File) Architectures() (archs []int) {
	for _, e := range f.index.Pickle.Entries {
		archs = append(archs, int(e.Key))
	}
	return archs
}

// open opens the file by its index: one in the cache, if that is not the index that f has,
// or a new one.
func (f *File) open(ctx context.Context, progress func(done, total int64)) error {
	p, err := f.find()
	if err != nil {
		return err
	}
	index, src, err := p.indexed(ctx, f.index, progress)
	if err != nil {
		return errors.Join(err, p.file.Close())
	}
	f.index, f.file = index, src
	f.entries = pickle.Reader{Class: torchfile.Class}.Entries(blocksum.NewReader(src, index.Sums), index.Pickle)
	return nil
}

// find finds the pickle.
func (f *File) find() (*located, error) {
	info, err := os.Stat(f.path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	at, err := f.locate(f.path, info.Size())
	if err != nil {
		return nil, err
	}
	return &located{path: f.path, info: info, file: at.File, stored: at.Bytes, unpack: at.Unpack}, nil
}

// Close closes the file.
func (f *File) Close() error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.file.Close()
}

// Decode reads an entry. Where its bytes are not those that were indexed, because somebody
// has damaged the cache or written to the file, the index is made anew, once.
func (f *File) Decode(index int) (any, error) {
	v, by, err := f.decodeBy(index)
	if !errors.Is(err, blocksum.ErrDamaged) {
		return v, results.AsDamaged(err)
	}
	f.mu.Lock()
	if f.index == by {
		old := f.file
		if err := f.open(context.Background(), nil); err != nil {
			f.mu.Unlock()
			return nil, err
		}
		_ = old.Close()
	}
	f.mu.Unlock()
	if v, _, err = f.decodeBy(index); errors.Is(err, blocksum.ErrDamaged) {
		return nil, fmt.Errorf("it, or its copy in the cache, changes while it is read (%w): try again when nobody writes to it", err)
	}
	return v, results.AsDamaged(err)
}

// decodeBy is Decode by the index that f has now, which it returns.
func (f *File) decodeBy(index int) (any, *fileIndex, error) {
	f.mu.RLock()
	defer f.mu.RUnlock()
	v, err := f.entries.Decode(int64(index))
	return v, f.index, err
}

// located is the pickle of a merged file, and where it lies.
type located struct {
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

// indexed returns the index and the pickle that it is of: from the cache, if what is there
// is sound and not the index that is distrusted, or made anew. It closes p.file where that
// is not the pickle's, unless it fails.
func (p *located) indexed(ctx context.Context, distrusted *fileIndex, progress func(done, total int64)) (*fileIndex, pickleFile, error) {
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
		cache.sweep(cacheLimit)
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
func (p *located) inFile() pickleFile {
	return struct {
		io.ReaderAt
		io.Closer
	}{p.stored, p.file}
}

// cached is what the cache holds of the file as it is now; nil where it holds nothing that
// is sound.
func (p *located) cached(cache fileCache, distrusted *fileIndex) (*fileIndex, pickleFile) {
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

// unpackTo puts the pickle and its index into the cache.
func (p *located) unpackTo(cache fileCache, packed *progressReader) (index *fileIndex, src pickleFile, err error) {
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
func (p *located) checkEnd(unpacked io.Reader, to *bounded) error {
	switch _, err := io.CopyN(io.Discard, unpacked, to.limit-to.done+1); {
	case err == nil:
		return to.tooLarge()
	case err != io.EOF: //nolint:errorlint // a wrapped one is of a damaged file
		return p.wrong(err)
	}
	return nil
}

func (p *located) wrong(err error) error {
	return results.AsDamaged(usage.Errorf("%s is no merged benchmark file that can be read: %w: get it again, or name another file", p.path, err))
}

// indexInFile makes the index of a pickle that is not compressed.
func (p *located) indexInFile(packed io.Reader) (*fileIndex, error) {
	sums := blocksum.NewWriter()
	return p.makeIndex(io.TeeReader(packed, sums), sums)
}

// makeIndex walks over a pickle once, to its end. sums has hashed what it reads.
func (p *located) makeIndex(r io.Reader, sums *blocksum.Writer) (*fileIndex, error) {
	value, entries, err := pickle.Reader{Class: torchfile.Class}.Index(r, "arch2infos")
	if err != nil {
		return nil, p.wrong(err)
	}
	index := &fileIndex{Version: indexVersion, Made: time.Now(), Size: p.info.Size(), Modified: p.info.ModTime(), Print: p.print, Pickle: entries, Sums: sums.Sums()}
	if index.Listed, err = Listed(pickled.Dict(*value)); err != nil {
		return nil, results.AsDamaged(usage.Errorf("%s: %w", p.path, err))
	}
	held := map[int]bool{}
	for _, e := range entries.Entries {
		if e.Key < 0 || e.Key >= int64(index.Listed) {
			return nil, results.AsDamaged(usage.Errorf("%s: arch2infos holds architecture %d, meta_archs lists %d", p.path, e.Key, index.Listed))
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
			return nil, results.AsDamaged(usage.Errorf("%s: evaluated_indexes lists %v, which arch2infos lacks or which stands there twice", p.path, v))
		}
		delete(held, index)
	}
	if len(held) > 0 {
		return nil, results.AsDamaged(usage.Errorf("%s: arch2infos holds %d architectures that evaluated_indexes lacks", p.path, len(held)))
	}
	return index, nil
}

// Listed reads meta_archs of a file: how many of the first architectures of the official
// order it lists, usually all.
func Listed(d pickled.Dict) (int, error) {
	archs, err := pickled.Field(d, "meta_archs", pickled.AsList)
	if err != nil {
		return 0, err
	}
	if len(archs) > cell.Count {
		return 0, fmt.Errorf("meta_archs lists %d architectures, the search space has %d", len(archs), cell.Count)
	}
	for i, a := range cell.All() {
		if i < len(archs) && archs[i] != a.String() {
			return 0, fmt.Errorf("meta_archs has %v at place %d, where the official order has %s", archs[i], i, a)
		}
	}
	return len(archs), nil
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
