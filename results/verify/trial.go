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

// training is the name of the training set in findings.
const training = "training"

// checkArchitecture makes the checks that need no weights.
func (f *findings) checkArchitecture(a *benchmark.Architecture) {
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			f.checkIdentity(a, s, r)
			f.checkCosts(r)
			f.checkCurves(r)
			f.checkValues(r)
			f.checkHalves(r)
		}
		f.checkSeeds(s)
	}
}

func (f *findings) checkIdentity(a *benchmark.Architecture, s *benchmark.ArchResults, r *benchmark.ResultsCount) {
	f.countChecked(CheckIdentity)
	fault := func(format string, args ...any) { f.addFault(CheckIdentity, r, format, args...) }
	arch, err := a.Space.ByIndex(a.Index)
	switch {
	case err != nil:
		fault("%v", err)
	case r.Trial.Space != a.Space.Name():
		fault("it is stored as a trial of the %s", a.Space.Title())
	case r.Arch != a.Index || s.Index != a.Index:
		fault("it is stored as a trial of architecture %d", a.Index)
	case r.Genotype != arch.String():
		fault("its genotype is %s; architecture %d has %s", r.Genotype, a.Index, arch)
	case s.Genotype != r.Genotype || a.Genotype != r.Genotype:
		fault("it is stored as a trial of %s, but its genotype is %s", s.Genotype, r.Genotype)
	}
	if err := configs.CheckName(r.Dataset); err != nil {
		fault("dataset key %v", err)
	}
	if d, ok := configs.FindDataset(r.Dataset); ok && r.Classes != d.Classes {
		fault("it has %d classes; %s has %d", r.Classes, r.Dataset, d.Classes)
	}
	same := func(other *benchmark.ResultsCount) bool { return other.Dataset == r.Dataset && other.Seed == r.Seed }
	if first := slices.IndexFunc(s.Results, same); s.Results[first] != r {
		fault("schedule '%s' contains this dataset and seed twice", s.HP)
	}
}

// networkOf returns the network that r trained, for images of its dataset's size. The size
// of a user's dataset is known only in a campaign; otherwise it is found from the FLOPs.
func networkOf(r *benchmark.ResultsCount) (cell.Network, error) {
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
		const largest = 1 << 12 // as Validate allows
		for n.Size < largest && !results.SameCost(n.FLOPs(), r.FLOPs) {
			n.Size += 4
		}
	}
	return n, n.Validate()
}

func (f *findings) checkCosts(r *benchmark.ResultsCount) {
	f.countChecked(CheckCosts)
	n, err := networkOf(r)
	if err != nil {
		f.addFault(CheckCosts, r, "its network is invalid: %v", err)
		return
	}
	if want := n.FLOPs(); !results.SameCost(r.FLOPs, want) {
		if _, ok := configs.FindDataset(r.Dataset); ok || r.Record != nil {
			f.addFault(CheckCosts, r, "%v million FLOPs; its network has %v", r.FLOPs, want)
		} else {
			f.addFault(CheckCosts, r, "%v million FLOPs, which match no image size", r.FLOPs)
		}
	}
	if want := n.Params(); !results.SameCost(r.Params, want) {
		f.addFault(CheckCosts, r, "%v million parameters; its network has %v", r.Params, want)
	}
}

// checkCurves checks that no epoch is missing. Published files of the schedule 200 lack the
// top-5 accuracy of training, and all but the last epoch of some evaluation sets; these are
// notes.
func (f *findings) checkCurves(r *benchmark.ResultsCount) {
	f.countChecked(CheckCurves)
	fault := func(format string, args ...any) { f.addFault(CheckCurves, r, format, args...) }
	if r.Epochs < 1 {
		fault("it has %d epochs", r.Epochs)
		return
	}
	t := &r.Training
	for name, s := range namedSeries(t) {
		optional := s == &t.Top5 || s == &t.Seconds
		if !s.Complete(r.Epochs) && (!optional || *s != nil) {
			fault("%s: %s", training, incomplete(name, *s, r.Epochs))
		}
	}
	if t.Top5 == nil {
		f.addNote(CheckCurves, r, "no top-5 accuracy for training")
	}
	if t.Seconds == nil {
		f.addNote(CheckCurves, r, "no training times")
	}
	f.checkEvaluationSets(r)
	timed := 0
	for i := range r.Evaluation {
		e := &r.Evaluation[i]
		f.checkEvaluationCurves(r, e)
		if e.Seconds != nil {
			timed++
		}
	}
	if 0 < timed && timed < len(r.Evaluation) {
		fault("%d of its %d evaluation sets have times; the clients need times for all sets or none", timed, len(r.Evaluation))
	} else if timed == 0 {
		f.addNote(CheckCurves, r, "no evaluation times")
	}
}

