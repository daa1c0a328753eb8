package main

import (
	"errors"
	"fmt"
	"math"
	"os"
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
	"nb201/internal/usage"
)

// images describes the images of a dataset, as far as a network depends on them.
type images struct {
	key     string
	classes int
	size    int // side of the square images, in pixels
}

// findImages returns the images of a dataset key or a definition file.
func findImages(keyOrFile string) (images, error) {
	d, err := data.Find(keyOrFile)
	return imagesOf(d), err
}

// imagesOf returns the images of a definition.
func imagesOf(d data.Definition) images { return images{d.Name, d.Classes, d.Size[0]} }

// The texts of flags that several commands have.
const (
	jsonUsage  = "print the result as JSON"
	dataUsage  = "look for images in `DIR`"
	archsUsage = "a `LIST` of indices, ranges, strings of architectures, files, or unique"
	retryUsage = "try failed trials again, with --max-attempts new attempts"
	keepUsage  = "`keep|drop` the trained weights"
)

// skeleton holds the flags of the macro skeleton: C channels in the first stage, N cells per stage.
type skeleton struct{ channels, cells int }

func (s *skeleton) addFlags(flags *pflag.FlagSet) { addSkeleton(flags, &s.channels, &s.cells) }

// addSkeleton adds --channels and --cells.
func addSkeleton(flags *pflag.FlagSet, channels, cells *int) {
	flags.IntVar(channels, "channels", configs.Published().Channels, "`C`: channels in the first stage")
	flags.IntVar(cells, "cells", configs.Published().Cells, "`N`: cells per stage")
}

// settleSkeleton sets C and N to those of a search space as far as the command line does not give them. It refuses
// them where an architecture fixes the whole network.
func settleSkeleton(c *cobra.Command, space cell.Space, channels, cells *int) error {
	publishedC, publishedN := space.Skeleton()
	for _, f := range []struct {
		name      string
		value     *int
		published int
	}{{"channels", channels, publishedC}, {"cells", cells, publishedN}} {
		switch given := c.Flags().Changed(f.name); {
		case given && f.published == 0:
			return usage.Errorf("--%s does not apply to the %s, whose architectures fix the whole network; leave it out", f.name, space.Title())
		case !given:
			*f.value = f.published
		}
	}
	return nil
}

// describeSkeleton describes what fixes a network besides its architecture: C and N, or nothing in the size
// search space, whose title it then returns.
func describeSkeleton(space cell.Name, channels, cells int) string {
	if channels == 0 {
		return space.Space().Title()
	}
	return fmt.Sprintf("C=%d, N=%d", channels, cells)
}

// dashIfZero returns a number, or a dash for 0: C and N of the size search space.
func dashIfZero(n int) string {
	if n == 0 {
		return "-"
	}
	return strconv.Itoa(n)
}

// spaceFlag is the flag that names the search space of an index.
type spaceFlag struct{ space cell.Space } // nil if not given

func (f *spaceFlag) addFlags(flags *pflag.FlagSet) {
	flags.Var(f, "space", "search `SPACE` of an index: tss (topology, the default) or sss (size); a string names its own")
}

// Set implements [pflag.Value].
func (f *spaceFlag) Set(text string) error {
	name, err := cell.ParseName(text)
	if err == nil {
		f.space = name.Space()
	}
	return err
}

// String implements [pflag.Value].
func (f *spaceFlag) String() string {
	if f.space == nil {
		return ""
	}
	return f.space.Name().String()
}

// Type implements [pflag.Value].
func (f *spaceFlag) Type() string { return "SPACE" }

// orDefault returns the search space of indices.
func (f *spaceFlag) orDefault() cell.Space {
	if f.space == nil {
		return cell.Default()
	}
	return f.space
}

// resolve returns the architecture that an argument names by its index or its string, and settles C and N (see
// [settleSkeleton]).
func (f *spaceFlag) resolve(c *cobra.Command, arch string, channels, cells *int) (cell.Arch, error) {
	space := f.orDefault()
	if of, ok := cell.SpaceOf(arch); ok && f.space == nil {
		space = of
	}
	a, err := cell.Resolve(space, arch)
	if err != nil {
		return nil, err
	}
	return a, settleSkeleton(c, space, channels, cells)
}

