package results

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/infile"
	"nb201/internal/seal"
	"nb201/internal/usage"
)

// FormatVersion is the version of the record's JSON that this program writes. It also reads
// version 1, whose records do not contain a SHA-256 over themselves.
const FormatVersion = 2

// unsealedVersion is the version of records without a SHA-256 over the file; the rest of
// their JSON is the same.
const unsealedVersion = 1

// Record describes a finished trial: what was trained, how, on which machine, and what was
// measured. [ReadRecord] and [Campaign.Record] read one; [Campaign.Publish] writes one.
//
// The last key of its file is a SHA-256 over the file itself. Package seal describes how it
// is computed and how to verify it with two lines of Python. A record of format version 1
// has no such key; see [Record.Sealed].
type Record struct {
	FormatVersion int `json:"format_version"` // FormatVersion, or 1 for an old record
	Trial         `json:"trial"`

	Genotype  string  `json:"genotype"` // string of the architecture, such as a genotype string
	Classes   int     `json:"classes"`
	ImageSize int     `json:"image_size_pixels"` // side of the square images
	FLOPs     float64 `json:"flops_millions"`    // multiply-adds for one image, in millions
	Params    float64 `json:"params_millions"`   // parameters, in millions

	Recipe configs.Recipe `json:"recipe"`
	// RecipeSHA256 is the hash of a user's own recipe ([configs.Recipe.Hash]). It is "" if the schedule is
	// named by its number of epochs.
	RecipeSHA256 string `json:"recipe_sha256,omitzero"`
	// Definition is the complete definition of the dataset, a JSON object.
	Definition jsontext.Value `json:"dataset_definition"`
	Parity     Parity         `json:"parity"`

	Precision configs.Precision `json:"precision"`
	Device    string            `json:"device"` // "cpu", or the GPU and its name
	Versions  Versions          `json:"versions"`

	DataFiles      []File        `json:"data_files"`                // files that the images were read from, in reading order
	InitialWeights *StartWeights `json:"initial_weights,omitempty"` // nil: drawn from the seed
	Weights        *File         `json:"weights"`                   // weights file in the campaign; nil: not kept

	Attempts int       `json:"attempts"` // including the one that finished
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`

	Train Pass         `json:"training"`
	Eval  []Evaluation `json:"evaluation"` // in the order in which an epoch evaluates the sets
	// Latency holds the seconds that each evaluation of a batch of 256 images took at the end
	// of the trial. It is nil if latency was not measured, as in a trial with another batch
	// size.
	Latency []float64 `json:"latency_seconds_per_batch_of_256,omitempty"`
}

// Parity describes whose random streams a trial used.
type Parity struct {
	Profile  configs.Parity   `json:"profile"`
	Timeline configs.Timeline `json:"timeline"`
	Workers  int              `json:"workers"` // data loader workers of the original
}

// TrialSettings returns the parity profile, timeline, workers, precision, channels, cells and
// batch size that the trial was trained with. To compare trials, use [Record.Settings].
func (r *Record) TrialSettings() configs.Settings {
	return configs.Settings{
		Parity: r.Parity.Profile, Timeline: r.Parity.Timeline, Workers: r.Parity.Workers, Precision: r.Precision,
		Channels: r.Recipe.Channels, Cells: r.Recipe.Cells, Batch: r.Recipe.Batch,
	}
}

// Versions lists the versions of the software that computed a trial.
type Versions struct {
	Program string `json:"nb201"`
	GoMLX   string `json:"gomlx"`
	Plugin  string `json:"xla_plugin"`
	// PluginSHA256 is the SHA-256 of the plugin's file in hexadecimal; "" in records of older
	// versions.
	PluginSHA256 string `json:"xla_plugin_sha256,omitempty"`
	// Kernels names the CPU kernels of nb201 that the process used: version and instruction
	// set ("3 avx2"), or "none" where the plugin does not support them.
	// Results in float32 from different kernels differ by rounding. "" on a GPU and in records
	// of older versions.
	Kernels string `json:"cpu_kernels,omitempty"`
	// GPUKernels is the version of the kernels of nb201 that programs for the GPU call, or "none".
	// "" on the CPU and in records of older versions.
	GPUKernels string `json:"gpu_kernels,omitempty"`
}

// File is a file's name and the SHA-256 of its contents.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"` // 64 lower-case hexadecimal digits
}

