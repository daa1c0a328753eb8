package benchmark_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	. "nb201/results/benchmark"
	"nb201/results/published"
)

// memory is a source of architectures made by a test.
type memory map[int]*Architecture

func (m memory) Architecture(index int) (*Architecture, error) {
	if m[index] == nil {
		return nil, errors.New("the disk is on fire")
	}
	return m[index], nil
}

func (m memory) CheckFile(string) (string, []error) { return "", nil }

func (m memory) Close() error { return nil }

// newMemory makes a benchmark of the trials, whose schedules are named by their epochs.
func newMemory(t *testing.T, trials ...*ResultsCount) *Benchmark {
	t.Helper()
	return memoryOf(trials...).benchmark()
}

func (m memory) benchmark() *Benchmark {
	return New("memory", "", cell.Topology{}, cell.Topologies, slices.Collect(maps.Keys(m)), m)
}

func memoryOf(trials ...*ResultsCount) memory {
	m := memory{}
	slices.SortFunc(trials, func(a, b *ResultsCount) int {
		return cmp.Or(a.Arch-b.Arch, a.Epochs-b.Epochs, a.Compare(b.Trial))
	})
	for _, r := range trials {
		a := m[r.Arch]
		if a == nil {
			a = &Architecture{Index: r.Arch, Genotype: r.Genotype}
			m[r.Arch] = a
		}
		hp := fmt.Sprint(r.Epochs)
		i := slices.IndexFunc(a.Schedules, func(s *ArchResults) bool { return s.HP == hp })
		if i < 0 {
			i = len(a.Schedules)
			a.Schedules = append(a.Schedules, &ArchResults{Index: r.Arch, Genotype: r.Genotype, HP: hp})
		}
		a.Schedules[i].Results = append(a.Schedules[i].Results, r)
	}
	return m
}

// newTrial makes a trial like the published ones with the schedule 200: x-valid and x-test, and
// ori-test of cifar10-valid, were evaluated after the last epoch only, but have times of every
// epoch. top1 is the accuracy on x-valid after the last epoch.
func newTrial(t *testing.T, arch int, dataset string, epochs int, seed uint32, top1 float64) *ResultsCount {
	t.Helper()
	a, err := cell.Topology{}.ByIndex(arch)
	if err != nil {
		t.Fatal(err)
	}
	network := cell.Network{Arch: a, Channels: 16, Cells: 5, Classes: 10, Size: 32}
	r := &ResultsCount{
		Trial:    results.Trial{Arch: arch, Dataset: dataset, Epochs: epochs, Seed: seed},
		Genotype: a.String(), Channels: 16, Cells: 5, Classes: 10,
		FLOPs: network.FLOPs(), Params: network.Params(), Latencies: []float64{0.01, 0.02},
	}
	curve := func(last, seconds float64) Measures {
		m := Measures{}
		for e := range epochs {
			m.Loss = append(m.Loss, Point{Epoch: e, Value: 1 / float64(e+1)})
			m.Top1 = append(m.Top1, Point{Epoch: e, Value: last - float64(epochs-1-e)})
			m.Seconds = append(m.Seconds, Point{Epoch: e, Value: seconds})
		}
		return m
	}
	onlyLast := func(m Measures) Measures {
		m.Loss, m.Top1 = m.Loss[epochs-1:], m.Top1[epochs-1:]
		return m
	}
	r.Training = curve(99, 10)
	valid, test, whole := curve(top1, 1), curve(top1+1, 1), curve(top1+0.5, 2)
	switch dataset {
	case "cifar10-valid":
		r.Evaluation = []SetMeasures{{Set: "x-valid", Measures: valid}, {Set: "ori-test", Measures: onlyLast(whole)}}
	case "cifar10":
		r.Evaluation = []SetMeasures{{Set: "ori-test", Measures: whole}}
	default:
		r.Evaluation = []SetMeasures{{Set: "x-valid", Measures: onlyLast(valid)}, {Set: "x-test", Measures: onlyLast(test)}, {Set: "ori-test", Measures: whole}}
	}
	return r
}

