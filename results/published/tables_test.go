package published_test

import (
	"encoding/binary"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"
	"github.com/parquet-go/parquet-go/compress"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"

	"nb201/internal/needs"
	"nb201/internal/usage"
	. "nb201/results"
	. "nb201/results/benchmark"
	. "nb201/results/published"
	"nb201/results/resultstest"
	. "nb201/results/tables"
)

// gappy makes an architecture whose series have all the gaps that occur in published files.
func gappy(t testing.TB, index int) *Architecture {
	t.Helper()
	c := Campaign{Dir: t.TempDir()}
	for _, trial := range resultstest.Grid(index) {
		if err := c.Publish(resultstest.Record(t, trial), nil); err != nil { // the tables do not contain weights
			t.Fatal(err)
		}
	}
	b, err := Open(t.Context(), c.Dir)
	if err != nil {
		t.Fatal(err)
	}
	a, err := b.Architecture(index)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			r.Record, r.Recipe = nil, nil // nor records and recipes
		}
	}
	a.Schedules[0].HP, a.Schedules[1].HP = "12", "200"
	first, second := a.Schedules[0].Results[0], a.Schedules[1].Results[1]
	first.Latencies, first.Training.Top5, first.Training.Seconds = nil, nil, nil
	first.Evaluation[0].Measures = Measures{Seconds: Series{{Epoch: 0, Value: 1.5}, {Epoch: 1, Value: 1.5}}, Loss: Series{{Epoch: 1, Value: 0.1 + 0.2}}}
	first.Evaluation[1].Measures = Measures{}
	second.Evaluation[0].Measures = Measures{Top1: Series{{Epoch: 0, Value: 10}, {Epoch: 2, Value: 100.0 / 3}}, Top5: Series{{Epoch: 1, Value: 1e-300}}}
	second.Evaluation = slices.Insert(second.Evaluation, 0, SetMeasures{Set: "my-set.1"})
	return a
}

// writeTables writes the rows in both formats.
func writeTables(t testing.TB, dir string, trials []TrialRow, epochs []EpochRow) {
	t.Helper()
	if err := parquet.WriteFile(filepath.Join(dir, "trials.parquet"), trials); err != nil {
		t.Fatal(err)
	}
	if err := parquet.WriteFile(filepath.Join(dir, "epochs.parquet"), epochs, parquet.MaxRowsPerRowGroup(50)); err != nil {
		t.Fatal(err)
	}
	records := [2][][]string{{nil}, {nil}}
	for i, columns := range [][]Column{Columns[TrialRow](), Columns[EpochRow]()} {
		for _, c := range columns {
			records[i][0] = append(records[i][0], c.Name)
		}
	}
	for _, row := range trials {
		records[0] = append(records[0], row.AppendCSV(nil, false))
	}
	for _, row := range epochs {
		records[1] = append(records[1], row.AppendCSV(nil, false))
	}
	for i, name := range []string{"trials.csv", "epochs.csv"} {
		f, err := os.Create(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if err := csv.NewWriter(f).WriteAll(records[i]); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
	}
}

// tableReaders open a directory that may hold the tables of the other format too.
var tableReaders = map[Format]func(string) (*Benchmark, error){Parquet: OpenParquet, CSV: OpenCSV}

// codec compresses pages with a function, under the name of a codec of the format.
type codec struct {
	name   format.CompressionCodec
	encode func(src []byte) []byte
}

func (c codec) String() string                               { return c.name.String() }
func (c codec) CompressionCodec() format.CompressionCodec    { return c.name }
func (c codec) Encode(_, src []byte) ([]byte, error)         { return c.encode(src), nil }
func (c codec) Decode(dst, src []byte) (out []byte, e error) { return dst, errors.ErrUnsupported }

func lz4Block(src []byte) []byte {
	block := make([]byte, lz4.CompressBlockBound(len(src)))
	var c lz4.CompressorHC
	n, err := c.CompressBlock(src, block)
	if err != nil {
		panic(err)
	}
	return block[:n]
}

// hadoopFrames compresses src into frames of Hadoop's LZ4, 100 bytes each.
func hadoopFrames(src []byte) (frames []byte) {
	for part := range slices.Chunk(src, 100) {
		block := lz4Block(part)
		frames = binary.BigEndian.AppendUint32(frames, uint32(len(part)))
		frames = append(binary.BigEndian.AppendUint32(frames, uint32(len(block))), block...)
	}
	return frames
}

// Tables are read with any supported compression; for any other, the error names it.
func TestParquetCodecs(t *testing.T) {
	want := gappy(t, 3)
	trials, epochs := RowsOf(want)
	same := func(src []byte) []byte { return src }
	for _, x := range []struct {
		codec compress.Codec
		want  string // in the error
	}{
		{codec: &parquet.Uncompressed}, {codec: &parquet.Snappy}, {codec: &parquet.Gzip}, {codec: &parquet.Brotli},
		{codec: &parquet.Zstd}, {codec: &parquet.Lz4Raw}, {codec: codec{format.Lz4Raw, lz4Block}},
		{codec: codec{format.Lz4, hadoopFrames}}, {codec: codec{format.Lz4, lz4Block}},
		{codec{format.LZO, same}, "compressed with LZO; supported are [UNCOMPRESSED SNAPPY GZIP BROTLI ZSTD], LZ4 and LZ4_RAW"},
		{codec{format.CompressionCodec(9), same}, "compressed with"},
		{codec{format.Lz4, same}, "its LZ4 data is damaged"},
		{codec{format.Lz4Raw, hadoopFrames}, "its LZ4 data is damaged"},
	} {
		for version := 1; version <= 2; version++ {
			dir := t.TempDir()
			options := []parquet.WriterOption{
				parquet.Compression(x.codec), parquet.DataPageVersion(version), parquet.MaxRowsPerRowGroup(70), parquet.PageBufferSize(500),
			}
			if err := errors.Join(parquet.WriteFile(filepath.Join(dir, "trials.parquet"), trials, options...),
				parquet.WriteFile(filepath.Join(dir, "epochs.parquet"), epochs, options...)); err != nil {
				t.Fatal(err)
			}
			var got *Architecture
			b, err := OpenParquet(dir)
			if err == nil {
				got, err = b.Architecture(3)
				b.Close()
			}
			if x.want != "" {
				if !usage.Is(err) || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), "trials.parquet") {
					t.Errorf("%v, version %d: error %v, want one with %q", x.codec, version, err, x.want)
				}
			} else if err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%v, version %d: read otherwise (%v)", x.codec, version, err)
			}
		}
	}
}

