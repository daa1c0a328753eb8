package report

import (
	"fmt"
	"math"

	"nb201/cell"
	"nb201/internal/quantity"
	"nb201/results/compare"
	"nb201/results/rank"
	"nb201/results/summary"
)

// composer turns a summary into the content of a page and its packed columns. A column has a
// value for each architecture of the summary; NaN is missing.
type composer struct {
	content  *content
	packer   *packer
	space    cell.Space
	summary  *summary.Summary
	room     int         // for the page, in bytes
	position map[int]int // of an architecture in columns
	slots    [][][]int   // of each group, see slots
}

// newComposer returns a composer that has added everything of a summary but its curves.
func newComposer(c *content, space cell.Space, of *summary.Summary, room int) *composer {
	p := &composer{content: c, packer: new(packer), space: space, summary: of, room: room}
	p.addArchitectures()
	p.addGroups()
	return p
}

// missingValues returns a column without any value.
func (p *composer) missingValues() []float64 {
	values := make([]float64, len(p.summary.Archs))
	for i := range values {
		values[i] = math.NaN()
	}
	return values
}

// addArchitectures adds what holds of the architectures whatever they were trained on.
func (p *composer) addArchitectures() {
	p.position = map[int]int{}
	n, options := len(p.summary.Archs), float64(len(p.space.Parts().Options))
	index, code, class := make([]float64, n), make([]float64, n), make([]float64, n)
	for i, a := range p.summary.Archs {
		p.position[a] = i
		arch, err := p.space.ByIndex(a)
		if err != nil {
			panic(err) // benchmarks hold no other
		}
		index[i], class[i] = float64(a), float64(arch.Class())
		weight := 1.0
		for _, choice := range arch.Choices() {
			code[i] += float64(choice) * weight
			weight *= options
		}
	}
	p.content.Index = p.packer.add(blockSummary, linear(1), index).column
	p.content.Code = p.packer.add(blockSummary, linear(1), code).column
	p.content.Class = p.packer.add(blockSummary, linear(1), class).column
}

// addGroups adds the costs of all groups, and what their trials have after the last epoch.
func (p *composer) addGroups() {
	for _, g := range p.summary.Groups {
		slots := p.slotsOf(g)
		p.slots = append(p.slots, slots)
		shown := group{
			Dataset: g.Dataset, Schedule: g.Schedule, Epochs: g.Epochs, Trials: len(g.Trials),
			FLOPs:  p.addFitted(p.means(g, func(t *summary.Trial) float64 { return t.FLOPs })),
			Params: p.addFitted(p.means(g, func(t *summary.Trial) float64 { return t.Params })),
		}
		p.content.Source.Trials += len(g.Trials)
		for _, cost := range []struct {
			column **column
			value  func(*summary.Trial) float64
		}{
			{&shown.Latency, func(t *summary.Trial) float64 { return t.Latency }},
			{&shown.Seconds, func(t *summary.Trial) float64 { return t.Seconds }},
		} {
			if values := p.means(g, cost.value); hasValue(values) {
				packed := p.addFitted(values)
				*cost.column = &packed
			}
		}
		for _, slot := range slots {
			shown.Seeds = append(shown.Seeds, p.packer.add(blockSummary, linear(1), p.values(g, slot, func(t *summary.Trial) float64 { return float64(t.Seed) })).column)
			shown.TrialSeconds = append(shown.TrialSeconds, p.addFitted(p.values(g, slot, func(t *summary.Trial) float64 { return t.Seconds })))
		}
		for s, info := range g.Sets {
			shown.Sets = append(shown.Sets, p.newSet(g, s, info, slots))
		}
		p.content.Groups = append(p.content.Groups, shown)
	}
}

// addFitted packs a column of positive numbers of any size.
func (p *composer) addFitted(values []float64) column {
	return p.packer.add(blockSummary, fit(values), values).column
}

// slotsOf returns for k = 0, 1, ... the position in g.Trials of the k-th trial of each
// architecture, or -1.
func (p *composer) slotsOf(g *summary.Group) [][]int {
	var slots [][]int
	at := 0
	for trials := range g.ByArch {
		for k := range trials {
			if k == len(slots) {
				none := make([]int, len(p.summary.Archs))
				for i := range none {
					none[i] = -1
				}
				slots = append(slots, none)
			}
			slots[k][p.position[trials[0].Arch]] = at
			at++
		}
	}
	return slots
}

