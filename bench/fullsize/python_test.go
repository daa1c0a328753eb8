package fullsize

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"text/tabwriter"

	"nb201/internal/buildtest"
	"nb201/internal/needs"
)

// TestPython measures the Python package and the original clients on the files that TestFullSize leaves.
// The originals answer few questions, since they keep all that they read.
func TestPython(t *testing.T) {
	dir := needs.FullSize(t)
	python := needs.Python(t)
	library := filepath.Join(t.TempDir(), "libnb201.so")
	if err := buildtest.Build(library, "../../python/bridge", "-buildmode=c-shared"); err != nil {
		t.Fatal(err)
	}
	env := []string{"PYTHONPATH=../../python", "NB201_LIBRARY=" + library, "XDG_CACHE_HOME=" + dir + "/cache", "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1"}
	table := new(strings.Builder)
	w := tabwriter.NewWriter(table, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "client\tfile\topen s\trandom ms\tagain us\tbest s\tscan s\tpeak MB\t")
	for _, run := range []struct{ client, file, questions, steps string }{
		{"open", "merged.pth", "1", "again"}, // makes the index, unless it exists
		{"open", "merged.pth", "10000", ""},
		{"compat.nas_201_api", "merged.pth", "10000", "random,again,best"},
		{"compat.nats_bench", "nats.pickle.pbz2", "1", "again"},
		{"compat.nats_bench", "nats.pickle.pbz2", "10000", "random,again,best"},
		{"compat.nats_bench", "nats-simple", "2000", "random,again"},
		{"nats_bench", "nats-simple", "2000", "random,again"},
	} {
		path := filepath.Join(dir, run.file)
		if _, err := os.Stat(path); err != nil {
			t.Logf("%v; skipped", err)
			continue
		}
		args := []string{"-W", "ignore", "ask.py", run.client, path, run.questions}
		if run.steps != "" {
			args = append(args, run.steps)
		}
		_, out := measure(t, env, python, args...)
		var answer struct {
			Questions     float64
			Seconds, Peak map[string]float64
		}
		if err := json.Unmarshal([]byte(out[strings.LastIndexByte(strings.TrimSpace(out), '\n')+1:]), &answer); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		cell := func(step string, times float64) string {
			if s, ok := answer.Seconds[step]; ok {
				return fmt.Sprintf("%.3g", s*times)
			}
			return "-"
		}
		peak := 0.0
		for _, mb := range answer.Peak {
			peak = max(peak, mb)
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%.0f\t\n", run.client, run.file, cell("open", 1), cell("random", 1e3/answer.Questions),
			cell("again", 1e6/1000), cell("best", 1), cell("scan", 1), peak)
		t.Log(out)
	}
	if err := w.Flush(); err != nil {
		t.Fatal(err)
	}
	t.Logf("\n%s", table)
}
