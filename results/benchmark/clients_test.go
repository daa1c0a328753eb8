package benchmark_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"nb201/cell"
	"nb201/internal/needs"
	"nb201/internal/torchfile"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// askClient makes an unmodified Python client answer all questions in testdata/clients.py, also about
// further evaluation sets.
func askClient(t *testing.T, client, path string, indices []int, further ...string) map[string]any {
	t.Helper()
	python := needs.Python(t)
	out := filepath.Join(t.TempDir(), "answers.json")
	list := strings.ReplaceAll(strings.Trim(fmt.Sprint(indices), "[]"), " ", ",")
	c := exec.CommandContext(t.Context(), python, append([]string{"testdata/clients.py", client, path, list, out}, further...)...)
	c.Env = append(os.Environ(), "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD=1")
	if text, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v: %v\n%s", c, err, text)
	}
	text, err := os.ReadFile(out)
	if err != nil {
		t.Fatal(err)
	}
	var answers map[string]any
	if err := json.Unmarshal(text, &answers); err != nil {
		t.Fatal(err)
	}
	return answers
}

// answerer answers the questions in testdata/clients.py with package benchmark.
type answerer struct {
	t   *testing.T
	b   *benchmark.Benchmark
	hps map[string]string // our names of the client's schedules

	read map[string]*benchmark.ArchResults // so that it is not read again for every question
}

func newAnswerer(t *testing.T, b *benchmark.Benchmark, hps map[string]string) *answerer {
	kept := benchmark.New(b.Path, b.Format, b.Space, b.Listed, b.Evaluated(), &reader{Benchmark: b, read: map[int]*benchmark.Architecture{}})
	return &answerer{t, kept, hps, map[string]*benchmark.ArchResults{}}
}

// reader reads each architecture of a benchmark once: most of the thousands of questions read one.
type reader struct {
	*benchmark.Benchmark
	mu   sync.Mutex
	read map[int]*benchmark.Architecture
}

func (r *reader) Architecture(index int) (*benchmark.Architecture, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if a := r.read[index]; a != nil {
		return a, nil
	}
	a, err := r.Benchmark.Architecture(index)
	if err == nil {
		r.read[index] = a
	}
	return a, err
}

// compare asks package benchmark the client's questions and compares the answers.
func (a *answerer) compare(want map[string]any) {
	a.t.Helper()
	if len(want) < 1000 {
		a.t.Errorf("the client answered %d questions only", len(want))
	}
	kinds := map[string]int{}
	for question, want := range want {
		answer, err := a.answer(strings.Split(question, "/"))
		var got any = "error"
		if err == nil {
			text, err := json.Marshal(answer)
			if err == nil {
				err = json.Unmarshal(text, &got)
			}
			if err != nil {
				a.t.Fatal(err)
			}
		}
		kind, _, _ := strings.Cut(question, "/")
		if kinds[kind]++; !same(got, want) && kinds[kind+" differs"] < 3 {
			kinds[kind+" differs"]++
			a.t.Errorf("%s\ngot  %v (%v)\nwant %v", question, got, err, want)
		}
	}
	a.t.Log(kinds)
}

// same compares decoded JSON values; numbers may differ by 1e-12.
func same(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Abs(a-b) <= 1e-12*max(1, math.Abs(b))
	case []any:
		b, ok := b.([]any)
		return ok && slices.EqualFunc(a, b, same)
	case map[string]any:
		b, ok := b.(map[string]any)
		for key := range a {
			ok = ok && same(a[key], b[key])
		}
		return ok && len(a) == len(b)
	}
	return a == b
}

