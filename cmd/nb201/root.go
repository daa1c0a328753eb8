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
	"nb201/internal/outlet"
	"nb201/internal/usage"
)

// version of the program; the Makefile sets it with -ldflags.
var version = "development"

// newRootCommand is nb201 with all its commands.
func newRootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "nb201",
		Short: "Regenerate the NAS-Bench-201 benchmark",
		Long: `nb201 regenerates NAS-Bench-201: it trains architectures of the search space as the
original program did, and writes what the published Python clients open.

An ARCH is an index 0..15624 of the official order or a genotype string such as
'|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|'.`,
		Version: version,
		// run prints errors, in one line; they do not call for the whole help.
		SilenceErrors:      true,
		SilenceUsage:       true,
		DisableSuggestions: true,
		PersistentPreRunE:  checkFlags,
	}
	root.SetFlagErrorFunc(flagError)
	root.AddCommand(
		newArchCommand(),
		newCompareCommand(),
		newDataCommand(),
		newDoctorCommand(),
		newExportCommand(),
		newInitCommand(),
		newKernelsCommand(),
		newLatencyCommand(),
		newPlanCommand(),
		newQueryCommand(),
		newRunCommand(),
		newSetupCommand(),
		newSlurmCommand(),
		newStatusCommand(),
		newTrainCommand(),
		newVerifyCommand(),
		newWorkerCommand(),
	)
	root.SetUsageTemplate(root.UsageTemplate() + `
Exit codes:
  0              done
  1              failed
  2              wrong usage or input
  3              finished, but some trials failed, or verify found faults
  129, 130       stopped by SIGHUP (the terminal was closed), by SIGINT (Ctrl-C)
  138, 143       stopped by SIGUSR1, by SIGTERM
`)
	return root
}

// run executes a command line and returns the exit code.
func run(args []string, stdout, stderr io.Writer) int {
	ctx, release := untilSignal(context.Background())
	defer release()
	if f, ok := stdout.(*os.File); ok {
		stdout = &output{ctx: ctx, file: f}
	}
	return execute(ctx, newRootCommand(), args, stdout, stderr)
}

// output is the standard output, which may be a terminal that takes nothing (Ctrl-S, a
// connection that hangs): a signal ends the wait for it.
type output struct {
	ctx    context.Context
	file   *os.File
	gaveUp bool
}

// Fd is the file's descriptor.
func (o *output) Fd() uintptr { return o.file.Fd() }

// Write writes text to the file. When a signal came, it waits for outlet.LastWords at most,
// once; the error is then that of the context.
func (o *output) Write(text []byte) (int, error) {
	if o.gaveUp {
		return 0, o.ctx.Err()
	}
	type result struct {
		n   int
		err error
	}
	text = bytes.Clone(text) // the caller may use it again when this has given up
	written := make(chan result, 1)
	// Nothing can interrupt a Write to a terminal that takes nothing. When this gives up, the
	// goroutine is left to it: one at most, and the process ends soon.
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

func execute(ctx context.Context, root *cobra.Command, args []string, stdout, stderr io.Writer) int {
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
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
	outlet.WriteLast(stderr, inert.Text(fmt.Sprintf("nb201: %s", strings.ReplaceAll(err.Error(), "\n", "; ")))+"\n")
	return code
}

// trialsFailed is the error of a command that did all it was asked to and tells of
// trials that are not as they should be.
type trialsFailed string

func (f trialsFailed) Error() string { return string(f) }

// onRun has hook called when the code of c or of a command below it begins.
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

// untilSignal returns a context that SIGINT, SIGTERM, SIGHUP (unless it is ignored, as under nohup)
// or SIGUSR1, by which batch systems warn of the end of a job's time, cancels. A second
// signal ends the process at once, as if none was ever caught; but a second SIGHUP does
// not: a terminal that closes and its shell send one each.
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

// outlivePipes has writes to a stdout or stderr that nobody reads any more fail, rather than
// end the process.
func outlivePipes() { signal.Notify(make(chan os.Signal, 1), syscall.SIGPIPE) }
