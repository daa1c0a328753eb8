package export

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// sizes publishes the trials of architectures of the size search space that the published benchmark has.
func sizes(t testing.TB, archs ...int) results.Campaign {
	t.Helper()
	var trials []results.Trial
	for _, arch := range archs {
		trials = append(trials, resultstest.PublishedIn(cell.Size{}, arch)...)
	}
	return resultstest.Fill(t, trials...)
}

func publishedSizes(t testing.TB) *benchmark.Benchmark {
	return open(t, filepath.Join("..", "..", "testdata", "published-sss"))
}

func sizeTrial(dataset string, epochs int, seed uint32) results.Trial {
	return results.Trial{Space: cell.Size{}.Name(), Dataset: dataset, Epochs: epochs, Seed: seed}
}

// The rule of the published times must give what the original's program gave, to the bit.
func TestSizeTimes(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "sss_times.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Input  map[string]map[string]float64 `json:"input"`
		Output map[string]map[string]float64 `json:"output"`
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	c := results.Campaign{Dir: t.TempDir()}
	for _, key := range configs.BenchmarkKeys() {
		for _, seed := range []uint32{777, 888} {
			r := resultstest.Record(t, sizeTrial(key, 1, seed))
			in := golden.Input[fmt.Sprintf("%s|%d", key, seed)]
			r.Train.Seconds[0] = in["train"]
			for i := range r.Eval {
				r.Eval[i].Seconds[0] = in[r.Eval[i].Set]
			}
			publish(t, c, r)
		}
		publish(t, c, resultstest.Record(t, sizeTrial(key, 12, 999)))
	}
	o := Options{Format: published.NATS, To: filepath.Join(t.TempDir(), "new"), Times: Published}
	report := exportWith(t, c, o)
	if report.WithoutTimes > 0 || report.WithoutLatency > 0 {
		t.Errorf("%+v", report)
	}
	a, err := open(t, o.To).Architecture(0)
	if err != nil {
		t.Fatal(err)
	}
	compared := 0
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			want := golden.Output[r.Dataset]
			if r.Latencies[0] != want["latency"] || len(r.Latencies) != 1 {
				t.Errorf("%v: latency %v, want %v", r.Trial, r.Latencies, want["latency"])
			}
			for _, m := range r.Sets() {
				for epoch := range r.Epochs {
					if v, ok := m.Seconds.At(epoch); !ok || v != want[m.Set] {
						t.Errorf("%v: %s takes %v s in epoch %d, want %v", r.Trial, m.Set, v, epoch, want[m.Set])
					}
				}
			}
			compared++
		}
	}
	if compared != 12 {
		t.Errorf("%d trials were compared", compared)
	}
}

// The published times of the published records are their own times: the rule is the one that made them.
func TestSizeTimesOfPublished(t *testing.T) {
	o := Options{Format: published.NATS, To: filepath.Join(t.TempDir(), "new"), Times: Published}
	b := publishedSizes(t)
	if _, err := Run(t.Context(), b, o); err != nil {
		t.Fatal(err)
	}
	compareAll(t, open(t, o.To), b, o, 40)
}

// compareAll checks that an export has the trials of a benchmark.
func compareAll(t *testing.T, exported, from *benchmark.Benchmark, o Options, trials int) {
	t.Helper()
	compared := 0
	for want, err := range from.Architectures() {
		if err != nil {
			t.Fatal(err)
		}
		got, err := exported.Architecture(want.Index)
		if err != nil {
			t.Fatal(err)
		}
		if got.Space != want.Space || got.Genotype != want.Genotype || !slices.Equal(got.HPs(), want.HPs()) {
			t.Fatalf("architecture %d reads %v", want.Index, got)
		}
		for i, s := range want.Schedules {
			if len(got.Schedules[i].Results) != len(s.Results) {
				t.Fatalf("%d trials of schedule %s, not %d", len(got.Schedules[i].Results), s.HP, len(s.Results))
			}
			for k, r := range s.Results {
				kept := o
				if o.Format == published.NATS && s.HP == "01" {
					kept.Weights = false
					if got.Schedules[i].Results[k].HasWeights() {
						t.Errorf("%v has weights", r.Trial)
					}
				}
				readsBack(t, kept, got.Schedules[i].Results[k], r)
				compared++
			}
		}
	}
	if compared != trials {
		t.Errorf("%d trials were compared, not %d", compared, trials)
	}
}

