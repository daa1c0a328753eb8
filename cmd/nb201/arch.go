package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/inert"
	"nb201/internal/layout"
)

func newArchCommand() *cobra.Command {
	var flags struct {
		skeleton
		svg     outputFlags
		dataset string
		json    bool
	}
	c := &cobra.Command{
		Use:   "arch ARCH",
		Short: "Show an architecture's index, genotype string, costs and cell",
		Long: `arch shows an architecture: its index in the official order, its genotype string, its
isomorphism class (named after the smallest index in the class), the costs of its network
and a drawing of the cell.

Costs are FLOPs and parameters, in millions. They depend on the number of classes and the
image size, so arch shows them for each published dataset key, or only for --dataset.`,
		Example: `  nb201 arch 0 --svg cell.svg
  nb201 arch '|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|' --json`,
		Args: oneArgument("ARCH", anArchitecture),
		RunE: func(c *cobra.Command, args []string) error {
			a, err := cell.Resolve(args[0])
			if err != nil {
				return err
			}
			keys := configs.BenchmarkKeys()
			if flags.dataset != "" {
				keys = []string{flags.dataset}
			}
			svg, err := flags.svg.check(definitionFiles(flags.dataset), cell.IsSVG)
			if err != nil {
				return err
			}
			view, err := viewArch(a, flags.skeleton, keys)
			if err != nil {
				return err
			}
			if svg != nil {
				if err := svg.Write(c.Context(), func(w io.Writer) error { _, err := w.Write(a.SVG()); return err }); err != nil {
					return err
				}
			}
			if flags.json {
				return printJSON(c, view)
			}
			return view.print(human(c), a)
		},
	}
	flags.addFlags(c.Flags())
	c.Flags().StringVar(&flags.dataset, "dataset", "", "show only the costs for dataset `KEY` or a definition file (*.json)")
	flags.svg.add(c.Flags(), "svg", "draw the cell into `FILE`; an earlier drawing is replaced")
	c.Flags().BoolVar(&flags.json, "json", false, jsonUsage)
	return c
}

// archView describes an architecture, as nb201 arch --json prints it.
type archView struct {
	Index    int           `json:"index"`
	Genotype string        `json:"genotype"`
	Class    int           `json:"isomorphism_class"` // the smallest index in it
	Lists    [][]inputView `json:"lists"`             // the client's str2lists: the inputs of nodes 1, 2, 3
	Matrix   [4][4]int     `json:"matrix"`            // the client's str2matrix: operation numbers
	Costs    []costView    `json:"costs"`
}

// inputView is an edge of the cell, in the list of the node that it leads to.
type inputView struct {
	Op   string `json:"operation"`
	Node int    `json:"node"` // that it comes from
}

// costView holds the costs of an architecture's network on a dataset.
type costView struct {
	Dataset  string  `json:"dataset"`
	Classes  int     `json:"classes"`
	Size     int     `json:"image_size_pixels"`
	Channels int     `json:"channels"`
	Cells    int     `json:"cells"`
	FLOPs    float64 `json:"flops_millions"`
	Params   float64 `json:"params_millions"`
}

// viewArch describes a, with its costs on each of some dataset keys or definition files.
func viewArch(a cell.Arch, s skeleton, keys []string) (*archView, error) {
	view := &archView{Index: a.Index(), Genotype: a.String(), Class: a.Class(), Matrix: a.Matrix()}
	for _, inputs := range a.Lists() {
		var list []inputView
		for _, in := range inputs {
			list = append(list, inputView{in.Op.String(), in.Node})
		}
		view.Lists = append(view.Lists, list)
	}
	for _, key := range keys {
		im, err := findImages(key)
		if err != nil {
			return nil, err
		}
		n, err := s.network(a, im)
		if err != nil {
			return nil, err
		}
		view.Costs = append(view.Costs, costView{im.key, n.Classes, n.Size, n.Channels, n.Cells, n.FLOPs(), n.Params()})
	}
	return view, nil
}

// print prints v, the view of a, as text.
func (v *archView) print(w io.Writer, a cell.Arch) error {
	inert.Fprintf(w, "architecture       %d\ngenotype           %s\nisomorphism class  %d\n\n", v.Index, v.Genotype, v.Class)
	for _, line := range drawCell(a, layout.Width(w)) {
		inert.Fprintf(w, "  %s\n", line)
	}
	fmt.Fprintln(w)
	table := layout.NewNumbers(w, 1)
	fmt.Fprintln(table, "dataset\tclasses\timage\tC\tN\tMFLOPs\tMparams\t")
	for _, c := range v.Costs {
		inert.Fprintf(table, "%s\t%d\t%dx%d\t%d\t%d\t%.5f\t%.6f\t\n", c.Dataset, c.Classes, c.Size, c.Size, c.Channels, c.Cells, c.FLOPs, c.Params)
	}
	return table.Flush()
}

// drawCell draws the cell in 64 columns of text, or in 55 for a terminal that is narrower than 66: the
// nodes in a row, the edges that skip node 1 above it, the edge that only skips node 2 below. Edges
// with the operation none are dotted.
func drawCell(a cell.Arch, width int) []string {
	const row = 3 // the line of the nodes
	step := 21    // columns from node to node
	if width > 0 && width < 66 {
		step = 18
	}
	var canvas [6][]rune
	for y := range canvas {
		canvas[y] = make([]rune, 3*step+1)
		for x := range canvas[y] {
			canvas[y][x] = ' '
		}
	}
	// across draws an edge from one column to another, with its operation's name in the middle.
	across := func(y, from, to int, op cell.Op) {
		line := '─'
		if op == cell.None {
			line = '┄'
		}
		for x := from; x <= to; x++ {
			canvas[y][x] = line
		}
		name := " " + op.String() + " "
		copy(canvas[y][(from+to+1-len(name))/2:], []rune(name))
	}
	for node := range 4 {
		canvas[row][node*step] = rune('0' + node)
	}
	for node, edge := range []int{0, 2, 5} { // 1<-0, 2<-1, 3<-2
		across(row, node*step+2, (node+1)*step-2, a[edge])
		canvas[row][(node+1)*step-2] = '▶'
	}
	across(0, 0, 3*step, a[3]) // 3<-0
	across(1, 0, 2*step, a[1]) // 2<-0
	across(5, step, 3*step, a[4])
	for _, c := range []struct {
		x, y int
		rune
	}{
		{0, 0, '┌'}, {3 * step, 0, '┐'}, {3 * step, 1, '│'}, {3 * step, 2, '▼'},
		{0, 1, '├'}, {2 * step, 1, '┐'}, {0, 2, '│'}, {2 * step, 2, '▼'},
		{step, 4, '│'}, {step, 5, '└'}, {3 * step, 5, '┘'}, {3 * step, 4, '▲'},
	} {
		canvas[c.y][c.x] = c.rune
	}
	lines := make([]string, len(canvas))
	for y := range canvas {
		lines[y] = strings.TrimRight(string(canvas[y]), " ")
	}
	return lines
}
