package results

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/configs"
	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/internal/seal"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// EvaluationVersion is the version of the JSON of evaluation records that this program writes, and
// the only one that it reads.
const EvaluationVersion = 1

// EvaluationRecord holds the measures of a trial's trained weights on the evaluation sets of a
// dataset, which need not be the one that the trial was trained on: corrupted images, or another
// test set. Its file ends with a SHA-256 over itself, as that of a [Record] does.
type EvaluationRecord struct {
	FormatVersion int   `json:"format_version"` // EvaluationVersion
	Trial         Trial `json:"trial"`          // whose weights were evaluated
	// WeightsSHA256 is the SHA-256 of the weights in nb201's file format ([HashWeights]), in which a
	// campaign stores them.
	WeightsSHA256 string         `json:"weights_sha256"`
	Definition    jsontext.Value `json:"dataset_definition"` // of the dataset evaluated on
	DataFiles     []File         `json:"data_files"`
	Batch         int            `json:"batch"` // images

	Precision configs.Precision `json:"precision"`
	Device    string            `json:"device"`
	Versions  Versions          `json:"versions"`
	Attempts  int               `json:"attempts"`
	Finished  time.Time         `json:"finished"`

	Sets []SetResult `json:"evaluation"` // in the definition's order
}

// SetResult holds the measures of weights on an evaluation set.
type SetResult struct {
	Set    string `json:"set"`
	Images int    `json:"images"`
	Averages
}

// Averages holds the means over a pass over a set of images.
type Averages struct {
	Loss    float64 `json:"loss"`         // mean cross entropy
	Top1    float64 `json:"top1_percent"` // accuracy, 0 to 100
	Top5    float64 `json:"top5_percent"` // 100 if there are fewer than five classes
	Seconds float64 `json:"seconds"`      // wall time of the whole pass
}

// AddTo appends the averages to a curve.
func (a Averages) AddTo(c *Curve) {
	c.Loss = append(c.Loss, a.Loss)
	c.Top1 = append(c.Top1, a.Top1)
	c.Top5 = append(c.Top5, a.Top5)
	c.Seconds = append(c.Seconds, a.Seconds)
}

// HashWeights returns the SHA-256 in hexadecimal of the file in which a campaign would store weights.
func HashWeights(weights torchfile.StateDict) (string, error) {
	hash := sha256.New()
	err := torchfile.Write(hash, weights)
	return hex.EncodeToString(hash.Sum(nil)), err
}

// Validate reports why r is not the record of an evaluation: something is missing or out of range.
func (r *EvaluationRecord) Validate() error {
	if r.FormatVersion != EvaluationVersion {
		return fmt.Errorf("format_version is %d; this program reads %d", r.FormatVersion, EvaluationVersion)
	}
	if err := r.Trial.Check(); err != nil {
		return err
	}
	switch {
	case r.Definition.Kind() != '{':
		return errors.New("dataset_definition is not a JSON object")
	case r.Batch < 1:
		return fmt.Errorf("batch is %d; it must be at least 1", r.Batch)
	case r.Precision == "" || r.Device == "" || r.Versions.Program == "" || r.Versions.GoMLX == "" || r.Versions.Plugin == "":
		return errors.New("precision, device or a version is missing")
	case r.Attempts < 1 || r.Finished.IsZero():
		return errors.New("attempts or finished is missing")
	case !sha256Pattern.MatchString(r.WeightsSHA256):
		return fmt.Errorf("weights_sha256 is %q; 64 lower-case hexadecimal digits are required", r.WeightsSHA256)
	case len(r.Sets) == 0:
		return errors.New("evaluation is empty")
	}
	if err := checkFiles(r.DataFiles); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, s := range r.Sets {
		if err := configs.CheckName(s.Set); err != nil {
			return fmt.Errorf("evaluation set %w", err)
		}
		if seen[s.Set] {
			return fmt.Errorf("evaluation set %s is listed twice", s.Set)
		}
		seen[s.Set] = true
		var curve Curve
		s.AddTo(&curve)
		if err := (&Pass{s.Images, curve}).validate(s.Set, 1); err != nil {
			return err
		}
	}
	return nil
}

// Encode returns r as indented JSON with its SHA-256. It fails if r is not valid, or has [EvaluationRecord.Contradictions].
func (r *EvaluationRecord) Encode() ([]byte, error) {
	err := r.Validate()
	if wrong := r.Contradictions(); err == nil && len(wrong) > 0 {
		err = errors.New(strings.Join(wrong, "; "))
	}
	if err != nil {
		return nil, fmt.Errorf("evaluation of %v: %w", r.Trial, err)
	}
	text, err := json.Marshal(r, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return nil, fmt.Errorf("evaluation of %v: %w", r.Trial, err)
	}
	return seal.Seal(text), nil
}

