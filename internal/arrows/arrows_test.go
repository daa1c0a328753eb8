// Package arrows tests the layers of this module: which packages may import which, and which
// may import gomlx and go-xla, whose APIs still change. It also checks that docs/walks.md
// names existing files and functions, that CONTRIBUTING.md and docs/developing.md describe what
// exists, and that .ci/run and the GitHub workflow make the same targets.
package arrows

import (
	"fmt"
	"go/parser"
	"go/token"
	"maps"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nb201/internal/repository"
)

const (
	module = "nb201/"
	gomlx  = "github.com/gomlx/"
	goXLA  = "github.com/gomlx/go-xla/"
)

// layers lists, for each directory, what its packages may import: directories of this module
// and prefixes of import paths. They may also import each other, the standard library, and
// libraries without a prefix here. The rule of a directory applies to the directories below
// it that do not have a rule, and to its tests unless it or a directory above it has a rule
// for tests.
var layers = map[string][]string{
	"docs":                 {},
	"docs" + ofTests:       {"internal", "docs", "configs", "data", "results", "scheduler/attempt", "scheduler/state", "scheduler/plan"},
	"internal":             {"docs"},
	"internal/plugin":      {"internal", goXLA},
	"internal/kernels":     {"internal"},
	"internal/cudakernels": {"internal"},
	"internal/programs":    {"internal", "internal/kernels", "internal/cudakernels", "internal/plugin", gomlx},
	"internal/backend":     {"internal", "configs", "internal/plugin", "internal/kernels", "internal/programs", gomlx},
	"configs":              {"internal"},
	"cell":                 {"internal"},
	"cell/network":         {"internal", "internal/kernels", "internal/plugin", "internal/backend", "cell", gomlx},
	"data":                 {"internal", "configs", "cell"},
	"results":              {"internal", "configs", "cell"},
	"results/benchmark":    {"internal", "configs", "cell", "results"},
	"results/tables":       {"internal", "configs", "cell", "results", "results/benchmark"},
	"results/published":    {"internal", "configs", "cell", "results", "results/benchmark", "results/tables"},
	"results/export":       {"internal", "configs", "cell", "results", "results/benchmark", "results/tables", "results/published"},
	"results/verify":       {"internal", "configs", "cell", "results", "results/benchmark"},
	"results/rank":         {},
	"results/compare":      {"internal", "configs", "cell", "results", "results/benchmark", "results/rank"},
	"results/summary":      {"internal", "configs", "cell", "results", "results/benchmark"},
	"results/report":       {"internal", "configs", "cell", "results", "results/benchmark", "results/rank", "results/compare", "results/summary"},
	"results/lookup":       {"internal", "configs", "cell", "results", "results/benchmark"},
	"results/plot":         {"internal", "configs", "cell", "results", "results/benchmark"},
	// Their tests query what was written and read again.
	"results" + ofTests: {"internal", "configs", "cell", "results", "results/benchmark", "results/tables", "results/published", "results/export", "results/verify", "results/compare", "results/summary"},
	"train":             {"internal", "internal/plugin", "internal/backend", "configs", "cell", "cell/network", "data", "results", "results/benchmark", "results/published", "train/device", "train/checkpoint", "train/traintest", gomlx},
	"train/traintest":   {"internal"},
	"train/device":      {"internal", "internal/plugin", "internal/backend", "configs", "cell", "cell/network", "data", "train/traintest", gomlx},
	"train/checkpoint":  {"internal", "internal/backend", "configs", "cell", "data", "results", "train/device", gomlx},
	"scheduler/attempt": {"internal", "configs", "results"},
	"scheduler/state":   {"internal", "configs", "results"},
	"scheduler/plan":    {"internal", "configs", "cell", "data", "results"},
	"scheduler/worker":  {"internal", "results", "scheduler/attempt", "scheduler/state"},
	"scheduler/status":  {"internal", "results", "scheduler/attempt", "scheduler/state", "scheduler/plan"},
	"scheduler/trainer": {"internal", "internal/backend", "configs", "cell", "data", "results", "results/benchmark", "results/published", "train", "train/checkpoint", "scheduler/attempt", "scheduler/plan"},
	"scheduler": {"internal", "internal/plugin", "configs", "cell", "results",
		"scheduler/attempt", "scheduler/state", "scheduler/plan", "scheduler/worker", "scheduler/status"},
	"serve": {"internal", "configs", "cell", "results", "results/benchmark", "results/published", "results/summary", "results/report", "results/lookup",
		"scheduler/attempt", "scheduler/state", "scheduler/plan", "scheduler/status"},
	// Its tests serve what was exported.
	"serve" + ofTests: {"internal", "configs", "cell", "results", "results/benchmark", "results/published", "results/export", "results/summary", "results/report", "results/lookup",
		"scheduler/attempt", "scheduler/state", "scheduler/plan", "scheduler/status", "serve"},
	"cmd": {"internal", "internal/plugin", "internal/programs", "internal/backend", "configs", "cell", "data",
		"results", "results/benchmark", "results/published", "results/export", "results/verify", "results/compare", "results/report", "results/lookup", "results/plot", "train", "train/device",
		"scheduler", "scheduler/attempt", "scheduler/state", "scheduler/plan", "scheduler/worker", "scheduler/status", "scheduler/trainer", "serve"},
	"bench":  {"internal", "internal/plugin", "internal/backend", "configs", "cell", "data", "results", "results/published", "train", "train/device", gomlx},
	"python": {"internal", "configs", "cell", "results", "results/benchmark", "results/published", "results/export", "results/lookup"},
	"e2e":    {"internal", "internal/plugin", "internal/backend", "configs", "cell", "data", "results", "results/published", "results/export", "results/verify", "train"},
}

