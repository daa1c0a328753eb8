package random

import (
	"nb201/internal/usage"
	"strings"
)

// ShuffleSource is the generator from which torch's RandomSampler (shuffle=True) draws its
// order.
type ShuffleSource uint8

const (
	// ShuffleMain draws the permutation from the main generator (torch 1.2-1.6).
	ShuffleMain ShuffleSource = iota
	// ShuffleMainAfterSeed draws a 63-bit seed, drops it, and draws the permutation from
	// the main generator (torch 1.7 and 1.8).
	ShuffleMainAfterSeed
	// ShufflePrivate draws a 63-bit seed and draws the permutation from a separate
	// generator with that seed (torch 1.9 and later).
	ShufflePrivate
)

// Profile is a parity profile: the versions of torch and torchvision whose random streams
// are reproduced.
type Profile struct {
	Name          string
	FMA           bool          // float32 uniforms are rounded once (AVX2 kernel), not twice
	Shuffle       ShuffleSource // source of the order of a shuffled training set
	PythonAugment bool          // flips and crops come from CPython's random, not from torch
	SeededNumpy   bool          // each loader worker seeds numpy, instead of continuing with a copy of the main process's
}

// Profiles lists the parity profiles, the default first.
func Profiles() []Profile {
	return []Profile{
		{Name: "2019", Shuffle: ShuffleMain, PythonAugment: true},
		{Name: "1.7", FMA: true, Shuffle: ShuffleMainAfterSeed},
		{Name: "modern", FMA: true, Shuffle: ShufflePrivate, SeededNumpy: true},
	}
}

// ProfileByName returns the parity profile with a name. An unknown name is a usage error.
func ProfileByName(name string) (Profile, error) {
	var names []string
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, usage.Errorf("unknown parity profile %q; use one of %s", name, strings.Join(names, ", "))
}
