package imagenet

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"path/filepath"

	"nb201/data"
	"nb201/internal/atomicfile"
	"nb201/internal/pickle"
	"nb201/internal/random"
)

// trainFiles is the number of files to train.
const trainFiles = 10

func trainFile(i int) string { return fmt.Sprintf("train_data_batch_%d", i) }

// inOrder are the indices 0..n-1.
func inOrder(n int) []int32 {
	indices := make([]int32, n)
	for i := range indices {
		indices[i] = int32(i)
	}
	return indices
}

// shuffleSeed is part of what an ImageNet folder gives; it must not change.
const shuffleSeed = 0

// shuffled are the indices 0..n-1 in the order of the files made from an ImageNet folder.
func shuffled(n int) []int32 {
	indices := inOrder(n)
	random.NewPython(shuffleSeed).Shuffle(n, func(i, j int) { indices[i], indices[j] = indices[j], indices[i] })
	return indices
}

// write makes the files in a directory: the images to train, in an order, a tenth in each
// file and what is left in the last, and those of validation
// (image2numpy_imagenet_train.py and image2numpy_imagenet_val.py of Imagenet32_Scripts).
func write(ctx context.Context, dir string, train *data.Images, order []int32, validation *data.Images) error {
	mean := meanImage(train)
	each := len(order) / trainFiles
	for i := range trainFiles {
		indices := order[i*each : (i+1)*each]
		if i == trainFiles-1 {
			indices = order[i*each:]
		}
		if err := writeFile(ctx, filepath.Join(dir, trainFile(i+1)), train, indices, pickle.Pair{Key: "mean", Value: mean}); err != nil {
			return err
		}
	}
	return writeFile(ctx, filepath.Join(dir, "val_data"), validation, inOrder(validation.Len()))
}

// writeFile makes a file of the images at some indices.
func writeFile(ctx context.Context, path string, images *data.Images, indices []int32, more ...pickle.Pair) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	const area = size * size
	pixels := make([]byte, 0, len(indices)*3*area)
	labels := make(pickle.List, len(indices))
	for i, index := range indices {
		labels[i] = int(images.Labels[index]) + 1
		image := images.Pixels[int(index)*3*area:][:3*area]
		for channel := range 3 {
			for k := range area {
				pixels = append(pixels, image[3*k+channel])
			}
		}
	}
	batch := append(pickle.Dict{
		{Key: "data", Value: pickle.NewArray("u1", pixels, len(indices), 3*area)},
		{Key: "labels", Value: labels},
	}, more...)
	return atomicfile.Create(path, func(w io.Writer) error { return pickle.NewEncoder(w).Encode(batch) })
}

// meanImage is the mean of the images: 64-bit floats, planes of red, green and blue.
func meanImage(images *data.Images) *pickle.Array {
	const area = size * size
	var sums [3 * area]uint64
	for i, p := range images.Pixels {
		at := i % len(sums)
		sums[at%3*area+at/3] += uint64(p)
	}
	var elements []byte
	for _, sum := range sums {
		mean := float64(sum) / float64(images.Len())
		elements = binary.LittleEndian.AppendUint64(elements, math.Float64bits(mean))
	}
	return pickle.NewArray("f8", elements, len(sums))
}
