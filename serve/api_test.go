package serve

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"math"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/go-json-experiment/json"

	"nb201/cell"
	"nb201/configs"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/export"
	"nb201/results/lookup"
	"nb201/results/published"
	"nb201/results/resultstest"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan"
	"nb201/scheduler/state"
)

// asker asks a server, and compares its answers with the description of the API.
type asker struct {
	t      *testing.T
	base   string
	server *Server
	router routers.Router
}

// ask starts a server of the benchmark at path, which ends with the test.
func ask(t *testing.T, path string) *asker {
	t.Helper()
	hurry(t, 10*time.Second)
	s := serveAt(t, Options{Path: path})
	return &asker{t, "http://" + s.address, s.Server, describedAPI(t)}
}

// describedAPI returns the routes of the description, in which no field may be missing.
func describedAPI(t *testing.T) routers.Router {
	t.Helper()
	doc, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		t.Fatal(err)
	}
	if err := doc.Validate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, schema := range doc.Components.Schemas {
		forbidOthers(schema.Value)
	}
	router, err := gorillamux.NewRouter(doc)
	if err != nil {
		t.Fatal(err)
	}
	return router
}

// forbidOthers makes the objects of a schema refuse fields that it does not describe.
func forbidOthers(s *openapi3.Schema) {
	if s == nil {
		return
	}
	if len(s.Properties) > 0 && s.AdditionalProperties.Schema == nil {
		no := false
		s.AdditionalProperties.Has = &no
	}
	for _, below := range s.Properties {
		if below.Ref == "" {
			forbidOthers(below.Value)
		}
	}
	if s.Items != nil && s.Items.Ref == "" {
		forbidOthers(s.Items.Value)
	}
}

// get asks for a path, and returns the status code and the text of the answer. An answer that is not
// as described ends the test.
func (a *asker) get(path string) (int, []byte) {
	a.t.Helper()
	request, err := http.NewRequestWithContext(a.t.Context(), http.MethodGet, a.base+path, nil)
	if err != nil {
		a.t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		a.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	route, parameters, err := a.router.FindRoute(request)
	if err != nil {
		if response.StatusCode != http.StatusNotFound {
			a.t.Errorf("%s is not described, and answers %s", path, response.Status)
		}
		return response.StatusCode, text
	}
	input := &openapi3filter.RequestValidationInput{Request: request, PathParams: parameters, Route: route,
		Options: &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc}}
	if wrong := openapi3filter.ValidateRequest(a.t.Context(), input); wrong != nil && response.StatusCode == http.StatusOK {
		a.t.Errorf("%s is answered, but not as described: %v", path, wrong)
	}
	wrong := openapi3filter.ValidateResponse(a.t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: input, Status: response.StatusCode, Header: response.Header, Body: io.NopCloser(bytes.NewReader(text)),
		Options: &openapi3filter.Options{IncludeResponseStatus: true},
	})
	if wrong != nil {
		a.t.Errorf("%s: the answer is not as described: %v\n%.2000s", path, wrong, text)
	}
	return response.StatusCode, text
}

// read asks for a path and decodes the answer.
func read[T any](a *asker, path string) T {
	a.t.Helper()
	var v T
	status, text := a.get(path)
	if status != http.StatusOK {
		a.t.Fatalf("%s: status %d: %s", path, status, text)
	}
	if err := json.Unmarshal(text, &v); err != nil {
		a.t.Fatalf("%s: %v: %.2000s", path, err, text)
	}
	return v
}

// waitFor waits until the status is as wanted.
func (a *asker) waitFor(what string, want func(moment) bool) moment {
	a.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		now := read[moment](a, "/api/v1/status")
		if want(now) {
			return now
		}
		if time.Now().After(end) {
			a.t.Fatalf("%s: the status is not as wanted: %+v", what, now)
		}
	}
}

// waitRead waits until all trials have been read.
func (a *asker) waitRead(trials int) moment {
	a.t.Helper()
	return a.waitFor("reading", func(m moment) bool { return m.Data != "" && m.Trials == trials })
}