// answer answers a question, given in parts.
func (a *answerer) answer(q []string) (any, error) {
	number := func(at int) int {
		n, err := strconv.Atoi(q[at])
		if err != nil {
			a.t.Fatalf("%q: %v", q, err)
		}
		return n
	}
	epoch := func(at int) int {
		if q[at] == "last" {
			return benchmark.Last
		}
		return number(at)
	}
	pick := func(at int) benchmark.Pick {
		if q[at] == "mean" {
			return benchmark.Mean()
		}
		return benchmark.Seed(uint32(number(at)))
	}
	b := a.b
	switch q[0] {
	case "len":
		return b.Len(), nil
	case "arch":
		return b.Arch(number(1))
	case "index":
		return b.QueryIndexByArch(q[1])
	case "show":
		var text bytes.Buffer
		err := b.Show(&text, number(1))
		return text.String(), err
	case "config":
		c, err := b.NetConfig(number(1), q[2])
		return config(c), err
	case "hps":
		return b.AvailableHPs(a.t.Context(), nil)
	case "statistics":
		return b.Statistics(a.t.Context(), q[1], a.hps[q[2]], nil)
	case "best":
		flops, err1 := strconv.ParseFloat(q[3], 64)
		params, err2 := strconv.ParseFloat(q[4], 64)
		if err1 != nil || err2 != nil {
			a.t.Fatal(q, err1, err2)
		}
		best, err := b.FindBest(a.t.Context(), benchmark.Search{
			Dataset: q[1], Set: q[2], HP: a.hps[q[5]], MaxFLOPs: flops, MaxParams: params,
		})
		if err != nil {
			return nil, err
		}
		return []any{best.Index, best.Accuracy}, nil
	}

	// All other questions name a schedule and an architecture.
	hp := a.hps[q[1]]
	if q[0] == "text" {
		return b.QueryByArch(q[2], hp)
	}
	index := number(2)
	r, err := a.results(index, hp)
	if err != nil {
		return nil, err
	}
	switch {
	case q[0] == "results":
		return r.String(), nil
	case q[0] == "names":
		return r.DatasetNames(), nil
	case q[0] == "file name":
		return r.ArchIdxStr(), nil
	case q[0] == "epochs" && len(q) == 3:
		return r.TotalEpoch("")
	case q[0] == "information":
		var text bytes.Buffer
		err := r.Show(&text)
		return strings.TrimSuffix(text.String(), "\n"), err
	}
	dataset := q[3]
	switch {
	case q[0] == "seeds":
		return r.DatasetSeeds(dataset)
	case q[0] == "costs":
		c, err := r.ComputeCosts(dataset)
		return []any{c.FLOPs, c.Params, c.Latency, times(c.Times)}, err
	case q[0] == "cost info":
		c, err := b.CostInfo(index, dataset, hp)
		return []any{c.FLOPs, c.Params, c.Latency, times(c.Times)}, err
	case q[0] == "latency":
		return b.Latency(index, dataset, hp)
	case q[0] == "mean latency":
		return r.Latency(dataset)
	case q[0] == "epochs":
		return r.TotalEpoch(dataset)
	case q[0] == "trials":
		trials, err := b.QueryByIndex(index, dataset, hp)
		seeds := []uint32{}
		for _, trial := range trials {
			seeds = append(seeds, trial.Seed)
		}
		return seeds, err
	case q[0] == "weights":
		var seeds []uint32
		if len(q) == 5 {
			seeds = append(seeds, uint32(number(4)))
		}
		weights, err := b.NetParam(index, dataset, hp, seeds...)
		there := map[uint32]bool{}
		for seed, w := range weights {
			there[seed] = w != nil
		}
		if len(q) == 5 && err == nil {
			return tensors(a.t, weights[seeds[0]]), nil
		}
		return there, err
	case q[0] == "metrics":
		m, err := r.Metrics(dataset, q[4], epoch(5), pick(6))
		return metrics(m), err
	case q[0] == "more" && q[4] == "last":
		info, err := b.MoreInfo(index, dataset, benchmark.Last, hp, pick(5))
		return more(info), err
	case q[0] == "more":
		info, err := r.MoreInfo(dataset, epoch(4), pick(5))
		return more(info), err
	case q[0] == "simulate":
		s, err := b.SimulateTrainEval(index, dataset, epoch(5), hp, pick(4))
		if err != nil {
			return nil, err
		}
		return []any{s.Accuracy, s.Seconds, s.Latency}, nil
	}
	trials, err := r.Query(dataset, uint32(number(4)))
	if err != nil {
		return nil, err
	}
	trial := trials[0]
	switch q[0] {
	case "trial":
		return trial.String(), nil
	case "sets":
		return trial.EvalSet(), nil
	case "times":
		return times(trial.Times()), nil
	case "trial latency":
		return trial.Latency(), nil
	case "trial config":
		return config(trial.Config()), nil
	case "trial epochs":
		return trial.TotalEpoch(), nil
	case "get_train":
		m, err := trial.Train(epoch(5))
		return metrics(m), err
	case "get_eval":
		m, err := trial.Eval(q[6], epoch(5))
		return metrics(m), err
	}
	a.t.Fatalf("unknown question %q", q)
	return nil, nil
}

func (a *answerer) results(index int, hp string) (*benchmark.ArchResults, error) {
	key := fmt.Sprint(index, hp)
	if r := a.read[key]; r != nil {
		return r, nil
	}
	r, err := a.b.QueryMetaInfoByIndex(index, hp)
	if err == nil {
		a.read[key] = r
	}
	return r, err
}

