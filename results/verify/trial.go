package verify

import (
	"fmt"
	"iter"
	"math"
	"slices"
	"time"

	"nb201/cell"
	"nb201/configs"
	"nb201/results"
	"nb201/results/benchmark"
)

// training is what findings call the training set.
const training = "training"

// architecture checks what can be told of an architecture without reading weights.
func (f *findings) architecture(a *benchmark.Architecture) {
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			f.identity(a, s, r)
			f.costs(r)
			f.curves(r)
			f.values(r)
			f.halves(r)
		}
		f.seeds(s)
	}
}

func (f *findings) identity(a *benchmark.Architecture, s *benchmark.ArchResults, r *benchmark.ResultsCount) {
	f.count(Identity)
	fault := func(format string, args ...any) { f.fault(Identity, r, format, args...) }
	arch, err := cell.ByIndex(a.Index)
	switch {
	case err != nil:
		fault("%v", err)
	case r.Arch != a.Index || s.Index != a.Index:
		fault("it is kept as a trial of architecture %d", a.Index)
	case r.Genotype != arch.String():
		fault("its genotype is %s, that of architecture %d is %s", r.Genotype, a.Index, arch)
	case s.Genotype != r.Genotype || a.Genotype != r.Genotype:
		fault("it is kept as a trial of %s, its genotype is %s", s.Genotype, r.Genotype)
	}
	if err := configs.CheckName(r.Dataset); err != nil {
		fault("dataset key %v", err)
	}
	if d, ok := configs.FindDataset(r.Dataset); ok && r.Classes != d.Classes {
		fault("it has %d classes, %s has %d", r.Classes, r.Dataset, d.Classes)
	}
	same := func(other *benchmark.ResultsCount) bool { return other.Dataset == r.Dataset && other.Seed == r.Seed }
	if first := slices.IndexFunc(s.Results, same); s.Results[first] != r {
		fault("the schedule '%s' has this dataset and seed twice", s.HP)
	}
}

// network is the network that r says it trained, for images as large as its dataset's;
// those of a user's dataset are known to a campaign only and else found by the FLOPs.
func network(r *benchmark.ResultsCount) (cell.Network, error) {
	arch, err := cell.Parse(r.Genotype)
	if err != nil {
		return cell.Network{}, err
	}
	n := cell.Network{Arch: arch, Channels: r.Channels, Cells: r.Cells, Classes: r.Classes}
	if d, ok := configs.FindDataset(r.Dataset); ok {
		n.Size = d.Size
	} else if r.Record != nil {
		n.Size = r.Record.ImageSize
	} else {
		n.Size = 4
		if err := n.Validate(); err != nil {
			return n, err
		}
		const largest = 1 << 12 // that Validate allows
		for n.Size < largest && !results.SameCost(n.FLOPs(), r.FLOPs) {
			n.Size += 4
		}
	}
	return n, n.Validate()
}

func (f *findings) costs(r *benchmark.ResultsCount) {
	f.count(Costs)
	n, err := network(r)
	if err != nil {
		f.fault(Costs, r, "it has no network: %v", err)
		return
	}
	if want := n.FLOPs(); !results.SameCost(r.FLOPs, want) {
		if _, ok := configs.FindDataset(r.Dataset); ok || r.Record != nil {
			f.fault(Costs, r, "%v million FLOPs, its network has %v", r.FLOPs, want)
		} else {
			f.fault(Costs, r, "%v million FLOPs, which its network has for no size of images", r.FLOPs)
		}
	}
	if want := n.Params(); !results.SameCost(r.Params, want) {
		f.fault(Costs, r, "%v million parameters, its network has %v", r.Params, want)
	}
}

