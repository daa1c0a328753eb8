package report

import (
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/compare"
	"nb201/results/published"
	"nb201/results/resultstest"
	"nb201/results/summary"
)

func open(t testing.TB, path string) *benchmark.Benchmark {
	t.Helper()
	b, err := published.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

// htmlOf returns the page of a report.
func htmlOf(t testing.TB, r *Report) string {
	t.Helper()
	var page strings.Builder
	if err := r.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	return page.String()
}

// trials returns trials of architectures on two datasets with two schedules and two seeds; one
// architecture has a third seed, and another lacks one.
func trials(archs ...int) []results.Trial {
	var all []results.Trial
	for i, arch := range archs {
		for _, dataset := range []string{"digits", "cifar100"} {
			for _, epochs := range []int{3, 8} {
				for seed := range uint32(2) {
					if i != 1 || seed != 0 {
						all = append(all, results.Trial{Arch: arch, Dataset: dataset, Epochs: epochs, Seed: seed})
					}
				}
			}
		}
	}
	return append(all, results.Trial{Arch: archs[0], Dataset: "digits", Epochs: 8, Seed: math.MaxUint32})
}

// TestContent compares what the page has of each trial with its record.
func TestContent(t *testing.T) {
	all := trials(4, 17, 200, 1462, 15624)
	c := resultstest.Fill(t, all...)
	collected, err := summary.Read(t.Context(), open(t, c.Dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	fixed := readParts().size()
	for room, perTrial := range map[int]bool{maxPage: true, fixed + 31_000: false} {
		r, err := newReport(collected, open(t, c.Dir), Options{}, room)
		if err != nil {
			t.Fatal(err)
		}
		u := newUnpacker(t, 5, r.columns)
		indices := u.values(r.content.Index)
		if want := []float64{4, 17, 200, 1462, 15624}; !slices.Equal(indices, want) {
			t.Fatalf("architectures %v", indices)
		}
		seen := 0
		for _, g := range r.content.Groups {
			if g.PerTrial != perTrial {
				t.Errorf("%d bytes: curves of trials: %v", room, g.PerTrial)
			}
			for k, seeds := range g.Seeds {
				for i, seed := range u.values(seeds) {
					if math.IsNaN(seed) {
						continue
					}
					seen++
					trial := results.Trial{Arch: int(indices[i]), Dataset: g.Dataset, Epochs: g.Epochs, Seed: uint32(seed)}
					record, err := results.ReadRecord(c.RecordPath(trial))
					if err != nil {
						t.Fatal(err)
					}
					checkTrial(t, u, &g, k, i, record)
				}
			}
		}
		if seen != len(all) || r.Trials() != len(all) || r.Architectures() != 5 {
			t.Errorf("%d trials on the page, %d reported, of %d", seen, r.Trials(), len(all))
		}
		if len(r.content.Measures) != 2*(2+4) || *r.content.Kendall[0][0] != 1 || *r.content.Spearman[3][3] != 1 || r.content.Common[0][1] != 5 {
			t.Errorf("%d measures", len(r.content.Measures))
		}
	}
}

// sizes returns trials of architectures of the size search space.
func sizes(archs ...int) []results.Trial {
	var all []results.Trial
	for _, arch := range archs {
		all = append(all, results.Trial{Space: cell.Size{}.Name(), Arch: arch, Dataset: "digits", Epochs: 12, Seed: 777})
	}
	return all
}

// TestSpaces composes the strings of architectures of both spaces as the page does.
func TestSpaces(t *testing.T) {
	for space, all := range map[cell.Space][]results.Trial{cell.Topology{}: trials(4, 15624), cell.Size{}: sizes(0, 11, 284, 32767)} {
		r, err := Make(t.Context(), open(t, resultstest.Fill(t, all...).Dir), Options{})
		if err != nil {
			t.Fatal(err)
		}
		parts := r.content.Space
		u := newUnpacker(t, r.Architectures(), r.columns)
		codes, classes := u.values(r.content.Code), u.values(r.content.Class)
		for i, index := range u.values(r.content.Index) {
			arch, err := space.ByIndex(int(index))
			if err != nil {
				t.Fatal(err)
			}
			got, code := parts.Text[0], int(codes[i])
			for at := range parts.Places {
				got += parts.Options[code%len(parts.Options)] + parts.Text[at+1]
				code /= len(parts.Options)
			}
			if got != arch.String() || int(classes[i]) != arch.Class() {
				t.Errorf("%v of the %s is %s in class %v on the page, want %s in class %d", index, space.Title(), got, classes[i], arch, arch.Class())
			}
		}
	}
}

// checkTrial compares trial k of architecture i with its record.
func checkTrial(t *testing.T, u *unpacker, g *group, k, i int, record *results.Record) {
	t.Helper()
	near := func(what string, c column, want, within float64) {
		t.Helper()
		if got := u.values(c)[i]; !(math.Abs(got-want) <= within) {
			t.Errorf("%v: %s: %v instead of %v", record.Trial, what, got, want)
		}
	}
	near("FLOPs", g.FLOPs, record.FLOPs, 0)
	near("parameters", g.Params, record.Params, 0)
	near("latency", *g.Latency, (record.Latency[0]+record.Latency[1])/2, 1e-9)
	sum := 0.0
	for _, s := range record.Train.Seconds {
		sum += s
	}
	near("seconds", g.TrialSeconds[k], sum, 1e-9)
	passes := map[string]*results.Pass{benchmark.TrainingSet: &record.Train}
	for e := range record.Eval {
		passes[record.Eval[e].Set] = &record.Eval[e].Pass
	}
	if len(g.Sets) != len(passes) {
		t.Errorf("%d sets instead of %d", len(g.Sets), len(passes))
	}
	for _, s := range g.Sets {
		pass := passes[s.Name]
		last := record.Epochs - 1
		near(s.Name, s.Top1[k], pass.Top1[last], fineStep/2+1e-9)
		near(s.Name, s.Loss[k], pass.Loss[last], 1e-4)
		for at, epoch := range g.Shown {
			if !g.PerTrial { // the seeds of resultstest differ by one percent
				near(s.Name+" curve", u.expand(s.Curves[0])[at], pass.Top1[epoch], 1)
				continue
			}
			near(s.Name+" curve", u.expand(s.Curves[k])[at], pass.Top1[epoch], fineStep/2+1e-5)
			near(s.Name+" loss curve", u.expand(s.LossCurves[k])[at], pass.Loss[epoch], 1e-4)
		}
	}
}

// TestDetails checks that the page keeps to its room, says what it leaves out, and always has the
// last epoch.
func TestDetails(t *testing.T) {
	var all []results.Trial
	for arch := range 40 {
		for seed := range uint32(2) {
			all = append(all, results.Trial{Arch: arch * 300, Dataset: "cifar10", Epochs: 90, Seed: seed})
		}
	}
	c := resultstest.Fill(t, all...)
	collected, err := summary.Read(t.Context(), open(t, c.Dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	fixed := readParts().size()
	for room := fixed + 120_000; room > fixed-30_000; room -= 4_000 {
		r, err := newReport(collected, open(t, c.Dir), Options{}, room)
		if err != nil {
			t.Fatal(err)
		}
		page := htmlOf(t, r)
		g := r.content.Groups[0]
		if g.Shown[len(g.Shown)-1] != 89 {
			t.Errorf("epochs %v", g.Shown)
		}
		if len(page) > room && len(g.Shown) > 1 {
			t.Errorf("a page of %d bytes for %d", len(page), room)
		}
		said := strings.Contains(strings.Join(r.content.Notes, " "), "To stay below")
		if whole := g.PerTrial && len(g.Shown) == 90; said == whole {
			t.Errorf("%d epochs, of trials: %v, notes %q", len(g.Shown), g.PerTrial, r.content.Notes)
		}
		shown[fmt.Sprint(g.PerTrial, len(g.Shown))] = true
	}
	if len(shown) < 4 {
		t.Errorf("details %v", shown)
	}
}

// status is a document about a campaign, whose text has types of all kinds.
type (
	status struct {
		Kind     kind           `json:"kind"`
		Problems []string       `json:"problems"`
		Keys     map[string]any `json:"keys"`
	}
	kind string
)

// TestPage checks that equal benchmarks give equal pages, and that text from files cannot leave its
// place in the page.
func TestPage(t *testing.T) {
	c := resultstest.Fill(t, trials(4, 17, 200)...)
	other := resultstest.Fill(t, trials(4, 17, 300)...)
	hostile := "</script><script>alert(1)</script>\x1b[2J\u202e\u2028=HYPERLINK(\"http://x\")"
	where := filepath.Join(t.TempDir(), "a<script>alert(2)<&'\"b")
	if err := os.Symlink(c.Dir, where); err != nil {
		t.Fatal(err)
	}
	write := func() string {
		compared, err := compare.Run(t.Context(), open(t, where), open(t, other.Dir), compare.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Make(t.Context(), open(t, where), Options{Program: "nb201 test", Against: compared, Campaign: &status{
			Kind: kind(hostile), Problems: []string{hostile, "not UTF-8: \xff"}, Keys: map[string]any{hostile: hostile},
		}})
		if err != nil {
			t.Fatal(err)
		}
		return htmlOf(t, r)
	}
	page := write()
	if page != write() {
		t.Error("a second page differs")
	}
	if !IsReport([]byte(page[:200])) || IsReport([]byte("<!DOCTYPE html>\n<html>")) {
		t.Error("IsReport")
	}
	p := readParts()
	outside := strings.NewReplacer(p.library, "", p.script, "").Replace(page)
	if n := strings.Count(outside, "<script"); n != 5 {
		t.Errorf("%d script elements", n)
	}
	if strings.Contains(outside, "alert(1)<") || strings.ContainsAny(outside, "\x1b\u202e\u2028") || strings.Contains(outside, "<script>alert") {
		t.Error("text of a file is markup")
	}
	for _, script := range []string{p.library, p.script} {
		if !strings.Contains(page, hash(script)) || strings.Contains(script, "</script") {
			t.Error("the policy lacks a script, or the script ends early")
		}
	}
	var shown content
	text := regexp.MustCompile(`(?s)<script type="application/json" id="content">(.*?)</script>`).FindStringSubmatch(page)
	if text == nil {
		t.Fatal("no content")
	}
	if err := json.Unmarshal([]byte(text[1]), &shown); err != nil {
		t.Fatal(err)
	}
	const inert = `</script><script>alert(1)</script>\x1b[2J\u202e\u2028=HYPERLINK("http://x")`
	want := map[string]any{"kind": inert, "problems": []any{inert, `not UTF-8: \xff`}, "keys": map[string]any{inert: inert}}
	if !reflect.DeepEqual(shown.Campaign, want) || shown.Source.Path != where {
		t.Errorf("campaign %q, path %q", shown.Campaign, shown.Source.Path)
	}
	if a := shown.Against; a.Common != 2 || len(a.Comparisons) != 2*(2+4) {
		t.Errorf("comparison: %+v", a)
	}
}

// TestDamage checks that a damaged record costs only its trial, and is reported; a benchmark
// without any other is refused.
func TestDamage(t *testing.T) {
	all := trials(4, 17)
	c := resultstest.Fill(t, all...)
	damage := func(trial results.Trial) {
		if err := os.WriteFile(c.RecordPath(trial), []byte("{"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	damage(all[0])
	r, err := Make(t.Context(), open(t, c.Dir), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Trials() != len(all)-1 || len(r.Damaged()) != 1 || !strings.Contains(strings.Join(r.content.Notes, " "), "1 file damaged") {
		t.Errorf("%d trials, damaged %q, notes %q", r.Trials(), r.Damaged(), r.content.Notes)
	}
	for _, trial := range all {
		damage(trial)
	}
	if _, err := Make(t.Context(), open(t, c.Dir), Options{}); !usage.Is(err) {
		t.Errorf("without a trial: %v", err)
	}
	// The page of a campaign has its progress even then.
	r, err = Make(t.Context(), open(t, c.Dir), Options{Campaign: object{"problems": []string{"a problem"}}})
	if err != nil {
		t.Fatal(err)
	}
	page := htmlOf(t, r)
	if r.Trials() != 0 || r.Architectures() != 0 || len(r.Damaged()) != len(all) || !strings.Contains(page, "a problem") {
		t.Errorf("%d trials of %d architectures, %d damaged", r.Trials(), r.Architectures(), len(r.Damaged()))
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := Make(ctx, open(t, c.Dir), Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled: %v", err)
	}
}

// TestNew checks that a summary that was updated gives the page that a benchmark gives when it is read.
func TestNew(t *testing.T) {
	all := trials(4, 17, 200)
	c := resultstest.Fill(t, all[:9]...)
	s, err := summary.Read(t.Context(), open(t, c.Dir), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, trial := range all[9:] {
		r := resultstest.Record(t, trial)
		r.Device, r.Attempts = "cuda:0", 2
		if err := c.Publish(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	b := open(t, c.Dir)
	if s, err = s.Update(t.Context(), b, []int{4, 17, 200}, nil); err != nil {
		t.Fatal(err)
	}
	page := func(r *Report, err error) string {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return htmlOf(t, r)
	}
	updated, read := page(New(s, b, Options{})), page(Make(t.Context(), b, Options{}))
	if updated != read || !strings.Contains(updated, fmt.Sprintf(`{"name":"cuda:0","trials":%d,`, len(all)-9)) {
		t.Error("the page of the updated summary differs, or has other devices")
	}
	if r, err := New(new(summary.Summary), b, Options{}); err != nil || r.Trials() != 0 || !strings.Contains(page(r, err), `"architectures":0`) {
		t.Errorf("without a trial: error %v", err)
	}
}
