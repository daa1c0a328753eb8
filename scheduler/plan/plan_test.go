package plan

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/needs"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/resultstest"
)

// published is the preset of NAS-Bench-201.
var published = cell.Topology{}.Preset()

var defaults = Settings{configs.Published(), true}

// selection returns a selection of four lists; archs is parsed like that of a command line.
func selection(t testing.TB, archs string, datasets []string, epochs []int, seeds ...uint32) Selection {
	t.Helper()
	a, err := ParseArchs(nil, archs)
	if err != nil {
		t.Fatal(err)
	}
	return Selection{Archs: &a, Datasets: datasets, Epochs: epochs, Seeds: seeds}
}

func mustNew(t testing.TB, s Settings, sel Selection) *Plan {
	t.Helper()
	p, err := New(s, sel, "")
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func digits(t testing.TB, archs string, epochs []int, seeds ...uint32) *Plan {
	t.Helper()
	return mustNew(t, defaults, selection(t, archs, []string{"digits"}, epochs, seeds...))
}

// reread returns the plan after writing it to a file and reading it back.
func reread(t testing.TB, p *Plan) *Plan {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "campaign")
	if err := p.Write(dir); err != nil {
		t.Fatal(err)
	}
	got, err := Read(dir)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

func TestParseArchs(t *testing.T) {
	zero, err := cell.Topology{}.ByIndex(0)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]string{
		"list":    "# those to check\n3\n\n 10-12 # a range\r\n" + zero.String() + "\n",
		"empty":   "# nothing\n",
		"bad":     "1\n2,3\n",
		"123":     "7\n",
		"unique2": "unique\n",
		"marked":  "\xef\xbb\xbf0\n1\n",
		"comment": "\xef\xbb\xbf# from a spreadsheet\r\n5-6\r\n",
		"sizes":   "8:8:8:8:16 # index 1\n5-6\n",
		"wide":    "\xff\xfe0\x00\r\x00\n\x00",
	}
	read := func(name string) ([]byte, error) {
		if text, ok := files[name]; ok {
			return []byte(text), nil
		}
		return nil, &fs.PathError{Op: "open", Path: name, Err: fs.ErrNotExist}
	}
	for _, c := range []struct{ list, want, problem string }{
		{"0", "0", ""},
		{"0-15624", "0-15624", ""},
		{"5,3,4,3-5,9", "3-5,9", ""},
		{"62-65, 127,128", "62-65,127-128", ""},
		{zero.String() + ",2", "0,2", ""},
		{zero.String() + ",2", "0,2", ""},
		{"@list", "0,3,10-12", ""},
		{"list,1", "0-1,3,10-12", ""},
		{"@123", "7", ""},
		{"marked", "0-1", ""},
		{"@comment", "5-6", ""},

		{"64:64:64:64:64", "32767", ""},
		{"3-4,8:8:8:8:8,20000", "0,3-4,20000", ""},
		{"@sizes,32767", "1,5-6,32767", ""},

		{"", "", "an item of the list is empty"},
		{"1,,2", "", "an item of the list is empty"},
		{"15625", "", "15625 is out of range; use 0 to 15624"},
		{"0-15625", "", "15625 is out of range"},
		{"99999999999999999999", "", "out of range"},
		{"5-3", "", "5-3: the range ends before it begins"},
		{"-1", "", "not a range; write FIRST-LAST"},
		{"1-", "", "not a range; write FIRST-LAST"},
		{"1-2-3", "", "not a range; write FIRST-LAST"},
		{"|none~0|", "", "genotype string"},
		{"8:8:8:8", "", "want 5 widths"},
		{"8:8:8:8:8,32768", "", "32768 is out of range; use 0 to 32767 in the size search space"},
		{"8:8:8:8:8," + zero.String(), "", "is of the topology search space, not of the size search space"},
		{zero.String() + ",@sizes", "", "sizes, line 1: architecture \"8:8:8:8:16\" is of the size search space"},
		{"none", "", `"none": not an index, a range FIRST-LAST, the string of an architecture, "unique" or a readable file: open none`},
		{"@none", "", "cannot read the architectures: open none"},
		{"@empty", "", "empty: the file names no architecture"},
		{"bad", "", "bad, line 2: "},
		{"unique2", "", "unique2, line 1: "},
		{"wide", "", "wide: the text is in UTF-16 or UTF-32, by its first bytes; save it as UTF-8"},
	} {
		got, err := parseArchs(nil, c.list, read)
		switch {
		case c.problem == "" && (err != nil || got.String() != c.want):
			t.Errorf("%s: %s, %v, want %s", c.list, got, err, c.want)
		case c.problem != "" && (!usage.Is(err) || !strings.Contains(err.Error(), c.problem)):
			t.Errorf("%s: error %v, want a usage error with %q", c.list, err, c.problem)
		}
	}
	unique, err := ParseArchs(nil, "unique")
	if err != nil || unique.Len() != 6466 || !unique.Has(0) {
		t.Errorf("unique: %d architectures, %v, want 6466", unique.Len(), err)
	}
	classes := map[int]bool{}
	for i := range unique.All() {
		a, err := cell.Topology{}.ByIndex(i)
		if err != nil {
			t.Fatal(err)
		}
		classes[a.Class()] = true
	}
	if len(classes) != 6466 {
		t.Errorf("unique has architectures of %d classes", len(classes))
	}
}

