package published

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"path/filepath"
	"regexp"
	"strings"

	"nb201/internal/infile"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

var (
	// temporary matches the names that internal/atomicfile gives to files until they are
	// complete.
	temporary = regexp.MustCompile(`^\..+\.tmp$`)
	// hashed matches published names that end with digits of the file's MD5.
	hashed = regexp.MustCompile(`^(?:NAS-Bench-201|NATS-[ts]ss)-(?:.*-)?([0-9a-f]{5,6})\.(?:pth|pickle\.pbz2)$`)
)

// checkFile checks a published file without decoding it: the CRCs in a torch checkpoint, and
// the digits of the MD5 in its name. It notes temporary files.
func checkFile(path string) (note string, faults []error) {
	if note := noteLeftover(path); note != "" {
		return note, nil
	}
	if strings.HasSuffix(path, ".pth") {
		if err := checkCRCs(path); err != nil {
			faults = append(faults, err)
		}
	}
	if err := checkName(path); err != nil {
		faults = append(faults, err)
	}
	return "", faults
}

// noteLeftover returns a note about a temporary file that a killed process left; "" for any
// other file.
func noteLeftover(path string) string {
	if !temporary.MatchString(filepath.Base(path)) {
		return ""
	}
	return path + " was left by a process that was killed; it can be removed"
}

// checkName compares the digits of an MD5 in a file's name, if there are any, with the file.
func checkName(path string) error {
	match := hashed.FindStringSubmatch(filepath.Base(path))
	if match == nil {
		return nil
	}
	sum, err := md5Of(path)
	if err != nil {
		return err
	}
	if digits := match[1]; !strings.HasPrefix(sum, digits) && !strings.HasSuffix(sum, digits) {
		return usage.Errorf("%s: by its name, its MD5 should begin or end with %s, but it is %s; download or copy it again", path, digits, sum)
	}
	return nil
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
