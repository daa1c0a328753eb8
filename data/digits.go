package data

import (
	"bytes"
	"compress/gzip"
	"encoding/csv"
	"fmt"
	"strconv"

	"nb201/configs"
	"nb201/internal/usage"
)

// The embedded digits: 8x8 grey pixels of 0..16, each enlarged to 2x2 of three
// equal channels; the first digitsTrain images train, the others test.
const (
	formatDigits  = "digits"
	digitsFile    = "digits.csv.gz"
	digitsSide    = 8
	digitsMax     = 16
	digitsClasses = 10
	digitsTrain   = 1347
	digitsTest    = 450
)

// readDigits is the format digits: it reads no file.
func readDigits(d *Definition, _ string) (map[string]*Images, []File, error) {
	if d.Size[0] != 2*digitsSide || d.Classes != digitsClasses {
		return nil, nil, usage.Errorf("dataset %s: digits are images of %d pixels a side in %d classes, not %d in %d",
			d.Name, 2*digitsSide, digitsClasses, d.Size[0], d.Classes)
	}
	archive := configs.Digits()
	text, err := gzip.NewReader(bytes.NewReader(archive))
	if err != nil {
		return nil, nil, fmt.Errorf(digitsFile+": %w", err)
	}
	lines, err := csv.NewReader(text).ReadAll()
	if err != nil {
		return nil, nil, fmt.Errorf(digitsFile+": %w", err)
	}
	train, test := &Images{Size: d.Size[0]}, &Images{Size: d.Size[0]}
	for i, line := range lines {
		values := make([]int, len(line))
		for k, field := range line {
			if values[k], err = strconv.Atoi(field); err != nil {
				return nil, nil, fmt.Errorf(digitsFile+": line %d: %w", i+1, err)
			}
		}
		images := train
		if i >= digitsTrain {
			images = test
		}
		pixels, label := values[:digitsSide*digitsSide], values[digitsSide*digitsSide]
		if err := images.add(i, enlarge(pixels), label, d.Classes); err != nil {
			return nil, nil, fmt.Errorf(digitsFile+": %w", err)
		}
	}
	return map[string]*Images{"train": train, "test": test}, []File{describe(digitsFile, archive)}, nil
}

// findDigits finds the one file of readDigits.
func findDigits(*Definition, string) (FoundFiles, error) {
	return FoundFiles{embedded(digitsFile, configs.Digits())}, nil
}

// enlarge turns the grey pixels of a digit into three planes of bytes.
func enlarge(grey []int) []byte {
	side := 2 * digitsSide
	plane := make([]byte, side*side)
	for i := range plane {
		v := grey[i/side/2*digitsSide+i%side/2]
		plane[i] = byte((v*255 + digitsMax/2) / digitsMax) // rounded, halves up
	}
	return bytes.Repeat(plane, 3)
}