// The text of a set parses to the same set.
func FuzzParseArchs(f *testing.F) {
	for _, list := range []string{"0-15624", "1,2,5-9", "unique", "8:8:8:8:8,7-9", "@list,3", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "0-", ",", "15625"} {
		f.Add(list, "1 # one\n5-9\n")
	}
	f.Fuzz(func(t *testing.T, list, file string) {
		archs, err := parseArchs(nil, list, func(string) ([]byte, error) { return []byte(file), nil })
		if err != nil {
			if !usage.Is(err) {
				t.Errorf("%q: %v is not a usage error", list, err)
			}
			return
		}
		again, err := ParseArchs(archs.Space(), archs.String())
		if err != nil || again != archs || archs.Len() != len(slices.Collect(archs.All())) || archs.Len() == 0 {
			t.Errorf("%q: %s reads back as %s, %v", list, archs, again, err)
		}
	})
}

// The preset has what was published: 15,625 x (4 + 1 + 12) trials.
func TestPublished(t *testing.T) {
	p := mustNew(t, defaults, Selection{Preset: published})
	count := map[string]int{}
	for trial := range p.Trials() {
		count[fmt.Sprintf("%s %d %d", trial.Dataset, trial.Epochs, trial.Seed)]++
	}
	want := map[string]int{"cifar10-valid 12 777": cell.Topologies}
	for _, key := range configs.BenchmarkKeys() {
		want[key+" 12 111"] = cell.Topologies
		for _, seed := range []int{777, 888, 999} {
			want[fmt.Sprint(key, " 200 ", seed)] = cell.Topologies
		}
	}
	if fmt.Sprint(count) != fmt.Sprint(want) || p.Len() != 15625*(4+1+12) {
		t.Errorf("%d trials: %v, want %v", p.Len(), count, want)
	}
	for _, c := range []struct {
		selection Selection
		trials    int
	}{
		{selection(t, "0-9,15624", nil, nil), 11 * 17},
		{Selection{Datasets: []string{"cifar10-valid"}}, 15625 * 5},
		{Selection{Datasets: []string{"cifar100", "cifar10"}}, 15625 * 8},
		{selection(t, "unique", []string{"ImageNet16-120", "cifar10-valid"}, nil), 6466 * 9},
	} {
		c.selection.Preset = published
		if p := mustNew(t, defaults, c.selection); p.Len() != c.trials {
			t.Errorf("narrowed to %v: %d trials, want %d", c.selection.Datasets, p.Len(), c.trials)
		}
	}
}

