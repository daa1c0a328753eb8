package train

import (
	"fmt"
	"maps"
	"regexp"
	"testing"

	"nb201/cell"
	"nb201/data"
	"nb201/data/datatest"
	"nb201/internal/backend/devicetest"
	"nb201/train/device"
)

// TestCPUKernels compiles the programs of trials of the published size and checks that they call all the
// kernels that the architecture needs: a convolution that is left to XLA is several times slower.
func TestCPUKernels(t *testing.T) {
	compiled := devicetest.Kernels(t)
	if named := devicetest.Open(t).Kernels; !regexp.MustCompile(`^\d+ (avx512|avx2|plain)$`).MatchString(named) {
		t.Errorf("the kernels are %q", named)
	}
	for _, arch := range []string{
		"0", "1462", "14452", // the benchmark's
		"|nor_conv_3x3~0|+|none~0|nor_conv_1x1~1|+|skip_connect~0|none~1|none~2|", // no gradient reaches its convolutions
		"8:8:8:8:8", "24:40:56:8:64", "64:48:32:16:8", "16:16:24:24:24", // no skip_connect projects, both, both, one
	} {
		for _, images := range []struct{ size, classes int }{{32, 10}, {16, 120}} {
			c := onClasses(t, images.classes, images.size, false)
			c = onArch(c, archOf(t, arch))
			c.Recipe.Batch = 256
			var err error
			if c.Data, err = data.New(c.Definition, map[string]*data.Images{
				"train": datatest.Synth(256, images.size, images.classes, 1), "test": datatest.Synth(256, images.size, images.classes, 2),
			}); err != nil {
				t.Fatal(err)
			}
			before := len(compiled())
			all := executables(t, c).All()
			device.Compile(all...)
			for _, e := range all {
				if err := e.Wait(t.Context()); err != nil {
					t.Fatal(err)
				}
				e.Finalize()
			}
			name := fmt.Sprintf("architecture %s, %dx%d", arch, images.size, images.size)
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
				got := programs[i].Kernels
				if got["nb201.mix"] == 0 || i == 0 && got["nb201.norm_sums"] == 0 {
					t.Errorf("%s: the %s calls %v", name, program, got)
				}
				delete(got, "nb201.mix")
				delete(got, "nb201.norm_sums")
				if !maps.Equal(got, want) {
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
// counted from its modules. It leaves out those that depend on how sums are divided into calls.
func expectedKernels(n cell.Network) (step, evaluation map[string]int) {
	// The stem has a convolution with a normalisation, and the head a normalisation alone. Each
	// reduction's shortcut has a convolution without normalisation.
	const classifier = 2
	step = map[string]int{"nb201.conv_norm": 1, "nb201.conv_gradients": 1, "nb201.batch_norm": 1, "nb201.batch_norm_gradient": 1}
	evaluation = map[string]int{"nb201.conv_scaled": 1, "nb201.norm_factors": 1}
	convolutions, normalisations := 1, 2
	// add counts a convolution with its normalisation. live says whether the output depends on it.
	add := func(prefix string, live bool) {
		convolutions, normalisations = convolutions+1, normalisations+1
		step[prefix+"conv_norm"]++
		evaluation["nb201.norm_factors"]++
		if live {
			step[prefix+"conv_gradients"]++
		}
	}
	for _, m := range n.Modules() {
		if m.Reduction {
			add("nb201.relu_", true)
			add("nb201.relu_", true)
			evaluation["nb201.relu_conv_scaled"]++ // the other one is part of a call of nb201.mix
			convolutions++
			for name, calls := range map[string]int{"nb201.conv": 2, "nb201.conv_weights": 1, "nb201.reverse": 1, "nb201.transpose": 1} {
				step[name] += calls
			}
			evaluation["nb201.conv"]++
			continue
		}
		live := [4]bool{3: true} // the nodes that a gradient reaches
		for edge := len(m.Cell) - 1; edge >= 0; edge-- {
			from, to := [6]int{0, 0, 1, 0, 1, 2}[edge], [6]int{1, 2, 2, 3, 3, 3}[edge]
			op := m.Cell[edge]
			live[from] = live[from] || live[to] && op != cell.None
			switch {
			case m.Projects(edge):
				add("nb201.", live[to])
				evaluation["nb201.conv_scaled"]++ // one that is not part of a call of nb201.mix
			case op == cell.NorConv1x1 || op == cell.NorConv3x3:
				add("nb201.relu_", live[to])
				if from == 0 && m.In != m.Out {
					evaluation["nb201.relu_conv_scaled"]++
				}
			}
		}
	}
	parameters := convolutions + 2*normalisations + classifier
	step["nb201.slice"] = parameters
	evaluation["nb201.slice"] = parameters + 2*normalisations
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
