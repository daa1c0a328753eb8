package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/data"
)

// limitsOptions holds the flags of limits.
type limitsOptions struct {
	common
	given Peaks // used instead of measured ones, unless zero
}

func newLimitsCommand() *cobra.Command {
	var o limitsOptions
	c := &cobra.Command{
		Use:   "limits",
		Short: "Compute the least time that the device's memory and arithmetic allow",
		Long: `limits computes the least time that the device's memory and arithmetic allow for a training
step and for the evaluation of a batch. It is a sum over the passes that each layer makes over its
feature maps: a pass takes the time to move its bytes at the memory's bandwidth, or to compute its
FLOP at the peak rate, whichever is longer. bench step reports what share of this limit is reached.
The sum over all architectures of the topology search space is the least time of NAS-Bench-201.

bench measures bandwidth and rate on the device, unless --bandwidth and --flop give those of
another device.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.measure(c.Context())
			return errors.Join(err, t.publish(&o.common))
		},
	}
	o.add(c, defaults{archs: "0,median,1462", datasets: "cifar10,cifar100,ImageNet16-120"})
	addGiven(c, &o.given)
	return c
}

// limitRow is a row of the table: the limit of an architecture.
type limitRow struct {
	Arch      string       `json:"arch"`
	Dataset   string       `json:"dataset"`
	Traffic   cell.Traffic `json:"traffic_bytes"` // of a training step
	Train     Limit        `json:"train"`
	Eval      Limit        `json:"eval"`
	ImagesMax float64      `json:"train_images_per_second"`
}

var limitColumns = []column[limitRow]{
	{"arch", func(r limitRow) string { return r.Arch }},
	{"images", func(r limitRow) string { return r.Dataset }},
	{"step, GFLOP", func(r limitRow) string { return figure("%.1f", r.Train.GFLOP) }},
	{"maps forward, GB", func(r limitRow) string { return figure("%.2f", r.Traffic.Forward/1e9) }},
	{"maps backward, GB", func(r limitRow) string { return figure("%.2f", r.Traffic.Backward/1e9) }},
	{"parameters, GB", func(r limitRow) string { return figure("%.3f", r.Traffic.Parameters/1e9) }},
	{"least ms a step", func(r limitRow) string { return figure("%.3g", 1e3*r.Train.Seconds) }},
	{"by arithmetic", func(r limitRow) string { return figure("%.2f", r.Train.byArithmetic()) }},
	{"images/s", func(r limitRow) string { return figure("%.0f", r.ImagesMax) }},
	{"evaluation, least ms", func(r limitRow) string { return figure("%.3g", 1e3*r.Eval.Seconds) }},
	{"by arithmetic", func(r limitRow) string { return figure("%.2f", r.Eval.byArithmetic()) }},
}

// measure makes the table.
func (o *limitsOptions) measure(ctx context.Context) (*table[limitRow], error) {
	t := newTable("limits", &o.common, limitColumns)
	t.Title = "The least that a training step moves and computes, and the least time of it."
	t.addVersions(goVersions())
	peaks, source := o.given, "Given"
	if peaks == (Peaks{}) {
		source = "Measured"
		var err error
		if peaks, err = o.peaks(ctx); err != nil {
			return t, err
		}
	} else {
		t.Device = "for the given peaks"
	}
	t.Summary = peaks
	t.Notes = append(t.Notes, fmt.Sprintf("%s: %v. By arithmetic: the share of the least time in passes whose FLOP take longer than their bytes.", source, peaks))
	for _, d := range o.datasets {
		for _, a := range o.archs {
			n := o.network(a, d)
			r := limitRow{
				Arch: a.Label(), Dataset: d.Name, Traffic: n.TrainingPasses(o.batch, o.elementBytes()).Traffic(),
				Train: peaks.training(n, &o.common), Eval: peaks.evaluation(n, &o.common),
			}
			r.ImagesMax = float64(o.batch) / r.Train.Seconds
			t.Rows = append(t.Rows, r)
		}
	}
	hours, err := o.leastHours(peaks)
	if err != nil {
		return t, err
	}
	t.Notes = append(t.Notes, fmt.Sprintf("All %d architectures of the topology search space, training and evaluation at this limit: %.4g device-hours for a seed of schedule 12, %.4g for one of schedule 200, %.4g for the published trials.",
		cell.Topologies, hours.perSeed(12), hours.perSeed(200), hours.published()))
	return t, nil
}

// leastHours returns the hours of an epoch of all architectures at the limit.
func (o *common) leastHours(peaks Peaks) (epochHours, error) {
	hours := epochHours{}
	for _, key := range publishedKeys() {
		d, err := data.Published(key)
		if err != nil {
			return nil, err
		}
		for _, a := range (cell.Topology{}).All() {
			n := o.network(a, d)
			hours[key] += o.epochSeconds(key, peaks.training(n, o).Seconds, peaks.evaluation(n, o).Seconds) / 3600
		}
	}
	return hours, nil
}