// The sample contains each cost exactly once, including the smallest and the largest.
func TestSample(t *testing.T) {
	p := mustNew(t, defaults, Selection{Preset: Sample})
	costs := map[float64]bool{}
	for trial := range p.Trials() {
		if trial.Dataset != "cifar10-valid" || trial.Epochs != 12 || trial.Seed != 777 {
			t.Errorf("has %v", trial)
		}
		costs[p.Work(trial).MFLOPs] = true
	}
	all := map[float64]bool{}
	for arch := range cell.Topologies {
		all[p.Work(results.Trial{Arch: arch, Dataset: "cifar10-valid", Epochs: 12}).MFLOPs] = true
	}
	if p.Len() != 28 || len(costs) != 28 || fmt.Sprint(costs) != fmt.Sprint(all) {
		t.Errorf("%d trials of %d costs, there are %d", p.Len(), len(costs), len(all))
	}
	if p := mustNew(t, defaults, Selection{Preset: Sample, Datasets: []string{"digits", "cifar10"}}); p.Len() != 56 {
		t.Errorf("on two datasets %d trials", p.Len())
	}
}

func TestOrder(t *testing.T) {
	p := mustNew(t, defaults, selection(t, "7,2", []string{"digits", "cifar100", "cifar10"}, []int{200, 12}, 999, 1))
	var got []string
	for trial := range p.Trials() {
		got = append(got, fmt.Sprintf("%d %d %s %d", trial.Epochs, trial.Arch, trial.Dataset, trial.Seed))
	}
	var want []string
	for _, epochs := range []int{12, 200} {
		for _, arch := range []int{2, 7} {
			for _, key := range []string{"cifar10", "cifar100", "digits"} {
				for _, seed := range []int{1, 999} {
					want = append(want, fmt.Sprintf("%d %d %s %d", epochs, arch, key, seed))
				}
			}
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("order %q, want %q", got, want)
	}
}

func TestWrongSelection(t *testing.T) {
	own := filepath.Join(t.TempDir(), "own.json")
	text := `{"name": "own", "format": "npz", "path": "a.npz", "classes": 2, "images": {"train": 300, "test": 10}, "size": [8, 8],
		"mean": [1, 1, 1], "std": [1, 1, 1], "augment": {"flip": false, "crop_padding": 0},
		"train": {"from": "train", "order": "shuffle"}, "eval": [{"name": "ori-test", "from": "test", "order": "sequential"}]}`
	other := filepath.Join(filepath.Dir(own), "other.json")
	for path, text := range map[string]string{own: text, other: strings.Replace(text, "300", "400", 1)} {
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	keys := []string{"digits"}
	full := func() Selection { return selection(t, "0", keys, []int{12}, 1) }
	with := func(change func(*Settings)) Settings { s := defaults; change(&s); return s }
	none := Archs{}
	for want, c := range map[string]struct {
		settings Settings
		Selection
	}{
		"add --archs or --preset":                    {defaults, Selection{}},
		"add --datasets or --preset":                 {defaults, selection(t, "0", nil, []int{12}, 1)},
		"add --epochs or --preset":                   {defaults, selection(t, "0", keys, nil, 1)},
		"add --seeds or --preset":                    {defaults, selection(t, "0", keys, []int{12})},
		`unknown preset "all"`:                       {defaults, Selection{Preset: "all"}},
		"already fixes epochs and seeds":             {defaults, Selection{Preset: Sample, Epochs: []int{12}}},
		"omit --epochs, --recipe and --seeds":        {defaults, Selection{Preset: published, Seeds: []uint32{1}}},
		`has no dataset "digits"`:                    {defaults, Selection{Preset: published, Datasets: keys}},
		"none of the architectures":                  {defaults, Selection{Preset: published, Archs: &none}},
		`unknown dataset key "MNIST"`:                {defaults, selection(t, "0", []string{"MNIST"}, []int{12}, 1)},
		"a schedule of 0 epochs":                     {defaults, selection(t, "0", keys, []int{0}, 1)},
		`definitions have the name "own": images is`: {defaults, selection(t, "0", []string{own, other}, []int{12}, 1)},
		"own has 300 training images":                {with(func(s *Settings) { s.Batch = 301 }), selection(t, "0", []string{own}, []int{12}, 1)},
		`unknown parity profile "x"`:                 {with(func(s *Settings) { s.Parity = "x" }), full()},
		`unknown timeline "x"`:                       {with(func(s *Settings) { s.Timeline = "x" }), full()},
		"-1 loader workers":                          {with(func(s *Settings) { s.Workers = -1 }), full()},
		"a batch of 0 images":                        {with(func(s *Settings) { s.Batch = 0 }), full()},
		"a network cannot have 0 channels":           {with(func(s *Settings) { s.Channels = 0 }), full()},
	} {
		if _, err := New(c.settings, c.Selection, ""); !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want a usage error with %q", err, want)
		}
	}
	// The plan contains a whole copy of a user's definition, and the directory of its file.
	p := reread(t, mustNew(t, defaults, selection(t, "0", []string{own, "cifar10"}, []int{12}, 1)))
	if err := os.Remove(own); err != nil {
		t.Fatal(err)
	}
	d, err := p.Definition("own")
	if err != nil || d.Classes != 2 || p.Datasets[1].Directory != filepath.Dir(own) || p.Datasets[1].Images != (Images{300, 10}) {
		t.Errorf("definition %+v, dataset %+v (%v)", d, p.Datasets[1], err)
	}
	if p.Datasets[0].Directory != "" {
		t.Errorf("cifar10 has the directory %q", p.Datasets[0].Directory)
	}
}

// A plan counts the images of its timeline.
func TestImages(t *testing.T) {
	for timeline, want := range map[configs.Timeline][]Images{
		"dec2019": {{25000, 35000}, {50000, 10000}, {50000, 20000}, {151700, 12000}, {1347, 450}},
		"nov2019": {{25000, 25000}, {50000, 10000}, {50000, 10000}, {151700, 6000}, {1347, 450}},
	} {
		s := defaults
		s.Timeline = timeline
		p := mustNew(t, s, selection(t, "0", append(configs.BenchmarkKeys(), "digits"), []int{12}, 1))
		for i, d := range p.Datasets {
			if d.Images != want[i] {
				t.Errorf("%s, %s: %+v, want %+v", timeline, d.Key, d.Images, want[i])
			}
		}
	}
}

func TestExtend(t *testing.T) {
	p := digits(t, "0-9", []int{12}, 777)
	for _, c := range []struct {
		more   *Plan
		trials int
		parts  int
	}{
		{digits(t, "0-9", []int{12}, 777), 10, 1},
		{digits(t, "3", []int{12}, 777), 10, 1},
		{digits(t, "10-19", []int{12}, 777), 20, 1},
		{digits(t, "5-14", []int{12}, 777), 15, 1},
		{digits(t, "0-9", []int{12, 200}, 777), 20, 1},
		{digits(t, "0-9", []int{12}, 888), 20, 1},
		{digits(t, "5-14", []int{12}, 777, 888), 10 + 10 + 5, 2},
		{mustNew(t, defaults, selection(t, "0-9", []string{"cifar10"}, []int{12}, 777)), 20, 1},
		{&Plan{Settings: defaults}, 10, 1},
	} {
		got, err := p.Extend(c.more, nil)
		if err != nil || got.Len() != c.trials || len(got.Parts) != c.parts || p.Len() != 10 {
			t.Errorf("%v: %d trials in %d parts (%v), want %d in %d", c.more.Parts, got.Len(), len(got.Parts), err, c.trials, c.parts)
			continue
		}
		if (got == p) != (c.trials == 10) {
			t.Errorf("%v: returned a new plan: %v", c.more.Parts, got != p)
		}
		want := map[results.Trial]bool{}
		for _, plan := range []*Plan{p, c.more} {
			for trial := range plan.Trials() {
				want[trial] = true
			}
		}
		for trial := range reread(t, got).Trials() {
			if !want[trial] || !got.Has(trial) {
				t.Errorf("%v: trial %v is unexpected, or a duplicate", c.more.Parts, trial)
			}
			delete(want, trial)
		}
		if len(want) > 0 {
			t.Errorf("%v: trials %v are lost", c.more.Parts, want)
		}
	}
}

func TestExtendRefuses(t *testing.T) {
	p := digits(t, "0-9", []int{12, 200}, 777)
	done := []results.Trial{
		{Arch: 0, Dataset: "digits", Epochs: 12, Seed: 777}, {Arch: 1, Dataset: "digits", Epochs: 200, Seed: 777},
		{Arch: 99, Dataset: "digits", Epochs: 12, Seed: 777}, // not planned
	}
	change := func(change func(*Plan)) *Plan {
		more := digits(t, "0-9", []int{12}, 777)
		change(more)
		return more
	}
	for _, c := range []struct {
		more *Plan
		want string
		done int
	}{
		{change(func(p *Plan) { p.Settings.Precision = "fp64" }), `precision is "fp32", not "fp64"`, 2},
		{change(func(p *Plan) { p.Settings.Batch = 128 }), "batch is 256, not 128", 2},
		{change(func(p *Plan) { p.Settings.Weights = false }), "weights is true, not false", 2},
		{change(func(p *Plan) { p.Schedules[0].Recipe.LearningRate = 0.2 }), "recipe 12: learning_rate is 0.1, not 0.2", 1},
		{change(func(p *Plan) {
			p.Datasets[0].Definition = []byte(strings.Replace(string(p.Datasets[0].Definition), "77.97", "78", 1))
		}), "definition of digits: mean is [77.97,77.97,77.97], not [78,77.97,77.97]", 2},
		{change(func(p *Plan) { p.Datasets[0].Images.Train++ }), "definition of digits: training is 1347, not 1348", 2},
		{change(func(p *Plan) { p.Datasets[0].Directory = "/b" }), `definition of digits: directory is "", not "/b"`, 2},
	} {
		_, err := p.Extend(c.more, done)
		want := fmt.Sprintf("the existing plan differs: %s; finished trials trained with it: %d of 2; plan a new campaign in another directory", c.want, c.done)
		if !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %q", err, want)
		}
		_, err = p.Extend(c.more, done[2:])
		if !usage.Is(err) || !strings.Contains(err.Error(), c.want+"; none of its trials has finished, so use --replace to replace it") {
			t.Errorf("with none finished: error %v", err)
		}
	}
}