// StartWeights describes stored weights that a trial started from instead of weights drawn
// from its seed.
type StartWeights struct {
	// File is the file of the weights. Its name is followed by the trial, if the file holds
	// several, and by ", new classifier" if NewClassifier is true.
	File
	// ConvertedFrom lists the element types that were converted to float32, such as float16;
	// "" if all were float32.
	ConvertedFrom string `json:"converted_from,omitempty"`
}

const newClassifier = ", new classifier"

// SetNewClassifier records that the classifier was drawn from the seed, not read from the file.
func (w *StartWeights) SetNewClassifier() { w.Name += newClassifier }

// NewClassifier reports whether the classifier was drawn from the seed, not read from the file.
func (w *StartWeights) NewClassifier() bool { return strings.HasSuffix(w.Name, newClassifier) }

// Curve holds one value per epoch for each measure.
type Curve struct {
	Loss    []float64 `json:"loss"`         // mean cross entropy
	Top1    []float64 `json:"top1_percent"` // top-1 accuracy, 0 to 100
	Top5    []float64 `json:"top5_percent"` // top-5 accuracy, 0 to 100; 100 with fewer than five classes
	Seconds []float64 `json:"seconds"`      // wall time of the whole pass
}

// Pass holds the measures of passes over a set of images. A training pass measures in
// training mode, each batch before its update.
type Pass struct {
	Images int `json:"images"` // images per pass
	Curve
}

// Evaluation holds the measures of an evaluation set, one per epoch from FirstEpoch to the
// last, or one per epoch in Epochs.
type Evaluation struct {
	Set        string `json:"set"`         // name of the evaluation set, such as "ori-test"
	FirstEpoch int    `json:"first_epoch"` // counted from 0
	// Epochs lists the epochs after which the set was evaluated, counted from 0; nil: all from
	// FirstEpoch on.
	Epochs []int `json:"epochs,omitzero"`
	Pass
}

// EvaluatedEpochs lists the epochs of the measures, counted from 0, of a trial with this many
// epochs.
func (e *Evaluation) EvaluatedEpochs(epochs int) []int {
	if e.Epochs != nil {
		return e.Epochs
	}
	all := make([]int, max(epochs-e.FirstEpoch, 0))
	for i := range all {
		all[i] = e.FirstEpoch + i
	}
	return all
}

// Network returns the network that was trained. It fails if the architecture does not exist.
func (r *Record) Network() (cell.Network, error) {
	arch, err := r.Architecture()
	return cell.Network{
		Arch: arch, Channels: r.Recipe.Channels, Cells: r.Recipe.Cells,
		Classes: r.Classes, Size: r.ImageSize,
	}, err
}

