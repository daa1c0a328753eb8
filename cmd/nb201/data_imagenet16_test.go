package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"nb201/data/datatest"
)

// The package imagenet is tested with ImageNet folders of all kinds.
func TestDataImageNet16(t *testing.T) {
	from, root := t.TempDir(), t.TempDir()
	for name, text := range datatest.Files("imagenet16", datatest.Synth(2000, 16, 240, 1), datatest.Synth(100, 16, 240, 2)) {
		if err := os.WriteFile(filepath.Join(from, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	stdout, stderr, code := nb201("data", "imagenet16", "--from", from, "--data", root)
	if want := " and 53 validation images of the 120 classes, but ImageNet16-120 has 151700 and 6000; add the missing ones, or accept these numbers with --any-count\n"; code != 2 || stdout != "" || !strings.HasSuffix(stderr, want) {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	if left, err := os.ReadDir(root); err != nil || len(left) != 0 {
		t.Errorf("left %v", left)
	}

	stdout, stderr, code = nb201("data", "imagenet16", "--from", from, "--data", root, "--any-count", "--json")
	var result struct {
		Path, Source      string
		Train, Validation int
		Unreadable        []string
		Loads             bool
	}
	if err := json.Unmarshal([]byte(stdout), &result, json.MatchCaseInsensitiveNames(true)); err != nil || code != 0 {
		t.Fatalf("code %d, stdout %q, stderr %q: %v", code, stdout, stderr, err)
	}
	if !strings.HasPrefix(stderr, "warning: the dataset key ImageNet16-120 does not load") || strings.Count(stderr, "\n") != 1 {
		t.Errorf("stderr %q", stderr)
	}
	path := filepath.Join(root, "cifar.python", "ImageNet16")
	if result.Path != path || result.Source != "imagenet16" || result.Train != 1000 || result.Validation != 53 || len(result.Unreadable) != 0 || result.Loads {
		t.Errorf("%+v", result)
	}
	if files, err := os.ReadDir(path); err != nil || len(files) != 11 {
		t.Errorf("%v %v", files, err)
	}

	to := filepath.Join(root, "again")
	stdout, _, code = nb201("data", "imagenet16", "--from", from, "--to", to, "--any-count")
	if code != 0 || !strings.HasSuffix(stdout, " images to train, 53 of validation, 0 unreadable: "+to+"\n") {
		t.Errorf("code %d, stdout %q", code, stdout)
	}
	_, stderr, code = nb201("data", "imagenet16", "--from", from, "--to", to, "--any-count")
	if code != 2 || !strings.Contains(stderr, to+" already exists") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}
