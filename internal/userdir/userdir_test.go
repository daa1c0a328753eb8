package userdir

import (
	"errors"
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strings"
	"testing"
)

func TestHomeAndCache(t *testing.T) {
	own, cacheHome, temp := t.TempDir(), t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", temp)
	link := filepath.Join(cacheHome, "link")
	if err := os.Symlink(own, link); err != nil {
		t.Fatal(err)
	}
	open := filepath.Join(own, "open")
	if err := errors.Join(os.Mkdir(open, 0o777), os.Chmod(open, 0o777)); err != nil {
		t.Fatal(err)
	}
	inTemp := filepath.Join(temp, fmt.Sprintf("nb201-%d", os.Getuid()))
	for _, c := range []struct{ variable, cacheVariable, database, home, cache string }{
		{own, "", "", own, filepath.Join(own, ".cache", "nb201")},
		{own, cacheHome, "", own, filepath.Join(cacheHome, "nb201")},
		{"", cacheHome, "", "", filepath.Join(cacheHome, "nb201")},
		{"", "", own, own, filepath.Join(own, ".cache", "nb201")},
		{"", "", link, link, filepath.Join(link, ".cache", "nb201")},
		{"", "", "/nonexistent", "", inTemp},
		{"", "", open, "", inTemp},
		{"", "", "", "", inTemp},
	} {
		t.Setenv("HOME", c.variable)
		t.Setenv("XDG_CACHE_HOME", c.cacheVariable)
		current := func() (*user.User, error) {
			if c.database == "" {
				return nil, user.UnknownUserIdError(os.Getuid())
			}
			return &user.User{HomeDir: c.database}, nil
		}
		if got, err := home(current); got != c.home || (err == nil) != (c.home != "") {
			t.Errorf("%+v: the home is %q, %v", c, got, err)
		}
		if got, err := cache(current); got != c.cache || err != nil {
			t.Errorf("%+v: the cache is %q, %v", c, got, err)
		}
	}
}

// Temp refuses what other users could have prepared, since programs are loaded from there.
func TestTemp(t *testing.T) {
	name := fmt.Sprintf("nb201-%d", os.Getuid())
	for _, c := range []struct {
		name    string
		prepare func(dir string) error
		refused bool
	}{
		{"absent", func(string) error { return nil }, false},
		{"own", func(dir string) error { return os.Mkdir(dir, 0o700) }, false},
		{"open to the group", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o770), os.Chmod(dir, 0o770)) }, true},
		{"open to all", func(dir string) error { return errors.Join(os.Mkdir(dir, 0o777), os.Chmod(dir, 0o777)) }, true},
		{"file", func(dir string) error { return os.WriteFile(dir, nil, 0o600) }, true},
		{"link", func(dir string) error { return os.Symlink(t.TempDir(), dir) }, true},
		{"another user's", func(dir string) error {
			if os.Getuid() != 0 {
				return os.Symlink("/", dir) // only root can give a directory away
			}
			return errors.Join(os.Mkdir(dir, 0o700), os.Chown(dir, 1, 1))
		}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			temp := t.TempDir()
			t.Setenv("TMPDIR", temp)
			if err := c.prepare(filepath.Join(temp, name)); err != nil {
				t.Fatal(err)
			}
			dir, err := Temp()
			if c.refused {
				if err == nil || !strings.Contains(err.Error(), name+" is not a directory that user") {
					t.Fatalf("%q, %v", dir, err)
				}
				return
			}
			if err != nil || dir != filepath.Join(temp, name) {
				t.Fatalf("%q, %v", dir, err)
			}
			if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
				t.Errorf("%v, %v", info, err)
			}
		})
	}
}
