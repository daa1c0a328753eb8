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

// FormatVersion is the version of the record's JSON that this program writes. It reads
// that of before too, unsealedVersion.
const FormatVersion = 2

// unsealedVersion of the record's JSON is the same without a SHA-256 over the file.
const unsealedVersion = 1

// Record is what a trial leaves.
//
// Its file carries, as the last key, a SHA-256 over itself: package seal says how it is
// made, and how to check it with two lines of Python. A record of the format version 1 has
// none (Sealed).
type Record struct {
	FormatVersion int `json:"format_version"`
	Trial         `json:"trial"`

	Genotype  string  `json:"genotype"` // of the architecture
	Classes   int     `json:"classes"`
	ImageSize int     `json:"image_size_pixels"` // side of the square images
	FLOPs     float64 `json:"flops_millions"`    // multiply-adds of one image
	Params    float64 `json:"params_millions"`

	Recipe configs.Recipe `json:"recipe"`
	// Definition is the whole dataset definition that was trained on.
	Definition jsontext.Value `json:"dataset_definition"`
	Parity     Parity         `json:"parity"`

	Precision configs.Precision `json:"precision"`
	Device    string            `json:"device"` // cpu, or the GPU and its name
	Versions  Versions          `json:"versions"`

	DataFiles      []File        `json:"data_files"`                // that the images were read from
	InitialWeights *StartWeights `json:"initial_weights,omitempty"` // nil: drawn from the seed
	Weights        *File         `json:"weights"`                   // in the campaign; nil: dropped

	Attempts int       `json:"attempts"` // this one included
	Started  time.Time `json:"started"`
	Finished time.Time `json:"finished"`

	Train Pass         `json:"training"`
	Eval  []Evaluation `json:"evaluation"` // in the order in which an epoch evaluates them
	// Latency holds the times of evaluations of a batch of 256 images at the end of the
	// trial, each in full; nil: not measured, as of a trial of another batch.
	Latency []float64 `json:"latency_seconds_per_batch_of_256,omitempty"`
}

// Parity says whose random streams a trial drew from.
type Parity struct {
	Profile  configs.Parity   `json:"profile"`
	Timeline configs.Timeline `json:"timeline"`
	Workers  int              `json:"workers"` // of the data loader
}

// TrialSettings returns the settings that the trial was trained with.
func (r *Record) TrialSettings() configs.Settings {
	return configs.Settings{
		Parity: r.Parity.Profile, Timeline: r.Parity.Timeline, Workers: r.Parity.Workers, Precision: r.Precision,
		Channels: r.Recipe.Channels, Cells: r.Recipe.Cells, Batch: r.Recipe.Batch,
	}
}

// Versions of what computed a trial.
type Versions struct {
	Program string `json:"nb201"`
	GoMLX   string `json:"gomlx"`
	Plugin  string `json:"xla_plugin"`
	// PluginSHA256 is that of the plugin's file, in hex; "" in records of older versions.
	PluginSHA256 string `json:"xla_plugin_sha256,omitempty"`
	// Kernels are the program's own kernels for the CPU that the process had: their version and
	// instruction set ("1 avx2"), or none where the plugin or the processor takes none. Where
	// they differ, results in float32 differ by rounding. "" on a GPU and in records of older
	// versions.
	Kernels string `json:"cpu_kernels,omitempty"`
}

// File is a file and the SHA-256 of its content in hex.
type File struct {
	Name   string `json:"name"`
	SHA256 string `json:"sha256"`
}

// StartWeights are weights that a trial started from in place of those that the seed draws.
type StartWeights struct {
	// File is the file; to its name are added the trial, where it holds several, and a new
	// classifier.
	File
	// ConvertedFrom are the element types that were taken as float32, such as float16; ""
	// when they were float32.
	ConvertedFrom string `json:"converted_from,omitempty"`
}

const newClassifier = ", new classifier"

// SetNewClassifier says that the classifier was drawn from the seed all the same.
func (w *StartWeights) SetNewClassifier() { w.Name += newClassifier }

