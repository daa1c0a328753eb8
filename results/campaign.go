package results

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/internal/lockfile"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// ErrDone reports that a campaign already holds the finished trial.
var ErrDone = errors.New("the trial is already finished")

// Campaign is the directory Dir with the trials that have finished so far:
//
//	Dir/trials/000123/cifar10-valid/0012-0777.json    the record of a trial
//	Dir/weights/000123/cifar10-valid/0012-0777.pth    its weights, unless dropped
//
// A trial is finished if, and only if, its record exists and can be read. Any number of
// processes may publish into a campaign at the same time, even the same trial. The trials of
// a campaign belong to one experiment: see [Campaign.CheckSettings].
type Campaign struct {
	Dir  string
	Kind RecordKind // of its records
}

// RecordKind is the kind of a campaign's records.
type RecordKind string

// The kinds of records.
const (
	Trained   RecordKind = ""           // a trial was trained, and left a [Record] and weights
	Evaluated RecordKind = "evaluation" // the weights of a trial were evaluated, and left an [EvaluationRecord]
)

// Verb returns what is done to a trial before it leaves a record, such as "trained".
func (k RecordKind) Verb() string {
	if k == Evaluated {
		return "evaluated"
	}
	return "trained"
}

// RecordPath returns the path of the record of t, whether or not it exists.
func (c Campaign) RecordPath(t Trial) string {
	return filepath.Join(c.Dir, recordName(t))
}

// WeightsPath returns the path of the weights of t, whether or not they exist.
func (c Campaign) WeightsPath(t Trial) string {
	return filepath.Join(c.Dir, weightsName(t))
}

// Open opens the campaign's directory. Files below it are written and removed through the
// returned root only, so that links in a campaign from a stranger's archive cannot lead
// outside of it.
func (c Campaign) Open() (atomicfile.Root, error) {
	root, err := atomicfile.OpenRoot(c.Dir)
	if err != nil {
		return root, fmt.Errorf("campaign %s: %w", c.Dir, err)
	}
	return root, nil
}

// Within opens the campaign's directory, calls do with it and closes it.
func (c Campaign) Within(do func(root atomicfile.Root) error) error {
	root, err := c.Open()
	if err != nil {
		return err
	}
	return errors.Join(do(root), root.Close())
}

// MakeDir creates the directory name in the campaign, and the campaign's directory if needed.
func (c Campaign) MakeDir(name string) error {
	if err := atomicfile.MkdirAll(c.Dir); err != nil {
		return err
	}
	return c.Within(func(root atomicfile.Root) error { return root.MkdirAll(name) })
}

// recordName and weightsName return the paths of the files of t, relative to the campaign.
func recordName(t Trial) string  { return filepath.Join("trials", t.Path()+".json") }
func weightsName(t Trial) string { return filepath.Join("weights", t.Path()+".pth") }

// fileNames lists the files that t leaves in the campaign, relative to it, the record last.
func (c Campaign) fileNames(t Trial) []string {
	if c.Kind == Evaluated {
		return []string{recordName(t)}
	}
	return []string{weightsName(t), recordName(t)}
}

const lockName = ".lock"

// Check reports, before hours of training, why t could not be published: it is not a valid
// trial, its files cannot be created, the campaign cannot be locked, or the trial is already
// finished. It creates nothing and does not move a damaged record: see [Campaign.MoveDamaged].
// Errors are usage errors; for a finished trial the error wraps [ErrDone].
func (c Campaign) Check(t Trial) error {
	if err := t.Check(); err != nil {
		return err
	}
	if err := c.checkRights(t); err != nil {
		return usage.Errorf("campaign %s: cannot write files of the trial: %w%s", c.Dir, err, atomicfile.Rights(err))
	}
	done, err := c.Done(t)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return usage.Errorf("campaign %s: %w", c.Dir, err)
	}
	if done {
		return usage.Errorf("%v: %w: its record is %s", t, ErrDone, c.RecordPath(t))
	}
	return nil
}

func (c Campaign) checkRights(t Trial) error {
	root, err := atomicfile.OpenRoot(c.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		return atomicfile.CheckCreate(filepath.Join(c.Dir, lockName))
	}
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range append(c.fileNames(t), lockName) {
		if err := root.CheckCreate(name); err != nil {
			return err
		}
	}
	l := lockfile.New(filepath.Join(c.Dir, lockName))
	if _, err := root.Lstat(lockName); err == nil {
		if _, err := l.TryLock(); err != nil && !lockfile.Unsupported(err) {
			return err
		}
	}
	return l.Close()
}

