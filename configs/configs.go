// Package configs embeds what the original published about the benchmark: its dataset definitions,
// test splits and training recipes, and the images of one more dataset, digits. It also defines the
// words in which an experiment is described:
//
//   - a [Dataset] and its evaluation sets, by dataset key
//   - a [Recipe], by the schedule's number of epochs: see [RecipeFor]
//   - [Settings]: the recipe's skeleton and batch size, [Parity], [Timeline], workers and [Precision]
//
// [Decode] reads JSON strictly, as every file that people write for this program is read, and
// [CheckName] checks the names of dataset keys and evaluation sets.
package configs

import (
	"embed"
	"fmt"
	"slices"
	"strings"
)

//go:embed datasets splits recipes digits/digits.csv.gz published.md5
var files embed.FS

// digits is the dataset key whose images are embedded. It is not part of the benchmark.
const digits = "digits"

// Datasets lists the dataset keys whose definitions are embedded: those of the benchmark, in its
// order, and digits.
func Datasets() []string {
	return []string{"cifar10-valid", "cifar10", "cifar100", "ImageNet16-120", digits}
}

// Definition returns the definition file (JSON) of a key that [Datasets] lists, or nil for any other.
func Definition(key string) []byte {
	if !slices.Contains(Datasets(), key) {
		return nil
	}
	return embedded("datasets/" + key + ".json")
}

// Digits returns digits.csv.gz, compressed by gzip: 1,797 lines, each with 64 pixels from 0 to 16, row
// by row, and a label from 0 to 9 (see digits/ATTRIBUTION.md).
func Digits() []byte { return embedded("digits/digits.csv.gz") }

// PublishedMD5 returns the MD5, in hex, of a file of the published datasets, by its name with its
// directory (torchvision/datasets/cifar.py; xautodl/datasets/DownsampledImageNet.py, ImageNet16). ok
// is false for other files.
func PublishedMD5(name string) (sum string, ok bool) {
	for line := range strings.Lines(string(embedded("published.md5"))) {
		if sum, file, _ := strings.Cut(strings.TrimSpace(line), "  "); file == name {
			return sum, true
		}
	}
	return "", false
}

// embedded returns the contents of a file that is part of the program.
func embedded(name string) []byte {
	raw, err := files.ReadFile(name)
	if err != nil {
		panic(fmt.Sprintf("configs: %v", err))
	}
	return raw
}