// checkEvaluationSets checks that the trial has all published evaluation sets of its
// dataset, or one, as in the timeline nov2019.
func (f *findings) checkEvaluationSets(r *benchmark.ResultsCount) {
	if len(r.Evaluation) == 0 {
		f.addFault(CheckCurves, r, "it has no evaluation sets")
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
	case f.oneSet && len(r.Evaluation) == 1 && len(missing) == len(d.Sets)-1:
		f.addNote(CheckCurves, r, "the file has %s alone", r.Evaluation[0].Set)
	case mayBePartial(r) && len(missing) == len(d.Sets)-1 && !slices.Contains(missing, d.First):
		f.addNote(CheckCurves, r, "only %s was evaluated, as in the timeline nov2019", d.First)
	default:
		f.addFault(CheckCurves, r, "evaluation sets %v are missing", missing)
	}
}

// mayBePartial reports whether a trial may have been evaluated after its last epoch alone, or on one set
// alone, as in the timeline nov2019. Of a record, checkRecord knows.
func mayBePartial(r *benchmark.ResultsCount) bool {
	return r.Record != nil || benchmark.OriginalOf(r.Trial.Space.Space()).LastOnly
}

func (f *findings) checkEvaluationCurves(r *benchmark.ResultsCount, e *benchmark.SetMeasures) {
	last := r.Epochs - 1
	every := 1
	lastOnly := (mayBePartial(r) || e.Further > 0) && r.Epochs > 1 && len(e.Top1) == 1 && e.Top1[0].Epoch == last
	if r.Recipe != nil && !lastOnly {
		every = max(r.Recipe.EvaluateEvery, 1)
	}
	if d, ok := configs.FindDataset(r.Dataset); ok && e.Set == d.First {
		lastOnly = false
	}
	complete := func(s benchmark.Series) bool { return s.Complete(r.Epochs) }
	measured := complete
	switch {
	case every > 1:
		f.addNote(CheckCurves, r, "%s: evaluated every %d epochs and after the last, as its recipe says", e.Set, every)
		measured = func(s benchmark.Series) bool { return isEvaluated(s, r.Recipe) }
	case lastOnly:
		if e.Further == 0 {
			f.addNote(CheckCurves, r, "%s: only the last epoch", e.Set)
		}
		measured = func(s benchmark.Series) bool { return len(s) == 1 && s[0].Epoch == last }
	}
	for name, s := range namedSeries(&e.Measures) {
		ok := measured(*s)
		switch s {
		case &e.Top5:
			ok = ok || *s == nil
		case &e.Seconds: // the clients need those of all epochs, even if only the last was evaluated
			ok = *s == nil || complete(*s) || (f.partlyTimed || every > 1 || e.Further > 0) && ok
		}
		switch {
		case !ok && every > 1:
			f.addFault(CheckCurves, r, "%s: the epochs of %s are not those that the recipe evaluates", e.Set, name)
		case !ok:
			f.addFault(CheckCurves, r, "%s: %s", e.Set, incomplete(name, *s, r.Epochs))
		}
	}
}

// isEvaluated reports whether a series has the epochs that a recipe evaluates, and no other.
func isEvaluated(s benchmark.Series, recipe *configs.Recipe) bool {
	at := 0
	for epoch := range recipe.Epochs {
		if recipe.Evaluates(epoch) {
			if at == len(s) || s[at].Epoch != epoch {
				return false
			}
			at++
		}
	}
	return at == len(s)
}