// Publish writes the weights and then the record of a trial into the campaign, each atomically
// and synced to disk, and sets r.Weights. Nil weights are not kept. If the trial is already
// finished, Publish changes nothing and its error wraps [ErrDone]. It refuses a trial that
// [Campaign.CheckSettings] refuses, and weights with [WeightFaults]. It removes files that a
// killed process left behind for the same trial, and moves a damaged record out of the way as
// [Campaign.MoveDamaged] does.
func (c Campaign) Publish(r *Record, weights torchfile.StateDict) error {
	r.Weights = nil
	if _, err := r.Encode(); err != nil {
		return err
	}
	if weights != nil {
		if err := checkPublished(r, weights); err != nil {
			return err
		}
	}
	return c.publish(r.Trial, func(root atomicfile.Root) (text []byte, err error) {
		if err := c.CheckSettings(r.Settings()); err != nil {
			return nil, err
		}
		if r.Weights, err = writeWeights(root, weightsName(r.Trial), weights); err != nil {
			return nil, fmt.Errorf("weights of %v: %w", r.Trial, err)
		}
		return r.Encode()
	})
}

// publish writes the record of t, which encode returns, unless t is finished. It holds the campaign's
// lock meanwhile, so that encode may write the other files of t.
func (c Campaign) publish(t Trial, encode func(atomicfile.Root) ([]byte, error)) error {
	if err := atomicfile.MkdirAll(c.Dir); err != nil {
		return fmt.Errorf("cannot publish %v: %w", t, err)
	}
	root, err := c.Open()
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range c.fileNames(t) {
		if err := root.MkdirAll(filepath.Dir(name)); err != nil {
			return fmt.Errorf("cannot publish %v: %w", t, err)
		}
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	done, err := c.Done(t)
	if errors.Is(err, ErrDamaged) {
		_, _, err = c.moveDamaged(root, t)
	}
	if err != nil {
		return fmt.Errorf("cannot publish %v: %w", t, err)
	}
	if done {
		return fmt.Errorf("%v: %w", t, ErrDone)
	}
	// Only the process that holds the lock creates temporary files, so these are leftovers.
	for _, name := range c.fileNames(t) {
		if err := root.RemoveTemps(name); err != nil {
			return fmt.Errorf("cannot publish %v: %w", t, err)
		}
	}
	text, err := encode(root)
	if err != nil {
		return err
	}
	err = root.Create(recordName(t), func(w io.Writer) error { _, err := w.Write(text); return err })
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%v: %w", t, ErrDone)
	}
	if err != nil {
		return fmt.Errorf("record of %v: %w", t, err)
	}
	return nil
}

// PublishOrKeep publishes like [Campaign.Publish]. If that fails with [ErrOtherExperiment], it
// saves the record and weights in a campaign below this one, which the error names. That
// happens when trials of two experiments start at the same time in an empty campaign: the
// conflict then shows only when the second one ends.
func (c Campaign) PublishOrKeep(r *Record, weights torchfile.StateDict) error {
	err := c.Publish(r, weights)
	if !errors.Is(err, ErrOtherExperiment) {
		return err
	}
	name := filepath.Join("refused", strings.ReplaceAll(r.Trial.Path(), string(filepath.Separator), "-"))
	if again := c.MakeDir(name); again != nil {
		return errors.Join(err, again)
	}
	kept := Campaign{Dir: filepath.Join(c.Dir, name)}
	if again := kept.Publish(r, weights); again != nil {
		return errors.Join(err, again)
	}
	return usage.Errorf("%w; its record and weights are kept in %s", err, kept.Dir)
}

// writeWeights writes the weights file and returns its name and hash. With nil weights it
// removes the file. An existing file does not belong to any record, so it may be replaced.
func writeWeights(root atomicfile.Root, name string, weights torchfile.StateDict) (*File, error) {
	if weights == nil {
		if err := root.Remove(name); !errors.Is(err, fs.ErrNotExist) {
			return nil, err
		}
		return nil, nil
	}
	hash := sha256.New()
	err := root.Replace(name, func(w io.Writer) error {
		return torchfile.Write(io.MultiWriter(w, hash), weights)
	})
	return &File{Name: filepath.Base(name), SHA256: hex.EncodeToString(hash.Sum(nil))}, err
}

