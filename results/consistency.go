package results

import (
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"

	"nb201/configs"
)

// maxAttempts is far beyond any real trial's.
const maxAttempts = 1_000_000

// Contradictions lists the values in r that contradict each other or cannot occur, so that no
// trial can have produced them, such as an accuracy that is not a whole number of images.
// [Record.Encode] refuses such a record. [ReadRecord] does not check for contradictions;
// verify does, and reports them. For times, see [Record.Clocks].
func (r *Record) Contradictions() []string {
	var found contradictions
	r.contradictSettings(&found)
	found.addMeasures("training", &r.Train, r.Classes, r.Precision)
	for i := range r.Eval {
		found.addMeasures(r.Eval[i].Set, &r.Eval[i].Pass, r.Classes, r.Precision)
	}
	return found
}

// Contradictions lists the values in r that cannot occur, as [Record.Contradictions] does.
func (r *EvaluationRecord) Contradictions() []string {
	var found contradictions
	var definition struct {
		Classes int `json:"classes"`
	}
	if err := json.Unmarshal(r.Definition, &definition); err != nil {
		found.add("dataset_definition: %v", err)
	}
	if r.Attempts > maxAttempts {
		found.add("attempts is %d, more than %d", r.Attempts, maxAttempts)
	}
	found.addUnprintable(string(r.Precision), r.Device, r.Versions.Program, r.Versions.GoMLX, r.Versions.Plugin, r.Versions.Kernels, r.Versions.GPUKernels)
	for _, s := range r.Sets {
		p := Pass{Images: s.Images}
		s.AddTo(&p.Curve)
		found.addMeasures(s.Set, &p, definition.Classes, r.Precision)
	}
	return found
}

type contradictions []string

func (c *contradictions) add(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}

func (r *Record) contradictSettings(found *contradictions) {
	recipe := r.Recipe
	if err := recipe.Check(); err != nil {
		found.add("the recipe's %v", err)
	}
	if recipe.Batch > r.Train.Images {
		found.add("the batch size, %d, is larger than the training set of %d images", recipe.Batch, r.Train.Images)
	}
	for i := range r.Eval {
		e := &r.Eval[i]
		evaluated := e.EvaluatedEpochs(r.Epochs)
		for epoch := e.FirstEpoch; epoch < r.Epochs; epoch++ {
			if _, was := slices.BinarySearch(evaluated, epoch); was != recipe.Evaluates(epoch) {
				found.add("%s: its epochs are not those that the recipe evaluates, such as epoch %d", e.Set, epoch)
				break
			}
		}
	}
	if r.Attempts > maxAttempts {
		found.add("attempts is %d, more than %d", r.Attempts, maxAttempts)
	}
	if want := filepath.Base(r.Trial.Path()) + ".pth"; r.Weights != nil && r.Weights.Name != want {
		found.add("the weights file is named %q; this trial's is %s", r.Weights.Name, want)
	}
	found.addUnprintable(string(r.Precision), r.Device, string(r.Parity.Profile), string(r.Parity.Timeline),
		r.Versions.Program, r.Versions.GoMLX, r.Versions.Plugin, r.Versions.Kernels, r.Versions.GPUKernels)
}

// addUnprintable adds texts that cannot be a device, version or setting.
func (c *contradictions) addUnprintable(texts ...string) {
	for _, text := range texts {
		if strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
			c.add("%q contains characters that do not print; it cannot be a device, version or setting", text)
		}
	}
}

// addMeasures adds values that cannot have been measured on a set of images of this many classes.
func (c *contradictions) addMeasures(set string, p *Pass, classes int, precision configs.Precision) {
	checkEpochs := func(measure string, values []float64, wrong func(epoch int, v float64) string) {
		first, more := "", -1
		for i, v := range values {
			if what := wrong(i, v); what != "" {
				if first == "" {
					first = fmt.Sprintf("%s: %s[%d] is %v, %s", set, measure, i, v, what)
				}
				more++
			}
		}
		switch {
		case more == 0:
			c.add("%s", first)
		case more > 0:
			c.add("%s (and %d more epochs like this)", first, more)
		}
	}
	share := func(_ int, v float64) string {
		if isShare(v, p.Images) {
			return ""
		}
		return fmt.Sprintf("not a whole number of the %d images", p.Images)
	}
	checkEpochs("top1_percent", p.Top1, share)
	checkEpochs("top5_percent", p.Top5, func(i int, v float64) string {
		switch {
		case v < p.Top1[i]:
			return fmt.Sprintf("less than the top-1 accuracy, %v", p.Top1[i])
		case classes <= 5 && v < 100*(1-1e-6): // the original rounds for each batch: see isShare
			return fmt.Sprintf("not 100 although there are only %d classes", classes)
		}
		return share(i, v)
	})
	checkEpochs("loss", p.Loss, func(i int, v float64) string {
		if least := leastLoss(p.Top1[i]); v < least {
			return fmt.Sprintf("less than %.4g, the least that is possible with this top-1 accuracy", least)
		}
		if precision != "fp64" && v > math.MaxFloat32*(1+1e-6) {
			return "more than the largest float32"
		}
		return ""
	})
}

// isShare reports whether an accuracy corresponds to a whole number of images. For each
// batch, the original computes it as a product of two float32
// (xautodl/utils/evaluation_utils.py, obtain_accuracy), each with a relative rounding error
// of up to 2^-24.
func isShare(percent float64, images int) bool {
	n := percent / 100 * float64(images)
	return math.Abs(n-math.Round(n)) <= n/(1<<23)*1.05+1e-9*float64(images)
}

// leastLoss returns a lower bound of the mean cross entropy for a top-1 accuracy in percent:
// where the label's logit is not the largest, its probability is at most 1/2. The factor
// 1-1e-3 allows for rounding.
func leastLoss(top1 float64) float64 { return (100-top1)/100*math.Ln2*(1-1e-3) - 1e-6 }

// clockSlack is how far a machine's clock may be off for innocent reasons: a wrong time zone,
// or an adjustment between the start and the end of a trial.
const clockSlack = 24 * time.Hour

// Clocks lists impossible times in r, given the current time. A clock that is wrong, or was
// set during the trial, can explain the doubts, which are off by at most a day, but not the
// faults. Neither affects the result of the trial.
func (r *Record) Clocks(now time.Time) (faults, doubts []string) {
	judge := func(by time.Duration, fault, doubt string) {
		switch {
		case by > clockSlack:
			faults = append(faults, fault)
		case by > time.Second:
			doubts = append(doubts, doubt)
		}
	}
	judge(r.Started.Sub(now), fmt.Sprintf("it started at %v, which is in the future", r.Started), "started in the future, by this machine's clock")
	took := r.Finished.Sub(r.Started)
	judge(-took, fmt.Sprintf("it finished at %v, before it started at %v", r.Finished, r.Started), "finished before it started: the clock was set in between")
	if took < 0 {
		return faults, doubts
	}
	var passes float64
	for _, seconds := range r.Train.Seconds {
		passes += seconds
	}
	for _, e := range r.Eval {
		for _, seconds := range e.Seconds {
			passes += seconds
		}
	}
	if passes > took.Seconds() {
		over := min(passes-took.Seconds(), math.MaxInt64/1e10) // so that it fits a Duration
		judge(time.Duration(over*float64(time.Second)), fmt.Sprintf("its passes took %.0f s, more than the whole trial, %.0f s", passes, took.Seconds()),
			"its passes took longer than the whole trial: the clock was set in between")
	}
	return faults, doubts
}
