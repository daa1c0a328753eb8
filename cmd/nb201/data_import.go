package main

import (
	"errors"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"nb201/data/importer"
	"nb201/internal/inert"
	"nb201/internal/layout"
	"nb201/internal/progress"
	"nb201/internal/quantity"
)

func newDataImportCommand() *cobra.Command {
	var options importer.Options
	var seed, validSeed seedFlag
	var label labelPlace
	var asJSON bool
	c := &cobra.Command{
		Use:   "import SOURCE --name KEY --to DIR",
		Short: "Make a dataset of your own from pictures, arrays or CSV",
		Long: `import makes a dataset of your own. It writes DIR/KEY.json, a definition file that other
commands accept as --dataset, and DIR/KEY.npz, the images (numpy.load opens it). Both are
written whole or not at all.

SOURCE is one of
  class directories  SOURCE/train/CLASS/* and SOURCE/test/CLASS/*, or SOURCE/CLASS/* with
                     --test. Pictures are *.png, *.jpg or *.jpeg files. Classes and files
                     have the order of torchvision's ImageFolder.
  numpy arrays       a *.npz file, or a directory of *.npy files, with the arrays x_train,
                     y_train, x_test and y_test (or train_images, train_labels, test_images
                     and test_labels), or with --test x and y (or images and labels). Images
                     have shape (N, H, W), (N, H, W, channels) or (N, channels, H, W), and 1
                     or 3 channels.
  CSV of pixels      a directory with train.csv and test.csv, or a *.csv file with --test;
                     *.csv.gz works, too. A line has an image's label and its N*N grey or
                     3*N*N colour values (row, column, channel). The label is first or last:
                     where the header names a column label, class, target or y, or where
                     --label says.

Names of the training and test sets:
  Training and tr also name the training set. Testing names the test set, and so do val,
  valid, validation, dev and eval if there is no other. Case does not matter, nor do other
  words in the name (seg_train, images_test, Train_Set). A directory that contains one
  directory and no pictures is skipped: its subdirectory is used instead. The report lists
  what was left out; any other layout is refused.

Splits:
  --test FRACTION takes that share of each class as the test set, drawn by --seed. If SOURCE
  has a test set, --test is ignored, and a note says so. --valid-seed S trains on one half
  of the training images and evaluates the other as x-valid; the halves are drawn as those
  published for cifar10-valid.

Evaluation sets alone (--eval-only --like KEY|FILE.json):
  import makes a dataset without a training set, such as corrupted images or another test set,
  to evaluate weights on that were trained on the dataset of --like. Classes, size, mean and
  deviation are those of --like, labels keep their numbers, and images of another size are
  resized. A label that --like does not have is refused. SOURCE is one of
    class directories  SOURCE/SET/CLASS/*, or SOURCE/CLASS/* for one set, test. The directories
                       must be as many as the classes, and the same in each set; the order of
                       their names is that of the labels.
    numpy arrays       x_SET and y_SET (or SET_images and SET_labels) of each set, or x and y for
                       one set, test; or, as in CIFAR-10-C and CIFAR-100-C, labels and for each
                       set SET. --severities 5 divides the images of each array into five sets
                       of equal size, SET-1 to SET-5: those archives have the images of one
                       severity after another.
    CSV of pixels      SET.csv of each set.
  Sets called train or valid are left out: the Python clients mean others by these names.

Images:
  Pixel values must be on the scale 0 to 255. In arrays and CSV they may also be on the scale
  0 to 1, which import assumes if no value is above 1. Values on any other scale, such as 0 to
  16, must be scaled to 0 to 255 first. Images of another size are resized to --size with a
  box filter (the aspect ratio is not kept), and grey images get three equal channels. Mean
  and deviation are computed over the training images. Labels in arrays and CSV are whole
  numbers; the classes are the labels that occur, in ascending order. Pictures that cannot be
  read are listed, and nothing is written, unless --skip-unreadable leaves them out.`,
		Example: `  nb201 data import photographs --name birds --size 32 --to sets
  nb201 data import photographs/all --name birds --size 32 --test 0.1 --valid-seed 1 --to sets
  nb201 data import mnist.npz --name mnist --size 32 --flip=false --to sets
  nb201 data import fashion/ --name fashion --to sets --json
  nb201 data import CIFAR-10-C --eval-only --like cifar10 --severities 5 --name cifar10-c --to sets
  nb201 data import foggy/ --eval-only --like sets/birds.json --name foggy-birds --to sets
  nb201 train 0 --dataset sets/birds.json --epochs 12 --seed 777 --out birds`,
		Args: oneArgument("SOURCE", "a directory or a file of images"),
		PreRunE: func(c *cobra.Command, _ []string) error {
			return checkEvaluationOnly(c, options.EvaluationOnly)
		},
		RunE: func(c *cobra.Command, args []string) error {
			options.Source = args[0]
			options.Seed = uint64(seed)
			if c.Flags().Changed("valid-seed") {
				options.ValidSeed = new(uint64(validSeed))
			}
			options.Label = string(label)
			var show func(doing string, done, total int64)
			end := func() {}
			options.Progress = func(done, total int64, unit string) {
				if show == nil {
					show, end = progress.Reporter(c.ErrOrStderr(), unit)
				}
				show("reading", done, total)
			}
			report, err := importer.Run(c.Context(), options)
			end()
			if err != nil {
				return err
			}
			for _, u := range report.Unreadable {
				inert.Fprintf(humanErr(c), "unreadable: %s\n", u)
			}
			warn(c, report.Warning)
			if asJSON {
				return printJSON(c, report)
			}
			return printImport(human(c), report)
		},
	}
	c.Flags().StringVar(&options.Name, "name", "", "dataset `KEY` of the new dataset: up to 64 letters, digits, '.', '_' and '-'")
	c.Flags().StringVar(&options.To, "to", "", "write the files into `DIR`")
	c.Flags().IntVar(&options.Size, "size", 0, "side of the images in `PIXELS`, a multiple of 4 (default: the images' common size)")
	c.Flags().Float64Var(&options.Test, "test", 0, "take this `FRACTION` of each class as the test set, if SOURCE has no test set")
	c.Flags().Var(&seed, "seed", "`SEED` that draws the images of --test")
	c.Flags().Var(&validSeed, "valid-seed", "train on half of the training images and evaluate the other half as x-valid; `SEED` draws the halves")
	c.Flags().BoolVar(&options.Flip, "flip", true, "mirror training images at random, each with probability 1/2")
	c.Flags().IntVar(&options.CropPadding, "crop-padding", -1,
		"pad training images with this many black `PIXELS` before a random crop; 0: no crop (default: an eighth of the size)")
	c.Flags().Var(&label, "label", "CSV: the label is the `first|last` value of a line (default: the one that the header names, or the first)")
	c.Flags().BoolVar(&options.Planes, "planes", false, "CSV: pixel values are in the order channel, row, column")
	c.Flags().BoolVar(&options.EvaluationOnly, "eval-only", false, "import evaluation sets alone, for weights trained on the dataset of --like")
	c.Flags().StringVar(&options.Like, "like", "", "--eval-only: the weights were trained on this dataset `KEY` or definition file (*.json)")
	c.Flags().IntVar(&options.Severities, "severities", 0, "--eval-only: divide each numpy array into this `NUMBER` of sets of equal size")
	c.Flags().BoolVar(&options.SkipUnreadable, "skip-unreadable", false, "leave out pictures that cannot be read")
	c.Flags().BoolVar(&options.Force, "force", false, "overwrite existing files of that name")
	c.Flags().BoolVar(&asJSON, "json", false, jsonUsage)
	c.Flags().Lookup("crop-padding").DefValue = "0" // the usage text has the default
	markRequired(c, "name", "to")
	return c
}