// curves checks that the epochs are there. In published files of the schedule 200 some
// evaluation sets have the last epoch alone, and there is no top-5 accuracy of
// training: notes.
func (f *findings) curves(r *benchmark.ResultsCount) {
	f.count(Curves)
	fault := func(format string, args ...any) { f.fault(Curves, r, format, args...) }
	if r.Epochs < 1 {
		fault("it has %d epochs", r.Epochs)
		return
	}
	t := &r.Training
	for name, s := range series(t) {
		optional := s == &t.Top5 || s == &t.Seconds
		if !s.Complete(r.Epochs) && (!optional || *s != nil) {
			fault("%s: %s", training, incomplete(name, *s, r.Epochs))
		}
	}
	if t.Top5 == nil {
		f.note(Curves, r, "no top-5 accuracy of training")
	}
	if t.Seconds == nil {
		f.note(Curves, r, "no times of training")
	}
	f.evaluationSets(r)
	timed := 0
	for i := range r.Evaluation {
		e := &r.Evaluation[i]
		f.evaluationCurves(r, e)
		if e.Seconds != nil {
			timed++
		}
	}
	if 0 < timed && timed < len(r.Evaluation) {
		fault("%d of its %d evaluation sets have times: the clients need those of all or of none", timed, len(r.Evaluation))
	} else if timed == 0 {
		f.note(Curves, r, "no times of evaluation")
	}
}

// evaluationSets checks that the published sets are there: all, or as the timeline
// nov2019 has it one.
func (f *findings) evaluationSets(r *benchmark.ResultsCount) {
	if len(r.Evaluation) == 0 {
		f.fault(Curves, r, "it has no evaluation set")
		return
	}
	d, ok := configs.FindDataset(r.Dataset)
	if !ok {
		return
	}
	var missing []string
	for _, s := range d.Sets {
		if _, ok := r.Set(s.Name); !ok {
			missing = append(missing, s.Name)
		}
	}
	switch {
	case len(missing) == 0:
	case len(missing) == len(d.Sets)-1 && !slices.Contains(missing, d.First):
		f.note(Curves, r, "only %s was evaluated, as in the timeline nov2019", d.First)
	default:
		f.fault(Curves, r, "the evaluation sets %v are missing", missing)
	}
}

func (f *findings) evaluationCurves(r *benchmark.ResultsCount, e *benchmark.SetMeasures) {
	last := r.Epochs - 1
	lastOnly := r.Epochs > 1 && len(e.Top1) == 1 && e.Top1[0].Epoch == last
	if d, ok := configs.FindDataset(r.Dataset); ok && e.Set == d.First {
		lastOnly = false
	}
	complete := func(s benchmark.Series) bool { return s.Complete(r.Epochs) }
	measured := complete
	if lastOnly {
		f.note(Curves, r, "%s: the last epoch alone", e.Set)
		measured = func(s benchmark.Series) bool { return len(s) == 1 && s[0].Epoch == last }
	}
	for name, s := range series(&e.Measures) {
		ok := measured(*s)
		switch s {
		case &e.Top5:
			ok = ok || *s == nil
		case &e.Seconds: // of all epochs even where only the last was evaluated
			ok = *s == nil || complete(*s) || r.Record != nil && ok
		}
		if !ok {
			f.fault(Curves, r, "%s: %s", e.Set, incomplete(name, *s, r.Epochs))
		}
	}
}

// incomplete describes a series that lacks an epoch or has one too many.
func incomplete(name string, s benchmark.Series, epochs int) string {
	for epoch := range epochs {
		if _, ok := s.At(epoch); !ok {
			return fmt.Sprintf("%s lacks epoch %d and holds %d of %d epochs", name, epoch, len(s), epochs)
		}
	}
	return fmt.Sprintf("%s goes on to epoch %d of %d epochs", name, s[len(s)-1].Epoch, epochs)
}

// sets yields the training set and the evaluation sets of a trial, each with its
// number of images, 0 where that is not known.
func sets(r *benchmark.ResultsCount) iter.Seq2[configs.EvaluationSet, *benchmark.Measures] {
	d, _ := configs.FindDataset(r.Dataset)
	images := func(i int) int {
		if r.Record != nil {
			return r.Record.Eval[i].Images // in the same order
		}
		return d.Images(r.Evaluation[i].Set)
	}
	return func(yield func(configs.EvaluationSet, *benchmark.Measures) bool) {
		train := d.Train
		if r.Record != nil {
			train = r.Record.Train.Images
		}
		if !yield(configs.EvaluationSet{Name: training, Images: train}, &r.Training) {
			return
		}
		for i := range r.Evaluation {
			if !yield(configs.EvaluationSet{Name: r.Evaluation[i].Set, Images: images(i)}, &r.Evaluation[i].Measures) {
				return
			}
		}
	}
}

