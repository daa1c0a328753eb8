package train

import (
	"bufio"
	"bytes"
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/configs"
	"nb201/data"
	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/results"
)

// Checkpoints has a trial leave its state in files, from which a later Run of the same
// trial goes on. On the CPU the record and the weights are then those of a trial that
// was never interrupted, to the bit, but for times; the seconds of an interrupted pass
// are those of its parts together.
//
// A checkpoint is of one identity: everything that the result depends on, which is what
// the record says but the device, and Versions. Others are not used, and not removed. On
// another device than it was left on, a trial is neither that of the one nor that of the
// other to the bit; its record names the one that it was finished on.
//
// A checkpoint is written at an epoch's end, and when ctx is cancelled at the batch that
// the trial has come to. It is whole or not there. The one before it is kept, in case
// that the newest is damaged; what is older is removed. What cannot be written does not
// end a trial, Warn tells of it. When the trial is done the caller removes Dir.
type Checkpoints struct {
	Dir   string        // of this trial; made when it is needed
	Every time.Duration // at least, between epochs' ends; 0: at each
	// Versions are those of what trains, or zero: a checkpoint of others is not used.
	Versions results.Versions
	// Warn is told, from the goroutine of Run, of a checkpoint that is passed over or
	// cannot be written. It may be nil.
	Warn func(string)
}

// A checkpoint's file is named IDENTITY.NUMBER-RANDOM.ckpt: the identity's hash, a number
// that grows, and what keeps two processes from writing the same file. It holds a line
// with the format's version, a line of JSON, which is a header, the vectors of the state
// (parameters, momenta, statistics; little-endian) and the SHA-256 of all that.
const (
	checkpointSuffix = ".ckpt"
	checkpointMagic  = "nb201 checkpoint 1\n"
)

// header is what a checkpoint tells.
type header struct {
	Identity jsontext.Value  `json:"identity"`
	Started  time.Time       `json:"started"`
	Place    place           `json:"place"`
	Streams  []byte          `json:"streams"` // as of the beginning of the place's stage
	Curves   []results.Curve `json:"curves"`  // of training, then of each evaluation set
	Weights  string          `json:"weights"` // how the device orders them, see network.Layout
}

// checkpointing is what a trial knows of its checkpoints.
type checkpointing struct {
	identity []byte
	last     time.Time // when one was written, or training begun
	left     position  // of the last sound one
	sound    string    // its name
}

// identify makes the identity: the JSON of a record of which nothing is measured yet.
func (t *trial) identify() error {
	r := *t.record
	r.Started = time.Time{}
	r.Versions = t.Checkpoints.Versions
	var err error
	t.identity, err = json.Marshal(&r, json.Deterministic(true))
	return err
}

// prefix begins the names of the trial's checkpoints.
func (t *trial) prefix() string {
	sum := sha256.Sum256(t.identity)
	return hex.EncodeToString(sum[:8])
}

func (t *trial) warn(format string, args ...any) {
	if t.Checkpoints.Warn != nil {
		t.Checkpoints.Warn(fmt.Sprintf(format, args...))
	}
}

// own lists the trial's checkpoints, the oldest first, and those of others.
func (t *trial) own() (own, others []string, err error) {
	entries, err := os.ReadDir(t.Checkpoints.Dir)
	if errors.Is(err, fs.ErrNotExist) {
		err = nil
	}
	for _, e := range entries {
		switch name := e.Name(); {
		case strings.HasPrefix(name, ".") || !strings.HasSuffix(name, checkpointSuffix):
		case strings.HasPrefix(name, t.prefix()+"."):
			own = append(own, name)
		default:
			others = append(others, name)
		}
	}
	return own, others, err
}

// resume moves a trial that has begun on to its newest sound checkpoint.
func (t *trial) resume() error {
	if t.Checkpoints == nil {
		return nil
	}
	t.last = time.Now()
	if err := t.identify(); err != nil {
		return err
	}
	own, others, err := t.own()
	if err == nil { // what a process left that was killed while it wrote
		err = atomicfile.RemoveTemps(filepath.Join(t.Checkpoints.Dir, t.prefix()))
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.warn("cannot look for checkpoints: %v", err)
	}
	for _, name := range others {
		t.warn("the checkpoint %s is of another trial, or of other settings, data or versions: it is not used", filepath.Join(t.Checkpoints.Dir, name))
	}
	for _, name := range slices.Backward(own) {
		if err := t.restore(name); err != nil {
			t.warn("a checkpoint is passed over: %v", err)
			continue
		}
		t.left, t.sound = t.at.position, name
		break
	}
	return nil
}

// restore takes the trial to where a checkpoint was written; an error leaves it as it is.
func (t *trial) restore(name string) error {
	path := filepath.Join(t.Checkpoints.Dir, name)
	f, err := infile.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	c, err := t.readCheckpoint(f, info.Size())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	t.state.finalize()
	t.state, t.streams, t.at = c.state, c.streams, c.Place
	t.record.Started = c.Started
	for i, curve := range c.Curves {
		*t.curve(i) = curve
	}
	return nil
}

// checkpoint is one that was read.
type checkpoint struct {
	header
	streams *data.Streams
	state   *state
}

