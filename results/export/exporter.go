package export

import (
	"cmp"
	"context"
	"crypto/md5"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/sync/errgroup"

	"nb201/cell"
	"nb201/internal/atomicfile"
	"nb201/internal/lockfile"
	"nb201/internal/seal"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// version of the parts: one that another version of this package made is not used.
const version = 3

// A part is of this many indices, or of fewer where each takes many megabytes.
const (
	indicesInPart            = 32
	indicesInPartWithWeights = 4
)

// exporter makes one export.
type exporter struct {
	benchmark *benchmark.Benchmark
	options   Options
	writer    writer
	layout    layout
	latencies latencies
	into      bool   // To is a directory that is there
	partial   string // folder of the parts

	mu       sync.Mutex
	done     int            // architectures
	kept     int            // those of them whose part is whole
	settings []slotSettings // the first of each slot and dataset key
	mixed    []string
}

// unit is the work of a part.
type unit struct {
	name  string // by what goes into it
	archs []int
}

func (e *exporter) run(ctx context.Context) (*Report, error) {
	units, err := e.units()
	if err != nil {
		return nil, err
	}
	if err := atomicfile.MkdirAll(e.partial); err != nil {
		return nil, e.explain(err)
	}
	lock := lockfile.New(filepath.Join(e.partial, ".lock"))
	if ok, err := lock.TryLock(); err == nil && !ok {
		return nil, usage.Errorf("another process is making %s", e.options.To)
	}
	report, err := e.work(ctx, units)
	if err == nil || errors.Is(err, errMixed) { // then there is nothing to go on with
		err = errors.Join(err, os.RemoveAll(e.partial))
	}
	if err := errors.Join(err, lock.Close()); err != nil {
		e.removeEmpty()
		if isDir(e.partial) {
			err = &Partial{Dir: e.partial, Done: e.kept, Total: len(e.benchmark.Evaluated()), Err: e.explain(err)}
		}
		return nil, e.explain(err)
	}
	return report, nil
}

// removeEmpty removes the folder of the parts when there is none.
func (e *exporter) removeEmpty() {
	if entries, err := os.ReadDir(e.partial); err == nil && len(entries) <= 1 {
		_ = os.RemoveAll(e.partial)
	}
}

// explain makes a full disk a usage error.
func (e *exporter) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return usage.Errorf("no room left for the export at %s: make room and run the same command again", e.options.To)
	}
	return err
}

// units divides the architectures of the source.
func (e *exporter) units() ([]unit, error) {
	prints, err := newFingerprints(e.benchmark, e.weights())
	if err != nil {
		return nil, err
	}
	size := indicesInPart
	if e.weights() {
		size = indicesInPartWithWeights
	}
	o := &e.options
	options := fmt.Sprintln(version, o.Format, e.writer.mergedBy(o), e.slots(), cmp.Or(o.Less, 12), o.Weights, o.Times, o.RawCells, e.latencies.digest())
	var units []unit
	archs := e.benchmark.Evaluated()
	for len(archs) > 0 {
		first := archs[0] / size * size
		n, _ := slices.BinarySearch(archs, first+size)
		sum := sha256.New()
		io.WriteString(sum, options)
		for _, index := range archs[:n] {
			fmt.Fprintln(sum, index)
			prints.write(sum, index)
		}
		units = append(units, unit{fmt.Sprintf("%06d-%x", first, sum.Sum(nil)[:12]), archs[:n]})
		archs = archs[n:]
	}
	return units, nil
}

// weights reports whether the export holds weights.
func (e *exporter) weights() bool { return e.writer.weightsBy(&e.options) }

// slots are those of the format, or nil when it takes every schedule.
func (e *exporter) slots() []slot { return e.writer.slots(&e.options) }

