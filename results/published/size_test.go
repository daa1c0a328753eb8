package published_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/dsnet/compress/bzip2"

	"nb201/cell"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/export"
	"nb201/results/published"
	"nb201/results/resultstest"
)

// writePickle writes a compressed pickle.
func writePickle(t testing.TB, path string, v any) {
	t.Helper()
	var b bytes.Buffer
	w, err := bzip2.NewWriter(&b, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(pickle.NewEncoder(w).Encode(v), w.Close(), os.WriteFile(path, b.Bytes(), 0o666)); err != nil {
		t.Fatal(err)
	}
}

// sizeRecord returns a published record of the size search space, decoded.
func sizeRecord(t testing.TB, name string) pickle.Dict {
	t.Helper()
	text, err := pickle.ReadBZ2(filepath.Join(sizeRecords, name), 1<<26)
	if err != nil {
		t.Fatal(err)
	}
	v, err := pickle.Reader{Class: torchfile.Class}.Decode(text)
	if err != nil {
		t.Fatal(err)
	}
	return v.(*pickle.OrderedDict).Items
}

// plain turns what a pickle.Reader returns into what a pickle.Encoder takes.
func plain(v any) any {
	items := func(d pickle.Dict) (all pickle.Dict) {
		for _, item := range d {
			all = append(all, pickle.Pair{Key: item.Key, Value: plain(item.Value)})
		}
		return all
	}
	switch v := v.(type) {
	case *pickle.Dict:
		return items(*v)
	case *pickle.OrderedDict:
		return pickle.OrderedDict{Items: items(v.Items)}
	case *pickle.List:
		var all pickle.List
		for _, item := range *v {
			all = append(all, plain(item))
		}
		return all
	}
	return v
}

// get returns a value in nested dicts, which set replaces.
func get(v any, keys ...any) *any {
	var found *any
	for _, key := range keys {
		var items pickle.Dict
		switch v := v.(type) {
		case pickle.Dict:
			items = v
		case *pickle.Dict:
			items = *v
		case *pickle.OrderedDict:
			items = v.Items
		}
		for i := range items {
			if reflect.DeepEqual(items[i].Key, key) {
				found = &items[i].Value
			}
		}
		v = *found
	}
	return found
}

// writeArchs writes a meta.pickle.pbz2 that lists the architectures of a space.
func writeArchs(t testing.TB, path string, space cell.Space) {
	var archs pickle.List
	for _, a := range space.All() {
		archs = append(archs, a.String())
	}
	writePickle(t, path, pickle.Dict{{Key: "meta_archs", Value: archs}})
}

func copyFile(t testing.TB, from, to string) {
	t.Helper()
	text, err := os.ReadFile(from)
	if err == nil {
		err = os.WriteFile(to, text, 0o666)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// topologyRecord exports a trial of architecture 11 of the topology search space in the format nats.
func topologyRecord(t testing.TB) string {
	t.Helper()
	c := resultstest.Fill(t, results.Trial{Arch: 11, Dataset: "cifar10", Epochs: 12, Seed: 777})
	return exportTo(t, c, export.Options{Format: published.NATS})
}

func exportTo(t testing.TB, c results.Campaign, o export.Options) string {
	t.Helper()
	b, err := published.Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	o.To = filepath.Join(t.TempDir(), "new")
	if _, err := export.Run(t.Context(), b, o); err != nil {
		t.Fatal(err)
	}
	return o.To
}

// The space of files is that of the strings in them, with and without a list, whatever their names.
func TestSpaceByContent(t *testing.T) {
	sized := resultstest.Fill(t, results.Trial{Space: "sss", Arch: 11, Dataset: "cifar10", Epochs: 12, Seed: 777})
	topology := topologyRecord(t)
	alone := func(dir string) string { // a directory without meta.pickle.pbz2
		to := t.TempDir()
		copyFile(t, filepath.Join(dir, "000011.pickle.pbz2"), filepath.Join(to, "000011.pickle.pbz2"))
		return to
	}
	merged := exportTo(t, sized, export.Options{Format: published.NATS, Merged: true})
	misnamed := filepath.Join(t.TempDir(), "NATS-tss-v1_0-3ffb9.pickle.pbz2")
	copyFile(t, merged, misnamed)
	runs := exportTo(t, sized, export.Options{Format: published.Runs})
	misplaced := filepath.Join(t.TempDir(), "000000-015624-C16-N5")
	if err := os.Rename(filepath.Join(runs, "raw-data-12"), misplaced); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		path  string
		space cell.Space
	}{
		"published records":       {sizeRecords, cell.Size{}},
		"without a list":          {alone(sizeRecords), cell.Size{}},
		"one record":              {filepath.Join(alone(sizeRecords), "000011.pickle.pbz2"), cell.Size{}},
		"merged under tss":        {misnamed, cell.Size{}},
		"run":                     {filepath.Join(misplaced, "arch-000011-seed-0777.pth"), cell.Size{}},
		"runs in a tss folder":    {filepath.Dir(misplaced), cell.Size{}},
		"parquet":                 {exportTo(t, sized, export.Options{Format: published.Parquet}), cell.Size{}},
		"csv":                     {exportTo(t, sized, export.Options{Format: published.CSV}), cell.Size{}},
		"topology":                {topology, cell.Topology{}},
		"topology without a list": {alone(topology), cell.Topology{}},
		"topology's record":       {filepath.Join(topology, "000011.pickle.pbz2"), cell.Topology{}},
	} {
		b, err := published.Open(t.Context(), x.path)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		a, err := b.Architecture(11)
		want, _ := x.space.ByIndex(11)
		if err != nil || b.Space != x.space || a.Genotype != want.String() || a.Schedules[0].Results[0].Trial.Space != x.space.Name() {
			t.Errorf("%s: %+v of the %s, %v", name, a, b.Space.Title(), err)
		}
		b.Close()
	}
}

// Files of two spaces, and records that disagree with their places, are refused.
func TestMixedSpaces(t *testing.T) {
	topology := topologyRecord(t)
	record := func(change func(record pickle.Dict)) func(dir string) {
		return func(dir string) {
			r := sizeRecord(t, "000011.pickle.pbz2")
			change(r)
			writePickle(t, filepath.Join(dir, "000011.pickle.pbz2"), plain(&pickle.OrderedDict{Items: r}))
		}
	}
	config := func(key string, value any) func(dir string) {
		return record(func(r pickle.Dict) {
			*get(r, "90", "all_results", pickle.Tuple{"cifar100", int64(777)}, "arch_config", key) = value
		})
	}
	const of = "; keep them in separate directories"
	for name, x := range map[string]struct {
		make func(dir string)
		want string
	}{
		"a record of the other space": {func(dir string) {
			copyFile(t, filepath.Join(sizeRecords, "000000.pickle.pbz2"), filepath.Join(dir, "000000.pickle.pbz2"))
			copyFile(t, filepath.Join(topology, "000011.pickle.pbz2"), filepath.Join(dir, "000011.pickle.pbz2"))
		}, "of the topology search space, but the benchmark is of the size search space" + of},
		"the list of the other space": {func(dir string) {
			copyFile(t, filepath.Join(sizeRecords, "000011.pickle.pbz2"), filepath.Join(dir, "000011.pickle.pbz2"))
			writeArchs(t, filepath.Join(dir, "meta.pickle.pbz2"), cell.Topology{})
		}, "it is 8:8:8:16:32 of the size search space, but the benchmark is of the topology search space" + of},
		"another name": {func(dir string) {
			copyFile(t, filepath.Join(sizeRecords, "000000.pickle.pbz2"), filepath.Join(dir, "000011.pickle.pbz2"))
		}, "it is architecture 0, 8:8:8:8:8; expected 11, 8:8:8:16:32"},
		"another index":          {record(func(r pickle.Dict) { *get(r, "12", "arch_index") = int64(12) }), "it is architecture 12, 8:8:8:16:32; expected 11"},
		"swapped widths":         {record(func(r pickle.Dict) { *get(r, "12", "arch_str") = "8:8:8:32:16" }), "it is architecture 11, 8:8:8:32:16; expected 11, 8:8:8:16:32"},
		"channels of another":    {config("channels", "8:8:8:32:16"), `channels is "8:8:8:32:16"; architecture 11 has "8:8:8:16:32"`},
		"another cell":           {config("genotype", "|none~0|"), `genotype is "|none~0|"`},
		"the other's name":       {config("name", "infer.tiny"), `name is "infer.tiny"; architecture 11 has "infer.shape.tiny"`},
		"channels that are none": {config("channels", int64(16)), "channels: found"},
	} {
		dir := t.TempDir()
		x.make(dir)
		b, err := published.Open(t.Context(), dir)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if _, err := b.Architecture(11); !usage.Is(err) || !errors.Is(err, results.ErrDamaged) || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, x.want)
		}
		b.Close()
	}

	// The index in a file's name can be of the size search space alone.
	dir := t.TempDir()
	copyFile(t, filepath.Join(topology, "000011.pickle.pbz2"), filepath.Join(dir, "000011.pickle.pbz2"))
	copyFile(t, filepath.Join(topology, "000011.pickle.pbz2"), filepath.Join(dir, "015625.pickle.pbz2"))
	if _, err := published.Open(t.Context(), dir); !usage.Is(err) || !strings.Contains(err.Error(), "there is no architecture 015625 in the topology search space, of which the other files are; indices run from 0 to 15624") {
		t.Errorf("an index that is too large: %v", err)
	}

	// Runs and tables.
	runs := exportTo(t, resultstest.Fill(t, results.Trial{Space: "sss", Arch: 3, Dataset: "cifar10", Epochs: 12, Seed: 777}), export.Options{Format: published.Runs})
	others := exportTo(t, resultstest.Fill(t, results.Trial{Arch: 11, Dataset: "cifar10", Epochs: 12, Seed: 777}), export.Options{Format: published.Runs})
	const run = "arch-000011-seed-0777.pth"
	copyFile(t, filepath.Join(others, "000000-015624-C8-N1-LESS", run), filepath.Join(runs, "raw-data-12", run))
	b, err := published.Open(t.Context(), runs)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if _, err := b.Architecture(11); !usage.Is(err) || !strings.Contains(err.Error(), "cifar10: it is a run of the topology search space, but the benchmark is of the size search space"+of) {
		t.Errorf("runs: %v", err)
	}
}

