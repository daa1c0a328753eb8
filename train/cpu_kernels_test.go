package train

import (
	"fmt"
	"maps"
	"regexp"
	"strings"
	"testing"

	"nb201/cell"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/backend/devicetest"
	"nb201/train/device"
)

// TestCPUKernels compiles the programs of trials of the published size, C=16 and N=5, and checks that
// they call all the kernels that the architecture needs: a convolution that is left to XLA is several
// times slower.
func TestCPUKernels(t *testing.T) {
	compiled := devicetest.Kernels(t)
	if named := devicetest.Open(t).Kernels; !strings.HasSuffix(named, " avx2") {
		t.Errorf("the kernels are %q", named)
	}
	for _, genotype := range []string{
		"0", "1462", "14452", // the benchmark's
		"|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|", // no gradient reaches its convolutions
	} {
		for _, images := range []struct{ size, classes int }{{32, 10}, {16, 120}} {
			c := onClasses(t, images.classes, images.size, false)
			var err error
			if c.Network.Arch, err = cell.Resolve((cell.Topology{}), genotype); err != nil {
				t.Fatal(err)
			}
			c.Recipe.Batch = 256
			if c.Data, err = data.New(c.Definition, map[string]*data.Images{
				"train": datatest.Synth(256, images.size, images.classes, 1), "test": datatest.Synth(256, images.size, images.classes, 2),
			}); err != nil {
				t.Fatal(err)
			}
			c.Trial.Arch = c.Network.Arch.Index()
			c.Network.Channels, c.Network.Cells = 16, 5
			c.Recipe.Channels, c.Recipe.Cells = 16, 5
			before := len(compiled())
			all := executables(t, c).All()
			device.Compile(all...)
			for _, e := range all {
				if err := e.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				e.Finalize()
			}
			name := fmt.Sprintf("architecture %d, %dx%d", c.Trial.Arch, images.size, images.size)
			step, evaluation := expectedKernels(c.Network)
			programs := compiled()[before:]
			if len(programs) != 2 {
				t.Fatalf("%s: %d programs", name, len(programs))
			}
			if programs[0].Kernels["nb201.conv_weights"] == 0 { // they are compiled side by side
				programs[0], programs[1] = programs[1], programs[0]
			}
			for i, want := range []map[string]int{step, evaluation} {
				program := []string{"step", "evaluation"}[i]
				if got := programs[i].Kernels; !maps.Equal(got, want) {
					t.Errorf("%s: the %s calls %v, not %v", name, program, got, want)
				}
				for _, left := range operationsLeft(programs[i].Text) {
					t.Errorf("%s: the %s has %s left", name, program, left)
				}
			}
		}
	}
}

// expectedKernels returns the numbers of kernel calls in the step and the evaluation of a network,
// counted from its cell.
func expectedKernels(n cell.Network) (step, evaluation map[string]int) {
	edges, reached := 0, 0 // with a convolution in a cell, and those of them that a gradient reaches
	live := [4]bool{3: true}
	arch := n.Arch.(cell.Cell)
	for edge := len(arch) - 1; edge >= 0; edge-- {
		from, to := [6]int{0, 0, 1, 0, 1, 2}[edge], [6]int{1, 2, 2, 3, 3, 3}[edge]
		op := arch[edge]
		live[from] = live[from] || live[to] && op != cell.None
		if op == cell.NorConv1x1 || op == cell.NorConv3x3 {
			edges++
			if live[to] {
				reached++
			}
		}
	}
	// Besides the cells there are the stem and two reductions with three convolutions each, of
	// which the shortcut's is not normalised. The last normalisation belongs to the head.
	cells, reductions := 3*n.Cells, 2
	convolutions := 1 + cells*edges + 3*reductions
	normalisations := 1 + cells*edges + 2*reductions + 1
	gradients := cells*reached + 3*reductions // without the stem's
	const classifier = 2
	parameters := convolutions + 2*normalisations + classifier
	step = map[string]int{
		"nb201.conv": convolutions + gradients, "nb201.conv_weights": gradients + 1,
		"nb201.reverse": gradients + 1, "nb201.transpose": gradients + 1,
		"nb201.batch_norm": normalisations, "nb201.batch_norm_gradient": 1 + cells*reached + 2*reductions + 1,
		"nb201.slice": parameters,
	}
	evaluation = map[string]int{"nb201.conv": convolutions, "nb201.slice": parameters + 2*normalisations}
	return step, evaluation
}

var (
	leftToXLA = regexp.MustCompile(`(%\w+)(?:, %\w+)* = "(stablehlo\.(?:convolution|batch_norm_\w+))"`)
	values    = regexp.MustCompile(`%\w+`)
)

// operationsLeft lists the convolutions and normalisations that are left in a program, except those
// whose result is not used (the gradient of the images), which XLA removes.
func operationsLeft(program []byte) (left []string) {
	uses := map[string]int{}
	for _, value := range values.FindAll(program, -1) {
		uses[string(value)]++
	}
	for _, m := range leftToXLA.FindAllSubmatch(program, -1) {
		if uses[string(m[1])] > 1 {
			left = append(left, fmt.Sprintf("%s = %s", m[1], m[2]))
		}
	}
	return left
}
