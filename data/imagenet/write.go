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

// trainFiles is the number of files with training images.
const trainFiles = 10

func trainFile(i int) string { return fmt.Sprintf("train_data_batch_%d", i) }

// inOrder returns the indices 0 to n-1 in order.
func inOrder(n int) []int32 {
	indices := make([]int32, n)
	for i := range indices {
		indices[i] = int32(i)
	}
	return indices
}

// shuffleSeed determines the files that are made from an ImageNet folder. It must not change.
const shuffleSeed = 0

// shuffled returns the indices 0 to n-1 in the order of the files that are made from an
// ImageNet folder.
func shuffled(n int) []int32 {
	indices := inOrder(n)
	random.NewPython(shuffleSeed).Shuffle(n, func(i, j int) { indices[i], indices[j] = indices[j], indices[i] })
	return indices
}

// writeFiles writes the files to a directory. The training images, in the given order, are
// split evenly, with the remainder in the last file; the validation images have one file
// (image2numpy_imagenet_train.py and image2numpy_imagenet_val.py in Imagenet32_Scripts).
func writeFiles(ctx context.Context, dir string, train *data.Images, order []int32, validation *data.Images) error {
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

// writeFile writes a file of the images with the given indices, and more entries.
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

// meanImage returns the mean of the images as planes of red, green and blue: float64
// [3*size*size].
func meanImage(images *data.Images) *pickle.Array {
	const area = size * size
	var sums [3 * area]uint64
	for i, p := range images.Pixels {
		k := i % len(sums)
		sums[k%3*area+k/3] += uint64(p)
	}
	var elements []byte
	for _, sum := range sums {
		mean := float64(sum) / float64(images.Len())
		elements = binary.LittleEndian.AppendUint64(elements, math.Float64bits(mean))
	}
	return pickle.NewArray("f8", elements, len(sums))
}
