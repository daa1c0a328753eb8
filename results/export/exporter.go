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

	"nb201/configs"
	"nb201/internal/atomicfile"
	"nb201/internal/lockfile"
	"nb201/internal/seal"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

// version is the version of the part files. Parts of other versions are not reused.
const version = 4

// A part covers this many indices; fewer with weights, which take megabytes each.
const (
	indicesInPart            = 32
	indicesInPartWithWeights = 4
)

// exporter makes one export.
type exporter struct {
	benchmark *benchmark.Benchmark
	options   Options
	archs     []int // of the source that are exported, ascending
	writer    writer
	original  original
	layout    layout
	latencies latencies
	into      bool   // To is an existing directory, and the export gets a name in it
	partial   string // directory of the parts

	mu       sync.Mutex
	done     int            // architectures, for progress
	kept     int            // architectures in finished parts
	settings []slotSettings // the first of each slot and dataset key
	mixed    []string       // Report.Mixed
}

// unit is the work for one part.
type unit struct {
	name  string // includes a hash of everything that goes into the part
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
		return nil, usage.Errorf("another process is already exporting to %s; wait for it to end", e.options.To)
	}
	report, err := e.makeParts(ctx, units)
	if err == nil || errors.Is(err, errMixed) { // then no later call resumes from the parts
		err = errors.Join(err, os.RemoveAll(e.partial))
	}
	if err := errors.Join(err, lock.Close()); err != nil {
		e.removeIfEmpty()
		if isDir(e.partial) {
			err = &Partial{Dir: e.partial, Done: e.kept, Total: len(e.archs), Err: e.explain(err)}
		}
		return nil, e.explain(err)
	}
	return report, nil
}

// removeIfEmpty removes the directory of the parts if it contains none.
func (e *exporter) removeIfEmpty() {
	if entries, err := os.ReadDir(e.partial); err == nil && len(entries) <= 1 {
		_ = os.RemoveAll(e.partial)
	}
}

// explain turns a full disk into a usage error.
func (e *exporter) explain(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return usage.Errorf("%s: the disk is full; free some space and run the same command again", e.options.To)
	}
	return err
}

// units divides the source's architectures into parts.
func (e *exporter) units() ([]unit, error) {
	prints, err := newFingerprints(e.benchmark, e.archs, e.weights())
	if err != nil {
		return nil, err
	}
	size := indicesInPart
	if e.weights() {
		size = indicesInPartWithWeights
	}
	o := &e.options
	options := fmt.Sprintln(version, o.Format, e.writer.mergedBy(o), e.slots(), e.original.less(o), o.Weights, o.Times, o.RawCells, isPlain(o), e.namesake() != nil, o.seed(), e.latencies.digest())
	var units []unit
	archs := e.archs
	for len(archs) > 0 {
		first := archs[0] / size * size
		n, _ := slices.BinarySearch(archs, first+size)
		sum := sha256.New()
		io.WriteString(sum, options)
		for _, index := range archs[:n] {
			fmt.Fprintln(sum, index)
			prints.writeTo(sum, index)
		}
		units = append(units, unit{fmt.Sprintf("%06d-%x", first, sum.Sum(nil)[:12]), archs[:n]})
		archs = archs[n:]
	}
	return units, nil
}

// weights reports whether the export contains weights.
func (e *exporter) weights() bool { return e.writer.weightsBy(&e.options) }

// slots returns the slots of the format, or nil if it takes every schedule.
func (e *exporter) slots() []slot { return e.writer.slots(&e.options, e.benchmark.Space) }

// makeParts makes the missing parts, then the export.
func (e *exporter) makeParts(ctx context.Context, units []unit) (*Report, error) {
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
				e.reportProgress(len(u.archs))
			} else {
				if err := os.RemoveAll(dir); err != nil {
					return err
				}
				if parts[i], err = e.makePart(ctx, u, dir); err != nil {
					return err
				}
			}
			e.countKept(u)
			return e.compareSettings(parts[i])
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	parts = slices.DeleteFunc(parts, func(p *part) bool {
		return len(p.Architectures) == 0 && len(p.Left) == 0 && p.WithoutSeed+p.WithoutCurves == 0
	})
	report, err := e.report(parts)
	if err != nil { // no later call resumes from the parts
		return nil, errors.Join(err, os.RemoveAll(e.partial))
	}
	parts = slices.DeleteFunc(parts, func(p *part) bool { return len(p.Architectures) == 0 })
	report.Path, err = e.assemble(&whole{e.benchmark.Space, parts, report.Listed})
	return report, err
}

