package train

import (
	"context"
	"strconv"
	"testing"

	"github.com/gomlx/compute"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/backend/devicetest"
	"nb201/train/device"
)

func openBackend(t testing.TB) compute.Backend {
	t.Helper()
	return devicetest.Open(t).Backend
}

// session is shared by all tests, so that they compile what they share once.
var session *Session

func openSession(t *testing.T) *Session {
	t.Helper()
	if session == nil {
		session = NewSession(openBackend(t))
	}
	return session
}

// runAlone trains a trial in its own session.
func runAlone(ctx context.Context, t testing.TB, c Config, observe func(Progress)) (*Outcome, error) {
	t.Helper()
	s := NewSession(openBackend(t))
	defer s.Close()
	return s.Run(ctx, c, observe)
}

// settings returns the published settings, for a small network.
func settings(channels, cells, batch int) configs.Settings {
	s := configs.Published()
	s.Channels, s.Cells, s.Batch = channels, cells, batch
	return s
}

// archOf returns the architecture that a string of any search space, or an index of the topology search
// space, names.
func archOf(t testing.TB, name string) cell.Arch {
	t.Helper()
	space, ok := cell.SpaceOf(name)
	if !ok {
		space = cell.Topology{}
	}
	return archName(name).in(t, space)
}

// onArch returns the same trial of another architecture, in the published skeleton.
func onArch(c Config, arch cell.Arch) Config {
	channels, cells := arch.Space().Skeleton()
	c.Trial.Space, c.Trial.Arch = arch.Space().Name(), arch.Index()
	c.Network.Arch, c.Network.Channels, c.Network.Cells = arch, channels, cells
	c.Recipe.Channels, c.Recipe.Cells = channels, cells
	c.Settings = c.Settings.With(c.Recipe)
	return c
}

// options resolves a trial from command-line arguments. C and N of the settings are for the topology
// search space.
func options(t testing.TB, arch, dataset string, epochs int, seed uint32, s configs.Settings) Options {
	t.Helper()
	of := archOf(t, arch)
	if channels, _ := of.Space().Skeleton(); channels == 0 {
		s.Channels, s.Cells = 0, 0
	}
	o, err := NewOptions(of, dataset, strconv.Itoa(epochs), s)
	if err != nil {
		t.Fatal(err)
	}
	o.Seed = seed
	return o
}

// executables returns those of a trial, not compiled yet.
func executables(t testing.TB, c Config) *device.Set {
	t.Helper()
	return NewSession(openBackend(t)).newSet(c)
}

// trialOf returns a trial whose executables are not compiled yet, with its images on the device
// until the end of the test.
func trialOf(t *testing.T, c Config) *trial {
	t.Helper()
	images, err := device.Upload(openBackend(t), c.Data)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(images.Finalize)
	return newTrial(c, &device.Runner{Set: executables(t, c), Images: images, BatchesPerCall: c.batchesPerCall}, func(Progress) {})
}
