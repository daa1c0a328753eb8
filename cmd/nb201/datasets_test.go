package main

import (
	"testing"

	"nb201/configs"
	"nb201/data"
)

// The definitions of the published keys agree with what configs reports about the keys.
func TestPublishedDatasets(t *testing.T) {
	for _, key := range configs.BenchmarkKeys() {
		want, _ := configs.FindDataset(key)
		d, err := data.Published(key)
		if err != nil {
			t.Fatal(err)
		}
		set, err := data.New(d, map[string]*data.Images{
			"train": {Labels: make([]int32, d.Images.Train), Size: d.Size[0]},
			"test":  {Labels: make([]int32, d.Images.Test), Size: d.Size[0]},
		})
		if err != nil {
			t.Fatal(err)
		}
		if set.Classes != want.Classes || set.Size != want.Size || set.Train.Len() != want.Train || len(set.Eval) != len(want.Sets) {
			t.Errorf("%s: %d classes, %d pixels, %d images to train, %d evaluation sets, want %+v",
				key, set.Classes, set.Size, set.Train.Len(), len(set.Eval), want)
		}
		for _, s := range set.Eval {
			if n := want.Images(s.Name); s.Len() != n {
				t.Errorf("%s: %d images in %s, want %d", key, s.Len(), s.Name, n)
			}
		}
	}
}
