package needs

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nb201/internal/repository"
)

// NB201_REQUIRE in the environment of this run must not contain unknown names.
func TestEnvironment(t *testing.T) {
	if _, err := required(); err != nil {
		t.Error(err)
	}
}

// ended records how a test with a fake testing.TB ended, "skip" or "fail", and its text.
type ended struct{ how, text string }

// recorder is a fake testing.TB whose methods panic with an ended, which outcome recovers.
type recorder struct{ testing.TB }

func (recorder) Helper()           {}
func (recorder) Fatal(args ...any) { panic(ended{"fail", fmt.Sprint(args...)}) }
func (recorder) Fatalf(format string, args ...any) {
	panic(ended{"fail", fmt.Sprintf(format, args...)})
}
func (recorder) Skipf(format string, args ...any) { panic(ended{"skip", fmt.Sprintf(format, args...)}) }

// outcome returns how a test that calls need ends. It is the zero value if the test continues.
func outcome(need func(t testing.TB)) (end ended) {
	defer func() {
		if r := recover(); r != nil {
			end = r.(ended)
		}
	}()
	need(recorder{})
	return ended{}
}

func TestLedger(t *testing.T) {
	absent := errors.New("there is none")
	for _, c := range []struct {
		require, python string
		need            func(t testing.TB)
		want            ended
	}{
		{"", "/python", func(t testing.TB) { Python(t) }, ended{}},
		{"python", "/python", func(t testing.TB) { Python(t) }, ended{}},
		{"", "", func(t testing.TB) { Python(t) }, ended{"skip", "needs python: NB201_PYTHON is not set; set it to a Python with "}},
		{"plugin,photos", "", func(t testing.TB) { Python(t) }, ended{"skip", "needs python: "}},
		{"python", "", func(t testing.TB) { Python(t) }, ended{"fail", "NB201_REQUIRE requires python: NB201_PYTHON is not set; set it to a Python with "}},
		{"plugin, python,", "", func(t testing.TB) { Python(t) }, ended{"fail", "NB201_REQUIRE requires python: "}},
		{"", "", func(t testing.TB) { PythonIfSet(t) }, ended{}},
		{"python", "", func(t testing.TB) { PythonIfSet(t) }, ended{"fail", "NB201_REQUIRE requires python: "}},
		{"python", "/python", func(t testing.TB) { PythonIfSet(t) }, ended{}},
		{"", "", func(t testing.TB) { Plugin(t, absent) }, ended{"skip", "needs plugin: there is none; run `make setup`"}},
		{"kernels", "", func(t testing.TB) { Plugin(t, absent) }, ended{"skip", "needs plugin: there is none; run `make setup`"}},
		{"kernels,plugin", "", func(t testing.TB) { Plugin(t, absent) }, ended{"fail", "NB201_REQUIRE requires plugin: there is none; run `make setup`"}},
		{"plugin", "", func(t testing.TB) { Plugin(t, nil) }, ended{}},
		{"kernels", "", func(t testing.TB) { Kernels(t, "no interface") }, ended{"fail", "NB201_REQUIRE requires kernels: no interface; "}},
		{"kernels", "", func(t testing.TB) { Kernels(t, "") }, ended{}},
		{"programs", "", func(t testing.TB) { Program(t, "no-such-program") }, ended{"fail", "NB201_REQUIRE requires programs: "}},
		{"gpu", "", func(t testing.TB) { GPU(t, false, "the CPU has none") }, ended{"fail", "NB201_REQUIRE requires gpu: the CPU has none; "}},
		{"", "", func(t testing.TB) { CPU(t, true, "only there") }, ended{"skip", "needs cpu: only there; "}},
		// A misspelt name would require nothing.
		{"pyhton", "/python", func(t testing.TB) { Python(t) }, ended{"fail", `NB201_REQUIRE: unknown name "pyhton"; use axe, chromium, `}},
		{"pyhton", "/python", func(t testing.TB) { PythonIfSet(t) }, ended{"fail", `NB201_REQUIRE: unknown name "pyhton"; use `}},
	} {
		t.Setenv(RequireVariable, c.require)
		t.Setenv("NB201_PYTHON", c.python)
		if got := outcome(c.need); got.how != c.want.how || !strings.HasPrefix(got.text, c.want.text) {
			t.Errorf("requiring %q with Python %q: %+v, want %+v", c.require, c.python, got, c.want)
		}
	}
}

