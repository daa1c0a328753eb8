package resultstest

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"nb201/cell"
	"nb201/configs"
	"nb201/results"
)

// ceilings holds, by dataset key, the top-1 accuracies in percent that the best architectures
// approach after 200 epochs.
var ceilings = map[string]float64{"cifar10-valid": 91.7, "cifar10": 94.5, "cifar100": 73.8, "ImageNet16-120": 47.5}

// Published returns the 17 trials of an architecture that NAS-Bench-201 has, in order.
func Published(arch int) []results.Trial { return PublishedIn(cell.Topology{}, arch) }

// PublishedIn returns the trials of an architecture that the published benchmark of a search space has, in
// order.
func PublishedIn(space cell.Space, arch int) []results.Trial {
	var all []results.Trial
	for _, p := range space.Published() {
		for _, key := range configs.BenchmarkKeys() {
			for _, seed := range p.Seeds {
				if p.Dataset == "" || p.Dataset == key {
					all = append(all, results.Trial{Space: space.Name(), Arch: arch, Dataset: key, Epochs: p.Epochs, Seed: seed})
				}
			}
		}
	}
	slices.SortFunc(all, results.Trial.Compare)
	return all
}

// Synthetic makes a record of a trial of one of the benchmark's dataset keys, the same for each call,
// in a network of the published size. Its measures depend on the architecture about as those of real
// trials do, so that plots and rankings of many architectures look real: convolutions help, cells
// without a path from input to output remain at chance, and each seed differs by about 0.3 percent.
func Synthetic(t testing.TB, trial results.Trial) *results.Record {
	t.Helper()
	d := dataset(t, trial.Dataset)
	arch, err := trial.Architecture()
	if err != nil {
		t.Fatal(err)
	}
	network := cell.Network{Arch: arch, Classes: d.Classes, Size: d.Size}
	network.Channels, network.Cells = arch.Space().Skeleton()
	flops := network.FLOPs() * float64(32*32) / float64(d.Size*d.Size) // as if all images had the same size

	random := rand.New(rand.NewPCG(uint64(trial.Seed), uint64(trial.Arch*1000+trial.Epochs)))
	own := rand.New(rand.NewPCG(uint64(trial.Arch), uint64(d.Classes))) // what the architecture is good at
	chance := 100 / float64(d.Classes)
	final := chance
	if quality := quality(arch); quality > 0 {
		quality = max(quality+0.12*own.NormFloat64(), 0.05)
		final += (ceilings[trial.Dataset] - chance) * (1 - math.Exp(-1.5*quality))
		// A short schedule leaves architectures behind, some more than others.
		final -= (final - chance) * (0.25 + 0.03*own.NormFloat64()) * 12 / float64(trial.Epochs)
		final += 0.3 * random.NormFloat64()
	}
	fit := 0.35 + 0.6*min(flops/150, 1) // the share of its errors that training avoids on its own images

	r := record(t, trial, func(set string, images, epoch int) (m measures) {
		progress := float64(epoch+1) / float64(trial.Epochs)
		rate := (1 + math.Cos(math.Pi*progress)) / 2 // of learning, which makes accuracies jump
		top1 := final
		if set == "" {
			top1 += (100 - final) * fit * progress * progress * (final - chance) / 100
		}
		risen := 0.8*(1-math.Exp(-float64(epoch+1)/(2+0.05*float64(trial.Epochs)))) + 0.2*progress*progress*progress
		noise := 0.2 + 0.04*(final-chance)*rate
		if set == "" {
			noise /= 4
		}
		top1 = chance + (top1-chance)*risen + noise*random.NormFloat64()
		m.top1 = min(max(top1, 0.5*chance), 99.99)
		wrong := (100 - m.top1) / (100 - chance)
		m.top5 = max(100-(100-5*chance)*wrong*wrong, m.top1)
		m.loss = max(math.Log(float64(d.Classes))*wrong*(1+0.02*random.NormFloat64()), (100-m.top1)/100)
		m.seconds = float64(images) / 50000 * (6 + 0.12*network.FLOPs()) * (1 + 0.03*random.Float64())
		if set != "" {
			m.seconds /= 3
		}
		return m
	})
	r.Latency = []float64{(0.01 + 1e-4*network.FLOPs()) * (1 + 0.05*random.Float64())}
	Resize(t, r, network.Channels, network.Cells)
	return r
}

// quality returns a measure of how well an architecture learns: 0 if it cannot learn, otherwise more with more
// convolutions or wider ones.
func quality(arch cell.Arch) float64 {
	switch a := arch.(type) {
	case cell.Cell:
		return qualityOfCell(a)
	case cell.Widths:
		sum := 0.0
		for _, width := range a {
			sum += 0.7 * math.Sqrt(float64(width)/64)
		}
		return sum
	}
	return 0
}

// qualityOfCell returns 0 if no path leads from the cell's input to its output, otherwise more with more
// convolutions on such paths.
func qualityOfCell(arch cell.Cell) float64 {
	gain := map[cell.Op]float64{cell.SkipConnect: 0.12, cell.NorConv1x1: 0.55, cell.NorConv3x3: 0.85, cell.AvgPool3x3: 0.1}
	useful := map[[2]int]float64{} // edges on a path, each counted once
	residual := false              // whether a path of skip connections lets gradients pass
	for _, path := range [][]int{{0, 3}, {0, 1, 3}, {0, 2, 3}, {0, 1, 2, 3}} {
		live, skips := true, true
		gains := map[[2]int]float64{}
		for i, to := range path[1:] {
			op := arch.Lists()[to-1][path[i]].Op
			live = live && op != cell.None
			skips = skips && op == cell.SkipConnect
			gains[[2]int{path[i], to}] = gain[op]
		}
		if live {
			for edge, g := range gains {
				useful[edge] = g
			}
			residual = residual || skips
		}
	}
	sum := 0.0
	for from := range 3 { // in a fixed order, so that the sum is the same in each call
		for to := from + 1; to <= 3; to++ {
			sum += useful[[2]int{from, to}]
		}
	}
	if residual && sum > 1 {
		sum += 0.3
	}
	return sum
}
