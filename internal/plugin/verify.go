package plugin

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/base64"
	"encoding/csv"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"nb201/internal/infile"
	"nb201/internal/usage"
)

// ErrDamaged is the error of a plugin whose files are not those that [Install] installed.
var ErrDamaged = errors.New("damaged")

// Verify reads all files of a plugin that [Install] installed and compares their SHA-256 with the
// RECORD of their wheels, whose own SHA-256 is pinned. It returns [ErrDamaged] for the first file,
// by name, that differs or is missing. It accepts every plugin of another source.
func Verify(ctx context.Context, p Plugin) error {
	if p.Source != FromSetup {
		return nil
	}
	pin := Pins()[p.Device]
	return pin.verify(ctx, pin.directoryOf(p), func(int64) {})
}

// Fingerprint checks a plugin's file and returns its SHA-256, in hex. Call it before the plugin is
// loaded, since a damaged one may end the process. Fingerprint refuses a file that is not a
// complete shared library and, if [Install] installed it, one that has changed since. Its errors
// are usage errors.
func Fingerprint(p Plugin) (string, error) {
	refuse := func(err error, remedy string) (string, error) {
		return "", usage.Errorf("the XLA plugin %s cannot be used: %w; %s", p.Path, err, remedy)
	}
	if p.Source != FromSetup {
		remedy := "install it again"
		if p.Source == FromEnvironment {
			remedy = "correct or unset GOMLX_BACKEND"
		}
		if err := CheckLibrary(p.Path); err != nil {
			return refuse(err, remedy)
		}
		sum, _, err := HashFile(p.Path)
		if err != nil {
			return refuse(err, remedy)
		}
		return sum, nil
	}
	pin := Pins()[p.Device]
	dir := pin.directoryOf(p)
	remedy := fmt.Sprintf("run `%s`", SetupCommand(p.Device))
	recorded, err := pin.recorded(dir)
	if err == nil {
		_, err = checkFile(dir, pin.Plugin, recorded[pin.Plugin])
	}
	if err != nil {
		return refuse(err, remedy)
	}
	return recorded[pin.Plugin][0], nil // only one wheel has this file
}

// directoryOf returns the directory into which the wheels of an installed plugin were unpacked.
func (p Pin) directoryOf(installed Plugin) string {
	return strings.TrimSuffix(installed.Path, string(filepath.Separator)+filepath.FromSlash(p.Plugin))
}

// verify compares the files of the wheels unpacked in dir with their RECORDs. It calls progress with
// the number of bytes read so far.
func (p Pin) verify(ctx context.Context, dir string, progress func(done int64)) error {
	recorded, err := p.recorded(dir)
	if err != nil {
		return err
	}
	var done int64
	for _, name := range slices.Sorted(maps.Keys(recorded)) {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := checkFile(dir, name, recorded[name])
		if err != nil {
			return err
		}
		done += n
		progress(done)
	}
	return nil
}

// recorded maps the files of the unpacked wheels to their SHA-256. A file that several wheels have
// may match any of theirs.
func (p Pin) recorded(dir string) (map[string][]string, error) {
	all := map[string][]string{}
	for _, w := range p.Wheels {
		name := w.recordPath()
		text, err := infile.Read(filepath.Join(dir, filepath.FromSlash(name)), infile.MaxText)
		if err != nil {
			return nil, fmt.Errorf("%w: %w", ErrDamaged, err)
		}
		if sum := sha256.Sum256(text); hex.EncodeToString(sum[:]) != w.Record {
			return nil, fmt.Errorf("%w: %s does not match its SHA-256", ErrDamaged, name)
		}
		files, err := parseRecord(text)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		for file, sum := range files {
			all[file] = append(all[file], sum)
		}
	}
	if len(all[p.Plugin]) == 0 {
		return nil, fmt.Errorf("the wheels do not contain %s", p.Plugin)
	}
	return all, nil
}

// recordPath returns the path of the RECORD within a wheel.
func (w Wheel) recordPath() string {
	parts := strings.SplitN(w.File, "-", 3)
	return parts[0] + "-" + parts[1] + ".dist-info/RECORD"
}

// parseRecord parses a RECORD and returns the SHA-256, in hex, of every file in it that has one,
// which is all but the RECORD. The format is defined by the Python packaging user guide: CSV of
// path, algorithm=hash and size, where the hash is in URL-safe base64 without padding.
func parseRecord(text []byte) (map[string]string, error) {
	rows := csv.NewReader(bytes.NewReader(text))
	rows.FieldsPerRecord = 3
	files := map[string]string{}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return files, nil
		}
		if err != nil {
			return nil, err
		}
		if row[1] == "" {
			continue
		}
		encoded, isSHA256 := strings.CutPrefix(row[1], "sha256=")
		sum, err := base64.RawURLEncoding.DecodeString(encoded)
		if !isSHA256 || err != nil || len(sum) != sha256.Size {
			return nil, fmt.Errorf("%q has %q instead of a SHA-256", row[0], row[1])
		}
		if !filepath.IsLocal(filepath.FromSlash(row[0])) {
			return nil, fmt.Errorf("%q is outside the directory", row[0])
		}
		files[row[0]] = hex.EncodeToString(sum)
	}
}

// checkFile returns the size of a file in dir, or ErrDamaged if its SHA-256 is none of sums.
func checkFile(dir, name string, sums []string) (int64, error) {
	sum, n, err := HashFile(filepath.Join(dir, filepath.FromSlash(name)))
	if err != nil {
		return 0, fmt.Errorf("%w: %w", ErrDamaged, err)
	}
	if !slices.Contains(sums, sum) {
		return 0, fmt.Errorf("%w: %s does not match its SHA-256", ErrDamaged, name)
	}
	return n, nil
}

// HashFile returns a file's SHA-256, in hex, and its size.
func HashFile(path string) (sum string, n int64, err error) {
	f, err := infile.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	hash := sha256.New()
	if n, err = io.Copy(hash, f); err != nil {
		return "", 0, err
	}
	return hex.EncodeToString(hash.Sum(nil)), n, nil
}

// CheckLibrary returns an error if a file is not a shared library or is cut short. Loading a library
// that is cut short, or the first call into it, would end the process with a bus error.
func CheckLibrary(path string) error {
	if runtime.GOOS != "linux" { // other systems have other formats
		return nil
	}
	f, err := infile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	cut := fmt.Errorf("it is cut short, after %d bytes", info.Size())
	library, err := elf.NewFile(f)
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return cut
	}
	if err != nil {
		return fmt.Errorf("it is not a shared library: %w", err)
	}
	if library.Type != elf.ET_DYN {
		return fmt.Errorf("it is not a shared library: its ELF type is %v", library.Type)
	}
	size := uint64(info.Size())
	within := func(offset, length uint64) bool { return offset <= size && length <= size-offset }
	for _, segment := range library.Progs {
		if !within(segment.Off, segment.Filesz) {
			return cut
		}
	}
	for _, section := range library.Sections {
		if section.Type != elf.SHT_NOBITS && !within(section.Offset, section.FileSize) {
			return cut
		}
	}
	return nil
}
