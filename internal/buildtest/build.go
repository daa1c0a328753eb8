// Package buildtest builds what tests run.
package buildtest

import (
	"fmt"
	"os/exec"
)

// Build compiles a package to the file to, with the Makefile's tags, without debugging information and with further flags
// of go build. An error has what go build prints.
func Build(to, pkg string, flags ...string) error {
	all := append([]string{"build", "-buildvcs=false", "-ldflags=-s -w", "-tags", "minimal", "-o", to}, flags...)
	if out, err := exec.Command("go", append(all, pkg)...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w\n%s", err, out)
	}
	return nil
}
