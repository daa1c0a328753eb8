package main

import (
	"encoding/binary"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"nb201/cell"
	"nb201/data"
	"nb201/internal/npy"
	"nb201/internal/random"
	"nb201/internal/torchfile"
	"nb201/train"
)

// Task describes the turns of a side: a line of JSON that the side reads. In each turn the side does
// Steps training steps on the images of the file in order, without augmentation, and evaluates the
// first EvalSteps batches of them. After each turn it writes a [Report] and then idles until it reads
// the next line. The word "go" asks for the next turn; after the last one, the word "finish" asks for
// the [Closing]. Then the side reads the next task.
type Task struct {
	Described
	Batch     int        `json:"batch"`
	Steps     int        `json:"steps"`      // training steps per turn
	EvalSteps int        `json:"eval_steps"` // batches evaluated per turn, at most Steps
	Turns     int        `json:"turns"`      // including the first, cold one
	Seed      uint32     `json:"seed"`       // of the initial weights
	Mean      [3]float64 `json:"mean"`
	Std       [3]float64 `json:"std"`
	Images    string     `json:"images"`    // file with Steps*Batch records
	Weights   string     `json:"weights"`   // .npz file with the initial state dict, for the JAX side, which cannot draw it
	Device    string     `json:"device"`    // cpu, cuda or cuda:N
	Precision string     `json:"precision"` // fp32, tf32 or bf16
	Mode      string     `json:"mode"`      // of the side: see --modes
}

// Described describes the network of a task.
type Described struct {
	Arch       string `json:"arch"`       // string of the architecture
	Network    string `json:"network"`    // the original's name of the network
	Genotype   string `json:"genotype"`   // of the cells
	Reductions []bool `json:"reductions"` // for each module between stem and head, whether it is a residual block; else it is a cell
	Channels   int    `json:"channels"`   // C and N, 0 if the architecture fixes them
	Cells      int    `json:"cells"`
	Classes    int    `json:"classes"`
	Size       int    `json:"size"` // width and height of the images, in pixels
}

// describe describes a network.
func describe(n cell.Network) Described {
	d := Described{
		Arch: n.Arch.String(), Network: n.Arch.Space().NetworkName(), Genotype: n.Arch.Genotype(),
		Channels: n.Channels, Cells: n.Cells, Classes: n.Classes, Size: n.Size,
	}
	for _, m := range n.Modules() {
		d.Reductions = append(d.Reductions, m.Reduction)
	}
	return d
}

// Cost is the time that something took.
type Cost struct {
	Seconds float64 `json:"seconds"` // wall time
	CPU     float64 `json:"cpu"`     // CPU seconds of all threads
}

// Report is the cost of a turn.
type Report struct {
	Train Cost    `json:"train"`
	Eval  Cost    `json:"eval"`
	Loss  float64 `json:"loss,omitempty"` // of the very first step; in the first report only
}

// Closing is a side's last message about a task.
type Closing struct {
	PeakRSS  int64    `json:"peak_rss"`          // bytes, of the process so far
	Compile  float64  `json:"compile,omitempty"` // seconds spent waiting for programs; only nb201 reports it
	Versions []string `json:"versions"`
}

// newTask returns the task of an architecture on images like those of a dataset.
func (o *common) newTask(a cell.Arch, d data.Definition, steps, rounds int) Task {
	return Task{
		Described: describe(o.network(a, d)),
		Batch:     o.batch, Steps: steps, EvalSteps: steps, Turns: 1 + rounds, Seed: 777, Mean: d.Mean, Std: d.Std,
		Device: o.device, Precision: o.precision,
	}
}

// network returns the network of the task.
func (t *Task) network() (cell.Network, error) {
	arch, err := cell.Parse(t.Arch)
	return cell.Network{Arch: arch, Channels: t.Channels, Cells: t.Cells, Classes: t.Classes, Size: t.Size}, err
}

// writeFiles writes the task's images, which are noise, and its initial weights to dir.
func (t *Task) writeFiles(dir string) error {
	t.Images, t.Weights = filepath.Join(dir, "images.bin"), filepath.Join(dir, "initial.npz")
	if err := os.WriteFile(t.Images, noise(t.Steps*t.Batch, t.Size, t.Classes), 0o600); err != nil {
		return err
	}
	network, err := t.network()
	if err != nil {
		return err
	}
	profile, err := random.ProfileByName(parity)
	if err != nil {
		return err
	}
	return writeWeights(t.Weights, train.InitialWeights(network, random.NewTorch(uint64(t.Seed)), profile))
}

// parity is the profile of the torch that nb201 is compared with.
const parity = "modern"

// writeWeights writes a state dict to a .npz file.
func writeWeights(path string, weights torchfile.StateDict) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	z := npy.NewWriter(f)
	for _, w := range weights {
		if w.Int64 != nil { // the number of batches that BatchNorm has seen
			continue
		}
		array, err := z.Create(w.Name, "<f4", w.Shape...)
		if err == nil {
			err = binary.Write(array, binary.LittleEndian, w.Float32)
		}
		if err != nil {
			return err
		}
	}
	if err := z.Close(); err != nil {
		return err
	}
	return f.Close()
}

// recordLen returns the length in bytes of an image of size x size pixels in CIFAR-10's binary
// format: the label, then the planes red, green and blue, row by row.
func recordLen(size int) int { return 1 + 3*size*size }

// noise returns n records of random pixels and labels, always the same ones.
func noise(n, size, classes int) []byte {
	raw := make([]byte, n*recordLen(size))
	_, _ = rand.NewChaCha8([32]byte{}).Read(raw) // never fails
	for i := range n {
		raw[i*recordLen(size)] %= byte(classes)
	}
	return raw
}

// readRecords reads the images of a file of records.
func readRecords(file string, size int) (*data.Images, error) {
	raw, err := os.ReadFile(file)
	return imagesOf(raw, size), err
}

// imagesOf decodes records to images.
func imagesOf(raw []byte, size int) *data.Images {
	images := &data.Images{Size: size, Pixels: make([]byte, 0, len(raw))}
	area := size * size
	for n := recordLen(size); len(raw) >= n; raw = raw[n:] {
		images.Labels = append(images.Labels, int32(raw[0]))
		planes := raw[1:n]
		for i := range area {
			images.Pixels = append(images.Pixels, planes[i], planes[i+area], planes[i+2*area])
		}
	}
	return images
}

// writeRecords writes the images of a split as records, in the split's order.
func writeRecords(w io.Writer, s *data.Split) error {
	area := s.Images.Size * s.Images.Size
	record := make([]byte, recordLen(s.Images.Size))
	for i := range s.Len() {
		at := i
		if s.Indices != nil {
			at = int(s.Indices[i])
		}
		record[0] = byte(s.Images.Labels[at])
		pixels := s.Images.Pixels[3*area*at:]
		for k := range area {
			record[1+k], record[1+area+k], record[1+2*area+k] = pixels[3*k], pixels[3*k+1], pixels[3*k+2]
		}
		if _, err := w.Write(record); err != nil {
			return err
		}
	}
	return nil
}
