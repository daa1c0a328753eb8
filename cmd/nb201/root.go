package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/outlet"
	"nb201/internal/usage"
)

// newRootCommand returns nb201 with all its subcommands.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "nb201",
		Short: "Regenerate the benchmarks NAS-Bench-201 and NATS-Bench",
		Long: `nb201 regenerates NAS-Bench-201, the benchmark of 15,625 cell architectures trained on
CIFAR-10, CIFAR-100 and ImageNet16-120, and the second half of NATS-Bench: 32,768 choices of
widths. It trains an architecture as the original PyTorch program did, on a CPU or a GPU, and
writes files that the published Python clients (nas-bench-201 and nats-bench) open. It also
reads and checks published files.

Words used in the help of all commands:
  search space  tss, the topology search space of NAS-Bench-201, or sss, the size search
                space of NATS-Bench
  ARCH          an architecture: its index in the official order (0 to 15624, or with
                --space sss 0 to 32767), its genotype string
                '|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|', or its widths
                64:64:64:64:64
  dataset key   the name of a dataset: cifar10-valid, cifar10, cifar100, ImageNet16-120,
                digits, or one that you make with nb201 data import
  schedule      a training recipe, named by its number of epochs: 12 or 200 as published,
                or 01, 12 or 90 in the size search space
  trial         one training run: an architecture, a dataset, a schedule and a seed
  campaign      a directory with the trials finished so far and, for run, a plan`,
		Example: `  nb201 setup      # installs the XLA plugin, which training needs
  nb201 doctor     # checks this machine
  nb201 train 0 --dataset digits --epochs 12 --seed 777 --out demo
  nb201 query demo 0`,
		Version: version,
		Args:    commandsOnly,
		RunE:    func(c *cobra.Command, _ []string) error { return c.Help() },
		// execute prints errors, in one line without the whole help.
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true,
		PersistentPreRunE:  checkFlags,
	}
	root.Flags().BoolP("version", "v", false, "print the version") // cobra's text names the program
	root.SetFlagErrorFunc(flagError)
	for _, group := range []struct {
		title    string
		commands []*cobra.Command
	}{
		{"Prepare a machine:", []*cobra.Command{newSetupCommand(), newDoctorCommand(), newDataCommand(), newManCommand()}},
		{"Train:", []*cobra.Command{newTrainCommand(), newRecipeCommand(), newPlanCommand(), newRunCommand(), newStatusCommand(), newSlurmCommand(), newEvaluateCommand()}},
		{"Use a benchmark:", []*cobra.Command{newQueryCommand(), newReportCommand(), newServeCommand(), newCompareCommand(), newVerifyCommand(), newExportCommand()}},
		{"Examine architectures:", []*cobra.Command{newArchCommand(), newInitWeightsCommand(), newLatencyCommand(), newKernelsCommand()}},
	} {
		root.AddGroup(&cobra.Group{ID: group.title, Title: group.title})
		for _, c := range group.commands {
			c.GroupID = group.title
			root.AddCommand(c)
		}
	}
	root.AddCommand(newInitCommand(), newWorkerCommand()) // hidden
	addCompletions(root)
	setHelp(root)
	return root
}

// run executes the command line args until it ends or a signal stops it, and returns the exit
// code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, release := untilSignal(context.Background())
	defer release()
	if f, ok := stdout.(*os.File); ok {
		stdout = &output{ctx: ctx, file: f}
	}
	return execute(ctx, newRootCommand(), args, stdout, stderr)
}

// output is standard output. It may be a terminal that accepts no output (Ctrl-S, a connection
// that hangs): a signal ends the wait for it.
type output struct {
	ctx    context.Context
	file   *os.File
	gaveUp bool
}

// Fd returns the file's descriptor, by which others ask whether it is a terminal.
func (o *output) Fd() uintptr { return o.file.Fd() }

