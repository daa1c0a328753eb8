// Package schematest validates the JSON files that the program writes in tests against their JSON
// Schemas (package schemas).
//
// A test package whose tests make the program write files calls [Main], or [Watch], in its TestMain:
// every file is then copied at the moment when it gets its name, and the copies are validated at the
// end. So files of child processes are checked, and those that are soon replaced or removed. Files
// that a test writes by hand, to show what the program does with damage, are not. [CheckDir] checks
// what a separate program has left in a directory.
package schematest

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"nb201/docs/schemas"
	"nb201/internal/atomicfile"
)

// Kinds lists the kinds of files that have a schema: KIND of KIND.schema.json.
func Kinds() []string {
	return []string{"definition", "evaluation", "evaluations", "failure", "latency", "plan", "recipe", "record", "run"}
}

// compiled returns the schemas by their kinds.
var compiled = sync.OnceValues(func() (map[string]*jsonschema.Schema, error) {
	c := jsonschema.NewCompiler()
	c.AssertFormat()
	ids := map[string]string{}
	for _, kind := range Kinds() {
		text, err := schemas.Files.ReadFile(kind + ".schema.json")
		if err != nil {
			return nil, err
		}
		schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("%s.schema.json: %w", kind, err)
		}
		ids[kind], _ = schema.(map[string]any)["$id"].(string)
		if err := c.AddResource(ids[kind], schema); err != nil {
			return nil, err
		}
	}
	all := map[string]*jsonschema.Schema{}
	for kind, id := range ids {
		schema, err := c.Compile(id)
		if err != nil {
			return nil, err
		}
		all[kind] = schema
	}
	return all, nil
})

// Validate validates a JSON text against the schema of a kind.
func Validate(kind string, text []byte) error {
	all, err := compiled()
	if err != nil {
		return err
	}
	schema, ok := all[kind]
	if !ok {
		return fmt.Errorf("there is no schema of %q", kind)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}

// places gives the kinds of files by their paths, "" for one that has no schema.
var places = []struct {
	path *regexp.Regexp
	kind string
}{
	{regexp.MustCompile(`(^|/)evaluations/[^/]+/trials/(sss-)?\d{6}/[^/]+/[^/]+-\d{4,}\.json$`), "evaluation"},
	{regexp.MustCompile(`(^|/)evaluations/[^/]+/evaluation\.json$`), "evaluations"},
	{regexp.MustCompile(`(^|/)trials/(sss-)?\d{6}/[^/]+/([^/]+-)?\d{4,}-\d{4,}\.json$`), "record"},
	{regexp.MustCompile(`(^|/)failed/(sss-)?\d{6}/[^/]+/([^/]+-)?\d{4,}-\d{4,}\.json$`), "failure"},
	{regexp.MustCompile(`(^|/)running/[^/]+-\d+\.json$`), "run"},
	{regexp.MustCompile(`(^|/)plan\.json$`), "plan"},
	{regexp.MustCompile(`(^|/)\d{4}-\d\d-\d\d-[^/]+\.json$`), ""}, // a table of bench
	{regexp.MustCompile(`(^|/)recipes/[^/]+\.json$`), ""},         // users' recipes, which may leave out keys
	{regexp.MustCompile(`\.json$`), "definition"},                 // KEY.json of data import, in any directory
}

// kindOf returns the kind of the file at path; ok is false of one that has no schema.
func kindOf(path string) (kind string, ok bool) {
	for _, p := range places {
		if p.path.MatchString(filepath.ToSlash(path)) {
			return p.kind, p.kind != ""
		}
	}
	return "", false
}

// CheckDir validates every record, plan, definition and other file with a schema below dir. At least
// one must exist.
func CheckDir(t testing.TB, dir string) {
	t.Helper()
	checked := 0
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		kind, ok := kindOf(path)
		if err != nil || e.IsDir() || !ok {
			return err
		}
		checked++
		text, err := os.ReadFile(path)
		if err == nil {
			err = Validate(kind, text)
		}
		if err != nil {
			t.Errorf("%s is not valid: %v", path, err)
		}
		return nil
	})
	if err == nil && checked == 0 {
		err = errors.New("no file has a schema")
	}
	if err != nil {
		t.Errorf("check the schemas of files in %s: %v", dir, err)
	}
}

// Main runs the tests of a package, for its TestMain, and validates the files that they wrote: see
// [Watch].
func Main(m *testing.M) {
	exit := Watch()
	os.Exit(exit(m.Run()))
}

// keptVariable names, for child processes, the directory in which Watch keeps copies of files.
const keptVariable = "NB201_TEST_WRITTEN"

// Watch keeps from now on a copy of every file with a schema that this process, or a child that calls
// Watch too, writes through package atomicfile. exit, called with the exit status of a package's tests,
// validates them and returns the status to exit with: it prints the faults, and is 1 if there were any.
func Watch() (exit func(code int) int) {
	dir, inherited := os.LookupEnv(keptVariable)
	if !inherited {
		var err error
		if dir, err = os.MkdirTemp("", "schematest-*"); err == nil {
			err = errors.Join(os.Chmod(dir, 0o777), os.Setenv(keptVariable, dir)) // children may be other users
		}
		if err != nil {
			panic(err)
		}
	}
	stop := atomicfile.Observe(func(path string, read func() ([]byte, error)) {
		kind, ok := kindOf(path)
		if !ok {
			return
		}
		text, err := read()
		if err == nil {
			err = keep(dir, kind, path, text)
		}
		// A rename that fails, or a test in which there are no descriptors.
		if err != nil && !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.EMFILE) {
			panic(err)
		}
	})
	return func(code int) int {
		stop()
		if inherited {
			return code
		}
		found, err := validateKept(dir)
		if err = errors.Join(err, os.RemoveAll(dir), os.Unsetenv(keptVariable)); err != nil || len(found) > 0 {
			fmt.Fprintf(os.Stderr, "files that the program wrote and their schemas: %v\n%s", err, strings.Join(found, ""))
			return 1
		}
		return code
	}
}

// keep puts a copy of a file into dir, as KIND-HASH, behind a line with its path. Equal texts are kept
// once, and what a killed process leaves has a name that begins with a dot.
func keep(dir, kind, path string, text []byte) error {
	to := filepath.Join(dir, fmt.Sprintf("%s-%x", kind, sha256.Sum256(text)))
	if _, err := os.Stat(to); err == nil {
		return nil
	}
	f, err := os.CreateTemp(dir, ".copy-*")
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(f, "%s\n%s", path, text)
	return errors.Join(err, f.Chmod(0o666), f.Close(), os.Rename(f.Name(), to))
}

// validateKept validates the files that keep has put into dir, and describes the faults.
func validateKept(dir string) (faults []string, err error) {
	entries, err := os.ReadDir(dir)
	for _, e := range entries {
		kind, _, _ := strings.Cut(e.Name(), "-")
		if kind == ".copy" {
			continue
		}
		copied, err := os.ReadFile(filepath.Join(dir, e.Name()))
		if err != nil {
			return nil, err
		}
		path, text, _ := bytes.Cut(copied, []byte("\n"))
		if err := Validate(kind, text); err != nil {
			faults = append(faults, fmt.Sprintf("%s is not valid: %v\n", path, err))
		}
	}
	return faults, err
}