// checkEvaluationOnly refuses flags that contradict --eval-only, or need it.
func checkEvaluationOnly(c *cobra.Command, evalOnly bool) error {
	given := c.Flags().Changed
	if !evalOnly {
		for _, name := range []string{"like", "severities"} {
			if given(name) {
				return fmt.Errorf("--%s is for evaluation sets alone; add --eval-only", name)
			}
		}
		return nil
	}
	if !given("like") {
		return errors.New("--eval-only needs the dataset that the weights were trained on; name it with --like KEY|FILE.json")
	}
	for _, name := range []string{"size", "test", "seed", "valid-seed", "flip", "crop-padding"} {
		if given(name) {
			return fmt.Errorf("--eval-only imports no training set, and takes size and mean from --like; leave out --%s", name)
		}
	}
	return nil
}

// labelPlace is a flag with the place of the label in a line of CSV: first or last.
type labelPlace string

// Set implements [pflag.Value].
func (p *labelPlace) Set(text string) error {
	if text != "first" && text != "last" {
		return errors.New("use first or last")
	}
	*p = labelPlace(text)
	return nil
}

// String implements [pflag.Value].
func (p *labelPlace) String() string { return string(*p) }

// Type implements [pflag.Value].
func (p *labelPlace) Type() string { return "PLACE" }

