package configs

import (
	"fmt"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// Splits returns the names of the published lists of test images, as FILE/LIST in the original's
// split files (configs/nas-benchmark/FILE.txt). The halves of CIFAR-10's training images are not among
// them, because they are computed.
func Splits() []string {
	return []string{
		"cifar100-test-split/xvalid", "cifar100-test-split/xtest",
		"imagenet-16-120-test-split/xvalid", "imagenet-16-120-test-split/xtest",
	}
}

// Split returns a list that [Splits] names: the indices of its images among all test images, in
// ascending order, and the name and contents of its file. For other names indices is nil.
func Split(list string) (indices []int32, name string, text []byte) {
	if !slices.Contains(Splits(), list) {
		return nil, "", nil
	}
	file, key, _ := strings.Cut(list, "/")
	name = file + ".txt"
	text = embedded("splits/" + name)
	var lists map[string][2]jsontext.Value // each ["int", ["1", "3", ...]]
	err := json.Unmarshal(text, &lists)
	if err == nil {
		err = json.Unmarshal(lists[key][1], &indices, json.StringifyNumbers(true))
	}
	if err != nil {
		panic(fmt.Sprintf("configs: %s: %v", name, err))
	}
	return indices, name, text
}