// readCheckpoint reads a checkpoint of so many bytes. It uses nothing of it before its
// hash was found right, and allocates no more than the file's size and the state.
func (t *trial) readCheckpoint(file io.ReaderAt, size int64) (*checkpoint, error) {
	end := size - sha256.Size
	if end < 0 {
		return nil, errors.New("it is cut short")
	}
	hash, told := sha256.New(), make([]byte, sha256.Size)
	if _, err := io.Copy(hash, io.NewSectionReader(file, 0, end)); err != nil {
		return nil, err
	}
	if _, err := io.ReadFull(io.NewSectionReader(file, end, sha256.Size), told); err != nil {
		return nil, err
	}
	if !bytes.Equal(hash.Sum(nil), told) {
		return nil, errors.New("it is damaged: its SHA-256 is not the one at its end")
	}

	r := bufio.NewReader(io.NewSectionReader(file, 0, end))
	if magic, err := r.Peek(len(checkpointMagic)); err != nil || string(magic) != checkpointMagic {
		return nil, fmt.Errorf("it does not begin with %q: another version of this program wrote it", strings.TrimSpace(checkpointMagic))
	}
	r.Discard(len(checkpointMagic))
	text, err := r.ReadBytes('\n')
	if err != nil {
		return nil, errors.New("its header does not end")
	}
	c := &checkpoint{}
	if err := configs.Decode("its header", text, &c.header); err != nil {
		return nil, err
	}
	if err := t.checkHeader(&c.header); err != nil {
		return nil, err
	}
	if c.streams, err = data.RestoreStreams(c.Streams, t.Profile); err != nil {
		return nil, err
	}
	c.state, err = readState(r, t.whole.model.Layout, t.whole.dtype)
	if err != nil {
		return nil, err
	}
	if _, err := r.ReadByte(); err != io.EOF {
		return nil, errors.New("it holds more than its state")
	}
	return c, nil
}

// checkHeader refuses a header that is not the trial's, or not of a place in it.
func (t *trial) checkHeader(h *header) error {
	if !bytes.Equal(h.Identity, t.identity) {
		return errors.New("it is of another trial, or of other settings, data or versions")
	}
	if order := t.whole.model.Weights; h.Weights != order {
		return fmt.Errorf("it is of another kind of device: its weights are in the order %q, not %q", h.Weights, order)
	}
	p := h.Place
	atEnd := p.position == position{Epoch: t.Recipe.Epochs}
	if p.Epoch < 0 || p.Epoch >= t.Recipe.Epochs && !atEnd || p.Stage < 0 || p.Stage > len(t.Data.Eval) {
		return fmt.Errorf("it is of epoch %d, stage %d", p.Epoch, p.Stage)
	}
	split := t.split(p.Stage)
	if p.Batch < 0 || p.Batch >= split.Batches(t.Recipe.Batch) || p.Meter.Images != p.Batch*t.Recipe.Batch {
		return fmt.Errorf("it is of batch %d and %d images of the %d of %s", p.Batch, p.Meter.Images, split.Len(), split.Name)
	}
	if len(h.Curves) != 1+len(t.Data.Eval) {
		return fmt.Errorf("it has %d curves, not %d", len(h.Curves), 1+len(t.Data.Eval))
	}
	for i, c := range h.Curves {
		done := p.Epoch
		if i < p.Stage {
			done++
		}
		for _, values := range [][]float64{c.Loss, c.Top1, c.Top5, c.Seconds} {
			if len(values) != done {
				return fmt.Errorf("it has %d values of a curve of %s, not %d", len(values), t.split(i).Name, done)
			}
		}
	}
	return nil
}

// checkpointDue tells whether Every has passed.
func (t *trial) checkpointDue() bool {
	return t.Checkpoints != nil && time.Since(t.last) >= t.Checkpoints.Every
}

// checkpoint writes a checkpoint of the place that the trial is at, unless it went on
// from there, and removes all but the sound one before it.
func (t *trial) checkpoint() {
	if t.Checkpoints == nil || t.at.position == t.left {
		return
	}
	t.last = time.Now()
	name, err := t.writeCheckpoint()
	if err != nil {
		t.warn("cannot write a checkpoint: %v", err)
		return
	}
	before := t.sound
	t.left, t.sound = t.at.position, name
	own, _, err := t.own()
	for _, old := range own {
		if old < name && old != before { // another process may have written a newer one
			err = cmp.Or(err, os.Remove(filepath.Join(t.Checkpoints.Dir, old)))
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.warn("cannot remove old checkpoints: %v", err)
	}
}

func (t *trial) writeCheckpoint() (name string, err error) {
	if err := atomicfile.MkdirAll(t.Checkpoints.Dir); err != nil {
		return "", err
	}
	own, _, err := t.own()
	if err != nil {
		return "", err
	}
	number := 0
	if len(own) > 0 {
		// Of a name that this program did not give the number is 0.
		fmt.Sscanf(strings.TrimPrefix(own[len(own)-1], t.prefix()), ".%d-", &number)
	}
	name = fmt.Sprintf("%s.%08d-%s%s", t.prefix(), number+1, rand.Text()[:8], checkpointSuffix)
	return name, atomicfile.Create(filepath.Join(t.Checkpoints.Dir, name), func(w io.Writer) error {
		hash := sha256.New()
		if err := t.encodeCheckpoint(io.MultiWriter(w, hash)); err != nil {
			return err
		}
		_, err := w.Write(hash.Sum(nil))
		return err
	})
}

// encodeCheckpoint writes all of a checkpoint but its hash.
func (t *trial) encodeCheckpoint(w io.Writer) error {
	h := header{Identity: t.identity, Started: t.record.Started, Place: t.at, Streams: t.streams.State(), Weights: t.whole.model.Weights}
	for stage := range 1 + len(t.Data.Eval) {
		h.Curves = append(h.Curves, *t.curve(stage))
	}
	text, err := json.Marshal(&h)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(w, "%s%s\n", checkpointMagic, text); err != nil {
		return err
	}
	return t.state.write(w)
}
