package published

import (
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results/published/internal/pickled"
)

// torchValue reads the value in a torch checkpoint, without the elements of its tensors.
func torchValue(path string) (any, error) {
	f, err := torchfile.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Value()
}

// loadState reads a state dict with its tensors from a torch checkpoint. find selects it in the
// checkpoint's dict.
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
