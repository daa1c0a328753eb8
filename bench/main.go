// Command bench measures what regenerating the benchmark costs, and how far that is from
// PyTorch and from the limit of the machine. Each of its commands makes one table:
//
//	step      a training step and the evaluation of a batch, beside the original's network
//	trial     a whole trial, from the start of the process to the record
//	compile   compiling, program by program, and loading what was compiled before
//	campaign  the waiting for programs that is left in a campaign
//	sample    architectures drawn at random, and from them the whole benchmark
//	limits    the least time that the device's memory and arithmetic allow
//	kernels   what a GPU would run, compiled without one
//	several   several processes on one device
//
// A side is a program under comparison: nb201 (this program, through package train), the
// original's own network in PyTorch, or the same network in JAX. Sides start from the same
// initial weights, train on the same images, and take turns: they all run during the whole
// measurement, and the others wait while one works, so that what slows the machine down
// for a while slows all. A ratio is that of neighbouring turns. The first turn of a side is
// cold (it compiles) and counts for nothing but the cold start.
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

// run executes a command line and returns the exit code. Without a command it is step.
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
		Short:         "Measure what regenerating NAS-Bench-201 costs",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.CompletionOptions.DisableDefaultCmd = true
	root.AddCommand(
		newStepCommand(), newTrialCommand(), newCompileCommand(), newCampaignCommand(),
		newSampleCommand(), newLimitsCommand(), newKernelsCommand(), newSeveralCommand(),
	)
	for name, do := range inner {
		root.AddCommand(&cobra.Command{
			Use: name, Hidden: true, Args: cobra.NoArgs,
			RunE: func(c *cobra.Command, _ []string) error { return do(c.Context(), os.Stdin, os.Stdout) },
		})
	}
	return root
}

// note tells how far the measurement has come.
func note(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }
