package published

import (
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results/published/internal/pickled"
)

// torchValue reads what a checkpoint holds but for the elements of its tensors.
func torchValue(path string) (any, error) {
	f, err := torchfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Value()
}

// loadState reads the tensors of the state dict that find finds in a checkpoint.
func loadState(path string, find func(pickled.Dict) (any, error)) (torchfile.StateDict, error) {
	f, err := torchfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	v, err := f.Value()
	if err != nil {
		return nil, err
	}
	root, err := pickled.AsDict(v)
	if err == nil {
		v, err = find(root)
	}
	if err != nil {
		return nil, usage.Errorf("%s: %w", path, err)
	}
	return f.StateDict(v)
}
