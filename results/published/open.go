package published

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"nb201/cell"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// Open opens a campaign, or a file or directory in a published format. It determines the format
// from names, which are those that the original gives:
//
//	DIR with trials/                           a campaign
//	DIR with evaluations/ and without trials/  evaluations of another benchmark
//	DIR with trials.csv or trials.parquet      CSV, Parquet
//	DIR with NNNNNN-FULL.pth or -SIMPLE.pth    Archive
//	DIR with NNNNNN.pickle.pbz2                NATS
//	DIR with NNNNNN-NNNNNN-C16-N5[-LESS]/,
//	DIR with raw-data-NN/, or
//	DIR with arch-NNNNNN-seed-SSSS.pth         Runs
//	DIR with nb201_KEY_full_training.pickle    NASLib
//	any other NAME.pth, NAME.pickle.pbz2       merged NASBench201, NATS
//	NAME.pickle                                either of them as a plain pickle
//
// A single file of an Archive, NATS, Runs or NASLib directory can be opened too. The search space is that of the
// strings in the files, whatever the names; a directory whose files cannot be read counts as one of the
// topology search space. Open refuses a file
// whose name is not listed, or belongs to another format than its contents; the error says what
// the file is and which name it needs, if [Recognise] knows. A merged file may have any NAME. A
// file of one architecture must be named after that architecture, or reading it fails.
//
// Errors are usage errors that name the path, and [results.ErrDamaged] for a damaged file. The
// first time a merged file is opened, an index of it is made, which may take minutes; see
// [WithProgress]. Open returns early with ctx's error if ctx is cancelled.
func Open(ctx context.Context, path string, options ...Option) (*benchmark.Benchmark, error) {
	return allReaders().openPath(ctx, path, options...)
}

// Option configures [Open].
type Option func(*opening)

// WithProgress makes [Open] report progress while it indexes a merged file: the number of bytes
// read so far, and the size of the file in bytes.
func WithProgress(progress func(done, total int64)) Option {
	return func(o *opening) { o.progress = progress }
}

// WithoutEvaluations makes [Open] leave out the evaluations on further datasets.
func WithoutEvaluations() Option { return func(o *opening) { o.bare = true } }

func (all readers) openPath(ctx context.Context, path string, options ...Option) (*benchmark.Benchmark, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, usage.Errorf("%s: %w; name a campaign or a published file", path, syscall.ENOENT)
	}
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	o := &opening{path: path}
	var f *reader
	if info.IsDir() {
		f, o.files, err = all.matchDir(path)
	} else if f = all.matchFile(path); f != nil {
		o.files = []string{path}
	}
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, cmp.Or(all.checkKind(path, f), all.unknownName(path, info.IsDir()))
	}
	// Without this, a file with the wrong name would fail only later, or after a long read.
	if !info.IsDir() {
		if err := all.checkKind(path, f); err != nil {
			return nil, err
		}
	}
	for _, option := range options {
		option(o)
	}
	o.refuse = func(file string, why error) error { return all.explain(file, f, results.AsDamaged(why)) }
	b, err := f.open(ctx, o)
	if err != nil {
		return nil, all.explain(path, f, err)
	}
	return b, nil
}

// explain replaces the error of reading a file in format f by one that says what the file is
// instead, if that is known. It keeps ErrDamaged.
func (all readers) explain(path string, f *reader, why error) error {
	otherKind := all.checkKind(path, f)
	switch {
	case otherKind == nil:
		return why
	case errors.Is(why, results.ErrDamaged):
		return usage.Mark(results.ErrDamaged, otherKind)
	}
	return otherKind
}

// unknownName returns the error for a path whose name does not fit any format.
func (all readers) unknownName(path string, isDir bool) error {
	var examples, names []string
	for _, f := range all {
		if f.example != "" {
			examples = append(examples, f.example)
		}
		if f.extension != "" {
			names = append(names, "NAME"+f.extension)
		}
	}
	if isDir {
		return usage.Errorf("%s is neither a campaign nor a benchmark in a published format; it has no directory \"trials\" and no files such as %s",
			path, strings.Join(examples, " or "))
	}
	return usage.Errorf("%s is not a recognised benchmark file name; use %s or a directory", path, strings.Join(names, ", "))
}

// Recognise finds out what a file or directory is from its contents. If path cannot be read,
// the error is a usage error.
func Recognise(path string) (Kind, error) { return allReaders().recognisePath(path) }

// Describe lists the published formats in a few words, for help texts.
func Describe() string { return allReaders().describe() }

func (all readers) describe() string {
	var nouns []string
	for _, f := range all {
		if f.noun != "" && !slices.Contains(nouns, f.noun) {
			nouns = append(nouns, f.noun)
		}
	}
	return strings.Join(nouns, ", ")
}

// DefaultPath returns where the Python clients look for the published benchmark of a search space if
// they are not given a path: below $TORCH_HOME, or below ~/.torch if that is not set (which only
// nats_bench does). It knows the formats [NATS] (the directory of fast_mode) and, of the topology search
// space, [NASBench201] and [Archive] (of NASBench201API.reload); anything else is a usage error. getenv
// is [os.Getenv], or a replacement in tests.
func DefaultPath(getenv func(string) string, name benchmark.Format, space cell.Space) (string, error) {
	return allReaders().defaultPath(getenv, name, space)
}

func (all readers) defaultPath(getenv func(string) string, name benchmark.Format, space cell.Space) (string, error) {
	for _, f := range all {
		if f.name != name || f.clients == nil {
			continue
		}
		if file := f.clients(space); file != "" {
			return filepath.Join(cmp.Or(getenv("TORCH_HOME"), filepath.Join(getenv("HOME"), ".torch")), file), nil
		}
	}
	return "", usage.Errorf("format %s has no default path for the %s; name the file or directory of the benchmark", name, space.Title())
}

// allReaders lists the readers of all formats. Names that fit several belong to the first.
func allReaders() readers {
	return readers{
		evaluationsReader(), campaignReader(), csvReader(), parquetReader(), archiveReader(), natsReader(), runsReader(), naslibReader(),
		nasbench201Reader(), mergedNATSReader(), pickleReader(),
	}
}
