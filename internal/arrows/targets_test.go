package arrows

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"nb201/internal/needs"
	"nb201/internal/repository"
)

var (
	rule     = regexp.MustCompile(`(?m)^([a-z][a-z0-9 -]*):(?:[^=\n]*)$`)
	fromRun  = regexp.MustCompile(`(?m)^\s*(?:target|phase .* tools/provide\.sh) ([a-z0-9-]+)`)
	provided = regexp.MustCompile(`(?m)^\s*provide ([a-z -]+)$`)
	needed   = regexp.MustCompile(`(?m): NEEDS = ([a-z,-]+)$`)
	fromStep = regexp.MustCompile(`^make ([a-z0-9-]+)( |$)`)
	word     = regexp.MustCompile(`([a-z-]+)`)
	pinned   = regexp.MustCompile(`^[a-z/-]+@[0-9a-f]{40}$`)
)

// providers maps a need that CI provides to the target that provides it.
var providers = map[string]string{
	"programs": "packages", "slurm": "packages", "chromium": "packages", "python": "python", "axe": "axe", "plugin": "setup", "kernels": "setup", "compiler": "compiler", "wheel": "wheel",
}

// fromShared lists the needs that .ci/run provides only if ../shared has the data for them, and the
// targets that it then makes.
var fromShared = struct{ needs, targets []string }{
	needs:   []string{"clients", "jpegs", "photos", "published"},
	targets: []string{"clients", "photographs"},
}

// workflow is a GitHub Actions workflow, as far as the test reads it.
type workflow struct {
	Permissions map[string]string
	Concurrency struct{ Group string }
	Jobs        map[string]struct {
		Timeout int `json:"timeout-minutes"`
		Env     map[string]string
		Steps   []struct {
			Uses, Run string
			Env       map[string]string
		}
	}
}

// captured returns the matches of an expression's first group, split at any of the separators,
// sorted and without duplicates.
func captured(expression *regexp.Regexp, text, separators string) []string {
	found := map[string]bool{}
	for _, m := range expression.FindAllStringSubmatch(text, -1) {
		for _, word := range strings.FieldsFunc(m[1], func(r rune) bool { return strings.ContainsRune(separators, r) }) {
			found[word] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// .ci/run and the workflow must make the same targets. Targets and required needs must exist.
func TestTargets(t *testing.T) {
	makefile := repository.Read(t, "Makefile")
	targets := captured(rule, makefile, " ")
	run := repository.Read(t, ".ci/run")
	made := captured(fromRun, run, " ")

	var w workflow
	if err := yaml.Unmarshal([]byte(repository.Read(t, ".github/workflows/ci.yml")), &w); err != nil {
		t.Fatal(err)
	}
	steps := map[string]bool{}
	requirable := slices.Sorted(maps.Keys(providers))
	for name, job := range w.Jobs {
		if job.Timeout == 0 {
			t.Errorf("the workflow's job %s has no time limit", name)
		}
		made := map[string]bool{}
		required := []string{job.Env[needs.RequireVariable]}
		for _, step := range job.Steps {
			required = append(required, step.Env[needs.RequireVariable])
			if m := fromStep.FindStringSubmatch(step.Run); m != nil {
				made[m[1]], steps[m[1]] = true, true
			} else if !pinned.MatchString(step.Uses) {
				t.Errorf("the workflow's job %s has a step that neither makes a target nor uses an action by its commit: %+v", name, step)
			}
		}
		required = captured(word, strings.Join(required, ","), "")
		for _, need := range required {
			if !made[providers[need]] {
				t.Errorf("the workflow's job %s requires %s and does not make what provides it", name, need)
			}
		}
		if name != "check" && !slices.Equal(required, requirable) {
			t.Errorf("the workflow's job %s requires %q, want %q", name, required, requirable)
		}
	}
	if len(w.Jobs) < 3 || len(w.Permissions) != 1 || w.Permissions["contents"] != "read" || w.Concurrency.Group == "" {
		t.Errorf("the workflow has %d jobs, permissions %v, concurrency %+v", len(w.Jobs), w.Permissions, w.Concurrency)
	}

	want := slices.DeleteFunc(slices.Clone(made), func(name string) bool { return slices.Contains(fromShared.targets, name) })
	if got := slices.Sorted(maps.Keys(steps)); !slices.Equal(got, want) || len(want) < 10 {
		t.Errorf("the workflow makes %q, .ci/run %q", got, want)
	}
	for _, name := range append(slices.Collect(maps.Keys(steps)), made...) {
		if !slices.Contains(targets, name) {
			t.Errorf("the Makefile has no target %s", name)
		}
	}
	if got, want := captured(provided, run, " "), slices.Sorted(slices.Values(slices.Concat(requirable, fromShared.needs))); !slices.Equal(got, want) {
		t.Errorf(".ci/run provides %q, want %q", got, want)
	}
	for _, name := range slices.Concat(requirable, fromShared.needs, captured(needed, makefile, ",")) {
		if !slices.Contains(needs.Names(), name) {
			t.Errorf("nothing is needed by the name %q", name)
		}
	}
}