// Tables that pyarrow wrote with LZ4 read.
func TestArrowLZ4(t *testing.T) {
	b, err := OpenParquet("testdata/lz4")
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	a, err := b.Architecture(11)
	if err != nil {
		t.Fatal(err)
	}
	full, err := a.Schedule("200")
	if err != nil {
		t.Fatal(err)
	}
	m, err := full.Metrics("cifar10", "ori-test", 199, Seed(999))
	if err != nil || m.Accuracy != 91.2 || m.Loss != 0.3705263729095459 {
		t.Errorf("%+v (%v)", m, err)
	}
}

// Everything in a trial except its weights survives the tables.
func TestTablesReadBack(t *testing.T) {
	want := []*Architecture{gappy(t, 3), gappy(t, 4), gappy(t, 15624)}
	var trials []TrialRow
	var epochs []EpochRow
	for _, a := range want {
		some, more := RowsOf(a)
		trials, epochs = append(trials, some...), append(epochs, more...)
	}
	dir := t.TempDir()
	writeTables(t, dir, trials, epochs)
	for format, open := range tableReaders {
		b, err := open(dir)
		if err != nil {
			t.Fatal(err)
		}
		if got := b.Evaluated(); b.Format != format || !slices.Equal(got, []int{3, 4, 15624}) {
			t.Errorf("%s holds %v", b.Format, got)
		}
		for _, a := range want {
			got, err := b.Architecture(a.Index)
			if err != nil {
				t.Fatal(err)
			}
			if !reflect.DeepEqual(got, a) {
				text := func(a *Architecture) string { s, _ := json.MarshalIndent(a, "", " "); return string(s) }
				t.Errorf("%s: architecture %d reads\n%s, not\n%s", format, a.Index, text(got), text(a))
			}
		}
		if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
}

// A byte order mark, which spreadsheets write, is not part of the first column's name.
func TestTablesMarked(t *testing.T) {
	want := gappy(t, 3)
	dir := t.TempDir()
	trials, epochs := RowsOf(want)
	writeTables(t, dir, trials, epochs)
	for _, name := range []string{"trials.csv", "epochs.csv"} {
		path := filepath.Join(dir, name)
		text, err := os.ReadFile(path)
		if err == nil {
			err = os.WriteFile(path, append([]byte("\xef\xbb\xbf"), text...), 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	b, err := OpenCSV(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if got, err := b.Architecture(3); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("read %+v, %v, want %+v", got, err, want)
	}
}

// Python's csv reads the numbers to the bit.
func TestPythonReadsCSV(t *testing.T) {
	python := needs.Python(t)
	dir := t.TempDir()
	trials, epochs := RowsOf(gappy(t, 3))
	writeTables(t, dir, trials, epochs)
	script := `import csv, sys
trials = list(csv.DictReader(open(sys.argv[1] + "/trials.csv", newline="")))
epochs = list(csv.DictReader(open(sys.argv[1] + "/epochs.csv", newline="")))
number = lambda s: float(s).hex() if s else None
print(len(trials), len(epochs), trials[0]["evaluation_sets"], trials[0]["latency_seconds_per_batch_of_256"] == "")
for r in epochs: print(r["set"], r["epoch"], *[number(r[c]) for c in ("loss", "top1_percent", "top5_percent", "seconds")])`
	out, err := exec.Command(python, "-c", script, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var want strings.Builder
	fmt.Fprintf(&want, "%d %d ori-test;x-valid True\n", len(trials), len(epochs))
	for _, r := range epochs {
		fmt.Fprintf(&want, "%s %d", r.Set, r.Epoch)
		for _, v := range []*float64{r.Loss, r.Top1, r.Top5, r.Seconds} {
			want.WriteByte(' ')
			if v == nil {
				want.WriteString("None")
			} else {
				want.WriteString(pythonHex(*v))
			}
		}
		want.WriteByte('\n')
	}
	if string(out) != want.String() {
		t.Errorf("Python reads\n%s, not\n%s", out, want.String())
	}
}

// pythonHex formats a normal number as Python's float.hex does.
func pythonHex(v float64) string {
	mantissa, exponent, _ := strings.Cut(fmt.Sprintf("%.13x", v), "p")
	sign, digits := exponent[:1], strings.TrimLeft(exponent[1:], "0")
	if digits == "" {
		digits = "0"
	}
	return mantissa + "p" + sign + digits
}

// Rows that contradict each other are refused with an error that names the place.
func TestTablesRefused(t *testing.T) {
	for name, x := range map[string]struct {
		change func(trials []TrialRow, epochs []EpochRow) ([]TrialRow, []EpochRow)
		want   string
	}{
		"genotype": {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) { t[2].Genotype = "|none~0|"; return t, e }, "does not match architecture 3"},
		"twice":    {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) { return append(t, t[1]), e }, "the trial has two rows"},
		"set":      {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) { e[0].Set = "y-test"; return t, e }, `set "y-test"`},
		"no trial": {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) { e[0].Seed = 5; return t, e }, "the trial is missing in the table trials"},
		"epoch":    {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) { e[0].Epoch = 2; return t, e }, "the trial has epochs 0 to 1 only"},
		"value":    {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) { return t, append(e, e[0]) }, "two rows give the same value"},
		"cut off":  {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) { return t, e[:1] }, "the trial has no rows in the table epochs"},
		"no rows":  {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) { return t, nil }, "the trial has no rows in the table epochs"},
		"dataset":  {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) { t[0].Dataset = "a b"; return t, e }, "dataset key"},
		"set name": {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) {
			t[0].EvaluationSets = []string{"x@1"}
			return t, e
		}, "evaluation set"},
		"sets": {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) {
			t[0].EvaluationSets = []string{"a", "a"}
			return t, e
		}, "a is listed twice"},
		"train": {func(t []TrialRow, e []EpochRow) ([]TrialRow, []EpochRow) {
			t[0].EvaluationSets = []string{"train"}
			return t, e
		}, "has the name of the training set"},
	} {
		trials, epochs := RowsOf(gappy(t, 3))
		trials, epochs = x.change(trials, epochs)
		dir := t.TempDir()
		writeTables(t, dir, trials, epochs)
		for format, open := range tableReaders {
			b, err := open(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err = b.Architecture(3); !usage.Is(err) || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), dir) {
				t.Errorf("%s, %s: error %v, want one with %q", format, name, err, x.want)
			}
			b.Close()
		}
	}
}

