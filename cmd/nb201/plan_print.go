package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/dustin/go-humanize"

	"nb201/cell"
	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/quantity"
	"nb201/results"
	"nb201/scheduler/plan"
)

// planView describes a plan and its costs, as nb201 plan --json prints it.
type planView struct {
	Campaign string            `json:"campaign"`
	Space    cell.Name         `json:"space,omitzero"`
	Settings plan.Settings     `json:"settings"`
	Parts    []partView        `json:"parts"`
	Trials   int               `json:"trials"`
	New      int               `json:"new"` // added by this command
	Done     int               `json:"done"`
	Left     int               `json:"left"`
	Foreign  []results.Trial   `json:"done_but_not_planned"`
	Estimate map[string]*costs `json:"estimate"` // by "all" trials and those "left"
	Rate     *plan.Rate        `json:"rate"`     // null if unknown

	devices, perDevice int
}

// partView is a row of the plan's table.
type partView struct {
	plan.Part
	Trials int `json:"trials"`
	Done   int `json:"done"`
}

// costs holds what trials cost on the devices that the flags name.
type costs struct {
	plan.Cost
	DeviceHours float64 `json:"device_hours,omitzero"`
	Days        float64 `json:"days,omitzero"` // on all devices together
	Files       int     `json:"files"`
}

// view describes the plan p of dir, which was old before this command; done are the finished trials
// of dir.
func (f *planFlags) view(dir string, old, p *plan.Plan, done []results.Trial, rate *plan.Rate) *planView {
	v := &planView{
		Campaign: dir, Space: p.Space, Settings: p.Settings, Rate: rate, Foreign: []results.Trial{},
		devices: f.devices, perDevice: f.perDevice,
	}
	for _, part := range p.Parts {
		v.Parts = append(v.Parts, partView{Part: part, Trials: part.Len()})
	}
	isDone := map[results.Trial]bool{}
	for _, t := range done {
		if !p.Has(t) {
			v.Foreign = append(v.Foreign, t)
			continue
		}
		isDone[t] = true
		for i := range v.Parts {
			if v.Parts[i].Has(t) {
				v.Parts[i].Done++
			}
		}
	}
	all := f.newCosts(p.Estimate(p.Trials(), rate), p)
	left := f.newCosts(p.Estimate(func(yield func(results.Trial) bool) {
		for t := range p.Trials() {
			if !isDone[t] && !yield(t) {
				return
			}
		}
	}, rate), p)
	v.Estimate = map[string]*costs{"all": all, "left": left}
	v.Trials, v.Done, v.Left = all.Trials, len(isDone), left.Trials
	v.New = v.Trials
	if old != nil {
		v.New -= old.Len()
	}
	return v
}

// newCosts spreads a cost over the devices.
func (f *planFlags) newCosts(c plan.Cost, p *plan.Plan) *costs {
	hours := c.Seconds / 3600 / float64(f.perDevice)
	files := c.Trials
	if p.Settings.Weights {
		files *= 2
	}
	return &costs{c, hours, hours / 24 / float64(f.devices), files}
}

