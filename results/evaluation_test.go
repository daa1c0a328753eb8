package results_test

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nb201/internal/seal"
	"nb201/internal/usage"
	. "nb201/results"
	"nb201/results/resultstest"
)

// someHash is the SHA-256 of some weights.
var someHash = strings.Repeat("0a", 32)

// evaluated returns an empty campaign of evaluations on the dataset own, and the record of an evaluation
// of the trial.
func evaluated(t testing.TB) (Campaign, *EvaluationRecord) {
	t.Helper()
	return EvaluationsOn(t.TempDir(), "own"), resultstest.Evaluation(t, trial, someHash)
}

// planOf returns the plan of which r is a record.
func planOf(r *EvaluationRecord) *EvaluationPlan {
	return &EvaluationPlan{
		FormatVersion: EvaluationVersion, Source: ".", Dataset: "own", Definition: r.Definition, DataFiles: r.DataFiles, Batch: r.Batch,
	}
}

// An evaluation is published once, and reads back as it was; what a killed process left is removed.
func TestPublishEvaluation(t *testing.T) {
	c, r := evaluated(t)
	if done, err := c.Done(trial); done || err != nil {
		t.Fatal(done, err)
	}
	if err := c.Check(trial); err != nil {
		t.Fatal(err)
	}
	left := filepath.Join(filepath.Dir(c.RecordPath(trial)), "."+filepath.Base(c.RecordPath(trial))+".LEFTOVER.tmp")
	if err := errors.Join(os.MkdirAll(filepath.Dir(left), 0o777), os.WriteFile(left, nil, 0o666)); err != nil {
		t.Fatal(err)
	}
	if err := c.PublishEvaluation(r); err != nil {
		t.Fatal(err)
	}
	if got := filesIn(t, c.Dir); !slices.Equal(got, []string{"trials/" + trial.Path() + ".json"}) {
		t.Errorf("it left %q", got)
	}
	got, err := c.Evaluation(trial)
	if err != nil {
		t.Fatal(err)
	}
	first, err1 := got.Encode()
	want, err2 := r.Encode()
	if err1 != nil || err2 != nil || !bytes.Equal(first, want) {
		t.Errorf("it reads back as %s (%v, %v)", first, err1, err2)
	}
	if done, err := c.Done(trial); !done || err != nil {
		t.Error(done, err)
	}
	if err := c.Check(trial); !errors.Is(err, ErrDone) {
		t.Error(err)
	}
	r.Sets[0].Loss++
	if err := c.PublishEvaluation(r); !errors.Is(err, ErrDone) {
		t.Error(err)
	}
	if text, err := os.ReadFile(c.RecordPath(trial)); err != nil || !bytes.Equal(text, want) {
		t.Errorf("the record changed: %s (%v)", text, err)
	}
}

// Of several processes that evaluate a trial, one publishes it.
func TestPublishEvaluationTogether(t *testing.T) {
	c, r := evaluated(t)
	var group sync.WaitGroup
	published := make(chan error, 8)
	for range cap(published) {
		group.Go(func() { published <- c.PublishEvaluation(r) })
	}
	group.Wait()
	close(published)
	n := 0
	for err := range published {
		if err == nil {
			n++
		} else if !errors.Is(err, ErrDone) {
			t.Error(err)
		}
	}
	if n != 1 {
		t.Errorf("%d published", n)
	}
}

