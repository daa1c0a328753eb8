package published

import (
	"cmp"
	"fmt"

	"nb201/cell"
	"nb201/results/benchmark"
	"nb201/results/published/internal/pickled"
)

// This file holds what differs between the search spaces in the files of the original.

// spaceOfFirst returns the search space of the first of some files, or architectures, whose space can be
// read. If that fails for all, it returns the topology search space.
func spaceOfFirst[T any](all []T, spaceOf func(T) (cell.Space, bool)) cell.Space {
	for _, one := range all {
		if space, ok := spaceOf(one); ok {
			return space
		}
	}
	return cell.Topology{}
}

// refuseSpace refuses, in a benchmark of a space, an architecture whose string is of another.
func refuseSpace(space cell.Space, arch string) error {
	if of, ok := cell.SpaceOf(arch); ok && of != space {
		return fmt.Errorf("it is %.120s of the %s, but the benchmark is of the %s; keep them in separate directories",
			arch, of.Title(), space.Title())
	}
	return nil
}

// ofTopology returns a reader.clients of a format that holds the topology search space alone.
func ofTopology(file string) func(cell.Space) string {
	return func(space cell.Space) string {
		if space != (cell.Topology{}) {
			return ""
		}
		return file
	}
}

// spaceReader reads the parts of the original's files that differ between the search spaces.
type spaceReader struct {
	// archConfig reads the dict arch_config of a trial in the clients' files. r has its string in the file.
	archConfig func(config pickled.Dict, r *benchmark.ResultsCount) error
	// network reads the network in a run, and config is the key of the run's recipe.
	network func(run pickled.Dict, r *benchmark.ResultsCount) error
	config  string
}

func readerOf(space cell.Space) spaceReader {
	return map[cell.Space]spaceReader{
		cell.Topology{}: {readSkeleton, readSkeleton, "config"},
		cell.Size{}: {
			archConfig: func(config pickled.Dict, r *benchmark.ResultsCount) error { return readWidths(config, "class_num", r) },
			network: func(run pickled.Dict, r *benchmark.ResultsCount) error {
				config, err := pickled.Field(run, "arch_config", pickled.AsDict)
				if err != nil {
					return err
				}
				if err := readWidths(config, "num_classes", r); err != nil {
					return fmt.Errorf("arch_config: %w", err)
				}
				return nil
			},
			config: "opt_config",
		},
	}[space]
}

// readSkeleton reads the channels and cells of an architecture of the topology search space.
func readSkeleton(d pickled.Dict, r *benchmark.ResultsCount) error {
	return cmp.Or(
		pickled.FieldInto(d, "channel", pickled.AsInt, &r.Channels),
		pickled.FieldInto(d, "num_cells", pickled.AsInt, &r.Cells),
	)
}

// readWidths checks the description of an architecture of the size search space, which must be that of
// the trial, and its number of classes, under classesKey.
func readWidths(config pickled.Dict, classesKey string, r *benchmark.ResultsCount) error {
	arch, err := r.Architecture()
	if err != nil {
		return err
	}
	classes, err := pickled.Field(config, classesKey, pickled.AsInt)
	if err != nil {
		return err
	}
	if classes != r.Classes {
		return fmt.Errorf("%s is %d; expected %d", classesKey, classes, r.Classes)
	}
	for _, want := range []struct{ key, value string }{
		{"name", arch.Space().NetworkName()}, {"channels", arch.String()}, {"genotype", arch.Genotype()},
	} {
		got, err := pickled.Field(config, want.key, pickled.AsString)
		if err != nil {
			return err
		}
		if got != want.value {
			return fmt.Errorf("%s is %.120q; architecture %d has %q", want.key, got, r.Arch, want.value)
		}
	}
	return nil
}

// spaceOfRun returns the search space of the original's result of one training.
func spaceOfRun(run pickled.Dict) cell.Space {
	if _, err := run.Get("arch_config"); err == nil {
		return cell.Size{}
	}
	return cell.Topology{}
}
