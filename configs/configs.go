// Package configs holds what the benchmark published and this program embeds:
// dataset definitions, the test splits, the training recipes of the schedules, and
// the one set of images that comes along, digits. It also reads JSON strictly, as
// every file that a person writes for this program is read, and says what a dataset
// key and an evaluation set may be called.
package configs

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed datasets splits recipes digits/digits.csv.gz published.md5
var files embed.FS

// digits is the dataset key that comes along with this program and not from the benchmark.
const digits = "digits"

// Datasets lists the dataset keys whose definitions are embedded: those of the benchmark in
// its order, and digits.
func Datasets() []string {
	return []string{"cifar10-valid", "cifar10", "cifar100", "ImageNet16-120", digits}
}

// Definition is the definition file (JSON) of a key that Datasets lists, or nil.
func Definition(key string) []byte {
	if !slices.Contains(Datasets(), key) {
		return nil
	}
	return embedded("datasets/" + key + ".json")
}

// Digits is digits.csv.gz: 1,797 lines of 64 pixels of 0..16, row by row, and the
// label 0..9, gzip-compressed (see digits/ATTRIBUTION.md).
func Digits() []byte { return embedded("digits/digits.csv.gz") }

// PublishedMD5 is the MD5, in hex, of a file of the published data sets, named with its
// directory (torchvision/datasets/cifar.py; xautodl/datasets/DownsampledImageNet.py,
// ImageNet16). There is none of other files.
func PublishedMD5(name string) (sum string, ok bool) {
	for line := range strings.Lines(string(embedded("published.md5"))) {
		if sum, of, _ := strings.Cut(strings.TrimSpace(line), "  "); of == name {
			return sum, true
		}
	}
	return "", false
}

// embedded reads a file that is part of the program.
func embedded(name string) []byte {
	raw, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("configs: %v", err))
	}
	return raw
}