// ErrLocked reports that another process has held a campaign's lock for much longer than
// publishing takes: it is suspended, or its disk does not respond.
var ErrLocked = errors.New("another process has held the lock for 30 seconds; check whether it is suspended or its disk does not respond")

// lockPatience limits how long lock waits. Publishing takes less than a second.
const lockPatience = 30 * time.Second

// lock keeps other processes from publishing, so that the record and the weights of a trial
// come from the same run. The system releases the lock of a process that dies. On a file
// system without locks, two runs of one trial that end at the same moment may mix their
// files; the hash in the record reveals it. If the lock stays held, the error is ErrLocked.
func (c Campaign) lock() (unlock func(), err error) {
	l := lockfile.New(filepath.Join(c.Dir, lockName))
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	_, err = l.TryLockContext(ctx, 10*time.Millisecond)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, errors.Join(fmt.Errorf("cannot lock campaign %s: %w", c.Dir, ErrLocked), l.Close())
	case err != nil && !lockfile.Unsupported(err):
		return nil, fmt.Errorf("cannot lock campaign %s: %w%s", c.Dir, err, atomicfile.Rights(err))
	}
	return func() { _ = l.Close() }, nil
}

// CheckWeights reports why weights are not a state dict of network: names, order, shapes or
// element types differ from [cell.Network.Tensors].
func CheckWeights(network cell.Network, weights torchfile.StateDict) error {
	tensors := network.Tensors()
	if len(weights) != len(tensors) {
		return fmt.Errorf("found %d tensors, but the network has %d", len(weights), len(tensors))
	}
	for i, want := range tensors {
		dtype := torchfile.Float32
		if want.Role == cell.BNCount {
			dtype = torchfile.Int64
		}
		got := weights[i]
		if got.Name != want.Name || !slices.Equal(got.Shape, want.Shape) || got.DType() != dtype {
			return fmt.Errorf("tensor %d is %s%v of %v, but the network has %s%v of %v",
				i, got.Name, got.Shape, got.DType(), want.Name, want.Shape, dtype)
		}
	}
	return nil
}

// checkWeights checks that weights are a state dict of the record's network.
func checkWeights(r *Record, weights torchfile.StateDict) error {
	network, err := r.Network()
	if err == nil {
		err = CheckWeights(network, weights)
	}
	if err != nil {
		return fmt.Errorf("weights of %v: %w", r.Trial, err)
	}
	return nil
}

// checkPublished checks weights as verify does.
func checkPublished(r *Record, weights torchfile.StateDict) error {
	if err := checkWeights(r, weights); err != nil {
		return err
	}
	network, err := r.Network()
	if faults := WeightFaults(network, weights); err == nil && len(faults) > 0 {
		err = fmt.Errorf("weights of %v are not published: they have %d faults, first: %s", r.Trial, len(faults), faults[0])
	}
	return err
}

// Record reads the record of t. Errors are usage errors that name the file: [fs.ErrNotExist]
// if the trial is not finished, [ErrDamaged] if the record is damaged or of another trial.
func (c Campaign) Record(t Trial) (*Record, error) {
	path := c.RecordPath(t)
	r, err := ReadRecord(path)
	if err != nil {
		return nil, err
	}
	if r.Trial != t {
		return nil, damaged(usage.Errorf("%s contains the record of another trial: %v", path, r.Trial))
	}
	return r, nil
}

// Weights reads the weights of a trial, nil if they were not kept. It checks that they have
// the record's SHA-256 and are a state dict of its network. Errors are usage errors that name
// the file, and [ErrDamaged] if the SHA-256 differs.
func (c Campaign) Weights(r *Record) (torchfile.StateDict, error) {
	if r.Weights == nil {
		return nil, nil
	}
	path := c.WeightsPath(r.Trial)
	f, err := infile.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot read weights: %w", err)
	}
	defer f.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, f); err != nil {
		return nil, usage.Errorf("cannot read weights: %w", err)
	}
	if sum := hex.EncodeToString(hash.Sum(nil)); sum != r.Weights.SHA256 {
		return nil, damaged(usage.Errorf("%s is not the file named in the record: its SHA-256 is %s, not %s", path, sum, r.Weights.SHA256))
	}
	weights, err := torchfile.ReadStateDict(path)
	if err != nil {
		return nil, err
	}
	if err := checkWeights(r, weights); err != nil {
		return nil, usage.Errorf("%s: %w", path, err)
	}
	return weights, nil
}