// series yields the series of measures by name.
func series(m *benchmark.Measures) iter.Seq2[string, *benchmark.Series] {
	return func(yield func(string, *benchmark.Series) bool) {
		_ = yield("loss", &m.Loss) && yield("top-1 accuracy", &m.Top1) && yield("top-5 accuracy", &m.Top5) && yield("time", &m.Seconds)
	}
}

func (f *findings) values(r *benchmark.ResultsCount) {
	f.count(Values)
	for i, s := range r.Latencies {
		if !positive(s) {
			f.fault(Values, r, "latency %d is %v s", i, s)
		}
	}
	for set, m := range sets(r) {
		for name, s := range series(m) {
			valid := percent
			switch s {
			case &m.Loss:
				valid = func(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }
			case &m.Seconds:
				valid = positive
			}
			f.each(r, set.Name, *s, func(p benchmark.Point) string {
				if valid(p.Value) {
					return ""
				}
				return fmt.Sprintf("%s is %v", name, p.Value)
			})
		}
		if r.Record != nil {
			continue // of what follows Record.Contradictions knows more
		}
		f.each(r, set.Name, m.Top5, func(p benchmark.Point) string {
			top1, ok := m.Top1.At(p.Epoch)
			if !ok || !(top1 > p.Value+1e-6) {
				return ""
			}
			return fmt.Sprintf("top-5 accuracy is %v %%, less than the top-1 accuracy, %v %%", p.Value, top1)
		})
		f.fractions(r, set, m)
	}
}

func positive(v float64) bool { return v > 0 && !math.IsInf(v, 0) }

// percent tells whether v can be an accuracy. The original's float32 makes 100.0000076 of
// some batches that are right throughout (xautodl/utils/evaluation_utils.py,
// obtain_accuracy), as of 45 images.
func percent(v float64) bool { return v >= 0 && v <= 100+1e-5 }

// each reports the first epoch of a series that wrong has something to say of.
func (f *findings) each(r *benchmark.ResultsCount, set string, s benchmark.Series, wrong func(benchmark.Point) string) {
	var first string
	n := 0
	for _, p := range s {
		if what := wrong(p); what != "" {
			if n == 0 {
				first = fmt.Sprintf("%s: %s at epoch %d", set, what, p.Epoch)
			}
			n++
		}
	}
	switch {
	case n == 1:
		f.fault(Values, r, "%s", first)
	case n > 1:
		f.fault(Values, r, "%s, and there are %d more such epochs", first, n-1)
	}
}

// fractions finds accuracies that are fractions of 1 in place of percent. A network
// that guesses among many classes has one of 1 % or less too; but that is the share of
// a whole number of images, and of 50,000 images a fraction is that once in a hundred
// times. Where the number of images is not known, all epochs must tell, and the
// classes must be few enough.
func (f *findings) fractions(r *benchmark.ResultsCount, set configs.EvaluationSet, m *benchmark.Measures) {
	for name, s := range series(m) {
		if s != &m.Top1 && s != &m.Top5 {
			continue
		}
		chance := 100 / float64(max(r.Classes, 1))
		low, most := 0, 0.0
		for _, p := range *s {
			most = max(most, p.Value)
			images := p.Value / 100 * float64(set.Images)
			if 0 < p.Value && p.Value <= 1 && math.Abs(images-math.Round(images)) > 0.02 {
				low++
			}
		}
		switch {
		case set.Images > 0 && low > 0:
			f.fault(Values, r, "%s: %s of 1 %% or less that is no share of %d images (%d epochs): a fraction in place of percent?", set.Name, name, set.Images, low)
		case set.Images == 0 && 0 < most && most <= 1 && most < chance/2:
			f.fault(Values, r, "%s: %s is %v %% at most, and guessing gives %.3g %%: fractions in place of percent?", set.Name, name, most, chance)
		}
	}
}

