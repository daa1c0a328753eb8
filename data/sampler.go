package data

import (
	"fmt"

	"nb201/internal/random"
)

// Streams holds the random generators of the original's main process during a trial.
// Whoever draws from them changes what the rest of the trial draws.
type Streams struct {
	Torch   *random.Torch
	Python  *random.Python
	Profile random.Profile
}

// NewStreams seeds the streams of a trial, as the original's prepare_seed does
// (xautodl/procedures/starts.py).
func NewStreams(seed uint32, profile random.Profile) *Streams {
	return newStreams(uint64(seed), profile)
}

func newStreams(seed uint64, profile random.Profile) *Streams {
	return &Streams{random.NewTorch(seed), random.NewPython(seed), profile}
}

// Clone returns independent streams that will draw the same numbers as s.
func (s *Streams) Clone() *Streams {
	torch, python := *s.Torch, *s.Python
	return &Streams{&torch, &python, s.Profile}
}

// State returns the state of the streams, for [RestoreStreams]: that of Torch, then that of
// Python.
func (s *Streams) State() []byte { return s.Python.AppendState(s.Torch.AppendState(nil)) }

// RestoreStreams returns streams that continue from a [Streams.State].
func RestoreStreams(state []byte, profile random.Profile) (*Streams, error) {
	if len(state) != 2*random.StateSize {
		return nil, fmt.Errorf("the state of the random streams has %d bytes, not %d", len(state), 2*random.StateSize)
	}
	torch, err := random.RestoreTorch(state[:random.StateSize])
	if err != nil {
		return nil, err
	}
	python, err := random.RestorePython(state[random.StateSize:])
	return &Streams{torch, python, profile}, err
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
// the original draws when it iterates over its train loader. workers is the number of the
// original's loader workers and batch the number of images in a batch;
// [configs.Settings.Validate] and [Dataset.CheckBatch] must accept them.
func (ds *Dataset) TrainEpoch(s *Streams, workers, batch int) Epoch {
	e := s.startEpoch(&ds.Train)
	if ds.Augment == (Augment{}) {
		return e
	}
	e.Crops = make([]Crop, len(e.Order))
	if workers == 0 { // the main process loads, right after it drew the order
		for i := range e.Crops {
			e.Crops[i] = s.crop(ds.Augment)
		}
		return e
	}
	// Worker w loads the batches w, w+workers, ... and draws from streams that start again
	// in every epoch (torch/utils/data/_utils/worker.py).
	workers = min(workers, ds.Train.Batches(batch)) // the others have nothing to load
	for w := range workers {
		worker := newStreams(uint64(e.BaseSeed)+uint64(w), s.Profile)
		for from := w * batch; from < len(e.Crops); from += workers * batch {
			for i := from; i < min(from+batch, len(e.Crops)); i++ {
				e.Crops[i] = worker.crop(ds.Augment)
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

// crop draws a crop as RandomHorizontalFlip and then RandomCrop do (torchvision's
// transforms.py). Without padding RandomCrop has no choice and draws nothing.
func (s *Streams) crop(a Augment) Crop {
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
	return c
}
