package schemas_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"nb201/configs"
	"nb201/data"
	"nb201/docs/schemas"
	"nb201/internal/schematest"
	"nb201/internal/seal"
	"nb201/results"
	"nb201/results/resultstest"
	"nb201/scheduler/attempt"
	"nb201/scheduler/plan"
	"nb201/scheduler/state"
)

// file is a kind of files: the type that nb201 decodes them to, whether it refuses unknown keys, a
// valid text, where that lies in a directory, and how nb201 reads it there.
type file struct {
	goType any
	strict bool
	sample func(t *testing.T) []byte
	name   string
	read   func(path string) error
}

var someTrial = results.Trial{Arch: 123, Dataset: "cifar10-valid", Epochs: 12, Seed: 777}

const trialJSON = `{"architecture": 123, "dataset": "cifar10-valid", "epochs": 12, "seed": 777}`

// recipeJSON has every key that a recipe can have at the same time.
const recipeJSON = `{"name": "warm-steps", "epochs": 12, "batch": 64, "optimizer": "SGD", "learning_rate": 0.1, "momentum": 0.9, "nesterov": true,
	"weight_decay": 5e-4, "decayed": "weights", "scheduler": "steps", "eta_min": 0, "milestones": [6, 9], "gamma": 0.1, "warmup": 2,
	"label_smoothing": 0.1, "augment": {"flip": true, "crop": false, "cutout": 8}, "evaluate_every": 3, "channels": 16, "cells": 5}`

var files = map[string]file{
	"definition": {data.Definition{}, true, definition, "own.json", func(path string) error {
		_, err := data.ReadDefinition(path)
		return err
	}},
	"recipe": {configs.Recipe{}, true, text(recipeJSON), "recipe.json", func(path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		var r configs.Recipe
		if err := configs.Decode(path, text, &r); err != nil {
			return err
		}
		return r.Check()
	}},
	"evaluation": {results.EvaluationRecord{}, true, evaluation, "evaluations/own/trials/" + someTrial.Path() + ".json", func(path string) error {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, seal.Seal(bytes.TrimSuffix(text, []byte("\n"))), 0o666); err != nil {
			return err
		}
		r, err := results.EvaluationsOn(filepath.Join(path, "../../../../../.."), "own").Evaluation(someTrial)
		if err == nil {
			_, err = data.DecodeDefinition(path, r.Definition, "")
		}
		return err
	}},
	"evaluations": {results.EvaluationPlan{}, true, evaluationPlan, "evaluations/own/evaluation.json", func(path string) error {
		p, err := results.ReadEvaluationPlan(filepath.Dir(path))
		if err == nil {
			_, err = data.DecodeDefinition(path, p.Definition, p.Directory)
		}
		return err
	}},
	"record": {results.Record{}, true, record, "record.json", func(path string) error {
		_, err := results.ReadRecord(path)
		return err
	}},
	"plan": {plan.Plan{}, true, fileAt("../../scheduler/plan/testdata/golden-settings/plan.json"), "plan.json", func(path string) error {
		_, err := plan.Read(filepath.Dir(path))
		return err
	}},
	"failure": {attempt.Failure{}, false, text(`{"trial": ` + trialJSON + `, "attempts": [{"when": "2026-01-02T03:04:05Z", "host": "h",
		"device": "cpu", "kind": "crashed", "reason": "it died", "log": "logs/h-1-cpu-0.log"}], "set_aside": true}`),
		"failed/000123/cifar10-valid/0012-0777.json", func(path string) error {
			_, err := attempt.ReadFailure(path)
			return err
		}},
	"run": {state.Run{}, false, text(`{"host": "h", "pid": 7, "started": "2026-01-02T03:04:05Z", "chunk": "1/2", "workers": [{"device": "cpu",
		"index": 0, "trial": ` + trialJSON + `, "attempt": 1, "stage": "train", "epoch": 3, "epochs": 12, "since": "2026-01-02T03:04:05Z",
		"images_per_second": 99.5, "log": "logs/h-7-cpu-0.log", "last_training": {"set": "train", "epoch": 3, "loss": 0.5, "top1_percent": 75.5},
		"last_evaluation": {"set": "x-valid", "epoch": 2, "loss": 0.75, "top1_percent": 70.25}}], "finished": 2, "failed": 0, "paused": "the disk is full",
		"last_hour": {"seconds": 60, "trials": 2, "images": 1e6}}`),
		"running/h-7.json", func(path string) error {
			_, err := state.ReadRun(path)
			return err
		}},
	"latency": {results.LatencyTable{}, true, text(`{"batch": 256, "warm_up_runs": 3, "channels": 16, "cells": 5, "precision": "fp32", "device": "cpu",
		"versions": {"nb201": "0.2.0", "gomlx": "v0.28.2", "xla_plugin": "0.115", "xla_plugin_sha256": "00", "cpu_kernels": "1 avx2", "gpu_kernels": "none"},
		"latencies": [{"architecture": 15624, "genotype": "|nor_conv_1x1~0|+|none~0|nor_conv_1x1~1|+|none~0|nor_conv_1x1~1|nor_conv_1x1~2|",
		"dataset": "cifar10", "classes": 10, "image_size_pixels": 32, "latency_seconds_per_batch": [0.5, 0.25]}]}`),
		"latency.json", func(path string) error {
			_, err := results.ReadLatencyTable(path)
			return err
		}},
}

