package train

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/internal/infile"
	"nb201/internal/safetensors"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published"
)

// Initial holds initial weights that are read from a file instead of drawn from the seed.
// Nothing else changes: the generator still draws initial weights, so order, flips and crops are
// those of a trial from scratch with the same seed. BatchNorm's statistics and batch counts come
// from the file; the momenta start at zero.
type Initial struct {
	// File identifies the file in the record: its base name, with the trial's name if the file
	// holds several and a note if the classifier is new, and its hash.
	File    results.StartWeights
	Weights torchfile.StateDict
	// NewClassifier draws classifier.weight and classifier.bias from the seed instead of taking
	// them from Weights, so the file's number of classes does not matter.
	NewClassifier bool
}

// classifier lists the tensors that depend on the number of classes.
var classifier = []string{"classifier.weight", "classifier.bias"}

// load fills i with the network's tensors from those of a file. The file's number of classes
// may differ from the network's; see [Initial.check].
func (i *Initial) load(stored []torchfile.Stored, network cell.Network) (err error) {
	stored = stripWrappers(stored)
	for _, s := range stored {
		if s.Name == classifier[0] && len(s.Shape) > 0 && s.Shape[0] > 0 {
			network.Classes = s.Shape[0]
		}
	}
	i.Weights, i.File.ConvertedFrom, err = fitWeights(network, stored)
	if err != nil && !usage.Is(err) {
		err = i.misfit(network, err)
	}
	return err
}

func (i *Initial) misfit(network cell.Network, err error) error {
	what := nameOf(network)
	if network.Channels != 0 {
		what += fmt.Sprintf(" with %d channels and %d cells", network.Channels, network.Cells)
	}
	return usage.Errorf("%s does not fit %s: %w", i.File.Name, what, err)
}

// check returns a usage error if the weights are not the network's or not finite.
func (i *Initial) check(network cell.Network) error {
	stored := network
	if at := len(i.Weights) - len(classifier); at >= 0 && i.Weights[at].Name == classifier[0] && len(i.Weights[at].Shape) > 0 {
		stored.Classes = i.Weights[at].Shape[0]
	}
	if err := checkWeights(stored, i.Weights); err != nil {
		return i.misfit(network, err)
	}
	if stored.Classes != network.Classes && !i.NewClassifier {
		return usage.Errorf("%s has a classifier of %d classes (%s), but the dataset has %d; use --new-classifier to draw a new one from the seed",
			i.File.Name, stored.Classes, strings.Join(classifier, ", "), network.Classes)
	}
	return nil
}

// checkWeights returns an error if a state dict is not the network's, or not finite.
func checkWeights(network cell.Network, weights torchfile.StateDict) error {
	if err := results.CheckWeights(network, weights); err != nil {
		return err
	}
	for _, w := range weights {
		for i, v := range w.Float32 {
			if v := float64(v); math.IsNaN(v) || math.IsInf(v, 0) {
				return fmt.Errorf("%s has %v at element %d", w.Name, v, i)
			}
		}
	}
	return nil
}

// replace returns the state dict to start from: i's weights, with the classifier of drawn if it
// is to be new.
func (i *Initial) replace(drawn torchfile.StateDict) torchfile.StateDict {
	start := slices.Clone(i.Weights)
	for k, w := range drawn {
		if i.NewClassifier && slices.Contains(classifier, w.Name) {
			start[k] = w
		}
	}
	return start
}

// read reads the weights that s names, for the trial t of a network.
func (s Start) read(t results.Trial, network cell.Network) (*Initial, error) {
	i := &Initial{NewClassifier: s.NewClassifier}
	i.File.Name = filepath.Base(s.File)
	info, err := os.Stat(s.File)
	if err != nil {
		return nil, usage.Errorf("cannot read weights: %w; name a readable file with --from", err)
	}
	if info.IsDir() {
		return nil, refuseDir(s.File)
	}
	kind, err := published.Recognise(s.File)
	if err != nil {
		return nil, err
	}
	if kind.Format == "" {
		if s.Trial != "" && kind.Weights {
			return nil, usage.Errorf("%s holds a single state dict, not trials; leave out --from-trial %s", s.File, s.Trial)
		}
		err = i.readFile(s.File, kind, network)
	} else {
		err = i.readTrial(s.File, s.Trial, t, network)
	}
	if err != nil {
		return nil, err
	}
	if s.NewClassifier {
		i.File.SetNewClassifier()
	}
	if i.File.SHA256, err = hashFile(s.File); err != nil {
		return nil, usage.Errorf("cannot read weights: %w; name a readable file with --from", err)
	}
	return i, nil
}

