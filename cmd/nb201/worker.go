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

	"nb201/configs"
	"nb201/internal/backend"
	"nb201/results"
	"nb201/scheduler/plan"
	"nb201/scheduler/trainer"
	"nb201/scheduler/worker"
)

// newWorkerCommand is what nb201 run starts: it is no use by itself.
func newWorkerCommand() *cobra.Command {
	var device, root string
	var checkpointEvery time.Duration
	c := &cobra.Command{
		Use:    "worker DIR",
		Short:  "Train the trials that nb201 run asks for on stdin",
		Hidden: true,
		Args:   oneArgument("DIR", "a campaign directory"),
		RunE: func(c *cobra.Command, args []string) error {
			outlivePipes() // of a run that was killed: the trial leaves a checkpoint first
			logger := log.New(c.ErrOrStderr(), "", log.LstdFlags|log.LUTC)
			campaign := results.Campaign{Dir: args[0]}
			w := &worker.Worker{
				Campaign: campaign, In: interruptible(c.InOrStdin()), Out: c.OutOrStdout(), Log: logger,
				Grace: graceOfWorkers, Exit: os.Exit,
			}
			err := w.Work(c.Context(), func() (worker.Trainer, error) {
				p, err := plan.Read(args[0])
				if err != nil {
					return nil, err
				}
				d, err := backend.ParseDevice(device)
				if err != nil {
					return nil, err
				}
				return trainer.Open(trainer.Options{
					Campaign: campaign, Device: d, TF32: p.Settings.Precision == configs.TF32, Configure: trainer.FromPlan(p, root),
					Weights: p.Settings.Weights, CheckpointEvery: checkpointEvery,
					Program: version, GoMLX: moduleVersion("github.com/gomlx/gomlx"),
					Warn: func(t results.Trial, text string) { logger.Printf("%v: %s", t, text) }, Log: logger,
				})
			})
			if errors.Is(err, context.Canceled) {
				logger.Print("told to leave")
			}
			return err
		},
	}
	f := c.Flags()
	f.StringVar(&device, "device", "cpu", "`DEVICE` to train on")
	f.StringVar(&root, "data", "", "`DIR` of the images")
	f.DurationVar(&checkpointEvery, "checkpoint-every", checkpointInterval, "`TIME` between checkpoints of a trial, at least")
	return c
}

// interruptible makes a file of the same descriptor, whose Close ends a Read that waits: what
// is read waits in Go's poller then. Any other reader it leaves as it is.
func interruptible(in io.Reader) io.ReadCloser {
	f, ok := in.(*os.File)
	if !ok {
		return io.NopCloser(in)
	}
	descriptor := f.Fd()
	_ = syscall.SetNonblock(int(descriptor), true) // NewFile looks at that
	return os.NewFile(descriptor, f.Name())
}
