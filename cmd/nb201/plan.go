package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/plan"
)

// planFlags are the flags of nb201 plan.
type planFlags struct {
	archs     string
	selection plan.Selection
	seeds     seedsFlag

	settings plan.Settings // those of the flags given, or the defaults
	weights  string
	root     string
	replace  bool

	like               string
	rate               float64
	devices, perDevice int
	json               bool
}

func newPlanCommand() *cobra.Command {
	var flags planFlags
	c := &cobra.Command{
		Use:   "plan DIR [--archs LIST --datasets K,K --epochs 12,200 --seeds S,S | --preset NAME]",
		Short: "Plan a campaign: say what to train, and what it costs",
		Long: `Plan the trials of a campaign: every architecture of --archs, on every dataset of
--datasets, along every schedule of --epochs, from every seed of --seeds. DIR/plan.json
holds the plan; nb201 run trains what it says. With DIR alone, show the plan.

--archs takes a list of indices, ranges (0-99), genotype strings, files with one of
these a line (what follows a # is a comment), and unique, which is the first architecture
of each isomorphism class. A preset stands for all four lists; --archs and --datasets
narrow it:
  nas-bench-201-v1_1  what was published: of all architectures, 12 epochs from seed 111 on
                      the four dataset keys and 777 on cifar10-valid, and 200 epochs from
                      777, 888 and 999 on the four
  sample              28 architectures, one of each cost from the cheapest to the dearest,
                      12 epochs, seed 777, on cifar10-valid or those of --datasets

A plan that is there is extended: what it has is kept, with its settings, and so is what
is done. Settings, a recipe or a dataset definition that differ from those that finished
trials were trained with are refused; where none is finished, --replace starts anew.

The estimate is of the trials left. Its rate is measured on the trials done in DIR, or in
the campaign --like on devices of the same kind, or given with --rate. It holds for as
many trials at once on a device as there were then: name their number with --per-device.
Disk is the content of the files; a trial's record and its weights are a file each.`,
		Example: `  nb201 plan campaign --preset nas-bench-201-v1_1 --devices 8 --like sample
  nb201 plan sample --preset sample --datasets digits
  nb201 plan demo --archs 0-9,1462 --datasets cifar10-valid,mine.json --epochs 12 --seeds 777,888
  nb201 plan demo --devices 4 --per-device 2`,
		Args: oneArgument("DIR", "a campaign directory"),
		RunE: func(c *cobra.Command, args []string) error {
			view, err := flags.run(c, args[0])
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(c, view)
			}
			return view.print(c.OutOrStdout())
		},
	}
	f := c.Flags()
	f.StringVar(&flags.archs, "archs", "", "architectures: `LIST` of indices, ranges, genotype strings, files, unique")
	f.StringSliceVar(&flags.selection.Datasets, "datasets", nil, "dataset `KEYS` and definition files (*.json)")
	f.IntSliceVar(&flags.selection.Epochs, "epochs", nil, "the schedules, named by their `EPOCHS`: 12 or 200 as published, or any other")
	f.Var(&flags.seeds, "seeds", "each 0..4294967295; published: 777, 888, 999 and 111")
	f.StringVar(&flags.selection.Preset, "preset", "", "`NAME` of a preset: "+strings.Join(plan.Presets(), ", "))
	f.BoolVar(&flags.replace, "replace", false, "start the plan anew, where none of its trials is finished")

	addSettings(f, &flags.settings.Settings)
	f.StringVar(&flags.weights, "weights", "keep", "keep or drop the weights")
	f.StringVar(&flags.root, "data", data.DefaultRoot(os.Getenv), "`DIR` of the images, which are counted where the definition does not")

	f.StringVar(&flags.like, "like", "", "measure the rate on the trials of the campaign `DIR`")
	f.Float64Var(&flags.rate, "rate", 0, "rate of a device in `IMAGES` a second to train on, the mean over architectures; evaluating is taken to be three times as fast")
	f.IntVar(&flags.devices, "devices", 1, "`NUMBER` of devices to estimate the days for")
	f.IntVar(&flags.perDevice, "per-device", 1, "`NUMBER` of trials at once on a device")
	f.BoolVar(&flags.json, "json", false, "print one JSON document")
	exclude(c, "like", "rate")
	return c
}

// seedsFlag is a --seeds: seeds joined by commas.
type seedsFlag []uint32

func (s *seedsFlag) Set(text string) error {
	for item := range strings.SplitSeq(text, ",") {
		var seed seedFlag
		if err := seed.Set(item); err != nil {
			return err
		}
		*s = append(*s, uint32(seed))
	}
	return nil
}

func (s *seedsFlag) String() string { return joined(*s) }

func (s *seedsFlag) Type() string { return "SEEDS" }

// joined lists values with commas.
func joined[T any](values []T) string {
	var texts []string
	for _, v := range values {
		texts = append(texts, fmt.Sprint(v))
	}
	return strings.Join(texts, ",")
}

