package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"nb201/cell"
	"nb201/internal/backend/devicetest"
	"nb201/internal/needs"
	"nb201/results"
)

// TestKeptPrograms trains a trial in two concurrent processes that find no compiled programs, and
// again with the programs that they stored. The records and the weights are equal except for times.
func TestKeptPrograms(t *testing.T) {
	needs.Long(t, "trains the same trial again and again")
	dir := t.TempDir()
	nb201 := program(t, dir)
	// A cheap cell that uses all kinds of kernels.
	arch, err := cell.Parse("|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|none~0|nor_conv_3x3~1|none~2|")
	if err != nil {
		t.Fatal(err)
	}
	kept := filepath.Join(dir, "programs")
	seconds := map[string]float64{} // CPU time
	var mu sync.Mutex
	train := func(campaign string) {
		c := exec.Command(nb201, "train", strconv.Itoa(arch.Index()), "--dataset", "digits", "--epochs", "1", "--seed", "777",
			"--channels", "16", "--cells", "1", "--out", filepath.Join(dir, campaign), "--device", devicetest.Device(t).String())
		c.Env = append(os.Environ(), "NB201_PROGRAMS="+kept)
		out, err := c.CombinedOutput()
		if err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if bytes.Contains(out, []byte("warning")) {
			t.Errorf("%s", out)
		}
		mu.Lock()
		seconds[campaign] = (c.ProcessState.UserTime() + c.ProcessState.SystemTime()).Seconds()
		mu.Unlock()
	}
	var group sync.WaitGroup
	for _, campaign := range []string{"first", "beside"} {
		group.Go(func() { train(campaign) })
	}
	group.Wait()
	before, files := names(t, kept), programFiles(t, kept)
	train("warm")
	if after := names(t, kept); after != before || len(files) != 3 {
		t.Errorf("programs\n%s\nthen\n%s", before, after)
	}
	if !slices.EqualFunc(programFiles(t, kept), files, os.SameFile) { // one that does not run is replaced
		t.Error("the warm process has compiled programs again")
	}
	trial := results.Trial{Arch: arch.Index(), Dataset: "digits", Epochs: 1, Seed: 777}
	want, err := results.Campaign{Dir: filepath.Join(dir, "first")}.Record(trial)
	if err != nil {
		t.Fatal(err)
	}
	if kernels := devicetest.Open(t).Kernels; want.Versions.Kernels != kernels {
		t.Errorf("the record names kernels %q, want %q", want.Versions.Kernels, kernels)
	}
	for _, campaign := range []string{"beside", "warm"} {
		got, err := results.Campaign{Dir: filepath.Join(dir, campaign)}.Record(trial)
		if err != nil {
			t.Fatal(err)
		}
		checkAlike(t, campaign, got, want)
	}
	if !devicetest.OnGPU(t) && seconds["warm"] > seconds["first"]/2 { // starting CUDA takes long, too
		t.Errorf("CPU seconds: %v", seconds)
	}
	t.Logf("CPU seconds: %v", seconds)
}

// programFiles describes the programs kept in a directory, in the order of their names.
func programFiles(t *testing.T, dir string) (files []os.FileInfo) {
	t.Helper()
	paths, err := filepath.Glob(filepath.Join(dir, "*.program"))
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		file, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, file)
	}
	return files
}

// names returns the file names of a directory, one per line.
func names(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	for _, e := range entries {
		b.WriteString(e.Name() + "\n")
	}
	return b.String()
}