// Files that are not tables are refused with an error that names the place.
func TestTableFilesRefused(t *testing.T) {
	trials, epochs := RowsOf(gappy(t, 3))
	more, others := RowsOf(gappy(t, 4))
	trials, epochs = append(trials, more...), append(epochs, others...)
	header, row, _ := strings.Cut(string(csvOf(t, trials)), "\n")
	line, _, _ := strings.Cut(row, "\n")
	with := func(old, changed string) []byte { return []byte(header + "\n" + strings.Replace(row, old, changed, 1)) }
	for name, x := range map[string]struct {
		file string
		text []byte // nil: truncated to half
		want string
	}{
		"parquet cut":     {"trials.parquet", nil, "trials.parquet"},
		"no parquet":      {"epochs.parquet", []byte("PAR1"), "epochs.parquet"},
		"csv header":      {"trials.csv", []byte("architecture,genotype\n"), "line 1: the columns"},
		"no csv":          {"trials.csv", []byte(""), "line 1: the columns"},
		"csv index":       {"trials.csv", []byte(header + "\nx" + row), "line 2: \"x3\" is not the index"},
		"beyond":          {"trials.csv", []byte(header + "\n15625" + line[1:]), "15625"},
		"csv fields":      {"trials.csv", []byte(header + "\n3,4,5\n"), "architecture 3 (from line 2), row 1: wrong number of fields"},
		"csv number":      {"trials.csv", with("cifar10-valid,12,2,", "cifar10-valid,12,two,"), `column 5, epochs: "two" is not a whole number`},
		"csv range":       {"trials.csv", with("cifar10-valid,12,2,", "cifar10-valid,12,99999999999999999999,"), `column 5, epochs: "99999999999999999999" is not a whole number within its range`},
		"csv list":        {"trials.csv", with("0.0125;0.013", "0.0125;fast"), `column 12, latency_seconds_per_batch_of_256: "0.0125;fast" is not a list of numbers separated by ;`},
		"csv in UTF-16":   {"trials.csv", []byte("\xff\xfea\x00"), "trials.csv: the text is in UTF-16"},
		"csv mixed":       {"trials.csv", []byte(header + "\n" + row + row), "the rows of architecture 3 are not adjacent"},
		"epochs missing":  {"epochs.csv", []byte("-"), "epochs.csv"},
		"parquet missing": {"epochs.parquet", []byte("-"), "epochs.parquet"},
	} {
		dir := t.TempDir()
		writeTables(t, dir, trials, epochs)
		path := filepath.Join(dir, x.file)
		var err error
		switch {
		case string(x.text) == "-":
			err = os.Remove(path)
		case x.text == nil:
			info, _ := os.Stat(path)
			err = os.Truncate(path, info.Size()/2)
		default:
			err = os.WriteFile(path, x.text, 0o666)
		}
		if err != nil {
			t.Fatal(err)
		}
		b, err := tableReaders[Format(strings.TrimPrefix(filepath.Ext(x.file), "."))](dir)
		if err == nil {
			_, err = b.Architecture(3)
			b.Close()
		}
		if !usage.Is(err) || !strings.Contains(err.Error(), x.want) || !strings.Contains(err.Error(), x.file) {
			t.Errorf("%s: error %v, want one with %q", name, err, x.want)
		}
	}
}