// NewClassifier reports whether the classifier was drawn from the seed all the same.
func (w *StartWeights) NewClassifier() bool { return strings.HasSuffix(w.Name, newClassifier) }

// Curve holds a value per epoch of each measure.
type Curve struct {
	Loss    []float64 `json:"loss"`         // mean cross entropy
	Top1    []float64 `json:"top1_percent"` // accuracy, 0..100
	Top5    []float64 `json:"top5_percent"` // with fewer than five classes 100
	Seconds []float64 `json:"seconds"`      // wall time of the whole pass
}

// Pass is what was measured on a set of images. A training pass measures before each
// update, in training mode.
type Pass struct {
	Images int `json:"images"`
	Curve
}

// Evaluation is what was measured on an evaluation set, epoch by epoch from
// FirstEpoch to the last.
type Evaluation struct {
	Set        string `json:"set"`
	FirstEpoch int    `json:"first_epoch"`
	Pass
}

// Network is the network that was trained.
func (r *Record) Network() (cell.Network, error) {
	arch, err := cell.ByIndex(r.Arch)
	return cell.Network{
		Arch: arch, Channels: r.Recipe.Channels, Cells: r.Recipe.Cells,
		Classes: r.Classes, Size: r.ImageSize,
	}, err
}

// Sealed reports whether the file of the record carries a SHA-256 over itself.
func (r *Record) Sealed() bool { return r.FormatVersion != unsealedVersion }

var sha256Pattern = regexp.MustCompile(`^[0-9a-f]{64}$`)

// Validate tells what makes r no record of a finished trial: anything left out, a
// value that is not finite or out of its range, costs that are not the network's.
func (r *Record) Validate() error {
	if r.FormatVersion != FormatVersion && r.FormatVersion != unsealedVersion {
		return fmt.Errorf("format version %d is not %d or %d, those this program knows", r.FormatVersion, unsealedVersion, FormatVersion)
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
		return fmt.Errorf("genotype %q is not that of architecture %d, %s", r.Genotype, r.Arch, network.Arch)
	case !SameCost(r.FLOPs, flops):
		return fmt.Errorf("flops_millions is %v, the network has %v", r.FLOPs, flops)
	case !SameCost(r.Params, params):
		return fmt.Errorf("params_millions is %v, the network has %v", r.Params, params)
	case r.Recipe.Epochs != r.Epochs:
		return fmt.Errorf("the recipe has %d epochs, the trial %d", r.Recipe.Epochs, r.Epochs)
	case r.Recipe.Batch < 1 || r.Recipe.Optimizer == "" || r.Recipe.Scheduler == "":
		return errors.New("the recipe lacks its batch, optimizer or scheduler")
	case r.Definition.Kind() != '{':
		return errors.New("dataset_definition is not an object")
	case r.Parity.Profile == "" || r.Parity.Timeline == "" || r.Parity.Workers < 0:
		return errors.New("parity lacks its profile, timeline or workers")
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
	for _, f := range files {
		if f.Name == "" || !sha256Pattern.MatchString(f.SHA256) {
			return fmt.Errorf("the SHA-256 of file %q is %q", f.Name, f.SHA256)
		}
	}
	return r.validateMeasures()
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
			return fmt.Errorf("evaluation set %s stands there twice", e.Set)
		}
		seen[e.Set] = true
		if e.FirstEpoch < 0 || e.FirstEpoch >= r.Epochs {
			return fmt.Errorf("%s: first_epoch is %d of %d epochs", e.Set, e.FirstEpoch, r.Epochs)
		}
		if err := e.validate(e.Set, r.Epochs-e.FirstEpoch); err != nil {
			return err
		}
	}
	if len(r.Eval) == 0 {
		return errors.New("no evaluation set")
	}
	for i, s := range r.Latency {
		if !positive(s) {
			return fmt.Errorf("latency_seconds_per_batch_of_256[%d] is %v", i, s)
		}
	}
	return nil
}

