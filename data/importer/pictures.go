package importer

import (
	"context"
	"errors"
	"fmt"
	"image"
	"slices"

	"nb201/data"
	"nb201/data/picture"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// openPictures opens the class directories that findTree finds.
func (o *Options) openPictures() (*source, error) {
	t, err := findTree(o.Source)
	if err != nil {
		return nil, err
	}
	src := &source{kind: ofPictures, notes: t.notes, train: t.relative(t.train), close: func() {}}
	dirs := []string{t.train.Path}
	if t.test.Path != "" {
		src.test = t.relative(t.test)
		dirs = append(dirs, t.test.Path)
	}
	if err := o.checkTest(src); err != nil {
		return nil, err
	}
	var files []string
	var samples []sample
	for i, dir := range dirs {
		isTest := i > 0
		classes, err := data.ListClasses(dir)
		if err != nil {
			return nil, err
		}
		for _, c := range classes {
			label := slices.Index(src.classes, c.Name)
			switch {
			case !isTest && len(c.Files) == 0:
				return nil, usage.Errorf("%s: class %q has no images; add *.png, *.jpg or *.jpeg files, or remove the directory", dir, c.Name)
			case !isTest:
				label = len(src.classes)
				src.classes = append(src.classes, c.Name)
			case label < 0:
				return nil, usage.Errorf("%s: class %q is not among the classes in %s; remove it, or add it there", dir, c.Name, dirs[0])
			}
			files = append(files, c.Files...)
			samples = append(samples, slices.Repeat([]sample{{set: i, label: float64(label)}}, len(c.Files))...)
			t.other += c.Other
			t.hidden += c.Hidden
		}
	}
	if len(src.classes) == 0 {
		return nil, usage.Errorf("%s contains no class directories; put the pictures of each class into a directory of its name", dirs[0])
	}
	o.readPictures(src, t.skipped, files, samples)
	return src, nil
}

// ofPictures is the kind of a source of class directories.
const ofPictures = "class directories of pictures"

// readPictures makes src read the pictures in files, which samples describes, and notes what was
// skipped.
func (o *Options) readPictures(src *source, s skipped, files []string, samples []sample) {
	for _, skipped := range []struct {
		what string
		n    int
	}{
		{"pictures skipped because they are not in a class directory", s.loose},
		{"files skipped because they are not *.png, *.jpg or *.jpeg", s.other},
		{"hidden files and directories skipped", s.hidden},
	} {
		if skipped.n > 0 {
			src.notes = append(src.notes, fmt.Sprintf("%s: %d", skipped.what, skipped.n))
		}
	}
	src.dims = func(ctx context.Context) (height, width int, err error) { return equalDims(ctx, files) }
	src.read = func(ctx context.Context, size int, each func(sample) error) error {
		turned := 0
		err := picture.Read(ctx, files, size, func(i int, im picture.Squeezed, err error) error {
			o.report(int64(i+1), int64(len(files)), "pictures")
			if im.Turned {
				turned++
			}
			s := samples[i]
			s.pixels, s.unreadable = im.Pixels, err
			return each(s)
		})
		if turned > 0 {
			src.notes = append(src.notes, fmt.Sprintf("pictures used as stored, although their EXIF data say to rotate or mirror them: %d", turned))
		}
		return err
	}
}

// equalDims returns the height and width of all pictures, according to their headers. It
// skips pictures that cannot be read: reading their pixels will fail later.
func equalDims(ctx context.Context, files []string) (height, width int, err error) {
	first := ""
	for _, file := range files {
		if err := ctx.Err(); err != nil {
			return 0, 0, err
		}
		config, err := readConfig(file)
		switch {
		case err != nil:
		case first == "":
			first, height, width = file, config.Height, config.Width
		case config.Height != height || config.Width != width:
			return 0, 0, usage.Errorf("the pictures have different sizes (%s has %dx%d pixels, %s has %dx%d); resize them with --size",
				first, height, width, file, config.Height, config.Width)
		}
	}
	if first == "" {
		return 0, 0, usage.Errorf("none of the %d pictures can be read, starting with %s; get them again", len(files), files[0])
	}
	return height, width, nil
}

func readConfig(file string) (image.Config, error) {
	f, err := infile.Open(file)
	if err != nil {
		return image.Config{}, err
	}
	config, _, err := image.DecodeConfig(f)
	return config, errors.Join(err, f.Close())
}
