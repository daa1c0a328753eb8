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

// Images are the images of a dataset on the device: those of its stored splits, one split
// after another.
type Images struct {
	pixels *tensors.Tensor        // uint8 [images, size, size, 3]
	labels *tensors.Tensor        // int32 [images]
	normal *tensors.Tensor        // float32 [256*3], what each byte is in each channel
	first  map[*data.Images]int32 // where a split begins among them
}

// CountStored counts the images that Upload brings to the device.
func CountStored(set *data.Dataset) int {
	_, images := storedSplits(set)
	return images
}

// storedSplits lists the stored splits that a dataset takes images of, and counts these.
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

// Upload brings the images of a dataset to the device. The caller finalizes them.
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
		return nil, fmt.Errorf("cannot bring the images of %s to the device: %w", set.Name, err)
	}
	return s, nil
}

// concat fills with parts, one after another.
func concat[T any](parts [][]T) func(dst []T) {
	return func(dst []T) {
		for _, part := range parts {
			dst = dst[copy(dst, part):]
		}
	}
}

// onDevice makes a tensor on the device that fill has filled: in place, where the device's
// memory is the host's.
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

// Finalize frees the images; there may be none.
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

// inputs are what an executable takes of the images, and the rows of batches of them: see
// Executable.loop.
func (s *Images) inputs(rows *tensors.Tensor, batches int) []any {
	return []any{s.pixels, s.labels, s.normal, rows, int32(batches)}
}