// Trials yields the trials that have a record, in the order of [Trial.Compare]. It reads only
// the names of the files: [Campaign.Damaged] finds records that cannot be read. It ends with
// the first error, which is a usage error if the directory is not a campaign.
func (c Campaign) Trials() iter.Seq2[Trial, error] {
	return func(yield func(Trial, error) bool) {
		if info, err := os.Stat(filepath.Join(c.Dir, "trials")); err != nil || !info.IsDir() {
			yield(Trial{}, c.notCampaign())
			return
		}
		folders, err := entryNames(c.Dir, "trials")
		for l := range mapAhead(slices.Chunk(folders, 32), c.listFolders) {
			for _, t := range l.trials {
				if !yield(t, nil) {
					return
				}
			}
			if err = l.err; err != nil {
				break
			}
		}
		if err != nil {
			yield(Trial{}, fmt.Errorf("cannot list campaign %s: %w", c.Dir, err))
		}
	}
}

// notCampaign returns the usage error for a directory that is not a campaign.
func (c Campaign) notCampaign() error {
	return usage.Errorf("%s is not a campaign: it has no directory \"trials\"; name the directory given to nb201 train --out or nb201 run", c.Dir)
}

// mapAhead yields f of each value, in order, and meanwhile calls f for the next few values:
// listing a whole benchmark waits 78,000 times for the system, or for another host. When it
// returns, all calls of f have returned.
func mapAhead[T, R any](values iter.Seq[T], f func(T) R) iter.Seq[R] {
	return func(yield func(R) bool) {
		next, stop := iter.Pull(values)
		defer stop()
		var pending []chan R // in order; each delivers one result
		defer func() {
			for _, answer := range pending {
				<-answer
			}
		}()
		for {
			for len(pending) < 8 {
				value, ok := next()
				if !ok {
					break
				}
				answer := make(chan R, 1)
				go func() { answer <- f(value) }()
				pending = append(pending, answer)
			}
			if len(pending) == 0 {
				return
			}
			r := <-pending[0]
			pending = pending[1:]
			if !yield(r) {
				return
			}
		}
	}
}

// listing holds the recorded trials of some folders, up to the first error.
type listing struct {
	trials []Trial
	err    error
}

func (c Campaign) listFolders(folders []string) (l listing) {
	for _, folder := range folders {
		trials, err := c.trialsBelow(folder)
		if err != nil {
			l.err = err
			break
		}
		l.trials = append(l.trials, trials...)
	}
	return l
}

// Architectures lists the indices of the architectures that have a folder of records, in
// ascending order, and their search space; that of a campaign without records is the default. It returns a
// usage error if the directory is not a campaign, or if architectures of two spaces have a folder.
func (c Campaign) Architectures() (space cell.Space, archs []int, err error) {
	folders, err := entryNames(c.Dir, "trials")
	if err != nil {
		return nil, nil, c.notCampaign()
	}
	var first Trial
	for _, folder := range folders {
		t, ok := parseFolder(folder)
		if !ok {
			continue
		}
		if archs == nil {
			first = t
		}
		if t.Space != first.Space {
			return nil, nil, usage.Errorf("campaign %s holds architectures of two search spaces, such as trials/%s and trials/%s; move those of one of them, and their weights, to another directory",
				c.Dir, first.folder(), folder)
		}
		archs = append(archs, t.Arch)
	}
	return first.Space.Space(), archs, nil
}

// CheckSpace refuses a search space of which the campaign cannot have trials, because it has trials of another
// or of two. The error is a usage error and [ErrOtherExperiment].
func (c Campaign) CheckSpace(space cell.Space) error {
	if _, err := os.Stat(filepath.Join(c.Dir, "trials")); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	held, archs, err := c.Architectures()
	if err == nil && len(archs) > 0 && held != space {
		err = usage.Errorf("campaign %s holds trials of the %s, not of the %s; use another directory", c.Dir, held.Title(), space.Title())
	}
	if err != nil {
		return usage.Mark(ErrOtherExperiment, err)
	}
	return nil
}

// TrialsOf lists the trials of an architecture that have a record, in the order of
// [Trial.Compare].
func (c Campaign) TrialsOf(space cell.Space, arch int) ([]Trial, error) {
	return c.trialsBelow(Trial{Space: space.Name(), Arch: arch}.folder())
}

