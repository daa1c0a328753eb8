package main

import (
	"io"

	"github.com/spf13/cobra"

	"nb201/internal/layout"
)

// human returns the output for text that people read: on a terminal, its lines are wrapped. JSON and
// other output for programs is written without it.
func human(c *cobra.Command) io.Writer { return layout.NewText(c.OutOrStdout()) }

// humanErr returns stderr for messages, which are wrapped on a terminal.
func humanErr(c *cobra.Command) io.Writer { return layout.NewText(c.ErrOrStderr()) }
