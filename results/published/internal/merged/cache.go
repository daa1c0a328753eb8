package merged

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/gofrs/flock"

	"nb201/cell"
	"nb201/internal/atomicfile"
	"nb201/internal/blocksum"
	"nb201/internal/cachedir"
	"nb201/internal/infile"
	"nb201/internal/lockfile"
	"nb201/internal/pickle"
	"nb201/internal/usage"
	"nb201/internal/userdir"
)

// This file manages the user's cache directory of merged files. Everything in it can be made
// again, and may be damaged, cut short, outdated or missing: it is used only if its hash matches.

// fileIndex is the index of a merged file, as it is stored in the cache.
type fileIndex struct {
	Version  int
	Made     time.Time
	Size     int64 // bytes of the merged file
	Modified time.Time
	Print    [sha256.Size]byte // fingerprint of the merged file
	Space    cell.Name         // search space of the architectures
	Listed   int               // number of architectures in meta_archs
	Pickle   *pickle.Index     // positions of the entries in the unpacked pickle
	Sums     blocksum.Sums     // hashes of the unpacked pickle
}

// indexVersion is the version of fileIndex and its parts.
const indexVersion = 5

// indexMagic begins the file of an index. The SHA-256 of the rest follows, and then the rest: a
// fileIndex encoded by encoding/gob.
const indexMagic = "nb201 merged index 5\n"

// encode returns the contents of the index file.
func (i *fileIndex) encode() ([]byte, error) {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(i); err != nil {
		return nil, err
	}
	return sealIndex(body.Bytes()), nil
}

// sealIndex prepends the magic and the hash to a body.
func sealIndex(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(append([]byte(indexMagic), sum[:]...), body...)
}

// decodeIndex decodes the contents of an index file; nil if they are damaged or inconsistent.
func decodeIndex(file []byte) *fileIndex {
	const head = len(indexMagic) + sha256.Size
	if len(file) < head || !bytes.Equal(file[:head], sealIndex(file[head:])[:head]) {
		return nil
	}
	body, index := bytes.NewReader(file[head:]), new(fileIndex)
	if err := gob.NewDecoder(body).Decode(index); err != nil || body.Len() > 0 || !index.valid() {
		return nil
	}
	return index
}

func (i *fileIndex) valid() bool {
	if i.Version != indexVersion || i.Space.Check() != nil || i.Pickle == nil || !i.Sums.Valid() || !i.Pickle.Valid() || i.Pickle.Length > i.Sums.Length {
		return false
	}
	for _, e := range i.Pickle.Entries {
		if e.Key < 0 || e.Key >= int64(i.Listed) {
			return false
		}
	}
	return true
}

// fileCache locates the files of one merged file in the cache directory: NAME.index, and
// NAME.pickle if it had to be unpacked. A process that writes them holds a lock.
type fileCache struct {
	dir, name string
}

// cacheLimit limits the bytes in the cache for all merged files together. The largest published
// one has about 5 GB unpacked.
const cacheLimit = 32 << 30

// ourNames matches the names of all files of this package in the cache, and tempNames those of
// temporary files only; the first group of tempNames is the name of the fileCache.
var (
	ourNames  = regexp.MustCompile(`^\.?[0-9a-f]{24}\.(?:index|pickle)(?:\..*\.tmp)?$`)
	tempNames = regexp.MustCompile(`^\.([0-9a-f]{24})\.(?:index|pickle)\..*\.tmp$`)
)

// cacheOf returns the fileCache of the merged file at path. It creates the cache directory.
func cacheOf(path string) (fileCache, error) {
	dir, err := userdir.Cache()
	if err != nil {
		return fileCache{}, err
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return fileCache{}, err
	}
	sum := sha256.Sum256([]byte(absolute))
	return fileCache{dir, hex.EncodeToString(sum[:12])}, os.MkdirAll(dir, 0o777)
}

func (c fileCache) index() string { return filepath.Join(c.dir, c.name+".index") }

func (c fileCache) pickle() string { return filepath.Join(c.dir, c.name+".pickle") }

// lock waits until no other process writes the cache of the same file, and calls waiting in the
// meantime. ok is false if the directory does not support locks.
func (c fileCache) lock(ctx context.Context, waiting func()) (unlock func(), ok bool, err error) {
	l := lockOf(c.dir, c.name)
	for {
		locked, err := l.TryLock()
		if err != nil {
			return func() {}, false, nil
		}
		if locked {
			return func() { _ = l.Unlock() }, true, nil
		}
		waiting()
		select {
		case <-ctx.Done():
			return nil, false, ctx.Err()
		case <-time.After(100 * time.Millisecond):
		}
	}
}

// lockOf returns the lock of a fileCache. The lock file is never removed, since another process
// could then lock a new one at the same time. To limit their number, several caches share one.
func lockOf(dir, name string) *flock.Flock {
	return lockfile.New(filepath.Join(dir, ".merged-"+name[:2]+".lock"))
}