// grown makes a campaign with trials of several kinds.
func grown(t *testing.T) results.Campaign {
	t.Helper()
	trials := resultstest.Grid(0, 7, 4250)
	return resultstest.Fill(t, append(trials, results.Trial{Arch: 7, Dataset: "cifar10-valid", Epochs: 3, Seed: 999})...)
}

// paths returns requests of every kind for a benchmark.
func paths() []string {
	genotype := url.PathEscape("|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|")
	list := []string{
		"/api/v1", "/api/v1/openapi.json", "/api/v1/status", "/api/v1/failures", "/api/v1/failures?limit=1",
		"/api/v1/architectures", "/api/v1/architectures?limit=1&offset=1", "/api/v1/architectures?offset=1000000", "/api/v1/architectures?order=descending",
		"/api/v1/trials", "/api/v1/trials?architecture=7", "/api/v1/trials?architecture=8", "/api/v1/trials?architecture=" + genotype,
		"/api/v1/trials?dataset=cifar10", "/api/v1/trials?seed=777&limit=3", "/api/v1/trials?dataset=cifar10&schedule=2&seed=0",
	}
	for _, by := range []string{"architecture", "top1_percent", "flops_millions", "params_millions", "latency_seconds_per_batch_of_256", "training_seconds"} {
		list = append(list, "/api/v1/architectures?dataset=cifar10-valid&schedule=3&set=x-valid&order=descending&sort="+by)
	}
	for _, arch := range []string{"0", "7", "4250", genotype, "1", "15624", "15625", "-1", "x", "%2e%2e%2fplan.json"} {
		path := "/api/v1/architectures/" + arch
		list = append(list, path, path+"/curves", path+"?dataset=cifar10-valid&schedule=3&seed=777", path+"?epoch=0", path+"?epoch=2&set=train",
			path+"?set=x-valid", path+"/curves?dataset=cifar10-valid&set=x-valid", path+"?seed=1", path+"?dataset=svhn", path+"/curves?schedule=90")
	}
	return append(list,
		"/api/v1/architectures?dataset=cifar10-valid&schedule=3&max_flops_millions=100&max_params_millions=0.5",
		"/api/v1/architectures?limit=0", "/api/v1/architectures?limit=1001", "/api/v1/architectures?limit=x", "/api/v1/architectures?offset=-1",
		"/api/v1/architectures?sort=top1_percent", "/api/v1/architectures?sort=none", "/api/v1/architectures?order=none", "/api/v1/architectures?set=train",
		"/api/v1/architectures?dataset=svhn", "/api/v1/architectures?dataset=cifar10-valid&schedule=3&set=none", "/api/v1/architectures?max_flops_millions=-1",
		"/api/v1/architectures?dataset=cifar10-valid&schedule=3&sort=top1_percent",
		"/api/v1/architectures?colour=red", "/api/v1/architectures?dataset=a&dataset=b", "/api/v1/architectures/0?limit=1", "/api/v1?x=1", "/api/v1/status?x=1",
		"/api/v1/trials?architecture=15625", "/api/v1/trials?architecture=conv", "/api/v1/trials?seed=-1", "/api/v1/trials?seed=4294967296", "/api/v1/trials?%zz",
		"/api/v1/architectures/0?epoch=x", "/api/v1/architectures/0?epoch=-1", "/api/v1/architectures/0?epoch=99999",
	)
}