// addData adds --data, the data directory; about says what for. The help gives the rule for its default
// instead of the directory of this environment.
func addData(flags *pflag.FlagSet, root *string, about string) {
	flags.StringVar(root, "data", data.DefaultRoot(os.Getenv), about+" (default: $NB201_DATA or $TORCH_HOME if set, else ~/.torch)")
	flags.Lookup("data").DefValue = ""
}

// addSettings adds the flags of a trial's settings, whose defaults are the published ones.
func addSettings(flags *pflag.FlagSet, s *configs.Settings) {
	published := configs.Published()
	addParity(flags, &s.Parity)
	flags.Var(newNamed(&s.Timeline, published.Timeline, configs.ParseTimeline), "timeline",
		"`TIMELINE` of an epoch: dec2019 (it evaluates all evaluation sets) or nov2019 (only one: the first that is held out of the training images, else the first)")
	flags.IntVar(&s.Workers, "workers", published.Workers, "reproduce the random streams of `NUMBER` data loader workers of the original")
	addPrecision(flags, &s.Precision)
	addSkeleton(flags, &s.Channels, &s.Cells)
	flags.IntVar(&s.Batch, "batch", published.Batch, "`IMAGES` per batch")
}

// schedule holds the flags that name the schedule of one trial.
type schedule struct {
	epochs int
	recipe string
}

func (s *schedule) addFlags(flags *pflag.FlagSet) {
	flags.IntVar(&s.epochs, "epochs", 1, "the published recipe for this number of `EPOCHS`: 12 or 200, or any other")
	flags.Lookup("epochs").DefValue = "0" // of --eval-only, where it changes only the order of the images
	flags.StringVar(&s.recipe, "recipe", "", "`NAME` of a published recipe, or recipe file (*.json)")
}

// name returns the name of the recipe, or its file.
func (s *schedule) name(c *cobra.Command) string {
	if c.Flags().Changed("recipe") {
		return s.recipe
	}
	return strconv.Itoa(s.epochs)
}

// checkSkeleton refuses a C, N or batch size of the flags that a recipe contradicts.
func checkSkeleton(c *cobra.Command, recipes ...configs.Recipe) error {
	for _, r := range recipes {
		for name, value := range map[string]int{"channels": r.Channels, "cells": r.Cells, "batch": r.Batch} {
			given, err := c.Flags().GetInt(name)
			if err == nil && c.Flags().Changed(name) && given != value {
				return usage.Errorf("--%s is %d, but recipe %s has %d; leave out --%s, or change the recipe", name, given, r.Schedule(), value, name)
			}
		}
	}
	return nil
}

// named is a flag whose value is one of several names.
type named[T ~string] struct {
	value *T
	parse func(string) (T, error)
}

// newNamed returns a flag that sets value with parse; it sets it to initial at once.
func newNamed[T ~string](value *T, initial T, parse func(string) (T, error)) *named[T] {
	*value = initial
	return &named[T]{value, parse}
}

// Set implements [pflag.Value].
func (n *named[T]) Set(text string) (err error) {
	*n.value, err = n.parse(text)
	return err
}

// String implements [pflag.Value].
func (n *named[T]) String() string {
	if n.value == nil { // pflag calls it on a zero value
		return ""
	}
	return string(*n.value)
}

// Type implements [pflag.Value].
func (n *named[T]) Type() string { return "string" }

// network returns the network of an architecture for images; it is an error if it is impossible.
func (s *skeleton) network(a cell.Arch, im images) (cell.Network, error) {
	n := cell.Network{Arch: a, Channels: s.channels, Cells: s.cells, Classes: im.classes, Size: im.size}
	return n, n.Validate()
}

// seedFlag is a flag with a seed: 0 to 2^32-1, the range of the generators.
type seedFlag uint32

// Set implements [pflag.Value].
func (s *seedFlag) Set(text string) error {
	v, err := strconv.ParseUint(text, 10, 32)
	if err != nil {
		return errors.New("use a whole number 0..4294967295")
	}
	*s = seedFlag(v)
	return nil
}

