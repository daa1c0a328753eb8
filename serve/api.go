package serve

import (
	"cmp"
	_ "embed"
	"errors"
	"io/fs"
	"net/http"
	"runtime"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/lookup"
	"nb201/results/summary"
	"nb201/scheduler/attempt"
)

// description describes the API: https://spec.openapis.org/oas/v3.1.0. Tests compare all answers with
// it. What it names stays; later versions of nb201 may add to it.
//
//go:embed openapi.json
var description []byte

// api answers the requests below /api/v1.
type api struct {
	live    *live
	source  *source
	readers chan struct{} // bounds how many architectures are read at a time
}

func newAPI(l *live, src *source) *api {
	return &api{live: l, source: src, readers: make(chan struct{}, runtime.GOMAXPROCS(0))}
}

// route answers the requests of a path.
type route struct {
	// answer returns what is encoded as JSON, unless it is JSON already ([]byte).
	answer func(*http.Request, *parameters) (any, error)
	// lasts reports that the answer depends on the finished trials alone, so that it can be kept.
	lasts bool
}

// routes returns the routes of the API by their patterns.
func (a *api) routes() map[string]route {
	return map[string]route{
		"/api/v1":                             {a.index, false},
		"/api/v1/openapi.json":                {func(*http.Request, *parameters) (any, error) { return description, nil }, false},
		"/api/v1/status":                      {a.status, false},
		"/api/v1/architectures":               {a.architectures, true},
		"/api/v1/architectures/{arch}":        {a.architecture, true},
		"/api/v1/architectures/{arch}/curves": {a.curves, true},
		"/api/v1/trials":                      {a.trials, true},
		"/api/v1/failures":                    {a.failures, false},
	}
}

// handle returns the handler of a route.
func (a *api) handle(route route) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := a.live.data.Load()
		if !route.lasts {
			d = nil
		}
		text := d.kept(r)
		if text == nil {
			var err error
			if text, err = route.text(r); err != nil {
				refuseError(w, err)
				return
			}
			if d == a.live.data.Load() { // and so the answer is of d
				d.keep(r, text)
			}
		}
		extend(w)
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(text) // the client may be gone
	})
}

// text returns the answer to a request as JSON.
func (route route) text(r *http.Request) ([]byte, error) {
	p := newParameters(r)
	content, err := route.answer(r, p)
	if err := cmp.Or(err, p.check()); err != nil {
		return nil, err
	}
	if text, ok := content.([]byte); ok {
		return text, nil
	}
	return encode(content)
}

var (
	errBadRequest = errors.New("bad request")
	errUnread     = errors.New("the benchmark has not been read yet")
)

// badRequest returns the error for a parameter that is wrong.
func badRequest(format string, args ...any) error {
	return usage.Mark(errBadRequest, usage.Errorf(format, args...))
}

// refuseError answers a request that failed with err.
func refuseError(w http.ResponseWriter, err error) {
	code := http.StatusInternalServerError
	switch {
	case errors.Is(err, errUnread):
		refuseUnread(w)
		return
	case errors.Is(err, errBadRequest):
		code = http.StatusBadRequest
	case errors.Is(err, benchmark.ErrNotHeld):
		code = http.StatusNotFound
	case errors.Is(err, results.ErrDamaged):
	case errors.Is(err, fs.ErrNotExist):
		code = http.StatusServiceUnavailable
	case usage.Is(err):
		code = http.StatusNotFound
	}
	refuse(w, code, err.Error())
}

// index is the answer to /api/v1.
type index struct {
	Program  string       `json:"program"`
	Path     string       `json:"path"`
	Format   string       `json:"format"`
	Space    cell.Name    `json:"space,omitzero"` // search space of the architectures
	Datasets []datasetRow `json:"datasets"`       // empty while the benchmark is being read
	Routes   []string     `json:"routes"`
}

// datasetRow describes the trials on a dataset with a schedule.
type datasetRow struct {
	Dataset       string   `json:"dataset"`
	Schedule      string   `json:"schedule"`
	Epochs        int      `json:"epochs"`
	Architectures int      `json:"architectures"`
	Trials        int      `json:"trials"`
	Sets          []setRow `json:"sets"` // the training set first
}

type setRow struct {
	Set    string `json:"set"`
	Images int    `json:"images,omitzero"` // absent if unknown
}