// tensors returns the shape of every tensor and the SHA-256 of its elements.
func tensors(t *testing.T, weights torchfile.StateDict) [][]any {
	var list [][]any
	for _, w := range weights {
		hash := sha256.New()
		for _, values := range []any{w.Float32, w.Float64, w.Int64} {
			if err := binary.Write(hash, binary.LittleEndian, values); err != nil {
				t.Fatal(err)
			}
		}
		list = append(list, []any{w.Name, append([]int{}, w.Shape...), hex.EncodeToString(hash.Sum(nil))})
	}
	return list
}

func metrics(m benchmark.Metrics) []any {
	return []any{m.Epoch, m.Loss, m.Accuracy, m.Seconds, m.TotalSeconds}
}

func times(list []benchmark.Times) map[string][]float64 {
	m := map[string][]float64{}
	for _, t := range list {
		m[t.Set] = []float64{t.PerEpoch, t.Total}
	}
	return m
}

func config(c benchmark.NetConfig) []any {
	if c.Widths != "" {
		return []any{c.Name, c.Widths, c.Genotype, c.Classes}
	}
	return []any{c.Name, c.Channels, c.Cells, c.Genotype, c.Classes}
}

func more(info *benchmark.MoreInfo) map[string][]any {
	if info == nil {
		return nil
	}
	answer := map[string][]any{}
	for kind, m := range map[string]*benchmark.Metrics{"train": &info.Train, "valid": info.Valid, "test": info.Test, "valtest": info.ValTest} {
		if m != nil {
			answer[kind] = []any{m.Loss, m.Accuracy, m.SecondsPerEpoch, m.TotalSeconds}
		}
	}
	return answer
}

// TestPublishedFiles compares the answers of both clients and of this package on the published
// files in the directory NB201_PUBLISHED: meta.pickle.pbz2 and architectures 0 and 11. With -short one client answers.
func TestPublishedFiles(t *testing.T) {
	dir := needs.Published(t)
	clients := []string{"nats", "records"}
	if !needs.IsLong() {
		clients = clients[:1]
	}
	for _, client := range clients {
		t.Run(client, func(t *testing.T) {
			want := askClient(t, client, dir, []int{0, 11})
			b, err := published.Open(t.Context(), dir)
			if err != nil {
				t.Fatal(err)
			}
			defer b.Close()
			newAnswerer(t, b, ours).compare(want)
		})
	}
}

// ours maps the client's schedules to their names in exports and published files.
var ours = map[string]string{"01": "01", "12": "12", "90": "90", "200": "200"}

// TestSizeFiles compares the answers of the client NATSsize and of this package on the published records of
// the size search space, and on exports of a campaign: with -short on those without weights.
func TestSizeFiles(t *testing.T) {
	needs.Python(t)
	light := results.Campaign{Dir: filepath.Join(t.TempDir(), "campaign")} // without weights, which are slow to read
	for arch := range 3 {
		for _, trial := range resultstest.PublishedIn(cell.Size{}, arch) {
			if err := light.Publish(resultstest.Record(t, trial), nil); err != nil {
				t.Fatal(err)
			}
		}
	}
	heavy := resultstest.Fill(t, resultstest.PublishedIn(cell.Size{}, 0)...)
	open := func(t *testing.T, path string) *benchmark.Benchmark {
		b, err := published.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		return b
	}
	t.Run("published", func(t *testing.T) {
		dir := filepath.Join("..", "..", "testdata", "published-sss")
		newAnswerer(t, open(t, dir), ours).compare(askClient(t, "size", dir, []int{0, 11}))
	})
	for name, o := range map[string]export.Options{
		"simple": {}, "full": {Weights: true}, "merged.pickle.pbz2": {Times: export.Published},
	} {
		if o.Weights && !needs.IsLong() {
			continue
		}
		t.Run(name, func(t *testing.T) {
			o.Format, o.To = published.NATS, filepath.Join(t.TempDir(), name)
			c, archs := light, []int{0, 1, 2}
			if o.Weights {
				c, archs = heavy, archs[:1]
			}
			source := open(t, c.Dir)
			if _, err := export.Run(t.Context(), source, o); err != nil {
				t.Fatal(err)
			}
			exported := open(t, o.To)
			want := askClient(t, "size", o.To, archs)
			if o.Weights { // each of these reads them all, and does not depend on them
				maps.DeleteFunc(want, func(question string, _ any) bool {
					kind, _, _ := strings.Cut(question, "/")
					return slices.Contains([]string{"more", "cost info", "latency", "simulate", "statistics", "best"}, kind)
				})
			}
			newAnswerer(t, exported, ours).compare(want)
			if o.Times != export.Published {
				source.Listed = len(archs)                                                                                    // which a campaign does not contain
				maps.DeleteFunc(want, func(question string, _ any) bool { return strings.HasPrefix(question, "weights/01") }) // not exported
				newAnswerer(t, source, ours).compare(want)
			}
		})
	}
}

