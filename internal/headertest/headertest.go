// Package headertest compares a C header of this program with the original header from which
// it was taken, by assertions that a C compiler checks.
package headertest

import (
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"nb201/internal/needs"
)

// Comparison collects assertions about headers.
type Comparison struct{ c strings.Builder }

// Compare begins a comparison of any number of headers, whose include guards and names must
// differ.
func Compare(t testing.TB, headers ...string) *Comparison {
	t.Helper()
	var c Comparison
	for _, header := range headers {
		path, err := filepath.Abs(header)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(&c.c, "#include %q\n", path)
	}
	return &c
}

// Same asserts that two constant expressions are equal.
func (c *Comparison) Same(original, ours string) {
	fmt.Fprintf(&c.c, "_Static_assert(%s == %s, %q);\n", original, ours, original)
}

// Struct asserts that fields of two structs, each given as "ours=original", have the same
// offsets and sizes.
func (c *Comparison) Struct(original, ours string, fields ...string) {
	for _, field := range fields {
		our, its, _ := strings.Cut(field, "=")
		c.Same(fmt.Sprintf("offsetof(%s, %s)", original, its), fmt.Sprintf("offsetof(struct %s, %s)", ours, our))
		c.Same(fmt.Sprintf("sizeof((%s){0}.%s)", original, its), fmt.Sprintf("sizeof((struct %s){0}.%s)", ours, our))
	}
}

// Check compiles the assertions and fails the test if one does not hold.
func (c *Comparison) Check(t testing.TB) {
	t.Helper()
	cc := exec.Command(needs.CC(t), "-std=c11", "-fsyntax-only", "-x", "c", "-")
	cc.Stdin = strings.NewReader(c.c.String())
	if out, err := cc.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// GoXLA returns the directory of the module go-xla, which has PJRT's header.
func GoXLA(t testing.TB) string {
	t.Helper()
	dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "github.com/gomlx/go-xla").Output()
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(dir))
}
