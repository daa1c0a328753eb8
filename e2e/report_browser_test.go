package e2e

import (
	"encoding/csv"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"

	"nb201/cell"
	"nb201/internal/browsertest"
	"nb201/internal/needs"
	"nb201/results"
	"nb201/results/resultstest"
)

// reportPage is a page of nb201 report in a browser.
type reportPage struct {
	*browsertest.Page
	t *testing.T
}

// plotPoint is a point that a plot of the page answers for.
type plotPoint struct {
	Label  string
	Arch   int // position among the architectures of the page, or -1
	X, Y   float64
	Series int
}

// openReport opens a page of nb201 report, which must show its first plots.
func openReport(t *testing.T, path string, o browsertest.Options) reportPage {
	t.Helper()
	p := reportPage{browsertest.Open(t, path, o), t}
	t.Cleanup(p.checkQuiet)
	p.WaitFor(`document.documentElement.dataset.ready === "true"`)
	return p
}

// checkQuiet checks that the page has reported no error and requested nothing but itself.
func (p reportPage) checkQuiet() {
	p.t.Helper()
	if found := p.Errors(); len(found) > 0 {
		p.t.Errorf("the console shows %q", found)
	}
	if got := p.Requests(); !slices.Equal(got, []string{p.URL}) {
		p.t.Errorf("the page requests %q", got)
	}
}

// checkAccessible checks that axe-core finds nothing serious in the page as it is.
func (p reportPage) checkAccessible(what string) {
	p.t.Helper()
	for _, v := range p.Axe() {
		if v.IsSerious() {
			p.t.Errorf("%s: %s (%s): %s\n%s", what, v.ID, v.Impact, v.Help, strings.Join(v.Nodes[:min(len(v.Nodes), 5)], "\n"))
		}
	}
}

// plots returns the names of the plots, in order.
func (p reportPage) plots() []string {
	return browsertest.Eval[[]string](p.Page, "Object.keys(nb201.plots)")
}

// points returns the points of a plot.
func (p reportPage) points(plot string) []plotPoint {
	p.t.Helper()
	return browsertest.Eval[[]plotPoint](p.Page, fmt.Sprintf(
		"nb201.plots[%q].points().map(({label, arch, x, y, series}) => ({Label: label, Arch: arch, X: x, Y: y, Series: series}))", plot))
}

// show scrolls to a plot and waits until it is drawn in its size.
func (p reportPage) show(plot string) {
	p.t.Helper()
	p.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(
		`document.querySelector("figure[data-plot=%s]").scrollIntoView({block: "center", behavior: "instant"})`, plot)))
	p.WaitFor(fmt.Sprintf(`(figure => {
		const canvas = figure.querySelector("canvas");
		return figure.querySelector(".frame").hidden || canvas && canvas.clientWidth === figure.querySelector(".canvas").clientWidth;
	})(document.querySelector("figure[data-plot=%s]"))`, plot))
}

// apart returns the point of a plot that is farthest from all others, away from the edges of the plot, and
// its place in the window.
func (p reportPage) apart(plot string) (i int, x, y float64) {
	p.t.Helper()
	p.show(plot)
	found := browsertest.Eval[[3]float64](p.Page, fmt.Sprintf(`(() => {
		const {points, pixel} = nb201.plots[%[1]q];
		const {top, bottom} = document.querySelector("figure[data-plot=%[1]s] .canvas").getBoundingClientRect();
		const places = points().map((_, i) => pixel(i));
		const room = places.map(([x, y], i) => y < top + 60 || y > bottom - 60 ? -1 :
			Math.min(...places.map(([u, v], k) => k === i ? Infinity : Math.hypot(x - u, y - v))));
		const i = room.indexOf(Math.max(...room));
		return [i, ...places[i]];
	})()`, plot))
	return int(found[0]), found[1], found[2]
}

// search types a text into the search and presses Enter.
func (p reportPage) search(text string) {
	p.t.Helper()
	p.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#search").value = ""`), chromedp.SendKeys(chromedp.CSS("#search"), text))
	p.Press(kb.Enter)
}

// waitForDialog waits for the dialog of an architecture.
func (p reportPage) waitForDialog(arch int) {
	p.t.Helper()
	p.WaitFor(fmt.Sprintf(`document.querySelector("dialog#architecture[open] h2")?.textContent === "Architecture %d"`, arch))
}

