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

// ErrDone reports that a trial is done already in its campaign.
var ErrDone = errors.New("the trial is done already")

// Campaign is the directory Dir of the trials done so far:
//
//	Dir/trials/000123/cifar10-valid/0012-0777.json    the record of a trial
//	Dir/weights/000123/cifar10-valid/0012-0777.pth    its weights, unless dropped
//
// A trial is done exactly when its record is there and can be read. Any number of
// processes may publish into a campaign, the same trial too. The trials of a campaign
// are of one experiment: see CheckSettings.
type Campaign struct{ Dir string }

// RecordPath is where the record of t stands once it is done.
func (c Campaign) RecordPath(t Trial) string {
	return filepath.Join(c.Dir, recordName(t))
}

// WeightsPath is where the weights of t stand, if they were kept.
func (c Campaign) WeightsPath(t Trial) string {
	return filepath.Join(c.Dir, weightsName(t))
}

// Open opens the directory of the campaign. What is written and removed below it goes
// through the result, since the campaign may be somebody else's, from an archive.
func (c Campaign) Open() (atomicfile.Root, error) {
	root, err := atomicfile.OpenRoot(c.Dir)
	if err != nil {
		return root, fmt.Errorf("campaign %s: %w", c.Dir, err)
	}
	return root, nil
}

// Within calls do with the open directory of the campaign.
func (c Campaign) Within(do func(root atomicfile.Root) error) error {
	root, err := c.Open()
	if err != nil {
		return err
	}
	return errors.Join(do(root), root.Close())
}

// MakeDir makes a directory in the campaign, and the campaign.
func (c Campaign) MakeDir(name string) error {
	if err := atomicfile.MkdirAll(c.Dir); err != nil {
		return err
	}
	return c.Within(func(root atomicfile.Root) error { return root.MkdirAll(name) })
}

// recordName and weightsName are the paths of what t leaves, in the campaign.
func recordName(t Trial) string  { return filepath.Join("trials", t.Path()+".json") }
func weightsName(t Trial) string { return filepath.Join("weights", t.Path()+".pth") }

const lockName = ".lock"

