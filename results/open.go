package results

import (
	"context"
	"os"
	"path/filepath"
	"strings"

	"nb201/internal/usage"
)

// Open opens a campaign directory, or a file or directory of a published format. It
// tells them apart by their names, as the original gives them:
//
//	DIR with trials/                           a campaign
//	DIR with NNNNNN-NNNNNN-C16-N5[-LESS]/, or
//	DIR with arch-NNNNNN-seed-SSSS.pth         Runs
//	DIR with NNNNNN-FULL.pth or -SIMPLE.pth    Archive
//	DIR with NNNNNN.pickle.pbz2                NATS
//	DIR with trials.parquet or trials.csv      Parquet, CSV
//	any other NAME.pth, NAME.pickle.pbz2       merged NASBench201, NATS
//
// A single file of a directory can be opened too. What is wrong with it is a usage
// error that names it.
func Open(path string) (*Benchmark, error) {
	return OpenReporting(context.Background(), path, nil)
}

// OpenReporting is Open that reports to progress, unless it is nil, how many bytes of a
// merged file have been walked over: that happens once and may take minutes. It ends early
// when ctx does.
func OpenReporting(ctx context.Context, path string, progress func(done, total int64)) (*Benchmark, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	var l layout
	if info.IsDir() {
		l, err = layoutOf(path)
	} else {
		// The name may promise something else than what is read later, or for long.
		l = layoutOfFile(path)
		err = refused(path, l, nil)
	}
	if err != nil {
		return nil, err
	}
	b, err := l.open(ctx, path, progress)
	if err != nil {
		return nil, refused(path, l, err)
	}
	return b, nil
}

// layout is how a benchmark is kept, by the names of its files.
type layout struct {
	format Format   // "": it is none
	merged bool     // all architectures in one file
	files  []string // of an archive, runs or NATS
}

func (l layout) open(ctx context.Context, path string, progress func(done, total int64)) (*Benchmark, error) {
	switch {
	case l.merged:
		return openMerged(ctx, path, l.format, progress)
	case l.format == CampaignFormat:
		return openCampaign(path)
	case l.format == Parquet:
		return openParquet(path)
	case l.format == CSV:
		return openCSV(path)
	case l.format == Archive:
		return openArchive(path, l.files)
	case l.format == NATS:
		return openNATS(path, l.files)
	case l.format == Runs:
		return openRuns(path, l.files)
	}
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		return nil, usage.Errorf("%s is neither a campaign nor a directory of a published format: it has no folder trials and no files such as 000000-FULL.pth or 000000.pickle.pbz2", path)
	}
	return nil, usage.Errorf("%s has no name of a published file: use NAME.pth, NAME.pickle.pbz2 or a directory", path)
}

func layoutOfFile(path string) layout {
	name, file := filepath.Base(path), []string{path}
	switch {
	case archiveName.MatchString(name):
		return layout{format: Archive, files: file}
	case runName.MatchString(name):
		return layout{format: Runs, files: file}
	case natsName.MatchString(name):
		return layout{format: NATS, files: file}
	case strings.HasSuffix(name, ".pickle.pbz2"):
		return layout{format: NATS, merged: true}
	case strings.HasSuffix(name, ".pth"):
		return layout{format: NASBench201, merged: true}
	}
	return layout{}
}

// layoutOf finds out what a directory holds.
func layoutOf(dir string) (layout, error) {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return layout{}, usage.Errorf("cannot open benchmark: %w", err)
	}
	var archive, runs, nats []string
	for _, e := range entries {
		name := e.Name()
		file := filepath.Join(dir, name)
		switch {
		case name == "trials" && e.IsDir():
			return layout{format: CampaignFormat}, nil
		case name == TrialsTable+".parquet":
			return layout{format: Parquet}, nil
		case name == TrialsTable+".csv":
			return layout{format: CSV}, nil
		case archiveName.MatchString(name):
			archive = append(archive, file)
		case natsName.MatchString(name):
			nats = append(nats, file)
		case runName.MatchString(name):
			runs = append(runs, file)
		case runsFolder.MatchString(name):
			below, err := list(file, runName)
			if err != nil {
				return layout{}, err
			}
			runs = append(runs, below...)
		}
	}
	switch {
	case archive != nil:
		return layout{format: Archive, files: archive}, nil
	case nats != nil:
		return layout{format: NATS, files: nats}, nil
	case runs != nil:
		return layout{format: Runs, files: runs}, nil
	}
	return layout{}, nil
}
