package main

import (
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"nb201/cell"
	"nb201/configs"
	"nb201/data"
	"nb201/internal/inert"
	"nb201/internal/outfile"
)

// images are what a network must fit: those of a dataset key.
type images struct {
	key     string
	classes int
	size    int // side in pixels
}

// findImages finds what a network must fit by a dataset key or a definition file.
func findImages(keyOrFile string) (images, error) {
	d, err := data.Find(keyOrFile)
	return images{d.Name, d.Classes, d.Size[0]}, err
}

// skeleton is the macro skeleton that flags ask for.
type skeleton struct{ channels, cells int }

func (s *skeleton) addFlags(flags *pflag.FlagSet) { addSkeleton(flags, &s.channels, &s.cells) }

// addSkeleton adds --channels and --cells.
func addSkeleton(flags *pflag.FlagSet, channels, cells *int) {
	flags.IntVar(channels, "channels", configs.Published().Channels, "C: channels of the first stage")
	flags.IntVar(cells, "cells", configs.Published().Cells, "N: cells in a stage")
}

// addSettings adds the flags of a trial's settings. Their defaults are the published ones.
func addSettings(flags *pflag.FlagSet, s *configs.Settings) {
	published := configs.Published()
	addParity(flags, &s.Parity)
	flags.Var(newNamed(&s.Timeline, published.Timeline, configs.ParseTimeline), "timeline", "`TIMELINE`, the evaluation sets of an epoch: dec2019, nov2019")
	flags.IntVar(&s.Workers, "workers", published.Workers, "the original's data loader workers, whose random streams are reproduced")
	addPrecision(flags, &s.Precision)
	addSkeleton(flags, &s.Channels, &s.Cells)
	flags.IntVar(&s.Batch, "batch", published.Batch, "images in a batch")
}

// named is a flag whose value is one of some names.
type named[T ~string] struct {
	value *T
	parse func(string) (T, error)
}

// newNamed returns a flag that sets value, which begins as initial.
func newNamed[T ~string](value *T, initial T, parse func(string) (T, error)) *named[T] {
	*value = initial
	return &named[T]{value, parse}
}

func (n *named[T]) Set(text string) (err error) {
	*n.value, err = n.parse(text)
	return err
}

func (n *named[T]) String() string {
	if n.value == nil { // of pflag's zero value
		return ""
	}
	return string(*n.value)
}

func (n *named[T]) Type() string { return "string" }

// network is the skeleton filled with an architecture, for some images.
func (s *skeleton) network(a cell.Arch, im images) (cell.Network, error) {
	n := cell.Network{Arch: a, Channels: s.channels, Cells: s.cells, Classes: im.classes, Size: im.size}
	return n, n.Validate()
}

// seedFlag is a --seed: 0..2^32-1, the range of the generators' seeds.
type seedFlag uint32

func (s *seedFlag) Set(text string) error {
	v, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return errors.New("use a whole number 0..4294967295")
	}
	*s = seedFlag(v)
	return nil
}

func (s *seedFlag) String() string { return strconv.FormatUint(uint64(*s), 10) }

func (s *seedFlag) Type() string { return "SEED" }

// addParity adds --parity.
func addParity(flags *pflag.FlagSet, parity *configs.Parity) {
	var names []string
	for _, p := range configs.Parities() {
		names = append(names, string(p))
	}
	flags.Var(newNamed(parity, configs.Published().Parity, configs.ParseParity), "parity", "parity `PROFILE` of the random streams: "+strings.Join(names, ", "))
}

// addPrecision adds --precision.
func addPrecision(flags *pflag.FlagSet, precision *configs.Precision) {
	flags.Var(newNamed(precision, configs.Published().Precision, configs.ParsePrecision), "precision",
		"fp32, tf32 (GPU only), bf16 (float32 parameters, bfloat16 convolutions and feature maps) or fp64 (slow, to check by)")
}

// require marks flags that must be given.
func require(c *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag does not exist
		}
	}
}

// oneArgument makes a command take exactly one argument, called name and described by what.
func oneArgument(name, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s takes one %s, %s, not %d", c.CommandPath(), name, what, len(args))
		}
		return nil
	}
}

const anArchitecture = "an index 0..15624 or a genotype string"

// warn prints a warning, if there is one.
func warn(c *cobra.Command, warning string) {
	if warning != "" {
		inert.Fprintf(c.ErrOrStderr(), "warning: %s\n", warning)
	}
}

// nonFinite has NaN and infinities, which JSON lacks and a published file may hold, be
// the strings "NaN", "+Inf" and "-Inf".
var nonFinite = json.WithMarshalers(json.MarshalToFunc(func(e *jsontext.Encoder, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return e.WriteToken(jsontext.String(strconv.FormatFloat(v, 'g', -1, 64)))
	}
	return errors.ErrUnsupported
}))

// printJSON prints the result of a command with --json: one document.
func printJSON(c *cobra.Command, result any) error {
	text, err := json.Marshal(result, jsontext.WithIndent("  "), nonFinite)
	if err == nil {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", text)
	}
	return err
}

// definitionFiles are those of dataset keys and definition files that are files.
func definitionFiles(keysOrFiles ...string) []string {
	return slices.DeleteFunc(keysOrFiles, func(name string) bool { return filepath.Ext(name) != ".json" })
}

// outputFlags are a flag that names a file to write, and --force.
type outputFlags struct {
	path  string
	force bool
}

// add adds the flag and --force.
func (o *outputFlags) add(flags *pflag.FlagSet, name, about string) {
	flags.StringVar(&o.path, name, "", about)
	flags.BoolVar(&o.force, "force", false, "replace a file that is there already, whatever it is, with that of --"+name)
}

// check refuses, before the work, a file that cannot or must not be written: one of the
// inputs, or what own does not recognise as an earlier output. It is nil where the flag
// names none.
func (o *outputFlags) check(inputs []string, own func(head []byte) bool) (*outfile.Output, error) {
	if o.path == "" {
		return nil, nil
	}
	return outfile.Check(o.path, outfile.Rules{Inputs: inputs, Own: own, Force: o.force})
}
