package published_test

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// TestRecognise opens one of everything as a benchmark and checks that the error says what it
// is, and what reads it or what to do.
func TestRecognise(t *testing.T) {
	trial := results.Trial{Arch: 0, Dataset: "cifar10", Epochs: 2, Seed: 777}
	campaign := resultstest.Fill(t, trial)
	t.Chdir(t.TempDir())
	write := func(path string, data []byte) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	read := func(path string) []byte {
		t.Helper()
		data, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	torch := func(v any) []byte {
		t.Helper()
		var b bytes.Buffer
		if err := torchfile.Write(&b, v); err != nil {
			t.Fatal(err)
		}
		return b.Bytes()
	}
	if err := os.CopyFS("campaign", os.DirFS(campaign.Dir)); err != nil {
		t.Fatal(err)
	}
	for to, format := range map[string]benchmark.Format{
		"m.pth": published.NASBench201, "archive": published.Archive, "runs": published.Runs, "nats": published.NATS,
		"n.pickle.pbz2": published.NATS, "n.pickle": published.NATS, "m.pickle": published.NASBench201, "parquet": published.Parquet, "csv": published.CSV,
	} {
		b, err := published.Open(t.Context(), "campaign")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := export.Run(t.Context(), b, export.Options{Format: format, To: to, Less: "2"}); err != nil {
			t.Fatal(err)
		}
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
	write("curves.pickle", []byte("\x80\x04}|none~0|+|none~0|none~1|+|: cifar10-valid: train_losses"))
	weights := read("campaign/weights/000000/cifar10/0002-0777.pth")
	lfs := []byte("version https://git-lfs.github.com/spec/v1\noid sha256:" + strings.Repeat("0", 64) + "\nsize 7\n")
	page := []byte("\ufeff\r\n<!DOCTYPE HTML>\n<html><title>Sign in</title></html>")
	runs, err := filepath.Glob("runs/*/arch-*.pth")
	if err != nil || len(runs) != 1 {
		t.Fatal(runs, err)
	}
	var zipped bytes.Buffer
	gz := gzip.NewWriter(&zipped)
	if _, err := gz.Write(weights); err != nil {
		t.Fatal(err)
	}
	if err := gz.Close(); err != nil {
		t.Fatal(err)
	}
	for path, data := range map[string][]byte{
		"w.pth": weights, "model.pt": weights, "000000-FULL.pth": weights,
		"wrapped.pth": torch(pickle.Dict{{Key: "model", Value: torchfile.StateDict{{Name: "a", Tensor: &torchfile.Tensor{Float32: []float32{1}}}}}}),
		"lfs.pth":     lfs, "lfs.pickle.pbz2": lfs, "arch-000000-seed-0777.pth": lfs, "lfs.parquet": lfs, "lfs/000000-FULL.pth": lfs, "lfs/000000.pickle.pbz2": nil,
		"page.pth": page, "000000.pickle.pbz2": page, "empty.pth": nil, "cut.pth": weights[:len(weights)/2], "w.pth.gz": zipped.Bytes(),
		"epoch.pth": torch(pickle.Dict{{Key: "epoch", Value: 3}}), "answer.json": []byte(`{"message": "Not Found"}`), "text.txt": []byte("hello"),
		"set.json": []byte("\ufeff" + `{"name": "a", "format": "npz", "classes": 2, "size": [8, 8]}`), "plan/plan.json": []byte(`{"settings": {}, "parts": []}`),
		"a.safetensors": []byte("\x40\x00\x00\x00\x00\x00\x00\x00{\"a\":"), "renamed.pth": read("archive/000000-FULL.pth"),
		"run.pth": read(runs[0]), "merged.bin": read("m.pth"),
		"one.pickle.pbz2": read("nats/000000.pickle.pbz2"), "000001.pickle.pbz2": read("n.pickle.pbz2"),
		"alone.json": read("campaign/trials/000000/cifar10/0002-0777.json"),
		"plain.pth":  []byte("\x80\x04}."), "other.pickle": []byte("\x80\x04}."), "packed.pickle": read("n.pickle.pbz2"), "plain.pickle.pbz2": read("n.pickle"),
		"plain.bin": read("m.pickle"), "cut.pickle": read("n.pickle")[:700], "checkpoint.pickle": read("m.pth"),
		"none/text.txt": nil, "x.pth": []byte("BZh9 hello"),
	} {
		write(path, data)
	}
	for _, wrapper := range []string{"one/two", "several/a", "several/b"} {
		if err := os.CopyFS(wrapper, os.DirFS("campaign")); err != nil {
			t.Fatal(err)
		}
	}
	write("file/m.pth", read("m.pth"))

	const train = "pass it to nb201 train --from"
	for path, want := range map[string]string{ // "": it opens
		"campaign": "", "m.pth": "", "archive": "", "runs": "", "nats": "", "n.pickle.pbz2": "", "n.pickle": "", "m.pickle": "", "parquet": "", "csv": "",
		"archive/000000-FULL.pth": "", "archive/000000-SIMPLE.pth": "", "nats/000000.pickle.pbz2": "", runs[0]: "",

		"w.pth":                     "a torch checkpoint with weights, not a benchmark; " + train,
		"model.pt":                  "a torch checkpoint with weights, not a benchmark; " + train,
		"000000-FULL.pth":           "a torch checkpoint with weights, not a benchmark; " + train,
		"wrapped.pth":               "a torch checkpoint with weights, not a benchmark; " + train,
		"a.safetensors":             "a safetensors file with weights, not a benchmark; " + train,
		"lfs.pth":                   "a Git LFS pointer to a file that was not fetched; fetch the file with git lfs pull",
		"lfs.pickle.pbz2":           "fetch the file with git lfs pull",
		"arch-000000-seed-0777.pth": "fetch the file with git lfs pull",
		"lfs.parquet":               "fetch the file with git lfs pull",
		"page.pth":                  "an HTML page, perhaps that of a download instead of the file; download the file itself",
		"000000.pickle.pbz2":        "an HTML page",
		"empty.pth":                 "an empty file; download or copy it again",
		"cut.pth":                   "whose end is missing or damaged; download or copy it again",
		"w.pth.gz":                  "a gzip archive; unpack it and name the unpacked file",
		"x.pth":                     "a bzip2 file that is cut short or damaged",
		"epoch.pth":                 "a torch checkpoint with neither weights nor results; ",
		"plain.pth":                 "a Python pickle that was not written by torch.save",
		"other.pickle":              "a Python pickle that was not written by torch.save; if it holds weights",
		"curves.pickle":             "a file of learning curves for NASLib; rename it to its published name, such as nb201_cifar10_full_training.pickle",
		"packed.pickle":             "a merged NATS-Bench file; nb201 query, verify, export and compare read it if its name ends in .pickle.pbz2",
		"plain.pickle.pbz2":         "a merged file as a plain pickle; nb201 query, verify, export and compare read it if its name ends in .pickle",
		"plain.bin":                 "a merged file as a plain pickle; nb201 query",
		"cut.pickle":                "cut.pickle is not a readable merged benchmark file: ",
		"checkpoint.pickle":         "a merged NAS-Bench-201 file; nb201 query, verify, export and compare read it if its name ends in .pth",
		"answer.json":               "a JSON document that is not a record, a plan or the definition of a dataset",
		"set.json":                  "the definition of a dataset; pass it to nb201 train --dataset",
		"plan/plan.json":            "the plan of a campaign; name its directory, plan",
		"alone.json":                "the record of a trial; name a campaign",
		"renamed.pth":               "a file of a NAS-Bench-201 archive with the results of one architecture; rename it to its published name, such as 000123-FULL.pth",
		"run.pth":                   "the results of one run of the original program; rename it to its published name, such as arch-000123-seed-0777.pth",
		"merged.bin":                "a merged NAS-Bench-201 file; nb201 query, verify, export and compare read it if its name ends in .pth",
		"one.pickle.pbz2":           "the results of one architecture in NATS-Bench; rename it to its published name, such as 000123.pickle.pbz2",
		"000001.pickle.pbz2":        "a merged NATS-Bench file",
		"nats/meta.pickle.pbz2":     "the list of architectures of a NATS-Bench directory; name the directory, nats",
		"parquet/trials.parquet":    "one of the two tables of a benchmark; name the directory with trials.parquet and epochs.parquet, parquet",
		"csv/epochs.csv":            "one of the two tables of a benchmark; name the directory with trials.csv and epochs.csv, csv",
		"one":                       "a directory that contains a benchmark; name the benchmark, one/two",
		"several":                   "a directory that contains several benchmarks; name one of them: several/a, several/b",
		"file":                      "a directory that contains a benchmark; name the benchmark, file/m.pth",
		"campaign/trials":           "part of a campaign; name the campaign, campaign",
		"campaign/weights/000000":   "part of a campaign; name the campaign, campaign",
		"campaign/trials/000000/cifar10/0002-0777.json": "the record of a trial; name its campaign, campaign",
		"text.txt": "is not a recognised benchmark file name",
		"none":     "is neither a campaign nor a benchmark in a published format",
	} {
		b, err := published.Open(t.Context(), path)
		if err == nil {
			err = b.Close()
		}
		if want == "" && err != nil || want != "" && (!usage.Is(err) || !strings.HasPrefix(err.Error(), path+" ") || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: error %v, want %q", path, err, want)
		}
	}

	// The files in a directory are read only on demand.
	b, err := published.Open(t.Context(), "lfs")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := b.Architecture(0); !usage.Is(err) || !strings.HasPrefix(err.Error(), "lfs/000000-FULL.pth is a Git LFS pointer") {
		t.Errorf("error %v", err)
	}
}

// TestRecogniseNothing checks that files that cannot be read or recognised end in usage errors.
func TestRecogniseNothing(t *testing.T) {
	if _, err := published.Recognise(filepath.Join(t.TempDir(), "none")); !usage.Is(err) {
		t.Errorf("no file: error %v", err)
	}
	path := filepath.Join(t.TempDir(), "m.pth")
	for _, data := range []string{"hello", "\x80\x02", "\x00\x00", "PAR1", "BZ", "PK\x03\x04", "\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19."} {
		if err := os.WriteFile(path, []byte(data), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := published.Open(t.Context(), path)
		if !usage.Is(err) || !strings.HasPrefix(err.Error(), path+" is ") && !strings.HasPrefix(err.Error(), path+": cannot read checkpoint: ") {
			t.Errorf("%q: error %v", data, err)
		}
	}
}

func FuzzRecognise(f *testing.F) {
	for _, data := range []string{"", "{}", "<html>", "PK\x05\x06" + strings.Repeat("\x00", 18), "\x80\x02}.", "BZh9", "architecture,"} {
		f.Add([]byte(data))
	}
	var b bytes.Buffer
	if err := torchfile.Write(io.Writer(&b), pickle.Dict{{Key: "full", Value: nil}, {Key: "less", Value: nil}}); err != nil {
		f.Fatal(err)
	}
	f.Add(b.Bytes())
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(t.TempDir(), "m.pth")
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := published.Recognise(path); err != nil {
			t.Error(err)
		}
	})
}