// run makes, extends or finds the plan of dir, and says what it costs.
func (f *planFlags) run(c *cobra.Command, dir string) (*planView, error) {
	if err := f.check(c); err != nil {
		return nil, err
	}
	old, err := plan.Read(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	selected := f.archs != "" || f.selection.Preset != "" || len(f.selection.Datasets)+len(f.selection.Epochs)+len(f.selection.Seeds) > 0
	switch {
	case old == nil && !selected:
		return nil, err
	case f.replace && !selected:
		return nil, usage.Errorf("--replace starts the plan anew: say what it is to hold, with --preset or with --archs, --datasets, --epochs and --seeds")
	}
	done, err := plan.Done(c.Context(), dir)
	if err != nil {
		return nil, err
	}
	if f.replace && old != nil {
		if i := slices.IndexFunc(done, old.Has); i >= 0 {
			return nil, usage.Errorf("--replace is for a plan without finished trials, and %v is finished: plan another directory", done[i])
		}
		old = nil
	}
	p, err := f.plan(c, old, selected, done)
	if err != nil {
		return nil, err
	}
	for _, d := range p.Datasets {
		warn(c, d.Warning())
	}
	rate, err := f.findRate(c.Context(), p, dir, done)
	if err != nil {
		return nil, err
	}
	if p != old {
		var adopted []results.Trial
		for _, t := range done {
			if p.Has(t) && (old == nil || !old.Has(t)) {
				adopted = append(adopted, t)
			}
		}
		if err := p.Adopt(c.Context(), results.Campaign{Dir: dir}, adopted); err != nil {
			return nil, err
		}
		if err := p.Write(dir); err != nil {
			return nil, err
		}
	}
	return f.view(dir, old, p, done, rate), nil
}

// mostDevices is more than any cluster has, and a device takes trials at once.
const mostDevices = 1_000_000

// check refuses flags that are wrong whatever the plan.
func (f *planFlags) check(c *cobra.Command) error {
	if _, err := parseKeep(f.weights); err != nil {
		return err
	}
	switch {
	case f.devices < 1 || f.perDevice < 1:
		return usage.Errorf("%d devices with %d trials at once: use at least 1 of each", f.devices, f.perDevice)
	case f.devices > mostDevices || f.perDevice > mostDevices:
		return usage.Errorf("%d devices with %d trials at once: use at most %d of each", f.devices, f.perDevice, mostDevices)
	case c.Flags().Changed("rate") && !(f.rate > 0 && !math.IsInf(f.rate, 1)):
		return usage.Errorf("--rate %v: use a number of images a second above 0", f.rate)
	}
	return nil
}

// plan is old, extended by what the flags select, or a new plan.
func (f *planFlags) plan(c *cobra.Command, old *plan.Plan, selected bool, done []results.Trial) (*plan.Plan, error) {
	more := &plan.Plan{Settings: f.wanted(c, old)}
	if selected {
		if f.archs != "" {
			archs, err := plan.ParseArchs(f.archs)
			if err != nil {
				return nil, err
			}
			f.selection.Archs = &archs
		}
		f.selection.Seeds = f.seeds
		var err error
		if more, err = plan.New(more.Settings, f.selection, f.root); err != nil {
			return nil, err
		}
	}
	if old == nil {
		return more, nil
	}
	return old.Extend(more, done)
}

// wanted are the settings that the flags ask for: those not given are the plan's.
func (f *planFlags) wanted(c *cobra.Command, old *plan.Plan) plan.Settings {
	given := f.settings
	given.Weights = f.weights == "keep"
	if old == nil {
		return given
	}
	s := old.Settings
	for name, set := range map[string]func(){
		"parity":    func() { s.Parity = given.Parity },
		"timeline":  func() { s.Timeline = given.Timeline },
		"workers":   func() { s.Workers = given.Workers },
		"precision": func() { s.Precision = given.Precision },
		"channels":  func() { s.Channels = given.Channels },
		"cells":     func() { s.Cells = given.Cells },
		"batch":     func() { s.Batch = given.Batch },
		"weights":   func() { s.Weights = given.Weights },
	} {
		if c.Flags().Changed(name) {
			set()
		}
	}
	return s
}

// findRate is the rate to estimate by, nil when there is none.
func (f *planFlags) findRate(ctx context.Context, p *plan.Plan, dir string, done []results.Trial) (*plan.Rate, error) {
	switch {
	case f.rate > 0:
		return plan.FixedRate(f.rate), nil
	case f.like == "":
		return plan.MeasureRate(ctx, results.Campaign{Dir: dir}, done, p.Settings.Precision)
	}
	return rateOf(ctx, f.like, p.Settings.Precision)
}

// rateOf measures the rate on the trials done in a campaign.
func rateOf(ctx context.Context, campaign string, precision configs.Precision) (*plan.Rate, error) {
	done, err := plan.Done(ctx, campaign)
	if err != nil {
		return nil, err
	}
	rate, err := plan.MeasureRate(ctx, results.Campaign{Dir: campaign}, done, precision)
	if err == nil && rate == nil {
		err = usage.Errorf("no rate can be measured on %s: it has no finished trial in %s", campaign, precision)
	}
	return rate, err
}
