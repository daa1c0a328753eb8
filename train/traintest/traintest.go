// Package traintest compares the loss and accuracies of a batch with PyTorch's.
package traintest

import (
	"bytes"
	_ "embed"
	"encoding/binary"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"nb201/internal/needs"
)

//go:embed measure.py
var measure []byte

// Case is a batch with the results to check: the mean cross entropy, and the numbers of images
// whose label has the highest, or one of the five highest, logits. It names either the logits or
// where they come from: images and the weights of a network.
type Case struct {
	Labels   []int32 `json:"labels"` // -1: padding
	Classes  int     `json:"classes"`
	Logits   string  `json:"logits,omitempty"` // Logits and Images are files of float32, see Floats
	Images   string  `json:"images,omitempty"`
	Size     int     `json:"size,omitempty"`
	Weights  string  `json:"weights,omitempty"` // a torch file
	Genotype string  `json:"genotype,omitempty"`
	Widths   string  `json:"widths,omitempty"` // of an architecture of the size search space; it has no C and N
	Channels int     `json:"channels,omitempty"`
	Cells    int     `json:"cells,omitempty"`
	Training bool    `json:"training"`

	Name       string  `json:"-"`
	Loss       float64 `json:"-"`
	Top1, Top5 int     `json:"-"`
}

// Judge computes the cases with torch and compares: counts exactly, losses within the relative
// error bound. It skips the test unless NB201_PYTHON names a Python with torch and xautodl.
func Judge(t *testing.T, bound float64, cases []Case) {
	t.Helper()
	interpreter := needs.Python(t)
	text, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	script, file := filepath.Join(dir, "measure.py"), filepath.Join(dir, "cases.json")
	for path, content := range map[string][]byte{script: measure, file: text} {
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	c := exec.CommandContext(t.Context(), interpreter, script, file)
	var stderr bytes.Buffer
	c.Stderr = &stderr
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr.Bytes())
	}
	var answers [][3]float64
	if err := json.Unmarshal(out, &answers); err != nil || len(answers) != len(cases) {
		t.Fatalf("%v: %s", err, out)
	}
	for i, c := range cases {
		want := answers[i]
		if d := math.Abs(c.Loss-want[0]) / math.Abs(want[0]); !(d <= bound) || c.Top1 != int(want[1]) || c.Top5 != int(want[2]) {
			t.Errorf("%s: measured %v, %d, %d; torch has %v", c.Name, c.Loss, c.Top1, c.Top5, want)
		}
	}
}

// Floats writes values to a file of little-endian float32 for a [Case] and returns its path.
func Floats(t *testing.T, values []float32) string {
	t.Helper()
	text, err := binary.Append(nil, binary.LittleEndian, values)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "floats")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
