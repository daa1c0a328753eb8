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

// openPictures opens class directories, where findTree finds them.
func (o *Options) openPictures() (*source, error) {
	t, err := findTree(o.Source)
	if err != nil {
		return nil, err
	}
	src := &source{kind: "class directories of pictures", notes: t.notes, train: t.name(t.train), close: func() {}}
	dirs := []string{t.train.Path}
	if t.test.Path != "" {
		src.test = t.name(t.test)
		dirs = append(dirs, t.test.Path)
	}
	if err := o.parted(src); err != nil {
		return nil, err
	}
	var files []string
	var samples []sample
	for part, dir := range dirs {
		classes, err := data.ListClasses(dir)
		if err != nil {
			return nil, err
		}
		for _, c := range classes {
			label := slices.Index(src.classes, c.Name)
			switch {
			case part == 0 && len(c.Files) == 0:
				return nil, usage.Errorf("%s: class %q has no images (*.png, *.jpg, *.jpeg) to train: add some or remove the directory", dir, c.Name)
			case part == 0:
				label = len(src.classes)
				src.classes = append(src.classes, c.Name)
			case label < 0:
				return nil, usage.Errorf("%s: class %q is not among those of the images to train (%s)", dir, c.Name, dirs[0])
			}
			files = append(files, c.Files...)
			samples = append(samples, slices.Repeat([]sample{{test: part > 0, label: float64(label)}}, len(c.Files))...)
			t.other += c.Other
			t.hidden += c.Hidden
		}
	}
	if len(src.classes) == 0 {
		return nil, usage.Errorf("%s: holds no class directories: put the pictures of each class into a directory of its name", dirs[0])
	}
	for _, passed := range []struct {
		what string
		n    int
	}{
		{"pictures passed over, which are in no class directory", t.loose},
		{"files passed over, which are not *.png, *.jpg or *.jpeg", t.other},
		{"hidden files and directories passed over", t.hidden},
	} {
		if passed.n > 0 {
			src.notes = append(src.notes, fmt.Sprintf("%s: %d", passed.what, passed.n))
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
			src.notes = append(src.notes, fmt.Sprintf("pictures taken as they are stored, though EXIF says to show them rotated or mirrored: %d", turned))
		}
		return err
	}
	return src, nil
}

// equalDims is the height and width of all pictures, as their headers say. Those that
// cannot be read are passed over: they will be missed when their pixels are read.
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
			return 0, 0, usage.Errorf("the pictures are of different sizes (%s has %dx%d pixels, %s %dx%d): give the --size to squeeze them to",
				first, height, width, file, config.Height, config.Width)
		}
	}
	if first == "" {
		return 0, 0, usage.Errorf("none of the %d pictures can be read, the first of which is %s", len(files), files[0])
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
