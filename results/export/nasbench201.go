package export

import (
	"io"

	"nb201/cell"
	"nb201/internal/pickle"
	"nb201/internal/torchfile"
	"nb201/results/benchmark"
	"nb201/results/published"
)

// nasbench201Writer describes the format of one torch checkpoint for all architectures.
func nasbench201Writer() writer {
	return writer{
		Traits: Traits{
			Format: published.NASBench201, Slots: FixedSlots, Merged: ChoiceAlways, Named: true, Published: true, Lists: true, OneSpace: true, clients: true,
			About: `one .pth file of all architectures, without weights, which NASBench201API
opens; if --to ends in .pickle, the same as a plain pickle`,
		},
		completeTimes: true,
		layout: func(o *Options, space cell.Space) layout {
			return layout{
				begin: func(dir string) (partWriter, error) {
					return newItems(dir, func(w io.Writer, a *benchmark.Architecture) error {
						value, err := encoding{of: originalOf(space), constant: o.Times == Published}.encodeSlots(a)
						if err != nil {
							return err
						}
						return pickle.NewEncoder(w).EncodeItem(a.Index, value)
					})
				},
				file:      func(w io.Writer, x *whole) error { return writeNASBench201(w, x, isPlain(o)) },
				name:      func(md5 string) string { return "NAS-Bench-201-" + lastDigits(md5, 6) + ".pth" },
				published: published.NASBench201Name,
			}
		},
	}
}

// writeNASBench201 writes the dict that NASBench201API reads (nas_201_api/api_201.py, __init__): as a plain
// pickle, or as a torch checkpoint.
func writeNASBench201(w io.Writer, x *whole, plain bool) error {
	dict := mergedDict(x, func(w io.Writer) error { return copyItems(w, x) }, pickle.List(x.archs()))
	if plain {
		return pickle.NewEncoder(w).Encode(dict)
	}
	return torchfile.Write(w, dict)
}
