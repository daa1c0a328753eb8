package device

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/gomlx/gomlx/core/tensors"

	"nb201/configs"
	"nb201/data"
)

// Runner runs the stages of one trial on the device. Set its exported fields before the first
// stage; Run replaces State.
type Runner struct {
	Set    *Set
	Images *Images
	State  *State // owned by the runner; Finalize frees it
	// BatchesPerCall limits the batches of a call; 0: as many as take about half a second.
	BatchesPerCall int

	Compiling time.Duration // total time that Run waited for executables
	Running   time.Duration // total time of calls

	perBatch map[*Executable]time.Duration // measured in the last call
}

// Stage describes one pass over a set of images, or the rest of one.
type Stage struct {
	Split *data.Split
	Order *data.Epoch // of Split's images
	Batch int         // images of a whole batch
	First int         // the batch to start with, from 0

	Training    bool
	Rate        func(batch int) float64 // learning rate of a batch, counted from 0; for training
	CropPadding int                     // pixels of padding around an image before Order's crops are cut
}

// NotFinite is the error of training that left infinite or NaN weights, momenta or running
// statistics; What says which.
type NotFinite struct{ What string }

func (n *NotFinite) Error() string { return "the " + n.What + " are not finite" }

// callTime is the approximate time of one call of an executable. It bounds how long it takes to
// stop a trial, and sets how often its progress is reported.
const callTime = 500 * time.Millisecond

// Finalize frees the state.
func (r *Runner) Finalize() { r.State.Finalize() }

// call is one call of an executable, which runs some batches of a stage.
type call struct {
	*Executable
	count, images, rows int             // batches, their images, rows of each batch
	table               *tensors.Tensor // int32 [Executable.batches, rows, rowLen]
	rate                float64         // learning rate, for training

	ended    chan struct{}   // closed when the fields below are set
	measures *tensors.Tensor // [Executable.batches, 3]: see Executable.loop
	state    *State          // after the call; nil for an evaluation
	finite   *tensors.Tensor // bool [3], whether each vector of state is finite; nil for an evaluation
	took     time.Duration
	failure  error
}

// Run runs the batches of a stage and calls observe with the results of each, in order. It fills
// the rows of the next call while the current one runs, and reads the results of a call while the
// next one runs. If ctx is cancelled it starts no further call. Run stops if observe returns an
// error, and with a *[NotFinite] if the state is not finite.
func (r *Runner) Run(ctx context.Context, s Stage, observe func(Batch) error) error {
	var running *call
	defer func() { _ = r.await(running) }() // if observe panics or fails
	for from := s.First * s.Batch; ; {
		var next *call
		var stopped error
		if from < len(s.Order.Order) {
			if stopped = ctx.Err(); stopped == nil {
				next, stopped = r.prepare(&s, from)
			}
		}
		ended := running
		running = nil
		if err := r.await(ended); err != nil {
			return errors.Join(err, next.discard())
		}
		if next != nil {
			if stopped = r.start(ctx, &s, next); stopped == nil {
				running = next
				from += next.images
			}
		}
		if err := ended.read(observe); err != nil {
			return err
		}
		if running == nil {
			return stopped
		}
	}
}

// prepare makes a call of the batches of a stage that begin with the image from.
func (r *Runner) prepare(s *Stage, from int) (*call, error) {
	left := len(s.Order.Order) - from
	c := &call{Executable: r.Set.Whole, rows: s.Batch, ended: make(chan struct{})}
	c.count = left / c.rows
	switch {
	case !s.Training:
		c.Executable, c.count = r.Set.Evaluate, (left+c.rows-1)/c.rows
	case c.count == 0:
		c.Executable, c.rows, c.count = r.Set.Ragged, left, 1
	}
	limit := cmp.Or(r.BatchesPerCall, max(1, int(callTime/cmp.Or(r.perBatch[c.Executable], callTime))))
	c.count = min(c.count, limit, c.batches)
	if s.Training { // a call has one learning rate
		first := from / s.Batch
		c.rate = s.Rate(first)
		for n := 1; n < c.count; n++ {
			if s.Rate(first+n) != c.rate {
				c.count = n
			}
		}
	}
	c.images = min(left, c.count*c.rows)
	var err error
	c.table, err = onDevice(c.backend, func(dst []int32) {
		r.Images.fillRows(dst[:c.count*c.rows*c.rowLen()], c.rowLen(), s, from, from+c.images)
	}, c.batches, c.rows, c.rowLen())
	if err != nil {
		return nil, err
	}
	return c, nil
}

