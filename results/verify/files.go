package verify

import (
	"crypto/md5"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"nb201/internal/infile"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
)

// listFiles lists the files of a benchmark.
func listFiles(b *results.Benchmark) ([]string, error) {
	root, err := filepath.EvalSymlinks(b.Path)
	if err != nil {
		return nil, usage.Errorf("cannot verify: %w", err)
	}
	var files []string
	err = filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			name, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			files = append(files, filepath.Join(b.Path, name))
		}
		return err
	})
	if err != nil {
		return nil, usage.Errorf("cannot verify: %w", err)
	}
	return files, nil
}

var (
	// temporary is what internal/atomicfile calls a file until it is whole.
	temporary = regexp.MustCompile(`^\..+\.tmp$`)
	// hashed are the published names that end in digits of the file's MD5.
	hashed = regexp.MustCompile(`^(?:NAS-Bench-201|NATS-tss)-(?:.*-)?([0-9a-f]{5,6})\.(?:pth|pickle\.pbz2)$`)
)

// file checks one file by itself.
func (f *findings) file(b *results.Benchmark, path string) {
	f.count(Files)
	note := func(what string) { f.notes = append(f.notes, Note{Check: Files, What: path + " " + what}) }
	name := filepath.Base(path)
	switch {
	case temporary.MatchString(name):
		note("was left by a process that was killed: it can be removed")
	case b.Format == results.CampaignFormat:
		if what := stray(results.Campaign{Dir: b.Path}, path); what != "" {
			note(what)
		}
		// The records and weights of trials are checked with the trials.
	case strings.HasSuffix(name, ".pth"):
		if err := checkCRCs(path); err != nil {
			f.fault(Files, nil, "%v", err)
		}
	}
	if match := hashed.FindStringSubmatch(name); match != nil {
		sum, err := md5Of(path)
		if err != nil {
			f.fault(Files, nil, "%v", err)
		} else if digits := match[1]; !strings.HasPrefix(sum, digits) && !strings.HasSuffix(sum, digits) {
			f.fault(Files, nil, "%s: its name says that its MD5 begins or ends with %s, but it is %s", path, digits, sum)
		}
	}
}

func checkCRCs(path string) error {
	f, err := torchfile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	return f.Check()
}

func md5Of(path string) (string, error) {
	f, err := infile.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := md5.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
}

// trialFile is the name of a trial's file in a campaign.
var trialFile = regexp.MustCompile(`^(trials|weights)/(\d{6})/([^/]+)/(\d{4,9})-(\d{4,10})\.(?:json|pth)$`)

// stray tells what is odd about a file below trials/ or weights/ of a campaign that
// is of no trial.
func stray(c results.Campaign, path string) string {
	name, err := filepath.Rel(c.Dir, path)
	name = filepath.ToSlash(name)
	if err != nil || !strings.HasPrefix(name, "trials/") && !strings.HasPrefix(name, "weights/") {
		return ""
	}
	if results.WasSetAside(name) {
		return "was damaged and set aside: it is not read"
	}
	match := trialFile.FindStringSubmatch(name)
	if match == nil {
		return "has not the name of a trial's file: it is not read"
	}
	arch, err1 := strconv.Atoi(match[2])
	epochs, err2 := strconv.Atoi(match[4])
	seed, err3 := strconv.ParseUint(match[5], 10, 32)
	t := results.Trial{Arch: arch, Dataset: match[3], Epochs: epochs, Seed: uint32(seed)}
	if errors.Join(err1, err2, err3, t.Check()) != nil || c.RecordPath(t) != path && c.WeightsPath(t) != path {
		return "has not the name of a trial's file: it is not read"
	}
	if done, err := c.Done(t); err == nil && !done {
		return "has no record beside it: a trial that did not finish left it"
	}
	return ""
}
