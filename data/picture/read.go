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

// pixelsAtOnce bounds the pictures that Read decodes at a time; one that is larger is
// decoded alone. A pixel may need 20 bytes.
const pixelsAtOnce = 16 << 20

// Squeezed is the picture of a file.
type Squeezed struct {
	Pixels []byte // rows, columns, channels
	// Turned: the file notes that the picture is to be shown rotated or mirrored, which is
	// not carried out.
	Turned bool
}

// result is a file's picture, or what is wrong with it.
type result struct {
	Squeezed
	err error
}

// Read decodes the files and squeezes them to size x size pixels, on all cores, and calls
// each with the result of every file in the order of files: its picture, whose pixels are
// valid during the call only, or what is wrong with it, naming it. An error that each
// returns, or the end of ctx, ends the reading and is returned. Memory is bounded whatever
// the number and the size of the pictures.
func Read(ctx context.Context, files []string, size int, each func(i int, im Squeezed, err error) error) error {
	group, ctx := errgroup.WithContext(ctx)
	workers := runtime.GOMAXPROCS(0)
	// A file's number goes to a worker, and a channel that will hold its result stands in
	// line for each.
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
		return ctx.Err() // the line also ends when the files did not
	})
	return group.Wait()
}

// read decodes and squeezes a file once there is room for its pixels.
func read(ctx context.Context, path string, size int, room *semaphore.Weighted) (Squeezed, error) {
	f, err := infile.Open(path)
	if err != nil {
		return Squeezed{}, err // names the file
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

// turned reports whether a picture is to be shown otherwise than it is stored, as EXIF's
// orientation notes. A note that cannot be read counts as none.
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
