// Package golden loads the test vectors that the original PyTorch program produced, from
// testdata/golden in this repository or the directory named by NB201_GOLDEN.
package golden

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"nb201/internal/needs"
)

// Dir returns the directory of the vectors.
func Dir() string {
	if dir := os.Getenv("NB201_GOLDEN"); dir != "" {
		return dir
	}
	dir, err := os.Getwd() // a test runs in its package's directory
	for err == nil && dir != filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			break
		}
		dir = filepath.Dir(dir)
	}
	return filepath.Join(dir, "testdata", "golden")
}

// Of returns the name of the file that holds for a search space, by its name in files, what file holds
// for the topology search space: sss_traj.json for traj.json.
func Of[Name ~string](space Name, file string) string {
	if space == "" {
		return file
	}
	return string(space) + "_" + file
}

// Load decodes the named vector file into v. It skips the test if NB201_GOLDEN is set and its
// directory lacks the file.
func Load(t testing.TB, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(Dir(), name))
	if errors.Is(err, fs.ErrNotExist) && os.Getenv("NB201_GOLDEN") != "" {
		needs.Golden(t, fmt.Errorf("no %s in %s", name, Dir()))
	}
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

// Glob returns the names of the vector files that match pattern. It skips the test if there
// are none.
func Glob(t testing.TB, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(Dir(), pattern))
	if err != nil {
		t.Fatal(err)
	}
	if len(paths) == 0 {
		needs.Golden(t, fmt.Errorf("no %s in %s", pattern, Dir()))
	}
	names := make([]string, len(paths))
	for i, p := range paths {
		names[i] = filepath.Base(p)
	}
	return names
}