// TestHeld checks that every query for something missing returns a usage error that lists what
// the benchmark holds.
func TestHeld(t *testing.T) {
	cut := newTrial(t, 7, "cifar10-valid", 200, 777, 70)
	cut.Evaluation[0].Top1 = cut.Evaluation[0].Top1[199:]
	b := newMemory(t, cut,
		newTrial(t, 4, "cifar10", 12, 111, 70),
		newTrial(t, 4, "cifar10-valid", 200, 777, 80), newTrial(t, 4, "cifar10-valid", 200, 888, 81),
		newTrial(t, 4, "cifar100", 200, 777, 50),
		newTrial(t, 7, "cifar10", 12, 111, 60),
	)
	a, err := b.QueryMetaInfoByIndex(4, "200")
	if err != nil {
		t.Fatal(err)
	}
	background := t.Context()
	r := a.Results[0] // on cifar10-valid, seed 777
	for _, test := range []struct {
		want string
		ask  func() (any, error)
	}{
		{"memory has no architecture 15625; use 0 to 15624", func() (any, error) { return b.Arch(15625) }},
		{"memory has no architecture -1", func() (any, error) { return b.Arch(-1) }},
		{"unknown architecture", func() (any, error) { return b.QueryIndexByArch("conv") }},
		{"memory does not hold architecture 5; it holds 2 architectures from 4 to 7", func() (any, error) { return b.QueryMetaInfoByIndex(5, "12") }},
		{"15625 is out of range", func() (any, error) { return b.QueryMetaInfoByIndex(15625, "12") }},
		{`memory: architecture 4 has no schedule "90"; it has 12, 200`, func() (any, error) { return b.QueryMetaInfoByIndex(4, "90") }},
		{`with schedule 200; it has trials on cifar10-valid, cifar100`, func() (any, error) { return b.QueryByIndex(4, "cifar10", "200") }},
		{`has no trial on "svhn"`, func() (any, error) { return b.NetConfig(4, "svhn") }},
		{"and seed 999; it has seeds 777, 888", func() (any, error) { return b.MoreInfo(4, "cifar10-valid", Last, "200", Seed(999)) }},
		{"and seed 999; it has seeds 777, 888", func() (any, error) { return b.NetParam(4, "cifar10-valid", "200", 777, 999) }},
		{`has no evaluation set "x-test"; it has x-valid, ori-test`, func() (any, error) { return r.Eval("x-test", Last) }},
		{"has no accuracy of ori-test after epoch 11 (counted from 0); it has epochs: 199 alone", func() (any, error) { return r.Eval("ori-test", 11) }},
		{"has no accuracy of x-valid after epoch 11 (counted from 0); it has epochs: 199 alone", func() (any, error) { return cut.Eval("valid", 11) }},
		{"has no accuracy of train after epoch 200 (counted from 0); it has epochs: 0 to 199", func() (any, error) { return r.Train(200) }},
		{"has no accuracy of train after epoch -2", func() (any, error) { return r.Train(-2) }},
		// The clients fail too, because x-valid@11 is missing.
		{"has no accuracy of x-valid after epoch 11", func() (any, error) { return b.MoreInfo(7, "cifar10-valid", 11, "200", Mean()) }},
		{"has no accuracy of x-valid after epoch 11", func() (any, error) { return b.SimulateTrainEval(7, "cifar10", 11, "200", Mean()) }},
		{`has no evaluation set "x-valid"`, func() (any, error) {
			return b.FindBest(background, Search{Dataset: "cifar10", Set: "x-valid", HP: "12"})
		}},
		{`memory: no architecture has the results that the query needs; for example: architecture 4 has no schedule "90"; it has 12, 200`, func() (any, error) {
			return b.FindBest(background, Search{Dataset: "cifar10", Set: "test", HP: "90"})
		}},
		{"none of the 2 architectures with ori-test of cifar10 and schedule 12 is within the limits", func() (any, error) {
			return b.FindBest(background, Search{Dataset: "cifar10", Set: "test", HP: "12", MaxFLOPs: 0.001})
		}},
		{`no architecture has the results that the query needs; for example: architecture 4 has no trial on "svhn"`, func() (any, error) { return b.Statistics(background, "svhn", "12", nil) }},
		{"no default path", func() (any, error) { return published.DefaultPath(os.Getenv, published.CSV, cell.Topology{}) }},
		{"testdata/campaign does not hold architecture 4; it holds 3 architectures from 1 to 123", func() (any, error) { return reload(t, b, "testdata/campaign", 4) }},
		{"missing", func() (any, error) { return reload(t, b, "missing", 4) }},
	} {
		got, err := test.ask()
		if err == nil || !usage.Is(err) || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("got %v, error %v; want %q", got, err, test.want)
		}
	}
}