// refuseDir returns the error for a directory where a file is needed. If the directory is a
// campaign, the error names one of its files.
func refuseDir(dir string) error {
	example := ""
	if found, err := filepath.Glob(filepath.Join(dir, "weights", "*", "*", "*.pth")); err == nil && len(found) > 0 {
		example = ", such as " + found[0]
	}
	return usage.Errorf("--from %s is a directory; name a file with weights%s", dir, example)
}

// readFile reads weights from a file that holds one state dict: a torch checkpoint or a
// safetensors file.
func (i *Initial) readFile(path string, kind published.Kind, network cell.Network) error {
	if err := kind.Refusal(path); err != nil && !kind.Weights {
		return err
	}
	if kind.Safetensors {
		f, err := safetensors.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		return i.load(f.Weights(), network)
	}
	f, err := torchfile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	stored, err := f.Weights()
	if err != nil {
		return err
	}
	return i.load(stored, network)
}

// readTrial reads the weights of t's architecture from a file in a published format, of the
// trial that pickTrial selects, whose name it appends to i.File.Name.
func (i *Initial) readTrial(path, pick string, t results.Trial, network cell.Network) error {
	b, err := published.Open(context.Background(), path)
	if err != nil {
		return err
	}
	defer b.Close()
	if of := network.Arch.Space(); b.Space != of {
		return usage.Errorf("%s holds architectures of the %s, not of the %s; name another file with --from", path, b.Space.Title(), of.Title())
	}
	a, err := b.Architecture(t.Arch)
	if err != nil {
		return err
	}
	trial, err := pickTrial(path, a, pick, t)
	if err != nil {
		return err
	}
	i.File.Name += " " + trial.name
	weights, err := trial.Weights()
	if err != nil {
		return err
	}
	return i.load(weights.Stored(), network)
}

// namedTrial is a trial with its name for --from-trial, KEY:SCHEDULE:SEED.
type namedTrial struct {
	*benchmark.ResultsCount
	name, hp string
}

// pickTrial selects the trial named pick among the trials of a that have weights. If pick is
// empty and there are several, it narrows them down by t's dataset, then t's seed, then t's
// schedule, until one is left.
func pickTrial(path string, a *benchmark.Architecture, pick string, t results.Trial) (namedTrial, error) {
	var kept []namedTrial
	for _, schedule := range a.Schedules {
		for _, r := range schedule.Results {
			if r.HasWeights() {
				kept = append(kept, namedTrial{r, fmt.Sprintf("%s:%s:%d", r.Dataset, schedule.HP, r.Seed), schedule.HP})
			}
		}
	}
	if len(kept) == 0 {
		return namedTrial{}, usage.Errorf("%s has no weights of %s; name another file with --from", path, cell.Describe(a.Space, a.Index))
	}
	var left []namedTrial
	for _, r := range kept {
		if pick == "" || r.name == pick {
			left = append(left, r)
		}
	}
	for _, same := range []func(namedTrial) bool{
		func(r namedTrial) bool { return r.Dataset == t.Dataset },
		func(r namedTrial) bool { return r.Seed == t.Seed },
		func(r namedTrial) bool { return r.hp == a.Space.Schedule(t.Epochs) },
	} {
		if len(left) > 1 {
			left = slices.DeleteFunc(left, func(r namedTrial) bool { return !same(r) })
		}
	}
	if len(left) != 1 {
		var names []string
		for _, r := range kept {
			names = append(names, r.name)
		}
		return namedTrial{}, usage.Errorf("%s has weights of %s; name one of them with --from-trial", path, strings.Join(names, ", "))
	}
	return left[0], nil
}

// hashFile returns the SHA-256 of a file in hex.
func hashFile(path string) (string, error) {
	f, err := infile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	hash := sha256.New()
	_, err = io.Copy(hash, f)
	return hex.EncodeToString(hash.Sum(nil)), err
}
