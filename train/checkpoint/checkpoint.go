// Package checkpoint saves the state of a trial in progress to files, from which another process
// can resume it. On the CPU the resumed trial's record and weights equal those of an
// uninterrupted trial to the bit, except for times; the seconds of an interrupted stage are the
// sum of its parts.
//
// A [Checkpoint] has an identity (see [Identify]): everything that the result depends on, which
// is everything in the record except the device, and the versions of the software. Checkpoints
// with another identity are neither used nor removed. A trial that resumes on another device
// equals to the bit neither a trial of the first device nor one of the second; its record names
// the device that finished it.
//
// A checkpoint file is written atomically. A [Folder] keeps the newest two, in case the newest is
// damaged, and removes older ones.
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

// magic is the first line of a checkpoint. It is followed by the header, which is a line of JSON,
// the state of the device (parameters, momenta, statistics; little-endian), and the SHA-256 of
// everything before it.
const magic = "nb201 checkpoint 1\n"

// Position identifies a batch of a trial.
type Position struct {
	Epoch int `json:"epoch"` // from 0
	Stage int `json:"stage"` // of the epoch: 0 is training, i the i-th evaluation set
	Batch int `json:"batch"` // of the stage, from 0
}

// Cursor marks how far a trial has come: the position of its next batch, and the results of the
// batches before it in the same stage.
type Cursor struct {
	Position
	Seconds float64      `json:"seconds"` // spent on the stage so far
	Meter   device.Meter `json:"meter"`
}

// Checkpoint holds the state of a trial in progress.
type Checkpoint struct {
	Started time.Time
	Cursor  Cursor
	Streams *data.Streams   // as they were at the start of the cursor's stage
	Curves  []results.Curve // of the finished stages: training, then each evaluation set
	State   *device.State
}

// Trial describes the trial that a checkpoint must belong to.
type Trial struct {
	Identity []byte
	Recipe   *configs.Recipe
	Stages   []*data.Split // training, then the evaluation sets
	Profile  random.Profile
	Step     *device.Executable // reads and writes the states
}

// Identify returns the identity of a trial: the JSON of its record before anything is measured,
// with the versions of the software that trains it.
func Identify(r *results.Record, v results.Versions) ([]byte, error) {
	unmeasured := *r
	unmeasured.Started = time.Time{}
	unmeasured.Versions = v
	return json.Marshal(&unmeasured, json.Deterministic(true))
}

// header is the JSON line of a checkpoint: everything except the state.
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

// read reads a checkpoint of size bytes. It verifies the hash before it uses anything else, and
// allocates no more than the file's size and the state.
func (t *Trial) read(file io.ReaderAt, size int64) (*Checkpoint, error) {
	end := size - sha256.Size
	if end < 0 {
		return nil, errors.New("it is damaged: it is cut short")
	}
	hash, stored := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.Copy(hash, io.NewSectionReader(file, 0, end)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(io.NewSectionReader(file, end, sha256.Size), stored); err != nil {
		return nil, err
	}
	if !bytes.Equal(hash.Sum(nil), stored) {
		return nil, errors.New("it is damaged: its content does not match the SHA-256 at its end")
	}

	r := bufio.NewReader(io.NewSectionReader(file, 0, end))
	if begin, err := r.Peek(len(magic)); err != nil || string(begin) != magic {
		return nil, fmt.Errorf("it does not begin with %q; another version of nb201 wrote it", strings.TrimSpace(magic))
	}
	r.Discard(len(magic))
	text, err := r.ReadBytes('\n')
	if err != nil {
		return nil, errors.New("its header has no end of line")
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
		return nil, errors.New("it has data after its state")
	}
	return c, nil
}

// check returns an error if a header belongs to another trial, or its cursor or curves are
// impossible in this one.
func (t *Trial) check(h *header) error {
	if !bytes.Equal(h.Identity, t.Identity) {
		return errors.New("it belongs to another trial, or was written with other settings, data or versions")
	}
	if order := t.Step.WeightOrder(); h.Weights != order {
		return fmt.Errorf("it was written on another kind of device: its weights are in the order %q, not %q", h.Weights, order)
	}
	at := h.Cursor
	atEnd := at.Position == Position{Epoch: t.Recipe.Epochs}
	if at.Epoch < 0 || at.Epoch >= t.Recipe.Epochs && !atEnd || at.Stage < 0 || at.Stage >= len(t.Stages) ||
		at.Stage > 0 && !t.Recipe.Evaluates(at.Epoch) {
		return fmt.Errorf("it is at epoch %d, stage %d, which the trial does not have", at.Epoch, at.Stage)
	}
	split := t.Stages[at.Stage]
	if at.Batch < 0 || at.Batch >= split.Batches(t.Recipe.Batch) || at.Meter.Images != at.Batch*t.Recipe.Batch {
		return fmt.Errorf("it is at batch %d, after %d of the %d images of %s, which is impossible", at.Batch, at.Meter.Images, split.Len(), split.Name)
	}
	if len(h.Curves) != len(t.Stages) {
		return fmt.Errorf("it has %d curves, not %d", len(h.Curves), len(t.Stages))
	}
	for i, c := range h.Curves {
		done := at.Epoch // epochs in which the stage is finished
		if i < at.Stage {
			done++
		}
		if i > 0 {
			done = t.Recipe.Evaluations(done)
		}
		for _, values := range [][]float64{c.Loss, c.Top1, c.Top5, c.Seconds} {
			if len(values) != done {
				return fmt.Errorf("a curve of %s has %d values, not %d", t.Stages[i].Name, len(values), done)
			}
		}
	}
	return nil
}