// Our reader finds a campaign's trials of the size search space unchanged in every kind of export.
func TestSizeReadsBack(t *testing.T) {
	c := sizes(t, 11, 4096)
	for name, o := range map[string]Options{
		"runs": {Format: published.Runs}, "simple": {Format: published.NATS}, "full": {Format: published.NATS, Weights: true},
		"merged": {Format: published.NATS, Merged: true}, "parquet": {Format: published.Parquet}, "csv": {Format: published.CSV},
	} {
		t.Run(name, func(t *testing.T) {
			o.To = filepath.Join(t.TempDir(), "new")
			if o.Merged {
				o.To += natsExtension
			}
			if report := exportWith(t, c, o); report.Space != (cell.Size{}).Name() {
				t.Errorf("%+v", report)
			}
			b := open(t, o.To)
			if b.Space != (cell.Size{}) || b.Len() != 32768 {
				t.Errorf("it is of the %s and lists %d", b.Space.Title(), b.Len())
			}
			compareAll(t, b, open(t, c.Dir), o, 40)
		})
	}
}

// Files have the original's names, and those of NATS-Bench the order of the keys that its programs give.
func TestSizeFiles(t *testing.T) {
	c := sizes(t, 0)
	for name, x := range map[string]struct {
		options Options
		want    []string
	}{
		"runs": {Options{Format: published.Runs}, []string{
			"raw-data-01/", "raw-data-01/arch-000000-seed-0777.pth",
			"raw-data-12/", "raw-data-12/arch-000000-seed-0777.pth", "raw-data-12/arch-000000-seed-0888.pth", "raw-data-12/arch-000000-seed-0999.pth",
			"raw-data-90/", "raw-data-90/arch-000000-seed-0777.pth",
		}},
		"slots": {Options{Format: published.Runs, Less: "1", Full: "90"}, []string{
			"raw-data-12/", "raw-data-12/arch-000000-seed-0777.pth", "raw-data-90/", "raw-data-90/arch-000000-seed-0777.pth",
		}},
		"simple": {Options{Format: published.NATS}, []string{"000000.pickle.pbz2", "meta.pickle.pbz2"}},
	} {
		o := x.options
		o.To = filepath.Join(t.TempDir(), "new")
		exportWith(t, c, o)
		if got := names(t, o.To); !slices.Equal(got, x.want) {
			t.Errorf("%s: made %q", name, got)
		}
	}
	for kind, o := range map[string]Options{
		"-simple": {Format: published.NATS}, "-full": {Format: published.NATS, Weights: true}, natsExtension: {Format: published.NATS, Merged: true},
	} {
		o.To = t.TempDir()
		report := exportWith(t, c, o)
		if name := filepath.Base(report.Path); !strings.HasPrefix(name, "NATS-sss-v1_0-") || len(name) != len("NATS-sss-v1_0-50262")+len(kind) || !strings.HasSuffix(name, kind) {
			t.Errorf("%s: made %s", kind, name)
		}
	}
}

// The records have the keys and types of the published ones, in their order.
func TestSizeRecordShape(t *testing.T) {
	shape := func(path string) string {
		text, err := pickle.ReadBZ2(path, 1<<26)
		if err != nil {
			t.Fatal(err)
		}
		v, err := pickle.Reader{Class: torchfile.Class}.Decode(text)
		if err != nil {
			t.Fatal(err)
		}
		return describeValue(v, 0)
	}
	to := filepath.Join(t.TempDir(), "new")
	exportWith(t, sizes(t, 11), Options{Format: published.NATS, To: to, Times: Published})
	dir := filepath.Join("..", "..", "testdata", "published-sss")
	for _, name := range []string{"meta.pickle.pbz2", "000011.pickle.pbz2"} {
		if got, want := shape(filepath.Join(to, name)), shape(filepath.Join(dir, name)); got != want {
			at := 0
			for at < min(len(got), len(want)) && got[at] == want[at] {
				at++
			}
			t.Errorf("%s has\n%.300s\nwhere the published file has\n%.300s", name, got[max(at-200, 0):], want[max(at-200, 0):])
		}
	}
}

