package main

import (
	"bufio"
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"

	"nb201/cell"
	"nb201/configs"
	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/outfile"
	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/results/export"
)

// archFlags holds the flags of nb201 arch.
type archFlags struct {
	skeleton
	spaceFlag
	datasets     []string
	svg          outputFlags // its --force is that of all files
	all          bool
	csv, parquet string
	json         bool
}

func newArchCommand() *cobra.Command {
	var flags archFlags
	c := &cobra.Command{
		Use:   "arch ARCH | --all",
		Short: "Show an architecture's index, genotype string, costs and cell, or write those of all",
		Long: `arch shows an architecture: its index in the official order, its genotype string, its
isomorphism class (named after the smallest index in the class), the costs of its network
and a drawing of the cell. Of the size search space it shows index, widths, costs and a
drawing of the widths.

Costs are FLOPs and parameters, in millions. They depend on the number of classes and the
image size, so arch shows them for each published dataset key, or only for those of
--dataset.

With --all, arch writes a table of all architectures (15,625, or 32,768 with --space sss),
in CSV or in Parquet, with a row for each architecture and dataset key. Its columns have the
names that they have in the tables of nb201 export, so that the tables can be joined:
  architecture, genotype, isomorphism_class, dataset, channels, cells, classes,
  image_size_pixels, flops_millions, params_millions
With --json it prints an array of what it prints for each architecture.`,
		Example: `  nb201 arch 0 --svg cell.svg
  nb201 arch '|none~0|+|none~0|none~1|+|skip_connect~0|none~1|none~2|' --json
  nb201 arch 24:40:56:8:64
  nb201 arch --all --csv space.csv
  nb201 arch --all --dataset cifar10,own.json --parquet space.parquet`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case flags.all && len(args) > 0:
				return fmt.Errorf("%s takes either one ARCH (%s) or --all; give one of the two", commandName(c), anArchitecture)
			case !flags.all && len(args) != 1:
				return fmt.Errorf("%s takes one ARCH (%s), got %d; write all of them with --all", commandName(c), anArchitecture, len(args))
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			sets, err := flags.images(c)
			if err != nil {
				return err
			}
			if flags.all {
				if err := settleSkeleton(c, flags.orDefault(), &flags.channels, &flags.cells); err != nil {
					return err
				}
				return flags.writeAll(c, sets)
			}
			if flags.csv+flags.parquet != "" {
				return usage.Errorf("--csv and --parquet write the table of all architectures; give --all instead of ARCH")
			}
			a, err := flags.resolve(c, args[0], &flags.channels, &flags.cells)
			if err != nil {
				return err
			}
			svg, err := flags.svg.check(definitionFiles(flags.datasets...), cell.IsSVG)
			if err != nil {
				return err
			}
			view, err := viewArch(a, flags.skeleton, sets)
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
	f := c.Flags()
	flags.skeleton.addFlags(f)
	flags.spaceFlag.addFlags(f)
	f.StringSliceVar(&flags.datasets, "dataset", nil, "only the costs for these dataset `KEYS` and definition files (*.json)")
	flags.svg.add(f, "svg", "draw the cell into `FILE`; an earlier drawing is replaced")
	f.BoolVar(&flags.all, "all", false, "write a table of all architectures: with --csv, --parquet or --json")
	f.StringVar(&flags.csv, "csv", "", "write the table of --all in CSV into `FILE`")
	f.StringVar(&flags.parquet, "parquet", "", "write the table of --all in Parquet into `FILE`")
	f.Lookup("force").Usage = "let --svg, --csv or --parquet replace any existing file"
	f.BoolVar(&flags.json, "json", false, jsonUsage)
	markExclusive(c, "csv", "parquet")
	markExclusive(c, "all", "svg")
	return c
}

// images returns the images of the datasets whose costs are asked for.
func (f *archFlags) images(c *cobra.Command) (sets []images, err error) {
	keys := configs.BenchmarkKeys()
	if c.Flags().Changed("dataset") {
		keys = f.datasets
	}
	if len(keys) == 0 {
		return nil, usage.Errorf("--dataset is empty; name dataset keys or definition files (*.json), or leave it out")
	}
	for _, key := range keys {
		im, err := findImages(key)
		if err != nil {
			return nil, err
		}
		if slices.ContainsFunc(sets, func(other images) bool { return other.key == im.key }) {
			return nil, usage.Errorf("--dataset names dataset key %s twice; name each once", im.key)
		}
		sets = append(sets, im)
	}
	return sets, nil
}

// writeAll writes the table of all architectures, or prints it as JSON.
func (f *archFlags) writeAll(c *cobra.Command, sets []images) error {
	path := cmp.Or(f.csv, f.parquet)
	if path == "" && !f.json {
		return usage.Errorf("--all needs --csv FILE, --parquet FILE or --json")
	}
	table, err := f.table(sets) // refuses impossible networks before anything is written
	if err != nil {
		return err
	}
	if path != "" {
		to, err := outfile.Check(path, outfile.Rules{Inputs: definitionFiles(f.datasets...), Force: f.svg.force})
		if err != nil {
			return err
		}
		write := table.WriteCSV
		if f.parquet != "" {
			write = table.WriteParquet
		}
		if err := to.Write(c.Context(), write); err != nil {
			return err
		}
		if !to.Regular() && !f.json {
			return nil // it may be standard output
		}
	}
	if f.json {
		return f.printAll(c.OutOrStdout(), sets)
	}
	classes := 0
	for i, a := range f.orDefault().All() {
		if a.Class() == i {
			classes++
		}
	}
	_, err = inert.Fprintf(human(c), "%s: %d architectures in %d isomorphism classes, %s, %s\n",
		path, f.orDefault().Count(), classes, describeSkeleton(f.orDefault().Name(), f.channels, f.cells), quantity.Format(len(sets), "dataset key"))
	return err
}

// table returns the table of all architectures.
func (f *archFlags) table(sets []images) (*export.Space, error) {
	var datasets []export.SpaceDataset
	for _, im := range sets {
		datasets = append(datasets, export.SpaceDataset{Key: im.key, Classes: im.classes, Size: im.size})
	}
	return export.NewSpace(f.orDefault(), f.channels, f.cells, datasets)
}

// printAll prints the views of all architectures as an array, one after the other.
func (f *archFlags) printAll(w io.Writer, sets []images) error {
	buffer := bufio.NewWriterSize(w, 1<<16)
	e := jsontext.NewEncoder(buffer, jsontext.WithIndent("  "))
	if err := e.WriteToken(jsontext.BeginArray); err != nil {
		return err
	}
	for _, a := range f.orDefault().All() {
		view, err := viewArch(a, f.skeleton, sets)
		if err != nil {
			return err
		}
		if err := json.MarshalEncode(e, view); err != nil {
			return err
		}
	}
	if err := e.WriteToken(jsontext.EndArray); err != nil {
		return err
	}
	return buffer.Flush()
}

// archView describes an architecture, as nb201 arch --json prints it.
type archView struct {
	Space    cell.Name     `json:"space,omitzero"`
	Index    int           `json:"index"`
	Genotype string        `json:"genotype"`
	Class    int           `json:"isomorphism_class"` // the smallest index in it
	Lists    [][]inputView `json:"lists,omitzero"`    // of a cell, the client's str2lists: the inputs of nodes 1, 2, 3
	Matrix   *[4][4]int    `json:"matrix,omitzero"`   // of a cell, the client's str2matrix: operation numbers
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
	Channels int     `json:"channels,omitzero"`
	Cells    int     `json:"cells,omitzero"`
	FLOPs    float64 `json:"flops_millions"`
	Params   float64 `json:"params_millions"`
}

// viewArch describes a, with its costs on images of each of some datasets.
func viewArch(a cell.Arch, s skeleton, sets []images) (*archView, error) {
	view := &archView{Space: a.Space().Name(), Index: a.Index(), Genotype: a.String(), Class: a.Class()}
	if topology, ok := a.(cell.Cell); ok {
		matrix := topology.Matrix()
		view.Matrix = &matrix
		for _, inputs := range topology.Lists() {
			var list []inputView
			for _, in := range inputs {
				list = append(list, inputView{in.Op.String(), in.Node})
			}
			view.Lists = append(view.Lists, list)
		}
	}
	for _, im := range sets {
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
	drawing := []string(nil)
	switch a := a.(type) {
	case cell.Cell:
		inert.Fprintf(w, "architecture       %d\ngenotype           %s\nisomorphism class  %d\n\n", v.Index, v.Genotype, v.Class)
		drawing = drawCell(a, layout.Width(w))
	case cell.Widths:
		inert.Fprintf(w, "architecture  %d of the %s\nwidths        %s\ncells         %s\n\n", v.Index, a.Space().Title(), v.Genotype, a.Genotype())
		drawing = drawWidths(a)
	}
	for _, line := range drawing {
		inert.Fprintf(w, "  %s\n", line)
	}
	fmt.Fprintln(w)
	table := layout.NewNumbers(w, 1)
	fmt.Fprintln(table, "dataset\tclasses\timage\tC\tN\tMFLOPs\tMparams\t")
	for _, c := range v.Costs {
		inert.Fprintf(table, "%s\t%d\t%dx%d\t%s\t%s\t%.5f\t%.6f\t\n", c.Dataset, c.Classes, c.Size, c.Size, dashIfZero(c.Channels), dashIfZero(c.Cells), c.FLOPs, c.Params)
	}
	return table.Flush()
}

// drawWidths draws a bar for each module of a network, as long as the module is wide.
func drawWidths(a cell.Widths) []string {
	names := []string{"stem and cell", "block, stride 2", "cell", "block, stride 2", "cell"}
	lines := make([]string, len(a))
	for i, width := range a {
		lines[i] = fmt.Sprintf("%-15s  %2d  %s", names[i], width, strings.Repeat("█", int(width)/2))
	}
	return lines
}

// drawCell draws the cell in 64 columns of text, or in 55 for a terminal that is narrower than 66: the
// nodes in a row, the edges that skip node 1 above it, the edge that only skips node 2 below. Edges
// with the operation none are dotted.
func drawCell(a cell.Cell, width int) []string {
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