// Write writes text to the file. After a signal it waits for at most [outlet.LastWords], and later
// writes return at once; the error is then that of the context.
func (o *output) Write(text []byte) (int, error) {
	if o.gaveUp {
		return 0, o.ctx.Err()
	}
	type result struct {
		n   int
		err error
	}
	text = bytes.Clone(text) // the caller may reuse it after Write has given up
	written := make(chan result, 1)
	// A write to a terminal that accepts nothing cannot be interrupted. After giving up, this leaves
	// the goroutine behind: there is one at most, and the process ends soon.
	go func() {
		n, err := o.file.Write(text)
		written <- result{n, err}
	}()
	select {
	case r := <-written:
		return r.n, r.err
	case <-o.ctx.Done():
	}
	select {
	case r := <-written:
		return r.n, r.err
	case <-time.After(outlet.LastWords):
		o.gaveUp = true
		return 0, o.ctx.Err()
	}
}

// execute runs the command of root that args name, prints its error, and returns the exit code that
// the usage template documents.
func execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	addLibraryCommands(root)
	entered := false
	onRun(root, func() { entered = true })
	command, err := root.ExecuteContextC(ctx)
	if err != nil && !entered { // cobra refused the flags or the arguments
		err = usage.Errorf("%w (see %s --help)", err, command.CommandPath())
	}
	var stop stopped
	var failed trialsFailed
	code := 1
	switch {
	case err == nil:
		return 0
	case errors.Is(err, context.Canceled) && errors.As(context.Cause(ctx), &stop):
		err = stop
		code = 128 + int(stop)
	case usage.Is(err):
		code = 2
	case errors.As(err, &failed):
		code = 3
	}
	text := inert.Text("nb201: " + strings.ReplaceAll(err.Error(), "\n", "; "))
	outlet.WriteLast(stderr, layout.Wrap(text+"\n", layout.Width(stderr)))
	return code
}

// trialsFailed is the error of a command that did what it was asked to and found failed trials or
// faults: exit code 3.
type trialsFailed string

func (f trialsFailed) Error() string { return string(f) }

// onRun calls hook when c, or a command below it, begins to run: after its flags and arguments were
// accepted.
func onRun(c *cobra.Command, hook func()) {
	if begin := c.RunE; begin != nil {
		c.RunE = func(c *cobra.Command, args []string) error {
			hook()
			return begin(c, args)
		}
	}
	for _, below := range c.Commands() {
		onRun(below, hook)
	}
}

// stopped is the cause of a context that a signal cancelled.
type stopped syscall.Signal

func (s stopped) Error() string { return fmt.Sprintf("stopped (%v)", syscall.Signal(s)) }

// untilSignal returns a context that a signal cancels, with [stopped] as its cause: SIGINT, SIGTERM,
// SIGHUP (unless it is ignored, as under nohup) or SIGUSR1, by which batch systems warn that a job's
// time is ending. A second signal has its default effect and kills the process, except for a second
// SIGHUP: a closing terminal and its shell send one each.
func untilSignal(parent context.Context) (ctx context.Context, release func()) {
	ctx, cancel := context.WithCancelCause(parent)
	received := make(chan os.Signal, 1)
	signals := []os.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGUSR1}
	if !signal.Ignored(syscall.SIGHUP) {
		signals = append(signals, syscall.SIGHUP)
	}
	signal.Notify(received, signals...)
	var waiting sync.WaitGroup
	waiting.Go(func() {
		select {
		case s := <-received:
			if s == syscall.SIGHUP {
				signal.Ignore(s)
			}
			signal.Stop(received)
			cancel(stopped(s.(syscall.Signal)))
		case <-ctx.Done():
		}
	})
	return ctx, func() {
		signal.Stop(received)
		cancel(nil)
		waiting.Wait()
	}
}

// outlivePipes makes a write to a stdout or stderr that nobody reads any more return an error
// instead of killing the process.
func outlivePipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
