package published

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"nb201/cell"
	"nb201/internal/infile"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results/benchmark"
)

var (
	// temporary matches the names that internal/atomicfile gives to files until they are
	// complete.
	temporary = regexp.MustCompile(`^\..+\.tmp$`)
	// hashed matches published names that end with digits of the file's MD5.
	hashed = regexp.MustCompile(`^(?:NAS-Bench-201|NATS-[ts]ss)-(?:.*-)?([0-9a-f]{5,6})\.(?:pth|pickle\.pbz2)$`)
)

// publishedFiles lists the names of the published files.
func publishedFiles() []string {
	return []string{
		"NAS-Bench-201-v1_0-e61699.pth", NASBench201Name,
		benchmark.OriginalOf(cell.Topology{}).PublishedNATS() + natsExtension, benchmark.OriginalOf(cell.Size{}).PublishedNATS() + natsExtension,
	}
}

// checkFile checks a published file without decoding it: the CRCs in a torch checkpoint, and
// the digits of the MD5 in its name. It notes temporary files, and files that only have the name of a
// published one.
func checkFile(path string) (note string, faults []error) {
	if note := noteLeftover(path); note != "" {
		return note, nil
	}
	if strings.HasSuffix(path, ".pth") {
		if err := checkCRCs(path); err != nil {
			faults = append(faults, err)
		}
	}
	note, err := checkName(path)
	if err != nil {
		faults = append(faults, err)
	}
	return note, faults
}

// noteLeftover returns a note about a temporary file that a killed process left; "" for any
// other file.
func noteLeftover(path string) string {
	if !temporary.MatchString(filepath.Base(path)) {
		return ""
	}
	return path + " was left by a process that was killed; it can be removed"
}

// checkName compares the digits of an MD5 in a file's name, if there are any, with the file. An export may
// have the name of a published file, which the clients look for; that is a note.
func checkName(path string) (note string, fault error) {
	match := hashed.FindStringSubmatch(filepath.Base(path))
	if match == nil {
		return "", nil
	}
	sum, err := md5Of(path)
	if err != nil {
		return "", err
	}
	digits := match[1]
	switch {
	case strings.HasPrefix(sum, digits) || strings.HasSuffix(sum, digits):
		return "", nil
	case slices.Contains(publishedFiles(), filepath.Base(path)):
		return fmt.Sprintf("%s has the name of the published file, and is not that file: its MD5 is %s; if you downloaded it as that file, download it again",
			path, sum), nil
	}
	return "", usage.Errorf("%s: by its name, its MD5 should begin or end with %s, but it is %s; download or copy it again", path, digits, sum)
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
