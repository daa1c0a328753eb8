package results_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"nb201/internal/schematest"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	. "nb201/results"
	"nb201/results/resultstest"
)

func TestMain(m *testing.M) {
	checked := schematest.Watch()
	if dir := os.Getenv("NB201_TEST_PUBLISH"); dir != "" {
		publishForever(dir)
	}
	os.Exit(checked(m.Run()))
}

// filesIn lists all files below dir, including hidden ones but not the lock.
func filesIn(t testing.TB, dir string) []string {
	t.Helper()
	var files []string
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() && e.Name() != ".lock" {
			name, _ := filepath.Rel(dir, path)
			files = append(files, name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func TestPublish(t *testing.T) {
	c := Campaign{Dir: filepath.Join(t.TempDir(), "new", "campaign")}
	if err := c.Check(trial); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Dir(c.Dir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Check left %v (%v)", filepath.Dir(c.Dir), err)
	}
	r := resultstest.Record(t, trial)
	weights := resultstest.Weights(t, r)
	if err := c.Publish(r, weights); err != nil {
		t.Fatal(err)
	}
	want := []string{"trials/000123/cifar100/0012-0777.json", "weights/000123/cifar100/0012-0777.pth"}
	if got := filesIn(t, c.Dir); !slices.Equal(got, want) {
		t.Errorf("the campaign holds %v, not %v", got, want)
	}
	back, err := c.Record(trial)
	if err != nil {
		t.Fatal(err)
	}
	if d := r.Diff(back); d != nil || back.Weights == nil {
		t.Errorf("the record differs in %v", d)
	}
	if got, err := c.Weights(back); err != nil || !reflect.DeepEqual(got, weights) {
		t.Errorf("the weights read back differently (%v)", err)
	}

	// Another run of the trial comes too late.
	other := resultstest.Record(t, trial)
	other.Train.Loss[0] = 5
	for _, err := range []error{c.Check(trial), c.Publish(other, nil)} {
		if !errors.Is(err, ErrDone) {
			t.Errorf("error %v", err)
		}
	}
	if again, err := c.Record(trial); err != nil || r.Diff(again) != nil {
		t.Errorf("a late run changed the record: %v %v", r.Diff(again), err)
	}
	if got := filesIn(t, c.Dir); !slices.Equal(got, want) {
		t.Errorf("a late run left %v", got)
	}
}

func TestPublishWithoutWeights(t *testing.T) {
	c := Campaign{Dir: t.TempDir()}
	if err := c.Publish(resultstest.Record(t, trial), nil); err != nil {
		t.Fatal(err)
	}
	r, err := c.Record(trial)
	if err != nil {
		t.Fatal(err)
	}
	if weights, err := c.Weights(r); weights != nil || err != nil || r.Weights != nil {
		t.Errorf("weights %v, error %v", weights, err)
	}
}

// Files left by a process that was killed between the weights and the record must not be taken
// for those of the next run.
func TestPublishAfterKill(t *testing.T) {
	for _, keep := range []bool{true, false} {
		c := Campaign{Dir: t.TempDir()}
		old := resultstest.Record(t, trial)
		for _, path := range []string{c.RecordPath(trial), c.WeightsPath(trial)} {
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			temp := filepath.Join(filepath.Dir(path), "."+filepath.Base(path)+".RANDOM.tmp")
			if err := os.WriteFile(temp, encode(t, old)[:100], 0o666); err != nil {
				t.Fatal(err)
			}
		}
		if err := os.WriteFile(c.WeightsPath(trial), []byte("weights of the killed"), 0o666); err != nil {
			t.Fatal(err)
		}
		if trials := read(t, c); len(trials) > 0 {
			t.Errorf("%v are done", trials)
		}
		if err := c.Check(trial); err != nil {
			t.Error(err)
		}
		r := resultstest.Record(t, trial)
		var weights torchfile.StateDict
		want := []string{"trials/000123/cifar100/0012-0777.json"}
		if keep {
			weights = resultstest.Weights(t, r)
			want = append(want, "weights/000123/cifar100/0012-0777.pth")
		}
		if err := c.Publish(r, weights); err != nil {
			t.Fatal(err)
		}
		if got, err := c.Weights(r); err != nil || !reflect.DeepEqual(got, weights) {
			t.Errorf("the weights read back differently (%v)", err)
		}
		if got := filesIn(t, c.Dir); !slices.Equal(got, want) {
			t.Errorf("the campaign holds %v, not %v", got, want)
		}
	}
}

// publishForever publishes the same trials as other processes do, each process with its own
// results, until it is killed.
func publishForever(dir string) {
	t := &testing.T{}
	c := Campaign{Dir: dir}
	for seed := uint32(0); ; seed++ {
		r := resultstest.Record(t, Trial{Arch: 0, Dataset: "digits", Epochs: 1, Seed: seed})
		weights := resultstest.Weights(t, r)
		weights[0].Float32[0] = float32(os.Getpid())
		r.Train.Loss[0] = float64(os.Getpid())
		if err := c.Publish(r, weights); err != nil && !errors.Is(err, ErrDone) {
			fmt.Println(err)
			os.Exit(1)
		}
	}
}

func countRecords(t *testing.T, c Campaign) int {
	found, err := filepath.Glob(filepath.Join(c.Dir, "trials", "*", "*", "*.json"))
	if err != nil {
		t.Error(err)
	}
	return len(found)
}

// Processes that publish the same trials at the same time and are killed at any moment leave only
// complete trials: each record with the weights of the same run.
func TestKilledPublishers(t *testing.T) {
	c := Campaign{Dir: t.TempDir()}
	for round := range 6 {
		ctx, cancel := context.WithCancel(t.Context())
		var group sync.WaitGroup
		group.Go(func() { // kill them when they have published for a while, however busy the host is
			defer cancel()
			before := countRecords(t, c)
			for deadline := time.Now().Add(time.Minute); countRecords(t, c) < before+3 && time.Now().Before(deadline); {
				time.Sleep(5 * time.Millisecond)
			}
			time.Sleep(time.Duration(37*round) * time.Millisecond)
		})
		for range 3 {
			group.Go(func() {
				child := exec.CommandContext(ctx, os.Args[0]) // killed when ctx ends
				child.Env = append(os.Environ(), "NB201_TEST_PUBLISH="+c.Dir)
				if out, err := child.CombinedOutput(); ctx.Err() == nil || len(out) > 0 {
					t.Errorf("child ended: %v %s", err, out)
				}
			})
		}
		group.Wait()
		cancel()
	}
	done := 0
	winners := map[float64]bool{}
	for r, err := range c.Records() {
		if err != nil {
			t.Fatal(err)
		}
		weights, err := c.Weights(r)
		if err != nil {
			t.Fatal(err)
		}
		if float64(weights[0].Float32[0]) != r.Train.Loss[0] {
			t.Errorf("%v has the weights of another run", r.Trial)
		}
		if int(r.Seed) != done {
			t.Errorf("%v is missing", done)
		}
		done++
		winners[r.Train.Loss[0]] = true
	}
	t.Logf("%d trials by %d processes", done, len(winners))
	if done < 10 || len(winners) < 2 {
		t.Errorf("%d trials by %d processes: too few to judge", done, len(winners))
	}
}

func TestPublishRefuses(t *testing.T) {
	wrong := func(spoil func(s torchfile.StateDict) torchfile.StateDict) func(c Campaign, r *Record) error {
		return func(c Campaign, r *Record) error { return c.Publish(r, spoil(resultstest.Weights(t, r))) }
	}
	for name, c := range map[string]struct {
		publish func(c Campaign, r *Record) error
		want    string
	}{
		"NaN":             {func(c Campaign, r *Record) error { r.Train.Loss[0] = math.NaN(); return c.Publish(r, nil) }, "loss[0] is NaN"},
		"few":             {wrong(func(s torchfile.StateDict) torchfile.StateDict { return s[1:] }), "tensors, but the network has"},
		"name":            {wrong(func(s torchfile.StateDict) torchfile.StateDict { s[2].Name = "x"; return s }), "tensor 2 is x[8]"},
		"shape":           {wrong(func(s torchfile.StateDict) torchfile.StateDict { s[0].Shape = []int{3, 8, 3, 3}; return s }), "tensor 0 is stem.0.weight[3 8 3 3]"},
		"type":            {wrong(func(s torchfile.StateDict) torchfile.StateDict { s[5] = s[6]; return s }), "tensor 5"},
		"NaN in a weight": {wrong(func(s torchfile.StateDict) torchfile.StateDict { s[0].Float32[3] = float32(math.NaN()); return s }), "1 values of stem.0.weight are not finite"},
		"infinite":        {wrong(func(s torchfile.StateDict) torchfile.StateDict { s[1].Float32[0] = float32(math.Inf(-1)); return s }), "1 values of stem.1.weight are not finite"},
		"variance":        {wrong(func(s torchfile.StateDict) torchfile.StateDict { s[4].Float32[0] = -1e-9; return s }), "1 variances in stem.1.running_var are negative"},
		"count":           {wrong(func(s torchfile.StateDict) torchfile.StateDict { s[5].Int64[0] = -1; return s }), "stem.1.num_batches_tracked is -1"},
		"no weights":      {wrong(func(torchfile.StateDict) torchfile.StateDict { return torchfile.StateDict{} }), "0 tensors"},
	} {
		campaign := Campaign{Dir: filepath.Join(t.TempDir(), "new")}
		if err := c.publish(campaign, resultstest.Record(t, trial)); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
		if _, err := os.Stat(campaign.Dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: left %v", name, filesIn(t, campaign.Dir))
		}
	}
}

func TestCheckRefuses(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "file")
	for _, path := range []string{file, filepath.Join(dir, "weights")} {
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct {
		dir   string
		trial Trial
		want  string
	}{
		"a file":         {file, trial, "cannot write files of the trial"},
		"below a file":   {filepath.Join(file, "a"), trial, "cannot write files of the trial"},
		"weights folder": {dir, trial, "cannot write files of the trial"},
		"architecture":   {t.TempDir(), Trial{Arch: -1, Dataset: "cifar10", Epochs: 12, Seed: 0}, "-1 is out of range"},
		"epochs":         {t.TempDir(), Trial{Arch: 0, Dataset: "cifar10", Epochs: 0, Seed: 0}, "0 epochs"},
		"dataset":        {t.TempDir(), Trial{Arch: 0, Dataset: "../../etc", Epochs: 12, Seed: 0}, "dataset key"},
		"hidden":         {t.TempDir(), Trial{Arch: 0, Dataset: ".tmp", Epochs: 12, Seed: 0}, "dataset key"},
		"empty":          {t.TempDir(), Trial{Arch: 0, Dataset: "", Epochs: 12, Seed: 0}, "dataset key"},
		"separator":      {t.TempDir(), Trial{Arch: 0, Dataset: "a/b", Epochs: 12, Seed: 0}, "dataset key"},
		"recipe":         {t.TempDir(), Trial{Arch: 0, Dataset: "cifar10", Recipe: "a/b", Epochs: 12}, "recipe"},
		"number":         {t.TempDir(), Trial{Arch: 0, Dataset: "cifar10", Recipe: "12", Epochs: 12}, "recipe"},
		"long":           {t.TempDir(), Trial{Arch: 0, Dataset: strings.Repeat("a", 65), Epochs: 12, Seed: 0}, "dataset key"},
	} {
		err := (Campaign{Dir: c.dir}).Check(c.trial)
		if !usage.Is(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

// Whatever cannot be written, a record must never exist without its weights.
func TestFilesThatCannotBeMade(t *testing.T) {
	for name, block := range map[string]func(c Campaign) error{
		"a directory in the weights' place": func(c Campaign) error {
			return os.MkdirAll(filepath.Join(c.WeightsPath(trial), "below"), 0o777)
		},
		"a file in the weights folder's place": func(c Campaign) error {
			return os.WriteFile(filepath.Join(c.Dir, "weights"), nil, 0o666)
		},
		"a file in the trials folder's place": func(c Campaign) error {
			return os.WriteFile(filepath.Join(c.Dir, "trials"), nil, 0o666)
		},
	} {
		c := Campaign{Dir: t.TempDir()}
		if err := block(c); err != nil {
			t.Fatal(err)
		}
		before := filesIn(t, c.Dir)
		r := resultstest.Record(t, trial)
		if err := c.Publish(r, resultstest.Weights(t, r)); err == nil || errors.Is(err, ErrDone) {
			t.Errorf("%s: error %v", name, err)
		}
		if got := filesIn(t, c.Dir); !slices.Equal(got, before) {
			t.Errorf("%s: the campaign holds %v, before %v", name, got, before)
		}
	}
}

// fillOne makes a campaign of one trial.
func fillOne(t testing.TB) string {
	return resultstest.Fill(t, Trial{Arch: 7, Dataset: "digits", Epochs: 1, Seed: 0}).Dir
}

func TestTrials(t *testing.T) {
	want := []Trial{
		{Arch: 0, Dataset: "cifar10-valid", Epochs: 2, Seed: 777},
		{Arch: 0, Dataset: "cifar10", Epochs: 2, Seed: 777},
		{Arch: 0, Dataset: "ImageNet16-120", Epochs: 2, Seed: 777},
		{Arch: 0, Dataset: "digits", Epochs: 2, Seed: 777},
		{Arch: 0, Dataset: "digits", Epochs: 12, Seed: 1},
		{Arch: 0, Dataset: "digits", Epochs: 12, Seed: 10000},
		{Arch: 0, Dataset: "digits", Epochs: 12, Seed: math.MaxUint32},
		{Arch: 0, Dataset: "digits", Epochs: 12345, Seed: 5},
		{Arch: 9, Dataset: "digits", Epochs: 1, Seed: 5},
		{Arch: 15624, Dataset: "digits", Epochs: 1, Seed: 5},
	}
	c := Campaign{Dir: t.TempDir()}
	for _, i := range []int{9, 3, 5, 1, 0, 2, 8, 4, 6, 7} {
		path := c.RecordPath(want[i])
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// None of these is a record.
	for _, path := range []string{
		"README", "0/digits/0012-0777.json", "015625/digits/0012-0777.json", "000000/README", "000000/a b/0012-0777.json",
		"000000/digits/.0012-0777.json.X.tmp", "000000/digits/0012-0777.json~", "000000/digits/0012-0777 (copy).json",
		"000000/digits/12-777.json", "000000/digits/0012-00777.json", "000000/digits/0012.json", "000000/digits/0000-0777.json",
		"000000/digits/0012-4294967296.json", "000000/digits/0012--777.json", "000000/digits/+012-0777.json", "000000/digits/0012-0777",
	} {
		path = filepath.Join(c.Dir, "trials", path)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got := read(t, c); !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	for first := range c.Trials() { // a caller may stop
		if first != want[0] {
			t.Errorf("%v", first)
		}
		break
	}
}

func TestNoCampaign(t *testing.T) {
	for _, dir := range []string{t.TempDir(), filepath.Join(t.TempDir(), "none")} {
		n := 0
		for _, err := range (Campaign{Dir: dir}).Records() {
			if n++; !usage.Is(err) {
				t.Errorf("error %v", err)
			}
		}
		if n != 1 {
			t.Errorf("%d errors", n)
		}
	}
}

func TestForeignFilesInACampaign(t *testing.T) {
	c := Campaign{Dir: fillOne(t)}
	one := read(t, c)[0]
	record, err := os.ReadFile(c.RecordPath(one))
	if err != nil {
		t.Fatal(err)
	}
	// A record under another trial's name.
	moved := one
	moved.Seed = 9
	if err := os.WriteFile(c.RecordPath(moved), record, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Record(moved); !usage.Is(err) || !strings.Contains(err.Error(), "another trial") {
		t.Errorf("error %v", err)
	}
	// Weights that are not the record's, or damaged, or gone.
	r, err := c.Record(one)
	if err != nil {
		t.Fatal(err)
	}
	weights, err := os.ReadFile(c.WeightsPath(one))
	if err != nil {
		t.Fatal(err)
	}
	weights[len(weights)/2] ^= 1
	if err := os.WriteFile(c.WeightsPath(one), weights, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Weights(r); !usage.Is(err) || !strings.Contains(err.Error(), "SHA-256") {
		t.Errorf("error %v", err)
	}
	if err := os.Remove(c.WeightsPath(one)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Weights(r); !usage.Is(err) || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("error %v", err)
	}
}

// read collects what the campaign yields.
func read(t testing.TB, c Campaign) []Trial {
	t.Helper()
	var trials []Trial
	for trial, err := range c.Trials() {
		if err != nil {
			t.Fatal(err)
		}
		trials = append(trials, trial)
	}
	if !slices.IsSortedFunc(trials, Trial.Compare) {
		t.Errorf("%v are out of order", trials)
	}
	return trials
}

// TestTrialsOfManyFolders checks that trials are yielded in order though folders are listed in
// parallel, and that a caller may stop anywhere.
func TestTrialsOfManyFolders(t *testing.T) {
	c := Campaign{Dir: t.TempDir()}
	var want []Trial
	for arch := range 700 {
		trial := Trial{Arch: arch, Dataset: "digits", Epochs: 12, Seed: 777}
		path := c.RecordPath(trial)
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o666); err != nil {
			t.Fatal(err)
		}
		want = append(want, trial)
	}
	if got := read(t, c); !slices.Equal(got, want) {
		t.Errorf("%d trials: %v", len(got), got)
	}
	for _, n := range []int{1, 32, 33, 400} {
		i := 0
		for trial, err := range c.Trials() {
			if trial != want[i] || err != nil {
				t.Fatalf("%v (%v), not %v", trial, err, want[i])
			}
			if i++; i == n {
				break
			}
		}
	}
}