// TestKinds checks that errors.Is alone distinguishes missing from damaged results.
func TestKinds(t *testing.T) {
	bad := newTrial(t, 9, "cifar10", 12, 111, 60)
	bad.Evaluation[0].Set = "ori-test\x1b[2J" // as only a malicious file contains
	cut := newTrial(t, 7, "cifar10-valid", 12, 777, 70)
	cut.Latencies = nil
	m := memoryOf(newTrial(t, 4, "cifar10", 12, 111, 70), cut, bad)
	b := m.benchmark()
	ask := func(_ any, err error) error { return err }
	short := newTrial(t, 4, "cifar10", 11, 112, 70)
	uneven := &ArchResults{Index: 4, HP: "12", Results: []*ResultsCount{m[4].Schedules[0].Results[0], short}}
	for _, test := range []struct {
		name                     string
		err                      error
		notHeld, noTrial, damage bool
	}{
		{"architecture", ask(b.Architecture(5)), true, false, false},
		{"index", ask(b.Architecture(cell.Topologies)), true, false, false},
		{"beyond", ask(b.Arch(cell.Topologies)), true, false, false},
		{"schedule", ask(b.QueryMetaInfoByIndex(4, "90")), true, false, false},
		{"dataset", ask(b.QueryByIndex(4, "cifar100", "12")), true, true, false},
		{"network", ask(b.NetConfig(4, "cifar100")), true, true, false},
		{"seed", ask(b.NetParam(4, "cifar10", "12", 5)), true, true, false},
		{"set", ask(m[4].Schedules[0].Metrics("cifar10", "x-test", Last, Mean())), true, false, false},
		{"epoch", ask(m[4].Schedules[0].Metrics("cifar10", TrainingSet, 12, Mean())), true, false, false},
		{"last epoch", ask(uneven.Metrics("cifar10", TrainingSet, Last, Mean())), true, false, false},
		{"epochs", ask(uneven.TotalEpoch("cifar10")), true, false, false},
		{"latency", ask(m[7].Schedules[0].Latency("cifar10-valid")), true, false, false},
		{"reload", ask(b.Reload(b, 5)), true, false, false},
		{"name", ask(b.QueryIndexByArch("conv")), false, false, false},
		{"harm", ask(b.Architecture(9)), false, false, true},
		{"harm in more", ask(b.MoreInfo(9, "cifar10", Last, "12", Mean())), false, false, true},
		{"harm in best", ask(b.FindBest(t.Context(), Search{Dataset: "cifar10", Set: "test", HP: "12"})), false, false, true},
		{"harm in counts", ask(b.Statistics(t.Context(), "cifar10", "12", nil)), false, false, true},
	} {
		notHeld, noTrial, damage := errors.Is(test.err, ErrNotHeld), errors.Is(test.err, ErrNoTrial), errors.Is(test.err, results.ErrDamaged)
		if !usage.Is(test.err) || notHeld != test.notHeld || noTrial != test.noTrial || damage != test.damage {
			t.Errorf("%s: %v is not held: %v, no trial: %v, damaged: %v", test.name, test.err, notHeld, noTrial, damage)
		}
	}
	delete(m, 9)
	b = m.benchmark()
	if best, err := b.FindBest(t.Context(), Search{Dataset: "cifar10", Set: "test", HP: "12"}); err != nil || best.Compared != 1 || best.Lacking != 1 {
		t.Errorf("best %+v, %v", best, err)
	}
	if _, err := b.FindBest(t.Context(), Search{Dataset: "svhn", Set: "test", HP: "12"}); !errors.Is(err, ErrNotHeld) {
		t.Errorf("nothing to find: %v", err)
	}
}

