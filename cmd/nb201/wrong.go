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

// This file puts what is wrong with a command line into words of ours: cobra and pflag
// speak to programmers.

// flagError says what is wrong with a flag.
func flagError(c *cobra.Command, err error) error {
	var unknown *pflag.NotExistError
	var missing *pflag.ValueRequiredError
	var invalid *pflag.InvalidValueError
	var syntax *pflag.InvalidSyntaxError
	switch {
	case errors.As(err, &unknown):
		name, typed := unknown.GetSpecifiedName(), "--"+unknown.GetSpecifiedName()
		if short := unknown.GetSpecifiedShortnames(); short != "" {
			name, _, _ = strings.Cut(short, "=")
			typed = "-" + name
		}
		return fmt.Errorf("there is no flag %s%s", typed, nearestFlag(c, name))
	case errors.As(err, &missing):
		return fmt.Errorf("--%s needs a value: --%s %s", missing.GetFlag().Name, missing.GetFlag().Name, valueName(missing.GetFlag()))
	case errors.As(err, &invalid) && usage.Is(err): // it names the value
		return invalid.Unwrap()
	case errors.As(err, &invalid):
		return fmt.Errorf("--%s %q: %s", invalid.GetFlag().Name, invalid.GetValue(), whatToUse(invalid.GetFlag(), invalid.Unwrap()))
	case errors.As(err, &syntax):
		return fmt.Errorf("%s is not a flag: write --NAME or --NAME=VALUE", syntax.GetSpecifiedFlag())
	}
	return err
}

func valueName(f *pflag.Flag) string {
	name, _ := pflag.UnquoteUsage(f)
	return strings.ToUpper(name)
}

// whatToUse says which values a flag takes; an error of a type of ours says it itself.
func whatToUse(f *pflag.Flag, err error) string {
	large := errors.Is(err, strconv.ErrRange)
	switch f.Value.Type() {
	case "int", "intSlice":
		text := "use a whole number"
		if f.Value.Type() == "intSlice" {
			text = "use whole numbers, with commas between them"
		}
		if large {
			text += " that is not as large"
		}
		return text
	case "float64":
		if large {
			return "use a number that is not as large"
		}
		return "use a number"
	case "bool":
		return "use true or false"
	case "duration":
		return "use a time such as 90s, 5m or 2h"
	case "stringSlice":
		return "use names with commas between them, without quotes"
	}
	return err.Error()
}

// nearestFlag asks whether a flag was meant that a wrong name resembles.
func nearestFlag(c *cobra.Command, name string) string {
	names := &cobra.Command{SuggestionsMinimumDistance: 2}
	c.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names.AddCommand(&cobra.Command{Use: f.Name, Run: func(*cobra.Command, []string) {}})
		}
	})
	near := names.SuggestionsFor(name)
	if len(near) == 0 || len(near) > 3 || name == "" {
		return ""
	}
	return ": did you mean --" + strings.Join(near, " or --") + "?"
}

// checkFlags refuses a command line that lacks flags it needs, or has flags that exclude
// each other.
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
					exclusive = fmt.Errorf("--%s and --%s exclude each other: give one of them", f.Name, other)
				}
			}
		}
	})
	if len(missing) > 0 {
		return fmt.Errorf("give %s", strings.Join(missing, ", "))
	}
	return exclusive
}

// exclusiveFlags is the annotation of flags that exclude one another; exclude sets it.
const exclusiveFlags = "nb201_exclusive"

// exclude has any two of some flags refused together.
func exclude(c *cobra.Command, flags ...string) {
	for _, name := range flags {
		f := c.Flags().Lookup(name)
		groups := append(slices.Clone(f.Annotations[exclusiveFlags]), strings.Join(flags, " "))
		if err := c.Flags().SetAnnotation(name, exclusiveFlags, groups); err != nil {
			panic(err) // the flag does not exist
		}
	}
}

// noArguments makes a command take no arguments.
func noArguments(c *cobra.Command, args []string) error {
	if len(args) > 0 {
		return fmt.Errorf("%s takes flags alone, not %q", c.CommandPath(), args[0])
	}
	return nil
}
