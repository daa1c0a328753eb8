package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/scheduler/plan"
)

// planFlags holds the flags of nb201 plan.
type planFlags struct {
	spaceFlag
	archs     string
	selection plan.Selection
	seeds     seedsFlag

	settings plan.Settings // of the flags, or their defaults
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
		Use:   "plan DIR [--archs LIST --datasets K,K --epochs 12,200 --recipe FILE.json --seeds S,S | --preset NAME]",
		Short: "Plan what a campaign trains, and estimate its cost",
		Long: `plan writes DIR/plan.json, which lists the trials that nb201 run trains: every architecture
of --archs, on every dataset of --datasets, with every schedule of --epochs and --recipe, and
every seed of --seeds. It then estimates time and disk space. With DIR alone, it shows the plan.

Architectures (--archs):
  A list, separated by commas, of indices, ranges (0-99), strings of architectures, files
  with one of these on each line (# begins a comment), and unique, the first architecture of
  each isomorphism class. All are of one search space: that of the strings and the preset,
  or the one that --space names.

Presets (--preset), instead of the four lists; --archs and --datasets narrow them:
  nas-bench-201-v1_1  the published benchmark: all architectures; 12 epochs with seed 111 on
                      the four dataset keys and 777 on cifar10-valid; 200 epochs with seeds
                      777, 888 and 999 on all four
  nats-sss-v1_0       NATS-Bench's size search space: all architectures on the four dataset
                      keys; 1 and 90 epochs with seed 777, 12 with seeds 777, 888 and 999
  sample              28 architectures, one for each possible number of 3x3 and of 1x1
                      convolutions in a cell, which determine the cost, or with --space sss
                      the 8 of equal widths; 12 epochs, seed 777, on cifar10-valid or
                      --datasets

Changing a plan:
  plan adds to an existing plan, which keeps its trials and settings; finished trials stay
  finished. It refuses settings, recipes and dataset definitions other than those that
  finished trials were trained with. If no trial is finished, --replace starts over.

Estimate:
  The rate is measured on the trials finished in DIR, or in the campaign --like on the same
  kind of device, or given by --rate. The estimate assumes the same number of trials per
  device as when the rate was measured; set it with --per-device. Disk space is the size of
  all files: a record for each trial and, unless --weights is drop, its weights.`,
		Example: `  nb201 plan campaign --preset nas-bench-201-v1_1 --devices 8 --like sample
  nb201 plan sample --preset sample --datasets digits
  nb201 plan sizes --archs 8:8:8:8:8,64:64:64:64:64 --datasets cifar10 --epochs 12 --seeds 777
  nb201 plan demo --archs 0-9,1462 --datasets cifar10-valid,mine.json --epochs 12 --seeds 777,888
  nb201 plan sweep --archs 0-4 --datasets digits --recipe warm.json,steps.json --seeds 1
  nb201 plan demo --devices 4 --per-device 2`,
		Args: oneArgument("DIR", "a campaign directory"),
		RunE: func(c *cobra.Command, args []string) error {
			view, err := flags.updatePlan(c, args[0])
			if err != nil {
				return err
			}
			if flags.json {
				return printJSON(c, view)
			}
			if err := view.print(human(c)); err != nil {
				return err
			}
			if view.Left > 0 {
				suggestNext(c, "run", args[0])
			}
			return nil
		},
	}
	f := c.Flags()
	f.StringVar(&flags.archs, "archs", "", "architectures: "+archsUsage)
	f.StringSliceVar(&flags.selection.Datasets, "datasets", nil, "dataset `KEYS` and definition files (*.json)")
	f.IntSliceVar(&flags.selection.Epochs, "epochs", nil, "schedules, named by their numbers of `EPOCHS`: 12 or 200 as published (1, 12 or 90 in the size search space), or any other")
	f.StringSliceVar(&flags.selection.Recipes, "recipe", nil, "schedules: `NAMES` of published recipes, and recipe files (*.json)")
	f.Var(&flags.seeds, "seeds", "random `SEEDS`, each 0 to 4294967295; published: 777, 888, 999 and 111")
	f.StringVar(&flags.selection.Preset, "preset", "", "`NAME` of a preset: "+strings.Join(plan.Presets(), ", "))
	f.BoolVar(&flags.replace, "replace", false, "replace the plan; only if none of its trials are finished")

	flags.spaceFlag.addFlags(f)
	addSettings(f, &flags.settings.Settings)
	f.StringVar(&flags.weights, "weights", "keep", keepUsage)
	addData(f, &flags.root, dataUsage+", to count them if their definition does not")

	f.StringVar(&flags.like, "like", "", "measure the rate on the trials of the campaign `DIR`")
	f.Float64Var(&flags.rate, "rate", 0,
		"training rate of a device in `IMAGES` per second, as the mean over architectures; evaluation counts as three times as fast")
	f.IntVar(&flags.devices, "devices", 1, "estimate the days on this `NUMBER` of devices")
	f.IntVar(&flags.perDevice, "per-device", 1, "`NUMBER` of trials that a device trains at once")
	f.BoolVar(&flags.json, "json", false, jsonUsage)
	markExclusive(c, "like", "rate")
	return c
}

// seedsFlag is a flag with a list of seeds, separated by commas.
type seedsFlag []uint32

// Set implements [pflag.Value].
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

// String implements [pflag.Value].
func (s *seedsFlag) String() string { return joinCommas(*s) }

// Type implements [pflag.Value].
func (s *seedsFlag) Type() string { return "SEEDS" }

// joinCommas joins values with commas.
func joinCommas[T any](values []T) string {
	var texts []string
	for _, v := range values {
		texts = append(texts, fmt.Sprint(v))
	}
	return strings.Join(texts, ",")
}

