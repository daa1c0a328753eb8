package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"
	"testing"

	"nb201/internal/needs"
)

// TestVersionForm keeps the version one that semver accepts and records can hold.
func TestVersionForm(t *testing.T) {
	semver := regexp.MustCompile(`^\d+\.\d+\.\d+(\+[0-9a-f]{7,}(\.dirty)?)?$`)
	for _, v := range []string{version, formatVersion(""), formatVersion("8f69167"), formatVersion("8f69167.dirty")} {
		if !semver.MatchString(v) || !strings.HasPrefix(v, release) {
			t.Errorf("version %q", v)
		}
	}
	const revision = "8f6916700000000000000000000000000000beef"
	for want, stamps := range map[string][]debug.BuildSetting{
		"":              {{Key: "vcs.modified", Value: "true"}, {Key: "CGO_ENABLED", Value: "1"}},
		"8f69167":       {{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: "false"}},
		"8f69167.dirty": {{Key: "vcs.revision", Value: revision}, {Key: "vcs.modified", Value: "true"}},
	} {
		if got := commitOf(stamps); got != want {
			t.Errorf("commit %q, want %q", got, want)
		}
	}
}

// TestVersionShown finds the version where users look for it. TestOwnDataset looks into
// a record, and a test of package scheduler at its metrics.
func TestVersionShown(t *testing.T) {
	if stdout, _, _ := nb201("--version"); stdout != "nb201 version "+version+"\n" {
		t.Errorf("--version prints %q", stdout)
	}
	if stdout, _, _ := nb201("doctor"); !strings.Contains(stdout, version+", go1.") {
		t.Errorf("doctor does not show %s:\n%s", version, stdout)
	}
}

// TestVersionOfBuilds builds the program as the Makefile does, and as go build does in a tree that
// knows no commit.
func TestVersionOfBuilds(t *testing.T) {
	needs.Long(t, "builds the program")
	needs.Program(t, "go")
	dir := t.TempDir()
	for want, flags := range map[string][]string{
		release:                    {"-buildvcs=false"},
		release + "+abcdef0.dirty": {"-buildvcs=false", "-ldflags", "-X main.commit=abcdef0.dirty"},
	} {
		program := filepath.Join(dir, "nb201")
		if out, err := exec.Command("go", append(append([]string{"build", "-o", program}, flags...), ".")...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		out, err := exec.Command(program, "--version").Output()
		if err != nil || string(out) != "nb201 version "+want+"\n" {
			t.Errorf("with %q it prints %q, %v", flags, out, err)
		}
	}
	// The two scripts that build the program set the variable that the source has.
	for _, script := range []string{"Makefile", "tools/carry.sh"} {
		text, err := os.ReadFile(filepath.Join("../..", script))
		if err != nil || !strings.Contains(string(text), "-X main.commit=") {
			t.Errorf("%s does not set the commit: %v", script, err)
		}
	}
}
