// Package schematest validates the JSON files that the program writes in tests against their JSON
// Schemas (package schemas).
//
// A test package whose tests make the program write files calls Watch in its TestMain: every file is
// then checked at the moment when it gets its name, those of child processes and those that are soon
// removed too. Files that a test writes by hand, to show what the program does with damage, do not
// pass there. CheckDir checks what a separate program has left in a directory.
package schematest

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"nb201/docs/schemas"
	"nb201/internal/atomicfile"
)

// Kinds lists the kinds of files that have a schema: KIND of KIND.schema.json.
func Kinds() []string {
	return []string{"definition", "failure", "latency", "plan", "recipe", "record", "run"}
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

// places gives the kinds of files by their paths, as far as these say.
var places = []struct {
	path *regexp.Regexp
	kind string
}{
	{regexp.MustCompile(`(^|/)trials/\d{6}/[^/]+/\d{4,}-\d{4,}\.json$`), "record"},
	{regexp.MustCompile(`(^|/)failed/\d{6}/[^/]+/\d{4,}-\d{4,}\.json$`), "failure"},
	{regexp.MustCompile(`(^|/)running/[^/]+-\d+\.json$`), "run"},
	{regexp.MustCompile(`(^|/)plan\.json$`), "plan"},
	{regexp.MustCompile(`\.json$`), "definition"}, // KEY.json of data import, in any directory
}

// kindOf returns the kind of the file at path; ok is false of one that has no schema.
func kindOf(path string) (kind string, ok bool) {
	for _, p := range places {
		if p.path.MatchString(filepath.ToSlash(path)) {
			return p.kind, true
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

// faultsVariable names, for child processes, the file to which Watch adds faults.
const faultsVariable = "NB201_TEST_SCHEMA_FAULTS"

// Watch checks from now on every file with a schema that this process, or a child that calls Watch
// too, writes through package atomicfile. exit, called with the exit status of a package's tests,
// returns the one to exit with: it prints the faults, and is 1 if there were any.
func Watch() (exit func(code int) int) {
	faults, inherited := os.LookupEnv(faultsVariable)
	if !inherited {
		f, err := os.CreateTemp("", "schema-faults-*.txt")
		if err == nil {
			err = errors.Join(f.Close(), os.Setenv(faultsVariable, f.Name()))
		}
		if err != nil {
			panic(err)
		}
		faults = f.Name()
	}
	stop := atomicfile.Observe(func(path string, read func() ([]byte, error)) {
		kind, ok := kindOf(path)
		if !ok {
			return
		}
		text, err := read()
		if errors.Is(err, fs.ErrNotExist) {
			return // a rename that fails
		}
		if err == nil {
			err = Validate(kind, text)
		}
		if err != nil {
			report(faults, fmt.Sprintf("%s is not valid: %v\n", path, err))
		}
	})
	return func(code int) int {
		stop()
		if inherited {
			return code
		}
		found, err := os.ReadFile(faults)
		if err = errors.Join(err, os.Remove(faults), os.Unsetenv(faultsVariable)); err != nil || len(found) > 0 {
			fmt.Fprintf(os.Stderr, "files that the program wrote and their schemas: %v\n%s", err, found)
			return 1
		}
		return code
	}
}

// report adds a fault to a file that several processes write.
func report(faults, text string) {
	f, err := os.OpenFile(faults, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err == nil {
		_, err = f.WriteString(text)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		panic(fmt.Sprintf("%v\n%s", err, text))
	}
}
