package main

import (
	"errors"
	"io"
	"strings"
	"text/tabwriter"

	"github.com/spf13/cobra"

	"nb201/data/importer"
	"nb201/internal/inert"
	"nb201/internal/progress"
)

func newDataImportCommand() *cobra.Command {
	var options importer.Options
	var seed, validSeed seedFlag
	var label labelPlace
	var asJSON bool
	c := &cobra.Command{
		Use:   "import SOURCE --name KEY --to DIR",
		Short: "Make a data set of your own from pictures, arrays or CSV",
		Long: `Make a data set of your own: DIR/KEY.json, a dataset definition that nb201 train and
nb201 data check take in place of a dataset key, and DIR/KEY.npz, its images (arrays
that numpy.load opens). Either both are made whole or none is.

SOURCE is one of

  class directories  SOURCE/train/CLASS/* and SOURCE/test/CLASS/*, or SOURCE/CLASS/* with
                     --test: files *.png, *.jpg and *.jpeg, classes and files in the
                     order of torchvision's ImageFolder
  numpy arrays       a file *.npz, or a directory of *.npy, with x_train, y_train, x_test
                     and y_test, or train_images, train_labels, test_images and
                     test_labels, or x and y, or images and labels, with --test: images
                     of shape (N, H, W), (N, H, W, channels) or (N, channels, H, W), of 1
                     or 3 channels, integers 0..255 or floating-point numbers 0..255, or
                     either 0..1 where none is above 1
  CSV of pixels      a directory with train.csv and test.csv, or a file *.csv with --test,
                     also compressed (*.csv.gz): a line for each image, its label and then
                     N*N grey or 3*N*N coloured values 0..255 (row, column, channel), or
                     the label after them, as a header that names a column label, class,
                     target or y says, or --label

Parts are also called training and tr, testing, or val, valid, validation, dev and eval,
which test where no test part is, in any case and with other words around (seg_train,
images_test, Train_Set). A directory that holds one other and no pictures stands for that
one. The report lists what is left out; any other layout is refused.

Images of other sizes than --size are squeezed to it with a box filter; grey ones get
three equal channels. Mean and deviation are measured over the images that train.
Labels of arrays and CSV are whole numbers; the classes are those that there are, in
their order.

--test FRACTION takes that share of the images of each class to test, drawn by --seed;
where SOURCE has a test part it is not used, and a note says so.
--valid-seed S has one half of the training images train and the other be evaluated as
x-valid, drawn as the published halves of cifar10-valid.

Pictures that cannot be read are named, and nothing is made unless --skip-unreadable
leaves them out.`,
		Example: `  nb201 data import photographs --name birds --size 32 --to sets
  nb201 data import photographs/all --name birds --size 32 --test 0.1 --valid-seed 1 --to sets
  nb201 data import mnist.npz --name mnist --size 32 --flip=false --to sets
  nb201 data import fashion/ --name fashion --to sets --json
  nb201 train 0 --dataset sets/birds.json --epochs 12 --seed 777 --out birds`,
		Args: oneArgument("SOURCE", "a directory or a file of images"),
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
				inert.Fprintf(c.ErrOrStderr(), "unreadable: %s\n", u)
			}
			if asJSON {
				return printJSON(c, report)
			}
			return printImport(c.OutOrStdout(), report)
		},
	}
	c.Flags().StringVar(&options.Name, "name", "", "dataset `KEY` of the data set: up to 64 letters, digits, '.', '_' and '-'")
	c.Flags().StringVar(&options.To, "to", "", "`DIR` of the files to make")
	c.Flags().IntVar(&options.Size, "size", 0, "side of the images in `PIXELS`, a multiple of 4 (default that which all have)")
	c.Flags().Float64Var(&options.Test, "test", 0, "`FRACTION` of each class's images that test, where SOURCE has no test part")
	c.Flags().Var(&seed, "seed", "draws the images of --test")
	c.Flags().Var(&validSeed, "valid-seed", "train on one half of the training images and evaluate x-valid on the other, drawn by this seed")
	c.Flags().BoolVar(&options.Flip, "flip", true, "mirror every second training image, at random")
	c.Flags().IntVar(&options.CropPadding, "crop-padding", -1, "`PIXELS` of black around a training image before a random crop of its size; 0 for no crop (default an eighth of the size)")
	c.Flags().Var(&label, "label", "CSV: the label is the `first|last` value of a line (default what the header names, or the first)")
	c.Flags().BoolVar(&options.Planes, "planes", false, "CSV: colours are in the order channel, row, column")
	c.Flags().BoolVar(&options.SkipUnreadable, "skip-unreadable", false, "leave out pictures that cannot be read")
	c.Flags().BoolVar(&options.Force, "force", false, "write over files of the name that are there")
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON document")
	c.Flags().Lookup("crop-padding").DefValue = "0" // it is told in words
	require(c, "name", "to")
	return c
}

// labelPlace is where in a line the label stands.
type labelPlace string

func (p *labelPlace) Set(text string) error {
	if text != "first" && text != "last" {
		return errors.New("use first or last")
	}
	*p = labelPlace(text)
	return nil
}

func (p *labelPlace) String() string { return string(*p) }

func (p *labelPlace) Type() string { return "PLACE" }

func printImport(w io.Writer, r *importer.Report) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	inert.Fprintf(t, "source\t%s\n", r.Source)
	if r.Table != "" {
		inert.Fprintf(t, "table\t%s\n", r.Table)
	}
	for _, note := range r.Notes {
		inert.Fprintf(t, "note\t%s\n", note)
	}
	if n := len(r.Unreadable); n > 0 {
		inert.Fprintf(t, "unreadable\t%s, left out\n", progress.Quantity(n, "picture"))
	}
	const shown = 10
	names := strings.Join(r.Classes[:min(len(r.Classes), shown)], ", ")
	if len(r.Classes) > shown {
		names += ", ..."
	}
	inert.Fprintf(t, "classes\t%d: %s\n", len(r.Classes), names)
	inert.Fprintf(t, "train\t%s of %s\n", progress.Quantity(r.Images.Train, "image"), r.Parts.Train)
	if r.Images.Valid > 0 {
		inert.Fprintf(t, "x-valid\t%s of %s\n", progress.Quantity(r.Images.Valid, "image"), r.Parts.Train)
	}
	inert.Fprintf(t, "ori-test\t%s of %s\n", progress.Quantity(r.Images.Test, "image"), r.Parts.Test)
	inert.Fprintf(t, "size\t%dx%d pixels\n", r.Size, r.Size)
	inert.Fprintf(t, "mean\t%.2f %.2f %.2f\n", r.Mean[0], r.Mean[1], r.Mean[2])
	inert.Fprintf(t, "deviation\t%.2f %.2f %.2f\n", r.Std[0], r.Std[1], r.Std[2])
	inert.Fprintf(t, "definition\t%s\n", r.Definition)
	inert.Fprintf(t, "images\t%s\n", r.Pixels)
	if err := t.Flush(); err != nil {
		return err
	}
	_, err := inert.Fprintf(w, "\ntrain on it:  nb201 train 0 --dataset %s --epochs 12 --seed 777 --out %s\n", r.Definition, r.Dataset)
	return err
}