func (a *api) index(r *http.Request, _ *parameters) (any, error) {
	list := index{Program: a.live.program, Path: a.source.path, Datasets: []datasetRow{}, Routes: []string{"/api/v1/events", "/metrics"}}
	for pattern := range a.routes() {
		list.Routes = append(list.Routes, pattern)
	}
	slices.Sort(list.Routes)
	_ = a.source.read(func(b *benchmark.Benchmark) error {
		list.Format, list.Space = string(b.Format), b.Space.Name()
		return nil
	})
	d := a.live.firstData(r.Context())
	if d == nil {
		return list, nil
	}
	for i, g := range d.summary.Groups {
		row := datasetRow{Dataset: g.Dataset, Schedule: g.Schedule, Epochs: g.Epochs, Architectures: len(d.tables[i].rows()), Trials: len(g.Trials)}
		for _, s := range g.Sets {
			row.Sets = append(row.Sets, setRow{s.Name, s.Images})
		}
		list.Datasets = append(list.Datasets, row)
	}
	return list, nil
}

func (a *api) status(r *http.Request, _ *parameters) (any, error) {
	a.live.firstCampaign(r.Context())
	text, _ := a.live.current()
	return text, nil
}

// page is a part of a list.
type page[T any] struct {
	Total  int `json:"total"`
	Offset int `json:"offset"`
	Items  []T `json:"items"`
}

// paged returns the part of a list that the parameters offset and limit select.
func paged[F, T any](p *parameters, all []F, show func(F) T) page[T] {
	part := page[T]{Total: len(all), Offset: p.offset(), Items: []T{}}
	limit := p.pageLimit()
	for _, item := range all[min(part.Offset, len(all)):min(part.Offset+limit, len(all))] {
		part.Items = append(part.Items, show(item))
	}
	return part
}

// archRow is an architecture in a list.
type archRow struct {
	Index    int    `json:"architecture"`
	Genotype string `json:"genotype"`
	Class    int    `json:"class"` // isomorphism class: the smallest index in it
	Trials   int    `json:"trials"`
	*measures
}

// measures are means over the trials of an architecture on a dataset with a schedule.
type measures struct {
	FLOPs   number             `json:"flops_millions"`
	Params  number             `json:"params_millions"`
	Latency number             `json:"latency_seconds_per_batch_of_256"` // null if it was not measured
	Seconds number             `json:"training_seconds"`                 // of all training passes; null if unknown
	Top1    map[string]float64 `json:"top1_percent"`                     // after the last epoch, by set
}

// number is a number, or null if it is NaN.
type number = float64

// architectures lists architectures, of the trials on one dataset with one schedule if these are given.
func (a *api) architectures(r *http.Request, p *parameters) (any, error) {
	d := a.live.firstData(r.Context())
	if d == nil {
		return nil, errUnread
	}
	named := func(index, trials int, m *measures) archRow {
		arch, _ := d.space.ByIndex(index) // it exists: benchmarks hold no other
		return archRow{index, arch.String(), arch.Class(), trials, m}
	}
	dataset, schedule := p.text("dataset"), p.text("schedule")
	by, order := p.oneOf("sort", []string{"architecture", "top1_percent", "flops_millions", "params_millions", "latency_seconds_per_batch_of_256", "training_seconds"}), p.oneOf("order", []string{"ascending", "descending"})
	set := p.text("set")
	limits := map[string]float64{"flops_millions": p.limit("max_flops_millions"), "params_millions": p.limit("max_params_millions")}
	if dataset == "" && schedule == "" {
		if set != "" || by != "architecture" || limits["flops_millions"] > 0 || limits["params_millions"] > 0 {
			return nil, badRequest("sort, set and limits need dataset and schedule; %s", d.describeGroups())
		}
		counts := d.counts()
		archs := d.summary.Archs
		if order == "descending" {
			archs = slices.Clone(archs)
			slices.Reverse(archs)
		}
		return paged(p, archs, func(index int) archRow { return named(index, counts[index], nil) }), nil
	}
	k, err := d.group(dataset, schedule)
	if err != nil {
		return nil, err
	}
	g := d.summary.Groups[k]
	at := slices.IndexFunc(g.Sets, func(s summary.Set) bool { return s.Name == set })
	switch {
	case set != "" && at < 0:
		return nil, badRequest("the trials on %s with schedule %s have no set %q; they have %s", g.Dataset, g.Schedule, set, strings.Join(setNames(g), ", "))
	case by == "top1_percent" && set == "":
		return nil, badRequest("sort=top1_percent needs a set: %s", strings.Join(setNames(g), ", "))
	}
	rows := slices.DeleteFunc(slices.Clone(d.tables[k].sorted(by, at)), func(r *row) bool {
		return limits["flops_millions"] > 0 && !(r.flops <= limits["flops_millions"]) ||
			limits["params_millions"] > 0 && !(r.params <= limits["params_millions"])
	})
	if order == "descending" {
		slices.Reverse(rows)
	}
	return paged(p, rows, func(of *row) archRow {
		m := &measures{FLOPs: of.flops, Params: of.params, Latency: of.latency, Seconds: of.seconds, Top1: map[string]float64{}}
		for i, s := range g.Sets {
			if set == "" || i == at {
				m.Top1[s.Name] = of.top1[i]
			}
		}
		return named(of.arch, of.trials, m)
	}), nil
}

