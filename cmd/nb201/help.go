package main

import (
	"cmp"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"nb201/internal/helptext"
	"nb201/internal/layout"
)

// pageWidth is the width in columns for which help texts are written. Wider terminals do not change
// them.
const pageWidth = 98

// exitCodes lists the exit codes and what they mean, for narrow terminals and manual pages.
var exitCodes = [][2]string{
	{"0", "success"},
	{"1", "failure"},
	{"2", "wrong usage or input"},
	{"3", "finished, but with failed trials or faults"},
	{"128+N", "stopped by signal N: 130 Ctrl-C, 143 SIGTERM, 129 terminal closed, 138 SIGUSR1"},
}

// formatExitCodes returns the end of every help text.
func formatExitCodes(width int) string {
	if width < pageWidth {
		text := "\nExit codes:\n"
		for _, code := range exitCodes {
			text += fmt.Sprintf("  %-5s  %s\n", code[0], code[1])
		}
		return text
	}
	text, separator := "\nExit codes:\n", "  "
	for _, code := range exitCodes[:4] {
		text += separator + code[0] + " " + code[1]
		separator = "   "
	}
	return text + "\n  " + exitCodes[4][0] + " " + exitCodes[4][1] + "\n"
}

// setHelp makes root and its commands print their help in lines that fit the terminal.
func setHelp(root *cobra.Command) {
	template := strings.NewReplacer(
		"{{if .Runnable}}", "{{if and .Runnable (not .HasSubCommands)}}", // those with commands only print their help
	).Replace(root.UsageTemplate())
	setWidth := func(width int) {
		root.SetUsageTemplate(strings.ReplaceAll(template, ".FlagUsages", ".FlagUsagesWrapped "+strconv.Itoa(width)) + formatExitCodes(width))
	}
	setWidth(pageWidth)
	root.SetHelpFunc(func(c *cobra.Command, _ []string) {
		w := c.OutOrStdout()
		width := layout.Width(w)
		if width == 0 || width > pageWidth {
			width = pageWidth
		}
		setWidth(width)
		_, _ = io.WriteString(w, wrapHelp(c, layout.Width(w))) // cobra's ignores errors, too
	})
}

// helpOf returns the description of c and its usage.
func helpOf(c *cobra.Command) (about, usage string) {
	return strings.TrimRight(cmp.Or(c.Long, c.Short), " \n") + "\n", c.UsageString()
}

// wrapHelp returns the help of c in lines of at most width columns, or as it is if width is 0.
func wrapHelp(c *cobra.Command, width int) string {
	about, usage := helpOf(c)
	if width == 0 {
		return about + "\n" + usage
	}
	about = helptext.Wrap(about, width)
	const title = "\nExamples:\n"
	before, rest, found := strings.Cut(usage, title)
	if !found {
		return about + "\n" + layout.Wrap(usage, width)
	}
	examples, after, _ := strings.Cut(rest, "\n\n")
	return about + "\n" + layout.Wrap(before, width) + title + helptext.WrapCommands(examples, width) + "\n\n" + layout.Wrap(after, width)
}