// TestMoreInfoLacks checks that evaluations and times that are missing are nil.
func TestMoreInfoLacks(t *testing.T) {
	r := newTrial(t, 4, "cifar100", 200, 777, 50)
	r.Training.Seconds = nil
	r.Evaluation[2].Seconds = r.Evaluation[2].Seconds[3:] // a hole in those of ori-test
	info, err := newMemory(t, r).MoreInfo(4, "cifar100", 11, "200", Mean())
	if err != nil {
		t.Fatal(err)
	}
	if info.Valid != nil || info.Test != nil || info.ValTest == nil {
		t.Fatalf("after epoch 11 there are %+v", info)
	}
	if info.Train.Seconds != nil || info.Train.TotalSeconds != nil || info.Train.SecondsPerEpoch != nil {
		t.Errorf("times of the training: %+v", info.Train)
	}
	if info.ValTest.Seconds == nil || *info.ValTest.Seconds != 2 || info.ValTest.TotalSeconds != nil || info.ValTest.SecondsPerEpoch != nil {
		t.Errorf("times of ori-test: %+v", info.ValTest)
	}
	if times := r.Times(); len(times) != 2 || times[0] != (Times{Set: "x-valid", PerEpoch: 1, Total: 200}) || times[1] != (Times{Set: "x-test", PerEpoch: 1, Total: 200}) {
		t.Errorf("times %v", times)
	}
	r.Latencies = nil
	costs, err := newMemory(t, r).CostInfo(4, "cifar100", "200")
	if err != nil || costs.Latency != nil || len(costs.Times) != 2 {
		t.Errorf("costs %+v, %v", costs, err)
	}
	if _, err := memoryOf(r)[4].Schedules[0].Latency("cifar100"); !usage.Is(err) {
		t.Errorf("the mean latency: %v", err)
	}
	if text, err := json.Marshal(info.ValTest); err != nil || string(text) != `{"epoch":11,"loss":0.08333333333333333,"top1_percent":-137.5,"seconds":2}` {
		t.Errorf("JSON %s, %v", text, err)
	}
}

// TestSimulateTrainEval checks that the accuracy of ori-test and the time of x-valid are used if
// x-valid was not evaluated, as in nats_bench.
func TestSimulateTrainEval(t *testing.T) {
	b := newMemory(t,
		newTrial(t, 4, "cifar100", 200, 777, 50), newTrial(t, 4, "cifar100", 200, 888, 60),
		newTrial(t, 4, "cifar10-valid", 200, 777, 80))
	for _, test := range []struct {
		dataset           string
		epoch             int
		p                 Pick
		accuracy, seconds float64
		latency           bool
	}{
		{"cifar100", Last, Seed(888), 60, 2001, true},
		{"cifar100", Last, Mean(), 55, 2001, true},
		{"cifar100", 100, Seed(888), 60.5 - 99, 1011, true},
		{"cifar100", 100, Mean(), 55.5 - 99, 1011, true},
		{"cifar10", Last, Mean(), 80, 2001, false}, // the latency would be that of cifar10
	} {
		s, err := b.SimulateTrainEval(4, test.dataset, test.epoch, "200", test.p)
		if err != nil {
			t.Fatal(err)
		}
		if s.Accuracy != test.accuracy || s.Seconds != test.seconds || (s.Latency != nil) != test.latency || test.latency && *s.Latency != 0.015 {
			t.Errorf("%+v gives %+v", test, s)
		}
	}
}