// Sealed reports whether the record's file contains a SHA-256 over itself.
func (r *Record) Sealed() bool { return r.FormatVersion != unsealedVersion }

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Validate reports why r is not the record of a finished trial: something is missing, a value
// is out of range or not finite, or the costs do not match the network.
func (r *Record) Validate() error {
	if r.FormatVersion != FormatVersion && r.FormatVersion != unsealedVersion {
		return fmt.Errorf("format_version is %d; this program reads %d and %d", r.FormatVersion, unsealedVersion, FormatVersion)
	}
	if err := r.Trial.Check(); err != nil {
		return err
	}
	network, err := r.Network()
	if err != nil {
		return err
	}
	if err := network.Validate(); err != nil {
		return err
	}
	flops, params := network.FLOPs(), network.Params()
	switch {
	case r.Genotype != network.Arch.String():
		return fmt.Errorf("genotype %q does not match architecture %d, which is %s", r.Genotype, r.Arch, network.Arch)
	case !SameCost(r.FLOPs, flops):
		return fmt.Errorf("flops_millions is %v, but the network has %v", r.FLOPs, flops)
	case !SameCost(r.Params, params):
		return fmt.Errorf("params_millions is %v, but the network has %v", r.Params, params)
	case r.Recipe.Epochs != r.Epochs || r.Recipe.Name != r.Trial.Recipe:
		return fmt.Errorf("the recipe is %s, of %d epochs, but the trial's is %s, of %d", r.Recipe.Schedule(), r.Recipe.Epochs, r.Schedule(), r.Epochs)
	case (r.RecipeSHA256 != "" || r.Recipe.Name != "") && r.RecipeSHA256 != r.Recipe.Hash():
		return fmt.Errorf("recipe_sha256 is %q, but the recipe's is %s", r.RecipeSHA256, r.Recipe.Hash())
	case r.Recipe.Batch < 1 || r.Recipe.Optimizer == "" || r.Recipe.Scheduler == "":
		return errors.New("recipe: batch, optimizer or scheduler is missing")
	case r.Definition.Kind() != '{':
		return errors.New("dataset_definition is not a JSON object")
	case r.Parity.Profile == "" || r.Parity.Timeline == "" || r.Parity.Workers < 0:
		return errors.New("parity: profile or timeline is missing, or workers is negative")
	case r.Precision == "" || r.Device == "" || r.Versions.Program == "" || r.Versions.GoMLX == "" || r.Versions.Plugin == "":
		return errors.New("precision, device or a version is missing")
	case r.Attempts < 1 || r.Started.IsZero() || r.Finished.IsZero():
		return errors.New("attempts, started or finished is missing")
	}
	if len(r.DataFiles) == 0 {
		return errors.New("data_files is empty")
	}
	files := slices.Clone(r.DataFiles)
	if r.InitialWeights != nil {
		files = append(files, r.InitialWeights.File)
	}
	if r.Weights != nil {
		files = append(files, *r.Weights)
	}
	if err := checkFiles(files); err != nil {
		return err
	}
	return r.validateMeasures()
}

// checkFiles checks that each file has a name and a SHA-256.
func checkFiles(files []File) error {
	for _, f := range files {
		if f.Name == "" || !sha256Pattern.MatchString(f.SHA256) {
			return fmt.Errorf("file %q with SHA-256 %q: a name and 64 lower-case hexadecimal digits are required", f.Name, f.SHA256)
		}
	}
	return nil
}

// checkEpochs checks the list of epochs, of a trial with this many, if there is one.
func (e *Evaluation) checkEpochs(epochs int) error {
	if e.Epochs == nil {
		return nil
	}
	before := -1
	for _, epoch := range e.Epochs {
		if epoch <= before || epoch >= epochs {
			return fmt.Errorf("epochs contains %d after %d; it must list epochs from 0 to %d in ascending order", epoch, before, epochs-1)
		}
		before = epoch
	}
	if before != epochs-1 || e.Epochs[0] != e.FirstEpoch {
		return fmt.Errorf("epochs must begin with first_epoch, %d, and end with the last epoch, %d", e.FirstEpoch, epochs-1)
	}
	return nil
}

func (r *Record) validateMeasures() error {
	if err := r.Train.validate("training", r.Epochs); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, e := range r.Eval {
		if err := configs.CheckName(e.Set); err != nil {
			return fmt.Errorf("evaluation set %w", err)
		}
		if seen[e.Set] {
			return fmt.Errorf("evaluation set %s is listed twice", e.Set)
		}
		seen[e.Set] = true
		if e.FirstEpoch < 0 || e.FirstEpoch >= r.Epochs {
			return fmt.Errorf("%s: first_epoch is %d; with %d epochs it must be 0 to %d", e.Set, e.FirstEpoch, r.Epochs, r.Epochs-1)
		}
		if err := e.checkEpochs(r.Epochs); err != nil {
			return fmt.Errorf("%s: %w", e.Set, err)
		}
		if err := e.validate(e.Set, len(e.EvaluatedEpochs(r.Epochs))); err != nil {
			return err
		}
	}
	if len(r.Eval) == 0 {
		return errors.New("evaluation is empty")
	}
	for i, s := range r.Latency {
		if !positive(s) {
			return fmt.Errorf("latency_seconds_per_batch_of_256[%d] is %v; it must be positive and finite", i, s)
		}
	}
	return nil
}