// describeValue describes the types in a pickled value, and the strings and keys. The evaluation sets have
// no order in the published files, and numpy's scalars count as plain numbers.
func describeValue(v any, depth int) string {
	indent := "\n" + strings.Repeat(" ", depth)
	v = pickle.Unwrap(v)
	switch v := v.(type) {
	case *pickle.Dict:
		return indent + "dict" + describeItems(*v, depth)
	case *pickle.OrderedDict:
		return indent + "OrderedDict" + describeItems(v.Items, depth)
	case *pickle.List:
		if len(*v) > 100 {
			return fmt.Sprintf("list of %d, %v to %v", len(*v), (*v)[0], (*v)[len(*v)-1])
		}
		var items []string
		for _, item := range *v {
			items = append(items, describeValue(item, depth+1))
		}
		if len(items) > 1 && strings.HasPrefix(items[0], "string") {
			slices.Sort(items)
		}
		return "list of " + strings.Join(items, ", ")
	case string:
		return "string " + v
	case int64:
		return fmt.Sprintf("int %d", v)
	}
	return fmt.Sprintf("%T", v)
}

func describeItems(d pickle.Dict, depth int) string {
	var items []string
	for _, item := range d {
		items = append(items, fmt.Sprintf("%s%v: %s", "\n"+strings.Repeat(" ", depth), item.Key, describeValue(item.Value, depth+1)))
	}
	if len(d) > 0 {
		if key, ok := d[0].Key.(string); ok && strings.Contains(key, "@") {
			slices.Sort(items)
		}
	}
	return strings.Join(items, "")
}

// A run has the keys and types of those of the original's program, in their order.
func TestSizeRunShape(t *testing.T) {
	text, err := os.ReadFile(filepath.Join("..", "..", "testdata", "golden", "sss_runfile.json"))
	if err != nil {
		t.Fatal(err)
	}
	var golden struct {
		Shape jsontext.Value `json:"shape"`
	}
	if err := json.Unmarshal(text, &golden); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "new")
	exportWith(t, sizes(t, 0), Options{Format: published.Runs, To: to})
	f, err := torchfile.Open(filepath.Join(to, "raw-data-01", "arch-000000-seed-0777.pth"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	v, err := f.Value()
	if err != nil {
		t.Fatal(err)
	}
	checkShape(t, "file", v, golden.Shape)
}

// checkShape compares a value with a shape in sss_runfile.json: an object with the keys of a dict in order,
// or a string with the type and perhaps the value. [TestSizeReadsBack] compares the types of tensors.
func checkShape(t *testing.T, name string, v any, shape jsontext.Value) {
	t.Helper()
	if shape.Kind() == '"' {
		var text string
		if err := json.Unmarshal(shape, &text); err != nil {
			t.Fatal(err)
		}
		kind, value, _ := strings.Cut(text, " ")
		var ok bool
		switch v := v.(type) {
		case float64:
			ok = kind == "float" || kind == "float64"
		case int64:
			ok = text == fmt.Sprintf("int %d", v)
		case bool:
			ok = kind == "bool" && (value == "True") == v
		case string:
			free := strings.HasSuffix(name, "/info") || strings.HasSuffix(name, "/net_string")
			ok = kind == "str" && (free || value == "'"+v+"'")
		case pickle.Tuple:
			ok = text == "tuple "+strings.NewReplacer("[", "(", "]", ")", " ", ", ").Replace(fmt.Sprint([]any(v)))
		case *torchfile.Ref:
			ok = strings.HasPrefix(text, "Tensor ") && strings.HasSuffix(text, " "+strings.ReplaceAll(fmt.Sprint(v.Shape), " ", ", "))
		case *pickle.List:
			ok = text == "list ['"+strings.Trim(strings.ReplaceAll(fmt.Sprint([]any(*v)), " ", "', '"), "[]")+"']"
		case *pickle.OrderedDict:
			ok = kind == "as" // another's state dict
		}
		if !ok {
			t.Errorf("%s is %T %v, want %s", name, v, v, text)
		}
		return
	}
	var items pickle.Dict
	kind := "dict"
	switch v := v.(type) {
	case *pickle.Dict:
		items = *v
	case *pickle.OrderedDict:
		items, kind = v.Items, "OrderedDict"
	default:
		t.Fatalf("%s is %T, want a dict", name, v)
	}
	d := jsontext.NewDecoder(bytes.NewReader(shape))
	if _, err := d.ReadToken(); err != nil {
		t.Fatal(err)
	}
	at := 0
	for d.PeekKind() == '"' {
		token, err := d.ReadToken()
		if err != nil {
			t.Fatal(err)
		}
		key := strings.Trim(token.String(), "'")
		value, err := d.ReadValue()
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case key == "__type__":
			if value.String() != strconv.Quote(kind) {
				t.Errorf("%s is a %s, want %s", name, kind, value)
			}
			continue
		case at == len(items) || fmt.Sprint(items[at].Key) != key:
			t.Fatalf("%s has as key %d %v, want %s", name, at, items[min(at, len(items)-1)].Key, key)
		}
		checkShape(t, name+"/"+key, items[at].Value, value)
		at++
	}
	if at != len(items) {
		t.Errorf("%s has %d keys, want %d", name, len(items), at)
	}
}