// A plan adopts only finished trials that have the settings it would have given them.
func TestAdopt(t *testing.T) {
	p := digits(t, "0-9", []int{12}, 777)
	trial := results.Trial{Arch: 3, Dataset: "digits", Epochs: 12, Seed: 777}
	record := func() *results.Record {
		r := resultstest.Record(t, trial)
		r.Definition = p.Datasets[0].Definition
		resultstest.Resize(t, r, 16, 5)
		return r
	}
	for want, change := range map[string]func(*results.Record){
		"":                            func(*results.Record) {},
		"precision is tf32, not fp32": func(r *results.Record) { r.Precision = "tf32" },
		"workers is 2, not 4":         func(r *results.Record) { r.Parity.Workers = 2 },
		"cells (N) is 1, not 5":       func(r *results.Record) { resultstest.Resize(t, r, 16, 1) },
		"momentum is 0.8, not 0.9":    func(r *results.Record) { r.Recipe.Momentum = 0.8 },
		"source of the initial weights is a file, not the seed": func(r *results.Record) {
			r.InitialWeights = &results.StartWeights{File: results.File{Name: "a.pth", SHA256: strings.Repeat("0", 64)}}
		},
		"deviation of the pixels is [95,95.73,95.73], not [95.73,95.73,95.73]": func(r *results.Record) {
			r.Definition = []byte(strings.Replace(string(r.Definition), "95.73", "95", 1))
		},
	} {
		c := results.Campaign{Dir: t.TempDir()}
		r := record()
		change(r)
		if err := c.Publish(r, nil); err != nil {
			t.Fatal(err)
		}
		done, err := Done(t.Context(), c.Dir)
		if err != nil || !slices.Equal(done, []results.Trial{trial}) {
			t.Fatalf("done: %v, %v", done, err)
		}
		err = p.Adopt(t.Context(), c, done)
		if want == "" && err != nil || want != "" && (!usage.Is(err) || !strings.Contains(err.Error(), want)) {
			t.Errorf("error %v, want %q", err, want)
		}
	}
	if done, err := Done(t.Context(), filepath.Join(t.TempDir(), "none")); err != nil || done != nil {
		t.Errorf("without a campaign: %v, %v", done, err)
	}
}