func (e *exporter) reportProgress(n int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.done += n
	if e.options.Progress != nil {
		e.options.Progress(e.done, len(e.archs))
	}
}

func (e *exporter) countKept(u unit) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.kept += len(u.archs)
}

// clean removes everything but the parts of the units: parts whose input has changed, and
// the temporary files of killed processes.
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

// makePart makes the part of a unit in the new directory dir.
func (e *exporter) makePart(ctx context.Context, u unit, dir string) (*part, error) {
	p := &part{dir: dir}
	return p, atomicfile.CreateDir(dir, func(temp string) error {
		w, err := e.begin(temp)
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

// namesake returns the layout whose MD5 names the export, if that is not the export's own; else nil.
func (e *exporter) namesake() *layout {
	if !e.into || e.options.AsPublished {
		return nil
	}
	return e.layout.namesake
}

// begin begins a part in the directory dir, and a part of the namesake beside it.
func (e *exporter) begin(dir string) (partWriter, error) {
	w, err := e.layout.begin(dir)
	if err != nil || e.namesake() == nil {
		return w, err
	}
	other, err := e.namesake().begin(dir)
	if err != nil {
		return nil, errors.Join(err, w.close())
	}
	return twoWriters{w, other}, nil
}

// twoWriters writes two parts of the same architectures.
type twoWriters [2]partWriter

func (w twoWriters) add(a *benchmark.Architecture) error { return cmp.Or(w[0].add(a), w[1].add(a)) }

func (w twoWriters) close() error { return errors.Join(w[0].close(), w[1].close()) }

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
		e.reportProgress(1)
	}
	return nil
}

// assemble makes the export from its parts and returns its path.
func (e *exporter) assemble(x *whole) (path string, err error) {
	temp := filepath.Join(e.partial, "whole")
	sum := md5.New()
	if e.layout.file != nil {
		err = writeFile(temp, func(w io.Writer) error { return e.layout.file(io.MultiWriter(w, sum), x) })
	} else if err = os.Mkdir(temp, 0o777); err == nil {
		if namesake := e.namesake(); namesake != nil {
			err = namesake.file(sum, x)
		}
		err = cmp.Or(err, e.layout.fill(temp, x))
	}
	if err != nil {
		return "", err
	}
	path = e.options.To
	switch {
	case e.options.AsPublished:
		path = filepath.Join(path, e.layout.published)
	case e.into:
		path = filepath.Join(path, e.layout.name(hex.EncodeToString(sum.Sum(nil))))
	}
	// Unlike a rename, a hard link never replaces a file. Directories cannot have one, and
	// some file systems have none.
	err = os.Link(temp, path)
	if err != nil {
		if exists(path) {
			return "", existsError(path)
		}
		err = os.Rename(temp, path)
	}
	return path, errors.Join(err, atomicfile.Sync(filepath.Dir(path)))
}

// fingerprints identifies the content of some architectures in a source by the names, sizes
// and modification times of its files, so that any change is noticed.
type fingerprints struct {
	all    string         // of the whole source, if it is not a campaign
	byArch map[int]string // of a campaign's architectures, and of what extends those of any source
}

func newFingerprints(b *benchmark.Benchmark, archs []int, weights bool) (*fingerprints, error) {
	f := &fingerprints{all: b.Path, byArch: map[int]string{}}
	c, isCampaign := b.Campaign()
	if !isCampaign {
		sum := sha256.New()
		root, err := filepath.EvalSymlinks(b.TrialsPath())
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
		if err != nil {
			return nil, err
		}
		f.all = hex.EncodeToString(sum.Sum(nil))
	}
	sums := map[int]hash.Hash{}
	add := func(arch int, paths ...string) error {
		if sums[arch] == nil {
			sums[arch] = sha256.New()
		}
		for _, path := range paths {
			text, err := fileprint(path)
			if err != nil && !errors.Is(err, fs.ErrNotExist) { // a trial may have no weights
				return err
			}
			io.WriteString(sums[arch], text)
		}
		return nil
	}
	if isCampaign {
		for t, err := range c.Trials() {
			if err != nil {
				return nil, err
			}
			if _, exported := slices.BinarySearch(archs, t.Arch); !exported {
				continue
			}
			paths := []string{c.RecordPath(t)}
			if weights {
				paths = append(paths, c.WeightsPath(t))
			}
			if err := add(t.Arch, paths...); err != nil {
				return nil, err
			}
		}
	}
	for _, index := range archs {
		files, err := b.ExtensionFiles(index)
		if err == nil && len(files) > 0 {
			err = add(index, files...)
		}
		if err != nil {
			return nil, err
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

func (f *fingerprints) writeTo(w io.Writer, index int) {
	io.WriteString(w, f.all)
	io.WriteString(w, f.byArch[index])
}

// report summarizes the parts.
func (e *exporter) report(parts []*part) (*Report, error) {
	o := &e.options
	slices.Sort(e.mixed)
	r := &Report{Path: o.To, Format: o.Format, Space: e.benchmark.Space.Name(), Times: o.Times, Mixed: e.mixed}
	for _, s := range e.slots() {
		slot := Slot{Name: s.name}
		if epochs, err := strconv.Atoi(s.schedule); err == nil {
			slot.Epochs = epochs
		} else {
			slot.Recipe = s.schedule
		}
		r.Slots = append(r.Slots, slot)
	}
	for _, p := range parts {
		r.Architectures += len(p.Architectures)
		r.Trials += p.Trials
		r.WithoutWeights += p.WithoutWeights
		r.WithoutLatency += p.WithoutLatency
		r.WithoutTimes += p.WithoutTimes
		r.OwnLatency += p.OwnLatency
		r.CorrectedCosts += p.CorrectedCosts
		r.WithoutSeed += p.WithoutSeed
		r.WithoutCurves += p.WithoutCurves
		for _, s := range p.Sets {
			r.Sets = addSet(r.Sets, s)
		}
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
	slices.SortFunc(r.Sets, func(a, b CurveSet) int { return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Set, b.Set)) })
	for i := range r.Slots {
		r.Slots[i].finish(e.writer.omits)
	}
	if r.Architectures == 0 {
		return nil, e.noTrials(r)
	}
	if e.writer.Lists {
		r.Listed = e.benchmark.Space.Count()
		last := 0
		for _, p := range parts { // the last parts may have none
			for _, a := range p.Architectures {
				last = a
			}
		}
		areFirst := last == r.Architectures-1 // architectures are in order, each once
		if o.Listed == ListHeld || o.Listed == ListFirst && areFirst {
			r.Listed = last + 1
		}
	}
	return r, nil
}

// noTrials returns the error of an export without trials.
func (e *exporter) noTrials(r *Report) error {
	others := r.OtherSchedules
	var wanted []string
	for _, s := range e.slots() {
		wanted = append(wanted, s.schedule)
	}
	of := ""
	if wanted != nil {
		of = " of " + describeSchedules(wanted, " or ")
	}
	switch {
	case r.WithoutSeed > 0:
		return usage.Errorf("%s has no trials%s with seed %d to export; choose another with --seed", e.benchmark.Path, of, e.options.seed())
	case r.WithoutCurves > 0:
		return usage.Errorf("%s has no trials%s with seed %d that were evaluated after every epoch, as %s needs", e.benchmark.Path, of, e.options.seed(), e.options.Format)
	case len(others) > 0:
		return usage.Errorf("%s has no trials%s to export; it has trials of %s: select them with --less and --full",
			e.benchmark.Path, of, describeSchedules(others, ", "))
	}
	return usage.Errorf("%s has no trials%s to export%s", e.benchmark.Path, of, cmp.Or(e.benchmark.HowToFill(), "; train some first"))
}

// describeSchedules lists schedules: numbers of epochs, or names.
func describeSchedules(names []string, separator string) string {
	text := strings.Join(names, separator)
	if slices.ContainsFunc(names, func(name string) bool { return configs.CheckRecipeName(name) == nil }) {
		return "schedule " + text
	}
	return text + " epochs"
}

func isDir(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func existsError(path string) error {
	return usage.Errorf("%s already exists; remove it or choose another path", path)
}

// Partial is the error of an export that ended early. The finished parts are kept in Dir.
type Partial struct {
	Dir         string
	Done, Total int // architectures
	Err         error
}

func (p *Partial) Error() string { return p.Err.Error() }

func (p *Partial) Unwrap() error { return p.Err }

// Note explains, in one sentence, how to resume the export.
func (p *Partial) Note() string {
	return fmt.Sprintf("%d of %d architectures are finished and kept in %s; run the same command again to resume", p.Done, p.Total, p.Dir)
}