// work makes the parts that are not there yet, then the export.
func (e *exporter) work(ctx context.Context, units []unit) (*Report, error) {
	if err := e.clean(units); err != nil {
		return nil, err
	}
	parts := make([]*part, len(units))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(runtime.GOMAXPROCS(0))
	for i, u := range units {
		dir := filepath.Join(e.partial, u.name)
		group.Go(func() (err error) {
			if err := ctx.Err(); err != nil {
				return err
			}
			if parts[i] = readPart(dir); parts[i] != nil {
				e.progress(len(u.archs))
			} else {
				if err := os.RemoveAll(dir); err != nil {
					return err
				}
				if parts[i], err = e.part(ctx, u, dir); err != nil {
					return err
				}
			}
			e.keep(u)
			return e.compare(parts[i])
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	parts = slices.DeleteFunc(parts, func(p *part) bool { return len(p.Architectures) == 0 && len(p.Left) == 0 })
	report, err := e.report(parts)
	if err != nil { // there is nothing to go on with
		return nil, errors.Join(err, os.RemoveAll(e.partial))
	}
	parts = slices.DeleteFunc(parts, func(p *part) bool { return len(p.Architectures) == 0 })
	report.Path, err = e.assemble(&whole{parts, report.Listed})
	return report, err
}

func (e *exporter) progress(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done += n
	if e.options.Progress != nil {
		e.options.Progress(e.done, len(e.benchmark.Evaluated()))
	}
}

func (e *exporter) keep(u unit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kept += len(u.archs)
}

// clean removes what is no part of these units: parts of what has changed since, and
// what a killed process left.
func (e *exporter) clean(units []unit) error {
	entries, err := os.ReadDir(e.partial)
	if err != nil {
		return err
	}
	wanted := map[string]bool{".lock": true}
	for _, u := range units {
		wanted[u.name] = true
	}
	for _, entry := range entries {
		if !wanted[entry.Name()] {
			if err := os.RemoveAll(filepath.Join(e.partial, entry.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// part makes the part of a unit in the new folder dir.
func (e *exporter) part(ctx context.Context, u unit, dir string) (*part, error) {
	p := &part{dir: dir}
	return p, atomicfile.CreateDir(dir, func(temp string) error {
		w, err := e.layout.begin(temp)
		if err != nil {
			return err
		}
		if err := errors.Join(e.fillPart(ctx, u, p, w), w.close()); err != nil {
			return err
		}
		if p.Files, err = hashes(temp); err != nil {
			return err
		}
		text, err := json.Marshal(p, json.Deterministic(true), jsontext.WithIndent("  "))
		if err != nil {
			return err
		}
		text = seal.Seal(text)
		return writeFile(filepath.Join(temp, summaryName), func(w io.Writer) error { _, err := w.Write(text); return err })
	})
}

func (e *exporter) fillPart(ctx context.Context, u unit, p *part, w partWriter) error {
	for _, index := range u.archs {
		if err := ctx.Err(); err != nil {
			return err
		}
		a, err := e.benchmark.Architecture(index)
		if err != nil {
			return err
		}
		a, err = e.choose(a, p)
		if err != nil {
			return err
		}
		if a != nil {
			if err := w.add(a); err != nil {
				return err
			}
		}
		e.progress(1)
	}
	return nil
}

// assemble makes the export of its parts and returns its path.
func (e *exporter) assemble(x *whole) (path string, err error) {
	temp := filepath.Join(e.partial, "whole")
	sum := md5.New()
	if e.layout.file != nil {
		err = writeFile(temp, func(w io.Writer) error { return e.layout.file(io.MultiWriter(w, sum), x) })
	} else if err = os.Mkdir(temp, 0o777); err == nil {
		err = e.layout.fill(temp, x)
		if err == nil && e.into {
			err = hashFiles(sum, temp)
		}
	}
	if err != nil {
		return "", err
	}
	path = e.options.To
	if e.into {
		path = filepath.Join(path, e.layout.name(hex.EncodeToString(sum.Sum(nil))))
	}
	// A link, unlike a renaming, replaces nothing; there are none to directories, and on
	// some file systems none at all.
	err = os.Link(temp, path)
	if err != nil {
		if _, err := os.Lstat(path); err == nil {
			return "", isThere(path)
		}
		err = os.Rename(temp, path)
	}
	return path, errors.Join(err, atomicfile.Sync(filepath.Dir(path)))
}

// hashFiles hashes the files of a folder one after the other, in order of their names.
func hashFiles(sum hash.Hash, dir string) error {
	return filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		return copyFile(sum, path)
	})
}

// fingerprints tell for each architecture of a source what it was made from, so that
// any change shows: the names, sizes and times of its files.
type fingerprints struct {
	all    string         // of a source that is not told apart by architectures
	byArch map[int]string // of a campaign
}

func newFingerprints(b *benchmark.Benchmark, weights bool) (*fingerprints, error) {
	f := &fingerprints{all: b.Path, byArch: map[int]string{}}
	c, isCampaign := b.Campaign()
	if !isCampaign {
		sum := sha256.New()
		root, err := filepath.EvalSymlinks(b.Path)
		if err != nil {
			return nil, err
		}
		err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			text, err := fileprint(path)
			io.WriteString(sum, text)
			return err
		})
		f.all = hex.EncodeToString(sum.Sum(nil))
		return f, err
	}
	sums := map[int]hash.Hash{}
	for t, err := range c.Trials() {
		if err != nil {
			return nil, err
		}
		if sums[t.Arch] == nil {
			sums[t.Arch] = sha256.New()
		}
		paths := []string{c.RecordPath(t)}
		if weights {
			paths = append(paths, c.WeightsPath(t))
		}
		for _, path := range paths {
			text, err := fileprint(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // weights may have been dropped
				return nil, err
			}
			io.WriteString(sums[t.Arch], text)
		}
	}
	for index, sum := range sums {
		f.byArch[index] = string(sum.Sum(nil))
	}
	return f, nil
}

func fileprint(path string) (string, error) {
	info, err := os.Stat(path)
	if err != nil {
		return "", err
	}
	return fmt.Sprintln(path, info.Size(), info.ModTime().UnixNano()), nil
}

func (f *fingerprints) write(w io.Writer, index int) {
	io.WriteString(w, f.all)
	io.WriteString(w, f.byArch[index])
}

// report sums up the parts.
func (e *exporter) report(parts []*part) (*Report, error) {
	o := &e.options
	slices.Sort(e.mixed)
	r := &Report{Path: o.To, Format: o.Format, Times: o.Times, Mixed: e.mixed}
	for _, s := range e.slots() {
		epochs, err := strconv.Atoi(s.schedule)
		if err != nil {
			return nil, err
		}
		r.Slots = append(r.Slots, Slot{Name: s.name, Epochs: epochs})
	}
	for _, p := range parts {
		r.Architectures += len(p.Architectures)
		r.Trials += p.Trials
		r.WithoutWeights += p.WithoutWeights
		r.WithoutLatency += p.WithoutLatency
		r.WithoutTimes += p.WithoutTimes
		r.OwnLatency += p.OwnLatency
		r.CorrectedCosts += p.CorrectedCosts
		for _, c := range p.Coverage {
			s := findSlot(r, c.Slot)
			s.Epochs = c.Epochs
			s.add(c.Coverage)
		}
		for _, schedule := range p.Left {
			if !slices.Contains(r.OtherSchedules, schedule) {
				r.OtherSchedules = append(r.OtherSchedules, schedule)
			}
		}
	}
	slices.SortFunc(r.OtherSchedules, func(a, b string) int { return cmp.Or(len(a)-len(b), cmp.Compare(a, b)) }) // as numbers
	if e.slots() == nil {
		slices.SortFunc(r.Slots, func(a, b Slot) int { return cmp.Or(a.Epochs-b.Epochs, cmp.Compare(a.Name, b.Name)) })
	}
	for i := range r.Slots {
		r.Slots[i].finish()
	}
	if r.Architectures == 0 {
		return nil, e.nothing(r.OtherSchedules)
	}
	if e.writer.listed {
		r.Listed = cell.Count
		last := parts[len(parts)-1].Architectures
		if last[len(last)-1] == r.Architectures-1 { // they are in order, each once
			r.Listed = r.Architectures
		}
	}
	return r, nil
}

// nothing is the error of an export without a trial.
func (e *exporter) nothing(others []string) error {
	has := "it has none at all"
	if len(others) > 0 {
		has = fmt.Sprintf("it has trials of %s epochs", strings.Join(others, ", "))
	}
	var wanted []string
	for _, s := range e.slots() {
		wanted = append(wanted, s.schedule)
	}
	of := ""
	if wanted != nil {
		of = " of " + strings.Join(wanted, " or ") + " epochs"
	}
	return usage.Errorf("%s has no trial%s to export: %s", e.benchmark.Path, of, has)
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func isThere(path string) error {
	return usage.Errorf("%s is there already: remove it or choose another place", path)
}

// Partial is the error of an export that ended before it was whole: Dir holds what is
// done of it.
type Partial struct {
	Dir         string
	Done, Total int // architectures
	Err         error
}

func (p *Partial) Error() string { return p.Err.Error() }

func (p *Partial) Unwrap() error { return p.Err }

// Note says in a sentence how to go on.
func (p *Partial) Note() string {
	return fmt.Sprintf("%d of %d architectures are done and kept in %s: the same command goes on from there", p.Done, p.Total, p.Dir)
}
