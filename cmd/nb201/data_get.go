package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"nb201/data"
	"nb201/data/download"
	"nb201/internal/inert"
	"nb201/internal/plugin/index"
	"nb201/internal/progress"
)

func newDataGetCommand() *cobra.Command {
	var root, version, mirror string
	var asJSON bool
	c := &cobra.Command{
		Use:   "get KEY",
		Short: "Download CIFAR-10 or CIFAR-100 from its authors",
		Long: `Download the images of a dataset key from the address where their authors publish
them, ` + download.Address + `: cifar10, cifar10-valid (the same archive)
or cifar100. The archive is checked by its size, MD5 and SHA-256 and unpacked into
cifar.python in the data directory, where training finds it. Data that is there
already stays. A download that fails or is stopped goes on where it was when the
command is run again.

For ImageNet16-120 the command says what to fetch by hand.

Proxies are those of HTTP_PROXY, HTTPS_PROXY and NO_PROXY, passwords those of
~/.netrc, certificates the system's or those of SSL_CERT_FILE. pip's proxy (PIP_PROXY)
and certificates (PIP_CERT) come first, also those of its configuration files.`,
		Example: `  nb201 data get cifar10
  nb201 data get cifar100 --data /scratch/data --mirror https://mirror.example.org/cifar`,
		Args: oneArgument("KEY", "a dataset key"),
		RunE: func(c *cobra.Command, args []string) error {
			archive, err := download.Find(args[0], version)
			if errors.Is(err, download.ErrByHand) {
				fmt.Fprint(c.ErrOrStderr(), byHand(root))
			}
			if err != nil {
				return err
			}
			settings, err := index.ReadFetchSettings(os.Getenv)
			if err != nil {
				return err
			}
			report, end := progress.Reporter(c.ErrOrStderr(), progress.Bytes)
			result, err := archive.Get(c.Context(), root, download.Options{Settings: settings, Mirror: mirror, Progress: report})
			end()
			if err != nil {
				return err
			}
			if asJSON {
				return printJSON(c, result)
			}
			how := "there already"
			if result.Downloaded {
				how = "downloaded"
			}
			_, err = inert.Fprintf(c.OutOrStdout(), "%s: %s: %s (%d images to train, %d to test)\n", result.Key, how, result.Path, result.Train, result.Test)
			return err
		},
	}
	c.Flags().StringVar(&root, "data", data.DefaultRoot(os.Getenv), "`DIR` of the images")
	c.Flags().StringVar(&version, "format", download.Python, "`FORMAT` of the files, one of CIFAR's versions: "+strings.Join(download.Versions(), ", "))
	c.Flags().StringVar(&mirror, "mirror", "", "download from `URL` (http, https or file), a directory with the archive")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	return c
}

// byHand says where downsampled ImageNet comes from.
func byHand(root string) string {
	return fmt.Sprintf(`ImageNet16-120 is the first 120 classes of ImageNet downsampled to 16x16, which
only those who registered may download:
  1. register and sign in at https://image-net.org/download-images
  2. fetch the downsampled ImageNet of 16x16 pixels, to train and to validate
  3. put the eleven files train_data_batch_1 to train_data_batch_10 and val_data into
     %s
or make them from an ImageNet that you have: nb201 data imagenet16 --from DIR
Then nb201 data check ImageNet16-120 tells whether all is there.
`, filepath.Join(root, "cifar.python", "ImageNet16"))
}