// randomPlan returns a plan with up to five parts of random lists.
func randomPlan(t testing.TB, r *rand.Rand) *Plan {
	keys := append(configs.BenchmarkKeys(), "digits")
	some := func(n int) []int { return r.Perm(n)[:1+r.IntN(n)] }
	var p *Plan
	for range 1 + r.IntN(5) {
		var archs Archs
		for range 1 + r.IntN(3) {
			first := r.IntN(cell.Topologies)
			archs.add(first, min(first+r.IntN(40), cell.Topologies-1))
		}
		sel := Selection{Archs: &archs}
		for _, i := range some(len(keys)) {
			sel.Datasets = append(sel.Datasets, keys[i])
		}
		for _, i := range some(3) {
			sel.Epochs = append(sel.Epochs, []int{12, 200, 3}[i])
		}
		for range 1 + r.IntN(4) {
			sel.Seeds = append(sel.Seeds, r.Uint32N(6))
		}
		more := mustNew(t, defaults, sel)
		if p == nil {
			p = more
			continue
		}
		var err error
		if p, err = p.Extend(more, nil); err != nil {
			t.Fatal(err)
		}
	}
	return p
}

// checkTrials checks that Trials yields each trial once, in order, and Len of them.
func checkTrials(t *testing.T, p *Plan) map[results.Trial]int {
	t.Helper()
	place := map[results.Trial]int{}
	var last results.Trial
	for trial := range p.Trials() {
		if _, twice := place[trial]; twice || !p.Has(trial) {
			t.Fatalf("%v is yielded twice, or is in no part", trial)
		}
		if len(place) > 0 && (trial.Epochs < last.Epochs || trial.Epochs == last.Epochs && trial.Compare(last) <= 0) {
			t.Fatalf("%v comes after %v", trial, last)
		}
		place[trial] = len(place)
		last = trial
	}
	if len(place) != p.Len() {
		t.Fatalf("%d trials, Len is %d", len(place), p.Len())
	}
	return place
}