// closeDialog closes the dialog with a key.
func (p reportPage) closeDialog() {
	p.t.Helper()
	p.Press(kb.Escape)
	p.WaitFor(`!document.querySelector("dialog#architecture").open`)
}

// choose selects an option of a select element, as a user does, and waits until the page shows it.
func (p reportPage) choose(selector, value string) {
	p.t.Helper()
	p.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`(select => {
		select.value = %q;
		select.dispatchEvent(new Event("change", {bubbles: true}));
		return new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
	})(document.querySelector(%q))`, value, selector), chromedp.EvalAwaitPromise))
}

// writeReport makes the page of a benchmark.
func writeReport(t *testing.T, nb201, to, path string, flags ...string) {
	t.Helper()
	if out, err := exec.Command(nb201, append([]string{"report", path, "--to", to}, flags...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// publish adds synthetic trials without weights to a campaign, after a change of their records.
func publish(t *testing.T, c results.Campaign, change func(*results.Record), trials ...results.Trial) {
	t.Helper()
	for _, trial := range trials {
		r := resultstest.Record(t, trial)
		change(r)
		if err := c.Publish(r, nil); err != nil {
			t.Fatal(err)
		}
	}
}

// failTrial adds a file of a failed trial to a campaign. Host, kind and reason are text in JSON.
func failTrial(t *testing.T, c results.Campaign, host, kind, reason string) {
	t.Helper()
	path := filepath.Join(c.Dir, "failed", "000001", "digits", "0012-0777.json")
	text := fmt.Sprintf(`{"trial": {"architecture": 1, "dataset": "digits", "epochs": 12, "seed": 777}, "set_aside": true, "attempts": [
		{"host": "%s", "device": "cuda:0", "kind": "%s", "reason": "%s", "log": "", "when": "2026-01-02T03:04:05Z"}]}`, host, kind, reason)
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
		t.Fatal(err)
	}
}

// plausible changes a record so that the accuracies and latencies of architectures differ, more
// operations being better and slower.
func plausible(r *results.Record) {
	cost := math.Log1p(r.FLOPs)
	change := func(p *results.Pass) {
		images := float64(p.Images)
		for i := range p.Top1 {
			p.Top1[i] = math.Round(p.Top1[i]*(0.55+0.12*cost)*images/100) * 100 / images
			p.Top5[i] = max(p.Top5[i], p.Top1[i])
			p.Loss[i] = max(p.Loss[i], 1-p.Top1[i]/100)
		}
	}
	change(&r.Train)
	for i := range r.Eval {
		change(&r.Eval[i].Pass)
	}
	for i := range r.Latency {
		r.Latency[i] *= 1 + cost
	}
}

// TestReportInBrowser uses the page of nb201 report as people do: with the mouse, with the keyboard, on
// narrow and wide windows, in the light and in the dark, on paper, and with a screen reader as far as
// axe-core and the announcements show that. With -short it leaves out what loads the page again and again.
func TestReportInBrowser(t *testing.T) {
	needs.Chromium(t)
	needs.Axe(t)
	dir := t.TempDir()
	nb201 := build(t)
	var archs []int
	var trials, others []results.Trial
	for i := range 40 {
		archs = append(archs, i*390)
		for _, key := range []string{"cifar10-valid", "digits"} {
			for _, epochs := range []int{3, 12} {
				for _, seed := range []uint32{777, 888} {
					trials = append(trials, results.Trial{Arch: i * 390, Dataset: key, Epochs: epochs, Seed: seed})
				}
			}
		}
		others = append(others, results.Trial{Arch: i * 390, Dataset: "digits", Epochs: 12, Seed: 999})
	}
	campaign, other := results.Campaign{Dir: filepath.Join(dir, "campaign")}, results.Campaign{Dir: filepath.Join(dir, "other")}
	publish(t, campaign, plausible, trials...)
	publish(t, other, plausible, others[:30]...)
	failTrial(t, campaign, "node7", "out of memory", "the device has 40 GB")
	page := filepath.Join(dir, "report.html")
	writeReport(t, nb201, page, campaign.Dir, "--against", other.Dir)

	uses := []struct {
		name string
		use  func(t *testing.T, page string, archs []int)
	}{
		{"search", useSearch}, {"mouse", useMouse}, {"keyboard", useKeyboard}, {"filter", useFilter}, {"choices", useChoices}, {"numbers", useNumbers},
		{"print", usePrint}, {"accessibility", useAccessibly}, {"screenshots", useScreenshots},
	}
	if !needs.IsLong() {
		uses = uses[:6]
	}
	for _, c := range uses {
		t.Run(c.name, func(t *testing.T) { c.use(t, page, archs) })
	}
}

// TestSizesInBrowser uses the page of a campaign of the size search space. With -short it uses only what
// differs from the page of TestReportInBrowser.
func TestSizesInBrowser(t *testing.T) {
	needs.Chromium(t)
	needs.Axe(t)
	dir := t.TempDir()
	nb201 := build(t)
	campaign := results.Campaign{Dir: filepath.Join(dir, "campaign")}
	var archs []int
	for i := range 40 {
		archs = append(archs, i*839)
		r := resultstest.Synthetic(t, results.Trial{Space: cell.Size{}.Name(), Arch: archs[i], Dataset: "cifar10-valid", Epochs: 12, Seed: 777})
		if err := campaign.Publish(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	page := filepath.Join(dir, "report.html")
	writeReport(t, nb201, page, campaign.Dir)
	uses := []struct {
		name string
		use  func(t *testing.T, page string, archs []int)
	}{{"widths", useWidths}, {"accessibility", useAccessibly}, {"screenshots", useScreenshots}}
	if !needs.IsLong() {
		uses = uses[:1]
	}
	for _, c := range uses {
		t.Run(c.name, func(t *testing.T) { c.use(t, page, archs) })
	}
}

// A filter leaves the architectures with a width of a module, and the search finds one by its widths.
func useWidths(t *testing.T, page string, archs []int) {
	p := openReport(t, page, browsertest.Options{})
	for module := range 5 {
		filtered := 0
		for _, index := range archs {
			arch, err := cell.Size{}.ByIndex(index)
			if err != nil {
				t.Fatal(err)
			}
			if arch.(cell.Widths)[module] == 64 {
				filtered++
			}
		}
		if filtered == 0 || filtered == len(archs) {
			t.Errorf("module %d: %d architectures have width 64", module, filtered)
		}
		selector := fmt.Sprintf(`select[data-place="%d"]`, module)
		p.choose(selector, "64")
		p.WaitFor(fmt.Sprintf(`document.querySelector("#shown").textContent.startsWith("%d of %d architectures")`, filtered, len(archs)))
		if got := len(p.points("cost")); got != filtered {
			t.Errorf("module %d: the plot has %d points, want %d", module, got, filtered)
		}
		p.choose(selector, "")
		p.WaitFor(fmt.Sprintf(`document.querySelector("#shown").textContent.startsWith("%d of")`, len(archs)))
	}
	for _, index := range []int{archs[0], archs[31]} {
		arch, err := cell.Size{}.ByIndex(index)
		if err != nil {
			t.Fatal(err)
		}
		p.search(arch.String())
		p.waitForDialog(index)
		shown := browsertest.Eval[string](p.Page, `document.querySelector("dialog#architecture").innerText`)
		if !strings.Contains(shown, arch.String()) || strings.Contains(shown, "Isomorphism") {
			t.Errorf("the dialog shows\n%s", shown)
		}
		for _, width := range strings.Split(arch.String(), ":") {
			if !browsertest.Eval[bool](p.Page, fmt.Sprintf(`[...document.querySelectorAll("dialog#architecture svg text")].some(e => e.textContent === %q)`, width)) {
				t.Errorf("the picture of %s does not show %s", arch, width)
			}
		}
		p.closeDialog()
	}
	p.search("8:8:8:8:8:8")
	p.WaitFor(`document.querySelector("#search").validationMessage === "The benchmark has no architecture 8:8:8:8:8:8."`)
	text := browsertest.Eval[string](p.Page, `nb201.plots.operations.csv()`)
	if !strings.HasPrefix(text, "module,width,architectures,") || !strings.Contains(text, "\ncell 1,64,") {
		t.Errorf("the table of widths is\n%s", text)
	}
}

// No text is too faint, no control without a name, and so on.
func useAccessibly(t *testing.T, page string, archs []int) {
	p := openReport(t, page, browsertest.Options{})
	for _, plot := range p.plots() {
		p.show(plot)
	}
	for _, o := range []browsertest.Options{{}, {Dark: true}, {Width: 390, Height: 844}} {
		p.Show(o)
		p.checkAccessible(fmt.Sprintf("%+v", o))
	}
	p.Show(browsertest.Options{})
	p.search(strconv.Itoa(archs[3]))
	p.waitForDialog(archs[3])
	p.checkAccessible("dialog")
	p.Show(browsertest.Options{Dark: true})
	p.checkAccessible("dark dialog")
}

// The search opens an architecture by its index and by its genotype string.
func useSearch(t *testing.T, page string, archs []int) {
	p := openReport(t, page, browsertest.Options{})
	if at := browsertest.Eval[float64](p.Page, "nb201.timing.firstPlot"); at <= 0 || at > 60_000 {
		t.Errorf("the first plot was drawn after %v ms", at)
	}
	arch, err := cell.Topology{}.ByIndex(archs[31])
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]int{strconv.Itoa(archs[7]): archs[7], arch.String(): archs[31]} {
		p.search(text)
		p.waitForDialog(want)
		found, err := cell.Topology{}.ByIndex(want)
		if err != nil {
			t.Fatal(err)
		}
		shown := browsertest.Eval[string](p.Page, `document.querySelector("dialog#architecture").innerText`)
		for _, part := range []string{found.String(), "777", "888", "cifar10-valid", "digits"} {
			if !strings.Contains(shown, part) {
				t.Errorf("the dialog does not show %s, but\n%s", part, shown)
			}
		}
		if browsertest.Eval[float64](p.Page, `document.querySelector("dialog#architecture svg").getBoundingClientRect().height`) < 50 {
			t.Error("the dialog does not show the cell")
		}
		p.closeDialog()
	}
	// 39 is how the index 390 begins, and not that of an architecture.
	p.search("39")
	p.WaitFor(`document.querySelector("#search").validationMessage === "The benchmark has no architecture 39."`)
	if browsertest.Eval[bool](p.Page, `document.querySelector("dialog#architecture").open`) {
		t.Error("the search opens an architecture that was not asked for")
	}
}

// A point shows what it is when the pointer is on it, and opens its architecture when it is clicked.
func useMouse(t *testing.T, page string, archs []int) {
	const tooltip = `[...document.querySelectorAll(".tooltip")].filter(e => e.checkVisibility()).map(e => e.innerText).join()`
	p := openReport(t, page, browsertest.Options{})
	for _, plot := range []string{"cost", "against"} {
		i, x, y := p.apart(plot)
		point := p.points(plot)[i]
		p.Do(chromedp.MouseEvent("mouseMoved", x+1, y))
		p.WaitFor(fmt.Sprintf(`%s.includes(%q)`, tooltip, point.Label))
		p.Do(chromedp.MouseClickXY(x, y))
		p.waitForDialog(archs[point.Arch])
		p.closeDialog()
		p.Do(chromedp.MouseEvent("mouseMoved", 1, 1))
		p.WaitFor(tooltip + ` === ""`)
	}
}

// From the keyboard one reaches a plot, moves through its points, which are announced, and opens one.
func useKeyboard(t *testing.T, page string, archs []int) {
	const announced = `document.querySelector("#announcer").textContent`
	const onPlot = `document.activeElement === document.querySelector("figure[data-plot=cost] .canvas")`
	p := openReport(t, page, browsertest.Options{})
	for presses := 0; !browsertest.Eval[bool](p.Page, onPlot); presses++ {
		if presses == 50 {
			t.Fatal("50 presses of Tab do not lead to the first plot")
		}
		p.Press(kb.Tab)
	}
	var last string
	for _, key := range []string{kb.ArrowRight, kb.ArrowRight, kb.End, kb.ArrowLeft, kb.Home, kb.ArrowDown, kb.ArrowUp} {
		p.Press(key)
		now := browsertest.Eval[string](p.Page, announced)
		if !strings.HasPrefix(now, "Architecture ") || !strings.Contains(now, "mean accuracy") || now == last && key != kb.ArrowUp {
			t.Errorf("after %q, %q is announced, before %q", key, now, last)
		}
		last = now
	}
	name, _, _ := strings.Cut(last, ",")
	arch, err := strconv.Atoi(strings.TrimPrefix(name, "Architecture "))
	if err != nil || !slices.Contains(archs, arch) {
		t.Fatalf("%q is announced", last)
	}
	p.Press(kb.Enter)
	p.waitForDialog(arch)
	p.closeDialog()
	p.WaitFor(onPlot)
}

// A filter leaves the architectures with an operation on an edge.
func useFilter(t *testing.T, page string, archs []int) {
	p := openReport(t, page, browsertest.Options{})
	all := len(p.points("cost"))
	for edge := range 6 {
		has := func(position int) bool {
			arch, err := cell.Topology{}.ByIndex(archs[position])
			return err == nil && arch.(cell.Cell)[edge].String() == "nor_conv_3x3"
		}
		want := 0
		for position := range archs {
			if has(position) {
				want++
			}
		}
		selector := fmt.Sprintf(`select[data-place="%d"]`, edge)
		p.choose(selector, "nor_conv_3x3")
		p.WaitFor(fmt.Sprintf(`document.querySelector("#shown").textContent.startsWith("%d of %d architectures")`, want, len(archs)))
		points := p.points("cost")
		if len(points) != want || want == 0 || want == all || slices.ContainsFunc(points, func(q plotPoint) bool { return !has(q.Arch) }) {
			t.Errorf("edge %d: the plot has %d points of %d, want %d", edge, len(points), all, want)
		}
		p.choose(selector, "")
		p.WaitFor(fmt.Sprintf(`document.querySelector("#shown").textContent.startsWith("%d of")`, len(archs)))
	}
	if got := len(p.points("cost")); got != all {
		t.Errorf("without a filter the plot has %d points, want %d", got, all)
	}
}

// Dataset, schedule and set determine what the plots show.
func useChoices(t *testing.T, page string, _ []int) {
	p := openReport(t, page, browsertest.Options{})
	seen := map[string]string{}
	options := func(selector string) []string {
		return browsertest.Eval[[]string](p.Page, fmt.Sprintf(`[...document.querySelector(%q).options].map(o => o.value)`, selector))
	}
	for _, dataset := range options("#dataset") {
		p.choose("#dataset", dataset)
		for _, schedule := range options("#schedule") {
			p.choose("#schedule", schedule)
			for _, set := range options("#set") {
				p.choose("#set", set)
				what := strings.Join([]string{dataset, schedule, set}, " ")
				shown := fmt.Sprint(p.points("cost"))
				if before := seen[shown]; before != "" {
					t.Errorf("%s shows what %s does", what, before)
				}
				seen[shown] = what
			}
		}
	}
	if len(seen) < 8 { // 2 datasets, 2 schedules, at least 2 sets
		t.Errorf("there are only %d choices: %q", len(seen), seen)
	}
}

// Every plot gives its numbers as a table and as a file, which agree.
func useNumbers(t *testing.T, page string, archs []int) {
	p := openReport(t, page, browsertest.Options{})
	plots := p.plots()
	want := []string{"against", "cost", "curves", "differences", "epochs", "histogram", "hours", "operations", "ranks"}
	if !slices.Equal(slices.Sorted(slices.Values(plots)), want) {
		t.Errorf("the plots are %q, want %q", plots, want)
	}
	for _, plot := range plots {
		p.show(plot)
		figure := fmt.Sprintf("figure[data-plot=%s]", plot)
		name, content := p.Download(chromedp.Focus(chromedp.CSS(figure+" [data-action=csv]")), chromedp.KeyEvent(kb.Enter))
		if name != plot+".csv" || string(content) != browsertest.Eval[string](p.Page, fmt.Sprintf("nb201.plots[%q].csv()", plot)) {
			t.Errorf("%s: the file %s is\n%s", plot, name, content)
		}
		rows, err := csv.NewReader(strings.NewReader(string(content))).ReadAll()
		if err != nil || len(rows) < 2 {
			t.Errorf("%s: %v in\n%s", plot, err, content)
			continue
		}
		p.Do(chromedp.Focus(chromedp.CSS(figure + " [data-action=table]")))
		p.Press(kb.Enter)
		p.WaitFor(fmt.Sprintf(`document.querySelector("%s table").checkVisibility()`, figure))
		header := browsertest.Eval[[]string](p.Page, fmt.Sprintf(`[...document.querySelectorAll("%s thead th")].map(e => e.textContent)`, figure))
		shown := browsertest.Eval[int](p.Page, fmt.Sprintf(`document.querySelectorAll("%s tbody tr").length`, figure))
		if !slices.Equal(header, rows[0]) || shown != min(len(rows)-1, 100) {
			t.Errorf("%s: the table has columns %q and %d rows, the file %q and %d", plot, header, shown, rows[0], len(rows)-1)
		}
		if plot == "cost" || plot == "against" {
			checkPoints(t, plot, rows[1:], p.points(plot), archs)
		}
	}
}

// checkPoints checks that each row of a table is that of a point, in any order.
func checkPoints(t *testing.T, plot string, rows [][]string, points []plotPoint, archs []int) {
	t.Helper()
	if len(rows) != len(points) {
		t.Errorf("%s: %d rows, %d points", plot, len(rows), len(points))
	}
	number := func(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }
	for _, q := range points {
		want := []string{strconv.Itoa(archs[q.Arch]), number(q.X), number(q.Y)}
		isRow := func(row []string) bool {
			return row[0] == want[0] && slices.Contains(row, want[1]) && slices.Contains(row, want[2])
		}
		if !slices.ContainsFunc(rows, isRow) {
			t.Errorf("%s: no row has %q", plot, want)
		}
	}
}

// Paper shows all sections, without what answers to a mouse, in the light.
func usePrint(t *testing.T, page string, _ []int) {
	p := openReport(t, page, browsertest.Options{Dark: true})
	if pdf := p.PDF(); len(pdf) < 100_000 { // the plots are pictures
		t.Errorf("the PDF has %d bytes", len(pdf))
	}
	p.Show(browsertest.Options{Dark: true, Print: true})
	hidden := browsertest.Eval[[]string](p.Page, `[...document.querySelectorAll("main section, main figure")]
		.filter(e => !e.checkVisibility()).map(e => e.id || e.dataset.plot)`)
	if len(hidden) > 0 {
		t.Errorf("paper does not show %q", hidden)
	}
	if browsertest.Eval[bool](p.Page, `[...document.querySelectorAll("#search, #theme, [data-action]")].some(e => e.checkVisibility())`) {
		t.Error("paper shows controls")
	}
	// A plot may have several canvases; a picture has all of them.
	p.Show(browsertest.Options{Dark: true})
	p.Do(chromedp.Evaluate[chromedp.Void](`dispatchEvent(new Event("beforeprint"))`))
	p.WaitFor(`[...document.querySelectorAll("main figure:has(canvas)")].every(e => e.querySelector(".canvas > img")?.naturalWidth > 300)`)
	p.Do(chromedp.Evaluate[chromedp.Void](`dispatchEvent(new Event("afterprint"))`))
	p.WaitFor(`document.querySelector(".canvas > img") === null`)
}

// tooWide lists the elements that make the page wider than the window.
const tooWide = `document.scrollingElement.scrollWidth <= innerWidth ? [] : [...document.querySelectorAll("body *")].filter(e => {
	if (e.getBoundingClientRect().right <= innerWidth) return false;
	for (let up = e.parentElement; up !== document.body; up = up.parentElement) {
		if (getComputedStyle(up).overflowX !== "visible") return false;
	}
	return true;
}).map(e => e.outerHTML.slice(0, 100)).slice(0, 10)`

// The page fits windows of all widths, light and dark. NB201_SCREENSHOTS names a directory that gets
// pictures.
func useScreenshots(t *testing.T, page string, archs []int) {
	to := os.Getenv("NB201_SCREENSHOTS")
	p := openReport(t, page, browsertest.Options{})
	for _, width := range []int{390, 1024, 1920} {
		for _, dark := range []bool{false, true} {
			o := browsertest.Options{Width: width, Height: 900, Dark: dark}
			p.Show(o)
			name := fmt.Sprintf("%d-light", width)
			if dark {
				name = fmt.Sprintf("%d-dark", width)
			}
			for _, plot := range p.plots() { // plots are drawn when they come into sight
				p.show(plot)
			}
			if wide := browsertest.Eval[[]string](p.Page, tooWide); len(wide) > 0 {
				t.Errorf("%s: the page is wider than the window: %q", name, wide)
			}
			p.Do(chromedp.Evaluate[chromedp.Void](`scrollTo({top: 0, behavior: "instant"})`))
			if to != "" {
				p.Screenshot(filepath.Join(to, name+".png"))
				p.FullScreenshot(filepath.Join(to, name+"-whole.png"))
			}
			p.search(strconv.Itoa(archs[20]))
			p.waitForDialog(archs[20])
			if to != "" {
				p.Screenshot(filepath.Join(to, name+"-architecture.png"))
			}
			p.closeDialog()
			p.Do(chromedp.Evaluate[chromedp.Void](`document.querySelector("#search").value = ""; document.activeElement.blur()`))
		}
	}
}

// TestHostileReport opens pages about files whose texts try to do harm: with -short of a campaign alone.
func TestHostileReport(t *testing.T) {
	needs.Chromium(t)
	const script = `<img src=x onerror=window.owned=1><script>window.owned=1</script>`
	dir := t.TempDir()
	nb201 := build(t)
	trials := []results.Trial{}
	for _, arch := range []int{1, 4, 9} {
		trials = append(trials, results.Trial{Arch: arch, Dataset: "digits", Epochs: 2, Seed: 1})
	}

	// The name of the folder ends a script element, if the page lets it.
	campaign := results.Campaign{Dir: filepath.Join(dir, "<", "script><script>window.owned=1<", "script>")}
	publish(t, campaign, func(r *results.Record) {
		r.Versions.Program, r.Versions.Plugin = script, `=HYPERLINK("http://evil.example/","x")`
	}, trials...)
	failTrial(t, campaign, "=1+2", "f\\nfake", strings.ReplaceAll(script, `"`, `\"`)+`\u001b]0;owned\u0007\u202e`)
	page := filepath.Join(dir, "campaign.html")
	writeReport(t, nb201, page, campaign.Dir)
	checkHarmless(t, page, "script><script>window.owned=1<", script, `\x1b]0;owned\a\u202e`, "=1+2", `f\nfake`, `=HYPERLINK("http://evil.example/","x")`)

	if !needs.IsLong() {
		return
	}
	// Tables may have schedules of any name.
	tables := filepath.Join(dir, "tables")
	if out, err := exec.Command(nb201, "export", campaign.Dir, "--format", "csv", "--to", tables).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, schedule := range []string{"=1+2", "@SUM(1+9)*cmd|' /C calc'!A0", "<img src=x onerror=window.owned=1>"} {
		for _, name := range []string{"trials.csv", "epochs.csv"} {
			path := filepath.Join(tables, name)
			text, err := os.ReadFile(path)
			if err == nil {
				text = regexp.MustCompile(`,digits,[^,]*,`).ReplaceAllLiteral(text, []byte(",digits,"+schedule+","))
				err = os.WriteFile(path, text, 0o666)
			}
			if err != nil {
				t.Fatal(err)
			}
		}
		page := filepath.Join(dir, "tables.html")
		writeReport(t, nb201, page, tables)
		checkHarmless(t, page, schedule)
	}
}

// checkHarmless checks that a page shows texts as they are, does nothing that they say, and saves them as
// cells that a spreadsheet does not compute.
func checkHarmless(t *testing.T, page string, texts ...string) {
	t.Helper()
	p := openReport(t, page, browsertest.Options{})
	for _, plot := range p.plots() {
		p.show(plot)
		text := browsertest.Eval[string](p.Page, fmt.Sprintf("nb201.plots[%[1]q].points().length > 0 ? nb201.plots[%[1]q].csv() : ''", plot))
		rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Errorf("%s: %v", plot, err)
		}
		for _, field := range slices.Concat(rows...) {
			if _, err := strconv.ParseFloat(field, 64); err != nil && field != "" && strings.ContainsAny(field[:1], "=+-@\t\r") {
				t.Errorf("%s: a spreadsheet computes %q", plot, field)
			}
		}
		p.Do(chromedp.Evaluate[chromedp.Void](fmt.Sprintf(`document.querySelector("figure[data-plot=%s] [data-action=table]").click()`, plot)))
	}
	shown := browsertest.Eval[string](p.Page, `(body => {
		body.querySelectorAll("script").forEach(script => script.remove()); // with the data
		return body.textContent;
	})(document.body.cloneNode(true))`)
	for _, text := range texts {
		if !strings.Contains(shown, text) {
			t.Errorf("the page does not show %q", text)
		}
	}
	if strings.ContainsAny(shown, "\x1b\a\u202e") {
		t.Error("the page contains control characters")
	}
	if browsertest.Eval[bool](p.Page, `"owned" in window || document.images.length > 0`) {
		t.Error("a text was obeyed")
	}
}