// values returns a value of the trials of a slot.
func (p *composer) values(g *summary.Group, slot []int, value func(*summary.Trial) float64) []float64 {
	values := p.missingValues()
	for i, at := range slot {
		if at >= 0 {
			values[i] = value(&g.Trials[at])
		}
	}
	return values
}

// means returns the mean of a value over the trials of each architecture that have it.
func (p *composer) means(g *summary.Group, value func(*summary.Trial) float64) []float64 {
	means, _ := p.moments(g, value)
	return means
}

// moments returns the mean of a value over the trials of each architecture that have it, and the
// standard deviation between them, which is missing for fewer than two.
func (p *composer) moments(g *summary.Group, value func(*summary.Trial) float64) (means, deviations []float64) {
	means, deviations = p.missingValues(), p.missingValues()
	for trials := range g.ByArch {
		mean := summary.Mean(trials, value)
		if math.IsNaN(mean) {
			continue
		}
		var n, squares float64
		for i := range trials {
			if v := value(&trials[i]); !math.IsNaN(v) {
				n, squares = n+1, squares+(v-mean)*(v-mean)
			}
		}
		at := p.position[trials[0].Arch]
		means[at] = mean
		if n > 1 {
			deviations[at] = math.Sqrt(squares / (n - 1))
		}
	}
	return means, deviations
}

func hasValue(values []float64) bool {
	for _, v := range values {
		if !math.IsNaN(v) {
			return true
		}
	}
	return false
}

// newSet packs the accuracies and losses on a set after the last epoch.
func (p *composer) newSet(g *summary.Group, s int, info summary.Set, slots [][]int) set {
	shown := set{Name: info.Name, Images: info.Images}
	accuracies, losses := accuracyScale(g, s), p.lossScale(g, s)
	var firstTop1, firstLoss *packed
	for _, slot := range slots {
		top1 := p.packer.addAfter(blockSummary, accuracies, p.values(g, slot, func(t *summary.Trial) float64 { return t.Sets[s].Top1 }), firstTop1)
		loss := p.packer.addAfter(blockSummary, losses, p.values(g, slot, func(t *summary.Trial) float64 { return t.Sets[s].Loss }), firstLoss)
		if firstTop1 == nil {
			firstTop1, firstLoss = &top1, &loss
		}
		shown.Top1, shown.Loss = append(shown.Top1, top1.column), append(shown.Loss, loss.column)
	}
	shown.Mean = column{Mean: shown.Top1}
	shown.OnlyLast = hasOnlyLast(g, s)
	return shown
}

// hasOnlyLast reports whether the trials have no accuracy on a set after any epoch but the last.
func hasOnlyLast(g *summary.Group, s int) bool {
	n := len(g.Grid)
	for i := range g.Trials {
		for at := range n - 1 {
			if !math.IsNaN(g.Top1At(&g.Trials[i], s, at)) {
				return false
			}
		}
	}
	return n > 1
}

// fineStep is a step of accuracies, in percent, that is finer than an image of 10,000.
const fineStep = 0.005

// accuracyScale returns the scale of the accuracies on a set: whole images if they are known and
// few enough, and all accuracies are whole numbers of them.
func accuracyScale(g *summary.Group, s int) scale {
	images := g.Sets[s].Images
	if images < 1 || images > maxLevel {
		return linear(fineStep)
	}
	for i := range g.Trials {
		if top1 := g.Trials[i].Sets[s].Top1; !math.IsNaN(top1) && !rank.IsCount(top1, images) {
			return linear(fineStep)
		}
	}
	return linear(100 / float64(images))
}

// lossScale returns the scale of the losses on a set.
func (p *composer) lossScale(g *summary.Group, s int) scale {
	largest := 0.0
	for i := range g.Trials {
		t := &g.Trials[i]
		if loss := t.Sets[s].Loss; loss > largest { // not NaN
			largest = loss
		}
		for at := range g.Grid {
			if loss := g.LossAt(t, s, at); loss > largest {
				largest = loss
			}
		}
	}
	step := 1e-4
	if len(p.summary.Archs) > manyArchs {
		step = 1e-3
	}
	return linear(max(step, largest/maxLevel))
}

// manyArchs is a number of architectures beyond which the page rounds more.
const manyArchs = 2000