// trialRow is a trial in a list.
type trialRow struct {
	Index    int       `json:"architecture"`
	Dataset  string    `json:"dataset"`
	Schedule string    `json:"schedule"`
	Epochs   int       `json:"epochs"`
	Seed     uint32    `json:"seed"`
	FLOPs    number    `json:"flops_millions"`
	Params   number    `json:"params_millions"`
	Latency  number    `json:"latency_seconds_per_batch_of_256"`
	Seconds  number    `json:"training_seconds"`
	Measured []lastRow `json:"measured"` // after the last epoch; the training set first
}

// lastRow holds the measures of a set after the last epoch.
type lastRow struct {
	Set  string `json:"set"`
	Top1 number `json:"top1_percent"`
	Loss number `json:"loss"`
}

// trials lists finished trials.
func (a *api) trials(r *http.Request, p *parameters) (any, error) {
	d := a.live.firstData(r.Context())
	if d == nil {
		return nil, errUnread
	}
	arch := p.arch("architecture", d.space)
	dataset, schedule, seed := p.text("dataset"), p.text("schedule"), p.seed("seed")
	if dataset != "" || schedule != "" {
		if _, err := d.group(dataset, schedule); err != nil && !errors.Is(err, errSeveral) {
			return nil, err
		}
	}
	list := page[trialRow]{Offset: p.offset(), Items: []trialRow{}}
	limit := p.pageLimit()
	for _, g := range d.summary.Groups {
		if dataset != "" && g.Dataset != dataset || schedule != "" && g.Schedule != schedule {
			continue
		}
		first, end := 0, len(g.Trials)
		if arch != nil {
			first, _ = slices.BinarySearchFunc(g.Trials, *arch, func(t summary.Trial, arch int) int { return t.Arch - arch })
			end, _ = slices.BinarySearchFunc(g.Trials, *arch+1, func(t summary.Trial, arch int) int { return t.Arch - arch })
		}
		for i := first; i < end; i++ { // of hundreds of thousands, so nothing is allocated for those not listed
			if seed != nil && g.Trials[i].Seed != *seed {
				continue
			}
			if list.Total >= list.Offset && len(list.Items) < limit {
				list.Items = append(list.Items, newTrialRow(g, &g.Trials[i]))
			}
			list.Total++
		}
	}
	return list, nil
}

// newTrialRow describes a trial of a group.
func newTrialRow(g *summary.Group, t *summary.Trial) trialRow {
	r := trialRow{
		Index: t.Arch, Dataset: g.Dataset, Schedule: g.Schedule, Epochs: g.Epochs, Seed: t.Seed,
		FLOPs: t.FLOPs, Params: t.Params, Latency: t.Latency, Seconds: t.Seconds, Measured: []lastRow{},
	}
	for i, v := range t.Sets {
		r.Measured = append(r.Measured, lastRow{g.Sets[i].Name, v.Top1, v.Loss})
	}
	return r
}

// failures lists the trials of a campaign that have failed attempts and are not finished.
func (a *api) failures(r *http.Request, p *parameters) (any, error) {
	s := a.live.firstCampaign(r.Context())
	if s == nil && a.source.campaign {
		return nil, errUnread
	}
	if s == nil {
		return nil, usage.Errorf("%s is not a campaign, so it has no failures", a.source.path)
	}
	return paged(p, s.Failures, func(f attempt.Failure) attempt.Failure { return f }), nil
}

