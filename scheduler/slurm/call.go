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

// ErrAbsent reports that this host has no Slurm: its programs are missing, or do not find a
// cluster.
var ErrAbsent = errors.New("this host has no Slurm")

// patience is how long one of Slurm's programs may take. sbatch retries for minutes when the
// controller has as many jobs as it accepts.
const patience = 30 * time.Second

// runProgram runs one of Slurm's programs and returns its stdout.
func runProgram(ctx context.Context, stdin, program string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	c := exec.CommandContext(ctx, program, args...)
	c.Stdin = strings.NewReader(stdin)
	c.WaitDelay = time.Second
	var stdout, stderr strings.Builder
	c.Stdout, c.Stderr = &stdout, &stderr
	err := c.Run()
	switch message := errorText(program, stderr.String()); {
	case err == nil:
		return stdout.String(), nil
	case errors.Is(err, exec.ErrNotFound):
		return "", usage.Errorf("%w (%s is missing); use a login node of the cluster, or install Slurm's client programs", ErrAbsent, program)
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "", fmt.Errorf("%s did not answer within %v: Slurm's controller is down, or has reached its limit of jobs (MaxJobCount); try again later",
			program, patience)
	case strings.Contains(message, "Could not establish a configuration source"):
		return "", usage.Errorf("%w (%s does not find a cluster); set SLURM_CONF, or use a login node", ErrAbsent, program)
	case message != "":
		return "", fmt.Errorf("%s: %s", program, message)
	}
	return "", fmt.Errorf("%s: %w", program, err)
}

// errorText returns what a program printed on stderr as one line, without its name.
func errorText(program, stderr string) string {
	var lines []string
	for line := range strings.Lines(stderr) {
		line = strings.TrimPrefix(strings.TrimSpace(line), program+": ")
		if line = strings.TrimPrefix(line, "error: "); line != "" {
			lines = append(lines, line)
		}
	}
	return strings.Join(lines, "; ")
}
