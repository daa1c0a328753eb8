// Package lockfile locks files between processes. A process that dies gives its locks
// back.
package lockfile

import (
	"errors"
	"os"
	"syscall"

	"github.com/gofrs/flock"
)

// New returns the lock on the file at path, which locking makes. Users who share the
// directory share the lock: the file has the rights that the umask leaves, as others do.
// Neither a symbolic link nor a named pipe in its place is followed or waited for.
func New(path string) *flock.Flock {
	return flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK), flock.SetPermissions(0o666))
}

// Unsupported reports whether err is that of a file system without locks.
func Unsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOLCK)
}