// Records that cannot be written or read are refused, and name what is wrong.
func TestEvaluationRefuses(t *testing.T) {
	c, _ := evaluated(t)
	for what, change := range map[string]func(r *EvaluationRecord){
		"format_version is 2":                  func(r *EvaluationRecord) { r.FormatVersion = 2 },
		"architecture index 15625":             func(r *EvaluationRecord) { r.Trial.Arch = 15625 },
		"dataset_definition is not":            func(r *EvaluationRecord) { r.Definition = []byte("[]") },
		"batch is 0":                           func(r *EvaluationRecord) { r.Batch = 0 },
		"a version is missing":                 func(r *EvaluationRecord) { r.Versions.Plugin = "" },
		"precision, device":                    func(r *EvaluationRecord) { r.Device = "" },
		"attempts or finished":                 func(r *EvaluationRecord) { r.Attempts = 0 },
		"finished is missing":                  func(r *EvaluationRecord) { r.Finished = time.Time{} },
		"weights_sha256 is \"0A\"":             func(r *EvaluationRecord) { r.WeightsSHA256 = "0A" },
		"evaluation is empty":                  func(r *EvaluationRecord) { r.Sets = nil },
		"evaluation set noise is listed twice": func(r *EvaluationRecord) { r.Sets[1].Set = "noise" },
		"evaluation set \"a/b\"":               func(r *EvaluationRecord) { r.Sets[0].Set = "a/b" },
		"noise":                                func(r *EvaluationRecord) { r.Sets[0].Top1 = 101 },
		"blur":                                 func(r *EvaluationRecord) { r.Sets[1].Loss = -1 },
		"not a whole number of the 100 images": func(r *EvaluationRecord) { r.Sets[0].Top1 += 0.5 },
		"less than the top-1 accuracy":         func(r *EvaluationRecord) { r.Sets[1].Top5 = 1 },
		"the least that is possible":           func(r *EvaluationRecord) { r.Sets[1].Loss = 0.01 },
		"do not print":                         func(r *EvaluationRecord) { r.Device = "c\ap" },
	} {
		_, r := evaluated(t)
		change(r)
		if err := c.PublishEvaluation(r); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if files := filesIn(t, c.Dir); len(files) > 0 {
		t.Errorf("%q were written", files)
	}
}

// A damaged record, or that of another trial, is renamed and published again. One of a later version, and
// one that cannot be reached, stays.
func TestDamagedEvaluation(t *testing.T) {
	other := trial
	other.Seed++
	for name, test := range map[string]struct {
		change  func(t *testing.T, text []byte) []byte
		damaged bool
		want    string
	}{
		"empty":       {func(*testing.T, []byte) []byte { return nil }, true, "is damaged"},
		"cut short":   {func(_ *testing.T, text []byte) []byte { return text[:len(text)/2] }, true, "is damaged"},
		"unsealed":    {func(*testing.T, []byte) []byte { return []byte("{}\n") }, true, "SHA-256"},
		"unknown key": {func(*testing.T, []byte) []byte { return seal.Seal([]byte("{\n  \"own\": 1\n}")) }, true, "own"},
		"another trial": {func(t *testing.T, _ []byte) []byte {
			text, err := resultstest.Evaluation(t, other, someHash).Encode()
			if err != nil {
				t.Fatal(err)
			}
			return text
		}, true, "contains the evaluation of another trial"},
		"later version": {func(t *testing.T, text []byte) []byte {
			return []byte(resealed(t, string(text), `"format_version": 1`, `"format_version": 2`))
		}, false, "later version of nb201, with format version 2"},
	} {
		c, r := evaluated(t)
		if err := c.PublishEvaluation(r); err != nil {
			t.Fatal(err)
		}
		text, err := os.ReadFile(c.RecordPath(trial))
		if err != nil {
			t.Fatal(err)
		}
		changed := test.change(t, text)
		if err := os.WriteFile(c.RecordPath(trial), changed, 0o666); err != nil {
			t.Fatal(err)
		}
		_, err = c.Evaluation(trial)
		if err == nil || !usage.Is(err) || errors.Is(err, ErrDamaged) != test.damaged || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s: %v", name, err)
		}
		found, err := c.Damaged(t.Context(), []Trial{trial}, true)
		if (found[trial] != nil) != test.damaged || (err == nil) != test.damaged {
			t.Errorf("%s: found %v, %v", name, found, err)
		}
		err = c.PublishEvaluation(r)
		aside, missing := os.ReadFile(c.RecordPath(trial) + ".damaged")
		if (err == nil) != test.damaged || (missing == nil) != test.damaged || missing == nil && !bytes.Equal(aside, changed) {
			t.Errorf("%s: published: %v; %d bytes aside, %v", name, err, len(aside), missing)
		}
		if now, err := os.ReadFile(c.RecordPath(trial)); test.damaged && (err != nil || !bytes.Equal(now, text)) {
			t.Errorf("%s: the record is %q (%v)", name, now, err)
		}
	}
}

