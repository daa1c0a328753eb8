// Package userdir finds the user's directories, even if the environment does not name a home
// directory, as in containers and under some batch systems.
package userdir

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"syscall"
)

// Home returns the user's home directory: $HOME, or else the directory in the system's user
// database if it exists and only the user can write to it.
func Home() (string, error) { return home(user.Current) }

func home(current func() (*user.User, error)) (string, error) {
	if dir, err := os.UserHomeDir(); err == nil {
		return dir, nil
	}
	u, err := current()
	if err != nil {
		return "", fmt.Errorf("HOME is not set, and %w; set it to your home directory", err)
	}
	info, err := os.Stat(u.HomeDir)
	if err == nil {
		err = checkOwner(u.HomeDir, info)
	}
	if err != nil {
		return "", fmt.Errorf("HOME is not set, and the home directory in the user database cannot be used: %w; set HOME", err)
	}
	return u.HomeDir, nil
}

// Cache returns the directory for files of nb201 that can be made again: nb201 in the user's
// cache directory, or the directory of [Temp] for a user without one. It need not exist.
func Cache() (string, error) { return cache(user.Current) }

func cache(current func() (*user.User, error)) (string, error) {
	if dir, err := os.UserCacheDir(); err == nil {
		return filepath.Join(dir, "nb201"), nil
	}
	if dir, err := home(current); err == nil {
		return filepath.Join(dir, ".cache", "nb201"), nil
	}
	return Temp()
}

// Temp makes the directory nb201-UID in the directory for temporary files and returns it.
// Files in it may be loaded as code, so Temp refuses a directory that another user owns or
// can write to.
func Temp() (string, error) {
	dir := filepath.Join(os.TempDir(), fmt.Sprintf("nb201-%d", os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, os.ErrExist) {
		return "", err
	}
	info, err := os.Lstat(dir) // not Stat: anyone could have made a link
	if err == nil {
		err = checkOwner(dir, info)
	}
	if err != nil {
		return "", fmt.Errorf("%w; move it away, or set HOME or XDG_CACHE_HOME", err)
	}
	return dir, nil
}

// checkOwner returns an error unless dir is a directory that the user owns and no other user
// can write to.
func checkOwner(dir string, info os.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !info.IsDir() || !ok || int(stat.Uid) != os.Getuid() || info.Mode().Perm()&0o022 != 0 {
		return fmt.Errorf("%s is not a directory that user %d owns and no other user can write to", dir, os.Getuid())
	}
	return nil
}
