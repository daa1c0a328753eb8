package export

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/parquet-go/parquet-go"

	"nb201/cell"
	"nb201/internal/golden"
	"nb201/internal/usage"
	"nb201/results/published"
	"nb201/results/resultstest"
	"nb201/results/tables"
)

// benchmarkDatasets describes the published dataset keys.
var benchmarkDatasets = []SpaceDataset{{"cifar10-valid", 10, 32}, {"cifar10", 10, 32}, {"cifar100", 100, 32}, {"ImageNet16-120", 120, 16}}

// space makes the table and returns it in both formats.
func space(t *testing.T, channels, cells int, datasets []SpaceDataset) (inCSV, inParquet []byte) {
	t.Helper()
	s, err := NewSpace(cell.Topology{}, channels, cells, datasets)
	if err != nil {
		t.Fatal(err)
	}
	var texts [2][]byte
	for i, write := range []func(io.Writer) error{s.WriteCSV, s.WriteParquet} {
		var b bytes.Buffer
		if err := write(&b); err != nil {
			t.Fatal(err)
		}
		texts[i] = b.Bytes()
	}
	return texts[0], texts[1]
}

// spaceRows reads the table in CSV.
func spaceRows(t *testing.T, text []byte) (header []string, rows []tables.SpaceRow) {
	t.Helper()
	records, err := csv.NewReader(bytes.NewReader(text)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	for _, record := range records[1:] {
		var row tables.SpaceRow
		if err := tables.ParseCSV(&row, record); err != nil {
			t.Fatal(err)
		}
		rows = append(rows, row)
	}
	return records[0], rows
}

// Both formats have the same rows in the same order, and the same bytes each time.
func TestSpaceFormats(t *testing.T) {
	inCSV, inParquet := space(t, 16, 5, benchmarkDatasets)
	header, rows := spaceRows(t, inCSV)
	const want = "architecture,genotype,isomorphism_class,dataset,channels,cells,classes,image_size_pixels,flops_millions,params_millions"
	if got := strings.Join(header, ","); got != want {
		t.Errorf("columns %s, want %s", got, want)
	}
	read, err := parquet.Read[tables.SpaceRow](bytes.NewReader(inParquet), int64(len(inParquet)))
	if err != nil || !slices.Equal(read, rows) {
		t.Errorf("%d rows in Parquet (%v), %d in CSV", len(read), err, len(rows))
	}
	f, err := parquet.OpenFile(bytes.NewReader(inParquet), int64(len(inParquet)))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range tables.Columns[tables.SpaceRow]() {
		if about, ok := f.Lookup("about:" + c.Name); !ok || about != c.About(cell.Topology{}) || about == "" {
			t.Errorf("column %s is described as %q", c.Name, about)
		}
	}
	csvAgain, parquetAgain := space(t, 16, 5, benchmarkDatasets)
	if !bytes.Equal(inCSV, csvAgain) || !bytes.Equal(inParquet, parquetAgain) {
		t.Error("the bytes differ when the table is made again")
	}
}

// The rows equal what the original's program computed: genotype strings in order, and costs.
func TestGoldenSpace(t *testing.T) {
	inCSV, _ := space(t, 16, 5, benchmarkDatasets)
	_, rows := spaceRows(t, inCSV)
	if len(rows) != cell.Topologies*len(benchmarkDatasets) {
		t.Fatalf("%d rows", len(rows))
	}
	var archs struct {
		SHA256 string `json:"sha256_joined_newline_no_trailing"`
	}
	golden.Load(t, "archs.json", &archs)
	var costs struct {
		Rows map[int]map[int][2]float64 // index -> classes -> FLOPs, parameters
	}
	golden.Load(t, "flops.json", &costs)
	var genotypes []string
	classes := map[int]bool{}
	compared := 0
	for i, row := range rows {
		d := benchmarkDatasets[i%len(benchmarkDatasets)]
		if row.Architecture != i/len(benchmarkDatasets) || row.Dataset != d.Key || row.Classes != d.Classes || row.Size != d.Size || row.Channels != 16 || row.Cells != 5 {
			t.Fatalf("row %d: %+v", i, row)
		}
		if i%len(benchmarkDatasets) == 0 {
			genotypes = append(genotypes, row.Genotype)
		}
		if row.Class == row.Architecture {
			classes[row.Class] = true
		}
		if !classes[row.Class] { // the class has the smallest index in it, whose row came before
			t.Fatalf("row %d: class %d", i, row.Class)
		}
		if want, ok := costs.Rows[row.Architecture][row.Classes]; ok {
			compared++
			if row.FLOPs != want[0] || row.Params != want[1] {
				t.Errorf("row %d: %v MFLOPs, %v Mparams, want %v", i, row.FLOPs, row.Params, want)
			}
		}
	}
	if len(classes) != 6466 {
		t.Errorf("%d isomorphism classes", len(classes))
	}
	if want := len(costs.Rows) * len(benchmarkDatasets); compared != want {
		t.Errorf("compared %d rows with golden vectors, want %d", compared, want)
	}
	for _, i := range []int{0, 11} { // published records, to the bit, so that tables join on the numbers too
		var record map[string]struct { // by "schedule|dataset key|seed"
			FLOPs  float64 `json:"flop_M"`
			Params float64 `json:"params_MB"`
		}
		text, err := os.ReadFile(fmt.Sprintf("../../testdata/published/%06d.summary.json", i))
		if err == nil {
			err = json.Unmarshal(text, &record)
		}
		if err != nil || len(record) != 17 {
			t.Fatalf("%d trials, %v", len(record), err)
		}
		for trial, want := range record {
			key := strings.Split(trial, "|")[1]
			row := rows[len(benchmarkDatasets)*i+slices.IndexFunc(benchmarkDatasets, func(d SpaceDataset) bool { return d.Key == key })]
			if row.FLOPs != want.FLOPs || row.Params != want.Params {
				t.Errorf("%d %s: %+v, published %+v", i, trial, row, want)
			}
		}
	}
	sum := sha256.Sum256([]byte(strings.Join(genotypes, "\n")))
	if got := hex.EncodeToString(sum[:]); got != archs.SHA256 {
		t.Errorf("SHA-256 of the genotype strings is %s, want %s", got, archs.SHA256)
	}
}

func TestSpaceOfImpossibleNetworks(t *testing.T) {
	for want, d := range map[string]SpaceDataset{"30x30 pixels": {"a", 10, 30}, "1 classes": {"a", 1, 32}} {
		if s, err := NewSpace(cell.Topology{}, 16, 5, []SpaceDataset{benchmarkDatasets[0], d}); s != nil || !usage.Is(err) || !strings.Contains(err.Error(), want) {
			t.Errorf("%+v: %v", d, err)
		}
	}
}

// pandas reads both formats as the same table, and joins it with exported tables on the columns that
// they share.
func TestPandasJoinsSpace(t *testing.T) {
	python := python(t)
	dir := t.TempDir()
	c := resultstest.Fill(t, resultstest.Grid(7, 15624)...)
	export(t, c, published.Parquet, filepath.Join(dir, "parquet"))
	export(t, c, published.CSV, filepath.Join(dir, "csv"))
	inCSV, inParquet := space(t, 8, 1, benchmarkDatasets) // C and N of the trials
	for name, text := range map[string][]byte{"space.csv": inCSV, "space.parquet": inParquet} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	const script = `import pandas, sys
dir = sys.argv[1]
space = pandas.read_parquet(dir + "/space.parquet")
pandas.testing.assert_frame_equal(space, pandas.read_csv(dir + "/space.csv"), check_exact=True)
print(space.shape, space.architecture.nunique(), space.genotype.nunique(), space.isomorphism_class.nunique())
for trials, epochs in [
    (pandas.read_parquet(dir + "/parquet/trials.parquet"), pandas.read_parquet(dir + "/parquet/epochs.parquet")),
    (pandas.read_csv(dir + "/csv/trials.csv"), pandas.read_csv(dir + "/csv/epochs.csv")),
]:
    shared = [c for c in space if c in trials]
    joined = trials.merge(space, validate="many_to_one")  # on all columns that both have
    print(shared, len(trials), len(joined))
    joined = epochs.merge(space, on=["architecture", "dataset"], validate="many_to_one")
    print(len(epochs), len(joined), sorted(set(joined.columns) - set(epochs.columns)))
`
	out, err := exec.Command(python, "-W", "error", "-c", script, dir).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := "(62500, 10) 15625 15625 6466\n" + strings.Repeat(
		"['architecture', 'genotype', 'dataset', 'channels', 'cells', 'classes', 'flops_millions', 'params_millions'] 24 24\n"+
			"EPOCHS EPOCHS ['cells', 'channels', 'classes', 'flops_millions', 'genotype', 'image_size_pixels', 'isomorphism_class', 'params_millions']\n", 2)
	epochs := 0
	for _, trial := range resultstest.Grid(7, 15624) {
		r := resultstest.Record(t, trial)
		epochs += trial.Epochs * (1 + len(r.Eval))
	}
	if want = strings.ReplaceAll(want, "EPOCHS", strconv.Itoa(epochs)); string(out) != want {
		t.Errorf("pandas prints\n%s, not\n%s", out, want)
	}
}