// validate reports what is wrong with the measures of a set over the given number of epochs.
func (p *Pass) validate(set string, epochs int) error {
	if p.Images < 1 {
		return fmt.Errorf("%s: images is %d; it must be at least 1", set, p.Images)
	}
	percent := func(v float64) bool { return v >= 0 && v <= 100 }
	for _, m := range []struct {
		name   string
		values []float64
		valid  func(float64) bool
		rule   string
	}{
		{"loss", p.Loss, func(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }, "finite and not negative"},
		{"top1_percent", p.Top1, percent, "0 to 100"},
		{"top5_percent", p.Top5, percent, "0 to 100"},
		{"seconds", p.Seconds, positive, "positive and finite"},
	} {
		if len(m.values) != epochs {
			return fmt.Errorf("%s: %s has %d values for %d epochs", set, m.name, len(m.values), epochs)
		}
		if i := slices.IndexFunc(m.values, func(v float64) bool { return !m.valid(v) }); i >= 0 {
			return fmt.Errorf("%s: %s[%d] is %v; it must be %s", set, m.name, i, m.values[i], m.rule)
		}
	}
	return nil
}

func positive(v float64) bool { return v > 0 && !math.IsInf(v, 0) }

// SameCost reports whether stored FLOPs or parameters equal a network's, up to the rounding
// of files written by other programs.
func SameCost(stored, computed float64) bool {
	return math.Abs(stored-computed) <= 1e-9*math.Abs(computed)
}

// numbers matches a list of numbers in indented JSON. It cannot match inside a string, which
// contains no line break.
var numbers = regexp.MustCompile(`\[\n[-+.0-9eE,\s]*\]`)

// Encode returns r as JSON that people can read too: indented, with each curve on one line.
// Equal records give equal bytes, and every float64 reads back exactly. Encode fails if r is
// not valid or has [Record.Contradictions].
func (r *Record) Encode() ([]byte, error) {
	if err := r.Validate(); err != nil {
		return nil, fmt.Errorf("record of %v: %w", r.Trial, err)
	}
	if found := r.Contradictions(); found != nil {
		return nil, fmt.Errorf("record of %v: %s", r.Trial, strings.Join(found, "; "))
	}
	b, err := json.Marshal(r, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("record of %v: %w", r.Trial, err)
	}
	b = numbers.ReplaceAllFunc(b, func(list []byte) []byte {
		return bytes.ReplaceAll(bytes.Join(bytes.Fields(list), nil), []byte(","), []byte(", "))
	})
	if r.Sealed() {
		return seal.Seal(b), nil
	}
	return append(b, '\n'), nil
}

// ReadRecord reads and validates a record. Unknown keys, wrong types and anything that
// [Record.Validate] refuses are errors. Errors are usage errors that name the file and the
// place in it; if the record is damaged, the error is [ErrDamaged].
func ReadRecord(path string) (*Record, error) {
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		return nil, recordError(err)
	}
	return decodeRecord(path, text)
}

