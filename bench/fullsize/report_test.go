package fullsize

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"nb201/internal/browsertest"
	"nb201/internal/needs"
)

// TestReport measures the report of the file that TestFullSize leaves, or else of the tables that
// TestSynthetic leaves: what it costs to make, how soon the page shows its first plot, and its longest
// task while the cells are filtered, a plot at a time in sight. Tasks of less than 50 ms count as 0.
func TestReport(t *testing.T) {
	dir := needs.FullSize(t)
	needs.Chromium(t)
	nb201, err := filepath.Abs("../../bin/nb201")
	if err != nil {
		t.Fatal(err)
	}
	from := filepath.Join(dir, "merged.pth")
	if _, err := os.Stat(from); err != nil {
		from = filepath.Join(dir, "synthetic")
	}
	to := filepath.Join(t.TempDir(), "report.html")
	spent, said := measure(t, nil, nb201, "report", from, "--to", to)
	t.Logf("%s: %.1f s, %.1f CPU-s, peak %.0f MB, page of %.2f MB", said,
		spent.wall.Seconds(), spent.cpu.Seconds(), float64(spent.peak)/1e6, float64(sizeOf(t, to))/1e6)
	if size := sizeOf(t, to); size > 10e6 {
		t.Errorf("the page has %d bytes", size)
	}

	page := browsertest.Open(t, to, browsertest.Options{Width: 1280, Height: 900})
	page.Show(browsertest.Options{Width: 1280, Height: 900})
	page.WaitFor("document.documentElement.dataset.ready")
	browsertest.Eval[bool](page, `(() => {
		window.tasks = [];
		const observer = new PerformanceObserver(list => list.getEntries().forEach(e => tasks.push(e.duration)));
		observer.observe({ type: "longtask", buffered: true });
		return true;
	})()`)
	longest := func() float64 {
		time.Sleep(2 * time.Second) // for what a change postpones
		return browsertest.Eval[float64](page, "Math.max(0, ...tasks.splice(0))")
	}
	opening := longest()
	t.Logf("first plot after %.0f ms; longest task until then %.0f ms", browsertest.Eval[float64](page, "nb201.timing.firstPlot"), opening)
	for _, plot := range []string{"cost", "curves", "operations", "histogram", "ranks"} {
		browsertest.Eval[bool](page, `(document.querySelector('[data-plot="`+plot+`"]').scrollIntoView({ behavior: "instant" }), true)`)
		scrolled, filtered := longest(), 0.0
		for _, op := range []string{"nor_conv_3x3", "none", ""} {
			browsertest.Eval[bool](page, `(() => {
				const select = document.querySelector('select[data-place="0"]');
				select.value = "`+op+`";
				return select.dispatchEvent(new Event("change"));
			})()`)
			filtered = max(filtered, longest())
			shown := browsertest.Eval[string](page, `document.getElementById("shown").textContent`)
			if all := strings.HasPrefix(shown, "15,625 of"); all != (op == "") {
				t.Errorf("filtered by %q: %s", op, shown)
			}
		}
		t.Logf("%s in sight: longest task when it comes into sight %.0f ms, while filtering %.0f ms", plot, scrolled, filtered)
	}
	if errors := page.Errors(); errors != nil {
		t.Errorf("the page complains: %q", errors)
	}
}