// TestExportedFiles compares the answers of the clients on exports of a campaign with those of
// this package on the exports and on the campaign. With -short there is no archive, whose weights the client copies
// for each answer.
func TestExportedFiles(t *testing.T) {
	archs := []int{0, 1, 2}
	light := results.Campaign{Dir: filepath.Join(t.TempDir(), "campaign")} // without weights
	for _, trial := range resultstest.Grid(archs...) {
		if err := light.Publish(resultstest.Record(t, trial), nil); err != nil {
			t.Fatal(err)
		}
	}
	full := resultstest.Fill(t, resultstest.Grid(archs[:2]...)...)
	for _, test := range []struct {
		client, name string
		format       benchmark.Format
		campaign     results.Campaign
		archs        []int
	}{
		{"nasbench201", "merged.pth", published.NASBench201, light, archs},
		{"nats", "simple", published.NATS, light, archs},
		{"nats", "merged.pickle.pbz2", published.NATS, light, archs},
		{"archive", "archive", published.Archive, full, archs[:2]},
	} {
		if test.client == "archive" && !needs.IsLong() {
			continue
		}
		t.Run(test.name, func(t *testing.T) {
			open := func(path string) *benchmark.Benchmark {
				b, err := published.Open(t.Context(), path)
				if err != nil {
					t.Fatal(err)
				}
				b.Listed = len(test.archs) // an archive and a campaign do not contain it
				return b
			}
			source := open(test.campaign.Dir)
			defer source.Close()
			path := filepath.Join(t.TempDir(), test.name)
			if _, err := export.Run(t.Context(), source, export.Options{Format: test.format, To: path, Less: "2", Full: "3"}); err != nil {
				t.Fatal(err)
			}
			want := askClient(t, test.client, path, test.archs)
			newAnswerer(t, source, map[string]string{"12": "2", "200": "3"}).compare(want)
			exported := open(path)
			defer exported.Close()
			newAnswerer(t, exported, ours).compare(want)
			if test.format == published.Archive {
				reloaded, err := source.Reload(exported)
				if err != nil {
					t.Fatal(err)
				}
				newAnswerer(t, reloaded, ours).compare(want)
			}
		})
	}
}

// Further evaluation sets, some of them of one seed only, are further sets for the clients, and change no
// other answer.
func TestExportedEvaluations(t *testing.T) {
	needs.Python(t)
	archs := []int{0, 1}
	c := resultstest.Fill(t, resultstest.Grid(archs...)...)
	open := func(path string) *benchmark.Benchmark {
		b, err := published.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { b.Close() })
		b.Listed = len(archs)
		return b
	}
	ask := func(client, name string, format benchmark.Format) (string, map[string]any) {
		t.Helper()
		path := filepath.Join(t.TempDir(), name)
		if _, err := export.Run(t.Context(), open(c.Dir), export.Options{Format: format, To: path, Less: "2", Full: "3"}); err != nil {
			t.Fatal(err)
		}
		return path, askClient(t, client, path, archs, "noisy.noise", "some.blur")
	}
	_, before := ask("nats", "before", published.NATS)
	for _, trial := range resultstest.Grid(archs...) {
		resultstest.Evaluate(t, c, c.Dir, "noisy", trial)
		if trial.Seed == 777 || trial.Arch == 0 {
			resultstest.Evaluate(t, c, c.Dir, "some", trial)
		}
	}
	for client, test := range map[string]struct {
		name   string
		format benchmark.Format
	}{"nats": {"after", published.NATS}, "nasbench201": {"after.pth", published.NASBench201}} {
		path, after := ask(client, test.name, test.format)
		asked := maps.Clone(after)
		maps.DeleteFunc(asked, func(question string, answer any) bool { // the clients read every seed before they pick one
			return answer == "error" && strings.Contains(question, "some.") && !strings.HasSuffix(question, "/mean")
		})
		newAnswerer(t, open(path), ours).compare(asked)
		further := 0
		for question, answer := range after {
			if strings.Contains(question, "noisy.") || strings.Contains(question, "some.") {
				if answer != "error" {
					further++
				}
				continue
			}
			was, asked := before[question]
			own := client == "nats" && asked && !slices.Contains([]string{"costs", "cost info", "times", "sets", "trial"}, strings.Split(question, "/")[0])
			if own && !same(answer, was) {
				t.Errorf("%s: %s was %v and is %v", client, question, was, answer)
			}
		}
		if further < 100 {
			t.Errorf("%s: %d questions about further sets were answered", client, further)
		}
	}
}
