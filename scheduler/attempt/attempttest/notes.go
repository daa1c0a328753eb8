// Package attempttest provides failure files, good and bad, for tests.
package attempttest

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"nb201/results"
)

// Notes maps names to the texts of failure files, most of them damaged.
var Notes = map[string]struct {
	Text    string // %s is replaced by the trial
	Counted int    // failed attempts that can be read from it
	Warning string // part of the warning about it; empty when there is none
}{
	"garbage":           {"{garbage", 0, "not JSON at byte 1"},
	"empty":             {"", 0, "unexpected end of the file"},
	"zeros":             {"\x00\x00\x00\x00", 0, "not JSON at byte 0"},
	"no object":         {"[]", 0, "must be an object"},
	"other kinds":       {`{"trial": %s, "attempts": "many", "set_aside": false}`, 0, `key "attempts" must be`},
	"another trial's":   {`{"trial": {"architecture": 9, "dataset": "digits", "epochs": 2, "seed": 1}, "attempts": [], "set_aside": true}`, 0, "does not match the file's path"},
	"a place elsewhere": {`{"trial": {"architecture": 0, "dataset": "../../x", "epochs": 2, "seed": 1}, "attempts": [], "set_aside": true}`, 0, "dataset key"},
	"unknown keys":      {`{"trial": %s, "mood": {"x": 1}, "attempts": [{"when": "2026-01-02T03:04:05Z", "host": "h", "device": "cpu", "kind": "bored", "reason": "r", "log": "l", "moon": 3}], "set_aside": false}`, 1, ""},
	"a newer version":   {`{"version": 2, "trial": %s, "attempts": [{"kind": "error"}], "set_aside": false}`, 1, "is from a newer version of nb201"},
	"a directory":       {"", 0, "it is a directory"},
	"a named pipe":      {"", 0, "it is a named pipe"},
}

// PutNote writes the note called name, with the given text, to path. Some names make the path a
// directory or a named pipe.
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
	trialJSON, err := json.Marshal(trial)
	if err != nil {
		return err
	}
	return os.WriteFile(path, []byte(strings.ReplaceAll(text, "%s", string(trialJSON))), 0o666)
}
