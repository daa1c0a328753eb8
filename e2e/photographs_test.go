package e2e

import (
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"nb201/configs"
	"nb201/data"
	"nb201/data/importer"
	"nb201/internal/needs"
	"nb201/results"
)

// TestClassDirectories imports JPEG photographs from class directories and trains on them, and on
// the same photographs decoded by Pillow, in CIFAR-10's binary format and the same order. The two
// decoders round their cosine transforms differently, so some bytes, and the losses, differ a
// little.
//
// NB201_JPEGS names a directory with train/CLASS/*.jpg and test/CLASS/*.jpg of 32x32 pixels.
func TestClassDirectories(t *testing.T) {
	jpegs := needs.JPEGs(t)
	needs.Python(t)
	dir := t.TempDir()
	few := filepath.Join(dir, "few")
	link(t, filepath.Join(jpegs, "train"), filepath.Join(few, "train"), 500)
	link(t, filepath.Join(jpegs, "test"), filepath.Join(few, "test"), 100)

	made, err := importer.Run(t.Context(), importer.Options{Source: few, Name: "photographs", To: dir, CropPadding: -1, Flip: true})
	if err != nil {
		t.Fatal(err)
	}
	imported, err := data.ReadDefinition(made.Definition)
	if err != nil {
		t.Fatal(err)
	}
	python(t, nil, filepath.Join("testdata", "cifar_of_pictures.py"), few, filepath.Join(dir, "cifar-10-batches-bin"))
	imported.Format, imported.Path = "cifar10-binary", "cifar-10-batches-bin"
	text, err := json.Marshal(imported)
	if err != nil {
		t.Fatal(err)
	}
	batches := filepath.Join(dir, "batches.json")
	if err := os.WriteFile(batches, text, 0o666); err != nil {
		t.Fatal(err)
	}

	var losses [2][]float64
	var pixels [2][]byte
	for i, definition := range []string{made.Definition, batches} {
		settings := configs.Published()
		settings.Parity, settings.Workers, settings.Cells = "modern", 0, 1
		config := trialConfig(t, "0", definition, "", 1, 777, settings)
		pixels[i] = config.Data.Train.Images.Pixels
		r := trainInto(t, results.Campaign{Dir: t.TempDir()}, config)
		losses[i] = []float64{r.Train.Loss[0], r.Eval[0].Loss[0]}
	}
	differ, most := 0, 0
	for i, v := range pixels[0] {
		if d := int(v) - int(pixels[1][i]); d != 0 {
			differ++
			most = max(most, d, -d)
		}
	}
	share := float64(differ) / float64(len(pixels[0]))
	t.Logf("%d of %d bytes differ (%.2f %%), by %d at most; losses %.4f and %.4f, ori-test %.4f and %.4f",
		differ, len(pixels[0]), 100*share, most, losses[0][0], losses[1][0], losses[0][1], losses[1][1])
	if len(pixels[0]) != len(pixels[1]) || share > 0.05 || most > 3 {
		t.Error("these are not the same photographs in the same order")
	}
	if d := math.Abs(losses[0][0]-losses[1][0]) / losses[1][0]; !(d < 0.002) {
		t.Errorf("training losses %.4f and %.4f are %.2g relative apart", losses[0][0], losses[1][0], d)
	}
}

// link creates class directories with links to the first n files of each class.
func link(t *testing.T, from, to string, n int) {
	t.Helper()
	classes, err := os.ReadDir(from)
	if err != nil {
		t.Fatal(err)
	}
	for _, class := range classes {
		files, err := os.ReadDir(filepath.Join(from, class.Name()))
		if err == nil {
			err = os.MkdirAll(filepath.Join(to, class.Name()), 0o777)
		}
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range files[:min(n, len(files))] {
			original, err := filepath.Abs(filepath.Join(from, class.Name(), f.Name()))
			if err == nil {
				err = os.Symlink(original, filepath.Join(to, class.Name(), f.Name()))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}
