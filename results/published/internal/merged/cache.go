package merged

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/gob"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/gofrs/flock"

	"nb201/internal/atomicfile"
	"nb201/internal/blocksum"
	"nb201/internal/cachedir"
	"nb201/internal/infile"
	"nb201/internal/lockfile"
	"nb201/internal/pickle"
	"nb201/internal/usage"
	"nb201/internal/userdir"
)

// This file keeps what belongs to merged files in the user's cache directory. All of it
// can be made again, and any of it may be damaged, cut, old or gone: what is there counts
// only where a hash says that it is what was written.

// fileIndex is what the cache keeps of a merged file.
type fileIndex struct {
	Version  int
	Made     time.Time
	Size     int64 // of the file that was indexed
	Modified time.Time
	Print    [sha256.Size]byte // of the file's content, see fingerprint
	Listed   int               // architectures in meta_archs
	Pickle   *pickle.Index
	Sums     blocksum.Sums // of the bytes that Pickle is of: what lies in the file or was unpacked
}

// indexVersion is that of fileIndex and of what it says of a pickle.
const indexVersion = 3

// indexMagic is how the file of an index begins. The SHA-256 of what is behind it follows,
// then that: a fileIndex by encoding/gob.
const indexMagic = "nb201 merged index 3\n"

// encode makes the file of an index.
func (i *fileIndex) encode() ([]byte, error) {
	var body bytes.Buffer
	if err := gob.NewEncoder(&body).Encode(i); err != nil {
		return nil, err
	}
	return sealIndex(body.Bytes()), nil
}

// sealIndex puts the magic and the hash before a body.
func sealIndex(body []byte) []byte {
	sum := sha256.Sum256(body)
	return append(append([]byte(indexMagic), sum[:]...), body...)
}

// decodeIndex reads the file of an index; nil where it is not whole or contradicts itself.
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
	if i.Version != indexVersion || i.Pickle == nil || !i.Sums.Valid() || !i.Pickle.Valid() || i.Pickle.Length > i.Sums.Length {
		return false
	}
	for _, e := range i.Pickle.Entries {
		if e.Key < 0 || e.Key >= int64(i.Listed) {
			return false
		}
	}
	return true
}

// fileCache is what the cache directory keeps of one merged file: NAME.index, and
// NAME.pickle where it had to be unpacked. A process that makes them holds a lock.
type fileCache struct {
	dir, name string
}

// cacheLimit bounds the bytes that the cache keeps of all merged files. The largest
// published one has some 5 GB unpacked.
const cacheLimit = 32 << 30

// ourNames are the names of what lies in the cache, and tempNames of what a process
// writes or was killed at; the first group is the name of a fileCache.
var (
	ourNames  = regexp.MustCompile(`^\.?[0-9a-f]{24}\.(?:index|pickle)(?:\..*\.tmp)?$`)
	tempNames = regexp.MustCompile(`^\.([0-9a-f]{24})\.(?:index|pickle)\..*\.tmp$`)
)

// cacheOf is where the cache keeps what belongs to the file at path. It makes the
// directory.
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

// lock waits until no other process makes what the cache keeps of the same file, and calls
// waiting meanwhile. Where the directory allows no locks, ok is false.
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

// lockOf is the lock of a fileCache. Its file stays, since removing it would let a third
// process lock another one; to keep their number small, some caches share one.
func lockOf(dir, name string) *flock.Flock {
	return lockfile.New(filepath.Join(dir, ".merged-"+name[:2]+".lock"))
}

// sweep removes what killed processes left, here and of other merged files, and what was
// not used for longest when the cache holds more than limit bytes. The caller has the lock.
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
			_ = l.Unlock() // only a dead process has left a file and no lock
		}
		_ = os.Remove(filepath.Join(c.dir, f.Name()))
	}
	_ = cachedir.Trim(c.dir, ourNames, limit, func(f fs.FileInfo) bool {
		return tempNames.MatchString(f.Name()) || f.Name() == filepath.Base(c.index()) || f.Name() == filepath.Base(c.pickle())
	})
}

// read returns the index in the cache; nil where there is none that can be read.
func (c fileCache) read() *fileIndex {
	file, err := infile.Read(c.index(), infile.MaxText)
	if err != nil {
		return nil
	}
	return decodeIndex(file)
}

// used notes that the cache was of use, for sweep.
func (c fileCache) used() {
	now := time.Now()
	for _, path := range []string{c.index(), c.pickle()} {
		_ = os.Chtimes(path, now, now) // where it fails, it is made again sooner
	}
}

// replace puts a file into the cache, whatever has its name there.
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
	// maxUnpacked and maxRatio bound what a compressed file may have unpacked: bytes, or
	// as many times its size if that is more. bzip2 makes the benchmark's numbers 3 times
	// smaller, and a file of zeros a million times.
	maxUnpacked = 64 << 20
	maxRatio    = 250
	// roomEvery is after how many bytes unpacking looks for room on the disk.
	roomEvery = 16 << 20
)

// bounded is what unpacking writes to: it refuses what no benchmark has, and what leaves
// others no room on the disk. Its error is kept, since readers wrap those of a writer.
type bounded struct {
	w       io.Writer
	path    string // of the file that is unpacked
	dir     string
	packed  int64 // its size
	limit   int64
	done    int64
	checked int64 // bytes when the disk was last asked
	err     error
}

func (b *bounded) Write(text []byte) (int, error) {
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

func (b *bounded) check(more int64) error {
	if b.done+more > b.limit {
		return b.tooLarge()
	}
	if b.done+more < b.checked+roomEvery {
		return nil
	}
	b.checked = b.done
	var disk syscall.Statfs_t
	if err := syscall.Statfs(b.dir, &disk); err != nil {
		return nil // then writing fails, or there is room
	}
	free, all := disk.Bavail*uint64(disk.Bsize), disk.Blocks*uint64(disk.Bsize)
	if short(free, all, uint64(more)) {
		return b.noRoom(fmt.Sprintf("%s are left", humanize.IBytes(free)))
	}
	return nil
}

// short reports whether so many more bytes would leave others too little of a disk. Some file
// systems do not say how large they are.
func short(free, all, more uint64) bool { return all > 0 && free < min(256<<20, all/20)+more }

func (b *bounded) tooLarge() error {
	return usage.Errorf("%s of %d bytes has more than %s unpacked, as no benchmark has: get it again, or name another file", b.path, b.packed, humanize.IBytes(uint64(b.limit)))
}

// explain says what an error in the cache directory means.
func (b *bounded) explain(err error) error {
	for _, reason := range []syscall.Errno{syscall.ENOSPC, syscall.EDQUOT} {
		if errors.Is(err, reason) {
			return b.noRoom(reason.Error())
		}
	}
	if usage.Is(err) {
		return err
	}
	return usage.Errorf("cannot unpack %s into the cache: %w: name a directory where nb201 can write in XDG_CACHE_HOME", b.path, err)
}

func (b *bounded) noRoom(why string) error {
	return usage.Errorf("the cache directory %s has no room for %s, %s of which are unpacked (%s): free some, or name a directory with more in XDG_CACHE_HOME", b.dir, b.path, humanize.IBytes(uint64(b.done)), why)
}
