package main

import (
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"

	"nb201/data"
	"nb201/internal/usage"
)

// Task is what both programs do. It is the first line that a program reads.
type Task struct {
	Arch      string     `json:"arch"` // genotype string
	Channels  int        `json:"channels"`
	Cells     int        `json:"cells"`
	Classes   int        `json:"classes"`
	Batch     int        `json:"batch"`
	Steps     int        `json:"steps"` // a turn
	Turns     int        `json:"turns"` // the first, cold one included
	Seed      uint32     `json:"seed"`  // of the initial weights
	Mean      [3]float64 `json:"mean"`
	Std       [3]float64 `json:"std"`
	Images    string     `json:"images"`    // file of Steps*Batch records
	Device    string     `json:"device"`    // cpu, cuda or cuda:N
	Precision string     `json:"precision"` // fp32 or tf32
	Mode      string     `json:"mode"`      // of the PyTorch side
}

// Report is what a program answers: a line after every turn, one more at its end.
type Report struct {
	Seconds float64 `json:"seconds,omitempty"` // wall time of the turn; of the first, since the start of the program
	CPU     float64 `json:"cpu,omitempty"`     // CPU seconds of all threads during the turn
	Loss    float64 `json:"loss,omitempty"`    // of the very first step, in the first report

	PeakRSS  int64    `json:"peak_rss,omitempty"` // bytes, in the last report
	Compile  float64  `json:"compile,omitempty"`  // seconds, in the last report of nb201
	Versions []string `json:"versions,omitempty"` // in the last report
}

// size is the side of the images, in pixels.
const size = 32

// record is the length of an image in a file in CIFAR-10's binary form: the label,
// then the planes red, green, blue, row by row.
const record = 1 + 3*size*size

// writeImages writes n records to a new file in dir: those at the head of source,
// or, where that is empty, noise.
func writeImages(dir, source string, n int) (string, error) {
	raw := make([]byte, n*record)
	if source == "" {
		noise := rand.New(rand.NewPCG(1, 1))
		for i := range raw {
			raw[i] = byte(noise.Uint32())
		}
		for i := range n {
			raw[i*record] %= 10
		}
	} else {
		f, err := os.Open(source)
		if err != nil {
			return "", usage.Errorf("cannot read the images: %w", err)
		}
		defer f.Close()
		if _, err := io.ReadFull(f, raw); err != nil {
			return "", usage.Errorf("%s holds fewer than the %d images of a turn (records of %d bytes): %w", source, n, record, err)
		}
	}
	file := filepath.Join(dir, "images.bin")
	return file, os.WriteFile(file, raw, 0o600)
}

// readImages reads a file that writeImages wrote.
func readImages(file string) (*data.Images, error) {
	raw, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	images := &data.Images{Size: size, Pixels: make([]byte, 0, len(raw))}
	for ; len(raw) >= record; raw = raw[record:] {
		images.Labels = append(images.Labels, int32(raw[0]))
		planes := raw[1:record]
		for i := range size * size {
			images.Pixels = append(images.Pixels, planes[i], planes[i+size*size], planes[i+2*size*size])
		}
	}
	return images, nil
}