func text(s string) func(*testing.T) []byte { return func(*testing.T) []byte { return []byte(s) } }

func fileAt(path string) func(*testing.T) []byte {
	return func(t *testing.T) []byte {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return text
	}
}

// definition has every key that a definition can have at the same time.
func definition(*testing.T) []byte {
	return []byte(`{"name": "own", "format": "npz", "path": "own.npz", "classes": 3, "images": {"train": 90, "test": 30}, "size": [20, 20],
		"mean": [125.3, 123, 113.9], "std": [63, 62.1, 66.7], "augment": {"flip": true, "crop_padding": 4},
		"train": {"from": "train", "half": "first", "half_seed": 18446744073709551615, "order": "subset"},
		"eval": [{"name": "ori-test", "from": "test", "order": "sequential"},
			{"name": "x-valid", "from": "train", "half": "second", "half_seed": 18446744073709551615, "order": "subset"},
			{"name": "x-test", "from": "test", "indices": "list.json", "order": "subset"},
			{"name": "other", "from": "test", "split": "cifar100-test-split/xtest", "order": "shuffle"}]}`)
}

// evaluationOnly is a definition of evaluation sets alone.
func evaluationOnly(*testing.T) []byte {
	return []byte(`{"name": "own", "format": "npz", "path": "own.npz", "classes": 3, "images": {"train": 90, "test": 30}, "size": [20, 20],
		"mean": [125.3, 123, 113.9], "std": [63, 62.1, 66.7], "augment": {"flip": false, "crop_padding": 0},
		"eval": [{"name": "noise-1", "from": "noise-1", "order": "sequential"},
			{"name": "x-test", "from": "test", "indices": "list.json", "order": "subset"}]}`)
}

