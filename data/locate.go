package data

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nb201/configs"
	"nb201/internal/shell"
	"nb201/internal/usage"
)

// DefaultRoot returns the data directory of a command without --data: $NB201_DATA if set,
// else $TORCH_HOME, else ~/.torch, where the original kept its data.
func DefaultRoot(getenv func(string) string) string {
	for _, name := range []string{"NB201_DATA", "TORCH_HOME"} {
		if root := getenv(name); root != "" {
			return root
		}
	}
	return filepath.Join(getenv("HOME"), ".torch")
}

// binaryVersions maps the formats of CIFAR's Python versions to the binary versions, which
// contain the same images and are read if the Python version is absent.
var binaryVersions = map[string]struct{ directory, format, binary string }{
	formatCIFAR10Python:  {"cifar-10-batches-py", formatCIFAR10Binary, "cifar-10-batches-bin"},
	formatCIFAR100Python: {"cifar-100-python", formatCIFAR100Binary, "cifar-100-binary"},
}

// getCommand returns the command that obtains the images of a built-in dataset key, in the data
// directory root.
func getCommand(key, root string) string {
	command := "nb201 data get " + key
	if key == "ImageNet16-120" { // without a public download
		command = "nb201 data imagenet16 --from DIR"
	}
	if root != DefaultRoot(os.Getenv) {
		command += " --data " + shell.Quote(root)
	}
	return command
}

// ErrNoData reports that the files of a dataset were not found.
var ErrNoData = errors.New("no data")

// locate finds the directory of the files, or the npz file, and the format to read. If they
// are not found, the error wraps [ErrNoData].
func (d *Definition) locate(root string) (format, dir string, err error) {
	if d.Path == "" {
		return d.Format, "", nil
	}
	type place struct{ format, path string }
	places := []place{{d.Format, d.Path}}
	parent, base := filepath.Split(d.Path)
	if v, ok := binaryVersions[d.Format]; ok && base == v.directory {
		places = append(places, place{v.format, filepath.Join(parent, v.binary)})
	}
	roots := []string{root, filepath.Join(root, "cifar.python")}
	if d.dir != "" {
		roots = slices.Insert(roots, 0, d.dir)
	}
	if filepath.IsAbs(d.Path) {
		roots = []string{""}
	}
	for _, p := range places {
		for _, r := range roots {
			dir := filepath.Join(r, p.path)
			if info, err := os.Stat(dir); err == nil && info.IsDir() == (d.Format != formatNpz) {
				return p.format, dir, nil
			}
		}
	}
	remedy := "name the directory that contains it with --data"
	if slices.Contains(configs.Datasets(), d.Name) {
		remedy += ", or run `" + getCommand(d.Name, root) + "`"
	}
	return "", "", usage.Errorf("%w for %s: %s not found in %s; %s", ErrNoData, d.Name, d.Path, strings.Join(slices.Compact(roots), ", "), remedy)
}
