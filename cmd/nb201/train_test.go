package main

import (
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/plugin"
)

// TestTrainWrongUsage has every wrong use of train end in code 2 with one sentence,
// before anything is trained or written.
func TestTrainWrongUsage(t *testing.T) {
	t.Chdir(t.TempDir())
	const rest = " --dataset digits --epochs 12 --seed 777 --out out"
	write := func(name, text string) {
		if err := os.MkdirAll(filepath.Dir(name), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	write("file", "")
	for _, batch := range []string{"data_batch_1", "data_batch_2", "data_batch_3", "data_batch_4", "data_batch_5", "test_batch"} {
		write("damaged/cifar-10-batches-py/"+batch, "\x80\x02}q")
	}
	onGPU := "no XLA plugin for device cuda; run `nb201 setup --device cuda1"
	if plugin.DriverVersion() == "" {
		onGPU = "no NVIDIA driver found (libcuda.so.1 is missing); use --device cpu, or install the driver"
	}
	refuse(t, []wrongUse{
		{"train" + rest, "takes one ARCH"},
		{"train 0 --epochs 12 --seed 1 --out out", "give --dataset"},
		{"train 15625" + rest, "15625 is out of range; use 0 to 15624"},
		{"train |skip~0|" + rest, "|skip~0|"},
		{"train 0" + rest + " --dataset cifar11", `unknown dataset key "cifar11"`},
		{"train 0" + rest + " --dataset cifar100 --data .", "no data for cifar100: cifar-100-python not found in ."},
		{"train 0" + rest + " --dataset ImageNet16-120 --data .", "no data for ImageNet16-120: ImageNet16 not found in ."},
		{"train 0" + rest + " --dataset none.json", "none.json: no such file"},
		{"train 0" + rest + " --dataset cifar10 --data .", "no data for cifar10: cifar-10-batches-py not found in ."},
		{"train 0" + rest + " --dataset cifar10 --data damaged", "damaged/cifar-10-batches-py/data_batch_1"},
		{"train 0" + rest + " --seed -1", "use a whole number 0..4294967295"},
		{"train 0" + rest + " --seed 4294967296", "use a whole number 0..4294967295"},
		{"train 0" + rest + " --epochs 0", "0 epochs"},
		{"train 0" + rest + " --batch 1348", "larger than the data: digits has 1347 training images"},
		{"train 0" + rest + " --batch 0", "a batch of 0 images"},
		{"train 0" + rest + " --workers -1", "-1 loader workers"},
		{"train 0" + rest + " --channels 0", "0 channels"},
		{"train 0" + rest + " --cells 0", "0 cells"},
		{"train 0" + rest + " --parity torch", `unknown parity profile "torch"`},
		{"train 0" + rest + " --timeline 2019", `unknown timeline "2019"`},
		{"train 0" + rest + " --precision fp8", `unknown precision "fp8"`},
		{"train 0" + rest + " --precision tf32", "precision tf32 needs a GPU"},
		{"train 0" + rest + " --weights maybe", `--weights "maybe"`},
		{"train 0" + rest + " --device tpu", `unknown device "tpu"`},
		{"train 0" + rest + " --out file/out", "file"},
		{"train 0" + rest + " --out /proc/out", "/proc/out"},
		{"train 0" + rest + " --device cuda", onGPU},
		{"train 0" + rest, "no XLA plugin for device cpu; run `nb201 setup`"},
	})
}

// wrongUse is a command line and what the one sentence on stderr holds.
type wrongUse struct{ args, want string }

// refuse has each of the command lines end in code 2 with one sentence and leave nothing
// in the working directory. No plugin is to be found: right usage gets as far as that.
func refuse(t *testing.T, uses []wrongUse) {
	t.Helper()
	t.Setenv("GOMLX_BACKEND", "")
	t.Setenv("NB201_HOME", t.TempDir())
	t.Setenv("PJRT_PLUGIN_LIBRARY_PATH", t.TempDir())
	before := listFiles(t)
	for _, use := range uses {
		stdout, stderr, code := nb201(strings.Fields(use.args)...)
		if code != 2 || stdout != "" || !strings.Contains(stderr, use.want) ||
			!strings.HasPrefix(stderr, "nb201: ") || strings.Count(stderr, "\n") != 1 {
			t.Errorf("%s: code %d, stdout %q, stderr %q; want 2 and %q", use.args, code, stdout, stderr, use.want)
		}
		if after := listFiles(t); after != before {
			t.Fatalf("%s: left %s", use.args, after)
		}
	}
}

func listFiles(t *testing.T) string {
	t.Helper()
	var names []string
	if err := filepath.WalkDir(".", func(path string, _ fs.DirEntry, err error) error {
		names = append(names, path)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return strings.Join(names, " ")
}
