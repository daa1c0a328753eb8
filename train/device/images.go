package device

import (
	"errors"
	"fmt"
	"slices"

	"github.com/gomlx/compute"
	"github.com/gomlx/compute/dtypes"
	"github.com/gomlx/compute/shapes"
	"github.com/gomlx/gomlx/core/tensors"

	"nb201/data"
)

// Images holds the images of a dataset on the device: those of all its stored splits, one split
// after another.
type Images struct {
	pixels *tensors.Tensor        // uint8 [images, size, size, 3]
	labels *tensors.Tensor        // int32 [images]
	normal *tensors.Tensor        // float32 [256*3]: the normalised value of each byte in each channel
	first  map[*data.Images]int32 // the index of a split's first image
}

// CountStored returns the number of images that [Upload] copies to the device.
func CountStored(set *data.Dataset) int {
	_, images := storedSplits(set)
	return images
}

// storedSplits lists the stored splits that the dataset's images come from, and counts their
// images.
func storedSplits(set *data.Dataset) (splits []*data.Images, images int) {
	splits = []*data.Images{set.Train.Images}
	for i := range set.Eval {
		if split := set.Eval[i].Images; !slices.Contains(splits, split) {
			splits = append(splits, split)
		}
	}
	for _, split := range splits {
		images += split.Len()
	}
	return splits, images
}

// Upload copies the images of a dataset to the device. The caller finalizes them.
func Upload(b compute.Backend, set *data.Dataset) (*Images, error) {
	splits, images := storedSplits(set)
	s := &Images{first: map[*data.Images]int32{}}
	var pixels [][]byte
	var labels [][]int32
	n := 0
	for _, split := range splits {
		s.first[split] = int32(n)
		n += split.Len()
		pixels, labels = append(pixels, split.Pixels), append(labels, split.Labels)
	}
	normal := set.Normal()
	var err [3]error
	s.pixels, err[0] = onDevice(b, concat(pixels), images, set.Size, set.Size, 3)
	s.labels, err[1] = onDevice(b, concat(labels), images)
	s.normal, err[2] = onDevice(b, concat([][]float32{normal}), len(normal))
	if err := errors.Join(err[:]...); err != nil {
		s.Finalize()
		return nil, fmt.Errorf("cannot copy the images of %s to the device: %w", set.Name, err)
	}
	return s, nil
}

// concat returns a function that fills dst with the parts, one after another.
func concat[T any](parts [][]T) func(dst []T) {
	return func(dst []T) {
		for _, part := range parts {
			dst = dst[copy(dst, part):]
		}
	}
}

// onDevice makes a tensor on the device and fills it. If the device shares the host's memory,
// fill writes to it directly.
func onDevice[T uint8 | int32 | float32](b compute.Backend, fill func(dst []T), dimensions ...int) (*tensors.Tensor, error) {
	t, err := tensors.FromShapeForBackend(b, 0, shapes.Make(dtypes.FromGenericsType[T](), dimensions...))
	if err != nil {
		return nil, err
	}
	if err := errors.Join(tensors.MutableFlatData(t, fill), t.ToDevice(b, 0)); err != nil {
		return nil, errors.Join(err, t.FinalizeAll())
	}
	return t, nil
}

// Finalize frees the images. Calling it on nil does nothing.
func (s *Images) Finalize() {
	if s == nil {
		return
	}
	for _, t := range []*tensors.Tensor{s.pixels, s.labels, s.normal} {
		if t != nil {
			t.MustFinalizeAll()
		}
	}
}

// inputs returns the inputs of an executable that come from the images, followed by rows and the
// number of batches to run; see Executable.loop.
func (s *Images) inputs(rows *tensors.Tensor, batches int) []any {
	return []any{s.pixels, s.labels, s.normal, rows, int32(batches)}
}
