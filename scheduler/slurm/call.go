package slurm

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"strings"
	"time"

	"nb201/internal/usage"
)

// ErrAbsent is wrapped by the errors of a host without Slurm: its programs are not there,
// or know of no cluster.
var ErrAbsent = errors.New("no Slurm here")

// patience is how long one of Slurm's programs may take: sbatch tries for minutes when the
// controller holds as many jobs as it can.
const patience = 30 * time.Second

// call runs one of Slurm's programs and returns what it prints.
func call(ctx context.Context, stdin, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Stdin = strings.NewReader(stdin)
	c.WaitDelay = time.Second
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	switch said := complaint(program, stderr.String()); {
	case err == nil:
		return stdout.String(), nil
	case errors.Is(err, exec.ErrNotFound):
		return "", usage.Errorf("%w (%s is missing): use a login node of the cluster, or install Slurm's client programs", ErrAbsent, program)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", fmt.Errorf("%s has not answered within %v: Slurm's controller is away, or holds as many jobs as it can (MaxJobCount)", program, patience)
	case strings.Contains(said, "Could not establish a configuration source"):
		return "", usage.Errorf("%w (%s knows of no cluster): set SLURM_CONF, or use a login node", ErrAbsent, program)
	case said != "":
		return "", fmt.Errorf("%s: %s", program, said)
	}
	return "", fmt.Errorf("%s: %w", program, err)
}

// complaint is what a program says on stderr, in one line.
func complaint(program, stderr string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimPrefix(strings.TrimSpace(line), program+": ")
		if line = strings.TrimPrefix(line, "error: "); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