// Tests that take minutes or hours run only if NB201_NIGHTLY enables them.
func TestNightly(t *testing.T) {
	for value, want := range map[string][3]bool{"": {}, "0": {}, "1": {true, true, false}, "all": {true, true, true}} {
		t.Setenv(RequireVariable, "")
		t.Setenv(nightlyVariable, value)
		got := [3]bool{outcome(func(t testing.TB) { Nightly(t) }) == ended{}, IsNightly(), IsNightlyAll()}
		if got != want {
			t.Errorf("%q: %v, want %v", value, got, want)
		}
	}
}

// Slurm ends the test if a program of a cluster is missing.
func TestSlurm(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	if _, err := os.Stat("/usr/sbin/sbatch"); err == nil {
		t.Fatal("sbatch is a program for users, and is in /usr/sbin")
	}
	for require, want := range map[string]string{"": "skip", "slurm": "fail"} {
		t.Setenv(RequireVariable, require)
		if got := outcome(Slurm); got.how != want || !strings.Contains(got.text, "install slurm-client") {
			t.Errorf("requiring %q: %+v, want %s", require, got, want)
		}
	}
}

// Chromium finds the browser by each of its names, and ends the test if none is installed.
func TestChromium(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	for require, want := range map[string]string{"": "skip", "chromium": "fail"} {
		t.Setenv(RequireVariable, require)
		if got := outcome(func(t testing.TB) { Chromium(t) }); got.how != want || !strings.Contains(got.text, "install chromium") {
			t.Errorf("requiring %q: %+v, want %s", require, got, want)
		}
	}
	for _, name := range []string{"google-chrome", "chromium-browser", "chromium"} { // the last is preferred
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, nil, 0o777); err != nil {
			t.Fatal(err)
		}
		if got := Chromium(t); got != path {
			t.Errorf("found %s, want %s", got, path)
		}
	}
}

// TestRun runs a test that needs a Python without one. The run passes, but fails if NB201_REQUIRE
// lists the Python or an unknown name.
func TestRun(t *testing.T) {
	Program(t, "go")
	for require, want := range map[string]string{
		"": "needs python: NB201_PYTHON is not set", "python": "NB201_REQUIRE requires python: NB201_PYTHON is not set",
		"pythons": `NB201_REQUIRE: unknown name "pythons"`,
	} {
		c := exec.Command("go", "test", "-count=1", "-v", "-run", "^TestFragments$", "nb201/internal/pickle")
		c.Env = append(os.Environ(), RequireVariable+"="+require, "NB201_PYTHON=")
		out, err := c.CombinedOutput()
		if failed := err != nil; failed != (require != "") || !strings.Contains(string(out), want) {
			t.Errorf("requiring %q: %v\n%s\nwant %s", require, err, out, want)
		}
	}
}

func TestNeeds(t *testing.T) {
	if !slices.IsSorted(Names()) {
		t.Errorf("%q are not in order", Names())
	}
	for _, name := range []string{"plugin", "kernels", "python", "clients", "photos", "slurm", "chromium", "axe"} {
		if !slices.Contains(Names(), name) {
			t.Errorf("%s cannot be required", name)
		}
	}
}

// elsewhere lists, by file, the variables that are not read through package needs, and why.
var elsewhere = map[string][]string{
	"bench/options.go": {"NB201_PYTHON"}, // the default of --python, of a program
}

