package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/shell"
)

// human returns the output for text that people read: on a terminal, its lines are wrapped. JSON and
// other output for programs is written without it.
func human(c *cobra.Command) io.Writer { return layout.NewText(c.OutOrStdout()) }

// humanErr returns stderr for messages, which are wrapped on a terminal.
func humanErr(c *cobra.Command) io.Writer { return layout.NewText(c.ErrOrStderr()) }

// suggestNext names on stderr the command that most users run after this one, if stderr is a terminal:
// scripts and logs do not get it.
func suggestNext(c *cobra.Command, words ...string) {
	w := c.ErrOrStderr()
	if layout.Width(w) == 0 {
		return
	}
	command := c.Root().Name()
	for _, word := range words {
		command += " " + shell.Quote(word)
	}
	_, _ = fmt.Fprintf(w, "next: %s\n", inert.Text(command)) // whole, so that it can be copied
}