// detail is how much of the learning curves a page shows.
type detail struct {
	perTrial bool // else means and standard deviations
	losses   bool
	epochs   int     // of a curve, at most
	step     float64 // of mean accuracies and standard deviations, in percent
}

// details lists details from the finest to the coarsest.
var details = []detail{
	{true, true, math.MaxInt, fineStep}, {true, true, 60, fineStep}, {true, false, 60, fineStep},
	{false, true, math.MaxInt, fineStep}, {false, true, 60, 0.01}, {false, false, 60, 0.02}, {false, false, 40, 0.05},
	{false, false, 30, 0.05}, {false, false, 24, 0.1}, {false, false, 20, 0.1}, {false, false, 16, 0.1}, {false, false, 12, 0.2},
	{false, false, 9, 0.2}, {false, false, 8, 0.25}, {false, false, 7, 0.25}, {false, false, 6, 0.25}, {false, false, 4, 0.25}, {false, false, 2, 0.25}, {false, false, 1, 0.25},
}

// addCurves adds the learning curves in the finest detail for which the page has room. It returns
// the texts of the blocks of columns.
func (p *composer) addCurves() (texts [blocks][]byte, err error) {
	if texts[blockSummary], err = p.packer.text(blockSummary); err != nil {
		return texts, err
	}
	fixed := readParts().size() + len(texts[blockSummary])
	estimates, err := p.estimates()
	if err != nil {
		return texts, err
	}
	for i, d := range details {
		last := i == len(details)-1
		if estimates != nil && !last && estimates[i] > p.room-fixed {
			continue
		}
		if texts[blockCurves], err = p.packCurves(d); err != nil {
			return texts, err
		}
		p.content.Notes = p.notes(d)
		text, err := p.content.json()
		if err != nil {
			return texts, err
		}
		if last || fixed+len(text)+len(texts[blockCurves]) <= p.room {
			break
		}
	}
	return texts, nil
}

// packCurves packs the curves in a detail, and returns the text of their block.
func (p *composer) packCurves(d detail) ([]byte, error) {
	p.packer.blocks[blockCurves].Reset()
	for k, g := range p.summary.Groups {
		p.addGroupCurves(&p.content.Groups[k], g, p.slots[k], d)
	}
	return p.packer.text(blockCurves)
}

// estimates estimates the sizes of the block of curves, in bytes, for each of details from those of a
// part of the architectures. It returns nil for few architectures, which are quickly packed.
func (p *composer) estimates() ([]int, error) {
	const part = 1000
	n := len(p.summary.Archs)
	if n <= part {
		return nil, nil
	}
	q := newComposer(new(content), p.space, thin(p.summary, part), p.room)
	var sizes []int
	for _, d := range details {
		text, err := q.packCurves(d)
		if err != nil {
			return nil, err
		}
		sizes = append(sizes, len(text)*n/len(q.summary.Archs))
	}
	return sizes, nil
}

// addGroupCurves packs the curves of a group.
func (p *composer) addGroupCurves(shown *group, g *summary.Group, slots [][]int, d detail) {
	positions := summary.Spread(len(g.Grid), d.epochs)
	shown.PerTrial = d.perTrial
	shown.Shown = []int{}
	for _, at := range positions {
		shown.Shown = append(shown.Shown, g.Grid[at])
	}
	for s := range g.Sets {
		to := &shown.Sets[s]
		to.Curves, to.LossCurves, to.SD = nil, nil, nil
		top1 := func(at int) func(*summary.Trial) float64 {
			return func(t *summary.Trial) float64 { return g.Top1At(t, s, at) }
		}
		loss := func(at int) func(*summary.Trial) float64 {
			return func(t *summary.Trial) float64 { return g.LossAt(t, s, at) }
		}
		accuracies, losses := to.Top1[0].Scale, to.Loss[0].Scale // a group has a trial
		if d.perTrial {
			for k, slot := range slots {
				to.Curves = append(to.Curves, p.addCurve(positions, accuracies, to.Top1[k], func(at int) []float64 { return p.values(g, slot, top1(at)) }))
				if d.losses {
					to.LossCurves = append(to.LossCurves, p.addCurve(positions, losses, to.Loss[k], func(at int) []float64 { return p.values(g, slot, loss(at)) }))
				}
			}
			continue
		}
		to.Curves = []run{p.addCurve(positions, linear(d.step), to.Mean, func(at int) []float64 { return p.means(g, top1(at)) })}
		if d.losses {
			to.LossCurves = []run{p.addCurve(positions, losses, column{Mean: to.Loss}, func(at int) []float64 { return p.means(g, loss(at)) })}
		}
		if len(slots) > 1 {
			var all [][]float64
			for _, at := range positions {
				_, deviations := p.moments(g, top1(at))
				all = append(all, deviations)
			}
			sd := p.packer.addRun(blockCurves, linear(d.step), all, false, nil)
			to.SD = &sd
		}
	}
}

