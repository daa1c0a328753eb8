// Package repository gives tests the files of this repository.
package repository

import (
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"testing"
)

// Root is the root of the repository, seen from a package two folders below it, as the packages are
// that use this one.
const Root = "../.."

// made lists the folders that tools and commands make.
var made = []string{".git", ".venv", ".cache", "bin", "demo", "dist"}

// Walk calls visit with the name of every file that belongs to the repository: its path from the
// root, with slashes. An error of visit ends the test.
func Walk(t testing.TB, visit func(name string) error) {
	t.Helper()
	err := fs.WalkDir(os.DirFS(Root), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains(made, path.Base(name)):
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		return visit(name)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// Read returns the text of a file, given by its name.
func Read(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(Root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