// Tests must be skipped, and the variables of needs read, through this package only.
func TestSource(t *testing.T) {
	read := map[string][]string{}
	files := 0
	repository.Walk(t, func(name string) error {
		if path.Ext(name) != ".go" || strings.Contains(name, "testdata/") || name == "internal/needs/needs.go" {
			return nil
		}
		files++
		set := token.NewFileSet()
		file, err := parser.ParseFile(set, filepath.Join(repository.Root, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		for _, pos := range skips(file) {
			t.Errorf("%s:%d: skips by itself; call a function of package needs", name, set.Position(pos).Line)
		}
		if v := variablesRead(file); len(v) > 0 {
			read[name] = v
		}
		return nil
	})
	if files < 300 {
		t.Fatalf("only %d files were read", files)
	}
	for name, variables := range read {
		if !slices.Equal(variables, elsewhere[name]) {
			t.Errorf("%s reads %q; call a function of package needs", name, variables)
		}
	}
	for name := range elsewhere {
		if read[name] == nil {
			t.Errorf("%s reads no variable", name)
		}
	}
}

// skips finds calls of a test's Skip, Skipf and SkipNow: on a parameter whose type is in package
// testing, or on a field named t or TB.
func skips(file *ast.File) (found []token.Pos) {
	for _, declaration := range file.Decls {
		tests := map[string]bool{}
		ast.Inspect(declaration, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.FuncType:
				for _, field := range n.Params.List {
					for _, name := range field.Names {
						tests[name.Name] = tests[name.Name] || isTesting(field.Type)
					}
				}
			case *ast.CallExpr:
				method, ok := n.Fun.(*ast.SelectorExpr)
				if !ok || !slices.Contains([]string{"Skip", "Skipf", "SkipNow"}, method.Sel.Name) {
					return true
				}
				switch receiver := method.X.(type) {
				case *ast.Ident:
					ok = tests[receiver.Name]
				case *ast.SelectorExpr:
					ok = receiver.Sel.Name == "t" || receiver.Sel.Name == "TB"
				}
				if ok {
					found = append(found, n.Pos())
				}
			}
			return true
		})
	}
	return found
}

// isTesting reports whether a type is testing.TB, or a pointer to testing.T, B or F.
func isTesting(expression ast.Expr) bool {
	if pointer, ok := expression.(*ast.StarExpr); ok {
		expression = pointer.X
	}
	name, ok := expression.(*ast.SelectorExpr)
	if !ok {
		return false
	}
	from, ok := name.X.(*ast.Ident)
	return ok && from.Name == "testing"
}

// variablesRead lists the variables of needs that a file reads with os.Getenv or os.LookupEnv.
func variablesRead(file *ast.File) (found []string) {
	ast.Inspect(file, func(n ast.Node) bool {
		call, ok := n.(*ast.CallExpr)
		if !ok || len(call.Args) != 1 {
			return true
		}
		function, ok := call.Fun.(*ast.SelectorExpr)
		name, isText := call.Args[0].(*ast.BasicLit)
		if ok && isText && (function.Sel.Name == "Getenv" || function.Sel.Name == "LookupEnv") {
			if variable, err := strconv.Unquote(name.Value); err == nil && slices.Contains(Variables(), variable) {
				found = append(found, variable)
			}
		}
		return true
	})
	return found
}

func TestSkips(t *testing.T) {
	const text = `package p
func TestA(t *testing.T) { t.Skip("no python3") }
func TestB(t *testing.T) { t.Run("", func(u *testing.T) { u.Skipf("no %s", "python3") }) }
func help(tb testing.TB) { tb.SkipNow() }
func (c *cluster) start() { c.t.Skip() }
func BenchmarkA(b *testing.B) { b.Skip() }
func TestC(t *testing.T) { b := random.New(); b.Skip(5); generator.Skip(3); needs.Python(t); os.Getenv("NB201_PYTHON") }
`
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", text, 0)
	if err != nil {
		t.Fatal(err)
	}
	var lines []int
	for _, pos := range skips(file) {
		lines = append(lines, set.Position(pos).Line)
	}
	if want := []int{2, 3, 4, 5, 6}; !slices.Equal(lines, want) {
		t.Errorf("found skips in lines %v, want %v", lines, want)
	}
	if got := variablesRead(file); !slices.Equal(got, []string{"NB201_PYTHON"}) {
		t.Errorf("found %q", got)
	}
}