// Check finds out, before hours of training, whether t can be published: its name
// fits, its files can be made, the campaign can be locked, and it is not done. It leaves
// nothing behind, and a damaged record where it is: see SetAside. Errors are usage errors;
// one of a trial that is done wraps ErrDone.
func (c Campaign) Check(t Trial) error {
	if err := t.Check(); err != nil {
		return err
	}
	if err := c.checkRights(t); err != nil {
		return usage.Errorf("campaign %s cannot take the trial: %w%s", c.Dir, err, atomicfile.Rights(err))
	}
	done, err := c.Done(t)
	if err != nil && !errors.Is(err, ErrDamaged) {
		return usage.Errorf("campaign %s: %w", c.Dir, err)
	}
	if done {
		return usage.Errorf("%v: %w: %s", t, ErrDone, c.RecordPath(t))
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
	for _, name := range []string{recordName(t), weightsName(t), lockName} {
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

// Publish puts the weights, then the record of a trial into the campaign, whole and
// on disk, and fills r.Weights; weights may be nil, to drop them. When t is done
// already nothing is changed and the error wraps ErrDone. A trial that CheckSettings
// refuses is not published, nor are weights with WeightFaults. What a killed process left of the same trial is removed, and
// a damaged record is set aside.
func (c Campaign) Publish(r *Record, weights torchfile.StateDict) error {
	record, pth := recordName(r.Trial), weightsName(r.Trial)
	r.Weights = nil
	if _, err := r.Encode(); err != nil {
		return err
	}
	if weights != nil {
		if err := checkPublished(r, weights); err != nil {
			return err
		}
	}
	if err := atomicfile.MkdirAll(c.Dir); err != nil {
		return fmt.Errorf("publish %v: %w", r.Trial, err)
	}
	root, err := c.Open()
	if err != nil {
		return err
	}
	defer root.Close()
	for _, name := range []string{record, pth} {
		if err := root.MkdirAll(filepath.Dir(name)); err != nil {
			return fmt.Errorf("publish %v: %w", r.Trial, err)
		}
	}
	unlock, err := c.lock()
	if err != nil {
		return err
	}
	defer unlock()
	if err := c.CheckSettings(r.Settings()); err != nil {
		return err
	}
	done, err := c.Done(r.Trial)
	if errors.Is(err, ErrDamaged) {
		_, _, err = c.setAside(root, r.Trial)
	}
	if err != nil {
		return fmt.Errorf("publish %v: %w", r.Trial, err)
	}
	if done {
		return fmt.Errorf("%v: %w", r.Trial, ErrDone)
	}
	// Temporaries are made only by the process that holds the lock.
	for _, name := range []string{record, pth} {
		if err := root.RemoveTemps(name); err != nil {
			return fmt.Errorf("publish %v: %w", r.Trial, err)
		}
	}
	if r.Weights, err = writeWeights(root, pth, weights); err != nil {
		return fmt.Errorf("weights of %v: %w", r.Trial, err)
	}
	text, err := r.Encode()
	if err != nil {
		return err
	}
	err = root.Create(record, func(w io.Writer) error { _, err := w.Write(text); return err })
	if errors.Is(err, fs.ErrExist) {
		return fmt.Errorf("%v: %w", r.Trial, ErrDone)
	}
	if err != nil {
		return fmt.Errorf("record of %v: %w", r.Trial, err)
	}
	return nil
}

// PublishOrKeep is Publish, but keeps what the trial left where that refuses it as of
// another experiment: of two that begin at the same time in an empty campaign one is found
// out only at its end. The error then names the directory, a campaign below this one.
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
	return usage.Errorf("%w: what it left is kept in %s", err, kept.Dir)
}

// writeWeights makes the file of the weights and tells its hash, or removes it when
// there are none. Weights that stand there belong to no record.
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

// ErrLocked reports that another process has held a campaign's lock for longer than
// publishing takes: it is stopped, or its disk does not answer.
var ErrLocked = errors.New("another process has been publishing into it for half a minute: it may be stopped")

// lockPatience is how long lock waits. Publishing takes less than a second.
const lockPatience = 30 * time.Second

// lock keeps other processes from publishing, so that a record and weights that
// stand together are of the same run. A process that dies gives the lock back. On a
// file system without locks two runs of one trial that end in the same moment may
// mix; the hash in the record shows it. When the lock stays held, the error is ErrLocked.
func (c Campaign) lock() (unlock func(), err error) {
	l := lockfile.New(filepath.Join(c.Dir, lockName))
	ctx, cancel := context.WithTimeout(context.Background(), lockPatience)
	defer cancel()
	_, err = l.TryLockContext(ctx, 10*time.Millisecond)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return nil, errors.Join(fmt.Errorf("lock campaign %s: %w", c.Dir, ErrLocked), l.Close())
	case err != nil && !lockfile.Unsupported(err):
		return nil, fmt.Errorf("lock campaign %s: %w%s", c.Dir, err, atomicfile.Rights(err))
	}
	return func() { _ = l.Close() }, nil
}

// CheckWeights tells what makes weights no state dict of a network: names, order,
// shapes or element types that differ from cell.Network.Tensors.
func CheckWeights(network cell.Network, weights torchfile.StateDict) error {
	tensors := network.Tensors()
	if len(weights) != len(tensors) {
		return fmt.Errorf("%d tensors, the network has %d", len(weights), len(tensors))
	}
	for i, want := range tensors {
		dtype := torchfile.Float32
		if want.Role == cell.BNCount {
			dtype = torchfile.Int64
		}
		got := weights[i]
		if got.Name != want.Name || !slices.Equal(got.Shape, want.Shape) || got.DType() != dtype {
			return fmt.Errorf("tensor %d is %s%v of %v, the network has %s%v of %v",
				i, got.Name, got.Shape, got.DType(), want.Name, want.Shape, dtype)
		}
	}
	return nil
}

// checkWeights makes sure that the state dict is one of the record's network.
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

// checkPublished makes sure that verify will find the weights sound.
func checkPublished(r *Record, weights torchfile.StateDict) error {
	if err := checkWeights(r, weights); err != nil {
		return err
	}
	network, err := r.Network()
	if faults := WeightFaults(network, weights); err == nil && len(faults) > 0 {
		err = fmt.Errorf("weights of %v are not published, for %d faults such as this: %s", r.Trial, len(faults), faults[0])
	}
	return err
}

// Record reads the record of t. Errors are usage errors that name the file.
func (c Campaign) Record(t Trial) (*Record, error) {
	path := c.RecordPath(t)
	r, err := ReadRecord(path)
	if err != nil {
		return nil, err
	}
	if r.Trial != t {
		return nil, damaged(usage.Errorf("%s is the record of another trial: %v", path, r.Trial))
	}
	return r, nil
}

// Weights reads the weights of a trial, nil when they were dropped. It makes sure
// that they are those of the record and fit its network; errors are usage errors
// that name the file, and ErrDamaged where it is not the one in the record.
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
		return nil, damaged(usage.Errorf("%s is not the file that the record tells of: its SHA-256 is %s, not %s", path, sum, r.Weights.SHA256))
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

// Trials yields the trials that have a record, in the order of Trial.Compare, from the
// names of the records alone: Damaged finds those that are not done. It ends with an error, which is a usage error when the
// directory is no campaign.
func (c Campaign) Trials() iter.Seq2[Trial, error] {
	return func(yield func(Trial, error) bool) {
		if info, err := os.Stat(filepath.Join(c.Dir, "trials")); err != nil || !info.IsDir() {
			yield(Trial{}, usage.Errorf("%s is no campaign: it has no folder trials", c.Dir))
			return
		}
		folders, err := names(c.Dir, "trials")
		for l := range ahead(slices.Chunk(folders, 32), c.list) {
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
			yield(Trial{}, fmt.Errorf("list campaign: %w", err))
		}
	}
}

// ahead yields what f makes of each value, in order, while it is called for the next
// few: listing is waiting for the system, or over a network for another host, which a
// whole benchmark does 78,000 times. No call is under way when it ends.
func ahead[T, R any](values iter.Seq[T], f func(T) R) iter.Seq[R] {
	return func(yield func(R) bool) {
		next, stop := iter.Pull(values)
		defer stop()
		var pending []chan R // in order; each gives one answer
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

// listing is what is done below some folders, up to the first error.
type listing struct {
	trials []Trial
	err    error
}

func (c Campaign) list(folders []string) (l listing) {
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

// Architectures lists the architectures that have a folder of records, in ascending order.
// It is a usage error when the directory is no campaign.
func (c Campaign) Architectures() (archs []int, err error) {
	folders, err := names(c.Dir, "trials")
	if err != nil {
		return nil, usage.Errorf("%s is no campaign: it has no folder trials", c.Dir)
	}
	for _, folder := range folders {
		if index, ok := parseArch(folder); ok {
			archs = append(archs, index)
		}
	}
	return archs, nil
}

// TrialsOf lists the trials of an architecture that have a record, in the order of
// Trial.Compare.
func (c Campaign) TrialsOf(arch int) ([]Trial, error) {
	return c.trialsBelow(fmt.Sprintf("%06d", arch))
}

// trialsBelow lists the trials done whose records lie in a folder of trials/, that
// of an architecture, in order. Only names that Publish gives are records: no copies,
// no temporaries.
func (c Campaign) trialsBelow(folder string) ([]Trial, error) {
	arch, ok := parseArch(folder)
	if !ok {
		return nil, nil
	}
	datasets, err := names(c.Dir, "trials", folder)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(datasets, configs.CompareKeys)
	var trials []Trial
	for _, dataset := range datasets {
		if configs.CheckName(dataset) != nil {
			continue
		}
		on, err := c.recorded(arch, dataset)
		if err != nil {
			return nil, err
		}
		trials = append(trials, on...)
	}
	return trials, nil
}

// recorded lists the trials of an architecture on a dataset key that have a record, in
// order.
func (c Campaign) recorded(arch int, dataset string) ([]Trial, error) {
	files, err := names(filepath.Dir(c.RecordPath(Trial{Arch: arch, Dataset: dataset})))
	var trials []Trial
	for _, file := range files {
		if epochs, seed, ok := parseRecordName(file); ok {
			trials = append(trials, Trial{arch, dataset, epochs, seed})
		}
	}
	slices.SortFunc(trials, Trial.Compare)
	return trials, err
}

// names lists what a folder holds, in order; nothing when it is no folder.
func names(folder ...string) ([]string, error) {
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

// Records yields the records of the trials that are done, in the order of
// Trial.Compare. It ends with the first error.
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

// ErrOtherExperiment reports a trial that does not belong to its campaign.
var ErrOtherExperiment = errors.New("the trial is of another experiment")

// CheckSettings refuses, as a usage error that is ErrOtherExperiment, a trial that Conflict
// finds something in.
func (c Campaign) CheckSettings(s Settings) error {
	if differences, with := c.Conflict(s); differences != nil {
		return usage.Mark(ErrOtherExperiment, usage.Errorf("%v differs from what campaign %s holds: %v, as of %v, which is finished: a campaign is one experiment, so use another directory (--out DIR) or the settings of the finished trials",
			s.Trial, c.Dir, differences, with))
	}
	return nil
}

// Conflict says in which settings a trial differs from those that are finished, and from
// which of them: see references. Records that cannot be read do not count.
func (c Campaign) Conflict(s Settings) (Differences, Trial) {
	for _, finished := range c.references(s.Trial) {
		if differences := s.Differ(finished.Settings()); differences != nil {
			return differences, finished.Trial
		}
	}
	return nil, Trial{}
}

// references are the finished trials to compare t with: one of its architecture along its
// schedule, which was compared with the others when it was published; else the first along
// its schedule; and the first on its dataset key, where that comes before. What cannot be
// read is passed over.
func (c Campaign) references(t Trial) (found []*Record) {
	take := func(arch int, fits func(Trial) bool) bool {
		trials, _ := c.recorded(arch, t.Dataset)
		for _, other := range trials {
			if !fits(other) {
				continue
			}
			if r, err := c.Record(other); err == nil {
				found = append(found, r)
				return true
			}
		}
		return false
	}
	sameSchedule := func(other Trial) bool { return other.Epochs == t.Epochs }
	if take(t.Arch, sameSchedule) {
		return found
	}
	for arch := range cell.Count {
		if take(arch, sameSchedule) {
			break
		}
		if found == nil {
			take(arch, func(Trial) bool { return true })
		}
	}
	return found
}
