package random

import (
	"nb201/internal/usage"
	"strings"
)

// ShuffleSource says where RandomSampler (shuffle=True) draws its order from.
type ShuffleSource uint8

const (
	// ShuffleMain draws the permutation on the main generator (torch 1.2-1.6).
	ShuffleMain ShuffleSource = iota
	// ShuffleMainAfterSeed draws a 63-bit seed, drops it, then draws the
	// permutation on the main generator (torch 1.7 and 1.8).
	ShuffleMainAfterSeed
	// ShufflePrivate draws a 63-bit seed and permutes on a generator of its own
	// (torch 1.9 and later).
	ShufflePrivate
)

// Profile is a parity profile: whose random streams are reproduced.
type Profile struct {
	Name          string
	FMA           bool          // float32 uniforms rounded once (AVX2 kernel), else twice
	Shuffle       ShuffleSource // order of a shuffled training set
	PythonAugment bool          // flips and crops from CPython's random, else from torch
}

// Profiles lists the parity profiles, the default one first.
func Profiles() []Profile {
	return []Profile{
		{Name: "2019", Shuffle: ShuffleMain, PythonAugment: true},
		{Name: "1.7", FMA: true, Shuffle: ShuffleMainAfterSeed},
		{Name: "modern", FMA: true, Shuffle: ShufflePrivate},
	}
}

// ProfileByName finds a parity profile by its name.
func ProfileByName(name string) (Profile, error) {
	var names []string
	for _, p := range Profiles() {
		if p.Name == name {
			return p, nil
		}
		names = append(names, p.Name)
	}
	return Profile{}, usage.Errorf("unknown parity profile %q: use one of %s", name, strings.Join(names, ", "))
}
