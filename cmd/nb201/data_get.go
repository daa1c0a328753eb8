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
		Long: `get downloads a dataset from its authors, ` + download.Address + `:
cifar10, cifar10-valid (the same archive) or cifar100. It checks the archive's size, MD5 and
SHA-256, and unpacks it into cifar.python in the data directory, where training finds it.
Data that exists is kept. To resume a download that failed or was stopped, run the same
command again.

ImageNet16-120 has no public download: for it, get prints what to download by hand.

Network settings: proxies come from HTTP_PROXY, HTTPS_PROXY and NO_PROXY, passwords from
~/.netrc, certificates from the system or SSL_CERT_FILE. A proxy (PIP_PROXY) or certificates
(PIP_CERT) for pip, also from pip's configuration files, take precedence.`,
		Example: `  nb201 data get cifar10
  nb201 data get cifar100 --data /scratch/data --mirror https://mirror.example.org/cifar`,
		Args: oneArgument("KEY", "a dataset key"),
		RunE: func(c *cobra.Command, args []string) error {
			archive, err := download.Find(args[0], version)
			if errors.Is(err, download.ErrByHand) {
				fmt.Fprint(humanErr(c), explainImageNet16(root))
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
			how := "already downloaded"
			if result.Downloaded {
				how = "downloaded"
			}
			_, err = inert.Fprintf(human(c), "%s: %s: %s (%d images to train, %d to test)\n", result.Key, how, result.Path, result.Train, result.Test)
			if err == nil && root == data.DefaultRoot(os.Getenv) {
				suggestNext(c, "data", "check", result.Key)
			} else if err == nil {
				suggestNext(c, "data", "check", result.Key, "--data", root)
			}
			return err
		},
	}
	addData(c.Flags(), &root, "unpack the images into the data directory `DIR`")
	c.Flags().StringVar(&version, "format", download.Python, "CIFAR's file `FORMAT`: "+strings.Join(download.Versions(), ", "))
	c.Flags().StringVar(&mirror, "mirror", "", "download from a copy: the `URL` (http, https or file) of a directory with the archive")
	c.Flags().BoolVar(&asJSON, "json", false, jsonUsage)
	return c
}

// explainImageNet16 returns how to get downsampled ImageNet by hand.
func explainImageNet16(root string) string {
	return fmt.Sprintf(`ImageNet16-120 is the first 120 classes of ImageNet, downsampled to 16x16 pixels. Only
registered users may download it:
  1. register and sign in at https://image-net.org/download-images
  2. download the 16x16 version of downsampled ImageNet, for training and for validation
  3. put its eleven files, train_data_batch_1 to train_data_batch_10 and val_data, into
     %s
If you have ImageNet itself, make the files with: nb201 data imagenet16 --from DIR
Then check them with: nb201 data check ImageNet16-120
`, filepath.Join(root, "cifar.python", "ImageNet16"))
}
