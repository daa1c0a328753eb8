package train

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/internal/backend/devicetest"
	"nb201/internal/golden"
	"nb201/internal/needs"
)

// A check that cannot fail proves nothing. Each control changes one line of the program in a way
// in which an implementation easily goes wrong, and TestGoldenTrajectoryFloat64 must then fail
// (section 11 of the vectors' specification). A control that changes nothing must pass. With -short only the
// first control runs, because each builds the tests.
func TestControls(t *testing.T) {
	devicetest.CPUOnly(t, "the controls would find the same on a GPU")
	needs.Program(t, "go")
	projects := func(m cell.Module) bool { return slices.ContainsFunc([]int{0, 1, 2, 3, 4, 5}, m.Projects) }
	controls := []struct {
		name     string
		file     string // from the module's root
		old, new string
		steps    int // of the trajectory, two to see an update; 0: all, with what is known at the end
		// within selects a trajectory of the size search space, whose network has such a module. Without it the
		// trajectory is that of architecture 0 of the topology search space.
		within func(cell.Module) bool
	}{
		{
			name: "weight decay off by 1e-5", file: "train/device/graph.go", steps: 2,
			old: "MulScalar(params, e.WeightDecay)", new: "MulScalar(params, e.WeightDecay*(1+1e-5))",
		},
		{name: "none", steps: 2},
		{
			name: "no Nesterov", file: "train/device/graph.go", steps: 2,
			old: "if e.Nesterov {", new: "if false {",
		},
		{
			name: "padding counted in the average", file: "cell/network/tape.go", steps: 2,
			old: "node: Div(t.layers.boxSum(x.node), counts)", new: "node: DivScalar(t.layers.boxSum(x.node), 9.0)",
		},
		{
			name: "the draws of get_model_infos left out", file: "train/init.go", steps: 2,
			old: "generator.Skip(3 * net.Size * net.Size)", new: "generator.Skip(0)",
		},
		{
			name: "biased running variance", file: "cell/network/tape.go",
			old: "factor = count / (count - 1)", new: "factor = count / count",
		},
		{name: "none, where a skip_connect projects", steps: 2, within: projects},
		{
			name: "a ReLU before a skip_connect that projects", file: "cell/network/network.go", steps: 2, within: projects,
			old: `b.convNorm(path+".conv.weight", path+".bn", x, false, 1)`, new: `b.convNorm(path+".conv.weight", path+".bn", x, true, 1)`,
		},
		{
			name: "no convolution in the shortcut of a block that keeps its width", file: "cell/network/tape.go", steps: 2,
			within: func(m cell.Module) bool { return m.Reduction && m.In == m.Out },
			old:    `return t.conv(weight, t.avgPool2x2(x), 1)`,
			new: `if w := t.tensor(weight).Shape(); w.Dim(2) == w.Dim(3) {
		return t.avgPool2x2(x)
	}
	return t.conv(weight, t.avgPool2x2(x), 1)`,
		},
	}
	root, err := filepath.Abs("..")
	if err != nil {
		t.Fatal(err)
	}
	if !needs.IsLong() {
		controls = controls[:1]
	}
	for _, control := range controls {
		t.Run(control.name, func(t *testing.T) {
			t.Parallel()
			binary := filepath.Join(t.TempDir(), "train.test")
			build := exec.Command("go", "test", "-c", "-vet=off", "-ldflags=-s -w", "-o", binary, "-overlay", overlay(t, root, control.file, control.old, control.new), ".")
			if out, err := build.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			var space cell.Space = cell.Topology{}
			fits := func(c trajectory) bool { return c.network.Arch.Index() == 0 && c.N == 1 }
			if control.within != nil {
				space = cell.Size{}
				fits = func(c trajectory) bool { return slices.ContainsFunc(c.network.Modules(), control.within) }
			}
			check := exec.Command(binary, "-test.run", "TestGoldenTrajectoryFloat64/^"+space.Name().String()+"$", "-test.v")
			check.Env = append(os.Environ(), "NB201_GOLDEN="+shortTrajectory(t, space, fits, control.steps))
			out, err := check.CombinedOutput()
			followed := strings.Contains(string(out), "losses of ")
			if !followed || (err == nil) != (control.file == "") {
				t.Errorf("the check ended with %v:\n%s", err, out)
			}
		})
	}
}

// overlay writes the file for go build -overlay that replaces old, which must occur exactly once
// in file, by new.
func overlay(t *testing.T, root, file, old, replacement string) string {
	t.Helper()
	dir := t.TempDir()
	replaced := map[string]string{}
	if file != "" {
		path := filepath.Join(root, file)
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(string(text), old); n != 1 {
			t.Fatalf("%q occurs %d times in %s, not once", old, n, file)
		}
		replaced[path] = filepath.Join(dir, "replacement.go")
		write(t, replaced[path], []byte(strings.Replace(string(text), old, replacement, 1)))
	}
	text, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "overlay.json")
	write(t, path, text)
	return path
}

// shortTrajectory writes a directory of vectors with the first steps of the first trajectory in float64 that
// fits, without the values that are known only after the last step.
func shortTrajectory(t *testing.T, space cell.Space, fits func(trajectory) bool, steps int) string {
	t.Helper()
	file := golden.Of(space.Name(), "traj.json")
	i := slices.IndexFunc(loadTrajectories(t, space), func(c trajectory) bool { return c.DType == "float64" && fits(c) })
	if i < 0 {
		needs.Golden(t, fmt.Errorf("no trajectory in float64 in %s that fits the control", file))
	}
	var vectors struct {
		Cases []map[string]any `json:"cases"`
	}
	golden.Load(t, file, &vectors)
	c := vectors.Cases[i]
	if steps > 0 {
		c["steps"] = c["steps"].([]any)[:steps]
		for _, key := range []string{"bn", "eval", "final_weights", "classifier_bias_final"} {
			delete(c, key)
		}
	}
	text, err := json.Marshal(map[string]any{"cases": []any{c}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write(t, filepath.Join(dir, file), text)
	return dir
}

func write(t *testing.T, path string, text []byte) {
	t.Helper()
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}
