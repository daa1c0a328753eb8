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
		Long: `setup installs the XLA plugin that training on a device needs. It downloads fixed versions
of Python wheels, checked by their SHA-256, from a package index. Python is not needed.

The plugin goes into $NB201_HOME, by default ~/.local/share/nb201. An installed plugin is
kept if all its files match their SHA-256, and installed again if they do not. If
GOMLX_BACKEND=xla:PATH names another plugin, training uses that one. An installation that
fails or is stopped leaves nothing behind.

Network settings: setup follows pip's index (PIP_INDEX_URL), proxy (PIP_PROXY) and
certificates (PIP_CERT), from these variables or from pip's configuration files, and
HTTP_PROXY, HTTPS_PROXY, NO_PROXY, SSL_CERT_FILE and ~/.netrc.`,
		Example: `  nb201 setup
  nb201 setup --device cuda12
  nb201 setup --device cuda13 --compiler`,
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
				fmt.Fprintf(humanErr(cmd), "installing the plugin again, because the installed one is damaged: %v\n", why)
			}})
			end()
			if err != nil {
				return err
			}
			if used, err := plugin.Find(device); err == nil && used.Path != p.Path {
				fmt.Fprintf(humanErr(cmd), "note: training will use another plugin, which %s names: %s\n", used.Source, used.Path)
			}
			if asJSON {
				return printJSON(cmd, p)
			}
			_, err = fmt.Fprintf(human(cmd), "XLA plugin for %s, version %s: %s\n", p.Device, p.Version, p.Path)
			if err == nil {
				suggestNext(cmd, "doctor")
			}
			return err
		},
	}
	cmd.Flags().StringVar(&device, "device", plugin.CPU, "install the plugin for `DEVICE`: "+strings.Join(plugin.Devices(), ", "))
	cmd.Flags().BoolVar(&compiler, "compiler", false, "with --device cuda13: install only the compiler, for nb201 kernels; it needs no GPU")
	cmd.Flags().BoolVar(&force, "force", false, "install again even if the installed plugin is undamaged")
	cmd.Flags().BoolVar(&asJSON, "json", false, jsonUsage)
	return cmd
}