// printImport prints a report, and how to train on the new dataset.
func printImport(w io.Writer, r *importer.Report) error {
	t := layout.NewProperties(w)
	inert.Fprintf(t, "source\t%s\n", r.Source)
	if r.Table != "" {
		inert.Fprintf(t, "table\t%s\n", r.Table)
	}
	for _, note := range r.Notes {
		inert.Fprintf(t, "note\t%s\n", note)
	}
	if n := len(r.Unreadable); n > 0 {
		inert.Fprintf(t, "unreadable\t%s, left out\n", quantity.Format(n, "picture"))
	}
	const shown = 10
	names := strings.Join(r.Classes[:min(len(r.Classes), shown)], ", ")
	if len(r.Classes) > shown {
		names += ", ..."
	}
	inert.Fprintf(t, "classes\t%d: %s\n", len(r.Classes), names)
	for _, s := range r.Sets {
		inert.Fprintf(t, "%s\t%s of %s\n", s.Name, quantity.Format(s.Images, "image"), s.From)
	}
	if r.Sets == nil {
		inert.Fprintf(t, "train\t%s of %s\n", quantity.Format(r.Images.Train, "image"), r.Parts.Train)
		if r.Images.Valid > 0 {
			inert.Fprintf(t, "x-valid\t%s of %s\n", quantity.Format(r.Images.Valid, "image"), r.Parts.Train)
		}
		inert.Fprintf(t, "ori-test\t%s of %s\n", quantity.Format(r.Images.Test, "image"), r.Parts.Test)
	} else {
		inert.Fprintf(t, "like\t%s\n", r.Like)
	}
	inert.Fprintf(t, "size\t%dx%d pixels\n", r.Size, r.Size)
	inert.Fprintf(t, "mean\t%.2f %.2f %.2f\n", r.Mean[0], r.Mean[1], r.Mean[2])
	inert.Fprintf(t, "deviation\t%.2f %.2f %.2f\n", r.Std[0], r.Std[1], r.Std[2])
	inert.Fprintf(t, "definition\t%s\n", r.Definition)
	inert.Fprintf(t, "images\t%s\n", r.Pixels)
	if err := t.Flush(); err != nil {
		return err
	}
	if r.Sets != nil {
		_, err := inert.Fprintf(w, "\nevaluate weights on it:  nb201 evaluate CAMPAIGN --dataset %s --to CAMPAIGN\n", r.Definition)
		return err
	}
	_, err := inert.Fprintf(w, "\ntrain on it:  nb201 train 0 --dataset %s --epochs 12 --seed 777 --out %s\n", r.Definition, r.Dataset)
	return err
}
