// Package download gets the data sets that their authors publish as a plain archive:
// CIFAR-10 and CIFAR-100.
//
// An archive is a gzipped tar file with one directory, in which are the files that a
// dataset definition reads. It is known by its size and its checksums, and so may come
// from any place, a mirror. Get downloads it beside the directory's place, as
// NAME.partial, which a later Get goes on with, and unpacks it.
package download

import (
	"errors"
	"path/filepath"
	"strings"

	"nb201/data"
	"nb201/internal/usage"
)

// Address is where the authors publish CIFAR.
const Address = "https://www.cs.toronto.edu/~kriz"

// The versions of an archive: the same images in other files.
const (
	Python = "python"
	Binary = "binary"
)

// Versions lists them, the one that the definitions name first.
func Versions() []string { return []string{Python, Binary} }

// Archive is a published archive.
type Archive struct {
	Name      string // of the file
	Size      int64  // in bytes
	MD5       string // in hex
	SHA256    string // in hex
	Directory string // that it holds
	// Dataset is a definition that reads its files, wherever they are: Path is not used.
	Dataset data.Definition
}

// archives are CIFAR's by the formats of the files in them, without definitions.
//
// The MD5 are those of https://www.cs.toronto.edu/~kriz/cifar.html, for the Python
// versions also of torchvision/datasets/cifar.py. Sizes and SHA-256 of the binary
// versions are those of tensorflow_datasets/url_checksums/cifar10.txt and cifar100.txt;
// SHA-256 of the Python versions those of keras/datasets/cifar10.py and cifar100.py,
// whose sizes are widely told along with them.
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

// ErrByHand says that the files of a dataset key have no plain download.
var ErrByHand = errors.New("no plain download: its files are to be fetched by hand")

// ErrEmbedded says that the images of a dataset key are part of this program.
var ErrEmbedded = errors.New("part of this program: there is nothing to get")

// Find is the archive that holds a dataset key's images, in a version of Versions. A key
// without one is a usage error, ErrByHand or ErrEmbedded where it is one of those.
func Find(key, version string) (Archive, error) {
	if filepath.Ext(key) == ".json" {
		return Archive{}, usage.Errorf("nothing is known of where to get the data of %s: get them yourself, to where its \"path\" says", key)
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
		return Archive{}, usage.Errorf("unknown --format %q of %s: use %s", version, key, strings.Join(Versions(), " or "))
	case d.Path == "":
		return Archive{}, usage.Errorf("%s is %w", key, ErrEmbedded)
	}
	return Archive{}, usage.Errorf("%s has %w", key, ErrByHand)
}