func TestSizeRefusals(t *testing.T) {
	c := sizes(t, 0)
	lacking := results.Campaign{Dir: t.TempDir()}
	for _, trial := range resultstest.PublishedIn(cell.Size{}, 3) {
		if trial.Dataset != "cifar100" || trial.Epochs != 1 {
			publish(t, lacking, resultstest.Record(t, trial))
		}
	}
	table := &results.LatencyTable{Batch: 256, Channels: 16, Cells: 5, Measured: []results.Latency{{Dataset: "cifar10", Classes: 10, Seconds: []float64{0.01}}}}
	of := func(c results.Campaign, o Options) (results.Campaign, Options) { return c, o }
	for want, make := range map[string]func() (results.Campaign, Options){
		"is of the size search space, which the format nasbench201 cannot store; export to one of runs, nats, parquet, csv": func() (results.Campaign, Options) {
			return of(c, Options{Format: published.NASBench201})
		},
		"which the format archive cannot store; export to one of": func() (results.Campaign, Options) { return of(c, Options{Format: published.Archive}) },
		"architecture 3 has none with times on cifar100; train them, or export the measured times": func() (results.Campaign, Options) {
			return of(lacking, Options{Format: published.NATS, Times: Published})
		},
		"latencies of the topology search space: the benchmark is of the size search space": func() (results.Campaign, Options) {
			return of(c, Options{Format: published.NATS, Latencies: []*results.LatencyTable{table}})
		},
		"--less 007 and --full 90 (its default)": func() (results.Campaign, Options) { return of(c, Options{Format: published.NATS, Less: "007"}) },
	} {
		campaign, o := make()
		o.To = filepath.Join(t.TempDir(), "new.pth")
		if _, err := Run(t.Context(), open(t, campaign.Dir), o); !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want one with %q", err, want)
		}
	}
}

// Latencies measured by nb201 latency replace those of the trials.
func TestSizeLatencies(t *testing.T) {
	c := sizes(t, 9)
	table := &results.LatencyTable{Batch: 256, Space: cell.Size{}.Name(), Measured: []results.Latency{
		{Arch: 9, Dataset: "cifar10", Classes: 10, ImageSize: 32, Seconds: []float64{0.5}},
		{Arch: 10, Dataset: "cifar100", Classes: 100, ImageSize: 32, Seconds: []float64{0.6}},
	}}
	o := Options{Format: published.NATS, To: filepath.Join(t.TempDir(), "new"), Latencies: []*results.LatencyTable{table}}
	if report := exportWith(t, c, o); report.OwnLatency != 15 {
		t.Errorf("%+v", report)
	}
	costs, err := open(t, o.To).CostInfo(9, "cifar10", "90")
	if err != nil || *costs.Latency != 0.5 {
		t.Errorf("%+v, %v", costs, err)
	}
}

// The descriptions of the columns are those of the space.
func TestSizeColumns(t *testing.T) {
	to := filepath.Join(t.TempDir(), "new")
	exportWith(t, resultstest.Fill(t, sizeTrial("cifar10", 1, 777)), Options{Format: published.CSV, To: to})
	text, err := os.ReadFile(filepath.Join(to, "trials.csv-metadata.json"))
	for _, want := range []string{"index of the architecture, 0 to 32767", "string of widths", "01, 12 and 90", "0, since the widths fix the network"} {
		if err != nil || !strings.Contains(string(text), want) {
			t.Errorf("%q is missing: %v\n%s", want, err, text)
		}
	}
}