// checkChunks checks that every trial is in exactly one of n chunks, in running order, that units
// are whole, and that the chunks are balanced in each schedule.
func checkChunks(t *testing.T, p *Plan, place map[results.Trial]int, n int) {
	t.Helper()
	type share struct {
		trials int
		cost   float64
	}
	shares := make([]map[int]share, n) // by schedule
	units := map[results.Trial]int{}   // of seed 0: the unit's chunk
	seen := make([]bool, len(place))
	var dearest = map[int]float64{}
	var most int
	inUnit := map[results.Trial]int{}
	cost := func(trial results.Trial) float64 {
		w := p.Work(trial)
		return (w.Train + w.Eval/3) * w.MFLOPs
	}
	for i := range n {
		shares[i] = map[int]share{}
		last := -1
		for trial := range p.Chunk(i+1, n) {
			at, planned := place[trial]
			if !planned || seen[at] || at < last {
				t.Fatalf("chunk %d of %d: %v is not planned, in two chunks, or out of order", i+1, n, trial)
			}
			seen[at], last = true, at
			unit := trial
			unit.Seed = 0
			if chunk, known := units[unit]; known && chunk != i {
				t.Fatalf("%v has seeds in chunks %d and %d", unit, chunk+1, i+1)
			}
			units[unit] = i
			inUnit[unit]++
			most = max(most, inUnit[unit])
			c := cost(trial)
			dearest[trial.Epochs] = max(dearest[trial.Epochs], c)
			s := shares[i][trial.Epochs]
			shares[i][trial.Epochs] = share{s.trials + 1, s.cost + c}
		}
	}
	if k := slices.Index(seen, false); k >= 0 {
		t.Fatalf("%d chunks leave out trial %d", n, k)
	}
	for _, s := range p.Schedules {
		epochs := s.Recipe.Epochs
		lo, hi := shares[0][epochs], shares[0][epochs]
		for _, in := range shares {
			lo.trials, hi.trials = min(lo.trials, in[epochs].trials), max(hi.trials, in[epochs].trials)
			lo.cost, hi.cost = min(lo.cost, in[epochs].cost), max(hi.cost, in[epochs].cost)
		}
		// Dealt in order, two chunks differ by at most two cards of each number of seeds.
		if hi.trials-lo.trials > 2*most {
			t.Errorf("%d chunks of %d epochs have %d to %d trials", n, epochs, lo.trials, hi.trials)
		}
		if bound := float64(2*most*most) * dearest[epochs]; hi.cost-lo.cost > bound {
			t.Errorf("%d chunks of %d epochs cost %g to %g, more than %g apart", n, epochs, lo.cost, hi.cost, bound)
		}
	}
}

