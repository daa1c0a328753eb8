package arrows

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"

	"nb201/internal/repository"
)

var (
	longer   = regexp.MustCompile(`(?m)^LONGER := (.+)$`)
	longerIn = regexp.MustCompile(`(?m)^LONGERIN := (.+)$`)
	alone    = regexp.MustCompile(`(?m)^\t\$\(LONG\) -run (\w+) \./(\S+)$`)
)

// longTests lists the tests in a file that call needs.Long or needs.IsLong, and other functions that do.
func longTests(file *ast.File) (tests, others []string) {
	for _, declaration := range file.Decls {
		function, ok := declaration.(*ast.FuncDecl)
		if !ok {
			continue
		}
		long := false
		ast.Inspect(function, func(n ast.Node) bool {
			if called, ok := n.(*ast.SelectorExpr); ok && (called.Sel.Name == "Long" || called.Sel.Name == "IsLong") {
				from, ok := called.X.(*ast.Ident)
				long = long || ok && from.Name == "needs"
			}
			return true
		})
		switch name := function.Name.Name; {
		case !long:
		case strings.HasPrefix(name, "Test"):
			tests = append(tests, name)
		default:
			others = append(others, name)
		}
	}
	return tests, others
}

// The Makefile lists every test that `make test` leaves out or shortens, with its package, for `make long`, which CI
// runs, or for a target that runs it alone.
func TestLong(t *testing.T) {
	makefile := strings.ReplaceAll(repository.Read(t, "Makefile"), "\\\n", "")
	names := captured(longer, makefile, " \t")
	packages := captured(longerIn, makefile, " \t")
	var separate []string
	for _, m := range alone.FindAllStringSubmatch(makefile, -1) {
		separate = append(separate, m[2]+" "+m[1])
	}
	used, usedIn := map[string]bool{}, map[string]bool{}
	for name, text := range sources(t, ".go") {
		if !strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		tests, others := longTests(file)
		if len(others) > 0 {
			t.Errorf("%s: %q call needs.Long or needs.IsLong; let the tests call it", name, others)
		}
		in := path.Dir(name)
		for _, test := range tests {
			if slices.Contains(names, test) && slices.Contains(packages, "./"+in) {
				used[test], usedIn["./"+in] = true, true
			} else if !slices.Contains(separate, in+" "+test) {
				t.Errorf("%s: the Makefile's LONGER lacks %s, or LONGERIN ./%s", name, test, in)
			}
		}
	}
	if len(used) < 10 || len(used) != len(names) || len(usedIn) != len(packages) {
		t.Errorf("the Makefile lists the tests %q of %q; those that call needs.Long or needs.IsLong are %v of %v", names, packages, used, usedIn)
	}
}
