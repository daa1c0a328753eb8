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
	// temporary is what internal/atomicfile calls a file until it is whole.
	temporary = regexp.MustCompile(`^\..+\.tmp$`)
	// hashed are the published names that end in digits of the file's MD5.
	hashed = regexp.MustCompile(`^(?:NAS-Bench-201|NATS-tss)-(?:.*-)?([0-9a-f]{5,6})\.(?:pth|pickle\.pbz2)$`)
)

// checkFile checks a published file by itself: the CRCs of a torch checkpoint, and digits of
// the MD5 in its name.
func checkFile(path string) (note string, faults []error) {
	if note := leftover(path); note != "" {
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

// leftover notes a file that a process left when it was killed.
func leftover(path string) string {
	if !temporary.MatchString(filepath.Base(path)) {
		return ""
	}
	return path + " was left by a process that was killed: it can be removed"
}

// checkName compares the digits of the MD5 in a name, if any, with the file.
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
		return usage.Errorf("%s: its name says that its MD5 begins or ends with %s, but it is %s", path, digits, sum)
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
