package results_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"nb201/internal/seal"
	"nb201/internal/usage"
	. "nb201/results"
	"nb201/results/resultstest"
)

var trial = Trial{Arch: 123, Dataset: "cifar100", Epochs: 12, Seed: 777}

func encode(t testing.TB, r *Record) []byte {
	t.Helper()
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// A record names the element types of initial weights that were converted to float32. For float32
// weights it omits the key, as records did before other types were supported.
func TestConvertedWeights(t *testing.T) {
	r := resultstest.Record(t, trial)
	r.InitialWeights = &StartWeights{File: File{Name: "half.pth", SHA256: strings.Repeat("f", 64)}}
	before := encode(t, r)
	if bytes.Contains(before, []byte("converted_from")) {
		t.Error("weights of float32 count as converted")
	}
	r.InitialWeights.ConvertedFrom = "float16, float64"
	text := encode(t, r)
	if !bytes.Contains(text, []byte(`"converted_from": "float16, float64"`)) {
		t.Errorf("the record lacks the conversion:\n%s", text)
	}
	for _, want := range [][]byte{before, text} {
		back, err := DecodeRecord("r.json", want)
		if err != nil {
			t.Fatal(err)
		}
		if got := encode(t, back); !bytes.Equal(got, want) {
			t.Errorf("read and encoded again:\n%s\nbefore:\n%s", got, want)
		}
	}
}

// A record names the kernels that were used, of the CPU or of the GPU. It omits the other's key, as
// records of earlier versions did.
func TestKernelsInRecord(t *testing.T) {
	r := resultstest.Record(t, trial)
	if bytes.Contains(encode(t, r), []byte("pu_kernels")) {
		t.Error("a record without kernels names some")
	}
	r.Versions.Kernels, r.Versions.GPUKernels = "1 avx2", "2"
	text := encode(t, r)
	if !bytes.Contains(text, []byte(`"cpu_kernels": "1 avx2"`)) || !bytes.Contains(text, []byte(`"gpu_kernels": "2"`)) {
		t.Errorf("the record lacks the kernels:\n%s", text)
	}
	back, err := DecodeRecord("r.json", text)
	if err != nil || back.Versions != r.Versions {
		t.Errorf("%+v, %v", back, err)
	}
	r.Versions.Kernels = "1\x1b[31m"
	if _, err := r.Encode(); err == nil {
		t.Error("a control character passes for the name of a version")
	}
}

func TestRecordReadsBack(t *testing.T) {
	r := resultstest.Record(t, trial)
	r.Precision = "fp64"
	r.Train.Loss[3] = math.Nextafter(1, 2)
	r.Train.Loss[4] = math.SmallestNonzeroFloat64
	r.Train.Top1[4], r.Train.Top5[4] = 100, 100
	r.Train.Loss[5] = math.MaxFloat64
	r.Train.Top1[6], r.Train.Loss[6] = 0, 9
	r.Seed = math.MaxUint32
	r.Weights = &File{Name: "0012-4294967295.pth", SHA256: strings.Repeat("f", 64)}
	text := encode(t, r)
	back, err := DecodeRecord("r.json", text)
	if err != nil {
		t.Fatal(err)
	}
	if again := encode(t, back); !bytes.Equal(again, text) {
		t.Errorf("written again it is\n%s\nnot\n%s", again, text)
	}
	for i, want := range r.Train.Loss {
		if back.Train.Loss[i] != want {
			t.Errorf("loss %d reads %v, not %v", i, back.Train.Loss[i], want)
		}
	}
	if !back.Started.Equal(r.Started) || back.Trial != r.Trial || !reflect.DeepEqual(back.Recipe, r.Recipe) {
		t.Errorf("reads %+v", back)
	}
	if d := r.Diff(back); d != nil {
		t.Errorf("differs in %v", d)
	}
}

// Any JSON reader must find the parts of a record, and a person must find its curves.
func TestRecordIsReadable(t *testing.T) {
	record := resultstest.Record(t, trial)
	record.Definition = bytes.Replace(record.Definition, []byte(`"cifar-100-python"`), []byte(`"a [1,2] folder"`), 1)
	text := encode(t, record)
	var r struct {
		Trial    map[string]any
		Training map[string]any
		FLOPs    float64 `json:"flops_millions"`
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	if r.Trial["dataset"] != "cifar100" || r.Trial["architecture"] != 123.0 || len(r.Training["top1_percent"].([]any)) != 12 || r.FLOPs == 0 {
		t.Errorf("%+v", r)
	}
	for _, line := range []string{`"path": "a [1,2] folder"`, `    "loss": [2.3`, `    "size": [32, 32],`} {
		if !bytes.Contains(text, []byte(line)) {
			t.Errorf("no %s in\n%s", line, text)
		}
	}
}

func TestValidate(t *testing.T) {
	for name, c := range map[string]struct {
		spoil func(r *Record)
		want  string
	}{
		"version":       {func(r *Record) { r.FormatVersion = 3 }, "format_version is 3"},
		"architecture":  {func(r *Record) { r.Arch = 15625 }, "15625 is out of range"},
		"epochs":        {func(r *Record) { r.Trial.Epochs = 0 }, "0 epochs"},
		"dataset":       {func(r *Record) { r.Dataset = "../x" }, "dataset key"},
		"genotype":      {func(r *Record) { r.Genotype = "|none~0|" }, "genotype"},
		"classes":       {func(r *Record) { r.Classes = 0 }, "0 classes"},
		"flops":         {func(r *Record) { r.FLOPs *= 1.001 }, "flops_millions"},
		"params":        {func(r *Record) { r.Params = math.NaN() }, "params_millions"},
		"recipe":        {func(r *Record) { r.Recipe.Epochs = 200 }, "the recipe is 200, of 200 epochs"},
		"batch":         {func(r *Record) { r.Recipe.Batch = 0 }, "recipe: batch, optimizer or scheduler is missing"},
		"definition":    {func(r *Record) { r.Definition = nil }, "dataset_definition"},
		"parity":        {func(r *Record) { r.Parity.Timeline = "" }, "parity"},
		"device":        {func(r *Record) { r.Device = "" }, "device"},
		"attempts":      {func(r *Record) { r.Attempts = 0 }, "attempts"},
		"started":       {func(r *Record) { r.Started = time.Time{} }, "started"},
		"hash":          {func(r *Record) { r.DataFiles[0].SHA256 = "12" }, "SHA-256"},
		"weights hash":  {func(r *Record) { r.Weights = &File{Name: "x"} }, "SHA-256"},
		"images":        {func(r *Record) { r.Eval[1].Images = 0 }, "x-valid: images is 0"},
		"short":         {func(r *Record) { r.Train.Top5 = r.Train.Top5[1:] }, "training: top5_percent has 11 values for 12 epochs"},
		"NaN loss":      {func(r *Record) { r.Train.Loss[7] = math.NaN() }, "training: loss[7] is NaN"},
		"infinite loss": {func(r *Record) { r.Eval[0].Loss[11] = math.Inf(1) }, "ori-test: loss[11] is +Inf"},
		"negative loss": {func(r *Record) { r.Eval[0].Loss[1] = -1 }, "ori-test: loss[1] is -1"},
		"fraction":      {func(r *Record) { r.Eval[2].Top1[0] = 100.5 }, "x-test: top1_percent[0] is 100.5; it must be 0 to 100"},
		"NaN accuracy":  {func(r *Record) { r.Eval[2].Top5[0] = math.NaN() }, "x-test: top5_percent[0] is NaN"},
		"no time":       {func(r *Record) { r.Train.Seconds[0] = 0 }, "training: seconds[0] is 0"},
		"no set":        {func(r *Record) { r.Eval = nil }, "evaluation is empty"},
		"set twice":     {func(r *Record) { r.Eval[1].Set = "ori-test" }, "ori-test is listed twice"},
		"set name":      {func(r *Record) { r.Eval[1].Set = "a@1" }, "evaluation set"},
		"first epoch":   {func(r *Record) { r.Eval[1].FirstEpoch = 12 }, "first_epoch is 12; with 12 epochs it must be 0 to 11"},
		"few epochs":    {func(r *Record) { r.Eval[1].FirstEpoch = 1 }, "loss has 12 values for 11 epochs"},
		"latency":       {func(r *Record) { r.Latency[1] = -1 }, "latency_seconds_per_batch_of_256[1] is -1"},
	} {
		r := resultstest.Record(t, trial)
		c.spoil(r)
		if _, err := r.Encode(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want one with %q", name, err, c.want)
		}
	}
}

func TestReadRecordRefuses(t *testing.T) {
	whole := string(encode(t, resultstest.Record(t, trial)))
	replace := func(old, new string) string { return resealed(t, whole, old, new) }
	path := filepath.Join(t.TempDir(), "record.json")
	for name, c := range map[string]struct{ text, want string }{
		"empty":       {"", "record.json"},
		"cut off":     {whole[:500], "byte 500"},
		"not JSON":    {replace(`"precision"`, `precision`), "byte"},
		"unknown key": {replace(`"precision"`, `"precisions"`), `unknown key "precisions"`},
		"key twice":   {replace(`"precision": "fp32"`, `"precision": "fp32", "precision": "fp32"`), "duplicate key"},
		"text":        {replace(`"seed": 777`, `"seed": "777"`), "trial.seed"},
		"seed":        {replace(`"seed": 777`, `"seed": 4294967296`), "trial.seed"},
		"more":        {whole + "{}", `unknown key "sha256"`},
		"range":       {replace(`"attempts": 1`, `"attempts": 0`), "attempts"},
	} {
		if err := os.WriteFile(path, []byte(c.text), 0o666); err != nil {
			t.Fatal(err)
		}
		_, err := ReadRecord(path)
		if !usage.Is(err) || !strings.Contains(err.Error(), c.want) || !strings.Contains(err.Error(), "record.json") {
			t.Errorf("%s: error %v, want one with the file and %q", name, err, c.want)
		}
	}
	if _, err := ReadRecord(path + "x"); !usage.Is(err) {
		t.Errorf("no file: error %v", err)
	}
}

func TestDiff(t *testing.T) {
	for name, c := range map[string]struct {
		change func(r *Record)
		want   string // "" for none
	}{
		"nothing":     {func(*Record) {}, ""},
		"times":       {func(r *Record) { r.Train.Seconds[0], r.Eval[1].Seconds[2] = 99, 98 }, ""},
		"clock":       {func(r *Record) { r.Started, r.Finished = r.Started.Add(1), r.Finished.Add(2) }, ""},
		"attempts":    {func(r *Record) { r.Attempts = 2 }, ""},
		"latency":     {func(r *Record) { r.Latency = nil }, ""},
		"loss":        {func(r *Record) { r.Train.Loss[3] = 7 }, "training.loss[3]: "},
		"last bit":    {func(r *Record) { r.Eval[2].Loss[0] = math.Nextafter(r.Eval[2].Loss[0], 9) }, "evaluation[2].loss[0]: "},
		"seed":        {func(r *Record) { r.Seed = 888 }, "trial.seed: 777, 888"},
		"workers":     {func(r *Record) { r.Parity.Workers = 0 }, "parity.workers: 4, 0"},
		"weights":     {func(r *Record) { r.Weights = &File{Name: "w", SHA256: strings.Repeat("f", 64)} }, "weights: "},
		"definition":  {func(r *Record) { r.Definition = bytes.Replace(r.Definition, []byte("129.3"), []byte("1"), 1) }, "dataset_definition.mean[0]: 129.3, 1"},
		"fewer files": {func(r *Record) { r.DataFiles = nil }, "data_files: "},
	} {
		a, b := resultstest.Record(t, trial), resultstest.Record(t, trial)
		c.change(b)
		got := a.Diff(b)
		if (c.want == "") != (got == nil) || c.want != "" && !strings.HasPrefix(got[0], c.want) {
			t.Errorf("%s: %v, want %q", name, got, c.want)
		}
		if reverse := b.Diff(a); len(reverse) != len(got) {
			t.Errorf("%s: %v one way, %v the other", name, got, reverse)
		}
	}
}

// resealed replaces text in a record and seals the result.
func resealed(t testing.TB, record, old, new string) string {
	t.Helper()
	object, sealed, err := seal.Open([]byte(record))
	if err != nil || !sealed || !bytes.Contains(object, []byte(old)) {
		t.Fatalf("no %s in the record (%v)", old, err)
	}
	return string(seal.Seal(bytes.Replace(object, []byte(old), []byte(new), 1)))
}

// A record with any single bit flipped is damaged.
func TestFlippedBits(t *testing.T) {
	text := encode(t, resultstest.Record(t, Trial{Arch: 3, Dataset: "digits", Epochs: 2, Seed: 1}))
	for i := range text {
		for bit := range 8 {
			text[i] ^= 1 << bit
			if _, err := DecodeRecord("r.json", text); !errors.Is(err, ErrDamaged) {
				t.Errorf("bit %d of byte %d, %q: %v", bit, i, text[max(0, i-10):min(len(text), i+10)], err)
			}
			text[i] ^= 1 << bit
		}
	}
	if _, err := DecodeRecord("r.json", text); err != nil {
		t.Error(err)
	}
}

// A flipped bit is found even among more records than Damaged decodes.
func TestFlippedBitOfMany(t *testing.T) {
	sound, bad, older := Trial{Arch: 3, Dataset: "digits", Epochs: 2, Seed: 1}, Trial{Arch: 3, Dataset: "digits", Epochs: 2, Seed: 2}, Trial{Arch: 3, Dataset: "digits", Epochs: 2, Seed: 3}
	c := resultstest.Fill(t, sound, bad, older)
	text := encode(t, resultstest.Record(t, bad))
	text[len(text)/2] ^= 1
	r := resultstest.Record(t, older)
	r.FormatVersion = 1
	for trial, text := range map[Trial][]byte{bad: text, older: encode(t, r)} {
		if err := os.WriteFile(c.RecordPath(trial), text, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	many := slices.Concat(slices.Repeat([]Trial{sound}, 9000), []Trial{bad, older})
	found, err := c.Damaged(t.Context(), many, false)
	if err != nil || len(found) != 1 || !errors.Is(found[bad], ErrDamaged) {
		t.Errorf("found %v, %v", found, err)
	}
}

// Old records are read without a SHA-256, records of this version are not, and records of later
// versions are not called damaged.
func TestSealed(t *testing.T) {
	text := string(encode(t, resultstest.Record(t, trial)))
	older := resultstest.Record(t, trial)
	older.FormatVersion = 1
	before := string(encode(t, older))
	var tree map[string]any
	if err := json.Unmarshal([]byte(text), &tree); err != nil {
		t.Fatal(err)
	}
	reformatted, err := json.MarshalIndent(tree, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	const version = `"format_version": 2`
	unsealed := text[:strings.LastIndex(text, ",\n")] + "\n}\n"
	for name, c := range map[string]struct {
		text    string
		damaged bool
		want    string // "" for none
	}{
		"sealed":                        {text, false, ""},
		"of before":                     {before, false, ""},
		"unsealed":                      {unsealed, true, "changed since it was written"},
		"another key of the hash":       {strings.Replace(text, `  "sha256": "`, `  "shA256": "`, 1), true, ""},
		"hash in capitals":              {text[:len(text)-68] + strings.ToUpper(text[len(text)-68:]), true, "its SHA-256 is"},
		"a line break more":             {text + "\n", true, "changed since it was written"},
		"of another system":             {strings.ReplaceAll(text, "\n", "\r\n"), true, "changed since it was written"},
		"reformatted":                   {string(reformatted), true, "changed since it was written"},
		"of before, with a hash":        {resealed(t, text, version, `"format_version": 1`), true, "a record of format version 2 must end with its SHA-256"},
		"of before, of another program": {strings.Replace(before, `"precision"`, `"colour": 1, "precision"`, 1), false, "with format version 1; use that version"},
		"of another program":            {resealed(t, text, `"precision"`, `"colour": 1, "precision"`), false, "with format version 2; use that version"},
		"of another, flipped":           {strings.Replace(resealed(t, text, `"precision"`, `"colour": 1, "precision"`), "cpu", "gpu", 1), true, "its SHA-256 is"},
		"later":                         {resealed(t, text, version, `"format_version": 3`), false, "with format version 3; use that version"},
		"later, without a hash":         {strings.Replace(unsealed, version, `"format_version": 3`, 1), false, "with format version 3; use that version"},
		"later, flipped":                {strings.Replace(text, version, `"format_version": 3`, 1), true, "its SHA-256 is"},
		"no genotype":                   {resealed(t, text, `"genotype": "|`, `"genotype": "|x`), true, "genotype"},
	} {
		r, err := DecodeRecord("r.json", []byte(c.text))
		if (err == nil) != (c.want == "" && !c.damaged) || err != nil && (errors.Is(err, ErrDamaged) != c.damaged || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: error %v, want %q, damaged %v", name, err, c.want, c.damaged)
		}
		if err == nil && r.Sealed() != (name == "sealed") {
			t.Errorf("%s: sealed %v", name, r.Sealed())
		}
	}
	if d := older.Diff(resultstest.Record(t, trial)); d != nil {
		t.Errorf("the same trial, written by two versions, differs in %v", d)
	}
}

func FuzzDecodeRecord(f *testing.F) {
	f.Add(encode(f, resultstest.Record(f, Trial{Arch: 0, Dataset: "digits", Epochs: 1, Seed: 0})))
	f.Add(encode(f, resultstest.Record(f, Trial{Arch: 15624, Dataset: "cifar10-valid", Epochs: 2, Seed: math.MaxUint32})))
	f.Add([]byte(`{"trial":{"seed":-1}}`))
	older := resultstest.Record(f, Trial{Arch: 3, Dataset: "cifar100", Epochs: 2, Seed: 1})
	older.FormatVersion = 1
	f.Add(encode(f, older))
	f.Fuzz(func(t *testing.T, text []byte) {
		r, err := DecodeRecord("fuzz", text)
		if err != nil { // nearly always, since the hash does not match
			if object, sealed, _ := seal.Open(text); sealed {
				r, err = DecodeRecord("fuzz", seal.Seal(object))
			}
		}
		if err != nil || r.Contradictions() != nil {
			return
		}
		again := encode(t, r)
		back, err := DecodeRecord("again", again)
		if err != nil {
			t.Fatalf("%v in\n%s", err, again)
		}
		if !bytes.Equal(encode(t, back), again) {
			t.Errorf("%s\nreads and writes differently", again)
		}
	})
}

// Records written by earlier versions are encoded to the bytes that they were decoded from.
func TestGoldenRecords(t *testing.T) {
	paths, err := filepath.Glob(filepath.Join("benchmark", "testdata", "campaign", "trials", "*", "*", "*.json"))
	if err != nil || len(paths) == 0 {
		t.Fatalf("%d records, %v", len(paths), err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		r, err := ReadRecord(path)
		if err != nil {
			t.Fatal(err)
		}
		if again, err := r.Encode(); err != nil || !bytes.Equal(again, text) {
			t.Errorf("%s is encoded as %s, %v", path, again, err)
		}
	}
}