func TestRandomPlans(t *testing.T) {
	for seed := range uint64(12) {
		r := rand.New(rand.NewPCG(seed, 6))
		p := reread(t, randomPlan(t, r))
		place := checkTrials(t, p)
		for _, n := range []int{1, 2 + r.IntN(9), 1 + r.IntN(100)} {
			checkChunks(t, p, place, n)
		}
		if t.Failed() {
			t.Fatalf("of seed %d", seed)
		}
	}
}

// The whole benchmark, with four seeds of schedule 200: planned, written, read, listed
// and chunked.
func TestWholeBenchmark(t *testing.T) {
	needs.Long(t, "plans all architectures")
	p := mustNew(t, defaults, Selection{Preset: published})
	p, err := p.Extend(mustNew(t, defaults, selection(t, "0-15624", configs.BenchmarkKeys(), []int{200}, 1)), nil)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	p = reread(t, p)
	if n := p.Len(); n != 15625*(5+16) {
		t.Errorf("%d trials", n)
	}
	n := 0
	for trial := range p.Trials() {
		n += trial.Arch & 1
	}
	t.Logf("read, counted and listed in %v", time.Since(began))
	place := checkTrials(t, p)
	checkChunks(t, p, place, 5)
	// Large chunks cost the same within a thousandth.
	var costs []float64
	for i := range 3 {
		sum := 0.0
		for trial := range p.Chunk(i+1, 3) {
			w := p.Work(trial)
			sum += (w.Train + w.Eval/3) * w.MFLOPs
		}
		costs = append(costs, sum)
	}
	if lo, hi := slices.Min(costs), slices.Max(costs); hi > lo*1.001 {
		t.Errorf("3 chunks cost %g to %g", lo, hi)
	}
}

func BenchmarkWhole(b *testing.B) {
	p := mustNew(b, defaults, Selection{Preset: published})
	dir := b.TempDir()
	if err := p.Write(dir); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		p, err := Read(dir)
		if err != nil {
			b.Fatal(err)
		}
		p.Estimate(p.Trials(), FixedRate(1))
	}
}

