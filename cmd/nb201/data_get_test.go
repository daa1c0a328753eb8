package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// Package download tests the downloads themselves, with small archives.

func TestDataGetByHand(t *testing.T) {
	stdout, stderr, code := nb201("data", "get", "ImageNet16-120", "--data", "/some/where")
	if code != 2 || stdout != "" || !strings.HasSuffix(stderr, "\nnb201: ImageNet16-120 has no download; put its files into the data directory by hand\n") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	for _, want := range []string{"image-net.org", "/some/where/cifar.python/ImageNet16\n",
		"train_data_batch_10", "val_data", "nb201 data imagenet16 --from DIR"} {
		if !strings.Contains(stderr, want) {
			t.Errorf("stderr lacks %q:\n%s", want, stderr)
		}
	}
}

// plainSettings removes the settings of pip and of proxies.
func plainSettings(t *testing.T) {
	t.Helper()
	for _, name := range []string{"PIP_PROXY", "HTTP_PROXY", "http_proxy", "PIP_CERT"} {
		t.Setenv(name, "")
	}
	t.Setenv("PIP_CONFIG_FILE", os.DevNull)
}

func TestDataGetFails(t *testing.T) {
	plainSettings(t)
	server := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if strings.HasPrefix(r.URL.Path, "/small/") {
			fmt.Fprint(out, "no such archive")
			return
		}
		http.NotFound(out, r)
	}))
	defer server.Close()
	for _, test := range []struct{ args, want string }{
		{"cifar10 --mirror " + server.URL, "nb201: cannot download cifar-10-python.tar.gz: " + server.URL + "/cifar-10-python.tar.gz: 404 Not Found; run the command again"},
		{"cifar10-valid --format binary --mirror " + server.URL, "nb201: cannot download cifar-10-binary.tar.gz: "},
		{"cifar100 --mirror " + server.URL + "/small/", "/small/cifar-100-python.tar.gz: it has 15 bytes, but should have 169001437; "},
	} {
		root := t.TempDir()
		stdout, stderr, code := nb201(append([]string{"data", "get", "--data", root}, strings.Fields(test.args)...)...)
		if code != 1 || stdout != "" || !strings.Contains(stderr, test.want) || strings.Count(stderr, "\n") != 1 || strings.Contains(stderr, "PIP") {
			t.Errorf("%s: code %d, stdout %q, stderr %q", test.args, code, stdout, stderr)
		}
		if left, err := filepath.Glob(filepath.Join(root, "cifar.python", "[^.]*")); err != nil || len(left) > 0 {
			t.Errorf("%s: files left: %q", test.args, left)
		}
	}
	t.Setenv("PIP_CERT", "soon")
	if _, stderr, code := nb201("data", "get", "cifar10", "--data", t.TempDir()); code != 2 || !strings.Contains(stderr, "the certificates in soon") {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

func TestDataGetThereAlready(t *testing.T) {
	plainSettings(t)
	root := t.TempDir()
	dir := filepath.Join(root, "cifar.python", "cifar-100-binary")
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	// Black images of class 0.
	for name, images := range map[string]int64{"train.bin": 50000, "test.bin": 10000} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, images*(2+3*32*32)); err != nil {
			t.Fatal(err)
		}
	}
	for _, test := range []struct{ flags, want string }{
		{"", "cifar100: already downloaded: " + dir + " (50000 images to train, 10000 to test)\n"},
		{"--json", fmt.Sprintf(`{
  "key": "cifar100",
  "path": %q,
  "downloaded": false,
  "train": 50000,
  "test": 10000
}
`, dir)},
	} {
		args := append([]string{"data", "get", "cifar100", "--format", "binary", "--data", root, "--mirror", "http://127.0.0.1:1"}, strings.Fields(test.flags)...)
		if stdout, stderr, code := nb201(args...); code != 0 || stderr != "" || stdout != test.want {
			t.Errorf("%s: code %d, stderr %q, stdout:\n%s", test.flags, code, stderr, stdout)
		}
	}
}
