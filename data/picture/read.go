package picture

import (
	"context"
	"fmt"
	"io"
	"runtime"

	"github.com/bep/imagemeta"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

	"nb201/internal/infile"
)

// pixelsAtOnce limits the pixels that Read decodes at the same time. A picture with more is
// decoded alone. A pixel may need 20 bytes.
const pixelsAtOnce = 16 << 20

// Squeezed is a picture resized to the requested size.
type Squeezed struct {
	Pixels []byte // [size, size, 3] in row-major order: red, green and blue
	// Turned reports that the file's EXIF data ask viewers to rotate or mirror the picture,
	// which Read does not do.
	Turned bool
}

// result is a file's picture, or the error of reading it.
type result struct {
	Squeezed
	err error
}

// Read decodes files and resizes them to size x size pixels, on all cores. It calls each for
// every file, in the order of files, with either the picture, whose pixels are valid only
// during the call, or an error that names the file. If each returns an error or ctx is done,
// Read stops and returns that error. Its memory is bounded, whatever the number and the size
// of the pictures.
func Read(ctx context.Context, files []string, size int, each func(i int, im Squeezed, err error) error) error {
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	// For each file, its index goes to a worker through jobs, and a channel for its result
	// goes to the caller of each through line, which keeps the order.
	type job struct {
		file int
		done chan<- result
	}
	jobs := make(chan job)
	line := make(chan (<-chan result), 4*workers)
	group.Go(func() error {
		defer close(jobs)
		defer close(line)
		for i := range files {
			done := make(chan result, 1)
			select {
			case line <- done:
			case <-ctx.Done():
				return ctx.Err()
			}
			select {
			case jobs <- job{i, done}:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	room := semaphore.NewWeighted(pixelsAtOnce)
	for range workers {
		group.Go(func() error {
			for j := range jobs {
				im, err := read(ctx, files[j.file], size, room)
				if ctx.Err() != nil {
					return ctx.Err()
				}
				j.done <- result{im, err}
			}
			return nil
		})
	}
	group.Go(func() error {
		i := 0
		for done := range line {
			select {
			case r := <-done:
				if err := each(i, r.Squeezed, r.err); err != nil {
					return err
				}
			case <-ctx.Done():
				return ctx.Err()
			}
			i++
		}
		return ctx.Err() // line is also closed when not all files were read
	})
	return group.Wait()
}

// read decodes and resizes a file once room admits its pixels.
func read(ctx context.Context, path string, size int, room *semaphore.Weighted) (Squeezed, error) {
	f, err := infile.Open(path)
	if err != nil {
		return Squeezed{}, err // already names the file
	}
	defer f.Close()
	s, err := open(f)
	if err != nil {
		return Squeezed{}, fmt.Errorf("%s %w", path, err)
	}
	pixels := min(int64(s.pixels), pixelsAtOnce)
	if err := room.Acquire(ctx, pixels); err != nil {
		return Squeezed{}, err
	}
	defer room.Release(pixels)
	picture, err := s.decode()
	if err != nil {
		return Squeezed{}, fmt.Errorf("%s %w", path, err)
	}
	return Squeezed{picture.Square(size), turned(f, s.jpeg)}, nil
}

// turned reports whether the orientation in a picture's EXIF data differs from how it is
// stored. Data that cannot be read count as absent.
func turned(file io.ReadSeeker, jpeg bool) (turned bool) {
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return false
	}
	format := imagemeta.PNG
	if jpeg {
		format = imagemeta.JPEG
	}
	const asStored, most = 1, 8
	_, _ = imagemeta.Decode(imagemeta.Options{
		R: file, ImageFormat: format, Sources: imagemeta.EXIF,
		ShouldHandleTag: func(tag imagemeta.TagInfo) bool { return tag.Tag == "Orientation" && tag.Namespace == "IFD0" },
		HandleTag: func(tag imagemeta.TagInfo) error {
			orientation, ok := tag.Value.(uint16)
			turned = ok && orientation > asStored && orientation <= most
			return imagemeta.ErrStopWalking
		},
	})
	return turned
}
