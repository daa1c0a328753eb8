// Package fullsize measures the cost of exporting, opening and querying a benchmark of all 15,625
// architectures.
//
//	NB201_FULLSIZE=DIR go test ./bench/fullsize -run FullSize -v -timeout 3h
//
// creates a campaign of synthetic records in DIR (about 11 GB, kept for the next time), exports it to
// merged files with bin/nb201, opens and queries them, and prints a table. NB201_FULLSIZE_ARCHS=N makes
// the campaign smaller. With NB201_PYTHON the published client also opens a file of the first
// architectures, for comparison.
package fullsize

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"text/tabwriter"
	"time"

	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// campaign creates the missing records of the first architectures.
func campaign(t *testing.T, dir string, archs int) results.Campaign {
	c := results.Campaign{Dir: dir}
	var group errgroup.Group
	group.SetLimit(runtime.NumCPU())
	for arch := range archs {
		group.Go(func() error {
			for _, trial := range resultstest.Published(arch) {
				path := c.RecordPath(trial)
				if _, err := os.Stat(path); err == nil {
					continue
				}
				text, err := resultstest.Synthetic(t, trial).Encode()
				if err != nil {
					return err
				}
				if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
					return err
				}
				if err := os.WriteFile(path, text, 0o666); err != nil {
					return err
				}
			}
			return nil
		})
	}
	if err := group.Wait(); err != nil {
		t.Fatal(err)
	}
	return c
}

// cost is the cost of a process.
type cost struct {
	wall, cpu time.Duration
	peak      int64 // memory, in bytes
}

// measure runs a command to its end and returns its cost and its stdout.
func measure(t *testing.T, env []string, name string, args ...string) (cost, string) {
	t.Helper()
	command := exec.Command(name, args...)
	command.Env = append(os.Environ(), env...)
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	began := time.Now()
	err := command.Run()
	wall := time.Since(began)
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, stderr.String())
	}
	state := command.ProcessState
	return cost{wall, state.UserTime() + state.SystemTime(), state.SysUsage().(*syscall.Rusage).Maxrss << 10}, stdout.String()
}

// sizeOf returns the size of a file, or of the files in a directory, in bytes.
func sizeOf(t *testing.T, path string) (bytes int64) {
	t.Helper()
	err := filepath.WalkDir(path, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		bytes += info.Size()
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return bytes
}

func TestFullSize(t *testing.T) {
	dir := needs.FullSize(t)
	archs := cell.Topologies
	if n := os.Getenv("NB201_FULLSIZE_ARCHS"); n != "" {
		var err error
		if archs, err = strconv.Atoi(n); err != nil || archs < 1 || archs > cell.Topologies {
			t.Fatalf("NB201_FULLSIZE_ARCHS=%s", n)
		}
	}
	nb201, err := filepath.Abs("../../bin/nb201")
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	c := campaign(t, filepath.Join(dir, "campaign"), archs)
	t.Logf("campaign of %d architectures x %d trials: %.0f s", archs, len(resultstest.Published(0)), time.Since(began).Seconds())

	cache := []string{"XDG_CACHE_HOME=" + t.TempDir()}
	t.Setenv("XDG_CACHE_HOME", strings.TrimPrefix(cache[0], "XDG_CACHE_HOME="))
	table := new(strings.Builder)
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "what\ts\tCPU-s\tpeak MB\tGB\t")
	row := func(what string, c cost, path string) {
		size := ""
		if path != "" {
			size = fmt.Sprintf("%.2f", float64(sizeOf(t, path))/1e9)
		}
		fmt.Fprintf(w, "%s\t%.2f\t%.2f\t%.0f\t%s\t\n", what, c.wall.Seconds(), c.cpu.Seconds(), float64(c.peak)/1e6, size)
		t.Logf("%s: %.2f s", what, c.wall.Seconds()) // progress; the table is printed at the end
	}
	for _, format := range []struct{ name, to string }{
		{"nasbench201", "merged.pth"}, {"nats", "nats-simple"}, {"nats", "nats.pickle.pbz2"}, {"parquet", "parquet"},
	} {
		to := filepath.Join(dir, format.to)
		if err := os.RemoveAll(to); err != nil {
			t.Fatal(err)
		}
		spent, _ := measure(t, cache, nb201, "export", c.Dir, "--format", format.name, "--to", to)
		row("export "+format.to, spent, to)
		asked := strconv.Itoa(archs / 2)
		first, answer := measure(t, cache, nb201, "query", to, asked, "--json")
		row("  first query", first, "")
		again, same := measure(t, cache, nb201, "query", to, asked, "--json")
		row("  query", again, "")
		if answer != same || !strings.Contains(answer, "777") {
			t.Errorf("%s: two queries give different answers, or empty ones", format.to)
		}
		read(t, to, archs, w)
	}
	if python := needs.PythonIfSet(t); python != "" {
		few := min(archs, 400)
		small := campaign(t, filepath.Join(t.TempDir(), "campaign"), few)
		to := filepath.Join(t.TempDir(), "merged.pth")
		measure(t, cache, nb201, "export", small.Dir, "--format", "nasbench201", "--to", to)
		for _, form := range []struct{ name, env string }{
			{"torch.load's default", "A=1"}, {"TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1"},
		} {
			const imports, load = "import sys, nas_201_api", "import sys, nas_201_api; nas_201_api.NASBench201API(sys.argv[1], verbose=False)"
			none, _ := measure(t, []string{form.env}, python, "-W", "ignore", "-c", imports, to)
			all, _ := measure(t, []string{form.env}, python, "-W", "ignore", "-c", load, to)
			per := func(a, b float64) float64 { return (a - b) / float64(few) * cell.Topologies }
			fmt.Fprintf(w, "NASBench201API(merged of %d), %s\t%.1f\t%.1f\t%.0f\t\t\n", few, form.name, all.wall.Seconds(), all.cpu.Seconds(), float64(all.peak)/1e6)
			fmt.Fprintf(w, "  for %d, extrapolated\t%.0f\t%.0f\t%.0f\t\t\n", cell.Topologies, per(all.wall.Seconds(), none.wall.Seconds()),
				per(all.cpu.Seconds(), none.cpu.Seconds()), per(float64(all.peak), float64(none.peak))/1e6)
		}
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("%d cores\n%s", runtime.NumCPU(), table)
}

// read opens a benchmark again and reads random architectures.
func read(t *testing.T, path string, archs int, w *tabwriter.Writer) {
	t.Helper()
	began := time.Now()
	b, err := published.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	opened := time.Since(began)
	random := rand.New(rand.NewPCG(1, 2))
	var took []time.Duration
	for range 200 {
		index := random.IntN(archs)
		began := time.Now()
		a, err := b.Architecture(index)
		took = append(took, time.Since(began))
		if err != nil {
			t.Fatal(err)
		}
		if len(a.Schedules) != 2 || len(a.Schedules[0].Results) != 5 || len(a.Schedules[1].Results) != 12 {
			t.Fatalf("architecture %d has %d schedules", index, len(a.Schedules))
		}
	}
	slices.Sort(took)
	fmt.Fprintf(w, "  open again %.0f ms; 200 architectures: median %.1f ms, most %.1f ms\t\t\t\t\t\n",
		opened.Seconds()*1e3, took[100].Seconds()*1e3, took[199].Seconds()*1e3)
}
