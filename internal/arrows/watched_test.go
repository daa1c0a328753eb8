package arrows

import (
	"slices"
	"strings"
	"testing"
)

// TestWatched makes sure that the files which the program writes in tests are validated: packages that
// can write records, plans, definitions and a campaign's other files call schematest.Watch.
func TestWatched(t *testing.T) {
	imports := moduleImports(t)
	writers := []string{"results", "scheduler/plan", "scheduler/attempt", "scheduler/state", "data/importer"}
	watched := 0
	for folder, tests := range imports {
		dir, ok := strings.CutSuffix(folder, ofTests)
		writes := func(writer string) bool {
			return dir == writer || slices.Contains(imports[dir], module+writer) || slices.Contains(tests, module+writer)
		}
		if !ok || !slices.ContainsFunc(writers, writes) {
			continue
		}
		watched++
		if !slices.Contains(tests, module+"internal/schematest") {
			t.Errorf("the tests of %s do not call schematest.Watch in TestMain", dir)
		}
	}
	if watched < 15 {
		t.Errorf("%d packages are watched", watched)
	}
}