// updatePlan creates, extends or only reads the plan of dir, as the flags ask, and estimates its
// costs.
func (f *planFlags) updatePlan(c *cobra.Command, dir string) (*planView, error) {
	if err := f.validate(c); err != nil {
		return nil, err
	}
	old, err := plan.Read(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	selected := f.archs != "" || f.selection.Preset != "" || len(f.selection.Datasets)+len(f.selection.Epochs)+len(f.selection.Recipes)+len(f.selection.Seeds) > 0
	switch {
	case old == nil && !selected:
		return nil, err
	case f.replace && !selected:
		return nil, usage.Errorf("--replace starts a new plan; give its trials with --preset, or with --archs, --datasets, --epochs and --seeds")
	}
	done, err := plan.Done(c.Context(), dir)
	if err != nil {
		return nil, err
	}
	if f.replace && old != nil {
		if i := slices.IndexFunc(done, old.Has); i >= 0 {
			return nil, usage.Errorf("--replace needs a plan without finished trials, but %v is finished; plan a new campaign in another directory", done[i])
		}
		old = nil
	}
	p, err := f.extendPlan(c, dir, old, selected, done)
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

// mostDevices is more devices than any cluster has, and more trials than a device trains at once.
const mostDevices = 1_000_000

// validate refuses flags that are wrong for any plan.
func (f *planFlags) validate(c *cobra.Command) error {
	if _, err := parseKeep(f.weights); err != nil {
		return err
	}
	switch {
	case f.devices < 1 || f.perDevice < 1:
		return usage.Errorf("--devices %d, --per-device %d: use at least 1", f.devices, f.perDevice)
	case f.devices > mostDevices || f.perDevice > mostDevices:
		return usage.Errorf("--devices %d, --per-device %d: use at most %d", f.devices, f.perDevice, mostDevices)
	case c.Flags().Changed("rate") && !(f.rate > 0 && !math.IsInf(f.rate, 1)):
		return usage.Errorf("--rate %v: use a number of images per second above 0", f.rate)
	}
	return nil
}

// extendPlan returns old, extended by the trials that the flags select, or a new plan if old is nil.
func (f *planFlags) extendPlan(c *cobra.Command, dir string, old *plan.Plan, selected bool, done []results.Trial) (*plan.Plan, error) {
	space, err := f.selectSpace(dir, old)
	if err != nil {
		return nil, err
	}
	if err := settleSkeleton(c, space, &f.settings.Channels, &f.settings.Cells); err != nil {
		return nil, err
	}
	more := &plan.Plan{Space: space.Name(), Settings: f.mergeSettings(c, old)}
	if selected {
		f.selection.Seeds = f.seeds
		if more, err = plan.New(more.Settings, f.selection, f.root); err != nil {
			return nil, err
		}
		for _, s := range more.Schedules {
			if err := checkSkeleton(c, s.Recipe); err != nil {
				return nil, err
			}
		}
	}
	if old == nil {
		return more, nil
	}
	return old.Extend(more, done)
}

// selectSpace reads --archs, and returns the search space of the selection. An index is one of the space of the
// campaign in dir, if that has a plan or trials.
func (f *planFlags) selectSpace(dir string, old *plan.Plan) (cell.Space, error) {
	f.selection.Space = f.space
	if f.space == nil && f.selection.Preset == "" {
		if old != nil {
			f.selection.Space = old.Space.Space()
		} else if space, archs, err := (results.Campaign{Dir: dir}).Architectures(); err == nil && len(archs) > 0 {
			f.selection.Space = space
		}
	}
	if f.archs != "" {
		space, err := f.selection.NamedSpace()
		if err != nil {
			return nil, err
		}
		if space == nil && f.selection.Preset != "" {
			space = cell.Default() // else that of the list
		}
		archs, err := plan.ParseArchs(space, f.archs)
		if err != nil {
			return nil, err
		}
		f.selection.Archs = &archs
	}
	space, err := f.selection.SearchSpace()
	switch {
	case err != nil:
		return nil, err
	case old != nil && space.Name() != old.Space:
		return nil, usage.Errorf("the existing plan is of the %s, not of the %s; plan a new campaign in another directory", old.Space.Space().Title(), space.Title())
	}
	return space, results.Campaign{Dir: dir}.CheckSpace(space)
}

// mergeSettings returns the settings of the flags that were given, and for the others those of old.
func (f *planFlags) mergeSettings(c *cobra.Command, old *plan.Plan) plan.Settings {
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

// findRate returns the rate to estimate with, or nil if it is unknown.
func (f *planFlags) findRate(ctx context.Context, p *plan.Plan, dir string, done []results.Trial) (*plan.Rate, error) {
	switch {
	case f.rate > 0:
		return plan.FixedRate(f.rate), nil
	case f.like == "":
		return plan.MeasureRate(ctx, results.Campaign{Dir: dir}, done, p.Settings.Precision)
	}
	return measureRate(ctx, f.like, p.Settings.Precision)
}

// measureRate measures the rate on the finished trials of another campaign; it is a usage error if
// none has the precision.
func measureRate(ctx context.Context, campaign string, precision configs.Precision) (*plan.Rate, error) {
	done, err := plan.Done(ctx, campaign)
	if err != nil {
		return nil, err
	}
	rate, err := plan.MeasureRate(ctx, results.Campaign{Dir: campaign}, done, precision)
	if err == nil && rate == nil {
		err = usage.Errorf("cannot measure a rate on %s, which has no finished trial in %s; name another campaign with --like, or give --rate", campaign, precision)
	}
	return rate, err
}
