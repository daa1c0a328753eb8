package data

import (
	"errors"
	"fmt"

	"nb201/internal/random"
)

// Streams holds the random generators of the original's main process during a trial.
// Whoever draws from them changes what the rest of the trial draws.
type Streams struct {
	Torch   *random.Torch
	Python  *random.Python
	Numpy   *random.Numpy
	Profile random.Profile
}

// NewStreams seeds the streams of a trial, as the original's prepare_seed does
// (xautodl/procedures/starts.py).
func NewStreams(seed uint32, profile random.Profile) *Streams {
	return &Streams{random.NewTorch(uint64(seed)), random.NewPython(uint64(seed)), random.NewNumpy(seed), profile}
}

// worker returns the streams of a loader worker that is started with a base seed
// (torch/utils/data/_utils/worker.py, _worker_loop). Before torch 1.9, numpy continues in each worker and each
// epoch with the state that the main process had.
func (s *Streams) worker(base int64, w int) *Streams {
	seed, numpy := uint64(base)+uint64(w), *s.Numpy
	streams := &Streams{random.NewTorch(seed), random.NewPython(seed), &numpy, s.Profile}
	if s.Profile.SeededNumpy {
		streams.Numpy = random.NewWorkerNumpy(base, w)
	}
	return streams
}

// Clone returns independent streams that will draw the same numbers as s.
func (s *Streams) Clone() *Streams {
	torch, python, numpy := *s.Torch, *s.Python, *s.Numpy
	return &Streams{&torch, &python, &numpy, s.Profile}
}

// State returns the state of the streams, for [RestoreStreams]: that of Torch, Python and Numpy.
func (s *Streams) State() []byte {
	return s.Numpy.AppendState(s.Python.AppendState(s.Torch.AppendState(nil)))
}

// RestoreStreams returns streams that continue from a [Streams.State].
func RestoreStreams(state []byte, profile random.Profile) (*Streams, error) {
	const size = random.StateSize
	if len(state) != 3*size {
		return nil, fmt.Errorf("the state of the random streams has %d bytes, not %d", len(state), 3*size)
	}
	torch, err1 := random.RestoreTorch(state[:size])
	python, err2 := random.RestorePython(state[size : 2*size])
	numpy, err3 := random.RestoreNumpy(state[2*size:])
	return &Streams{torch, python, numpy, profile}, errors.Join(err1, err2, err3)
}

// Epoch is one pass over a split: which images are delivered, and how they are cropped.
type Epoch struct {
	BaseSeed int64   // of the loader's iterator; loader worker w is seeded with BaseSeed+w
	Order    []int32 // indices into Split.Images, in order of delivery
	Crops    []Crop  // the crop of each image in Order; nil without augmentation
}

// Batches returns the number of batches in an epoch. batch is the number of images in each;
// the last one may be smaller.
func (s *Split) Batches(batch int) int { return (s.Len() + batch - 1) / batch }

// TrainEpoch draws the order and the crops of the next training epoch. It draws from s what
// the original draws when it iterates over its train loader. a says how images are varied, workers is the
// number of the original's loader workers and batch the number of images in a batch;
// [configs.Settings.Validate] and [Dataset.CheckBatch] must accept them. Without training images
// there is no epoch, and nothing is drawn.
func (ds *Dataset) TrainEpoch(s *Streams, a Augment, workers, batch int) Epoch {
	if ds.EvaluationOnly() {
		return Epoch{}
	}
	e := s.startEpoch(&ds.Train)
	if a == (Augment{}) {
		return e
	}
	e.Crops = make([]Crop, len(e.Order))
	if workers == 0 { // the main process loads, right after it drew the order
		for i := range e.Crops {
			e.Crops[i] = s.crop(a, ds.Size)
		}
		return e
	}
	// Worker w loads the batches w, w+workers, ... and draws from streams that start again
	// in every epoch (torch/utils/data/_utils/worker.py).
	workers = min(workers, ds.Train.Batches(batch)) // the others have nothing to load
	for w := range workers {
		worker := s.worker(e.BaseSeed, w)
		for from := w * batch; from < len(e.Crops); from += workers * batch {
			for i := from; i < min(from+batch, len(e.Crops)); i++ {
				e.Crops[i] = worker.crop(a, ds.Size)
			}
		}
	}
	return e
}

// EvalEpoch draws the order of the next pass over evaluation set i. Evaluation crops
// nothing, but starting a loader still draws a base seed.
func (ds *Dataset) EvalEpoch(s *Streams, i int) Epoch { return s.startEpoch(&ds.Eval[i]) }

// startEpoch draws what iter(DataLoader) and its sampler draw: first the base seed, even
// without workers, then the order (torch/utils/data/dataloader.py and sampler.py).
func (s *Streams) startEpoch(split *Split) Epoch {
	e := Epoch{BaseSeed: s.Torch.Int63()}
	n := split.Len()
	switch split.Order {
	case Shuffle:
		e.Order = s.shuffle(n)
	case Subset: // draws from the main generator in every profile
		e.Order = s.Torch.Perm(n)
	default:
		e.Order = make([]int32, n)
		for i := range e.Order {
			e.Order[i] = int32(i)
		}
	}
	if split.Indices != nil {
		for i, k := range e.Order {
			e.Order[i] = split.Indices[k]
		}
	}
	return e
}

// shuffle draws the order of n images as torch's RandomSampler does.
func (s *Streams) shuffle(n int) []int32 {
	switch s.Profile.Shuffle {
	case random.ShufflePrivate:
		return random.NewTorch(uint64(s.Torch.Int63())).Perm(n)
	case random.ShuffleMainAfterSeed:
		s.Torch.Int63()
	}
	return s.Torch.Perm(n)
}

// crop draws a crop of an image with sides of size pixels as RandomHorizontalFlip and RandomCrop do
// (torchvision's transforms.py), and then CUTOUT (xautodl/datasets/get_dataset_with_transform.py).
// Without padding RandomCrop has no choice and draws nothing.
func (s *Streams) crop(a Augment, size int) Crop {
	var c Crop
	if a.Flip {
		if s.Profile.PythonAugment {
			c.Flip = s.Python.Float64() < 0.5
		} else {
			c.Flip = s.Torch.Float32() < 0.5
		}
	}
	if a.CropPadding > 0 {
		intn := s.Torch.Intn
		if s.Profile.PythonAugment {
			intn = s.Python.Intn
		}
		c.Row = int16(intn(2*a.CropPadding + 1))
		c.Column = int16(intn(2*a.CropPadding + 1))
	}
	if a.Cutout > 0 {
		c.CutRow = int16(s.Numpy.Intn(size))
		c.CutColumn = int16(s.Numpy.Intn(size))
	}
	return c
}