func decodeRecord(path string, text []byte) (*Record, error) {
	if len(bytes.TrimLeft(text, "\x00")) == 0 { // a power failure may leave such a file
		return nil, damaged(usage.Errorf("%s: the record is empty (%d bytes)", path, len(text)))
	}
	object, sealed, err := seal.Open(text)
	if err != nil {
		return nil, damaged(usage.Errorf("%s was changed since it was written: %w", path, err))
	}
	if sealed {
		text = object
	}
	r := new(Record)
	if err = configs.Decode(path, text, r); err == nil {
		if err = r.Validate(); err == nil && r.Sealed() == sealed {
			return r, nil
		}
		err = usage.Errorf("%s: %w", path, cmp.Or(err, errNotSealed))
	}
	version, sound := otherVersion(text)
	switch {
	case version == FormatVersion && !sealed, version == unsealedVersion && sealed: // this matters more than err
		return nil, damaged(usage.Errorf("%s was changed since it was written: %w", path, errNotSealed))
	case sound:
		return nil, usage.Errorf("%s was written by another version of nb201, with format version %d; use that version, or another directory (%w)",
			path, version, err)
	}
	return nil, damaged(err)
}

var errNotSealed = fmt.Errorf("a record of format version %d must end with its SHA-256, and no other may", FormatVersion)

// otherVersion returns the format version of a text that is not a valid record of this
// version, 0 if it has none. It is sound, that is, a record of another version and not
// damaged, if its version is later or if only unknown keys make it invalid here.
func otherVersion(text []byte) (version int, sound bool) {
	var r Record
	if json.Unmarshal(text, &r) != nil {
		var head struct {
			FormatVersion int `json:"format_version"`
		}
		if json.Unmarshal(text, &head) != nil {
			return 0, false
		}
		return head.FormatVersion, head.FormatVersion > FormatVersion
	}
	return r.FormatVersion, r.FormatVersion > FormatVersion || r.Validate() == nil
}

// Seconds returns the total wall time of all training and evaluation passes, in seconds.
func (r *Record) Seconds() float64 {
	sum := 0.0
	for _, s := range r.Train.Seconds {
		sum += s
	}
	for _, e := range r.Eval {
		for _, s := range e.Seconds {
			sum += s
		}
	}
	return sum
}

// Diff lists the differences between r and other, each as "key: value, other's value". It
// ignores what may differ between two runs of the same command: times, latency, attempts and
// the format version. No differences mean that the two results are equal.
func (r *Record) Diff(other *Record) []string {
	var differences []string
	diffTrees("", comparableTree(r), comparableTree(other), &differences)
	return differences
}

// comparableTree returns the JSON of r as a tree, without what Diff ignores.
func comparableTree(r *Record) any {
	c := *r
	c.FormatVersion = 0 // both versions give the same facts
	c.Attempts, c.Started, c.Finished, c.Latency = 0, time.Time{}, time.Time{}, nil
	c.Train.Seconds = nil
	c.Eval = slices.Clone(r.Eval)
	for i := range c.Eval {
		c.Eval[i].Seconds = nil
	}
	var tree any
	text, err := json.Marshal(c)
	if err == nil {
		err = json.Unmarshal(text, &tree)
	}
	if err != nil {
		return fmt.Sprint("not a record: ", err) // does not happen with a valid record
	}
	return tree
}

// diffTrees appends the differences between two JSON trees at a path such as
// "evaluation[0].loss".
func diffTrees(path string, a, b any, differences *[]string) {
	switch x := a.(type) {
	case map[string]any:
		if y, ok := b.(map[string]any); ok {
			keys := map[string]bool{}
			for _, m := range []map[string]any{x, y} {
				for k := range m {
					keys[k] = true
				}
			}
			for _, k := range slices.Sorted(maps.Keys(keys)) {
				diffTrees(strings.TrimPrefix(path+"."+k, "."), x[k], y[k], differences)
			}
			return
		}
	case []any:
		if y, ok := b.([]any); ok && len(x) == len(y) {
			for i := range x {
				diffTrees(fmt.Sprintf("%s[%d]", path, i), x[i], y[i], differences)
			}
			return
		}
	}
	if !reflect.DeepEqual(a, b) {
		*differences = append(*differences, fmt.Sprintf("%s: %v, %v", path, a, b))
	}
}
