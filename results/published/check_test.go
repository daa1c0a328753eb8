package published

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/resultstest"
)

// TestCheckFile plants faults in torch checkpoints.
func TestCheckFile(t *testing.T) {
	var whole bytes.Buffer
	w := resultstest.Weights(t, resultstest.Record(t, results.Trial{Arch: 4, Dataset: "cifar10", Epochs: 2, Seed: 777}))
	if err := torchfile.Write(&whole, w); err != nil {
		t.Fatal(err)
	}
	flipped := slices.Clone(whole.Bytes())
	flipped[len(flipped)/2] ^= 1
	sum := func(b []byte) string {
		path := filepath.Join(t.TempDir(), "f")
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		sum, err := md5Of(path)
		if err != nil {
			t.Fatal(err)
		}
		return sum
	}
	right := sum(whole.Bytes())
	for _, test := range []struct {
		name    string
		content []byte
		fault   string // begins with "note: " if it is a note
	}{
		{"000004-FULL.pth", whole.Bytes(), ""},
		{"000004-FULL.pth", flipped, "000004-FULL.pth"},
		{"000004-FULL.pth", whole.Bytes()[:whole.Len()/2], "000004-FULL.pth"},
		{"000004-FULL.pth", nil, "000004-FULL.pth"},
		{"NAS-Bench-201-" + right[26:] + ".pth", whole.Bytes(), ""},
		{"NAS-Bench-201-v1_1-" + right[:6] + ".pth", whole.Bytes(), ""},
		{"NAS-Bench-201-v1_1-096897.pth", whole.Bytes(), "note: the name of the published file, and is not that file: its MD5 is " + right},
		{"NAS-Bench-201-v1_0-e61699.pth", whole.Bytes(), "note: the name of the published file, and is not that file"},
		{"NAS-Bench-201-v1_2-096897.pth", whole.Bytes(), "MD5 should begin or end with 096897, but it is " + right},
		{"NATS-tss-v1_0-096897.pickle.pbz2", whole.Bytes(), "MD5 should begin or end with 096897"},
		{"NATS-sss-v1_0-50262.pickle.pbz2", whole.Bytes(), "note: the name of the published file, and is not that file"},
		{"NATS-sss-v1_0-50263.pickle.pbz2", whole.Bytes(), "MD5 should begin or end with 50263"},
		{"NATS-sss-v1_0-" + right[27:] + ".pickle.pbz2", whole.Bytes(), ""},
		{"arch-000004-seed-0777.pth", whole.Bytes(), ""},
		{"mine-202611.pth", whole.Bytes(), ""},
	} {
		path := filepath.Join(t.TempDir(), test.name)
		if err := os.WriteFile(path, test.content, 0o666); err != nil {
			t.Fatal(err)
		}
		note, faults := checkFile(path)
		wanted, isNote := strings.CutPrefix(test.fault, "note: ")
		switch {
		case isNote && (!strings.Contains(note, wanted) || len(faults) > 0):
			t.Errorf("%s: noted %s, found %v", test.name, note, faults)
		case isNote:
		case note != "":
			t.Errorf("%s: noted %s", test.name, note)
		case test.fault == "" && len(faults) > 0:
			t.Errorf("%s: found %v", test.name, faults)
		case test.fault != "" && (len(faults) != 1 || !strings.Contains(faults[0].Error(), test.fault)):
			t.Errorf("%s: found %v, want %q", test.name, faults, test.fault)
		}
	}
}
