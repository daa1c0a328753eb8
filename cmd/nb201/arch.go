package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/inert"
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
		Short: "Show an architecture: index, genotype string, costs and its cell",
		Long: `Show an architecture: its index in the official order, its genotype string, its
isomorphism class (named by the smallest index in it), the FLOPs and parameters of
its network in millions, and the cell as a picture.

Costs are those of the published dataset keys, or of --dataset alone.`,
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
			return view.print(c.OutOrStdout(), a)
		},
	}
	flags.addFlags(c.Flags())
	c.Flags().StringVar(&flags.dataset, "dataset", "", "costs for this dataset key or definition `FILE.json` only")
	flags.svg.add(c.Flags(), "svg", "draw the cell into `FILE`, in place of an earlier drawing")
	c.Flags().BoolVar(&flags.json, "json", false, "print one JSON document")
	return c
}

// archView is an architecture as nb201 arch --json prints it.
type archView struct {
	Index    int           `json:"index"`
	Genotype string        `json:"genotype"`
	Class    int           `json:"isomorphism_class"` // its smallest index
	Lists    [][]inputView `json:"lists"`             // the client's str2lists: the inputs of nodes 1, 2, 3
	Matrix   [4][4]int     `json:"matrix"`            // the client's str2matrix: operation numbers
	Costs    []costView    `json:"costs"`
}

type inputView struct {
	Op   string `json:"operation"`
	Node int    `json:"node"`
}

type costView struct {
	Dataset  string  `json:"dataset"`
	Classes  int     `json:"classes"`
	Size     int     `json:"image_size_pixels"`
	Channels int     `json:"channels"`
	Cells    int     `json:"cells"`
	FLOPs    float64 `json:"flops_millions"`
	Params   float64 `json:"params_millions"`
}

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

func (v *archView) print(w io.Writer, a cell.Arch) error {
	inert.Fprintf(w, "architecture       %d\ngenotype           %s\nisomorphism class  %d\n\n", v.Index, v.Genotype, v.Class)
	for _, line := range drawCell(a) {
		inert.Fprintf(w, "  %s\n", line)
	}
	fmt.Fprintln(w)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "dataset\tclasses\timage\tC\tN\tMFLOPs\tMparams\t")
	for _, c := range v.Costs {
		inert.Fprintf(table, "%s\t%d\t%dx%d\t%d\t%d\t%.5f\t%.6f\t\n", c.Dataset, c.Classes, c.Size, c.Size, c.Channels, c.Cells, c.FLOPs, c.Params)
	}
	return table.Flush()
}

// drawCell draws the cell for a terminal in 64 columns: the nodes in a row, the
// edges over node 1 above it, the edge over node 2 below. Edges of none are dotted.
func drawCell(a cell.Arch) []string {
	const step, row = 21, 3 // columns from node to node; line of the nodes
	var canvas [6][3*step + 1]rune
	for y := range canvas {
		for x := range canvas[y] {
			canvas[y][x] = ' '
		}
	}
	// across draws from one column to another, with the operation's name in the middle.
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
		lines[y] = strings.TrimRight(string(canvas[y][:]), " ")
	}
	return lines
}
