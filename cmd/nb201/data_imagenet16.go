package main

import (
	"cmp"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"nb201/data/imagenet"
	"nb201/internal/inert"
	"nb201/internal/progress"
)

func newDataImageNet16Command() *cobra.Command {
	var options imagenet.Options
	var root string
	var asJSON bool
	c := &cobra.Command{
		Use:   "imagenet16 --from DIR",
		Short: "Make the files of ImageNet16-120 from ImageNet",
		Long: `imagenet16 makes the files of the dataset key ImageNet16-120, train_data_batch_1 to
train_data_batch_10 and val_data: the first 120 classes of ImageNet's challenge (in the
order of ILSVRC2012_ID), in pictures of 16x16 pixels. --from names one of

  downsampled ImageNet   a directory with the eleven files of 1,000 classes, 16x16 pixels.
                         The images keep their order, so a seed draws the same batches as
                         for the published benchmark.
  an ImageNet folder     a directory with the pictures of a class in train/nXXXXXXXX and
                         val/nXXXXXXXX. The validation pictures may also be in val itself;
                         their labels are then in the development kit's file
                         ILSVRC2012_validation_ground_truth.txt, in DIR or where --labels says.
                         The whole pictures are resized with a box filter (the aspect ratio is
                         not kept), in a fixed order.
                         How the published files were shuffled is not known, so batches
                         differ, and so do the images in the halves x-valid and x-test.

The dataset key loads only files with the published 151,700 training and 6,000 validation
images, so other counts are an error. With --any-count the files are made anyway, for a
definition file without "images". Pictures that cannot be read are listed and are an error,
unless --skip-unreadable leaves them out. The directory to make must not exist. It is made
whole or not at all.`,
		Example: `  nb201 data imagenet16 --from /data/ImageNet --labels ILSVRC2012_devkit_t12/data/ILSVRC2012_validation_ground_truth.txt
  nb201 data imagenet16 --from downloads/Imagenet16 --data /scratch/data`,
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error {
			options.To = cmp.Or(options.To, filepath.Join(root, "cifar.python", "ImageNet16"))
			report, end := progress.Reporter(c.ErrOrStderr(), "pictures")
			options.Progress = report
			result, err := imagenet.Make(c.Context(), options)
			end()
			for _, u := range result.Unreadable {
				inert.Fprintf(humanErr(c), "unreadable: %s\n", u)
			}
			if err != nil {
				return err
			}
			if !result.Loads {
				warn(c, fmt.Sprintf("the dataset key %s does not load this number of images; use these files through a definition file without %q",
					imagenet.Key, "images"))
			}
			if asJSON {
				return printJSON(c, result)
			}
			_, err = inert.Fprintf(human(c), "%s: %d images to train, %d of validation, %d unreadable: %s\n",
				imagenet.Key, result.Train, result.Validation, len(result.Unreadable), result.Path)
			return err
		},
	}
	c.Flags().StringVar(&options.From, "from", "", "`DIR` with downsampled ImageNet's files or with an ImageNet folder")
	c.Flags().StringVar(&options.To, "to", "", "make the files in `DIR` instead (default cifar.python/ImageNet16 in --data)")
	addData(c.Flags(), &root, "make the files in the data directory `DIR`")
	c.Flags().StringVar(&options.Labels, "labels", "", "`FILE` of the validation labels, for pictures in val itself")
	c.Flags().BoolVar(&options.AnyCount, "any-count", false, "accept image counts other than the published ones")
	c.Flags().BoolVar(&options.SkipUnreadable, "skip-unreadable", false, "leave out pictures that cannot be read")
	c.Flags().BoolVar(&asJSON, "json", false, jsonUsage)
	markRequired(c, "from")
	return c
}
