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

// The embedded digits: images of 8x8 grey pixels with values from 0 to 16. Each pixel
// becomes 2x2 pixels with three equal channels. The first digitsTrain images are "train",
// the others "test".
const (
	formatDigits  = "digits"
	digitsFile    = "digits.csv.gz"
	digitsSide    = 8
	digitsMax     = 16
	digitsClasses = 10
	digitsTrain   = 1347
	digitsTest    = 450
)

// readDigits reads the format digits, which is embedded and needs no file.
func readDigits(d *Definition, _ string) (map[string]*Images, []File, error) {
	if d.Size[0] != 2*digitsSide || d.Classes != digitsClasses {
		return nil, nil, usage.Errorf("dataset %s: the digits have \"size\" [%[2]d, %[2]d] and \"classes\" %[3]d, not [%[4]d, %[4]d] and %[5]d; "+
			"correct the definition",
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

// findDigits finds the embedded file that readDigits reads.
func findDigits(*Definition, string) (FoundFiles, error) {
	return FoundFiles{embedded(digitsFile, configs.Digits())}, nil
}

// enlarge turns the grey pixels of a digit into planes of red, green and blue.
func enlarge(grey []int) []byte {
	side := 2 * digitsSide
	plane := make([]byte, side*side)
	for i := range plane {
		v := grey[i/side/2*digitsSide+i%side/2]
		plane[i] = byte((v*255 + digitsMax/2) / digitsMax) // rounded, halves up
	}
	return bytes.Repeat(plane, 3)
}