// sweep removes temporary files of killed processes, for this and for other merged files, and the
// least recently used files while the cache exceeds limit bytes. The caller holds the lock.
func (c fileCache) sweep(limit int64) {
	files, _, err := cachedir.List(c.dir, tempNames)
	if err != nil {
		return // the next process tries again
	}
	for _, f := range files {
		name := tempNames.FindStringSubmatch(f.Name())[1]
		if name[:2] != c.name[:2] {
			l := lockOf(c.dir, name)
			if locked, err := l.TryLock(); err != nil || !locked {
				continue // a process is writing it
			}
			_ = l.Unlock() // the writer holds its lock until it renames the file, so it is dead
		}
		_ = os.Remove(filepath.Join(c.dir, f.Name()))
	}
	_ = cachedir.Trim(c.dir, ourNames, limit, func(f fs.FileInfo) bool {
		return tempNames.MatchString(f.Name()) || f.Name() == filepath.Base(c.index()) || f.Name() == filepath.Base(c.pickle())
	})
}

// read returns the index in the cache; nil if it is missing or cannot be read.
func (c fileCache) read() *fileIndex {
	file, err := infile.Read(c.index(), infile.MaxText)
	if err != nil {
		return nil
	}
	return decodeIndex(file)
}

// markUsed updates the files' times, by which sweep finds the least recently used.
func (c fileCache) markUsed() {
	now := time.Now()
	for _, path := range []string{c.index(), c.pickle()} {
		_ = os.Chtimes(path, now, now) // if this fails, the file is only removed sooner
	}
}

// replace writes a file in the cache, and replaces any file or directory of the same name.
func (c fileCache) replace(path string, write func(io.Writer) error) error {
	if info, err := os.Lstat(path); err == nil && info.IsDir() {
		if err := os.RemoveAll(path); err != nil {
			return err
		}
	}
	return atomicfile.Replace(path, write)
}

func (c fileCache) write(index *fileIndex) error {
	file, err := index.encode()
	if err != nil {
		return err
	}
	return c.replace(c.index(), func(w io.Writer) error {
		_, err := w.Write(file)
		return err
	})
}

const (
	// maxUnpacked and maxRatio limit the unpacked size of a compressed file: to maxUnpacked
	// bytes, or to maxRatio times its size if that is more. bzip2 compresses a benchmark's
	// numbers by a factor of 3, and a file of zeros by a million.
	maxUnpacked = 64 << 20
	maxRatio    = 250
	// roomEvery is the number of bytes after which unpacking checks the free disk space again.
	roomEvery = 16 << 20
)

// boundedWriter writes the unpacked pickle. It refuses sizes that no benchmark has, and stops
// before the disk is full. It keeps its error, since readers may wrap it beyond recognition.
type boundedWriter struct {
	w       io.Writer
	path    string // merged file that is unpacked
	dir     string // directory that is written to
	packed  int64  // bytes of the merged file
	limit   int64  // bytes that may be written
	done    int64  // bytes written
	checked int64  // bytes written when the disk space was last checked
	err     error
}

func (b *boundedWriter) Write(text []byte) (int, error) {
	if b.err == nil {
		b.err = b.check(int64(len(text)))
	}
	if b.err != nil {
		return 0, b.err
	}
	n, err := b.w.Write(text)
	b.done += int64(n)
	if err != nil {
		b.err = b.explain(err)
	}
	return n, b.err
}

func (b *boundedWriter) check(more int64) error {
	if b.done+more > b.limit {
		return b.tooLarge()
	}
	if b.done+more < b.checked+roomEvery {
		return nil
	}
	b.checked = b.done
	var disk syscall.Statfs_t
	if err := syscall.Statfs(b.dir, &disk); err != nil {
		return nil // writing will fail if there is no room
	}
	free, all := disk.Bavail*uint64(disk.Bsize), disk.Blocks*uint64(disk.Bsize)
	if tooFull(free, all, uint64(more)) {
		return b.noRoom(humanize.IBytes(free) + " free")
	}
	return nil
}

// tooFull reports whether writing more bytes would leave less than 256 MiB of a disk free, or less
// than 5 % of a small one. A file system that reports a size of 0 never counts as too full.
func tooFull(free, all, more uint64) bool { return all > 0 && free < min(256<<20, all/20)+more }

func (b *boundedWriter) tooLarge() error {
	return usage.Errorf("%s (%d bytes) unpacks to more than %s, which no benchmark does; download it again, or name another file",
		b.path, b.packed, humanize.IBytes(uint64(b.limit)))
}

// explain turns an error of writing to the cache directory into a usage error with advice.
func (b *boundedWriter) explain(err error) error {
	for _, reason := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, reason) {
			return b.noRoom(reason.Error())
		}
	}
	if usage.Is(err) {
		return err
	}
	return usage.Errorf("cannot unpack %s into the cache: %w; set XDG_CACHE_HOME to a directory that nb201 can write to", b.path, err)
}

func (b *boundedWriter) noRoom(why string) error {
	return usage.Errorf("the cache directory %s has no room to unpack %s (%s unpacked so far, %s); "+
		"free some, or set XDG_CACHE_HOME to a directory on a larger disk",
		b.dir, b.path, humanize.IBytes(uint64(b.done)), why)
}