// discard frees a call that was prepared but not started. c may be nil.
func (c *call) discard() error {
	if c == nil {
		return nil
	}
	return c.table.FinalizeAll()
}

// start waits until the call's executable is compiled and starts the call.
func (r *Runner) start(ctx context.Context, s *Stage, c *call) error {
	began := time.Now()
	err := c.Wait(ctx)
	r.Compiling += time.Since(began)
	if err != nil {
		return errors.Join(err, c.discard())
	}
	inputs := []any{r.State.params, r.State.stats}
	if s.Training {
		inputs = []any{r.State.params, r.State.momenta, r.State.stats, c.scalar(c.rate)}
	}
	inputs = append(inputs, r.Images.inputs(c.table, c.count)...)
	go func() { // await waits for it
		defer close(c.ended)
		began := time.Now()
		var out []*tensors.Tensor
		if out, c.failure = c.run(inputs...); c.failure == nil {
			if c.training {
				c.state, out = &State{params: out[0], momenta: out[1], stats: out[2]}, out[3:]
				c.finite = out[1]
			}
			c.measures = out[0]
		}
		c.took = time.Since(began)
	}()
	return nil
}

// scalar converts v to the executable's type.
func (e *Executable) scalar(v float64) any {
	if e.Precision == configs.FP64 {
		return v
	}
	return float32(v)
}

// await waits for a call to end and replaces the runner's state with the call's. c may be nil.
func (r *Runner) await(c *call) error {
	if c == nil {
		return nil
	}
	<-c.ended
	c.table.MustFinalizeAll()
	r.Running += c.took
	if c.failure != nil {
		return c.failure
	}
	if r.perBatch == nil {
		r.perBatch = map[*Executable]time.Duration{}
	}
	r.perBatch[c.Executable] = c.took / time.Duration(c.count)
	if c.state != nil {
		r.State.Finalize()
		r.State = c.state
	}
	return nil
}

// read calls observe with the results of each batch of a call that has ended. c may be nil.
func (c *call) read(observe func(Batch) error) error {
	if c == nil {
		return nil
	}
	defer c.measures.MustFinalizeAll()
	if c.finite != nil {
		defer c.finite.MustFinalizeAll()
	}
	measured, err := readMeasures(c.measures, c.images, c.rows)
	if err != nil {
		return err
	}
	for _, b := range measured {
		if err := observe(b); err != nil {
			return err
		}
	}
	return c.checkFinite()
}

// checkFinite returns a *NotFinite if the state after the call is not finite.
func (c *call) checkFinite() error {
	if c.finite == nil {
		return nil
	}
	finite, err := tensors.CopyFlatData[bool](c.finite)
	if err != nil {
		return err
	}
	for i, what := range []string{"weights", "momenta", "running statistics"} {
		if !finite[i] {
			return &NotFinite{what}
		}
	}
	return nil
}

// readMeasures fetches an executable's results, which are for images in batches of rows.
func readMeasures(t *tensors.Tensor, images, rows int) ([]Batch, error) {
	values := make([]float64, t.Size())
	err := t.ConstFlatData(func(flat any) {
		switch flat := flat.(type) {
		case []float32:
			for i, v := range flat {
				values[i] = float64(v)
			}
		case []float64:
			copy(values, flat)
		}
	})
	var measured []Batch
	for ; images > 0; images -= rows {
		measured = append(measured, Batch{Images: min(images, rows), Loss: values[0], CorrectTop1: int(values[1]), CorrectTop5: int(values[2])})
		values = values[3:]
	}
	return measured, err
}
