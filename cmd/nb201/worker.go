package main

import (
	"context"
	"errors"
	"io"
	"log"
	"os"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"nb201/internal/backend"
	"nb201/results"
	"nb201/scheduler/plan"
	"nb201/scheduler/trainer"
	"nb201/scheduler/worker"
)

// newWorkerCommand returns the command that nb201 run and nb201 evaluate start as their workers. It is of no use to people.
func newWorkerCommand() *cobra.Command {
	var device, root string
	var evaluate bool
	var checkpointEvery time.Duration
	c := &cobra.Command{
		Use:    "worker DIR",
		Short:  "Train the trials that nb201 run asks for on stdin",
		Hidden: true,
		Args:   oneArgument("DIR", "a campaign directory"),
		RunE: func(c *cobra.Command, args []string) error {
			outlivePipes() // if the run was killed, write a checkpoint before leaving
			logger := log.New(c.ErrOrStderr(), "", log.LstdFlags|log.LUTC)
			campaign := results.Campaign{Dir: args[0]}
			if evaluate {
				campaign.Kind = results.Evaluated
			}
			w := &worker.Worker{
				Campaign: campaign, In: interruptible(c.InOrStdin()), Out: c.OutOrStdout(), Log: logger,
				Grace: graceOfWorkers, Exit: os.Exit,
			}
			err := w.Work(c.Context(), func() (worker.Trainer, error) {
				d, err := backend.ParseDevice(device)
				if err != nil {
					return nil, err
				}
				if evaluate {
					return trainer.OpenEvaluator(c.Context(), trainer.EvaluatorOptions{
						Campaign: campaign, Device: d, DataRoot: root, Program: version, GoMLX: moduleVersion("github.com/gomlx/gomlx"), Log: logger,
					})
				}
				p, err := plan.Read(args[0])
				if err != nil {
					return nil, err
				}
				return trainer.Open(trainer.Options{
					Campaign: campaign, Device: d, Precision: p.Settings.Precision, Configure: trainer.FromPlan(p, root),
					Weights: p.Settings.Weights, CheckpointEvery: checkpointEvery,
					Program: version, GoMLX: moduleVersion("github.com/gomlx/gomlx"),
					Warn: func(t results.Trial, text string) { logger.Printf("%v: %s", t, text) }, Log: logger,
				})
			})
			if errors.Is(err, context.Canceled) {
				logger.Print("leaving, as asked by the run")
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&device, "device", "cpu", "`DEVICE` to train on")
	f.BoolVar(&evaluate, "evaluate", false, "evaluate the weights of the trials, as DIR/evaluation.json says")
	f.StringVar(&root, "data", "", dataUsage)
	f.DurationVar(&checkpointEvery, "checkpoint-every", checkpointInterval, "minimum `TIME` between the checkpoints of a trial")
	return c
}

// interruptible returns a file with the descriptor of in whose Close ends a blocked Read, because
// reads wait in Go's poller. It wraps any other reader without a Close.
func interruptible(in io.Reader) io.ReadCloser {
	f, ok := in.(*os.File)
	if !ok {
		return io.NopCloser(in)
	}
	descriptor := f.Fd()
	_ = syscall.SetNonblock(int(descriptor), true) // NewFile uses the poller for nonblocking descriptors
	return os.NewFile(descriptor, f.Name())
}
