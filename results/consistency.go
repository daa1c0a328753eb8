package results

import (
	"fmt"
	"math"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// Bounds that no trial comes near.
const (
	maxAttempts = 1_000_000
	// maxRate is a learning rate at which the published weight decay, 5e-4, multiplies the
	// weights by 500 at each step.
	maxRate = 1e6
)

// Contradictions lists what of r disagrees with the rest of it or cannot be, so that no
// trial left it: accuracies that are no share of the images, for example. Encode refuses
// such a record; one that is read may be such, and verify reports it. What clocks say is
// another matter: see Clocks.
func (r *Record) Contradictions() []string {
	var found contradictions
	r.contradictSettings(&found)
	r.contradictMeasures(&found, "training", &r.Train)
	for i := range r.Eval {
		r.contradictMeasures(&found, r.Eval[i].Set, &r.Eval[i].Pass)
	}
	return found
}

type contradictions []string

func (c *contradictions) add(format string, args ...any) {
	*c = append(*c, fmt.Sprintf(format, args...))
}

func (r *Record) contradictSettings(found *contradictions) {
	recipe := r.Recipe
	switch {
	case recipe.Batch > r.Train.Images:
		found.add("a batch of %d images is more than the %d of training", recipe.Batch, r.Train.Images)
	case !(recipe.LearningRate >= 0 && recipe.LearningRate <= maxRate):
		found.add("the learning rate is %v, not within 0..%g", recipe.LearningRate, maxRate)
	case !(recipe.EtaMin >= 0 && recipe.EtaMin <= recipe.LearningRate):
		found.add("the learning rate ends at %v and begins at %v", recipe.EtaMin, recipe.LearningRate)
	case !(recipe.Momentum >= 0 && recipe.Momentum < 1):
		found.add("the momentum is %v", recipe.Momentum)
	case !(recipe.WeightDecay >= 0 && recipe.WeightDecay < 1):
		found.add("the weight decay is %v", recipe.WeightDecay)
	case recipe.Warmup < 0 || recipe.Warmup > recipe.Epochs:
		found.add("the warmup is %d of %d epochs", recipe.Warmup, recipe.Epochs)
	}
	if r.Attempts > maxAttempts {
		found.add("attempts is %d", r.Attempts)
	}
	if want := filepath.Base(r.Trial.Path()) + ".pth"; r.Weights != nil && r.Weights.Name != want {
		found.add("the weights are %q, those of this trial are %s", r.Weights.Name, want)
	}
	for _, text := range []string{string(r.Precision), r.Device, string(r.Parity.Profile), string(r.Parity.Timeline), r.Versions.Program, r.Versions.GoMLX, r.Versions.Plugin, r.Versions.Kernels} {
		if strings.ContainsFunc(text, func(c rune) bool { return !unicode.IsPrint(c) }) {
			found.add("%q is not the name of a device, version or setting", text)
		}
	}
}

// contradictMeasures finds what cannot have been measured on a set of images.
func (r *Record) contradictMeasures(found *contradictions, set string, p *Pass) {
	each := func(measure string, values []float64, wrong func(epoch int, v float64) string) {
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
			found.add("%s", first)
		case more > 0:
			found.add("%s, and there are %d more such epochs", first, more)
		}
	}
	share := func(_ int, v float64) string {
		if isShare(v, p.Images) {
			return ""
		}
		return fmt.Sprintf("no share of %d images", p.Images)
	}
	each("top1_percent", p.Top1, share)
	each("top5_percent", p.Top5, func(i int, v float64) string {
		switch {
		case v < p.Top1[i]:
			return fmt.Sprintf("less than the top-1 accuracy, %v", p.Top1[i])
		case r.Classes <= 5 && v < 100*(1-1e-6): // of each batch a rounded product: see isShare
			return fmt.Sprintf("not 100 with %d classes", r.Classes)
		}
		return share(i, v)
	})
	each("loss", p.Loss, func(i int, v float64) string {
		if least := leastLoss(p.Top1[i]); v < least {
			return fmt.Sprintf("less than the %.4g that the accuracy leaves", least)
		}
		if r.Precision != "fp64" && v > math.MaxFloat32*(1+1e-6) {
			return "more than a float32 holds"
		}
		return ""
	})
}

// isShare reports whether an accuracy is that of a whole number of images. Of each batch it
// is a product of two float32 (xautodl/utils/evaluation_utils.py, obtain_accuracy), each
// rounded by up to 2^-24 of itself.
func isShare(percent float64, images int) bool {
	n := percent / 100 * float64(images)
	return math.Abs(n-math.Round(n)) <= n/(1<<23)*1.05+1e-9*float64(images)
}

// leastLoss is what the mean cross entropy cannot be less than, given the top-1 accuracy in
// percent: the label of an image that is not the first among the logits has a probability of
// at most 1/2. A thousandth is for rounding.
func leastLoss(top1 float64) float64 { return (100-top1)/100*math.Ln2*(1-1e-3) - 1e-6 }

// clockSlack is how wrong the clock of a machine may honestly be: in a wrong time zone, or
// set between the start of a trial and its end.
const clockSlack = 24 * time.Hour

// Clocks lists what cannot be of the times of r as of now. A clock that is wrong, or was
// set meanwhile, explains the doubts and not the faults: it is more than a day. Neither
// makes a trial's result another.
func (r *Record) Clocks(now time.Time) (faults, doubts []string) {
	judge := func(by time.Duration, fault, doubt string) {
		switch {
		case by > clockSlack:
			faults = append(faults, fault)
		case by > time.Second:
			doubts = append(doubts, doubt)
		}
	}
	judge(r.Started.Sub(now), fmt.Sprintf("it started at %v, which is yet to come", r.Started), "started at a time that is yet to come, by this machine's clock")
	took := r.Finished.Sub(r.Started)
	judge(-took, fmt.Sprintf("it finished at %v, before it started at %v", r.Finished, r.Started), "finished before it started: the clock was set meanwhile")
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
		over := min(passes-took.Seconds(), math.MaxInt64/1e10) // a Duration holds it
		judge(time.Duration(over*float64(time.Second)), fmt.Sprintf("its passes took %.0f s, all of it %.0f s", passes, took.Seconds()),
			"its passes took longer than all of it: the clock was set meanwhile")
	}
	return faults, doubts
}