// addCurve packs the values at positions of the grid. Those of the last position are those of the
// column last.
func (p *composer) addCurve(positions []int, s scale, last column, values func(at int) []float64) run {
	var all [][]float64
	for _, at := range positions[:max(len(positions)-1, 0)] {
		all = append(all, values(at))
	}
	return p.packer.addRun(blockCurves, s, all, true, &last)
}

// notes says what the page leaves out or rounds.
func (p *composer) notes(d detail) []string {
	notes := []string{}
	var short bool
	for k, g := range p.summary.Groups {
		short = short || len(p.content.Groups[k].Shown) < g.Epochs
	}
	switch {
	case !d.perTrial:
		notes = append(notes, "To stay below 10 MB, the page has learning curves as means over the seeds with standard deviations"+
			onlyIf(short, ", for some of the epochs")+onlyIf(!d.losses, ", and no curves of the loss")+
			onlyIf(d.step > fineStep, fmt.Sprintf("; they are rounded to %g %%", d.step))+
			". nb201 query shows every epoch of a trial, and nb201 export all of them.")
	case short || !d.losses:
		notes = append(notes, "To stay below 10 MB, the page has learning curves"+onlyIf(short, " for some of the epochs")+onlyIf(!d.losses, " without the loss")+
			". nb201 query shows every epoch of a trial, and nb201 export all of them.")
	}
	notes = append(notes, "Accuracies are rounded to one image or 0.005 %, losses to about 0.001, latencies and times to 0.02 %; "+
		"rank correlations are computed before rounding.")
	if n := p.summary.LeftOut; n > 0 {
		notes = append(notes, fmt.Sprintf("%s of trials left out: the accuracy after the last epoch is not between 0 and 100 %%.", quantity.Format(n, "set")))
	}
	if n := len(p.summary.Damaged); n > 0 {
		notes = append(notes, fmt.Sprintf("%s damaged and left out; see the end of the page.", quantity.Format(n, "file")))
	}
	return notes
}

func onlyIf(condition bool, text string) string {
	if condition {
		return text
	}
	return ""
}

// addAgainst adds the comparison with another benchmark.
func (p *composer) addAgainst(r *compare.Report) {
	a := &against{
		Path: r.B.Path, Format: string(r.B.Format), Architectures: r.B.Architectures,
		Common: r.Common, Skipped: r.Skipped,
	}
	for i := range r.Comparisons {
		c := &r.Comparisons[i]
		first, second := p.missingValues(), p.missingValues()
		for _, m := range c.Means {
			if at, ok := p.position[m.Arch]; ok {
				first[at], second[at] = m.A, m.B
			}
		}
		packedA := p.packer.add(blockSummary, linear(fineStep), first)
		packedB := p.packer.addAfter(blockSummary, linear(fineStep), second, &packedA)
		a.Comparisons = append(a.Comparisons, comparison{
			Dataset: c.Dataset, Schedule: c.Schedule, Epochs: c.Epochs, Set: c.Set, Trials: c.Trials, Architectures: c.Architectures,
			Top1: c.Top1, Loss: c.Loss, Worst: c.Worst, A: packedA.column, B: packedB.column, Bins: bins(c.Differences),
		})
	}
	p.content.Against = a
}

// bins counts differences in intervals of equal size, symmetrical about 0.
func bins(differences []float64) []bin {
	const count = 41 // odd, so that 0 is in the middle of one
	reach := 0.01
	for _, d := range differences {
		reach = max(reach, math.Abs(d))
	}
	width := 2 * reach / count
	b := make([]bin, count)
	for i := range b {
		b[i].Low, b[i].High = -reach+float64(i)*width, -reach+float64(i+1)*width
	}
	for _, d := range differences {
		b[min(max(int((d+reach)/width), 0), count-1)].Count++
	}
	return b
}