// record checks that the record of a trial agrees with itself, and reports whether it does.
func (f *findings) record(r *benchmark.ResultsCount, check func(*results.Record) error) (sound bool) {
	f.count(Record)
	if !r.Record.Sealed() {
		f.unsealed++
	}
	contradictions := r.Record.Contradictions()
	if check != nil {
		if err := check(r.Record); err != nil {
			contradictions = append(contradictions, err.Error())
		}
	}
	faults, doubts := r.Record.Clocks(time.Now())
	for _, what := range append(faults, contradictions...) {
		f.fault(Record, r, "%s", what)
	}
	for _, what := range doubts {
		f.note(Record, r, "%s", what)
	}
	return contradictions == nil
}

// halves checks that ori-test is what its halves x-valid and x-test make together, in
// the epochs that have all three.
func (f *findings) halves(r *benchmark.ResultsCount) {
	if r.Dataset != "cifar100" && r.Dataset != "ImageNet16-120" {
		return
	}
	images := map[string]float64{}
	for set := range sets(r) {
		images[set.Name] = float64(set.Images)
	}
	whole, ok1 := r.Set("ori-test")
	valid, ok2 := r.Set("x-valid")
	test, ok3 := r.Set("x-test")
	if !ok1 || !ok2 || !ok3 {
		return
	}
	f.count(Halves)
	a, b := images["x-valid"], images["x-test"]
	for _, measure := range []struct {
		name               string
		whole, valid, test benchmark.Series
	}{
		{"loss", whole.Loss, valid.Loss, test.Loss},
		{"top-1 accuracy", whole.Top1, valid.Top1, test.Top1},
		{"top-5 accuracy", whole.Top5, valid.Top5, test.Top5},
	} {
		for _, p := range measure.whole {
			v, ok1 := measure.valid.At(p.Epoch)
			t, ok2 := measure.test.At(p.Epoch)
			if !ok1 || !ok2 {
				continue
			}
			mean := (a*v + b*t) / (a + b)
			if d := math.Abs(mean - p.Value); !(d <= 2e-3*max(1, math.Abs(mean), math.Abs(p.Value))) {
				f.fault(Halves, r, "%s of ori-test is %v at epoch %d, x-valid and x-test together give %v", measure.name, p.Value, p.Epoch, mean)
				break
			}
		}
	}
}

// seeds checks that the trials of a schedule agree where the clients take the value
// of one for that of all: epochs, and the network of a dataset. Trials whose costs are
// not their network's are left out: that is said of them already.
func (f *findings) seeds(s *benchmark.ArchResults) {
	first := map[string]*benchmark.ResultsCount{} // of a dataset
	for _, r := range s.Results {
		f.count(Seeds)
		if of := s.Results[0]; r.Epochs != of.Epochs {
			f.fault(Seeds, r, "the schedule '%s' is of %d epochs for this trial, of %d for that on %s with seed %d", s.HP, r.Epochs, of.Epochs, of.Dataset, of.Seed)
		}
		n, err := network(r)
		if err != nil || !results.SameCost(r.FLOPs, n.FLOPs()) || !results.SameCost(r.Params, n.Params()) {
			continue
		}
		of := first[r.Dataset]
		if of == nil {
			first[r.Dataset] = r
			continue
		}
		if r.FLOPs != of.FLOPs || r.Params != of.Params {
			f.fault(Seeds, r, "%v million FLOPs and %v million parameters, seed %d has %v and %v", r.FLOPs, r.Params, of.Seed, of.FLOPs, of.Params)
		}
	}
}

// settings adds the trials of a schedule to the experiments of the benchmark, and checks
// what only they share: that the seeds of a dataset start from the same file.
func (f *findings) settings(s *benchmark.ArchResults, experiments *results.Experiments) {
	first := map[string]results.Settings{} // of a dataset
	for _, r := range s.Results {
		f.count(Settings)
		settings := r.Settings()
		experiments.Add(settings)
		of, known := first[r.Dataset]
		if !known {
			first[r.Dataset] = settings
		} else if d := settings.Differ(of); d != nil && settings.Digest() == of.Digest() {
			f.fault(Settings, r, "%v, as of seed %d", d, of.Seed)
		}
	}
}