// decodeEvaluation decodes and checks the text of the evaluation record at path. Its errors are as for
// decodeRecord.
func decodeEvaluation(path string, text []byte) (*EvaluationRecord, error) {
	object, sealed, err := seal.Open(text)
	if err == nil && !sealed {
		err = errors.New("it does not end with its SHA-256")
	}
	if err != nil {
		return nil, damaged(usage.Errorf("%s: the evaluation record is damaged: %w", path, err))
	}
	r := new(EvaluationRecord)
	if err = configs.Decode(path, object, r); err == nil {
		if err = r.Validate(); err == nil {
			return r, nil
		}
		err = usage.Errorf("%s: %w", path, err)
	}
	var head struct {
		FormatVersion int `json:"format_version"`
	}
	if json.Unmarshal(object, &head) == nil && head.FormatVersion > EvaluationVersion {
		return nil, usage.Errorf("%s was written by a later version of nb201, with format version %d; use that version", path, head.FormatVersion)
	}
	return nil, damaged(err)
}

// Evaluation reads the evaluation record of t in a campaign of the kind [Evaluated]. Its errors are
// those of [Campaign.Record].
func (c Campaign) Evaluation(t Trial) (*EvaluationRecord, error) {
	path := c.RecordPath(t)
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		return nil, recordError(err)
	}
	r, err := decodeEvaluation(path, text)
	if err == nil && r.Trial != t {
		return nil, damaged(usage.Errorf("%s contains the evaluation of another trial: %v", path, r.Trial))
	}
	return r, err
}

// PublishEvaluation writes an evaluation record into a campaign of the kind [Evaluated], atomically and
// synced to disk. If the trial is already evaluated, it changes nothing and its error wraps [ErrDone].
func (c Campaign) PublishEvaluation(r *EvaluationRecord) error {
	return c.publish(r.Trial, func(atomicfile.Root) ([]byte, error) { return r.Encode() })
}

// evaluationsName is the directory of the evaluations on further datasets, in a campaign or in a
// directory of their own.
const evaluationsName = "evaluations"

// EvaluationsOn returns the campaign, of the kind [Evaluated], for the evaluations below dir on the
// dataset key.
func EvaluationsOn(dir, key string) Campaign {
	return Campaign{Dir: filepath.Join(dir, evaluationsName, key), Kind: Evaluated}
}

// CampaignAt returns the campaign at dir, of the kind [Evaluated] if it has an [EvaluationPlan].
func CampaignAt(dir string) Campaign {
	if _, _, ok := evaluationAt(dir); ok {
		return Campaign{Dir: dir, Kind: Evaluated}
	}
	return Campaign{Dir: dir}
}

// ListEvaluations lists the dataset keys of the evaluations below dir, in order; none if there are none.
// A directory without an [EvaluationPlan] is not one of evaluations.
func ListEvaluations(dir string) (keys []string, err error) {
	names, err := entryNames(dir, evaluationsName)
	if isAbsent(err) {
		return nil, nil
	}
	for _, name := range names {
		if _, _, ok := evaluationAt(EvaluationsOn(dir, name).Dir); ok && configs.CheckName(name) == nil {
			keys = append(keys, name)
		}
	}
	return keys, err
}

// EvaluationPlan says which evaluations a campaign of the kind [Evaluated] holds. It is the file
// evaluation.json in the campaign's directory.
type EvaluationPlan struct {
	FormatVersion int `json:"format_version"` // EvaluationVersion
	// Source is the benchmark whose weights are evaluated: an absolute path, or "." for the campaign
	// that contains the evaluations.
	Source  string `json:"source"`
	Dataset string `json:"dataset"` // key of the dataset evaluated on
	// Directory is searched first for the relative paths of a user's definition. It is empty for a
	// published dataset.
	Directory  string         `json:"directory,omitzero"`
	Definition jsontext.Value `json:"dataset_definition"`
	DataFiles  []File         `json:"data_files"`
	Batch      int            `json:"batch"` // images
}

// evaluationPlanName is the name of the file of an EvaluationPlan.
const evaluationPlanName = "evaluation.json"

// ReadEvaluationPlan reads and checks the evaluation plan of the campaign at dir. Its errors are usage
// errors that name the file; without one, the error is [fs.ErrNotExist].
func ReadEvaluationPlan(dir string) (*EvaluationPlan, error) {
	path := filepath.Join(dir, evaluationPlanName)
	text, err := infile.Read(path, infile.MaxText)
	if err != nil {
		return nil, usage.Errorf("cannot read the plan of evaluations: %w", err)
	}
	p := new(EvaluationPlan)
	if err := configs.Decode(path, text, p); err != nil {
		return nil, err
	}
	if err := p.validate(); err != nil {
		return nil, usage.Errorf("%s: %w", path, err)
	}
	if _, key, ok := evaluationAt(dir); ok && p.Dataset != key {
		return nil, usage.Errorf("%s: key \"dataset\": it is %q in the directory of %q; restore the directory's name", path, p.Dataset, key)
	}
	return p, nil
}

