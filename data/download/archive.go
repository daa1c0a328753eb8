// Package download gets the datasets that their authors publish as a single archive:
// CIFAR-10 and CIFAR-100.
//
// An [Archive] is a gzipped tar file of one directory with the files that a dataset
// definition reads. Its size and checksums are known, so it may come from any mirror.
// [Find] returns the archive of a dataset key. [Archive.Get] downloads it to NAME.partial,
// from which a later Get resumes, and unpacks it next to that.
package download

import (
	"errors"
	"path/filepath"
	"strings"

	"nb201/data"
	"nb201/internal/usage"
)

// Address is the URL of the directory where the authors publish CIFAR.
const Address = "https://www.cs.toronto.edu/~kriz"

// The versions of an archive, which store the same images in different files.
const (
	Python = "python"
	Binary = "binary"
)

// Versions lists the versions, the one that the published definitions use first.
func Versions() []string { return []string{Python, Binary} }

// Archive describes a published archive.
type Archive struct {
	Name      string // of the archive file
	Size      int64  // in bytes
	MD5       string // in hex
	SHA256    string // in hex
	Directory string // name of the directory in it
	// Dataset is a definition that reads the unpacked files. Its Path is not used.
	Dataset data.Definition
}

// archives lists CIFAR's archives by the format of their files, without definitions.
//
// The MD5 sums are from https://www.cs.toronto.edu/~kriz/cifar.html; those of the Python
// versions are also in torchvision/datasets/cifar.py. Sizes and SHA-256 sums of the binary
// versions are from tensorflow_datasets/url_checksums/cifar10.txt and cifar100.txt. SHA-256
// sums of the Python versions are from keras/datasets/cifar10.py and cifar100.py; their
// sizes are widely published with them.
var archives = map[string]Archive{
	"cifar10-python": {
		Name: "cifar-10-python.tar.gz", Size: 170498071,
		MD5:       "c58f30108f718f92721af3b95e74349a",
		SHA256:    "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce",
		Directory: "cifar-10-batches-py",
	},
	"cifar10-binary": {
		Name: "cifar-10-binary.tar.gz", Size: 170052171,
		MD5:       "c32a1d4ab5d03f1284b67883e8d87530",
		SHA256:    "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
		Directory: "cifar-10-batches-bin",
	},
	"cifar100-python": {
		Name: "cifar-100-python.tar.gz", Size: 169001437,
		MD5:       "eb9058c3a382ffc7106e4002c42a8d85",
		SHA256:    "85cd44d02ba6437773c5bbd22e183051d648de2e7d6b014e1ef29b855ba677a7",
		Directory: "cifar-100-python",
	},
	"cifar100-binary": {
		Name: "cifar-100-binary.tar.gz", Size: 168513733,
		MD5:       "03b5dce01913d631647c71ecec9e9cb8",
		SHA256:    "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
		Directory: "cifar-100-binary",
	},
}

// ErrByHand reports that the files of a dataset key cannot be downloaded as one archive.
var ErrByHand = errors.New("no download; put its files into the data directory by hand")

// ErrEmbedded reports that the images of a dataset key are part of this program.
var ErrEmbedded = errors.New("part of this program; there is nothing to download")

// Find returns the archive with a dataset key's images, in one of the [Versions]. A key
// without an archive is a usage error, which may wrap [ErrByHand] or [ErrEmbedded].
func Find(key, version string) (Archive, error) {
	if filepath.Ext(key) == ".json" {
		return Archive{}, usage.Errorf("%s: no download is known for a dataset of your own; put its files where its \"path\" points", key)
	}
	d, err := data.Published(key)
	if err != nil {
		return Archive{}, err
	}
	family, _ := strings.CutSuffix(d.Format, Python)
	a, ok := archives[family+version]
	switch {
	case ok:
		a.Dataset = d
		a.Dataset.Format = family + version
		return a, nil
	case archives[d.Format].Name != "":
		return Archive{}, usage.Errorf("unknown --format %q for %s; use %s", version, key, strings.Join(Versions(), " or "))
	case d.Path == "":
		return Archive{}, usage.Errorf("%s is %w", key, ErrEmbedded)
	}
	return Archive{}, usage.Errorf("%s has %w", key, ErrByHand)
}