// Every answer is as described, in every state and format of a benchmark.
func TestDescription(t *testing.T) {
	full := grown(t)
	failures(t, full.Dir)
	empty := results.Campaign{Dir: t.TempDir()}
	if err := os.Mkdir(filepath.Join(empty.Dir, "trials"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name, path string
		trials     int
	}{
		{"campaign", full.Dir, trialsOf(t, full.Dir)},
		{"empty", empty.Dir, 0},
		{"csv", exportTo(t, full, published.CSV, filepath.Join(t.TempDir(), "csv")), trialsOf(t, full.Dir)},
		{"merged", exportTo(t, full, published.NASBench201, filepath.Join(t.TempDir(), "merged.pth")), trialsOf(t, full.Dir)},
	} {
		t.Run(c.name, func(t *testing.T) {
			a := ask(t, c.path)
			a.get("/api/v1")
			a.get("/api/v1/trials") // it may not have been read yet
			a.waitRead(c.trials)
			answered := 0
			for _, path := range paths() {
				if status, _ := a.get(path); status == http.StatusOK {
					answered++
				} else if status >= 500 {
					t.Errorf("%s: status %d", path, status)
				}
			}
			if c.trials > 0 && answered < 20 {
				t.Errorf("only %d requests are answered", answered)
			}
			for _, path := range []string{"/api/v1/nothing", "/api/v2", "/api", "/etc/passwd", "/plan.json", "/api/v1/architectures/0/weights"} {
				if status, _ := a.get(path); status != http.StatusNotFound {
					t.Errorf("%s: status %d", path, status)
				}
			}
		})
	}
}

// exportTo exports a campaign into a file or directory, and returns its path.
func exportTo(t *testing.T, c results.Campaign, format benchmark.Format, to string) string {
	t.Helper()
	b, err := published.Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	o := export.Options{Format: format, To: to}
	if format == published.NASBench201 {
		o.Less, o.Full = "2", "3"
	}
	if _, err := export.Run(t.Context(), b, o); err != nil {
		t.Fatal(err)
	}
	return to
}

// trialsOf counts the trials of a benchmark.
func trialsOf(t *testing.T, path string) (n int) {
	t.Helper()
	b, err := published.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	for a, err := range b.Architectures() {
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range a.Schedules {
			n += len(s.Results)
		}
	}
	return n
}

// failures gives a campaign a run with a worker in a trial, and failed trials.
func failures(t *testing.T, dir string) {
	t.Helper()
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	trial := results.Trial{Arch: 9, Dataset: "cifar10", Epochs: 12, Seed: 777}
	w := state.Worker{Device: "cpu", Trial: &trial, Attempt: 2, Stage: "train", Epoch: 3, Epochs: 12, Since: time.Now(), ImagesPerSecond: 1234.5, Log: "log"}
	for epoch := range 3 {
		w.AddPass(&state.Pass{Set: state.StageTraining, Epoch: epoch, Loss: 2, Top1: 20})
		w.AddPass(&state.Pass{Set: "ori-test", Epoch: epoch, Loss: 2, Top1: 20})
	}
	run := state.Run{Version: 2, Host: host, PID: os.Getpid(), Started: time.Now(), Workers: []state.Worker{w, {Device: "cpu", Index: 1, Stage: state.StageIdle, Since: time.Now()}}}
	if err := (results.Campaign{Dir: dir}).MakeDir("running"); err != nil {
		t.Fatal(err)
	}
	if err := run.Write(dir); err != nil {
		t.Fatal(err)
	}
	for arch, failed := range []bool{true, false, true} {
		f := attempt.Failure{Trial: results.Trial{Arch: arch, Dataset: "cifar100", Epochs: 200, Seed: 5}, TrialFailed: failed}
		f.Attempts = []attempt.FailedAttempt{{When: time.Unix(int64(arch), 0).UTC(), Host: "node\x1b[2J", Device: "cuda:0", Kind: attempt.Crashed, Reason: "<b>reason</b>\u202e"}}
		if err := f.Write(dir); err != nil {
			t.Fatal(err)
		}
	}
}

// A campaign of the size search space is asked by indices and by widths, even before its first trial.
func TestSizes(t *testing.T) {
	size := cell.Size{}
	c := resultstest.Fill(t,
		results.Trial{Space: size.Name(), Arch: 0, Dataset: "digits", Epochs: 1, Seed: 777},
		results.Trial{Space: size.Name(), Arch: 11, Dataset: "digits", Epochs: 1, Seed: 777})
	a := ask(t, c.Dir)
	a.waitRead(2)
	if about := read[index](a, "/api/v1"); about.Space != size.Name() || about.Datasets[0].Schedule != "01" {
		t.Errorf("%+v", about)
	}
	list := read[page[struct {
		Index    int    `json:"architecture"`
		Genotype string `json:"genotype"`
		Class    int    `json:"class"`
	}]](a, "/api/v1/architectures?dataset=digits&schedule=01&sort=flops_millions&order=descending")
	if list.Total != 2 || list.Items[0].Index != 11 || list.Items[0].Genotype != "8:8:8:16:32" || list.Items[0].Class != 11 {
		t.Errorf("%+v", list)
	}
	for _, path := range []string{"/api/v1/architectures/11", "/api/v1/architectures/8:8:8:16:32/curves", "/api/v1/trials?architecture=8:8:8:16:32"} {
		if code, text := a.get(path); code != http.StatusOK || !strings.Contains(string(text), `"architecture":11`) {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}
	genotype := url.PathEscape("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
	for path, want := range map[string]int{"/api/v1/architectures/" + genotype: 404, "/api/v1/architectures/64:64:64:64:64": 404, "/api/v1/trials?architecture=32768": 400} {
		if code, text := a.get(path); code != want {
			t.Errorf("%s: %d %s", path, code, text)
		}
	}

	archs, err := plan.ParseArchs(nil, "8:8:8:16:32")
	if err != nil {
		t.Fatal(err)
	}
	settings := configs.Published()
	settings.Channels, settings.Cells = size.Skeleton()
	p, err := plan.New(plan.Settings{Settings: settings}, plan.Selection{Archs: &archs, Datasets: []string{"digits"}, Epochs: []int{12}, Seeds: []uint32{777}}, "")
	dir := t.TempDir()
	if err := errors.Join(err, p.Write(dir)); err != nil {
		t.Fatal(err)
	}
	a = ask(t, dir)
	if about := read[index](a, "/api/v1"); about.Space != size.Name() {
		t.Errorf("before the first trial: %+v", about)
	}
}

// The lists have what the benchmark has, in the order asked for, part by part.
func TestLists(t *testing.T) {
	c := grown(t)
	failures(t, c.Dir)
	a := ask(t, c.Dir)
	a.waitRead(trialsOf(t, c.Dir))
	b, err := published.Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()

	about := read[index](a, "/api/v1")
	if about.Format != "campaign" || len(about.Datasets) == 0 || about.Program != "nb201 test" {
		t.Errorf("%+v", about)
	}
	for _, d := range about.Datasets {
		for i, s := range d.Sets {
			path := "/api/v1/architectures?" + url.Values{"dataset": {d.Dataset}, "schedule": {d.Schedule}, "set": {s.Set}, "sort": {"top1_percent"}, "order": {"descending"}}.Encode()
			list := read[page[struct {
				Index    int                `json:"architecture"`
				Genotype string             `json:"genotype"`
				FLOPs    float64            `json:"flops_millions"`
				Params   float64            `json:"params_millions"`
				Latency  float64            `json:"latency_seconds_per_batch_of_256"`
				Top1     map[string]float64 `json:"top1_percent"`
			}]](a, path)
			if list.Total != d.Architectures || len(list.Items) != d.Architectures || i == 0 && s.Set != benchmark.TrainingSet {
				t.Errorf("%s: %d of %d architectures of %+v", path, len(list.Items), list.Total, d)
			}
			before := math.Inf(1)
			for _, row := range list.Items {
				r, err := b.QueryMetaInfoByIndex(row.Index, d.Schedule)
				if err != nil {
					t.Fatal(err)
				}
				m, err := r.Metrics(d.Dataset, s.Set, benchmark.Last, benchmark.Mean())
				if err != nil {
					t.Fatal(err)
				}
				costs, err := r.ComputeCosts(d.Dataset)
				if err != nil {
					t.Fatal(err)
				}
				if got := row.Top1[s.Set]; math.Abs(got-m.Accuracy) > 1e-9 || got > before || len(row.Top1) != 1 {
					t.Errorf("%s: architecture %d: accuracy %v after %v, want %v", path, row.Index, row.Top1, before, m.Accuracy)
				}
				if row.FLOPs != costs.FLOPs || row.Params != costs.Params || row.Genotype != r.Genotype || costs.Latency != nil && math.Abs(row.Latency-*costs.Latency) > 1e-12 {
					t.Errorf("%s: %+v, want costs %+v", path, row, costs)
				}
				before = row.Top1[s.Set]
			}
		}
	}

	var trials []trialRow
	for offset := 0; ; offset += 4 {
		part := read[page[trialRow]](a, "/api/v1/trials?limit=4&offset="+strconv.Itoa(offset))
		trials = append(trials, part.Items...)
		if len(part.Items) < 4 {
			if part.Total != len(trials) {
				t.Errorf("%d trials of %d", len(trials), part.Total)
			}
			break
		}
	}
	if len(trials) != trialsOf(t, c.Dir) {
		t.Errorf("%d trials", len(trials))
	}
	for _, row := range trials {
		r, err := c.Record(results.Trial{Arch: row.Index, Dataset: row.Dataset, Epochs: row.Epochs, Seed: row.Seed})
		if err != nil {
			t.Fatal(err)
		}
		last := r.Epochs - 1
		if row.FLOPs != r.FLOPs || row.Measured[0].Top1 != r.Train.Top1[last] || row.Measured[0].Loss != r.Train.Loss[last] || len(row.Measured) != 1+len(r.Eval) {
			t.Errorf("%+v is not as its record", row)
		}
	}

	failed := read[page[attempt.Failure]](a, "/api/v1/failures")
	if failed.Total != 3 || failed.Items[1].TrialFailed || failed.Items[0].Attempts[0].Host != `node\x1b[2J` || failed.Items[0].Attempts[0].Reason != `<b>reason</b>\u202e` {
		t.Errorf("%+v", failed)
	}
	now := read[moment](a, "/api/v1/status")
	if now.Failures != 3 || len(now.Campaign.Failures) != 3 || now.Campaign.Failures[0].Trial.Arch != 2 || now.Campaign.Failures[2].Trial.Arch != 1 ||
		now.Campaign.Totals.Running != 1 || len(now.Campaign.Runs[0].Workers[0].Curves) != 2 {
		t.Errorf("%+v", now)
	}
}

// The answers about an architecture are those of a query, and its curves those of its trials.
func TestArchitecture(t *testing.T) {
	c := grown(t)
	a := ask(t, c.Dir)
	b, err := published.Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	seed := uint32(888)
	for query, q := range map[string]lookup.Question{
		"": {Epoch: benchmark.Last}, "?epoch=1": {Epoch: 1}, "?dataset=cifar10-valid&schedule=3": {Dataset: "cifar10-valid", Schedule: "3", Epoch: benchmark.Last},
		"?seed=888&set=x-valid": {Seed: &seed, Set: "x-valid", Epoch: benchmark.Last}, "?set=train&epoch=0": {Set: "train"},
	} {
		want, err := q.Ask(b, "7")
		if err != nil {
			t.Fatal(err)
		}
		expected, err := json.Marshal(want)
		if err != nil {
			t.Fatal(err)
		}
		if _, text := a.get("/api/v1/architectures/7" + query); !bytes.Equal(text, expected) {
			t.Errorf("%s: %s\nwant %s", query, text, expected)
		}
	}
	curves := read[curvesAnswer](a, "/api/v1/architectures/7/curves")
	if len(curves.Trials) < 4 {
		t.Fatalf("%d trials", len(curves.Trials))
	}
	for _, trial := range curves.Trials {
		r, err := c.Record(results.Trial{Arch: 7, Dataset: trial.Dataset, Epochs: trial.Epochs, Seed: trial.Seed})
		if err != nil {
			t.Fatal(err)
		}
		for i, set := range trial.Sets {
			want, first := r.Train.Curve, 0
			if i > 0 {
				want, first = r.Eval[i-1].Curve, r.Eval[i-1].FirstEpoch
			}
			if set.Epoch[0] != first || len(set.Epoch) != len(want.Loss) || !slices.Equal(set.Loss, want.Loss) || !slices.Equal(set.Top1, want.Top1) ||
				!slices.Equal(set.Top5, want.Top5) || !slices.Equal(set.Seconds, want.Seconds) {
				t.Errorf("%+v: %+v, want %+v", trial.Dataset, set, want)
			}
		}
	}
	one := read[curvesAnswer](a, "/api/v1/architectures/7/curves?dataset=cifar10-valid&schedule=3&seed=888&set=x-valid")
	if len(one.Trials) != 1 || len(one.Trials[0].Sets) != 1 || one.Trials[0].Sets[0].Set != "x-valid" {
		t.Errorf("%+v", one)
	}
}

// Series with gaps have null where they have nothing.
func TestColumns(t *testing.T) {
	m := benchmark.SetMeasures{Set: "s"}
	m.Top1 = benchmark.Series{{Epoch: 0, Value: 1}, {Epoch: 5, Value: math.NaN()}}
	m.Loss = benchmark.Series{{Epoch: 5, Value: 1e-300}, {Epoch: 7, Value: math.Inf(1)}}
	text, err := encode(newSetCurve(m))
	if err != nil {
		t.Fatal(err)
	}
	if want := `{"set":"s","epoch":[0,5,7],"loss":[null,1e-300,null],"top1_percent":[1,null,null]}`; string(text) != want {
		t.Errorf("%s, not %s", text, want)
	}
}

// The server follows a campaign from its first trial on.
func TestFollow(t *testing.T) {
	dir := t.TempDir()
	c := results.Campaign{Dir: dir}
	if err := os.Mkdir(filepath.Join(dir, "trials"), 0o777); err != nil {
		t.Fatal(err)
	}
	a := ask(t, dir)
	versions := map[string]bool{a.waitRead(0).Data: true}
	for i, arch := range []int{5, 3, 5} {
		r := resultstest.Record(t, results.Trial{Arch: arch, Dataset: "cifar10", Epochs: 12, Seed: uint32(i)})
		if err := c.Publish(r, nil); err != nil {
			t.Fatal(err)
		}
		now := a.waitRead(i + 1)
		versions[now.Data] = true
		if len(versions) != i+2 {
			t.Errorf("%d trials: version %s, of %d", i+1, now.Data, len(versions))
		}
		if list := read[page[archRow]](a, "/api/v1/architectures"); list.Total != now.Architectures || list.Total != min(i+1, 2) {
			t.Errorf("%d architectures in the list, %d in the status", list.Total, now.Architectures)
		}
		if status, text := a.get("/api/v1/architectures/" + strconv.Itoa(arch)); status != http.StatusOK {
			t.Errorf("architecture %d: %s", arch, text)
		}
	}
	if err := os.RemoveAll(filepath.Join(dir, "trials", "000005")); err != nil {
		t.Fatal(err)
	}
	a.waitRead(1)
	if status, _ := a.get("/api/v1/architectures/5"); status != http.StatusNotFound {
		t.Errorf("architecture 5 is gone, but the status is %d", status)
	}
}

// The page is sent in parts that browsers keep until they change.
func TestPage(t *testing.T) {
	a := ask(t, grown(t).Dir)
	a.waitRead(trialsOf(t, a.server.source.path))
	for _, path := range []string{"/", "/page.css", "/page.js", "/library.js", "/data"} {
		response, err := http.Get(a.base + path)
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || len(text) == 0 || response.ContentLength != int64(len(text)) {
			t.Errorf("%s: %s, %d bytes, error %v", path, response.Status, len(text), err)
		}
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, a.base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("If-None-Match", response.Header.Get("ETag"))
		again, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		again.Body.Close()
		if again.StatusCode != http.StatusNotModified {
			t.Errorf("%s again: %s", path, again.Status)
		}
	}
}

// Metrics have what the status has.
func TestServeMetrics(t *testing.T) {
	c := grown(t)
	failures(t, c.Dir)
	a := ask(t, c.Dir)
	a.waitFor("status", func(m moment) bool { return m.Campaign != nil })
	a.get("/api/v1/trials")
	response, err := http.Get(a.base + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s, %v", response.Status, err)
	}
	for _, want := range []string{
		`nb201_build_info{version="nb201 test"} 1`, `nb201_trials{dataset="cifar10-valid",epochs="3",schedule="3",state="done"}`, `nb201_serve_benchmark_missing 0`,
		`nb201_trials_with_failures 3`, `nb201_worker_images_per_second{device="cpu",host="`, `} 1234.5`, `nb201_serve_streams 0`,
		`nb201_serve_requests_total{code="200",route="/api/v1/status"}`, `nb201_serve_request_seconds_bucket{route="/api/v1/trials"`,
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %s in\n%s", want, text)
		}
	}
}

// A stream sends the status at once, and each time that it changes.
func TestEvents(t *testing.T) {
	c := grown(t)
	a := ask(t, c.Dir)
	response, err := http.Get(a.base + "/api/v1/events") //nolint:bodyclose // it is closed below
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Errorf("content type %s", kind)
	}
	events := make(chan moment, 1000)
	go func() {
		defer close(events)
		var buffer bytes.Buffer
		part := make([]byte, 4096)
		for {
			n, err := response.Body.Read(part)
			buffer.Write(part[:n])
			for {
				event, rest, whole := bytes.Cut(buffer.Bytes(), []byte("\n\n"))
				if !whole {
					break
				}
				var m moment
				text, isStatus := bytes.CutPrefix(event, []byte("event: status\ndata: "))
				if isStatus && json.Unmarshal(text, &m) == nil {
					events <- m
				}
				buffer = *bytes.NewBuffer(slices.Clone(rest))
			}
			if err != nil {
				return
			}
		}
	}()
	trials := trialsOf(t, c.Dir)
	want := func(what string, is func(moment) bool) {
		t.Helper()
		for late := time.After(time.Minute); ; {
			select {
			case m, more := <-events:
				if !more {
					t.Fatalf("%s: the stream has ended", what)
				}
				if is(m) {
					return
				}
			case <-late:
				t.Fatalf("%s: no event shows it", what)
			}
		}
	}
	want("all trials", func(m moment) bool { return m.Trials == trials })
	if err := c.Publish(resultstest.Record(t, results.Trial{Arch: 11, Dataset: "cifar10", Epochs: 12, Seed: 1}), nil); err != nil {
		t.Fatal(err)
	}
	want("another trial", func(m moment) bool { return m.Trials == trials+1 })
	failures(t, c.Dir)
	want("failures", func(m moment) bool { return m.Failures == 3 })
	want("a running trial", func(m moment) bool { return m.Campaign.Totals.Running == 1 })
}

// The description names every route that answers, and no other.
func TestRoutes(t *testing.T) {
	doc, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		t.Fatal(err)
	}
	described := slices.Sorted(maps.Keys(doc.Paths.Map()))
	var routes []string
	for pattern := range new(api).routes() {
		routes = append(routes, pattern)
	}
	routes = append(routes, "/api/v1/events")
	if slices.Sort(routes); !slices.Equal(described, routes) {
		t.Errorf("described %q, answered %q", described, routes)
	}
}

