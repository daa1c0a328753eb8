package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"nb201/internal/plugin"
	"nb201/internal/progress"
	"nb201/internal/usage"
)

func newSetupCommand() *cobra.Command {
	var device string
	var compiler, force, asJSON bool
	cmd := &cobra.Command{
		Use:   "setup",
		Short: "Install the XLA plugin that training needs",
		Long: `Install the XLA plugin that training on a device needs. What is installed is
pinned: wheels of a Python package index, by name and SHA-256. Python is not
needed. Of pip's settings three hold: the index (PIP_INDEX_URL), the proxy (PIP_PROXY)
and the certificates (PIP_CERT), from these variables or from pip's configuration
files. HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and ~/.netrc hold, too.

The plugin goes to $NB201_HOME, by default ~/.local/share/nb201. A plugin that is
there already stays if all its files match their SHA-256, and is installed anew if
they do not. A plugin that GOMLX_BACKEND=xla:PATH names comes first.
Nothing is left of an installation that fails or is stopped.`,
		Args: noArguments,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if compiler {
				if device != plugin.CUDA13 {
					return usage.Errorf("--compiler is for --device %s only", plugin.CUDA13)
				}
				device = plugin.CUDA13Compiler
			}
			report, end := progress.Reporter(cmd.ErrOrStderr(), progress.Bytes)
			p, err := plugin.Install(cmd.Context(), device, plugin.Options{Force: force, Progress: report, Damaged: func(why error) {
				end()
				fmt.Fprintf(cmd.ErrOrStderr(), "the plugin that is there is installed anew: %v\n", why)
			}})
			end()
			if err != nil {
				return err
			}
			if used, err := plugin.Find(device); err == nil && used.Path != p.Path {
				fmt.Fprintf(cmd.ErrOrStderr(), "%s names another plugin, which comes first: %s\n", used.Source, used.Path)
			}
			if asJSON {
				return printJSON(cmd, p)
			}
			_, err = fmt.Fprintf(cmd.OutOrStdout(), "XLA plugin for %s, version %s: %s\n", p.Device, p.Version, p.Path)
			return err
		},
	}
	cmd.Flags().StringVar(&device, "device", plugin.CPU, "install the plugin for `DEVICE`: "+strings.Join(plugin.Devices(), ", "))
	cmd.Flags().BoolVar(&compiler, "compiler", false, "with --device cuda13: install only the compiler, which nb201 kernels uses and which needs no GPU")
	cmd.Flags().BoolVar(&force, "force", false, "install again what is there and is well")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the result as JSON")
	return cmd
}