// validate tells what is wrong with what was measured on a set in so many epochs.
func (p *Pass) validate(set string, epochs int) error {
	if p.Images < 1 {
		return fmt.Errorf("%s has %d images", set, p.Images)
	}
	percent := func(v float64) bool { return v >= 0 && v <= 100 }
	for _, m := range []struct {
		name   string
		values []float64
		valid  func(float64) bool
	}{
		{"loss", p.Loss, func(v float64) bool { return v >= 0 && !math.IsInf(v, 0) }},
		{"top1_percent", p.Top1, percent},
		{"top5_percent", p.Top5, percent},
		{"seconds", p.Seconds, positive},
	} {
		if len(m.values) != epochs {
			return fmt.Errorf("%s has %d values of %s for %d epochs", set, len(m.values), m.name, epochs)
		}
		if i := slices.IndexFunc(m.values, func(v float64) bool { return !m.valid(v) }); i >= 0 {
			return fmt.Errorf("%s: %s[%d] is %v", set, m.name, i, m.values[i])
		}
	}
	return nil
}

func positive(v float64) bool { return v > 0 && !math.IsInf(v, 0) }

// SameCost tells whether FLOPs or parameters are those that a network has, up to the
// rounding of files that were written elsewhere.
func SameCost(told, has float64) bool { return math.Abs(told-has) <= 1e-9*math.Abs(has) }

// numbers is a list of numbers in indented JSON; no string holds a line break.
var numbers = regexp.MustCompile(`\[\n[-+.0-9eE,\s]*\]`)

// Encode is r as JSON, for people too: indented, a curve on one line. Equal records
// give equal bytes, and every float reads back exactly. r must be valid and without
// Contradictions.
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

// ReadRecord reads a record strictly. Errors are usage errors that name the file
// and the place in it; one of a record that is damaged is ErrDamaged.
func ReadRecord(path string) (*Record, error) {
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		return nil, recordError(err)
	}
	return decodeRecord(path, text)
}

func decodeRecord(path string, text []byte) (*Record, error) {
	if len(bytes.TrimLeft(text, "\x00")) == 0 { // as a file is that a power failure emptied
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
	case version == FormatVersion && !sealed, version == unsealedVersion && sealed: // whatever else is wrong
		return nil, damaged(usage.Errorf("%s was changed since it was written: %w", path, errNotSealed))
	case sound:
		return nil, usage.Errorf("%s was written by another version of this program, with format version %d: use that version, or another directory (%w)", path, version, err)
	}
	return nil, damaged(err)
}

var errNotSealed = fmt.Errorf("a record ends in its SHA-256 exactly where its format version is %d", FormatVersion)

// otherVersion is the format version of a text that is no record of this version, 0 when it
// has none. It is sound all the same, as one of another version is, when that is later or
// only keys are not known here.
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

// Seconds returns the wall time of all passes of training and evaluation, in seconds.
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

// Diff lists where r and other differ, each as "key: value, other's value", but for
// what two runs of the same command may differ in: times, latency, attempts and the
// format version. None means the same result.
func (r *Record) Diff(other *Record) []string {
	var differences []string
	diff("", timeless(r), timeless(other), &differences)
	return differences
}

// timeless is the JSON of r, as a tree, less what Diff leaves out.
func timeless(r *Record) any {
	c := *r
	c.FormatVersion = 0 // each says the same
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
		return fmt.Sprint("no record: ", err) // never that of a valid record
	}
	return tree
}

func diff(at string, a, b any, differences *[]string) {
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
				diff(strings.TrimPrefix(at+"."+k, "."), x[k], y[k], differences)
			}
			return
		}
	case []any:
		if y, ok := b.([]any); ok && len(x) == len(y) {
			for i := range x {
				diff(fmt.Sprintf("%s[%d]", at, i), x[i], y[i], differences)
			}
			return
		}
	}
	if !reflect.DeepEqual(a, b) {
		*differences = append(*differences, fmt.Sprintf("%s: %v, %v", at, a, b))
	}
}