// TestRandom checks that every seed is drawn, and that each answer comes from one seed.
func TestRandom(t *testing.T) {
	seeds := []uint32{777, 888, 999}
	var trials []*ResultsCount
	for i, seed := range seeds {
		trials = append(trials, newTrial(t, 4, "cifar10-valid", 200, seed, 80+float64(i)))
	}
	b := newMemory(t, trials...)
	random := rand.New(rand.NewPCG(1, 2))
	drawn := map[uint32]int{}
	for range 100 {
		info, err := b.MoreInfo(4, "cifar10-valid", Last, "200", Random(random))
		if err != nil {
			t.Fatal(err)
		}
		drawn[*info.Seed]++
		if want := 80 + float64(slices.Index(seeds, *info.Seed)); info.Valid.Accuracy != want || info.Test.Accuracy != want+0.5 {
			t.Errorf("seed %d: %+v %+v", *info.Seed, info.Valid, info.Test)
		}
	}
	if len(drawn) != 3 || min(drawn[777], drawn[888], drawn[999]) < 15 {
		t.Errorf("drawn %v", drawn)
	}
	if info, err := b.MoreInfo(4, "cifar10-valid", Last, "200", Mean()); err != nil || info.Seed != nil || info.Valid.Accuracy != 81 {
		t.Errorf("the mean is %+v, %v", info, err)
	}
}

// TestWrongCosts checks that trials with the costs of another network are ignored.
func TestWrongCosts(t *testing.T) {
	right, wrong := newTrial(t, 4, "cifar10", 200, 777, 80), newTrial(t, 4, "cifar10", 200, 888, 80)
	flops, params := right.FLOPs, right.Params
	wrong.FLOPs, wrong.Params = 2*flops, 2*params
	for _, test := range []struct {
		trials        []*ResultsCount
		flops, params float64
	}{
		{[]*ResultsCount{right, wrong}, flops, params},
		{[]*ResultsCount{wrong}, 2 * flops, 2 * params}, // there is nothing better
	} {
		costs, err := newMemory(t, test.trials...).CostInfo(4, "cifar10", "200")
		if err != nil || costs.FLOPs != test.flops || costs.Params != test.params {
			t.Errorf("costs %+v, %v; want %v, %v", costs, err, test.flops, test.params)
		}
	}
}

