// Command bench measures the cost of regenerating the benchmark, and compares it with PyTorch and
// with the limits of the machine. Each command prints one table:
//
//	step      a training step and the evaluation of a batch, compared with the original's network
//	trial     a whole trial, from the start of the process to the record
//	compile   compiling each program, and loading programs compiled before
//	campaign  how long the trials of a campaign wait for their programs
//	sample    random architectures, and an estimate for the whole benchmark
//	limits    the least time that the device's memory and arithmetic allow
//	kernels   what a GPU would run, compiled without one
//	several   several processes on one device
//	serve     a campaign beside nb201 serve and its clients
//
// A side is a program under comparison: nb201 (this program, through package train), the original's
// network in PyTorch, or the same network in JAX. All sides start from the same initial weights,
// train on the same images, and run for the whole measurement. They take turns: while one works, the
// others wait, so that a slow phase of the machine affects all of them. Ratios compare neighbouring
// turns. The first turn of a side, which compiles, only counts for its cold start.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"nb201/internal/usage"
)

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer cancel()
	os.Exit(run(ctx, os.Args[1:]))
}

// run executes a command line and returns the exit code. The default command is step.
func run(ctx context.Context, args []string) int {
	if len(args) == 0 {
		args = []string{"step"}
	}
	root := newRootCommand()
	root.SetArgs(args)
	entered := false
	root.PersistentPreRun = func(*cobra.Command, []string) { entered = true }
	command, err := root.ExecuteContextC(ctx)
	switch {
	case err == nil:
		return 0
	case !entered: // cobra refused the flags or the arguments
		err = usage.Errorf("%w (see %s --help)", err, command.CommandPath())
	case ctx.Err() != nil:
		err = errors.New("stopped")
	}
	fmt.Fprintln(os.Stderr, "bench:", err)
	if usage.Is(err) {
		return 2
	}
	return 1
}

func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:           "bench",
		Short:         "Measure the cost of regenerating NAS-Bench-201",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		newStepCommand(), newTrialCommand(), newCompileCommand(), newCampaignCommand(),
		newSampleCommand(), newLimitsCommand(), newKernelsCommand(), newSeveralCommand(), newServeCommand(),
	)
	for name, do := range inner {
		root.AddCommand(&cobra.Command{
			Use: name, Hidden: true, Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return do(c.Context(), os.Stdin, os.Stdout) },
		})
	}
	return root
}

// logf prints a line about the progress of the measurement to stderr.
func logf(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