// trialsBelow lists the trials with a record in an architecture's folder of trials/, in order.
// It accepts only names that Publish gives, so copies and temporary files do not count.
func (c Campaign) trialsBelow(folder string) ([]Trial, error) {
	arch, ok := parseFolder(folder)
	if !ok {
		return nil, nil
	}
	datasets, err := entryNames(c.Dir, "trials", folder)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(datasets, configs.CompareKeys)
	var trials []Trial
	for _, dataset := range datasets {
		if configs.CheckName(dataset) != nil {
			continue
		}
		arch.Dataset = dataset
		recorded, err := c.recordedTrials(arch)
		if err != nil {
			return nil, err
		}
		trials = append(trials, recorded...)
	}
	return trials, nil
}

// recordedTrials lists the trials with the architecture and the dataset key of t that have a
// record, in order.
func (c Campaign) recordedTrials(t Trial) ([]Trial, error) {
	files, err := entryNames(filepath.Dir(c.RecordPath(t)))
	var trials []Trial
	for _, file := range files {
		if recorded, ok := parseRecordName(file); ok {
			recorded.Space, recorded.Arch, recorded.Dataset = t.Space, t.Arch, t.Dataset
			trials = append(trials, recorded)
		}
	}
	slices.SortFunc(trials, Trial.Compare)
	return trials, err
}

// entryNames lists the names in a folder, sorted; none if it is not a folder.
func entryNames(folder ...string) ([]string, error) {
	entries, err := os.ReadDir(filepath.Join(folder...))
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, err
}

// Records yields the records of the finished trials, in the order of [Trial.Compare]. It ends
// with the first error.
func (c Campaign) Records() iter.Seq2[*Record, error] {
	return func(yield func(*Record, error) bool) {
		for t, err := range c.Trials() {
			var r *Record
			if err == nil {
				r, err = c.Record(t)
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}

// ErrOtherExperiment reports a trial whose settings conflict with those of its campaign.
var ErrOtherExperiment = errors.New("the trial belongs to another experiment")

// CheckSettings refuses a trial of another search space than the campaign's, and one for which
// [Campaign.Conflict] finds differences. The error is a usage error and [ErrOtherExperiment].
func (c Campaign) CheckSettings(s Settings) error {
	if err := c.CheckSpace(s.Trial.Space.Space()); err != nil {
		return err
	}
	if differences, finished := c.Conflict(s); differences != nil {
		return usage.Mark(ErrOtherExperiment, usage.Errorf("campaign %s: %v differs from the finished trial %v: %v; "+
			"the trials of a campaign on one dataset key and schedule share their settings, so use another directory (--out DIR) or those settings",
			c.Dir, s.Trial, finished, differences))
	}
	return nil
}

// Conflict returns the settings in which a trial differs from a finished trial of the campaign,
// and that finished trial; nil if it finds no conflict. It compares with a trial of the same
// architecture and schedule, or else with the first trial of the schedule and the first of the
// dataset key; the others were compared with these when they were published. Records that
// cannot be read are skipped.
func (c Campaign) Conflict(s Settings) (Differences, Trial) {
	for _, finished := range c.references(s.Trial) {
		if differences := s.Differ(finished.Settings()); differences != nil {
			return differences, finished.Trial
		}
	}
	return nil, Trial{}
}

// references returns the finished trials to compare t with. If there is one with the same
// architecture, dataset key and schedule, that is enough, since publishing compared it with
// the others. Otherwise they are the first with the same dataset key and schedule, and the
// first with the same dataset key if that comes earlier. Unreadable records are skipped.
func (c Campaign) references(t Trial) (found []*Record) {
	addFirst := func(arch int, matches func(Trial) bool) bool {
		trials, _ := c.recordedTrials(Trial{Space: t.Space, Arch: arch, Dataset: t.Dataset})
		for _, other := range trials {
			if !matches(other) {
				continue
			}
			if r, err := c.Record(other); err == nil {
				found = append(found, r)
				return true
			}
		}
		return false
	}
	sameSchedule := func(other Trial) bool { return other.Schedule() == t.Schedule() }
	if addFirst(t.Arch, sameSchedule) {
		return found
	}
	folders, _ := entryNames(c.Dir, "trials")
	for _, folder := range folders {
		other, ok := parseFolder(folder)
		if !ok || other.Space != t.Space {
			continue
		}
		if addFirst(other.Arch, sameSchedule) {
			break
		}
		if found == nil {
			addFirst(other.Arch, func(Trial) bool { return true })
		}
	}
	return found
}
