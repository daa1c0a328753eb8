package verify

import (
	"io/fs"
	"path/filepath"

	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// listFiles lists the files of a benchmark.
func listFiles(b *benchmark.Benchmark) ([]string, error) {
	root, err := filepath.EvalSymlinks(b.Path)
	if err != nil {
		return nil, usage.Errorf("cannot verify: %w", err)
	}
	var files []string
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			files = append(files, filepath.Join(b.Path, name))
		}
		return err
	})
	if err != nil {
		return nil, usage.Errorf("cannot verify: %w", err)
	}
	return files, nil
}

// checkFile checks one file by itself, by the rules of its format.
func (f *findings) checkFile(b *benchmark.Benchmark, path string) {
	f.countChecked(CheckFiles)
	note, faults := b.CheckFile(path)
	if note != "" {
		f.notes = append(f.notes, Note{Check: CheckFiles, What: note})
	}
	for _, err := range faults {
		f.addFault(CheckFiles, nil, "%v", err)
	}
}
