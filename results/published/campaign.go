package published

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// CampaignFormat is the format of a campaign directory; see [results.Campaign].
const CampaignFormat benchmark.Format = "campaign"

func campaignReader() reader {
	return reader{
		name: CampaignFormat,
		inDir: func(dir string, entries []os.DirEntry) ([]string, error) {
			for _, e := range entries {
				if e.Name() == "trials" && e.IsDir() {
					return []string{filepath.Join(dir, e.Name())}, nil
				}
			}
			return nil, nil
		},
		open: func(_ context.Context, o *opening) (*benchmark.Benchmark, error) {
			c := results.Campaign{Dir: o.path}
			space, archs, err := c.Architectures()
			if err != nil {
				return nil, err
			}
			if o.bare {
				return ofCampaign(c, space, archs), nil
			}
			return withEvaluations(ofCampaign(c, space, archs), c.Dir, o.elsewhere), nil
		},
		recognise: recogniseRecord,
	}
}

// OfCampaign returns the benchmark of a campaign that holds the architectures of a space, which
// [results.Watcher] lists. Unlike [Open], it reads nothing and allows a campaign without trials.
func OfCampaign(c results.Campaign, space cell.Space, archs []int) *benchmark.Benchmark {
	return withEvaluations(ofCampaign(c, space, archs), c.Dir, nil)
}

// ofCampaign is OfCampaign without the evaluations on further datasets.
func ofCampaign(c results.Campaign, space cell.Space, archs []int) *benchmark.Benchmark {
	return benchmark.New(c.Dir, CampaignFormat, space, space.Count(), archs, campaignSource{c, space})
}

// recogniseRecord recognises the record of a trial, and the plan of a campaign.
func recogniseRecord(c *content) (Kind, bool) {
	switch campaign := results.CampaignOf(c.path); {
	case c.jsonHas("trial", "genotype") && campaign != "":
		return Kind{what: "the record of a trial", todo: "name its campaign, " + campaign}, true
	case c.jsonHas("trial", "genotype"):
		return Kind{what: "the record of a trial", todo: "name a campaign, the directory that contains the directory \"trials\""}, true
	case c.jsonHas("settings", "parts"):
		return Kind{what: "the plan of a campaign", todo: "name its directory, " + filepath.Dir(c.path)}, true
	}
	return Kind{}, false
}

// campaignSource reads the records of a campaign: those of the trials that are finished at the
// time of reading.
type campaignSource struct {
	campaign results.Campaign
	space    cell.Space
}

// Campaign returns the campaign.
func (s campaignSource) Campaign() results.Campaign { return s.campaign }

func (campaignSource) Close() error { return nil }

// TimesOfEvaluated reports that the times are those of the evaluated epochs: see
// [benchmark.Benchmark.TimesOfEvaluated].
func (campaignSource) TimesOfEvaluated() bool { return true }

func (s campaignSource) Architecture(index int) (*benchmark.Architecture, error) {
	a, errs := s.Salvage(index)
	if len(errs) > 0 && errors.Is(errs[0], results.ErrDamaged) {
		return nil, usage.Errorf("%w; nb201 run %s renames it and, if the trial is in the plan, trains it again", errs[0], s.campaign.Dir)
	}
	if len(errs) > 0 {
		return nil, errs[0]
	}
	return a, nil
}

// Salvage reads as much of an architecture as possible: a damaged record costs only its trial.
func (s campaignSource) Salvage(index int) (*benchmark.Architecture, []error) {
	a, err := benchmark.NewArchitecture(s.space, index)
	if err != nil {
		return nil, []error{err}
	}
	trials, err := s.campaign.TrialsOf(s.space, index)
	if err != nil {
		return nil, []error{fmt.Errorf("cannot list campaign %s: %w", s.campaign.Dir, err)}
	}
	var errs []error
	for _, t := range trials {
		r, err := s.campaign.Record(t)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		result := benchmark.FromRecord(r)
		if r.Weights != nil {
			result.SetWeights(func() (torchfile.StateDict, error) { return s.campaign.Weights(r) })
		}
		a.Add(t.Schedule(), result)
	}
	slices.SortFunc(a.Schedules, func(a, b *benchmark.ArchResults) int { return a.Results[0].CompareSchedule(b.Results[0].Trial) })
	return a, errs
}

// CheckFile notes files below trials/ or weights/ that do not belong to a trial. Records and
// weights are checked together with their trials.
func (s campaignSource) CheckFile(path string) (note string, faults []error) {
	if note := noteLeftover(path); note != "" {
		return note, nil
	}
	if what := s.describeStray(path); what != "" {
		return path + " " + what, nil
	}
	note, err := checkName(path)
	if err != nil {
		return "", []error{err}
	}
	return note, nil
}

// describeStray says why a file below trials/ or weights/ does not belong to a trial; "" if it
// does, or if it is elsewhere.
func (s campaignSource) describeStray(path string) string {
	c := s.campaign
	name, err := filepath.Rel(c.Dir, path)
	name = filepath.ToSlash(name)
	if err != nil || !strings.HasPrefix(name, "trials/") && !strings.HasPrefix(name, "weights/") {
		return ""
	}
	const otherName = "does not have the name of a trial's file; it is not read"
	if results.IsDamagedName(name) {
		return "is a damaged file that was renamed; it is not read"
	}
	_, below, _ := strings.Cut(name, "/")
	t, ok := results.ParsePath(strings.TrimSuffix(below, filepath.Ext(below)))
	if !ok || t.Check() != nil || c.RecordPath(t) != path && c.WeightsPath(t) != path {
		return otherName
	}
	if done, err := c.Done(t); err == nil && !done {
		return "has no record; a trial that did not finish left it"
	}
	return ""
}