// ofTests is the suffix that turns the name of a directory into that of its tests.
const ofTests = " tests"

// layer returns the directory whose rule applies to a directory of this module, or to its
// tests, or "" if there is no rule.
func layer(dir string) string {
	folder, isTests := strings.CutSuffix(dir, ofTests)
	suffixes := []string{""}
	if isTests {
		suffixes = []string{ofTests, ""}
	}
	for _, suffix := range suffixes {
		for up := folder; up != "."; up = path.Dir(up) {
			if _, ok := layers[up+suffix]; ok {
				return up + suffix
			}
		}
	}
	return ""
}

// forTests reports whether only tests may import a directory: it imports testing, or is tests.
func forTests(imports map[string][]string, dir string) bool {
	return strings.HasSuffix(dir, ofTests) || slices.Contains(imports[dir], "testing")
}

// violations lists the imports that layers forbids, given the imports of each directory, and
// the imports of test packages by others.
func violations(imports map[string][]string) []string {
	var found []string
	for _, dir := range slices.Sorted(maps.Keys(imports)) {
		from := layer(dir)
		if from == "" {
			found = append(found, dir+" has no rule in layers; add one")
			continue
		}
		for _, imported := range imports[dir] {
			inModule, ours := strings.CutPrefix(imported, module)
			var allowed bool
			switch {
			case ours:
				to := layer(inModule)
				allowed = to == from || slices.Contains(layers[from], to)
			case strings.HasPrefix(imported, gomlx):
				allowed = slices.ContainsFunc(layers[from], func(prefix string) bool { return strings.HasPrefix(imported, prefix) })
			default:
				allowed = true
			}
			if !allowed {
				found = append(found, fmt.Sprintf("%s must not import %s", dir, imported))
			}
			if ours && forTests(imports, inModule) && !forTests(imports, dir) {
				found = append(found, fmt.Sprintf("%s must not import %s, which is for tests", dir, imported))
			}
		}
	}
	return found
}

// moduleImports returns the imports of each directory of this module, for all operating systems,
// and of their tests.
func moduleImports(t *testing.T) map[string][]string {
	t.Helper()
	imports := map[string][]string{}
	repository.Walk(t, func(name string) error {
		if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") {
			return nil
		}
		file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(repository.Root, name), nil, parser.ImportsOnly)
		if err != nil {
			return err
		}
		dir := path.Dir(name)
		if strings.HasSuffix(name, "_test.go") {
			dir += ofTests
		}
		for _, spec := range file.Imports {
			imported, err := strconv.Unquote(spec.Path.Value)
			if err != nil {
				return err
			}
			if !slices.Contains(imports[dir], imported) {
				imports[dir] = append(imports[dir], imported)
			}
		}
		return nil
	})
	return imports
}

func TestArrows(t *testing.T) {
	imports := moduleImports(t)
	// Make sure that the files were found at all.
	if !slices.Contains(imports["cmd/nb201"], "nb201/cell") {
		t.Fatal("cmd/nb201 does not import nb201/cell")
	}
	for _, v := range violations(imports) {
		t.Error(v)
	}
}

