package summary_test

import (
	"errors"
	"fmt"
	"maps"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"nb201/cell"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
	"nb201/results/resultstest"
	. "nb201/results/summary"
)

// memory is a source of architectures that a test makes. It counts what is read.
type memory struct {
	archs map[int]*benchmark.Architecture // nil: damaged
	reads *atomic.Int64
}

func newMemory() memory { return memory{map[int]*benchmark.Architecture{}, new(atomic.Int64)} }

var errDamaged = errors.New("damaged\x1b")

func (m memory) Salvage(index int) (*benchmark.Architecture, []error) {
	m.reads.Add(1)
	if a := m.archs[index]; a != nil {
		if index%3 == 0 {
			return a, []error{errDamaged} // a part of it
		}
		return a, nil
	}
	return nil, []error{errDamaged, errors.New("all of it")}
}

func (m memory) Architecture(int) (*benchmark.Architecture, error) { panic("Salvage reads more") }

func (m memory) CheckFile(string) (string, []error) { return "", nil }

func (m memory) Close() error { return nil }

// benchmark returns the architectures as they are now.
func (m memory) benchmark() *benchmark.Benchmark {
	now := memory{maps.Clone(m.archs), m.reads}
	return benchmark.New("memory", "", cell.Topology{}, cell.Topologies, slices.Collect(maps.Keys(m.archs)), now)
}

// newArchitecture makes random trials of an architecture: different sets, series with holes, values
// that are not numbers, accuracies out of range, and trials with and without a record.
func newArchitecture(t *testing.T, index int, random *rand.Rand) *benchmark.Architecture {
	t.Helper()
	a, err := benchmark.NewArchitecture(cell.Topology{}, index)
	if err != nil {
		t.Fatal(err)
	}
	some := func() bool { return random.IntN(8) == 0 }
	pass := func(epochs int) results.Pass {
		p := results.Pass{Images: 100 + 10*random.IntN(2)}
		for range epochs {
			p.Top1 = append(p.Top1, 100*random.Float64())
			p.Loss = append(p.Loss, random.ExpFloat64())
			p.Seconds = append(p.Seconds, random.Float64())
		}
		if some() {
			p.Top1[epochs-1] = 101
		}
		if some() {
			p.Loss[random.IntN(epochs)] = math.NaN()
		}
		return p
	}
	for _, k := range random.Perm(12)[:1+random.IntN(6)] {
		r := &results.Record{
			Trial:  results.Trial{Arch: index, Dataset: []string{"cifar100", "cifar10", "own"}[k%3], Epochs: []int{1, 7, 30}[random.IntN(3)], Seed: uint32(k)},
			FLOPs:  random.Float64(),
			Device: fmt.Sprintf("cuda:%d", random.IntN(2)),
			// Times of different zones are equal only as instants.
			Started: time.Unix(random.Int64N(1e9), 0).In(time.FixedZone("", 3600*random.IntN(2))), Finished: time.Unix(1e9+random.Int64N(1e9), 0),
		}
		r.Train = pass(r.Epochs)
		for _, set := range []string{"x-valid", "ori-test", "aaa"} {
			if first := random.IntN(2 * r.Epochs); first < r.Epochs {
				r.Eval = append(r.Eval, results.Evaluation{Set: set, FirstEpoch: first, Pass: pass(r.Epochs - first)})
			}
		}
		if some() {
			r.Latency = []float64{random.Float64()}
		}
		result := benchmark.FromRecord(r)
		if some() {
			result.Record = nil
		}
		if some() {
			result.Training.Seconds = result.Training.Seconds[1:]
		}
		a.Add([]string{"12", "200"}[random.IntN(2)], result)
	}
	return a
}

// equal compares values to any depth; NaN is equal to NaN, and nil to an empty slice.
func equal(a, b reflect.Value) bool {
	switch a.Kind() {
	case reflect.Float32, reflect.Float64:
		return a.Float() == b.Float() || math.IsNaN(a.Float()) && math.IsNaN(b.Float())
	case reflect.Pointer:
		return a.Pointer() == b.Pointer() || !a.IsNil() && !b.IsNil() && equal(a.Elem(), b.Elem())
	case reflect.Slice:
		if a.Len() != b.Len() {
			return false
		}
		for i := range a.Len() {
			if !equal(a.Index(i), b.Index(i)) {
				return false
			}
		}
		return true
	case reflect.Struct:
		for i := range a.NumField() {
			if !equal(a.Field(i), b.Field(i)) {
				return false
			}
		}
		return true
	default:
		return a.Equal(b)
	}
}

