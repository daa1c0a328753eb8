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
)

//go:embed datasets splits recipes digits/digits.csv.gz
var files embed.FS

// Datasets lists the dataset keys whose definitions are embedded.
func Datasets() []string {
	return []string{"cifar10-valid", "cifar10", "cifar100", "ImageNet16-120", "digits"}
}

// Dataset is the definition file (JSON) of a key that Datasets lists, or nil.
func Dataset(key string) []byte {
	if !slices.Contains(Datasets(), key) {
		return nil
	}
	return embedded("datasets/" + key + ".json")
}

// Digits is digits.csv.gz: 1,797 lines of 64 pixels of 0..16, row by row, and the
// label 0..9, gzip-compressed (see digits/ATTRIBUTION.md).
func Digits() []byte { return embedded("digits/digits.csv.gz") }

// embedded reads a file that is part of the program.
func embedded(name string) []byte {
	raw, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("configs: %v", err))
	}
	return raw
}
