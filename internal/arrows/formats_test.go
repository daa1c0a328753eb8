package arrows

import (
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"nb201/internal/repository"
)

// row is a row of the table of constants: value, what it is, and `NAME` in [FILE](LINK).
var row = regexp.MustCompile("(?m)^\\| `([^`]+)` \\| [^|]+ \\| `([A-Za-z0-9]+)` in \\[([^]]+)\\]\\(\\.\\./([^)]+)\\) \\|$")

// The page of the formats quotes versions, magics and limits as the source has them, in its table
// and, of magics, in the pictures of their files.
func TestFormats(t *testing.T) {
	head, table, _ := strings.Cut(repository.Read(t, "docs/formats.md"), "\n## Versions, magics and limits\n")
	rows := row.FindAllStringSubmatch(table, -1)
	if len(rows) < 15 || len(rows) != strings.Count(table, "\n| ")-1 {
		t.Errorf("%d of the %d rows of the table are of constants", len(rows), strings.Count(table, "\n| ")-1)
	}
	for _, r := range rows {
		value, name, file := r[1], r[2], r[3]
		if r[4] != file {
			t.Errorf("%s links to %s", file, r[4])
		}
		want, err := types.Eval(token.NewFileSet(), nil, token.NoPos, value)
		if err != nil {
			t.Errorf("%s: %v", value, err)
			continue
		}
		if got := constantIn(t, filepath.Join(repository.Root, file), name); got == nil || !constant.Compare(got, token.EQL, want.Value) {
			t.Errorf("%s in %s is %v, the page says %s", name, file, got, value)
		}
		if strings.HasSuffix(value, `\n"`) && !strings.Contains(head, "│ "+value+" ") {
			t.Errorf("no picture of a file has the magic %s", value)
		}
	}
}

// constantIn returns the value of a constant of a Go file, nil where it has none of the name.
func constantIn(t *testing.T, path, name string) constant.Value {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Error(err)
		return nil
	}
	object := file.Scope.Lookup(name)
	if object == nil || object.Kind != ast.Con {
		return nil
	}
	spec := object.Decl.(*ast.ValueSpec)
	for i, n := range spec.Names {
		if n.Name == name && i < len(spec.Values) {
			value, err := types.Eval(token.NewFileSet(), nil, token.NoPos, types.ExprString(spec.Values[i]))
			if err != nil {
				t.Errorf("%s: %s: %v", path, name, err)
				return nil
			}
			return value.Value
		}
	}
	return nil
}