func (p *EvaluationPlan) validate() error {
	switch {
	case p.FormatVersion != EvaluationVersion:
		return fmt.Errorf("key \"format_version\": version %d is not supported; this version of nb201 reads version %d", p.FormatVersion, EvaluationVersion)
	case p.Source != sourceAround && !filepath.IsAbs(p.Source):
		return fmt.Errorf("key \"source\": %q is neither an absolute path nor %q", p.Source, sourceAround)
	case p.Definition.Kind() != '{':
		return errors.New("key \"dataset_definition\": it is not a JSON object")
	case p.Batch < 1:
		return fmt.Errorf("key \"batch\": it is %d; use at least 1", p.Batch)
	}
	if err := configs.CheckName(p.Dataset); err != nil {
		return fmt.Errorf("key \"dataset\": %w", err)
	}
	return checkFiles(p.DataFiles)
}

// sourceAround is the Source of evaluations in the campaign whose weights they evaluate.
const sourceAround = "."

// SetNames lists the names of the evaluation sets, as their definition has them.
func (p *EvaluationPlan) SetNames() []string {
	var d struct {
		Eval []struct {
			Name string `json:"name"`
		} `json:"eval"`
	}
	if json.Unmarshal(p.Definition, &d) != nil {
		return nil // whoever reads the definition reports it
	}
	names := make([]string, len(d.Eval))
	for i, set := range d.Eval {
		names[i] = set.Name
	}
	return names
}

// SourceIn returns the path of the benchmark whose weights are evaluated below dir.
func (p *EvaluationPlan) SourceIn(dir string) string {
	if p.Source == sourceAround {
		return dir
	}
	return p.Source
}

// SameSource reports whether the evaluations of p and other, both below dir, are of one benchmark.
func (p *EvaluationPlan) SameSource(other *EvaluationPlan, dir string) bool {
	a, b := p.SourceIn(dir), other.SourceIn(dir)
	return a == b || sameFile(a, b)
}

// IsSourceGone reports whether the benchmark whose weights are evaluated below dir does not exist any
// more: it was moved or removed.
func (p *EvaluationPlan) IsSourceGone(dir string) bool {
	_, err := os.Stat(p.SourceIn(dir))
	return isAbsent(err)
}

// SetSource sets the source of the evaluations below dir.
func (p *EvaluationPlan) SetSource(source, dir string) error {
	source, err := filepath.Abs(source)
	if err != nil {
		return err
	}
	if dir, err = filepath.Abs(dir); err != nil {
		return err
	}
	p.Source = source
	if sameFile(source, dir) {
		p.Source = sourceAround
	}
	return nil
}

// sameFile reports whether two paths lead to one file or directory.
func sameFile(a, b string) bool {
	first, err1 := os.Stat(a)
	second, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(first, second)
}

// Write writes the plan into the campaign of evaluations, which may have one that only has another
// source. If another process has written a plan for other evaluations meanwhile, the error is that of
// [EvaluationPlan.CheckAgainst].
func (p *EvaluationPlan) Write(c Campaign) error {
	text, err := json.Marshal(p, json.Deterministic(true), jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	if err := atomicfile.MkdirAll(c.Dir); err != nil {
		return err
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.CheckAgainst(c); err != nil {
		return err
	}
	return c.Within(func(root atomicfile.Root) error {
		return root.Replace(evaluationPlanName, func(w io.Writer) error { _, err := w.Write(append(text, '\n')); return err })
	})
}

// ErrOtherEvaluations reports that a directory holds evaluations of another kind on the same dataset key.
var ErrOtherEvaluations = errors.New("the evaluations are on another dataset")

// CheckAgainst refuses a plan that differs from the one in the campaign of evaluations, if that has one,
// in more than its source. The error is a usage error and [ErrOtherEvaluations].
func (p *EvaluationPlan) CheckAgainst(c Campaign) error {
	known, err := ReadEvaluationPlan(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if differences := known.settings().Differ(p.settings()); differences != nil {
		return usage.Mark(ErrOtherEvaluations, usage.Errorf("%s contains evaluations on another %s: %v; use another directory or dataset key, or restore the images and settings",
			c.Dir, p.Dataset, differences))
	}
	return nil
}

// Refuse reports why a record is not one of the evaluations that the plan describes; nil if it is.
func (p *EvaluationPlan) Refuse(r *EvaluationRecord) error {
	of := EvaluationPlan{Dataset: p.Dataset, Definition: r.Definition, DataFiles: r.DataFiles, Batch: r.Batch}
	if differences := of.settings().Differ(p.settings()); differences != nil {
		return fmt.Errorf("it differs from %s: %v", evaluationPlanName, differences)
	}
	return nil
}

// settings returns what the evaluations of p depend on, besides their source.
func (p *EvaluationPlan) settings() Settings {
	s := Settings{Trial: Trial{Dataset: p.Dataset}, files: p.DataFiles}
	s.addObject(ofDataset, p.Definition, inDefinition)
	s.addEvaluation(p.Definition)
	s.add(ofDataset, "batch", strconv.Itoa(p.Batch))
	return s
}
