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
	"nb201/data"
	"nb201/internal/inert"
	"nb201/internal/outfile"
	"nb201/internal/random"
	"nb201/results"
	"nb201/train"
)

// images are what a network must fit: those of a dataset key.
type images struct {
	key     string
	classes int
	size    int // side in pixels
}

// findImages finds what a network must fit by a dataset key or a definition file.
func findImages(keyOrFile string) (images, error) {
	if d, ok := results.FindDataset(keyOrFile); ok {
		return images{d.Key, d.Classes, d.Size}, nil
	}
	d, err := data.Find(keyOrFile)
	return images{d.Name, d.Classes, d.Size[0]}, err
}

// skeleton is the macro skeleton that flags ask for.
type skeleton struct{ channels, cells int }

func (s *skeleton) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&s.channels, "channels", 16, "C: channels of the first stage")
	flags.IntVar(&s.cells, "cells", 5, "N: cells in a stage")
}

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
func addParity(c *cobra.Command, parity *string) {
	var names []string
	for _, p := range random.Profiles() {
		names = append(names, p.Name)
	}
	c.Flags().StringVar(parity, "parity", names[0], "parity `PROFILE` of the random streams: "+strings.Join(names, ", "))
}

// addPrecision adds --precision.
func addPrecision(c *cobra.Command, precision *string) {
	c.Flags().StringVar(precision, "precision", string(train.Precisions()[0]),
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