// print prints the plan and its estimate as text.
func (v *planView) print(w io.Writer) error {
	s := v.Settings
	weights := "kept"
	if !s.Weights {
		weights = "dropped"
	}
	inert.Fprintf(w, "%s  parity %s, timeline %s, %s, %s, %s, batch %d, weights %s\n\n", v.Campaign,
		s.Parity, s.Timeline, quantity.Format(s.Workers, "worker"), s.Precision, describeSkeleton(v.Space, s.Channels, s.Cells), s.Batch, weights)
	table := layout.NewTable(w, 1)
	fmt.Fprintln(table, "part\tarchitectures\tdatasets\tschedules\tseeds\ttrials\tdone")
	for i, part := range v.Parts {
		inert.Fprintf(table, "%d\t%s\t%s\t%s\t%s\t%d\t%d\n", i+1, part.Describe(40), strings.Join(part.Datasets, ","),
			strings.Join(part.Schedules(), ","), joinCommas(part.Seeds), part.Trials, part.Done)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	inert.Fprintf(w, "\n%s: %d new, %d done, %d left\n", quantity.Format(v.Trials, "trial"), v.New, v.Done, v.Left)
	if n := len(v.Foreign); n > 0 {
		inert.Fprintf(w, "done but not in the plan: %s, first %v\n", quantity.Format(n, "trial"), v.Foreign[0])
	}
	fmt.Fprintln(w)
	if err := v.printEstimate(w); err != nil {
		return err
	}
	_, err := fmt.Fprintln(w, "\n"+v.describeRate())
	return err
}

// printEstimate prints the table of costs.
func (v *planView) printEstimate(w io.Writer) error {
	table := layout.NewNumbers(w, 1)
	fmt.Fprintln(table, "estimate\tall\tleft\t")
	line := func(name string, value func(*costs) string) {
		inert.Fprintf(table, "%s\t%s\t%s\t\n", name, value(v.Estimate["all"]), value(v.Estimate["left"]))
	}
	line("trials", func(c *costs) string { return fmt.Sprint(c.Trials) })
	line("million images to train on", func(c *costs) string { return quantity.Rounded(c.TrainImages / 1e6) })
	line("million images to evaluate", func(c *costs) string { return quantity.Rounded(c.EvalImages / 1e6) })
	if v.Rate != nil {
		line(v.hoursUnit(), func(c *costs) string { return quantity.Rounded(c.DeviceHours) })
		line("days on "+quantity.Format(v.devices, "device"), func(c *costs) string { return quantity.Rounded(c.Days) })
	}
	line("records", func(c *costs) string { return humanize.IBytes(uint64(c.RecordBytes)) })
	line("weights", func(c *costs) string { return humanize.IBytes(uint64(c.WeightBytes)) })
	line("files", func(c *costs) string { return fmt.Sprint(c.Files) })
	return table.Flush()
}

// hoursUnit returns the unit of the devices' time.
func (v *planView) hoursUnit() string {
	switch v.Rate.Device {
	case "":
		return "device-hours"
	case "cpu":
		return "CPU-hours"
	}
	return "GPU-hours"
}

// describeRate explains where the rate comes from, or how to get one.
func (v *planView) describeRate() string {
	r := v.Rate
	if r == nil {
		return "No training rate is known, so hours and days are not shown. To get them, train a few trials here " +
			"with nb201 run, or name with --like a campaign on the same kind of device (plan one with `nb201 plan DIR " + v.samplePreset() + "`), " +
			"or give a rate with --rate."
	}
	if r.Trials == 0 {
		return fmt.Sprintf("Rate, as given: a device trains %s and evaluates %s images per second.",
			quantity.Rounded(1/r.Train.PerImage), quantity.Rounded(1/r.Eval.PerImage))
	}
	perSecond := func(l plan.Line) string { return quantity.Rounded(1 / (l.PerImage + l.PerMFLOP*r.MFLOPs)) }
	text := fmt.Sprintf(`Rate, measured on %s of %s (%s): for their mean of %s MFLOPs,
a device trains %s and evaluates %s images per second, and each trial takes another %s s.
This fits the measured times of training and evaluation within %.0f %%.`,
		quantity.Format(r.Trials, "trial"), quantity.Format(r.Archs, "architecture"), inert.Text(r.Device),
		quantity.Rounded(r.MFLOPs), perSecond(r.Train), perSecond(r.Eval), quantity.Rounded(r.PerTrial), 100*r.Error)
	if r.Archs < 3 {
		text += "\nThis rate is rough, because few architectures were trained; those of " + v.samplePreset() + " give a good one."
	}
	return text
}

// samplePreset returns the flags that plan a sample of the plan's search space.
func (v *planView) samplePreset() string {
	flags := "--preset " + plan.Sample
	if v.Space != cell.Default().Name() {
		flags += " --space " + v.Space.String()
	}
	return flags
}
