package export

import (
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"github.com/go-json-experiment/json"

	"nb201/cell"
	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/internal/seal"
	"nb201/results"
	"nb201/results/benchmark"
)

// whole is a complete export: its parts, in order.
type whole struct {
	space  cell.Space
	parts  []*part
	listed int
}

// archs lists the architectures in ascending order.
func (x *whole) archs() (archs []any) {
	for _, p := range x.parts {
		for _, index := range p.Architectures {
			archs = append(archs, index)
		}
	}
	return archs
}

// part describes a part. It is stored beside the part's files in summary.json, which is
// sealed (package seal).
type part struct {
	dir string

	Architectures  []int             `json:"architectures"` // those with trials in the part
	Trials         int               `json:"trials"`
	Coverage       []slotCoverage    `json:"coverage"`
	Settings       []slotSettings    `json:"settings"`
	Left           []string          `json:"left"` // schedules without a slot
	WithoutWeights int               `json:"without_weights"`
	WithoutLatency int               `json:"without_latency"`
	WithoutTimes   int               `json:"without_times"`
	OwnLatency     int               `json:"own_latency"`
	CorrectedCosts int               `json:"corrected_costs"`
	WithoutSeed    int               `json:"without_seed"`
	WithoutCurves  int               `json:"without_curves"`
	Sets           []CurveSet        `json:"sets"`
	Files          map[string]string `json:"files"` // SHA-256 in hex
}

// CurveSet counts the architectures whose curve in NASLib's file of a dataset key is of an evaluation set.
type CurveSet struct {
	Dataset       string `json:"dataset"`
	Set           string `json:"set"`
	Architectures int    `json:"architectures"`
}

// addSet adds to the count of an evaluation set.
func addSet(sets []CurveSet, s CurveSet) []CurveSet {
	i := slices.IndexFunc(sets, func(o CurveSet) bool { return o.Dataset == s.Dataset && o.Set == s.Set })
	if i < 0 {
		return append(sets, s)
	}
	sets[i].Architectures += s.Architectures
	return sets
}

// slotCoverage is a Coverage in a slot.
type slotCoverage struct {
	Slot     string `json:"slot"`
	Epochs   int    `json:"epochs"`
	Coverage `json:",inline"`
}

// slotSettings identifies the settings of trials in a slot, by the first trial of the part
// that has them.
type slotSettings struct {
	Slot   string        `json:"slot"`
	Trial  results.Trial `json:"trial"`
	Digest string        `json:"digest"`
}

// readPart reads the part in dir. It returns nil if there is none or its files have
// changed since it was made.
func readPart(dir string) *part {
	text, err := infile.Read(filepath.Join(dir, summaryName), infile.MaxText)
	if err != nil {
		return nil
	}
	p := &part{dir: dir}
	object, sealed, err := seal.Open(text)
	if !sealed || err != nil || json.Unmarshal(object, p) != nil {
		return nil
	}
	if files, err := hashes(dir); err != nil || !maps.Equal(files, p.Files) {
		return nil
	}
	return p
}

const summaryName = "summary.json"

// hashes returns the SHA-256, in hex, of the files below dir except its summary, by their
// paths relative to dir.
func hashes(dir string) (map[string]string, error) {
	found := map[string]string{}
	return found, filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(dir, path)
		if err != nil || name == summaryName {
			return err
		}
		sum := sha256.New()
		err = copyFile(sum, path)
		found[name] = hex.EncodeToString(sum.Sum(nil))
		return err
	})
}

// Coverage counts the architectures that have a trial on a dataset with a certain seed.
type Coverage struct {
	Dataset       string `json:"dataset"`
	Seed          uint32 `json:"seed"`
	Architectures int    `json:"architectures"`
}

// add adds an architecture to the totals.
func (p *part) add(a *benchmark.Architecture, weights bool) {
	p.Architectures = append(p.Architectures, a.Index)
	for _, s := range a.Schedules {
		for _, r := range s.Results {
			p.Trials++
			if weights && !r.HasWeights() {
				p.WithoutWeights++
			}
			if r.Latencies == nil {
				p.WithoutLatency++
			}
			if !isTrainTimed(r) || !isEvalTimed(r) {
				p.WithoutTimes++
			}
			i := slices.IndexFunc(p.Coverage, func(c slotCoverage) bool {
				return c.Slot == s.HP && c.Dataset == r.Dataset && c.Seed == r.Seed
			})
			if i < 0 {
				i = len(p.Coverage)
				p.Coverage = append(p.Coverage, slotCoverage{s.HP, r.Epochs, Coverage{Dataset: r.Dataset, Seed: r.Seed}})
			}
			p.Coverage[i].Architectures++
		}
	}
}

func isTrainTimed(r *benchmark.ResultsCount) bool { return r.Training.Seconds.Complete(r.Epochs) }

func isEvalTimed(r *benchmark.ResultsCount) bool {
	return len(r.Evaluation) > 0 && !slices.ContainsFunc(r.Evaluation, func(s benchmark.SetMeasures) bool { return !secondsOfAll(r, &s.Measures).Complete(r.Epochs) })
}

// addSettings records the settings of a trial, unless a trial with the same slot, dataset
// key and settings was recorded before.
func (p *part) addSettings(s slotSettings) {
	same := func(o slotSettings) bool { return o.sharesSlot(s) && o.Digest == s.Digest }
	if !slices.ContainsFunc(p.Settings, same) {
		p.Settings = append(p.Settings, s)
	}
}

// sharesSlot reports whether two trials share a slot and a dataset key.
func (s slotSettings) sharesSlot(o slotSettings) bool {
	return s.Slot == o.Slot && s.Trial.Dataset == o.Trial.Dataset
}

// moveParts moves the files of the parts to dir, but for those of a namesake: see [layout]. Where the file system has hard links, they
// remain in the parts as well, until the export is complete.
func moveParts(dir string, x *whole) error {
	for _, p := range x.parts {
		for name := range p.Files {
			if name == itemsName {
				continue
			}
			to := filepath.Join(dir, name)
			if err := os.MkdirAll(filepath.Dir(to), 0o777); err != nil {
				return err
			}
			from := filepath.Join(p.dir, name)
			if err := os.Link(from, to); err != nil {
				if err := os.Rename(from, to); err != nil {
					return err
				}
			}
		}
	}
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && entry.IsDir() {
			err = atomicfile.Sync(path)
		}
		return err
	})
}
