package export

import (
	"cmp"
	"fmt"
	"path/filepath"

	"nb201/cell"
	"nb201/internal/pickle"
	"nb201/results/benchmark"
)

// original describes what differs between the search spaces in the files that the original's programs write:
// exps/NAS-Bench-201 and exps/NATS-Bench (tss-collect.py) for the topology search space,
// exps/NATS-Bench (main-sss.py, sss-collect.py) for the size search space.
type original struct {
	benchmark.Original
	// slotted is set if runs have the slots less and full, rather than every schedule.
	slotted bool
	// times is the rule of the published times.
	times timesRule

	// unweighted is a schedule of which NATS-Bench's files keep no weights; "" if there is none.
	unweighted string
	// bySeed is set if a schedule's trials are in order of their seeds, then of their dataset keys.
	bySeed bool
	// orderedTimes is set if the times of training are an OrderedDict.
	orderedTimes bool
	// clearedLast is set if net_state_dict is the last key of a trial whose weights are left out.
	clearedLast bool
	// archConfig describes the network of a trial.
	archConfig func(r *benchmark.ResultsCount) pickle.Dict

	// folder returns the folder of the runs of a trial and a slot.
	folder func(r *benchmark.ResultsCount, slot string) string
	// network lists the items of a run that describe its network.
	network func(r *benchmark.ResultsCount) pickle.Dict
	// config is the key of a run's recipe.
	config string
	// rates is set if a run lists its learning rates.
	rates bool
	// netString describes the network of a run in words, which nothing reads.
	netString func(r *benchmark.ResultsCount) string
	// meta writes the files that programs read before the runs; nil if there are none.
	meta func(dir string) error
}

// originalOf returns the original's conventions in a space.
func originalOf(space cell.Space) original {
	return map[cell.Space]func() original{cell.Topology{}: originalTopology, cell.Size{}: originalSize}[space]()
}

func originalTopology() original {
	return original{
		Original: benchmark.OriginalOf(cell.Topology{}),
		slotted:  true, times: timesOfTopology,
		archConfig: func(r *benchmark.ResultsCount) pickle.Dict {
			return append(skeleton(r), pickle.Pair{Key: "arch_str", Value: r.Genotype}, pickle.Pair{Key: "class_num", Value: r.Classes})
		},
		folder: func(r *benchmark.ResultsCount, slot string) string {
			folder := fmt.Sprintf("%06d-%06d-C%d-N%d", 0, cell.Topologies-1, r.Channels, r.Cells)
			if slot == "less" {
				folder += "-LESS"
			}
			return folder
		},
		network: skeleton, config: "config",
		netString: func(r *benchmark.ResultsCount) string {
			return fmt.Sprintf("TinyNetwork(C=%d, N=%d, %s, classes=%d)", r.Channels, r.Cells, r.Genotype, r.Classes)
		},
		meta: func(dir string) error { return writeMetaNode(filepath.Join(dir, "meta-node-4.pth")) },
	}
}

func skeleton(r *benchmark.ResultsCount) pickle.Dict {
	return pickle.Dict{{Key: "channel", Value: r.Channels}, {Key: "num_cells", Value: r.Cells}}
}

func originalSize() original {
	space := cell.Size{}
	genotype := space.Costliest().Genotype() // that of every architecture
	return original{
		Original: benchmark.OriginalOf(space),
		times:    timesOfSize,

		unweighted: space.Schedule(1), bySeed: true, orderedTimes: true, clearedLast: true,
		archConfig: func(r *benchmark.ResultsCount) pickle.Dict {
			return pickle.Dict{
				{Key: "name", Value: space.NetworkName()},
				{Key: "channels", Value: r.Genotype},
				{Key: "arch_str", Value: r.Genotype},
				{Key: "genotype", Value: genotype},
				{Key: "class_num", Value: r.Classes},
			}
		},

		folder: func(_ *benchmark.ResultsCount, slot string) string { return "raw-data-" + slot },
		network: func(r *benchmark.ResultsCount) pickle.Dict {
			return pickle.Dict{{Key: "arch_config", Value: pickle.Dict{
				{Key: "name", Value: space.NetworkName()},
				{Key: "channels", Value: r.Genotype},
				{Key: "genotype", Value: genotype},
				{Key: "num_classes", Value: r.Classes},
			}}}
		},
		config: "opt_config", rates: true,
		netString: func(r *benchmark.ResultsCount) string {
			return fmt.Sprintf("DynamicShapeTinyNet(%s, classes=%d)", r.Genotype, r.Classes)
		},
	}
}

// less returns the schedule for the slot of short trials, and full that for the slot of long ones.
func (x *original) less(o *Options) string { return cmp.Or(o.Less, x.Short) }

func (x *original) full(o *Options) string { return cmp.Or(o.Full, x.Full) }
