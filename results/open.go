package results

import (
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
func Open(path string) (*Benchmark, error) { return OpenReporting(path, nil) }

// OpenReporting is Open that tells progress, unless it is nil, how many bytes of a
// merged file have been walked over: that happens once and may take a minute.
func OpenReporting(path string, progress func(done, total int64)) (*Benchmark, error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	if info.IsDir() {
		return openDir(path)
	}
	name, file := filepath.Base(path), []string{path}
	switch {
	case archiveName.MatchString(name):
		return openArchive(path, file)
	case runName.MatchString(name):
		return openRuns(path, file)
	case natsName.MatchString(name):
		return openNATS(path, file)
	case strings.HasSuffix(name, ".pickle.pbz2"):
		return openMerged(path, NATS, progress)
	case strings.HasSuffix(name, ".pth"):
		return openMerged(path, NASBench201, progress)
	}
	return nil, usage.Errorf("%s has no name of a published file: use NAME.pth, NAME.pickle.pbz2 or a directory", path)
}

func openDir(path string) (*Benchmark, error) {
	entries, err := os.ReadDir(path)
	if err != nil {
		return nil, usage.Errorf("cannot open benchmark: %w", err)
	}
	var archive, runs, nats []string
	for _, e := range entries {
		name := e.Name()
		file := filepath.Join(path, name)
		switch {
		case name == "trials" && e.IsDir():
			return openCampaign(path)
		case name == "trials.parquet":
			return openParquet(path)
		case name == "trials.csv":
			return openCSV(path)
		case archiveName.MatchString(name):
			archive = append(archive, file)
		case natsName.MatchString(name):
			nats = append(nats, file)
		case runName.MatchString(name):
			runs = append(runs, file)
		case runsFolder.MatchString(name):
			below, err := list(file, runName)
			if err != nil {
				return nil, err
			}
			runs = append(runs, below...)
		}
	}
	switch {
	case archive != nil:
		return openArchive(path, archive)
	case nats != nil:
		return openNATS(path, nats)
	case runs != nil:
		return openRuns(path, runs)
	}
	return nil, usage.Errorf("%s is neither a campaign nor a directory of a published format: it has no folder trials and no files such as 000000-FULL.pth or 000000.pickle.pbz2", path)
}