// Answers are kept until trials finish, in bounded memory, and never instead of others.
func TestAnswersAreKept(t *testing.T) {
	c := grown(t)
	a := ask(t, c.Dir)
	all := trialsOf(t, c.Dir)
	a.waitRead(all)
	const path = "/api/v1/trials?architecture=7"
	first, _ := a.get(path)
	d := a.server.live.data.Load()
	if kept := len(d.answers.texts); first != http.StatusOK || kept != 1 {
		t.Errorf("status %d, %d answers are kept", first, kept)
	}
	for _, path := range []string{"/api/v1/status", "/api/v1/failures", "/api/v1", "/api/v1/trials?architecture=x", "/api/v1/architectures/8"} {
		a.get(path)
	}
	if kept := len(d.answers.texts); kept != 1 {
		t.Errorf("%d answers are kept", kept)
	}
	before := read[page[trialRow]](a, path).Total
	if err := c.Publish(resultstest.Record(t, results.Trial{Arch: 7, Dataset: "cifar10", Epochs: 2, Seed: 5}), nil); err != nil {
		t.Fatal(err)
	}
	a.waitRead(all + 1)
	if after := read[page[trialRow]](a, path).Total; after != before+1 {
		t.Errorf("%d trials, and after another one %d", before, after)
	}
	text := make([]byte, maxAnswer-1000)
	for i := range 100 {
		d.keep(&http.Request{URL: &url.URL{Path: "/" + strconv.Itoa(i)}}, text)
		if d.answers.bytes > maxAnswers || len(d.answers.texts) > 17 {
			t.Fatalf("%d answers of %d bytes are kept", len(d.answers.texts), d.answers.bytes)
		}
	}
	d.keep(&http.Request{URL: &url.URL{Path: "/large"}}, make([]byte, maxAnswer))
	if d.kept(&http.Request{URL: &url.URL{Path: "/large"}}) != nil || d.kept(&http.Request{URL: &url.URL{Path: "/99"}}) == nil {
		t.Error("the largest answer is kept, or the last one is not")
	}
}
