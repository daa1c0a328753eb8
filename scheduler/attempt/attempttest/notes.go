// Package attempttest has what tests of failed attempts need.
package attempttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"nb201/results"
)

// Notes are files of failed attempts at a trial: of an attempt each, as far as they can be
// read.
var Notes = map[string]struct {
	Text    string // with the trial at %s
	Counted int
	Warning string
}{
	"garbage":           {"{garbage", 0, "not JSON at byte 1"},
	"empty":             {"", 0, "unexpected end of the file"},
	"zeros":             {"\x00\x00\x00\x00", 0, "not JSON at byte 0"},
	"no object":         {"[]", 0, "must be an object"},
	"other kinds":       {`{"trial": %s, "attempts": "many", "set_aside": false}`, 0, `key "attempts" must be`},
	"another trial's":   {`{"trial": {"architecture": 9, "dataset": "digits", "epochs": 2, "seed": 1}, "attempts": [], "set_aside": true}`, 0, "is about another trial"},
	"a place elsewhere": {`{"trial": {"architecture": 0, "dataset": "../../x", "epochs": 2, "seed": 1}, "attempts": [], "set_aside": true}`, 0, "dataset key"},
	"unknown keys":      {`{"trial": %s, "mood": {"x": 1}, "attempts": [{"when": "2026-01-02T03:04:05Z", "host": "h", "device": "cpu", "kind": "bored", "reason": "r", "log": "l", "moon": 3}], "set_aside": false}`, 1, ""},
	"a newer version":   {`{"version": 2, "trial": %s, "attempts": [{"kind": "error"}], "set_aside": false}`, 1, "is from a newer version of nb201"},
	"a directory":       {"", 0, "it is a directory"},
	"a named pipe":      {"", 0, "it is a named pipe"},
}

// PutNote makes such a file.
func PutNote(name, text, path string, trial results.Trial) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	switch name {
	case "a directory":
		return os.MkdirAll(filepath.Join(path, "full"), 0o777)
	case "a named pipe":
		return syscall.Mkfifo(path, 0o666)
	}
	of, err := json.Marshal(trial)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(text, "%s", string(of))), 0o666)
}
