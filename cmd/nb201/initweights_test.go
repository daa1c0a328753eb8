package main

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/golden"
	"nb201/internal/torchfile"
)

// TestGoldenInit checks that the command writes the weights from which the original started, in one
// case for each network size and random stream.
func TestGoldenInit(t *testing.T) {
	type initial struct {
		Arch    string `json:"arch_str"`
		Seed    uint32 `json:"seed"`
		Classes int    `json:"classes"`
		C, N    int
		Shape   [4]int `json:"xshape"`
		SHA256  string `json:"sha256_all_float_tensors_in_state_dict_order"`
	}
	for file, parity := range map[string]string{
		"init_fma.json": "modern", "init_nofma.json": "2019", "sss_init_fma.json": "modern", "sss_init_nofma.json": "2019",
	} {
		t.Run(file, func(t *testing.T) {
			var vectors struct{ Cases []initial }
			golden.Load(t, file, &vectors)
			seen := map[[4]int]bool{}
			for _, c := range vectors.Cases {
				shape := [4]int{c.C, c.N, c.Classes, c.Shape[3]}
				if seen[shape] {
					continue
				}
				seen[shape] = true
				dir := t.TempDir()
				definition := filepath.Join(dir, "images.json")
				text := fmt.Sprintf(`{"name": "images", "format": "cifar10-python", "path": ".", "classes": %d, "size": [%d, %[2]d],
					"mean": [0, 0, 0], "std": [1, 1, 1], "train": {"from": "train", "order": "shuffle"},
					"eval": [{"name": "ori-test", "from": "test", "order": "sequential"}]}`, c.Classes, c.Shape[3])
				if err := os.WriteFile(definition, []byte(text), 0o666); err != nil {
					t.Fatal(err)
				}
				pth := filepath.Join(dir, "initial.pth")
				args := fmt.Sprintf("init-weights %s --seed %d --parity %s --dataset %s --to %s", c.Arch, c.Seed, parity, definition, pth)
				if c.C != 0 { // of the topology search space
					args += fmt.Sprintf(" --channels %d --cells %d", c.C, c.N)
				}
				stdout, stderr, code := nb201(strings.Fields(args)...)
				if code != 0 || stderr != "" || !strings.HasSuffix(stdout, ": "+pth+"\n") {
					t.Fatalf("nb201 %s: code %d, stdout %q, stderr %q", args, code, stdout, stderr)
				}
				if got := hashOf(t, pth); got != c.SHA256 {
					t.Errorf("%s: nb201 %s: SHA-256 %s, want %s", file, args, got, c.SHA256)
				}
			}
		})
	}
}

// The old name of the command, init, writes the same file, and no help shows it.
func TestInitOldName(t *testing.T) {
	var hashes []string
	for _, name := range []string{"init-weights", "init"} {
		pth := filepath.Join(t.TempDir(), "initial.pth")
		if _, stderr, code := nb201(name, "0", "--seed", "1", "--cells", "1", "--channels", "2", "--to", pth); code != 0 {
			t.Fatalf("nb201 %s: code %d, %s", name, code, stderr)
		}
		hashes = append(hashes, hashOf(t, pth))
	}
	if hashes[0] != hashes[1] {
		t.Errorf("hashes %q", hashes)
	}
	if stdout, _, _ := nb201("init", "--help"); !strings.HasPrefix(stdout, "init is the old name of init-weights.\n") {
		t.Errorf("its help begins with %.60q", stdout)
	}
	if _, stderr, code := nb201("init", "0", "--to", "a.pth"); code != 2 || stderr != "nb201: missing --seed (see nb201 init --help)\n" {
		t.Errorf("code %d, %s", code, stderr)
	}
	for _, args := range [][]string{{"--help"}, {"init-weights", "--help"}} {
		if help, _, _ := nb201(args...); !strings.Contains(help, "init-weights ") || strings.Contains(help, "init ") {
			t.Errorf("%q:\n%s", args, help)
		}
	}
}

// hashOf returns the hash over the hashes of a checkpoint's float tensors.
func hashOf(t *testing.T, pth string) string {
	weights, err := torchfile.ReadStateDict(pth)
	if err != nil {
		t.Fatal(err)
	}
	all := sha256.New()
	for _, w := range weights {
		if w.DType() == torchfile.Float32 {
			h := sha256.New()
			if err := binary.Write(h, binary.LittleEndian, w.Float32); err != nil {
				t.Fatal(err)
			}
			fmt.Fprint(all, hex.EncodeToString(h.Sum(nil)))
		}
	}
	return hex.EncodeToString(all.Sum(nil))
}
