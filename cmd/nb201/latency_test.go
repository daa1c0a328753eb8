package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/internal/schematest"
	"nb201/results"
	"nb201/results/published"
)

// TestLatency measures architectures, and exports what it measured.
func TestLatency(t *testing.T) {
	needs.Long(t, "compiles networks")
	skeleton := []string{"--channels", "2", "--cells", "1", "--repeat", "3"}
	stdout, stderr, code := nb201(append([]string{"latency", "0", "--batch", "8", "--dataset", "digits,ImageNet16-120", "--precision", "bf16"}, skeleton...)...)
	lines := strings.Split(stdout, "\n")
	if code != 0 || len(lines) != 7 || lines[0] != "evaluation of a batch of 8, C=2, N=1, bf16 on cpu" || lines[1] != "3 runs, after 3 to warm up" ||
		!strings.HasPrefix(lines[3], "  architecture         dataset  image  classes  median ms  least ms") ||
		!strings.HasPrefix(lines[4], "             0          digits  16x16       10 ") ||
		!strings.HasPrefix(lines[5], "             0  ImageNet16-120  16x16      120 ") {
		t.Errorf("code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}

	stdout, stderr, code = nb201(append([]string{"latency", "--archs", "4,0", "--dataset", "cifar10,cifar10-valid,digits", "--json"}, skeleton...)...)
	var table results.LatencyTable
	if err := json.Unmarshal([]byte(stdout), &table); code != 0 || err != nil {
		t.Fatalf("code %d, stderr %q, stdout\n%s", code, stderr, stdout)
	}
	if err := schematest.Validate("latency", []byte(stdout)); err != nil {
		t.Error(err)
	}
	var names []string
	for _, m := range table.Measured {
		names = append(names, m.Dataset)
		median, least, most := m.Summary()
		if len(m.Seconds) != 3 || !(0 < least && least <= median && median <= most && most < 60) {
			t.Errorf("architecture %d on %s: %v", m.Arch, m.Dataset, m.Seconds)
		}
	}
	if want := []string{"cifar10", "cifar10-valid", "digits"}; !slices.Equal(names, append(want, want...)) ||
		table.Measured[0].Arch != 0 || table.Measured[3].Arch != 4 {
		t.Errorf("measured %+v", table.Measured)
	}
	if !slices.Equal(table.Measured[0].Seconds, table.Measured[1].Seconds) || slices.Equal(table.Measured[0].Seconds, table.Measured[2].Seconds) {
		t.Error("of dataset keys with the same network, and of these alone, one must be measured")
	}
	if table.Batch != 256 || table.Precision != "fp32" || table.Device != "cpu" || table.Versions.Plugin == "" {
		t.Errorf("measured with %+v", table)
	}

	dir := t.TempDir()
	measured, merged := filepath.Join(dir, "latency.json"), filepath.Join(dir, "merged.pth")
	if err := os.WriteFile(measured, []byte(stdout), 0o666); err != nil {
		t.Fatal(err)
	}
	if _, stderr, code := nb201("export", campaign, "--format", "nasbench201", "--to", merged, "--less", "2", "--latency", measured); code != 0 || strings.Contains(stderr, "latency") {
		t.Fatalf("code %d, stderr %s", code, stderr)
	}
	b, err := published.Open(t.Context(), merged)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := b.Architecture(4)
	if err != nil {
		t.Fatal(err)
	}
	seconds := table.Measured[5].Seconds
	sum := 0.0
	for _, s := range seconds {
		sum += s
	}
	if got, want := a.Schedules[0].Results[0].Latencies, []float64{sum / float64(len(seconds))}; !slices.Equal(got, want) {
		t.Errorf("exported %v, want the mean %v", got, want)
	}
}

// TestLatencyFile checks that export refuses files that are not tables of latencies.
func TestLatencyFile(t *testing.T) {
	done, err := filepath.Abs(campaign)
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(t.TempDir())
	const table = `{"batch":256,"warm_up_runs":3,"channels":2,"cells":1,"precision":"fp32","device":"cpu","versions":{"nb201":"","gomlx":"","xla_plugin":""},` +
		`"latencies":[{"architecture":15624,"genotype":"|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|+|none~0|nor_conv_1x1~1|nor_conv_1x1~2|","dataset":"digits",` +
		`"classes":10,"image_size_pixels":16,"latency_seconds_per_batch":[0.5]}]}`
	for _, test := range []struct{ want, file, old, new string }{
		{"cannot read the latencies: open none.json", "none.json", "", ""},
		{"l.json: not JSON at byte ", "l.json", "{", "nothing{"},
		{"; write the file with nb201 latency --json", "l.json", "{", "nothing{"},
		{`l.json: unknown key "batches"`, "l.json", "batch", "batches"},
		{"l.json: latencies[0]: a network cannot have 0 cells per stage", "l.json", `"cells":1`, `"cells":0`},
		{"l.json: batch must be at least 1", "l.json", `"batch":256`, `"batch":0`},
		{"l.json: latencies[0]: architecture index 15625 is out of range", "l.json", "15624", "15625"},
		{"l.json: latencies[0]: genotype", "l.json", "15624", "15623"},
		{"l.json: latencies[0]: architecture 15624 on digits has latencies [-0.5]", "l.json", "0.5", "-0.5"},
		{"l.json: latencies[0]: architecture 15624 on digits has latencies []", "l.json", "0.5", ""},
		{"cannot export latencies of batches of 128 images", "l.json", "256", "128"},
	} {
		if err := os.WriteFile("l.json", []byte(strings.Replace(table, test.old, test.new, 1)), 0o666); err != nil {
			t.Fatal(err)
		}
		_, stderr, code := nb201("export", done, "--format", "csv", "--to", "out", "--latency", test.file)
		if code != 2 || !strings.Contains(stderr, test.want) || strings.Count(stderr, "\n") != 1 {
			t.Errorf("code %d, stderr %q, want %q", code, stderr, test.want)
		}
	}
}
