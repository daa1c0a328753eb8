package main

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"nb201/internal/usage"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// This file words the errors of a command line. Those of cobra and pflag are written for
// programmers.

// flagError returns err, an error of pflag, in the words of this program.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case c.HasSubCommands() && c.Flags().NArg() > 0: // the flag is one of the command that was meant
		return commandsOnly(c, c.Flags().Args())
	case errors.As(err, &unknown):
		name, typed := unknown.GetSpecifiedName(), "--"+unknown.GetSpecifiedName()
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			name, _, _ = strings.Cut(short, "=")
			typed = "-" + name
			if _, err := strconv.Atoi(name); err == nil && strings.Contains(c.Use, "ARCH") {
				return fmt.Errorf("architecture index %s is out of range; use an index from 0", typed)
			}
		}
		return fmt.Errorf("unknown flag %s%s", typed, suggestFlag(c, name))
	case errors.As(err, &missing):
		return fmt.Errorf("--%s needs a value: --%s %s", missing.GetFlag().Name, missing.GetFlag().Name, valueName(missing.GetFlag()))
	case errors.As(err, &invalid) && usage.Is(err): // it already names the value
		return invalid.Unwrap()
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s %q: %s", invalid.GetFlag().Name, invalid.GetValue(), whatToUse(invalid.GetFlag(), invalid.Unwrap()))
	case errors.As(err, &syntax):
		return fmt.Errorf("%s is not a flag; write --NAME or --NAME=VALUE", syntax.GetSpecifiedFlag())
	}
	return err
}

// valueName returns the name of a flag's value in its help, in capitals.
func valueName(f *pflag.Flag) string {
	name, _ := pflag.UnquoteUsage(f)
	return strings.ToUpper(name)
}

// whatToUse returns advice on the values that a flag takes. err is why Set refused one; for flags
// whose type is defined here, it is the advice.
func whatToUse(f *pflag.Flag, err error) string {
	large := errors.Is(err, strconv.ErrRange)
	switch f.Value.Type() {
	case "int", "intSlice":
		text := "use a whole number"
		if f.Value.Type() == "intSlice" {
			text = "use whole numbers, separated by commas"
		}
		if large {
			text = strings.Replace(text, "whole", "smaller whole", 1)
		}
		return text
	case "float64":
		if large {
			return "use a smaller number"
		}
		return "use a number"
	case "bool":
		return "use true or false"
	case "duration":
		return "use a time such as 90s, 5m or 2h"
	case "stringSlice":
		return "use names separated by commas, without quotes"
	}
	return err.Error()
}

// suggestFlag asks whether one of the flags of c that resemble an unknown name was meant. It returns
// "" if none or too many do.
func suggestFlag(c *cobra.Command, name string) string {
	names := new(cobra.Command)
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	return suggest(names, name, "--")
}

// suggest asks whether one of the commands below c that resemble an unknown name was meant, each
// printed after prefix. It returns "" if none or too many do.
func suggest(c *cobra.Command, name, prefix string) string {
	c.SuggestionsMinimumDistance = 2
	near := c.SuggestionsFor(name)
	if len(near) == 0 || len(near) > 3 || name == "" {
		return ""
	}
	return "; did you mean " + prefix + strings.Join(near, " or "+prefix) + "?"
}

// commandsOnly is a [cobra.PositionalArgs] for a command that only has commands below it: it refuses
// every argument as an unknown command.
func commandsOnly(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if !c.HasParent() && args[0] == "version" {
		return fmt.Errorf("unknown command %q for %q; use nb201 --version", args[0], c.CommandPath())
	}
	return fmt.Errorf("unknown command %q for %q%s", args[0], c.CommandPath(), suggest(c, args[0], ""))
}

// addLibraryCommands adds cobra's commands help and completion, and makes them refuse unknown names,
// for which cobra's own print a help text and succeed. completion writes to the output that root has
// now.
func addLibraryCommands(root *cobra.Command) {
	root.InitDefaultHelpCmd()
	root.InitDefaultCompletionCmd()
	for _, c := range root.Commands() {
		switch c.Name() {
		case "help":
			c.Args = func(_ *cobra.Command, args []string) error {
				found, rest, err := root.Find(args)
				return errors.Join(err, commandsOnly(found, rest))
			}
		case "completion":
			describeCompletion(c)
			c.RunE = func(c *cobra.Command, _ []string) error { return c.Help() }
			c.Args = func(_ *cobra.Command, args []string) error {
				if len(args) > 0 {
					return fmt.Errorf("unknown shell %q; use bash, zsh, fish or powershell", args[0])
				}
				return nil
			}
		}
	}
}

// checkFlags refuses a command line that lacks a required flag, or has flags that exclude each
// other.
func checkFlags(c *cobra.Command, _ []string) error {
	var missing []string
	var exclusive error
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if f.Annotations[cobra.BashCompOneRequiredFlag] != nil && !f.Changed {
			missing = append(missing, "--"+f.Name)
		}
		for _, group := range f.Annotations[exclusiveFlags] {
			for _, other := range strings.Fields(group) {
				if f.Changed && other > f.Name && c.Flags().Changed(other) && exclusive == nil {
					exclusive = fmt.Errorf("--%s and --%s exclude each other; give only one of them", f.Name, other)
				}
			}
		}
	})
	if len(missing) > 0 {
		return fmt.Errorf("missing %s", strings.Join(missing, ", "))
	}
	return exclusive
}

// exclusiveFlags is the annotation of flags that exclude each other; markExclusive sets it.
const exclusiveFlags = "nb201_exclusive"

// markExclusive makes checkFlags refuse any two of the flags together.
func markExclusive(c *cobra.Command, flags ...string) {
	for _, name := range flags {
		f := c.Flags().Lookup(name)
		groups := append(slices.Clone(f.Annotations[exclusiveFlags]), strings.Join(flags, " "))
		if err := c.Flags().SetAnnotation(name, exclusiveFlags, groups); err != nil {
			panic(err) // the flag does not exist
		}
	}
}

// commandName returns the name of c with those of the commands above it, but not nb201: execute puts
// that before every error.
func commandName(c *cobra.Command) string {
	return strings.TrimPrefix(c.CommandPath(), c.Root().Name()+" ")
}

// noArguments is a [cobra.PositionalArgs] that refuses all arguments.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes only flags, not the argument %q", commandName(c), args[0])
	}
	return nil
}
