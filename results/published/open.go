package published

import (
	"cmp"
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// Open opens a campaign directory, or a file or directory of a published format. It
// goes by their names, which are those that the original gives:
//
//	DIR with trials/                           a campaign
//	DIR with trials.csv or trials.parquet      CSV, Parquet
//	DIR with NNNNNN-FULL.pth or -SIMPLE.pth    Archive
//	DIR with NNNNNN.pickle.pbz2                NATS
//	DIR with NNNNNN-NNNNNN-C16-N5[-LESS]/, or
//	DIR with arch-NNNNNN-seed-SSSS.pth         Runs
//	any other NAME.pth, NAME.pickle.pbz2       merged NASBench201, NATS
//
// A single file of a directory can be opened too. A file under a name of another format, or
// under none of these, is not opened: the error says what the file is by its content, and
// what name it needs, where Recognise knows it. A merged file may have any NAME, a file of
// one architecture is of that in its name, whatever it holds: reading it then fails.
//
// What is wrong with path is a usage error that names it, and results.ErrDamaged where it
// is a damaged file. Open ends early when ctx does; the first opening of a merged file
// may take minutes.
func Open(ctx context.Context, path string, options ...Option) (*benchmark.Benchmark, error) {
	return allReaders().openPath(ctx, path, options...)
}

// Option changes how Open opens a file.
type Option func(*opening)

// WithProgress reports how many bytes of a merged file have been walked over, while its
// index is made: that happens once.
func WithProgress(progress func(done, total int64)) Option {
	return func(o *opening) { o.progress = progress }
}

func (all readers) openPath(ctx context.Context, path string, options ...Option) (*benchmark.Benchmark, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	o := &opening{path: path}
	var f *reader
	if info.IsDir() {
		f, o.files, err = all.ofDir(path)
	} else if f = all.ofFile(path); f != nil {
		o.files = []string{path}
	}
	if err != nil {
		return nil, err
	}
	if f == nil {
		return nil, cmp.Or(all.instead(path, f), all.unnamed(path, info.IsDir()))
	}
	// The name of a file may promise something else than what is read later, or for long.
	if !info.IsDir() {
		if err := all.instead(path, f); err != nil {
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

// explain is the error of a file that is not read as one of a format, given why: what the
// file is instead, where that is known. It is ErrDamaged where why is.
func (all readers) explain(path string, f *reader, why error) error {
	instead := all.instead(path, f)
	switch {
	case instead == nil:
		return why
	case errors.Is(why, results.ErrDamaged):
		return usage.Mark(results.ErrDamaged, instead)
	}
	return instead
}

// unnamed is the error of what has no name of any format.
func (all readers) unnamed(path string, isDir bool) error {
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
		return usage.Errorf("%s is neither a campaign nor a directory of a published format: it has no folder trials and no files such as %s", path, strings.Join(examples, " or "))
	}
	return usage.Errorf("%s has no name of a published file: use %s or a directory", path, strings.Join(names, ", "))
}

// Recognise finds out what path is. That it cannot be read at all is a usage error.
func Recognise(path string) (Kind, error) { return allReaders().look(path) }

// Describe names the published formats in a few words, for help.
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

// DefaultPath is where the clients look for the published benchmark when they are given
// no path: below $TORCH_HOME or, as nats_bench alone has it, ~/.torch. The formats are
// NASBench201, NATS (its directory, fast_mode) and Archive (of NASBench201API.reload).
func DefaultPath(getenv func(string) string, name benchmark.Format) (string, error) {
	return allReaders().defaultPath(getenv, name)
}

func (all readers) defaultPath(getenv func(string) string, name benchmark.Format) (string, error) {
	for _, f := range all {
		if f.name == name && f.clients != "" {
			return filepath.Join(cmp.Or(getenv("TORCH_HOME"), filepath.Join(getenv("HOME"), ".torch")), f.clients), nil
		}
	}
	return "", usage.Errorf("there is no default path for a benchmark of the format %s", name)
}

// allReaders is the table of the formats.
func allReaders() readers {
	return readers{
		campaignReader(), csvReader(), parquetReader(), archiveReader(), natsReader(), runsReader(),
		nasbench201Reader(), mergedNATSReader(),
	}
}
