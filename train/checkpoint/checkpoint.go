// Package checkpoint keeps the state of a trial under way in files, from which another
// process goes on. On the CPU the record and the weights are then those of a trial that was
// never interrupted, to the bit, but for times; the seconds of an interrupted stage are
// those of its parts together.
//
// A checkpoint has an identity (Identify): everything that the result depends on, which is
// what the record says but the device, and the versions of what trains. Others are not used,
// and not removed. On another device than it was left on, a trial is neither that of the one
// nor that of the other to the bit; its record names the one that it was finished on.
//
// A checkpoint is whole or it is not there. The one before the newest is kept, in case that
// the newest is damaged; older ones are removed.
package checkpoint

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/random"
	"nb201/results"
	"nb201/train/device"
)

// magic is the first line of a checkpoint. A line of JSON follows, which is a header, then
// the state of the device (parameters, momenta, statistics; little-endian) and the SHA-256
// of all that.
const magic = "nb201 checkpoint 1\n"

// Position is where a batch is in a trial.
type Position struct {
	Epoch int `json:"epoch"` // from 0
	Stage int `json:"stage"` // of the epoch: 0 is training, i the evaluation of the i-th evaluation set
	Batch int `json:"batch"` // of the stage, from 0
}

// Cursor is how far a trial is: the position of its next batch, and what the stage has
// measured before it.
type Cursor struct {
	Position
	Seconds float64      `json:"seconds"`
	Meter   device.Meter `json:"meter"`
}

// Checkpoint is a trial under way.
type Checkpoint struct {
	Started time.Time
	Cursor  Cursor
	Streams *data.Streams   // as of the beginning of the cursor's stage
	Curves  []results.Curve // of training, then of each evaluation set: the stages before
	State   *device.State
}

// Trial is what a checkpoint must fit.
type Trial struct {
	Identity []byte
	Epochs   int
	Batch    int           // images
	Stages   []*data.Split // training, then the evaluation sets
	Profile  random.Profile
	Step     *device.Executable // whose states are kept
}

// Identify makes the identity of a trial: the JSON of its record of which nothing is
// measured yet, with the versions of what trains.
func Identify(r *results.Record, v results.Versions) ([]byte, error) {
	unmeasured := *r
	unmeasured.Started = time.Time{}
	unmeasured.Versions = v
	return json.Marshal(&unmeasured, json.Deterministic(true))
}

// header is what a checkpoint says besides the state.
type header struct {
	Identity jsontext.Value  `json:"identity"`
	Started  time.Time       `json:"started"`
	Cursor   Cursor          `json:"place"`
	Streams  []byte          `json:"streams"`
	Curves   []results.Curve `json:"curves"`
	Weights  string          `json:"weights"` // see device.Executable.WeightOrder
}

// write writes a checkpoint of the trial.
func (t *Trial) write(to io.Writer, c *Checkpoint) error {
	hash := sha256.New()
	w := io.MultiWriter(to, hash)
	text, err := json.Marshal(&header{t.Identity, c.Started, c.Cursor, c.Streams.State(), c.Curves, t.Step.WeightOrder()})
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s%s\n", magic, text); err != nil {
		return err
	}
	if err := c.State.Write(w); err != nil {
		return err
	}
	_, err = to.Write(hash.Sum(nil))
	return err
}

// read reads a checkpoint of size bytes. It uses nothing of it before its hash was found
// right, and allocates no more than the file's size and the state.
func (t *Trial) read(file io.ReaderAt, size int64) (*Checkpoint, error) {
	end := size - sha256.Size
	if end < 0 {
		return nil, errors.New("it is cut short")
	}
	hash, stored := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.Copy(hash, io.NewSectionReader(file, 0, end)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(io.NewSectionReader(file, end, sha256.Size), stored); err != nil {
		return nil, err
	}
	if !bytes.Equal(hash.Sum(nil), stored) {
		return nil, errors.New("it is damaged: its SHA-256 is not the one at its end")
	}

	r := bufio.NewReader(io.NewSectionReader(file, 0, end))
	if begin, err := r.Peek(len(magic)); err != nil || string(begin) != magic {
		return nil, fmt.Errorf("it does not begin with %q: another version of this program wrote it", strings.TrimSpace(magic))
	}
	r.Discard(len(magic))
	text, err := r.ReadBytes('\n')
	if err != nil {
		return nil, errors.New("its header does not end")
	}
	var h header
	if err := configs.Decode("its header", text, &h); err != nil {
		return nil, err
	}
	if err := t.check(&h); err != nil {
		return nil, err
	}
	c := &Checkpoint{Started: h.Started, Cursor: h.Cursor, Curves: h.Curves}
	if c.Streams, err = data.RestoreStreams(h.Streams, t.Profile); err != nil {
		return nil, err
	}
	if c.State, err = t.Step.ReadState(r); err != nil {
		return nil, err
	}
	if _, err := r.ReadByte(); err != io.EOF {
		c.State.Finalize()
		return nil, errors.New("it holds more than its state")
	}
	return c, nil
}

// check refuses a header that is not the trial's, or whose cursor is not in it.
func (t *Trial) check(h *header) error {
	if !bytes.Equal(h.Identity, t.Identity) {
		return errors.New("it is of another trial, or of other settings, data or versions")
	}
	if order := t.Step.WeightOrder(); h.Weights != order {
		return fmt.Errorf("it is of another kind of device: its weights are in the order %q, not %q", h.Weights, order)
	}
	at := h.Cursor
	atEnd := at.Position == Position{Epoch: t.Epochs}
	if at.Epoch < 0 || at.Epoch >= t.Epochs && !atEnd || at.Stage < 0 || at.Stage >= len(t.Stages) {
		return fmt.Errorf("it is of epoch %d, stage %d", at.Epoch, at.Stage)
	}
	split := t.Stages[at.Stage]
	if at.Batch < 0 || at.Batch >= split.Batches(t.Batch) || at.Meter.Images != at.Batch*t.Batch {
		return fmt.Errorf("it is of batch %d and %d images of the %d of %s", at.Batch, at.Meter.Images, split.Len(), split.Name)
	}
	if len(h.Curves) != len(t.Stages) {
		return fmt.Errorf("it has %d curves, not %d", len(h.Curves), len(t.Stages))
	}
	for i, c := range h.Curves {
		done := at.Epoch
		if i < at.Stage {
			done++
		}
		for _, values := range [][]float64{c.Loss, c.Top1, c.Top5, c.Seconds} {
			if len(values) != done {
				return fmt.Errorf("it has %d values of a curve of %s, not %d", len(values), t.Stages[i].Name, done)
			}
		}
	}
	return nil
}
