package report

import (
	"flag"
	"fmt"
	"image/png"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"nb201/cell"
	"nb201/internal/browsertest"
	"nb201/internal/needs"
	"nb201/internal/repository"
	"nb201/results/benchmark"
	"nb201/results/resultstest"
)

var campaignPage = flag.String("campaign", "", "draw docs/pictures: from `FILE`, the report of a campaign, and from synthetic trials of all architectures")

// shot is a picture of a report.
type shot struct {
	name    string // of the file, without .png
	report  string // campaign or synthetic
	dark    bool
	prepare string // what is done on the page before, in JavaScript
	element string // selector of what the picture shows; "": the top of the page
	height  int    // of the window, for the top of the page
}

var shots = []shot{
	{name: "report", report: "campaign", prepare: byTime, height: 960},
	{name: "report-dark", report: "campaign", dark: true, height: 960},
	{name: "report-curves", report: "campaign", element: `[data-plot="curves"]`},
	{name: "report-operations", report: "campaign", element: `[data-plot="operations"]`},
	{name: "report-ranks", report: "campaign", element: "#ranks"},
	{name: "report-health", report: "campaign", element: "#health"},
	{name: "report-architecture", report: "campaign", prepare: openBest, element: "#architecture"},
	{name: "report-synthetic", report: "synthetic", height: 960},
}

// byTime draws accuracy against the training time.
const byTime = `{
	const select = document.querySelector('[data-plot="cost"] select');
	select.value = "seconds";
	select.dispatchEvent(new Event("change"));
}`

// openBest opens the dialog of the most accurate architecture of the Pareto front.
const openBest = `document.querySelector("#front tbody tr:last-child button").click()`

// synthetic is a [benchmark.Source] that makes the trials of an architecture when it is read.
type synthetic struct{ t *testing.T }

func (s synthetic) Architecture(index int) (*benchmark.Architecture, error) {
	a, err := benchmark.NewArchitecture(cell.Topology{}, index)
	if err != nil {
		return nil, err
	}
	for _, trial := range resultstest.Published(index) {
		a.Add(strconv.Itoa(trial.Epochs), benchmark.FromRecord(resultstest.Synthetic(s.t, trial)))
	}
	return a, nil
}

func (synthetic) CheckFile(string) (string, []error) { return "", nil }

func (synthetic) Close() error { return nil }

// writePage writes the report of a benchmark into a file.
func writePage(t *testing.T, b *benchmark.Benchmark) (path string) {
	t.Helper()
	r, err := Make(t.Context(), b, Options{Program: "nb201"})
	if err != nil {
		t.Fatal(err)
	}
	path = filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(path, []byte(htmlOf(t, r)), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestPictures takes the pictures of docs/pictures. With -campaign, as make pictures calls it, they are
// written there; without, they are those of a few architectures, and only checked.
func TestPictures(t *testing.T) {
	needs.Long(t, "opens eight pages")
	needs.Chromium(t)
	archs := []int{4, 17, 200, 1462, 15624}
	pages := map[string]string{"campaign": *campaignPage}
	to := filepath.Join(repository.Root, "docs", "pictures")
	if *campaignPage == "" {
		pages["campaign"] = writePage(t, open(t, resultstest.Fill(t, trials(archs...)...).Dir))
		to = t.TempDir()
	} else {
		archs = archs[:0]
		for index := range cell.Topologies {
			archs = append(archs, index)
		}
	}
	pages["synthetic"] = writePage(t, benchmark.New("synthetic", "synthetic", cell.Topology{}, cell.Topologies, archs, synthetic{t}))
	for _, s := range shots {
		t.Run(s.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(to, s.name+".png")
			s.take(t, pages[s.report], path)
			file, err := os.Open(path)
			if err != nil {
				t.Fatal(err)
			}
			defer file.Close()
			if c, err := png.DecodeConfig(file); err != nil || c.Width < 1000 || c.Height < 500 {
				t.Errorf("the picture has %d x %d pixels, %v", c.Width, c.Height, err)
			}
		})
	}
}

// take writes a picture of a page.
func (s shot) take(t *testing.T, page, to string) {
	p := browsertest.Open(t, page, browsertest.Options{Width: 1000, Height: max(s.height, 800), Scale: 1.5, Dark: s.dark})
	p.WaitFor(`document.documentElement.dataset.ready`)
	if s.prepare != "" {
		browsertest.Eval[any](p, s.prepare)
	}
	if s.element != "" {
		// In a window this high all plots are in sight, and are drawn. The toolbar would cover them.
		browsertest.Eval[any](p, fmt.Sprintf(`{
			document.querySelector(".toolbar").style.position = "static";
			const shown = document.querySelector(%q);
			if (shown.localName !== "dialog") shown.style.padding = "1rem";
		}`, s.element))
		p.Show(browsertest.Options{Width: 1000, Height: 8000, Scale: 1.5, Dark: s.dark})
	}
	browsertest.Eval[any](p, `new Promise(resolve => setTimeout(resolve, 1000))`) // until it is drawn
	if s.element == "" {
		p.Screenshot(to)
	} else {
		p.ElementScreenshot(s.element, to)
	}
}