func csvOf(t testing.TB, trials []TrialRow) []byte {
	dir := t.TempDir()
	writeTables(t, dir, trials, nil)
	text, err := os.ReadFile(filepath.Join(dir, "trials.csv"))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// fuzzTables replaces the table of trials by arbitrary bytes. If an architecture can be read from
// them, its rows must convert back to it.
func fuzzTables(f *testing.F, name string, open func(dir string) (*Benchmark, error)) {
	dir := f.TempDir()
	trials, epochs := RowsOf(gappy(f, 3))
	writeTables(f, dir, trials, epochs)
	path := filepath.Join(dir, name)
	for _, seed := range []string{path, "testdata/lz4/trials.parquet", filepath.Join(dir, strings.Replace(name, "trials", "epochs", 1))} {
		text, err := os.ReadFile(seed)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		if err := os.WriteFile(path, data, 0o666); err != nil {
			t.Fatal(err)
		}
		b, err := open(dir)
		if err != nil {
			return
		}
		defer b.Close()
		for a, err := range b.Architectures() {
			if err != nil {
				continue
			}
			trials, epochs := RowsOf(a)
			if again, err := ArchitectureOf(b.Space, trials, epochs); err != nil || !reflect.DeepEqual(again, a) {
				t.Errorf("%v becomes %v (%v)", a, again, err)
			}
		}
	})
}

func FuzzCSV(f *testing.F) { fuzzTables(f, "trials.csv", OpenCSV) }

func FuzzParquet(f *testing.F) { fuzzTables(f, "trials.parquet", OpenParquet) }

// Tables compressed with LZ4 with a few wrong bytes are read, or refused with an error that names
// them.
func TestLZ4Damaged(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	dir := t.TempDir()
	for range 300 {
		for _, name := range []string{"trials.parquet", "epochs.parquet"} {
			text, err := os.ReadFile(filepath.Join("testdata/lz4", name))
			if err != nil {
				t.Fatal(err)
			}
			for range random.IntN(3) {
				text[random.IntN(len(text))] = byte(random.IntN(256))
			}
			if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
				t.Fatal(err)
			}
		}
		b, err := OpenParquet(dir)
		if err == nil {
			_, err = b.Architecture(11)
			b.Close()
		}
		if err != nil && (!usage.Is(err) || !strings.Contains(err.Error(), dir)) {
			t.Errorf("error %v", err)
		}
	}
}
