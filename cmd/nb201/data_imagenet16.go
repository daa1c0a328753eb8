package main

import (
	"cmp"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"nb201/data"
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
		Long: `Make the files of the dataset key ImageNet16-120, train_data_batch_1 to
train_data_batch_10 and val_data: the first 120 classes, in the order of ImageNet's
challenge (ILSVRC2012_ID), in pictures of 16x16 pixels. They are made from

  an ImageNet folder   the pictures of a class in DIR/train/nXXXXXXXX and in
                       DIR/val/nXXXXXXXX; or those of validation in DIR/val alone and
                       their labels in the file ILSVRC2012_validation_ground_truth.txt of
                       the development kit, which --labels names or which is in DIR
  downsampled ImageNet the eleven files of 1,000 classes, 16x16 pixels, in DIR

From downsampled ImageNet the images keep their order, so that a seed draws the batches
that it drew for the published benchmark. From an ImageNet folder they do not: how the
published files were shuffled is not known. Their images are then the whole pictures
squeezed with the box filter, in an order that is always the same, and the published
halves x-valid and x-test of the validation images are other images.

Other numbers of images than the published 151,700 and 6,000 are an error, since the
dataset key does not load them; --any-count makes the files nevertheless, to be read
by a definition file without "images". Pictures that cannot be read are named, and
are an error unless --skip-unreadable leaves them out. The files are made whole or
not at all, in a directory that is not there yet.`,
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
				inert.Fprintf(c.ErrOrStderr(), "unreadable: %s\n", u)
			}
			if err != nil {
				return err
			}
			if !result.Loads {
				inert.Fprintf(c.ErrOrStderr(), "warning: the dataset key %s does not load other numbers of images than its own: read these by a definition file without \"images\"\n", imagenet.Key)
			}
			if asJSON {
				return printJSON(c, result)
			}
			_, err = inert.Fprintf(c.OutOrStdout(), "%s: %d images to train, %d of validation, %d unreadable: %s\n", imagenet.Key, result.Train, result.Validation, len(result.Unreadable), result.Path)
			return err
		},
	}
	c.Flags().StringVar(&options.From, "from", "", "`DIR` of ImageNet's pictures or of downsampled ImageNet's files")
	c.Flags().StringVar(&options.To, "to", "", "`DIR` to make (default cifar.python/ImageNet16 in --data)")
	c.Flags().StringVar(&root, "data", data.DefaultRoot(os.Getenv), "`DIR` of the images")
	c.Flags().StringVar(&options.Labels, "labels", "", "`FILE` of the labels of validation, for pictures in DIR/val alone")
	c.Flags().BoolVar(&options.AnyCount, "any-count", false, "make files of other numbers of images, too")
	c.Flags().BoolVar(&options.SkipUnreadable, "skip-unreadable", false, "leave out pictures that cannot be read")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	require(c, "from")
	return c
}