// incomplete describes what is wrong with a series that lacks an epoch or has extra ones.
func incomplete(name string, s benchmark.Series, epochs int) string {
	for epoch := range epochs {
		if _, ok := s.At(epoch); !ok {
			return fmt.Sprintf("%s lacks epoch %d; it has %d of %d epochs", name, epoch, len(s), epochs)
		}
	}
	return fmt.Sprintf("%s has an epoch %d; the last of the trial's %d epochs is %d", name, s[len(s)-1].Epoch, epochs, epochs-1)
}

// measuredSets yields the training set and the evaluation sets of a trial, each with its
// number of images, or 0 if that is unknown.
func measuredSets(r *benchmark.ResultsCount) iter.Seq2[configs.EvaluationSet, *benchmark.Measures] {
	return func(yield func(configs.EvaluationSet, *benchmark.Measures) bool) {
		if !yield(configs.EvaluationSet{Name: training, Images: r.Images(0)}, &r.Training) {
			return
		}
		for i := range r.Evaluation {
			if !yield(configs.EvaluationSet{Name: r.Evaluation[i].Set, Images: r.Images(i + 1)}, &r.Evaluation[i].Measures) {
				return
			}
		}
	}
}

// namedSeries yields the series of measures by name.
func namedSeries(m *benchmark.Measures) iter.Seq2[string, *benchmark.Series] {
	return func(yield func(string, *benchmark.Series) bool) {
		_ = yield("loss", &m.Loss) && yield("top-1 accuracy", &m.Top1) && yield("top-5 accuracy", &m.Top5) && yield("time", &m.Seconds)
	}
}

func (f *findings) checkValues(r *benchmark.ResultsCount) {
	f.countChecked(CheckValues)
	for i, s := range r.Latencies {
		if !isPositive(s) {
			f.addFault(CheckValues, r, "latency %d is %v s", i, s)
		}
	}
	for set, m := range measuredSets(r) {
		for name, s := range namedSeries(m) {
			valid := isPercent
			switch s {
			case &m.Loss:
				valid = func(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }
			case &m.Seconds:
				valid = isPositive
			}
			f.addFirst(r, set.Name, *s, func(p benchmark.Point) string {
				if valid(p.Value) || s == &m.Seconds && p.Value == 0 && isLeftOut(r, m, p.Epoch) {
					return ""
				}
				return fmt.Sprintf("%s is %v", name, p.Value)
			})
		}
		if r.Record != nil {
			continue // Record.Contradictions makes the checks below more exactly
		}
		f.addFirst(r, set.Name, m.Top5, func(p benchmark.Point) string {
			top1, ok := m.Top1.At(p.Epoch)
			if !ok || !(top1 > p.Value+1e-6) {
				return ""
			}
			return fmt.Sprintf("top-5 accuracy is %v %%, less than the top-1 accuracy, %v %%", p.Value, top1)
		})
		f.checkFractions(r, set, m)
	}
}

// isLeftOut reports whether the recipe of a trial does not evaluate a set after an epoch, for which exports
// to the clients have a time of 0.
func isLeftOut(r *benchmark.ResultsCount, m *benchmark.Measures, epoch int) bool {
	return m != &r.Training && r.Recipe != nil && !r.Recipe.Evaluates(epoch)
}

func isPositive(v float64) bool { return v > 0 && !math.IsInf(v, 0) }

// isPercent reports whether v can be an accuracy in percent. The original's float32
// arithmetic gives 100.0000076 for some batches with every image right, such as one of 45
// (xautodl/utils/evaluation_utils.py, obtain_accuracy).
func isPercent(v float64) bool { return v >= 0 && v <= 100+1e-5 }

// addFirst adds a fault for the first epoch of a series that wrong describes, and the
// number of other such epochs. wrong returns "" for a valid point.
func (f *findings) addFirst(r *benchmark.ResultsCount, set string, s benchmark.Series, wrong func(benchmark.Point) string) {
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
		f.addFault(CheckValues, r, "%s", first)
	case n > 1:
		f.addFault(CheckValues, r, "%s; %d more epochs are wrong too", first, n-1)
	}
}