// check compares a summary with what Read returns.
func check(t *testing.T, what string, s *Summary, b *benchmark.Benchmark) {
	t.Helper()
	want, err := Read(t.Context(), b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if !equal(reflect.ValueOf(s), reflect.ValueOf(want)) {
		t.Fatalf("%s: %d trials of %v, %d left out, damaged %q; Read has %d trials of %v, %d left out, damaged %q",
			what, s.Trials(), s.Archs, s.LeftOut, s.Damaged, want.Trials(), want.Archs, want.LeftOut, want.Damaged)
	}
}

// change changes an architecture of the source: new trials, other ones, fewer, damaged, or gone.
func (m memory) change(t *testing.T, index int, random *rand.Rand) {
	t.Helper()
	switch a := m.archs[index]; {
	case random.IntN(6) == 0:
		delete(m.archs, index)
	case random.IntN(6) == 0:
		m.archs[index] = nil
	case a != nil && random.IntN(2) == 0: // one schedule changes
		part := *a
		part.Schedules = slices.Clone(a.Schedules)
		part.Schedules[random.IntN(len(part.Schedules))] = newArchitecture(t, index, random).Schedules[0]
		m.archs[index] = &part
	default:
		m.archs[index] = newArchitecture(t, index, random)
	}
}

// TestUpdate changes benchmarks at random. Each summary must be what Read returns, and earlier ones
// must not change, whether all epochs of curves are kept or few.
func TestUpdate(t *testing.T) {
	for name, values := range map[string]int{"all epochs": 1_000_000, "few epochs": 12_000, "fewest epochs": 1} {
		t.Run(name, func(t *testing.T) {
			SetMaxValues(t, values)
			random := rand.New(rand.NewPCG(uint64(values), 1))
			m := newMemory()
			s := &Summary{}
			type past struct {
				s *Summary
				b *benchmark.Benchmark
			}
			var earlier []past
			archs := 3
			for step := range 200 {
				if step == 100 {
					archs = 60
				}
				var indices []int
				for range random.IntN(4) {
					index := random.IntN(archs)
					m.change(t, index, random)
					indices = append(indices, index)
				}
				b := m.benchmark()
				var err error
				if s, err = s.Update(t.Context(), b, append(indices, random.IntN(archs)), nil); err != nil {
					t.Fatal(err)
				}
				check(t, fmt.Sprint("step ", step), s, b)
				if step%20 == 0 {
					earlier = append(earlier, past{s, b})
				}
				for _, text := range s.Damaged {
					if strings.Contains(text, "\x1b") {
						t.Errorf("damage %q", text)
					}
				}
			}
			for _, p := range earlier {
				check(t, "an earlier summary", p.s, p.b)
			}
			all := slices.Collect(maps.Keys(m.archs))
			clear(m.archs)
			s, err := s.Update(t.Context(), m.benchmark(), all, nil)
			if err != nil || s.Trials() != 0 || len(s.Archs) != 0 || s.Groups != nil || len(s.Damaged) != 0 {
				t.Errorf("without an architecture: %+v, %v", s, err)
			}
		})
	}
}

// TestRead compares what is kept with what was measured.
func TestRead(t *testing.T) {
	all := []results.Trial{
		{Arch: 17, Dataset: "cifar100", Epochs: 12, Seed: 9}, {Arch: 4, Dataset: "cifar100", Epochs: 12, Seed: 8}, {Arch: 4, Dataset: "cifar100", Epochs: 12, Seed: 7},
	}
	m := newMemory()
	var records []*results.Record // of all
	for i, trial := range all {
		r := resultstest.Record(t, trial)
		records = append(records, r)
		if m.archs[trial.Arch] == nil {
			m.archs[trial.Arch], _ = benchmark.NewArchitecture(cell.Topology{}, trial.Arch)
		}
		switch i {
		case 0: // no x-test, and more images
			r.Eval = r.Eval[:2]
			r.Train.Images++
		case 1: // an accuracy out of range, and a loss and times that are missing
			r.Eval[0].Top1[11] = -1
			r.Train.Loss[11] = math.Inf(1)
			r.Latency, r.Train.Seconds = nil, r.Train.Seconds[1:]
		}
		m.archs[trial.Arch].Add("12", benchmark.FromRecord(r))
	}
	SetMaxValues(t, 5*2*8*2) // 5 epochs of 2 architectures with 2 trials on 4 sets
	s, err := Read(t.Context(), m.benchmark(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(s.Archs, []int{4, 17}) || s.Trials() != 3 || s.LeftOut != 1 || len(s.Groups) != 1 || s.Damaged != nil {
		t.Fatalf("%+v", s)
	}
	g := s.Groups[0]
	if want := []Set{{"train", 50001}, {"ori-test", 10000}, {"x-test", 5000}, {"x-valid", 5000}}; !slices.Equal(g.Sets, want) {
		t.Errorf("sets %v", g.Sets)
	}
	if want := []int{0, 3, 6, 8, 11}; g.Dataset != "cifar100" || g.Schedule != "12" || g.Epochs != 12 || !slices.Equal(g.Grid, want) {
		t.Errorf("group %s %s %d, epochs %v", g.Dataset, g.Schedule, g.Epochs, g.Grid)
	}
	for i, k := range []int{2, 1, 0} { // by architecture and seed
		got, r := &g.Trials[i], records[k]
		if got.Arch != r.Arch || got.Seed != r.Seed || got.FLOPs != r.FLOPs || got.Params != r.Params || math.IsNaN(got.Latency) != (k == 1) || math.IsNaN(got.Seconds) != (k == 1) {
			t.Errorf("trial %d: %+v", i, got)
		}
		made := got.Made.Properties.Value()
		if made.Device != r.Device || made.Kernels != r.Versions.Kernels || made.Batch != r.Recipe.Batch || made.Attempts != 1 ||
			!got.Made.Started.Equal(r.Started) || got.Made.Spent.Seconds() < r.Seconds()-1e-6 {
			t.Errorf("trial %d was made %+v, %+v", i, got.Made, made)
		}
		curves := map[string]results.Curve{benchmark.TrainingSet: r.Train.Curve}
		for _, e := range r.Eval {
			curves[e.Set] = e.Curve
		}
		for set, info := range g.Sets {
			curve, has := curves[info.Name]
			has = has && !(k == 1 && info.Name == "ori-test")
			lost := k == 1 && info.Name == benchmark.TrainingSet // the last loss
			near := func(what string, got float64, values []float64, at int, missing bool) {
				t.Helper()
				if !has || missing {
					if !math.IsNaN(got) {
						t.Errorf("trial %d, %s, %s: %v is not missing", i, info.Name, what, got)
					}
				} else if !(math.Abs(got-values[at]) < 1e-5) {
					t.Errorf("trial %d, %s, %s: %v instead of %v", i, info.Name, what, got, values[at])
				}
			}
			near("accuracy", got.Sets[set].Top1, curve.Top1, 11, false)
			near("loss", got.Sets[set].Loss, curve.Loss, 11, lost)
			for at, epoch := range g.Grid {
				near("curve", g.Top1At(got, set, at), curve.Top1, epoch, false)
				near("loss curve", g.LossAt(got, set, at), curve.Loss, epoch, lost && at == 4)
			}
		}
	}
}

// TestCampaign follows a campaign on the disk from its first trial.
func TestCampaign(t *testing.T) {
	c := results.Campaign{Dir: t.TempDir()}
	if err := os.Mkdir(c.Dir+"/trials", 0o777); err != nil {
		t.Fatal(err)
	}
	trial := func(arch int, dataset string, seed uint32) results.Trial {
		return results.Trial{Arch: arch, Dataset: dataset, Epochs: 3, Seed: seed}
	}
	s := &Summary{}
	for _, step := range []struct {
		what            string
		trial           results.Trial
		damage, remove  bool
		trials, damaged int
	}{
		{"the first trial", trial(7, "digits", 1), false, false, 1, 0},
		{"another seed", trial(7, "digits", 0), false, false, 2, 0},
		{"another dataset", trial(7, resultstest.Own, 0), false, false, 3, 0},
		{"another architecture", trial(15624, "digits", 1), false, false, 4, 0},
		{"damage", trial(7, "digits", 0), true, false, 3, 1},
		{"trained again", trial(7, "digits", 0), false, false, 4, 0},
		{"damage of the only one", trial(15624, "digits", 1), true, false, 3, 1},
		{"gone", trial(15624, "digits", 1), false, true, 3, 0},
	} {
		path := c.RecordPath(step.trial)
		var err error
		switch {
		case step.remove:
			err = os.RemoveAll(c.Dir + "/trials/015624")
		case step.damage:
			err = os.WriteFile(path, []byte("{"), 0o666)
		default:
			_ = os.Remove(path)
			err = c.Publish(resultstest.Record(t, step.trial), nil)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := published.Open(t.Context(), c.Dir)
		if err != nil {
			t.Fatal(err)
		}
		if s, err = s.Update(t.Context(), b, []int{step.trial.Arch}, nil); err != nil {
			t.Fatal(err)
		}
		if s.Trials() != step.trials || len(s.Damaged) != step.damaged {
			t.Errorf("%s: %d trials, damaged %q", step.what, s.Trials(), s.Damaged)
		}
		check(t, step.what, s, b)
		if err := b.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestShares checks that what does not change is shared, and what changes is not.
func TestShares(t *testing.T) {
	var trials []results.Trial
	for _, dataset := range []string{"digits", "cifar10"} {
		for arch := range 3 {
			trials = append(trials, results.Trial{Arch: arch, Dataset: dataset, Epochs: 3, Seed: 1})
		}
	}
	c := resultstest.Fill(t, trials...)
	b, err := published.Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	before, err := Read(t.Context(), b, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, indices := range [][]int{nil, {1}, {2, 0, 2, 15624}} {
		if s, err := before.Update(t.Context(), b, indices, nil); s != before || err != nil {
			t.Errorf("%v: another summary though nothing changed, %v", indices, err)
		}
	}
	if err := c.Publish(resultstest.Record(t, results.Trial{Arch: 1, Dataset: "digits", Epochs: 3, Seed: 2}), nil); err != nil {
		t.Fatal(err)
	}
	after, err := before.Update(t.Context(), b, []int{1}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if after == before || len(after.Groups) != 2 || after.Groups[0] != before.Groups[0] || after.Groups[1] == before.Groups[1] {
		t.Fatalf("groups %v became %v", before.Groups, after.Groups)
	}
	if old, young := before.Groups[1], after.Groups[1]; len(old.Trials) != 3 || len(young.Trials) != 4 || &old.Trials[0].Sets[0] != &young.Trials[0].Sets[0] {
		t.Errorf("%d trials became %d", len(old.Trials), len(young.Trials))
	}
}

// TestDifferences checks that Update notices whatever changes in a trial.
func TestDifferences(t *testing.T) {
	trial := results.Trial{Arch: 4, Dataset: "cifar100", Epochs: 12, Seed: 7}
	source := func(change func(r *benchmark.ResultsCount)) *benchmark.Benchmark {
		m := newMemory()
		m.archs[4], _ = benchmark.NewArchitecture(cell.Topology{}, 4)
		r := benchmark.FromRecord(resultstest.Record(t, trial))
		change(r)
		m.archs[4].Add("12", r)
		return m.benchmark()
	}
	none := func(*benchmark.ResultsCount) {}
	noEnd := func(r *benchmark.ResultsCount) { r.Training.Top1, r.Training.Loss = nil, nil }
	for name, c := range map[string]struct {
		before, after func(r *benchmark.ResultsCount)
	}{
		"seed":       {none, func(r *benchmark.ResultsCount) { r.Seed++ }},
		"FLOPs":      {none, func(r *benchmark.ResultsCount) { r.FLOPs++ }},
		"parameters": {none, func(r *benchmark.ResultsCount) { r.Params++ }},
		"latency":    {none, func(r *benchmark.ResultsCount) { r.Latencies = nil }},
		"seconds":    {none, func(r *benchmark.ResultsCount) { r.Training.Seconds[5].Value++ }},
		"accuracy":   {none, func(r *benchmark.ResultsCount) { r.Training.Top1[11].Value = 3 }},
		"loss":       {none, func(r *benchmark.ResultsCount) { r.Evaluation[1].Loss[11].Value = 3 }},
		"curve":      {none, func(r *benchmark.ResultsCount) { r.Evaluation[1].Loss[2].Value = 3 }},
		"left out":   {noEnd, func(r *benchmark.ResultsCount) { noEnd(r); r.Training.Top1 = benchmark.Consecutive(11, []float64{101}) }},
		"set":        {none, func(r *benchmark.ResultsCount) { r.Evaluation = r.Evaluation[:2] }},
		"images":     {none, func(r *benchmark.ResultsCount) { r.Record.Eval[0].Images++ }},
		"record":     {none, func(r *benchmark.ResultsCount) { r.Record = nil }},
		"device":     {none, func(r *benchmark.ResultsCount) { r.Record.Device = "cuda:0" }},
		"start":      {none, func(r *benchmark.ResultsCount) { r.Record.Started = time.Unix(1, 0) }},
		"end":        {none, func(r *benchmark.ResultsCount) { r.Record.Finished = time.Unix(1, 0) }},
		"spent":      {none, func(r *benchmark.ResultsCount) { r.Record.Eval[1].Seconds = []float64{1} }},
	} {
		before, err := Read(t.Context(), source(c.before), nil)
		if err != nil {
			t.Fatal(err)
		}
		b := source(c.after)
		after, err := before.Update(t.Context(), b, []int{4}, nil)
		if err != nil || after == before {
			t.Errorf("%s: not updated, %v", name, err)
			continue
		}
		check(t, name, after, b)
	}
}

// TestBound grows a benchmark until few epochs are affordable, and lets it shrink again. The values
// that are kept must stay within the bound and be near it, and growth must not cost many readings.
func TestBound(t *testing.T) {
	const epochs, archs, bound = 60, 250, 20_000
	SetMaxValues(t, bound)
	m := newMemory()
	s := &Summary{}
	update := func(index int) {
		t.Helper()
		b := m.benchmark()
		var err error
		if s, err = s.Update(t.Context(), b, []int{index}, nil); err != nil {
			t.Fatal(err)
		}
		n := s.CurveValues()
		if n > bound {
			t.Fatalf("%d architectures: %d values are kept", len(s.Archs), n)
		}
		if len(s.Groups) > 0 {
			if g := s.Groups[0]; len(g.Grid) < epochs && 5*n < 3*bound {
				t.Errorf("%d architectures: only %d values are kept, of %d epochs", len(s.Archs), n, len(g.Grid))
			}
		}
	}
	trial := resultstest.Record(t, results.Trial{Dataset: "digits", Epochs: epochs})
	for index := range archs {
		a, err := benchmark.NewArchitecture(cell.Topology{}, index)
		if err != nil {
			t.Fatal(err)
		}
		r := *trial
		r.Arch = index
		a.Add("60", benchmark.FromRecord(&r))
		m.archs[index] = a
		update(index)
	}
	if reads := m.reads.Load(); reads > 15*archs {
		t.Errorf("%d readings of %d architectures", reads, archs)
	}
	if n := len(s.Groups[0].Grid); n != 20 {
		t.Errorf("%d epochs are kept", n)
	}
	for index := range archs {
		delete(m.archs, index)
		update(index)
	}
	// Few become many at once: only a few may be read to find out that little is affordable.
	for index := range archs {
		a, _ := benchmark.NewArchitecture(cell.Topology{}, index)
		a.Add("60", benchmark.FromRecord(trial))
		m.archs[index] = a
	}
	update(0)
	all := slices.Sorted(maps.Keys(m.archs))
	for _, before := range []*Summary{s, {}} {
		m.reads.Store(0)
		after, err := before.Update(t.Context(), m.benchmark(), all, nil)
		if err != nil {
			t.Fatal(err)
		}
		if reads := m.reads.Load(); reads > archs+2*16 {
			t.Errorf("%d architectures became %d with %d readings", len(before.Archs), archs, reads)
		}
		check(t, "many at once", after, m.benchmark())
	}
}

// TestConcurrent reads summaries while later ones are made of them.
func TestConcurrent(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 1))
	m := newMemory()
	s := &Summary{}
	var wg sync.WaitGroup
	defer wg.Wait()
	for range 50 {
		var indices []int
		for range 3 {
			index := random.IntN(30)
			m.change(t, index, random)
			indices = append(indices, index)
		}
		b := m.benchmark()
		wg.Go(func() {
			if _, err := s.Update(t.Context(), b, indices, nil); err != nil {
				t.Error(err)
			}
		})
		wg.Go(func() {
			n := 0
			for _, g := range s.Groups {
				for trials := range g.ByArch {
					n += len(trials)
					for i := range trials {
						for set := range g.Sets {
							for at := range g.Grid {
								_ = g.Top1At(&trials[i], set, at) + g.LossAt(&trials[i], set, at)
							}
						}
					}
				}
			}
			if n != s.Trials() {
				t.Errorf("%d trials of %d", n, s.Trials())
			}
		})
		next, err := s.Update(t.Context(), b, indices, nil)
		if err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		s = next
	}
}

func TestSpread(t *testing.T) {
	for epochs := range 30 {
		for n := 1; n < 33; n++ {
			grid := Spread(epochs, n)
			if len(grid) != min(epochs, n) || !slices.IsSorted(grid) || len(slices.Compact(slices.Clone(grid))) != len(grid) {
				t.Errorf("Spread(%d, %d) = %v", epochs, n, grid)
			}
			if len(grid) > 0 && (grid[len(grid)-1] != epochs-1 || n > 1 && grid[0] != 0) {
				t.Errorf("Spread(%d, %d) = %v", epochs, n, grid)
			}
		}
	}
}

// endless is a source of as many trials as the published benchmark has.
type endless struct{ trials []*benchmark.ResultsCount }

func newEndless(b *testing.B) endless {
	var e endless
	for _, trial := range resultstest.Published(0) {
		e.trials = append(e.trials, benchmark.FromRecord(resultstest.Synthetic(b, trial)))
	}
	return e
}

func (e endless) Architecture(index int) (*benchmark.Architecture, error) {
	a, err := benchmark.NewArchitecture(cell.Topology{}, index)
	if err != nil {
		return nil, err
	}
	for _, r := range e.trials {
		a.Add(fmt.Sprint(r.Epochs), r)
	}
	return a, nil
}

func (endless) CheckFile(string) (string, []error) { return "", nil }

func (endless) Close() error { return nil }

// inUse returns the bytes on the heap that are in use.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

// BenchmarkUpdate updates ten architectures of a summary of the published size, of which every trial
// has another cost than before, and reports the memory that the summary takes.
func BenchmarkUpdate(b *testing.B) {
	source := newEndless(b)
	var archs []int
	for index := range cell.Topologies {
		archs = append(archs, index)
	}
	held := benchmark.New("endless", "", cell.Topology{}, cell.Topologies, archs, source)
	before := inUse()
	s, err := Read(b.Context(), held, nil)
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	taken := float64(inUse()-before) / 1e6
	var other endless
	for _, r := range source.trials {
		changed := *r
		changed.FLOPs++
		other.trials = append(other.trials, &changed)
	}
	changed := benchmark.New("endless", "", cell.Topology{}, cell.Topologies, archs, other)
	indices := []int{0, 1, 5, 77, 1000, 5000, 9999, 10000, 12345, 15624}
	for b.Loop() {
		next, err := s.Update(b.Context(), changed, indices, nil)
		if err != nil {
			b.Fatal(err)
		}
		if next == s || next.Trials() != s.Trials() {
			b.Fatal("not updated")
		}
	}
	b.ReportMetric(taken, "summary-MB")
}
