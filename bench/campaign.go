package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"nb201/internal/usage"
	"nb201/results"
)

// campaignOptions holds the flags of campaign.
type campaignOptions struct {
	smallCampaign
	perDevice int
}

func newCampaignCommand() *cobra.Command {
	var o campaignOptions
	c := &cobra.Command{
		Use:   "campaign",
		Short: "Measure how long the trials of a campaign wait for their programs",
		Long: `campaign trains a small campaign of random architectures with nb201 run, starting without any
compiled program. It measures how long each trial waits for its programs, which nb201 run compiles
while the previous trial is running.`,
		RunE: func(c *cobra.Command, _ []string) error {
			t, err := o.measure(c.Context())
			return errors.Join(err, t.publish(&o.common))
		},
	}
	o.addFlags(c, 4, "777")
	c.Flags().IntVar(&o.perDevice, "per-device", 1, "`NUMBER` of workers on the device")
	check := c.PreRunE
	c.PreRunE = func(c *cobra.Command, args []string) error {
		if o.archsWanted < 1 || o.archsWanted > 1000 || o.epochs < 1 || o.perDevice < 1 {
			return usage.Errorf("--archs %d, --epochs %d, --per-device %d: must be at least 1, and --archs at most 1000", o.archsWanted, o.epochs, o.perDevice)
		}
		return check(c, args)
	}
	return c
}

// campaignRow is a row of the table: a trial.
type campaignRow struct {
	Trial   results.Trial `json:"trial"`
	Waited  float64       `json:"waited_seconds"` // for its programs
	Train   float64       `json:"training_seconds"`
	Eval    float64       `json:"evaluation_seconds"`
	Seconds float64       `json:"seconds"` // of the whole trial
}

var campaignColumns = []column[campaignRow]{
	{"trial", func(r campaignRow) string { return r.Trial.String() }},
	{"waited for programs, s", func(r campaignRow) string { return fmt.Sprintf("%.1f", r.Waited) }},
	{"training, s", func(r campaignRow) string { return figure("%.1f", r.Train) }},
	{"evaluation, s", func(r campaignRow) string { return figure("%.1f", r.Eval) }},
	{"whole, s", func(r campaignRow) string { return figure("%.1f", r.Seconds) }},
}

// campaignSummary is the cost of the whole campaign.
type campaignSummary struct {
	Cost
	Waited float64 `json:"waited_seconds"`
	Memory `json:"memory"`
}

// measure makes the table. With an error it returns the trials that have ended so far.
func (o *campaignOptions) measure(ctx context.Context) (t *table[campaignRow], err error) {
	t = newTable("campaign", &o.common, campaignColumns)
	defer func() { t.Partial = err != nil }()
	t.addVersions(goVersions())
	program, dir, err := o.prepare()
	defer os.RemoveAll(dir)
	if err != nil {
		return t, err
	}
	campaign := filepath.Join(dir, "campaign")
	t.Title = fmt.Sprintf("A campaign of %d random architectures on %s, %d epochs, seeds %s, %d workers on the device, starting without compiled programs.",
		o.archsWanted, o.dataset, o.epochs, o.seeds, o.perDevice)
	if err := o.plan(ctx, program, campaign); err != nil {
		return t, err
	}
	logf("training %d trials", o.trials())
	var s campaignSummary
	ended := make(chan error)
	go func() {
		var err error
		_, s.Cost, s.Memory, err = o.runToEnd(ctx, o.run(program, dir, campaign, "--per-device", strconv.Itoa(o.perDevice)))
		ended <- err
	}()
	var failed error
	for working := true; working; {
		select {
		case failed = <-ended:
			working = false
		case <-time.After(5 * time.Second): // then look which trials have ended
		}
		rows, err := readCampaign(campaign, &t.Setting)
		if err == nil {
			err = t.show(&o.common, rows)
		}
		if !working {
			failed = errors.Join(failed, err)
		}
	}
	if failed != nil {
		return t, failed
	}
	if len(t.Rows) == 0 {
		return t, errors.New("the campaign's logs contain no line about waiting for programs; see what nb201 run printed")
	}
	for _, r := range t.Rows {
		s.Waited += r.Waited
	}
	t.Summary = s
	t.Notes = append(t.Notes, fmt.Sprintf("The campaign took %.1f s (%.1f CPU-s). Its %d trials waited %.1f s for their programs, the first of them %.1f s. Peak GPU memory: %s GiB.",
		s.Seconds, s.CPU, len(t.Rows), s.Waited, t.Rows[0].Waited, gib(s.Device)))
	return t, nil
}

// waited matches the line that trainer.Trainer.Train writes to the log of a worker.
var waited = regexp.MustCompile(`architecture (\d+) on (\S+), (\d+) epochs?, seed (\d+): waited ([0-9.]+) s for its programs`)

// readCampaign returns a row for each finished trial, from the workers' logs, in their order, and the
// records.
func readCampaign(dir string, s *Setting) ([]campaignRow, error) {
	logs, err := filepath.Glob(filepath.Join(dir, "logs", "*"))
	if err != nil {
		return nil, err
	}
	var rows []campaignRow
	for _, log := range logs {
		text, err := os.ReadFile(log)
		if err != nil {
			return nil, err
		}
		for _, m := range waited.FindAllStringSubmatch(string(text), -1) {
			r := campaignRow{}
			if _, err := fmt.Sscan(strings.Join(m[1:], " "), &r.Trial.Arch, &r.Trial.Dataset, &r.Trial.Epochs, &r.Trial.Seed, &r.Waited); err != nil {
				return nil, fmt.Errorf("%s: %q: %w", log, m[0], err)
			}
			record, err := results.ReadRecord(results.Campaign{Dir: dir}.RecordPath(r.Trial))
			if errors.Is(err, fs.ErrNotExist) {
				continue // the trial has not finished
			}
			if err != nil {
				return nil, err
			}
			s.addVersions([]string{record.Versions.Plugin})
			r.Train, r.Eval = secondsOf(record)
			r.Seconds = record.Finished.Sub(record.Started).Seconds()
			rows = append(rows, r)
		}
	}
	return rows, nil
}