// latestFailures returns the first failures to look at: of trials that have failed, and then of those
// that will be retried, each the latest first.
func latestFailures(all []attempt.Failure) []attempt.Failure {
	last := func(f attempt.Failure) int64 {
		if n := len(f.Attempts); n > 0 {
			return f.Attempts[n-1].When.UnixNano()
		}
		return 0
	}
	rank := func(f attempt.Failure) int {
		if f.TrialFailed {
			return 1
		}
		return 0
	}
	sorted := slices.Clone(all)
	slices.SortStableFunc(sorted, func(a, b attempt.Failure) int {
		return cmp.Or(rank(b)-rank(a), cmp.Compare(last(b), last(a)))
	})
	return sorted[:min(len(sorted), maxListed)]
}

// question reads the parameters that select results of an architecture.
func question(p *parameters) lookup.Question {
	return lookup.Question{Dataset: p.text("dataset"), Schedule: p.text("schedule"), Set: p.text("set"), Seed: p.seed("seed"), Epoch: benchmark.Last}
}

// architecture answers as nb201 query --json prints.
func (a *api) architecture(r *http.Request, p *parameters) (any, error) {
	q := question(p)
	q.Epoch = p.number("epoch", benchmark.Last, 0, 1<<30)
	return a.ask(r, p, q)
}

// ask looks up the results of the architecture that the request's path names.
func (a *api) ask(r *http.Request, p *parameters, q lookup.Question) (answer *lookup.Answer, err error) {
	if err := p.check(); err != nil { // before anything is read
		return nil, err
	}
	select {
	case a.readers <- struct{}{}:
		defer func() { <-a.readers }()
	case <-r.Context().Done():
		return nil, r.Context().Err()
	}
	err = a.source.read(func(b *benchmark.Benchmark) error {
		answer, err = q.Ask(b, r.PathValue("arch"))
		return err
	})
	return answer, err
}

// curvesAnswer holds the learning curves of an architecture.
type curvesAnswer struct {
	Index    int          `json:"architecture"`
	Genotype string       `json:"genotype"`
	Trials   []trialCurve `json:"trials"`
}

// trialCurve holds the learning curves of a trial.
type trialCurve struct {
	Dataset  string     `json:"dataset"`
	Schedule string     `json:"schedule"`
	Epochs   int        `json:"epochs"`
	Seed     uint32     `json:"seed"`
	Sets     []setCurve `json:"sets"` // the training set first
}

// setCurve holds the learning curve on a set. Epoch lists the epochs for which the benchmark has
// anything, counted from 0; the other lists have a number, or null, for each.
type setCurve struct {
	Set     string  `json:"set"`
	Epoch   []int   `json:"epoch"`
	Loss    numbers `json:"loss"`
	Top1    numbers `json:"top1_percent"`
	Top5    numbers `json:"top5_percent,omitempty"` // absent if the benchmark has none
	Seconds numbers `json:"seconds,omitempty"`
}

// curves answers with the learning curves of an architecture.
func (a *api) curves(r *http.Request, p *parameters) (any, error) {
	q := question(p)
	found, err := a.ask(r, p, q)
	if err != nil {
		return nil, err
	}
	all := curvesAnswer{Index: found.Index, Genotype: found.Genotype, Trials: []trialCurve{}}
	for _, t := range found.Trials {
		c := trialCurve{Dataset: t.Dataset, Schedule: t.Schedule, Epochs: t.Epochs, Seed: t.Results.Seed}
		for _, m := range t.Results.Sets() {
			if q.Set == "" || m.Set == q.Set {
				c.Sets = append(c.Sets, newSetCurve(m))
			}
		}
		all.Trials = append(all.Trials, c)
	}
	return all, nil
}

// newSetCurve puts the series of a set side by side.
func newSetCurve(m benchmark.SetMeasures) setCurve {
	c := setCurve{Set: m.Set, Epoch: []int{}}
	for _, s := range []benchmark.Series{m.Loss, m.Top1, m.Top5, m.Seconds} {
		for _, point := range s {
			c.Epoch = append(c.Epoch, point.Epoch)
		}
	}
	slices.Sort(c.Epoch)
	c.Epoch = slices.Compact(c.Epoch)
	c.Loss, c.Top1 = column(c.Epoch, m.Loss), column(c.Epoch, m.Top1)
	if len(m.Top5) > 0 {
		c.Top5 = column(c.Epoch, m.Top5)
	}
	if len(m.Seconds) > 0 {
		c.Seconds = column(c.Epoch, m.Seconds)
	}
	return c
}