// A package that imports testing is for tests; the program must not import it.
func TestForTests(t *testing.T) {
	imports := map[string][]string{
		"internal/needs":         {"testing"},
		"internal/golden":        {"testing", "nb201/internal/needs"},
		"internal/pickle":        {"nb201/internal/needs"},
		"internal/npy":           {"nb201/internal/usage"},
		"internal/npy" + ofTests: {"testing", "nb201/internal/needs"},
	}
	want := []string{"internal/pickle must not import nb201/internal/needs, which is for tests"}
	if got := violations(imports); !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
}

func TestViolations(t *testing.T) {
	for _, test := range []struct {
		dir, imported string
		allowed       bool
	}{
		{"cmd/nb201", "nb201/scheduler", true},
		{"cmd/nb201", "nb201/train", true},
		{"cmd/nb201", "nb201/cell/network", false},
		{"cmd/nb201", "github.com/gomlx/gomlx/core/graph", false},
		{"scheduler", "nb201/cmd/nb201", false},
		{"scheduler", "nb201/scheduler/worker", true},
		{"scheduler", "nb201/scheduler/trainer", false},
		{"scheduler", "nb201/train", false},
		{"scheduler/attempt", "nb201/train", false},
		{"scheduler/worker", "nb201/scheduler", false},
		{"scheduler/worker", "nb201/scheduler/attempt", true},
		{"scheduler/status", "nb201/scheduler", false},
		{"scheduler/trainer", "nb201/train", true},
		{"scheduler", "github.com/gomlx/compute", false},
		{"train", "nb201/cell/network", true},
		{"train", "github.com/gomlx/gomlx/core/graph", true},
		{"train", "nb201/scheduler", false},
		{"train" + ofTests, "nb201/scheduler", false},
		{"train/traintest", "nb201/internal/needs", true},
		{"train/traintest", "nb201/internal/backend", false},
		{"results", "nb201/internal/torchfile", true},
		{"results", "nb201/results/resultstest", true},
		{"results", "nb201/results/benchmark", false},
		{"results", "nb201/results/published", false},
		{"results", "nb201/results/export", false},
		{"results" + ofTests, "nb201/results/published", true},
		{"results" + ofTests, "nb201/train", false},
		{"results/benchmark", "nb201/results", true},
		{"results/benchmark", "nb201/results/published", false},
		{"results/benchmark" + ofTests, "nb201/results/published", true},
		{"results/tables", "nb201/results/published", false},
		{"results/published/internal/merged", "nb201/results", true},
		{"results/published", "nb201/results/tables", true},
		{"results/published", "nb201/results/export", false},
		{"results/export", "nb201/results/published", true},
		{"results/verify", "nb201/results/benchmark", true},
		{"results/verify", "nb201/results/published", false},
		{"results/compare", "nb201/results/published", false},
		{"results/rank", "nb201/results", false},
		{"train", "nb201/results/published", true},
		{"train", "nb201/results/export", false},
		{"scheduler", "nb201/results/published", false},
		{"results", "nb201/cell", true},
		{"results", "nb201/cell/network", false},
		{"results", "nb201/train", false},
		{"results", "nb201/data", false},
		{"results", "nb201/internal/backend", false},
		{"results", "github.com/gomlx/gomlx/core/graph", false},
		{"data", "nb201/data/datatest", true},
		{"data", "nb201/cell", true},
		{"data", "nb201/cell/network", false},
		{"data/datatest", "nb201/results", false},
		{"cell", "nb201/cell/network", false},
		{"cell", "nb201/internal/random", true},
		{"cell/network", "github.com/gomlx/gomlx/core/graph", true},
		{"cell/network", "nb201/train", false},
		{"configs", "nb201/cell", false},
		{"internal/plugin/index", "github.com/gomlx/go-xla/installer", true},
		{"internal/plugin", "github.com/gomlx/gomlx/core/graph", false},
		{"internal/plugin", "nb201/internal/backend", false},
		{"internal/random", "nb201/internal/usage", true},
		{"internal/random", "nb201/internal/backend", false},
		{"internal/random", "nb201/cell", false},
		{"internal/backend", "nb201/internal/programs", true},
		{"internal/programs", "nb201/internal/backend", false},
		{"internal/torchfile", "github.com/dsnet/compress/bzip2", true},
		{"elsewhere", "fmt", false},
		{"train", "nb201/elsewhere", false},
	} {
		found := violations(map[string][]string{test.dir: {test.imported}})
		if (len(found) == 0) != test.allowed {
			t.Errorf("%s imports %s: found %q", test.dir, test.imported, found)
		}
	}
}
