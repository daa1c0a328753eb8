package data

import (
	"reflect"
	"testing"

	"nb201/internal/random"
)

// Streams restored from a state, and clones, draw what the streams themselves would have.
func TestStreamsState(t *testing.T) {
	definition, err := Published("digits")
	if err != nil {
		t.Fatal(err)
	}
	ds, err := definition.Load("")
	if err != nil {
		t.Fatal(err)
	}
	augment := Augment{Flip: true, CropPadding: 2, Cutout: 4}
	for _, profile := range random.Profiles() {
		s := NewStreams(777, profile)
		ds.TrainEpoch(s, augment, 0, 256)
		state, clone := s.State(), s.Clone()
		want := []Epoch{ds.EvalEpoch(s, 0), ds.TrainEpoch(s, augment, 0, 256), ds.TrainEpoch(s, augment, 4, 256)}
		restored, err := RestoreStreams(state, profile)
		if err != nil {
			t.Fatal(err)
		}
		for name, again := range map[string]*Streams{"restored": restored, "cloned": clone} {
			got := []Epoch{ds.EvalEpoch(again, 0), ds.TrainEpoch(again, augment, 0, 256), ds.TrainEpoch(again, augment, 4, 256)}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("%s: %s streams draw others", profile.Name, name)
			}
		}
		wrong := append(state[:len(state)-1:len(state)-1], 255) // of CPython's next word
		for _, state := range [][]byte{nil, state[1:], append(state, 0), wrong} {
			if _, err := RestoreStreams(state, profile); err == nil {
				t.Errorf("a wrong state of %d bytes is restored", len(state))
			}
		}
	}
}
