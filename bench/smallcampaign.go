package main

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// smallCampaign holds the flags of a campaign of random architectures, which nb201 trains for a
// benchmark.
type smallCampaign struct {
	common
	archsWanted, epochs  int
	dataset, data, seeds string
}

// addFlags adds the flags, with these defaults, and those of all benchmarks.
func (o *smallCampaign) addFlags(c *cobra.Command, archs int, seeds string) {
	o.add(c, defaults{})
	f := c.Flags()
	f.IntVar(&o.archsWanted, "archs", archs, "`NUMBER` of architectures")
	f.StringVar(&o.dataset, "dataset", "digits", "dataset `KEY`")
	f.StringVar(&o.data, "data", "", "`DIR` with the images (default for cifar10 and cifar10-valid: noise in files of full size)")
	f.IntVar(&o.epochs, "epochs", 12, "`EPOCHS` of the schedule")
	f.StringVar(&o.seeds, "seeds", seeds, "`LIST` of seeds")
}

// prepare finds the program nb201, and makes a directory for the campaign, which the caller must remove.
// Without --data, it writes the images into it, and sets o.data.
func (o *smallCampaign) prepare() (program, dir string, err error) {
	if program, err = nb201(); err != nil {
		return "", "", err
	}
	if dir, err = os.MkdirTemp("", "nb201-bench-"); err != nil {
		return "", "", err
	}
	if o.data == "" {
		o.data = filepath.Join(dir, "images")
		err = writeNoise(o.data, o.dataset)
	}
	return program, dir, err
}

// archs returns the indices of the architectures.
func (o *smallCampaign) archs() []string {
	var indices []string
	for _, a := range drawArchs(o.archsWanted) {
		indices = append(indices, strconv.Itoa(a.Index()))
	}
	return indices
}

// trials returns the number of trials.
func (o *smallCampaign) trials() int { return o.archsWanted * len(strings.Split(o.seeds, ",")) }

// plan plans the campaign.
func (o *smallCampaign) plan(ctx context.Context, program, campaign string) error {
	_, _, _, err := o.runToEnd(ctx, job{name: "nb201 plan", device: "cpu", command: []string{
		program, "plan", campaign, "--archs", strings.Join(o.archs(), ","), "--datasets", o.dataset,
		"--epochs", strconv.Itoa(o.epochs), "--seeds", o.seeds, "--data", o.data, "--precision", o.precision,
		"--channels", strconv.Itoa(o.channels), "--cells", strconv.Itoa(o.cells), "--batch", strconv.Itoa(o.batch),
	}})
	return err
}

// run returns the job that trains the campaign, with more flags. Compiled programs are kept in dir.
func (o *smallCampaign) run(program, dir, campaign string, more ...string) job {
	return job{
		name: "nb201 run", env: environment(keptPrograms + "=" + filepath.Join(dir, "programs")), device: o.device,
		command: append([]string{program, "run", campaign, "--devices", o.device, "--data", o.data}, more...),
	}
}