func TestRead(t *testing.T) {
	if _, err := Read(t.TempDir()); !usage.Is(err) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("without a plan: %v", err)
	}
	text, err := digits(t, "0-9", []int{12}, 777).encode()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new, want string }{
		{`"format_version": 1,`, "", `key "format_version" is missing; this version of nb201 reads version 1`},
		{`"format_version": 1`, `"format_version": 2`, `key "format_version": version 2 is not supported`},
		{`"parity": "2019"`, `"parity": "2020"`, `key "settings": unknown parity profile "2020"`},
		{`"workers": 4`, `"workers": 4, "colour": 1`, `unknown key "settings.colour"`},
		{`"key": "digits"`, `"key": "cifar10"`, `key "datasets.0": the definition of dataset "cifar10" has the name "digits"`},
		{`"training": 1347`, `"training": 13`, `key "datasets.0": dataset digits has 13 training images, fewer than the batch size of 256`},
		{`"evaluation": 450`, `"evaluation": 0`, `key "datasets.0": dataset digits has 0 images to evaluate`},
		{`"classes": 10`, `"classes": 1`, `key "datasets.0": definition of digits: key "classes" must be from 2`},
		{`"workers": 4`, `"workers": 5000`, `key "settings": 5000 loader workers: use at most 4096`},
		{`"epochs": 12,`, `"epochs": 9223372036854775807,`, `key "schedules.0": key "epochs" must be from 1 to 100000, not 9223372036854775807`},
		{`"learning_rate": 0.1`, `"learning_rate": 0.2`, `key "schedules.0": "sha256" is "`},
		{`"batch": 256,` + "\n        ", `"batch": 128,` + "\n        ", `key "schedules.0": the recipe has 16 channels, 5 cells and a batch of 128`},
		{`"0-9"`, `"0-99999"`, `key "parts.0": architecture index 99999 is out of range`},
		{`"0-9"`, `""`, `key "parts.0": "architectures" is empty`},
		{`"0-9"`, `"/etc/hosts"`, `a plan cannot name files`},
		{"777\n", "\n", `key "parts.0": "datasets", "epochs" and "recipes", or "seeds" is empty`},
		{"12\n", "13\n", `key "parts.0": schedule 13 is not in`},
		{`"digits"` + "\n", `"cifar10"` + "\n", `key "parts.0": dataset "cifar10" is not in`},
	} {
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if changed == string(text) {
			t.Fatalf("no %s in the plan", c.old)
		}
		_, err := decode("plan.json", []byte(changed))
		if !usage.Is(err) || !strings.HasPrefix(err.Error(), "plan.json: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want a usage error with %q", c.new, err, c.want)
		}
	}
	alone := regexp.MustCompile(`(?s)"augment": \{.*?\},\s*"train": \{.*?\},`).ReplaceAllString(string(text), "")
	if _, err := decode("plan.json", []byte(alone)); !usage.Is(err) || !strings.Contains(err.Error(), `key "datasets.0": dataset digits has no training set`) {
		t.Errorf("evaluation sets alone: error %v", err)
	}
}

// A plan that can be read can be listed and written, and then reads back the same.
func FuzzRead(f *testing.F) {
	for _, p := range []*Plan{
		digits(f, "0-9", []int{12}, 777),
		mustNew(f, defaults, Selection{Preset: published, Archs: &Archs{words: [maxArchs / 64]uint64{1, 1 << 63}}}),
	} {
		text, err := p.encode()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		p, err := decode("plan.json", text)
		if err != nil {
			if !usage.Is(err) {
				t.Errorf("%v is not a usage error", err)
			}
			return
		}
		encoded, err := p.encode()
		if err != nil {
			t.Fatal(err)
		}
		again, err := decode("plan.json", encoded)
		if err != nil || again.Len() != p.Len() {
			t.Fatalf("reads back as %+v, %v", again, err)
		}
		if same, err := again.encode(); err != nil || string(same) != string(encoded) {
			t.Errorf("written as\n%s\nthen as\n%s\n%v", encoded, same, err)
		}
		listed := 0
		for range p.Trials() {
			if listed++; listed == 1000 {
				break
			}
		}
		if listed != min(p.Len(), 1000) {
			t.Errorf("%d trials listed of %d", listed, p.Len())
		}
	})
}