// A merged .pth holds the topology search space alone.
func TestSizesInPth(t *testing.T) {
	var archs pickle.List
	for _, a := range (cell.Size{}).All() {
		archs = append(archs, a.String())
	}
	path := filepath.Join(t.TempDir(), "merged.pth")
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	value := pickle.Dict{{Key: "meta_archs", Value: archs}, {Key: "arch2infos", Value: pickle.Dict{}}, {Key: "evaluated_indexes", Value: pickle.List{}}}
	if err := errors.Join(torchfile.Write(f, value), f.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := published.Open(t.Context(), path); !usage.Is(err) || !strings.Contains(err.Error(), "lists architectures of the size search space, which files of the format nasbench201 do not hold") {
		t.Errorf("%v", err)
	}
}

// A merged file of all 32,768 architectures, most of them without trials, can be opened twice and read at
// both ends.
func TestMergedOfAllSizes(t *testing.T) {
	space := cell.Size{}
	var archs, evaluated pickle.List
	var infos pickle.Dict
	for i, a := range space.All() {
		archs, evaluated = append(archs, a.String()), append(evaluated, i)
		infos = append(infos, pickle.Pair{Key: i, Value: pickle.OrderedDict{}})
	}
	infos[11].Value = plain(&pickle.OrderedDict{Items: sizeRecord(t, "000011.pickle.pbz2")})
	path := filepath.Join(t.TempDir(), "all.pickle.pbz2")
	writePickle(t, path, pickle.Dict{
		{Key: "meta_archs", Value: archs}, {Key: "total_archs", Value: space.Count()},
		{Key: "arch2infos", Value: infos}, {Key: "evaluated_indexes", Value: pickle.Set(evaluated)},
	})
	for range 2 { // the second time with the index in the cache
		b, err := published.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if b.Space != space || b.Len() != 32768 || len(b.Evaluated()) != 32768 {
			t.Errorf("%v lists %d", b, b.Len())
		}
		a, err1 := b.Architecture(11)
		last, err2 := b.Architecture(32767)
		if err := errors.Join(err1, err2); err != nil || a.Genotype != "8:8:8:16:32" || len(a.Schedules) != 3 || last.Genotype != "64:64:64:64:64" {
			t.Errorf("%+v, %+v, %v", a, last, err)
		}
		m, err := b.MoreInfo(11, "cifar100", benchmark.Last, "90", benchmark.Mean())
		if err != nil || m.Valid == nil {
			t.Errorf("%+v, %v", m, err)
		}
		if index, err := b.QueryIndexByArch("64:64:64:64:64"); err != nil || index != 32767 {
			t.Errorf("index %d, %v", index, err)
		}
		b.Close()
	}
}

// Tables hold the whole range of indices, in several row groups.
func TestTablesOfSizes(t *testing.T) {
	c := results.Campaign{Dir: t.TempDir()}
	archs := []int{0, 15624, 15625, 20000, 32767}
	for _, arch := range archs {
		r := resultstest.Record(t, results.Trial{Space: "sss", Arch: arch, Dataset: "cifar10", Epochs: 1, Seed: 777})
		if err := c.Publish(r, nil); err != nil {
			t.Fatal(err)
		}
	}
	for _, format := range []benchmark.Format{published.CSV, published.Parquet} {
		b, err := published.Open(t.Context(), exportTo(t, c, export.Options{Format: format}))
		if err != nil {
			t.Fatal(err)
		}
		if fmt.Sprint(b.Evaluated()) != fmt.Sprint(archs) {
			t.Errorf("%s: %v", format, b.Evaluated())
		}
		for _, arch := range archs {
			a, err := b.Architecture(arch)
			if want, _ := (cell.Size{}).ByIndex(arch); err != nil || a.Genotype != want.String() || a.HPs()[0] != "01" {
				t.Errorf("%s: %+v, %v", format, a, err)
			}
		}
		b.Close()
	}
}

// Evaluations on further datasets are read with the trials, and exported.
func TestEvaluationsOfSizes(t *testing.T) {
	trial := results.Trial{Space: "sss", Arch: 11, Dataset: "cifar10", Epochs: 12, Seed: 777}
	c := resultstest.Fill(t, trial)
	resultstest.Evaluate(t, c, c.Dir, "noisy", trial)
	for _, path := range []string{c.Dir, exportTo(t, c, export.Options{Format: published.NATS})} {
		b, err := published.Open(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		trials, err := b.QueryByIndex(11, "cifar10", "12")
		if err != nil {
			t.Fatal(err)
		}
		if m, err := trials[0].Eval("noisy.noise", benchmark.Last); err != nil || m.Accuracy != 52 {
			t.Errorf("%s: %+v, %v", path, m, err)
		}
		b.Close()
	}
}
