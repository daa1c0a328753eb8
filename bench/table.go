package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

// Comparison is what a run of bench found.
type Comparison struct {
	Date       time.Time `json:"date"`
	Machine    []string  `json:"machine"`
	LoadBefore string    `json:"load_before"` // average of the last minute
	LoadAfter  string    `json:"load_after"`
	Versions   []string  `json:"versions"`
	Device     string    `json:"device"`
	Precision  string    `json:"precision"`
	Channels   int       `json:"channels"`
	Cells      int       `json:"cells"`
	Batch      int       `json:"batch"`
	Steps      int       `json:"steps"`
	Rounds     int       `json:"rounds"`
	Images     string    `json:"images"`
	Skipped    string    `json:"skipped,omitempty"` // why there is no PyTorch side
	Rows       []Row     `json:"rows"`
}

// Row is one program on one architecture. Turns are seconds a step, in order.
type Row struct {
	Arch            int       `json:"arch"`
	Genotype        string    `json:"genotype"`
	Program         string    `json:"program"`
	Seconds         Spread    `json:"seconds"`     // a step, wall
	CPU             Spread    `json:"cpu_seconds"` // a step, all threads
	Ratio           Spread    `json:"ratio"`       // nb201's time by this program's, turn by turn
	ImagesPerSecond float64   `json:"images_per_second"`
	GFLOPPerSecond  float64   `json:"gflop_per_second"`
	Cold            float64   `json:"cold_seconds"`
	Compile         float64   `json:"compile_seconds,omitempty"`
	PeakRSS         int64     `json:"peak_rss"` // bytes
	FirstLoss       float64   `json:"first_loss"`
	Turns           []float64 `json:"turns"`
	CPUTurns        []float64 `json:"cpu_turns"`
	Ratios          []float64 `json:"ratios"`
}

// Spread is the median of some figures and their extremes.
type Spread struct {
	Median float64 `json:"median"`
	Min    float64 `json:"min"`
	Max    float64 `json:"max"`
}

func spreadOf(figures []float64) Spread {
	sorted := slices.Sorted(slices.Values(figures))
	n := len(sorted)
	return Spread{Median: (sorted[(n-1)/2] + sorted[n/2]) / 2, Min: sorted[0], Max: sorted[n-1]}
}

func (s Spread) String() string { return fmt.Sprintf("%.3g (%.3g-%.3g)", s.Median, s.Min, s.Max) }

// Markdown is the comparison as a table with all that it depends on.
func (c *Comparison) Markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "Training step: C=%d, N=%d, batch %d, %dx%d, %s, %s, images: %s. Medians (extremes) of %d turns of %d steps, in alternation.\n\n",
		c.Channels, c.Cells, c.Batch, size, size, c.Precision, c.Device, c.Images, c.Rounds, c.Steps)
	fmt.Fprintf(&b, "- date: %s\n- machine: %s; load average %s before, %s after\n- versions: %s\n",
		c.Date.Format("2006-01-02 15:04 MST"), strings.Join(c.Machine, "; "), c.LoadBefore, c.LoadAfter, strings.Join(c.Versions, ", "))
	if c.Skipped != "" {
		fmt.Fprintf(&b, "- PyTorch was skipped: %s\n", c.Skipped)
	}
	b.WriteString("\n| arch | program | s a step | CPU-s a step | images/s | GFLOP/s | nb201 / this | cold start, s | compiling, s | peak RSS, GiB |\n")
	b.WriteString("|---:|---|---|---|---:|---:|---|---:|---:|---:|\n")
	for _, r := range c.Rows {
		compile := "-"
		if r.Compile > 0 {
			compile = fmt.Sprintf("%.1f", r.Compile)
		}
		fmt.Fprintf(&b, "| %d | %s | %v | %v | %.0f | %.0f | %v | %.1f | %s | %.2f |\n", r.Arch, r.Program,
			r.Seconds, r.CPU, r.ImagesPerSecond, r.GFLOPPerSecond, r.Ratio, r.Cold, compile, float64(r.PeakRSS)/(1<<30))
	}
	b.WriteString(c.verdict())
	return b.String()
}

// verdict compares nb201, per architecture, with the form of the PyTorch side that
// has the lowest median.
func (c *Comparison) verdict() string {
	var b strings.Builder
	for from := 0; from < len(c.Rows); {
		to := from + 1
		for to < len(c.Rows) && c.Rows[to].Arch == c.Rows[from].Arch {
			to++
		}
		if others := c.Rows[from+1 : to]; len(others) > 0 {
			best := slices.MinFunc(others, func(a, b Row) int { return cmp.Compare(a.Seconds.Median, b.Seconds.Median) })
			fmt.Fprintf(&b, "\nArchitecture %d: nb201 takes %.2f times as long as %s (median of the turns' ratios, %.2f-%.2f).\n",
				best.Arch, best.Ratio.Median, best.Program, best.Ratio.Min, best.Ratio.Max)
		}
		from = to
	}
	return b.String()
}

// Save writes the comparison to dir as DATE-DEVICE-PROCESSOR.md and .json.
func (c *Comparison) Save(dir string) error {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	unfit := regexp.MustCompile(`[^A-Za-z0-9]+`)
	where := c.Machine[len(c.Machine)-1] // the processor, or the GPU
	where, _, _ = strings.Cut(where, ",")
	name := filepath.Join(dir, c.Date.Format("2006-01-02")+"-"+strings.Trim(unfit.ReplaceAllString(where, "-"), "-"))
	text, err := json.MarshalIndent(c, "", "  ")
	if err != nil {
		return err
	}
	if err := os.WriteFile(name+".md", []byte(c.Markdown()), 0o666); err != nil {
		return err
	}
	return os.WriteFile(name+".json", append(text, '\n'), 0o666)
}