// Every flipped bit of an evaluation record is found.
func TestFlippedBitsOfEvaluation(t *testing.T) {
	c, r := evaluated(t)
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	path := c.RecordPath(trial)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	for i := range text {
		bit := byte(1 << (i % 8))
		text[i] ^= bit
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Evaluation(trial); !errors.Is(err, ErrDamaged) {
			t.Fatalf("bit %d of byte %d: %v", i%8, i, err)
		}
		text[i] ^= bit
	}
}

// Links in a campaign from a stranger's archive do not lead a record outside of it.
func TestEvaluationLinks(t *testing.T) {
	c, r := evaluated(t)
	outside := t.TempDir()
	folder := filepath.Dir(c.RecordPath(trial))
	if err := errors.Join(os.MkdirAll(filepath.Dir(folder), 0o777), os.Symlink(outside, folder)); err != nil {
		t.Fatal(err)
	}
	if err := c.PublishEvaluation(r); err == nil {
		t.Error("it was published through a link")
	}
	if files := filesIn(t, outside); len(files) > 0 {
		t.Errorf("%q were written outside", files)
	}
	if err := errors.Join(os.Remove(folder), os.Mkdir(folder, 0o777), os.Symlink("nowhere", c.RecordPath(trial))); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Done(trial); !errors.Is(err, ErrDamaged) {
		t.Errorf("a dangling link: %v", err)
	}
}