// TestSearch finds the best of many architectures, some of which lack what is asked for, reports
// progress, and stops when cancelled.
func TestSearch(t *testing.T) {
	const n = 500
	var trials []*ResultsCount
	for i := range n {
		dataset := "cifar10"
		if i%5 == 0 {
			dataset = "cifar100"
		}
		trials = append(trials, newTrial(t, i, dataset, 3, 111, float64(i%50)))
	}
	m := memoryOf(trials...)
	b := m.benchmark()
	var reported []int
	progress := func(done, total int) {
		if total != n {
			t.Errorf("%d of %d", done, total)
		}
		reported = append(reported, done)
	}
	search := Search{Dataset: "cifar10", Set: "test", HP: "3", Progress: progress}
	best, err := b.FindBest(t.Context(), search)
	if err != nil || best.Index != 49 || best.Accuracy != 49.5 || best.Compared != 400 || best.Lacking != 100 || best.Beyond != 0 {
		t.Errorf("best %+v, %v", best, err)
	}
	if len(reported) != n || !slices.IsSorted(reported) || reported[n-1] != n {
		t.Errorf("progress %v", reported)
	}
	search.Progress, search.MaxParams = nil, 0.5
	best, err = b.FindBest(t.Context(), search)
	if err != nil {
		t.Fatal(err)
	}
	want := &ResultsCount{}
	for _, r := range trials {
		if r.Dataset == "cifar10" && r.Params <= 0.5 && (want.Genotype == "" || r.Arch%50 > want.Arch%50) {
			want = r
		}
	}
	if best.Index != want.Arch || best.Beyond == 0 || best.Beyond+best.Compared != 400 {
		t.Errorf("the best within limits is %+v, not %d", best, want.Arch)
	}

	counts, err := b.Statistics(t.Context(), "cifar10", "3", nil)
	if err != nil || len(counts) != 2 || counts[0] != 100 || counts[1] != 400 {
		t.Errorf("statistics %v, %v", counts, err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	_, err = b.Statistics(ctx, "cifar10", "3", func(done, _ int) {
		if done == 3 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	m[77] = nil
	if _, err := b.FindBest(t.Context(), search); err == nil || usage.Is(err) || err.Error() != "the disk is on fire" {
		t.Errorf("a failing disk: %v", err)
	}
}

// reload calls Benchmark.Reload with the benchmark at path.
func reload(t *testing.T, b *Benchmark, path string, indices ...int) (*Benchmark, error) {
	archive, err := published.Open(t.Context(), path)
	if err != nil {
		return nil, err
	}
	return b.Reload(archive, indices...)
}

// TestReload replaces architectures by those of another benchmark.
func TestReload(t *testing.T) {
	b := newMemory(t, newTrial(t, 3, "cifar10", 200, 777, 80), newTrial(t, 7, "cifar10", 200, 777, 80))
	for _, test := range []struct {
		indices, evaluated []int
	}{
		{[]int{3}, []int{3, 7}},
		{[]int{1, 3}, []int{1, 3, 7}},
		{nil, []int{1, 3, 7, 123}},
	} {
		c, err := reload(t, b, "testdata/campaign", test.indices...)
		if err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(c.Evaluated(), test.evaluated) || !slices.Equal(b.Evaluated(), []int{3, 7}) {
			t.Errorf("%v reloaded: %v", test.indices, c.Evaluated())
		}
		weights, err := c.NetParam(3, "cifar10", "12", 111)
		if err != nil || weights[111] == nil {
			t.Errorf("weights %v, %v", weights, err)
		}
		if hps, err := c.AvailableHPs(t.Context(), nil); err != nil || !slices.Equal(hps, []string{"12", "200"}) {
			t.Errorf("schedules %v, %v", hps, err)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if a, err := b.Architecture(3); err != nil || a.Schedules[0].Results[0].Seed != 777 {
		t.Errorf("the first benchmark has changed: %v", err)
	}
	const sizes = "../../testdata/published-sss"
	if _, err := reload(t, b, sizes); !usage.Is(err) || !strings.Contains(err.Error(), sizes+" holds architectures of the size search space, and memory those of the topology search space") {
		t.Errorf("reloaded from another space: %v", err)
	}
}

// TestShow prints one architecture and all of them, including one on a user's dataset.
func TestShow(t *testing.T) {
	r := newTrial(t, 4, "digits", 12, 1, 70)
	r.Latencies = nil
	b := newMemory(t, r, newTrial(t, 7, "cifar10-valid", 12, 1, 70))
	var one, all bytes.Buffer
	if err := b.Show(&one, 4); err != nil {
		t.Fatal(err)
	}
	want := "digits         train : [loss = 0.083, top1 = 99.00%], x-valid : [loss = 0.083, top1 = 70.00%], " +
		"x-test : [loss = 0.083, top1 = 71.00%], ori-test : [loss = 0.083, top1 = 70.50%]\n"
	if !strings.Contains(one.String(), want) || !strings.Contains(one.String(), "latency=None ms.") {
		t.Errorf("printed\n%s", &one)
	}
	if err := b.Show(&all); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Benchmark(2/15625 architectures, file=memory)\n", "The (    1/    2) 000007-th architecture!", one.String()} {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not in\n%s", want, &all)
		}
	}
}
