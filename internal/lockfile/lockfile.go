// Package lockfile makes locks between processes on files. The kernel releases the locks of
// a process that dies.
package lockfile

import (
	"errors"
	"os"
	"syscall"

	"github.com/gofrs/flock"
)

// New returns the lock on the file at path. Locking it makes the file, with the permissions
// that the umask leaves, so that users who share the directory share the lock. Locking does
// not follow a symbolic link at path, nor wait for a named pipe.
func New(path string) *flock.Flock {
	return flock.New(path, flock.SetFlag(os.O_CREATE|os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK), flock.SetPermissions(0o666))
}

// Unsupported reports whether err means that the file system has no locks.
func Unsupported(err error) bool {
	return errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.ENOLCK)
}