// A record is renamed only while it is stale, however many processes find it stale at once.
func TestMoveStale(t *testing.T) {
	c, r := evaluated(t)
	now := strings.Repeat("1b", 32) // of the weights
	isStale := func(r *EvaluationRecord) bool { return r.WeightsSHA256 != now }
	if to, err := c.MoveStale(trial, isStale); to != "" || err != nil {
		t.Error(to, err)
	}
	if err := c.PublishEvaluation(r); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	moved := 0
	for range 8 {
		group.Go(func() {
			to, err := c.MoveStale(trial, isStale)
			if err == nil && to != "" { // as the next attempt does
				err = c.PublishEvaluation(resultstest.Evaluation(t, trial, now))
			}
			mu.Lock()
			defer mu.Unlock()
			if to != "" {
				moved++
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got, err := c.Evaluation(trial); moved != 1 || err != nil || got.WeightsSHA256 != now {
		t.Errorf("renamed %d times, and now %v, %v", moved, got, err)
	}
	if want := []string{"trials/" + trial.Path() + ".json", "trials/" + trial.Path() + ".json.damaged"}; !slices.Equal(filesIn(t, c.Dir), want) {
		t.Errorf("%q", filesIn(t, c.Dir))
	}
}

// A plan reads back, and refuses what would make it another one.
func TestEvaluationPlan(t *testing.T) {
	c, r := evaluated(t)
	p := planOf(r)
	if _, err := ReadEvaluationPlan(c.Dir); !errors.Is(err, fs.ErrNotExist) {
		t.Error(err)
	}
	if err := p.Write(c); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(c.Dir, "evaluation.json")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	back, err := ReadEvaluationPlan(c.Dir)
	if err != nil || back.Source != "." || back.SourceIn("here") != "here" || back.Batch != p.Batch || p.Refuse(r) != nil {
		t.Fatalf("%+v, %v, %v", back, err, p.Refuse(r))
	}
	moved := *p
	if moved.Source = "/elsewhere"; moved.Write(c) != nil {
		t.Error("a plan with another source is not written")
	}
	for what, change := range map[string]func(p *EvaluationPlan){
		"batch": func(p *EvaluationPlan) { p.Batch++ },
		"data": func(p *EvaluationPlan) {
			p.DataFiles = []File{{Name: p.DataFiles[0].Name, SHA256: strings.Repeat("1b", 32)}}
		},
		"mean": func(p *EvaluationPlan) { p.Definition = []byte(strings.Replace(string(p.Definition), "125", "124", 1)) },
		"noise": func(p *EvaluationPlan) {
			p.Definition = []byte(strings.Replace(string(p.Definition), "noise", "fog", 1))
		},
	} {
		other := *planOf(r)
		change(&other)
		if err := other.Write(c); !errors.Is(err, ErrOtherEvaluations) || !usage.Is(err) || !strings.Contains(err.Error(), what) {
			t.Errorf("another %s: %v", what, err)
		}
		if err := other.Refuse(r); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("another %s: the record is refused with %v", what, err)
		}
	}
	for _, wrong := range []struct{ old, new, want string }{
		{`"format_version": 1`, `"format_version": 2`, `version 2 is not supported`},
		{`"source": "."`, `"source": "relative"`, `"relative" is neither an absolute path nor "."`},
		{`"dataset": "own"`, `"dataset": "other"`, `restore the directory's name`},
		{`"dataset": "own"`, `"dataset": "a/b"`, `key "dataset"`},
		{`"batch": 256`, `"batch": 0`, `use at least 1`},
		{`"batch": 256`, `"bach": 256`, `bach`},
		{`"sha256": "`, `"sha256": "x`, `64 lower-case hexadecimal digits are required`},
		{string(text[100:]), "", "evaluation.json"}, // cut short
	} {
		if err := os.WriteFile(path, bytes.Replace(text, []byte(wrong.old), []byte(wrong.new), 1), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadEvaluationPlan(c.Dir); err == nil || !usage.Is(err) || !strings.Contains(err.Error(), wrong.want) || !strings.Contains(err.Error(), path) {
			t.Errorf("%.40s: %v", wrong.new, err)
		}
	}
}

// Of two processes that begin to evaluate with different settings at once, one is refused.
func TestEvaluationPlansTogether(t *testing.T) {
	c, r := evaluated(t)
	var group sync.WaitGroup
	var mu sync.Mutex
	written := map[int]bool{}
	for i := range 6 {
		group.Go(func() {
			p := planOf(r)
			p.Batch += i % 3
			err := p.Write(c)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				written[p.Batch] = true
			} else if !errors.Is(err, ErrOtherEvaluations) {
				t.Error(err)
			}
		})
	}
	group.Wait()
	p, err := ReadEvaluationPlan(c.Dir)
	if err != nil || len(written) != 1 || !written[p.Batch] {
		t.Errorf("plans with batches %v were written, and %v is in force (%v)", written, p, err)
	}
}

// Evaluations are found from every path that leads to them, and only there.
func TestEvaluationPaths(t *testing.T) {
	_, r := evaluated(t)
	root, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Chdir(root)
	for dir, planned := range map[string]bool{"c": true, "moved/c": true, "strange": false} {
		c := EvaluationsOn(dir, "own")
		if err := os.MkdirAll(filepath.Join(c.Dir, "trials", "000004", "digits"), 0o777); err != nil {
			t.Fatal(err)
		}
		if planned {
			if err := planOf(r).Write(c); err != nil {
				t.Fatal(err)
			}
		}
	}
	stray := filepath.Join(root, "home")
	if err := errors.Join(
		os.MkdirAll("c/trials/000004", 0o777), os.Symlink("c/evaluations/own", "linked"), os.Symlink("c", "all"),
		os.MkdirAll("onDisk", 0o777), os.Symlink("../moved/c/evaluations", "onDisk/evaluations"),
		os.MkdirAll("c/evaluations/a b", 0o777), os.WriteFile("c/evaluations/file", nil, 0o666),
		os.MkdirAll(filepath.Join(stray, "results"), 0o777), os.WriteFile(filepath.Join(stray, "evaluation.json"), []byte("{}"), 0o666),
	); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{
		"c/evaluations/own": "c", "all/evaluations/own": "all", "linked": filepath.Join(root, "c"), filepath.Join(root, "c/evaluations/own"): filepath.Join(root, "c"),
		"onDisk/evaluations/own": "onDisk", "c/evaluations": "", "c": "", "strange/evaluations/own": "", "home": "", "none": "",
	} {
		if got, key := EvaluationsAround(dir); got != want || (key == "own") != (want != "") {
			t.Errorf("around %s on %q are %q, want %q", dir, key, got, want)
		}
		if kind := CampaignAt(dir).Kind; (kind == Evaluated) != (want != "") {
			t.Errorf("%s is of the kind %q", dir, kind)
		}
		if _, err := ReadEvaluationPlan(dir); (err == nil) != (want != "") {
			t.Errorf("the plan of %s: %v", dir, err)
		}
	}
	for path, want := range map[string]string{
		"c/evaluations/own/trials/000004/digits/0012-0777.json": "c", "c/evaluations/own/evaluation.json": "c", "c/evaluations/none": "c", "c/evaluations": "c",
		"moved/c/evaluations": "moved/c", "linked/trials": filepath.Join(root, "c"), "strange/evaluations/own": "", "home/results": "", "home/evaluation.json": "",
	} {
		if got := CampaignOf(path); got != want {
			t.Errorf("%s is part of %q, want %q", path, got, want)
		}
	}
	for dir, want := range map[string][]string{"c": {"own"}, "all": {"own"}, "onDisk": {"own"}, "strange": nil, "none": nil, "c/evaluations/file": nil} {
		if got, err := ListEvaluations(dir); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %q, %v", dir, got, err)
		}
	}
	t.Chdir("linked")
	if got, _ := EvaluationsAround("."); got != filepath.Join(root, "c") && got != filepath.Join("..", "..") {
		t.Errorf("around . are %q", got)
	}
	if _, err := ReadEvaluationPlan("."); err != nil {
		t.Error(err)
	}
}

// A source is the benchmark itself if that is below the directory of the evaluations, whatever its path.
func TestEvaluationSource(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	if err := errors.Join(os.Mkdir("c", 0o777), os.Mkdir("d", 0o777), os.Symlink("c", "link")); err != nil {
		t.Fatal(err)
	}
	set := func(source, dir string) *EvaluationPlan {
		t.Helper()
		p := new(EvaluationPlan)
		if err := p.SetSource(source, dir); err != nil {
			t.Fatal(err)
		}
		return p
	}
	for _, same := range [][2]string{{"c", "c"}, {"c/", "./c"}, {"link", "c"}, {"c", "link"}, {filepath.Join(root, "c"), "c"}} {
		if p := set(same[0], same[1]); p.Source != "." || p.SourceIn("c") != "c" {
			t.Errorf("%q: %+v", same, p)
		}
	}
	p := set("c", "d")
	if !filepath.IsAbs(p.Source) || p.SourceIn("d") != p.Source || !p.SameSource(set("link", "d"), "d") || p.SameSource(set("d", "none"), "d") {
		t.Errorf("%+v", p)
	}
	if p.IsSourceGone("d") || os.Remove("c") != nil || !p.IsSourceGone("d") {
		t.Error("it is gone when it exists, or the reverse")
	}
}

// A watcher reports evaluations that appear, change and go.
func TestWatcherOfEvaluations(t *testing.T) {
	dir := t.TempDir()
	base := Campaign{Dir: dir}
	for _, arch := range []int{3, 5} {
		if err := os.MkdirAll(filepath.Join(archDir(dir, arch), "digits"), 0o777); err != nil {
			t.Fatal(err)
		}
	}
	w, alone := base.Watch(), base.Watch()
	check := func(what string, want ...int) {
		t.Helper()
		changed, _, err := w.Changed(t.Context())
		if err != nil || !slices.Equal(changed, want) {
			t.Errorf("%s: changed %v, %v; want %v", what, changed, err, want)
		}
		if changed, _, err := w.Changed(t.Context()); err != nil || len(changed) > 0 {
			t.Errorf("%s: then %v, %v", what, changed, err)
		}
	}
	check("the trials", 3, 5)
	publish := func(key string, arch int) Trial {
		t.Helper()
		of := Trial{Arch: arch, Dataset: "digits", Epochs: 2, Seed: 1}
		r := resultstest.Evaluation(t, of, someHash)
		p := planOf(r)
		p.Dataset = key
		c := EvaluationsOn(dir, key)
		if err := errors.Join(p.Write(c), c.PublishEvaluation(r)); err != nil {
			t.Fatal(err)
		}
		return of
	}
	of := publish("a", 3)
	check("the first evaluation", 3)
	publish("b", 3)
	publish("b", 5)
	publish("b", 9) // no trial of the campaign
	check("another dataset", 3, 5)
	if changed, err := alone.ChangedEvaluations(t.Context()); err != nil || !slices.Equal(changed, []int{3, 5, 9}) {
		t.Errorf("alone: %v, %v", changed, err)
	}
	path := EvaluationsOn(dir, "a").RecordPath(of)
	if err := os.Rename(path, path+".damaged"); err != nil {
		t.Fatal(err)
	}
	check("a renamed record", 3)
	if err := os.RemoveAll(filepath.Join(dir, "evaluations", "b")); err != nil {
		t.Fatal(err)
	}
	check("a dataset that is gone", 3, 5)
	if changed, err := alone.ChangedEvaluations(t.Context()); err != nil || !slices.Equal(changed, []int{3, 5, 9}) {
		t.Errorf("alone, gone: %v, %v", changed, err)
	}
	check("nothing")
}

// A watcher that could not read the evaluations on one dataset reports those on others later.
func TestWatcherKeepsChanges(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(archDir(dir, 3), "digits"), 0o777); err != nil {
		t.Fatal(err)
	}
	w := Campaign{Dir: dir}.Watch()
	if _, _, err := w.Changed(t.Context()); err != nil {
		t.Fatal(err)
	}
	c, r := EvaluationsOn(dir, "a"), resultstest.Evaluation(t, Trial{Arch: 3, Dataset: "digits", Epochs: 2, Seed: 1}, someHash)
	p := planOf(r)
	p.Dataset = "a"
	if err := errors.Join(p.Write(c), c.PublishEvaluation(r)); err != nil {
		t.Fatal(err)
	}
	other := planOf(r)
	other.Dataset = "b"
	z := EvaluationsOn(dir, "b")
	if err := errors.Join(other.Write(z), os.Mkdir(filepath.Join(z.Dir, "trials"), 0o777),
		os.Symlink(strings.Repeat("x", 300), filepath.Join(z.Dir, "trials", "000003"))); err != nil {
		t.Fatal(err)
	}
	for range 30 { // which of the datasets is first, is random
		if changed, _, err := w.Changed(t.Context()); err == nil {
			t.Fatalf("changed %v, and no error", changed)
		}
	}
	if err := os.RemoveAll(z.Dir); err != nil {
		t.Fatal(err)
	}
	if changed, _, err := w.Changed(t.Context()); err != nil || !slices.Equal(changed, []int{3}) {
		t.Errorf("changed %v, %v", changed, err)
	}
}

// Whatever the text of an evaluation record: it is read and written again as it was, or refused.
func FuzzEvaluation(f *testing.F) {
	text, err := resultstest.Evaluation(f, trial, someHash).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add(bytes.Replace(text, []byte(`"batch": 256`), []byte(`"batch": 1e999`), 1))
	f.Add([]byte(strings.Repeat("[", 1000)))
	f.Add([]byte(nil))
	c := EvaluationsOn(f.TempDir(), "own")
	path := c.RecordPath(trial)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if object, _, err := seal.Open(text); err == nil { // or the hash hides all else
			text = seal.Seal(bytes.TrimRight(object, "\n"))
		}
		if err := os.WriteFile(path, text, 0o666); err != nil {
			t.Fatal(err)
		}
		r, err := c.Evaluation(trial)
		if err != nil {
			if !usage.Is(err) {
				t.Errorf("%v is not a usage error", err)
			}
			return
		}
		if r.Contradictions() != nil {
			return
		}
		again, err := r.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, again, 0o666); err != nil {
			t.Fatal(err)
		}
		if back, err := c.Evaluation(trial); err != nil || back.Validate() != nil {
			t.Errorf("%s: %v", again, err)
		}
	})
}