// record has every key that a record can have but the SHA-256 over itself, which a changed one
// would need again.
func record(t *testing.T) []byte {
	r := resultstest.Record(t, someTrial)
	r.FormatVersion = 1
	r.InitialWeights = &results.StartWeights{File: results.File{Name: "w.pth", SHA256: strings.Repeat("0a", 32)}, ConvertedFrom: "float16"}
	r.Weights = &results.File{Name: "0012-0777.pth", SHA256: strings.Repeat("0b", 32)}
	r.Versions.PluginSHA256, r.Versions.Kernels = strings.Repeat("0c", 32), "1 avx2"
	r.Versions.GPUKernels = "none"
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// evaluation has every key that the record of an evaluation can have but the SHA-256 over itself.
func evaluation(t *testing.T) []byte {
	r := resultstest.Evaluation(t, someTrial, strings.Repeat("0a", 32))
	r.Versions.PluginSHA256, r.Versions.Kernels = strings.Repeat("0c", 32), "1 avx2"
	r.Versions.GPUKernels = "none"
	text, err := r.Encode()
	if err != nil {
		t.Fatal(err)
	}
	object, _, err := seal.Open(text)
	if err != nil {
		t.Fatal(err)
	}
	return object
}

// evaluationPlan has every key that a plan of evaluations can have.
func evaluationPlan(t *testing.T) []byte {
	r := resultstest.Evaluation(t, someTrial, strings.Repeat("0a", 32))
	text, err := json.Marshal(results.EvaluationPlan{
		FormatVersion: 1, Source: "/benchmark", Dataset: "own", Directory: "/sets", Definition: r.Definition, DataFiles: r.DataFiles, Batch: 256,
	})
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// TestKinds makes sure that every schema is tested here and watched for in tests.
func TestKinds(t *testing.T) {
	names, err := filepath.Glob("*.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	var kinds []string
	for _, name := range names {
		kinds = append(kinds, strings.TrimSuffix(name, ".schema.json"))
	}
	if tested := slices.Sorted(maps.Keys(files)); !slices.Equal(kinds, tested) || !slices.Equal(kinds, schematest.Kinds()) {
		t.Errorf("schemas %q, tested %q, watched %q", kinds, tested, schematest.Kinds())
	}
}

// TestRepository validates the files that this repository and the program contain.
func TestRepository(t *testing.T) {
	for _, dir := range []string{
		"../../configs/datasets", "../../cmd/nb201/testdata/campaign", "../../results/benchmark/testdata/campaign",
		"../../scheduler/plan/testdata/golden-settings", "../../scheduler/plan/testdata/golden-published",
	} {
		schematest.CheckDir(t, dir)
	}
	for path, kind := range map[string]string{
		"../../testdata/cifar10-small.json": "definition", "../../configs/recipes/12.json": "recipe", "../../configs/recipes/200.json": "recipe",
	} {
		if err := schematest.Validate(kind, fileAt(path)(t)); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	sealed, err := resultstest.Record(t, someTrial).Encode()
	if err != nil {
		t.Fatal(err)
	}
	if err := schematest.Validate("record", sealed); err != nil {
		t.Error(err)
	}
	for _, other := range []string{`"format_version": 1`, `"format_version": 3`} { // one of version 1 has no SHA-256
		if schematest.Validate("record", []byte(strings.Replace(string(sealed), `"format_version": 2`, other, 1))) == nil {
			t.Errorf("a record with a SHA-256 and %s is valid", other)
		}
	}
	bare := strings.Replace(string(record(t)), `"format_version": 1`, `"format_version": 2`, 1)
	if schematest.Validate("record", []byte(bare)) == nil {
		t.Error("a record of format version 2 without its SHA-256 is valid")
	}
}

// TestMutations changes every value of a sample: what nb201 refuses to read is not valid.
func TestMutations(t *testing.T) {
	// What only a look at other keys finds, as a schema cannot.
	elsewhere := func(kind, what string) bool {
		return kind == "plan" && slices.Contains([]string{"/datasets: empty", "/schedules: empty", "/parts/0/epochs: empty"}, what)
	}
	samples := maps.Clone(files)
	alone := files["definition"]
	alone.sample = evaluationOnly
	samples["definition of evaluation sets alone"] = alone
	for name, f := range samples {
		kind, _, _ := strings.Cut(name, " ")
		t.Run(name, func(t *testing.T) {
			sample := f.sample(t)
			path := filepath.Join(t.TempDir(), f.name)
			if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
				t.Fatal(err)
			}
			refused := func(text []byte) error {
				if err := os.WriteFile(path, text, 0o666); err != nil {
					t.Fatal(err)
				}
				return f.read(path)
			}
			if err := refused(sample); err != nil {
				t.Fatalf("nb201 does not read the sample: %v", err)
			}
			if err := schematest.Validate(kind, sample); err != nil {
				t.Fatalf("the sample is not valid: %v", err)
			}
			found, mutations := 0, 0
			mutate(t, sample, func(what string, text []byte) {
				mutations++
				err := refused(text)
				invalid := schematest.Validate(kind, text) != nil
				if err != nil {
					found++
				}
				switch mustBe := strings.HasSuffix(what, ": wrong type") || f.strict && strings.HasSuffix(what, ": unknown key"); {
				case err != nil && !invalid && !elsewhere(kind, what):
					t.Errorf("%s: valid, but nb201 refuses it: %v", what, err)
				case mustBe && !invalid:
					t.Errorf("%s: valid", what)
				}
			})
			if mutations < 40 || found < mutations/4 {
				t.Errorf("%d mutations, of which nb201 refuses %d", mutations, found)
			}
		})
	}
}

// mutate calls try with what it does to a JSON text, and the text then.
func mutate(t *testing.T, sample []byte, try func(what string, text []byte)) {
	var root any
	decoder := json.NewDecoder(strings.NewReader(string(sample)))
	decoder.UseNumber()
	if err := decoder.Decode(&root); err != nil {
		t.Fatal(err)
	}
	attempt := func(what string) {
		text, err := json.MarshalIndent(root, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		try(what, text)
	}
	var walk func(pointer string, value any, set func(any))
	walk = func(pointer string, value any, set func(any)) {
		replace := func(how string, other any) {
			set(other)
			attempt(pointer + ": " + how)
			set(value)
		}
		replace("null", nil)
		switch v := value.(type) {
		case map[string]any:
			replace("wrong type", []any{})
			v["surprise"] = 1
			attempt(pointer + ": unknown key")
			delete(v, "surprise")
			for _, key := range slices.Sorted(maps.Keys(v)) {
				member := v[key]
				delete(v, key)
				attempt(pointer + "/" + key + ": missing")
				v[key] = member
				walk(pointer+"/"+key, member, func(other any) { v[key] = other })
			}
		case []any:
			replace("wrong type", map[string]any{})
			replace("empty", []any{})
			for i := range v {
				walk(fmt.Sprintf("%s/%d", pointer, i), v[i], func(other any) { v[i] = other })
			}
		case string:
			replace("wrong type", 7)
			replace("empty", "")
		case json.Number:
			replace("wrong type", "7")
			replace("negative", -1)
		case bool:
			replace("wrong type", "true")
		}
	}
	walk("", root, func(other any) { root = other })
}

// TestEvaluationOnly: the schema refuses what contradicts a definition of evaluation sets alone.
func TestEvaluationOnly(t *testing.T) {
	const train = `"train": {"from": "train", "order": "shuffle"}, "eval"`
	for _, change := range [][2]string{
		{`"eval"`, train}, {`"npz"`, `"imagenet16"`}, {`"flip": false`, `"flip": true`}, {`"crop_padding": 0`, `"crop_padding": 1`},
		{`"from": "noise-1"`, `"from": "a/b"`}, {`"eval"`, `"train": {}, "eval"`},
	} {
		text := strings.Replace(string(evaluationOnly(t)), change[0], change[1], 1)
		path := filepath.Join(t.TempDir(), "own.json")
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
		if _, err := data.ReadDefinition(path); err == nil || schematest.Validate("definition", []byte(text)) == nil {
			t.Errorf("%s in place of %s: nb201 %v, and the schema %v", change[1], change[0], err, schematest.Validate("definition", []byte(text)))
		}
	}
}

// TestFields compares the properties of the schemas with the fields of the Go types.
func TestFields(t *testing.T) {
	docs := map[string]node{}
	for kind := range files {
		text, err := schemas.Files.ReadFile(kind + ".schema.json")
		if err != nil {
			t.Fatal(err)
		}
		doc := node{}
		if err := json.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		docs[doc["$id"].(string)] = doc
	}
	for id, doc := range docs {
		kind := strings.Split(id, ":")[2]
		c := comparison{t, docs, doc, files[kind].strict, kind}
		c.compare(kind, doc, reflect.TypeOf(files[kind].goType))
	}
}

// TestPage finds every property of the schemas on the page of the formats.
func TestPage(t *testing.T) {
	page := string(fileAt("../formats.md")(t))
	for kind := range files {
		var doc any
		if err := json.Unmarshal(fileAt(kind+".schema.json")(t), &doc); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(page, "(schemas/"+kind+".schema.json)") {
			t.Errorf("the page does not link to the schema of a %s", kind)
		}
		for key := range propertiesIn(doc) {
			if !strings.Contains(page, "`"+key+"`") {
				t.Errorf("the page lacks the key %q of a %s", key, kind)
			}
		}
	}
}

// propertiesIn returns the names of all properties in a part of a schema.
func propertiesIn(part any) map[string]bool {
	names := map[string]bool{}
	switch part := part.(type) {
	case []any:
		for _, item := range part {
			maps.Copy(names, propertiesIn(item))
		}
	case map[string]any:
		for key, value := range part {
			if properties, ok := value.(map[string]any); ok && key == "properties" {
				for name := range properties {
					names[name] = true
				}
			}
			maps.Copy(names, propertiesIn(value))
		}
	}
	return names
}

// node is a schema or a part of one.
type node map[string]any

type comparison struct {
	t      *testing.T
	docs   map[string]node
	doc    node // in which a reference # is looked up
	strict bool
	kind   string
}

// resolve follows references, to the part of the schema that has a type.
func (c comparison) resolve(n node) node {
	if ref, ok := n["$ref"].(string); ok {
		if name, local := strings.CutPrefix(ref, "#/$defs/"); local {
			return c.resolve(c.doc["$defs"].(map[string]any)[name].(map[string]any))
		}
		if other, name, ok := strings.Cut(ref, "#/$defs/"); ok {
			c.doc = c.docs[other]
			return c.resolve(c.doc["$defs"].(map[string]any)[name].(map[string]any))
		}
		return c.docs[ref]
	}
	for _, key := range []string{"allOf", "oneOf"} {
		list, _ := n[key].([]any)
		for _, part := range list {
			if part := node(part.(map[string]any)); n["type"] == nil && part["$ref"] != nil {
				return c.resolve(part)
			}
		}
	}
	return n
}

func (c comparison) compare(at string, n node, goType reflect.Type) {
	if n["description"] == nil {
		c.t.Errorf("%s has no description", at)
	}
	n = c.resolve(n)
	if goType.Kind() == reflect.Pointer {
		goType = goType.Elem()
	}
	kinds := map[reflect.Kind]string{
		reflect.Bool: "boolean", reflect.String: "string", reflect.Float64: "number", reflect.Int: "integer", reflect.Uint32: "integer",
		reflect.Uint64: "integer", reflect.Slice: "array", reflect.Array: "array", reflect.Struct: "object",
	}
	want := kinds[goType.Kind()]
	switch goType {
	case reflect.TypeFor[time.Time]():
		want = "string"
		if n["format"] != "date-time" {
			c.t.Errorf("%s is not a date-time", at)
		}
	case reflect.TypeFor[jsontext.Value](): // a dataset definition, in whatever form it was
		if n["$id"] != "urn:nb201:definition:1" {
			c.t.Errorf("%s is not a definition", at)
		}
		return
	}
	if n["type"] != want {
		c.t.Errorf("%s has the type %v, not %s", at, n["type"], want)
		return
	}
	switch want {
	case "array":
		c.compare(at+"[]", n["items"].(map[string]any), goType.Elem())
	case "object":
		c.compareObject(at, n, goType)
	}
}

func (c comparison) compareObject(at string, n node, goType reflect.Type) {
	if (n["additionalProperties"] == false) != c.strict {
		c.t.Errorf("%s: additionalProperties is %v, nb201 refuses unknown keys: %t", at, n["additionalProperties"], c.strict)
	}
	properties, _ := n["properties"].(map[string]any)
	fields, required := fieldsOf(goType)
	if at == "record" || at == "evaluation" {
		fields["sha256"] = reflect.TypeFor[string]() // package seal adds it
	}
	if a, b := slices.Sorted(maps.Keys(properties)), slices.Sorted(maps.Keys(fields)); !slices.Equal(a, b) {
		c.t.Errorf("%s: the schema has %q, %v has %q", at, a, goType, b)
		return
	}
	var listed []string
	for _, key := range n["required"].([]any) {
		listed = append(listed, key.(string))
	}
	slices.Sort(listed)
	slices.Sort(required)
	// People write definitions, and may leave out what is zero.
	if c.kind == "definition" {
		required = slices.DeleteFunc(required, func(key string) bool { return !slices.Contains(listed, key) })
	}
	if !slices.Equal(listed, required) {
		c.t.Errorf("%s: required are %q, %v always writes %q", at, listed, goType, required)
	}
	for key, goType := range fields {
		c.compare(at+"."+key, properties[key].(map[string]any), goType)
	}
}

// fieldsOf returns the types of a struct's fields by their JSON keys, and the keys that are always
// written.
func fieldsOf(goType reflect.Type) (fields map[string]reflect.Type, required []string) {
	fields = map[string]reflect.Type{}
	for i := range goType.NumField() {
		f := goType.Field(i)
		key, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		switch {
		case f.Anonymous && key == "":
			inner, always := fieldsOf(f.Type)
			maps.Copy(fields, inner)
			required = append(required, always...)
		case !f.IsExported() || key == "-" || options == "embed": // embed: keys of a newer version
		default:
			fields[key] = f.Type
			if !strings.HasPrefix(options, "omit") {
				required = append(required, key)
			}
		}
	}
	return fields, required
}