// checkFractions finds accuracies that are fractions of 1 instead of percent. A network
// that guesses among many classes has an accuracy of 1 % or less as well, but as a share of
// a whole number of images; of 50,000 images, a fraction is that in only one of a hundred
// cases. If the number of images is unknown, the accuracies of all epochs must be at most 1,
// and less than half of what guessing among the classes gives.
func (f *findings) checkFractions(r *benchmark.ResultsCount, set configs.EvaluationSet, m *benchmark.Measures) {
	for name, s := range namedSeries(m) {
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
			f.addFault(CheckValues, r, "%s: %s is 1 %% or less in %d epochs, and not a whole number of the %d images; is it a fraction instead of percent?",
				set.Name, name, low, set.Images)
		case set.Images == 0 && 0 < most && most <= 1 && most < chance/2:
			f.addFault(CheckValues, r, "%s: %s is never more than %v %%, but guessing gives %.3g %%; is it a fraction instead of percent?",
				set.Name, name, most, chance)
		}
	}
}

// checkRecord checks that the record of a trial does not contradict itself, and reports
// whether it is sound.
func (f *findings) checkRecord(r *benchmark.ResultsCount, check func(*results.Record) error) (sound bool) {
	f.countChecked(CheckRecord)
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
		f.addFault(CheckRecord, r, "%s", what)
	}
	for _, what := range doubts {
		f.addNote(CheckRecord, r, "%s", what)
	}
	return contradictions == nil
}

// checkHalves checks that the measures of ori-test are those of its halves x-valid and
// x-test combined, in the epochs that have all three.
func (f *findings) checkHalves(r *benchmark.ResultsCount) {
	if r.Dataset != "cifar100" && r.Dataset != "ImageNet16-120" {
		return
	}
	images := map[string]float64{}
	for set := range measuredSets(r) {
		images[set.Name] = float64(set.Images)
	}
	whole, ok1 := r.Set("ori-test")
	valid, ok2 := r.Set("x-valid")
	test, ok3 := r.Set("x-test")
	if !ok1 || !ok2 || !ok3 {
		return
	}
	f.countChecked(CheckHalves)
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
				f.addFault(CheckHalves, r, "%s of ori-test is %v at epoch %d; x-valid and x-test together give %v", measure.name, p.Value, p.Epoch, mean)
				break
			}
		}
	}
}

// checkSeeds checks that the trials of a schedule agree where the clients use the value of
// one for all: on the epochs, and on the network of each dataset. It skips trials whose
// costs are not their network's, which checkCosts reports.
func (f *findings) checkSeeds(s *benchmark.ArchResults) {
	firsts := map[string]*benchmark.ResultsCount{} // by dataset
	for _, r := range s.Results {
		f.countChecked(CheckSeeds)
		if first := s.Results[0]; r.Epochs != first.Epochs {
			f.addFault(CheckSeeds, r, "schedule '%s' has %d epochs in this trial, but %d in that on %s with seed %d",
				s.HP, r.Epochs, first.Epochs, first.Dataset, first.Seed)
		}
		n, err := networkOf(r)
		if err != nil || !results.SameCost(r.FLOPs, n.FLOPs()) || !results.SameCost(r.Params, n.Params()) {
			continue
		}
		first := firsts[r.Dataset]
		if first == nil {
			firsts[r.Dataset] = r
			continue
		}
		if r.FLOPs != first.FLOPs || r.Params != first.Params {
			f.addFault(CheckSeeds, r, "%v million FLOPs and %v million parameters; seed %d has %v and %v", r.FLOPs, r.Params, first.Seed, first.FLOPs, first.Params)
		}
	}
}

// checkSettings adds the trials of a schedule to the experiments of the benchmark, and
// checks what only trials of one architecture share: the seeds on a dataset must start from
// the same file.
func (f *findings) checkSettings(s *benchmark.ArchResults, experiments *results.Experiments) {
	firsts := map[string]results.Settings{} // by dataset
	for _, r := range s.Results {
		f.countChecked(CheckSettings)
		settings := r.Settings()
		experiments.Add(settings)
		first, known := firsts[r.Dataset]
		if !known {
			firsts[r.Dataset] = settings
		} else if d := settings.Differ(first); d != nil && settings.Digest() == first.Digest() {
			f.addFault(CheckSettings, r, "%v, as for seed %d", d, first.Seed)
		}
	}
}
