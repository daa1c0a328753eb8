package data

import (
	"fmt"

	"nb201/internal/random"
)

// Streams are the random generators of the original's main process during one
// trial. Drawing from them moves on the trial.
type Streams struct {
	Torch   *random.Torch
	Python  *random.Python
	Profile random.Profile
}

// NewStreams is the original's prepare_seed (xautodl/procedures/starts.py).
func NewStreams(seed uint32, profile random.Profile) *Streams {
	return newStreams(uint64(seed), profile)
}

func newStreams(seed uint64, profile random.Profile) *Streams {
	return &Streams{random.NewTorch(seed), random.NewPython(seed), profile}
}

// Clone makes streams that draw the same from here on.
func (s *Streams) Clone() *Streams {
	torch, python := *s.Torch, *s.Python
	return &Streams{&torch, &python, s.Profile}
}

// State is where the streams are: the state of Torch, then that of Python.
func (s *Streams) State() []byte { return s.Python.AppendState(s.Torch.AppendState(nil)) }

// RestoreStreams makes streams that go on from a State.
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

// Epoch is what one pass over a split delivers.
type Epoch struct {
	BaseSeed int64   // of the loader's iterator; worker w is seeded with BaseSeed+w
	Order    []int32 // indices in Split.Images, in delivery order
	Crops    []Crop  // of each image of Order; nil where nothing varies them
}

// Batches is the number of batches of an epoch.
func (s *Split) Batches(batch int) int { return (s.Len() + batch - 1) / batch }

// TrainEpoch draws the order and the crops of the next training epoch: what
// iterating the original's train loader to its end draws, with a number of loader
// workers and images in a batch that configs.Settings.Validate and CheckBatch accept.
func (ds *Dataset) TrainEpoch(s *Streams, workers, batch int) Epoch {
	e := s.pass(&ds.Train)
	if ds.Augment == (Augment{}) {
		return e
	}
	e.Crops = make([]Crop, len(e.Order))
	if workers == 0 { // the main process loads, right after the order was drawn
		for i := range e.Crops {
			e.Crops[i] = s.crop(ds.Augment)
		}
		return e
	}
	// Worker w loads the batches w, w+workers, ... from streams that are new in
	// every epoch (torch/utils/data/_utils/worker.py).
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

// EvalEpoch draws the order of the next pass over evaluation set i; evaluation
// varies nothing, but starting a loader draws a base seed all the same.
func (ds *Dataset) EvalEpoch(s *Streams, i int) Epoch { return s.pass(&ds.Eval[i]) }

// pass is iter(DataLoader) and its sampler: the base seed first, also without
// workers, then the order (torch/utils/data/dataloader.py and sampler.py).
func (s *Streams) pass(split *Split) Epoch {
	e := Epoch{BaseSeed: s.Torch.Int63()}
	n := split.Len()
	switch split.Order {
	case Shuffle:
		e.Order = s.shuffle(n)
	case Subset: // on the main generator in every profile
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

// shuffle is RandomSampler's order of n images.
func (s *Streams) shuffle(n int) []int32 {
	switch s.Profile.Shuffle {
	case random.ShufflePrivate:
		return random.NewTorch(uint64(s.Torch.Int63())).Perm(n)
	case random.ShuffleMainAfterSeed:
		s.Torch.Int63()
	}
	return s.Torch.Perm(n)
}

// crop draws RandomHorizontalFlip, then RandomCrop (torchvision's transforms.py);
// without padding RandomCrop has no choice and draws nothing.
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