// String implements [pflag.Value].
func (s *seedFlag) String() string { return strconv.FormatUint(uint64(*s), 10) }

// Type implements [pflag.Value].
func (s *seedFlag) Type() string { return "SEED" }

// addParity adds --parity.
func addParity(flags *pflag.FlagSet, parity *configs.Parity) {
	var names []string
	for _, p := range configs.Parities() {
		names = append(names, string(p))
	}
	flags.Var(newNamed(parity, configs.Published().Parity, configs.ParseParity), "parity",
		"reproduce the random streams of the parity `PROFILE`: "+strings.Join(names, ", "))
}

// addPrecision adds --precision.
func addPrecision(flags *pflag.FlagSet, precision *configs.Precision) {
	flags.Var(newNamed(precision, configs.Published().Precision, configs.ParsePrecision), "precision",
		"arithmetic `PRECISION`: fp32, tf32 (GPU only), bf16 (bfloat16 convolutions and feature maps, float32 parameters) or fp64 (slow, for checking)")
}

// markRequired makes checkFlags refuse a command line without the flags.
func markRequired(c *cobra.Command, flags ...string) {
	for _, name := range flags {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag does not exist
		}
	}
}

// oneArgument returns a [cobra.PositionalArgs] that accepts exactly one argument. Its error calls the
// argument name and describes it by what.
func oneArgument(name, what string) cobra.PositionalArgs {
	return func(c *cobra.Command, args []string) error {
		if len(args) != 1 {
			return fmt.Errorf("%s takes one %s (%s), got %d", commandName(c), name, what, len(args))
		}
		return nil
	}
}

// anArchitecture describes the argument ARCH.
const anArchitecture = "an index, a genotype string or widths such as 64:64:64:64:64"

// aBenchmark describes the argument PATH.
const aBenchmark = "a campaign, or a file or directory of a published format"

// warn prints a warning to stderr, unless it is empty.
func warn(c *cobra.Command, warning string) {
	if warning != "" {
		inert.Fprintf(humanErr(c), "warning: %s\n", warning)
	}
}

// nonFinite encodes NaN and infinities, which JSON lacks and a published file may contain, as the
// strings "NaN", "+Inf" and "-Inf".
var nonFinite = json.WithMarshalers(json.MarshalToFunc(func(e *jsontext.Encoder, v float64) error {
	if math.IsNaN(v) || math.IsInf(v, 0) {
		return e.WriteToken(jsontext.String(strconv.FormatFloat(v, 'g', -1, 64)))
	}
	return errors.ErrUnsupported
}))

// printJSON prints the result of a command with --json, as one document.
func printJSON(c *cobra.Command, result any) error {
	text, err := json.Marshal(result, json.Deterministic(true), jsontext.WithIndent("  "), nonFinite)
	if err == nil {
		_, err = fmt.Fprintf(c.OutOrStdout(), "%s\n", text)
	}
	return err
}

// definitionFiles returns the definition files among dataset keys and definition files.
func definitionFiles(keysOrFiles ...string) []string {
	return slices.DeleteFunc(slices.Clone(keysOrFiles), func(name string) bool { return filepath.Ext(name) != ".json" })
}

// outputFlags holds a flag that names a file to write, and --force.
type outputFlags struct {
	path  string
	force bool
}

// add adds the flag, called name and described by about, and --force.
func (o *outputFlags) add(flags *pflag.FlagSet, name, about string) {
	flags.StringVar(&o.path, name, "", about)
	flags.BoolVar(&o.force, "force", false, "let --"+name+" replace any existing file")
}

// check refuses, before the work begins, a file that cannot or must not be written: one of the
// inputs, or an existing file that own does not recognise as an earlier output. It returns nil if
// the flag is not set.
func (o *outputFlags) check(inputs []string, own func(head []byte) bool) (*outfile.Output, error) {
	if o.path == "" {
		return nil, nil
	}
	return outfile.Check(o.path, outfile.Rules{Inputs: inputs, Own: own, Force: o.force})
}
