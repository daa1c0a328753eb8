// Package outfile writes the files that a user names. A regular file appears, or is
// replaced, whole; a link stays and its target is replaced; a pipe, a device or a
// descriptor of the process is written to, and stays what it is. What the command reads,
// and what somebody else may have made, is refused before the work begins.
package outfile

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"syscall"
	"time"

	"nb201/internal/atomicfile"
	"nb201/internal/infile"
	"nb201/internal/usage"
)

// Rules say what an output may replace.
type Rules struct {
	// Inputs are the files and directories that the command reads. Neither they nor
	// anything inside such a directory is replaced, with Force too.
	Inputs []string
	// Own recognises, by how it begins, what an earlier call of the command made; nil
	// recognises nothing.
	Own func(head []byte) bool
	// Force replaces any other regular file.
	Force bool
	// Regular refuses pipes, devices and descriptors, for what is to be read again.
	Regular bool
}

// HeadBytes is how much of a file Rules.Own sees, of a longer one.
const HeadBytes = 1 << 10

// Output is a place to write to that Check has found fit.
type Output struct {
	name string // as the user gave it
	path string // where its links lead
	kind fs.FileMode
	open *os.File // a device or a descriptor; nil: Write opens the file
	old  bool     // a regular file is there, and may be replaced
}

// Check finds out whether name can be written to. Errors are usage errors that name it.
func Check(name string, r Rules) (*Output, error) {
	o := &Output{name: name}
	if err := o.find(r); err != nil {
		if usage.Is(err) {
			return nil, err
		}
		return nil, o.cannot(err)
	}
	return o, nil
}

func (o *Output) find(r Rules) error {
	if o.name == "" {
		return errors.New("the name is empty")
	}
	path, descriptor, err := follow(o.name)
	if err != nil {
		return err
	}
	o.path = path
	var info fs.FileInfo
	if descriptor >= 0 {
		// The descriptor itself: opening its path would begin a file anew.
		fd, err := duplicate(descriptor)
		if err != nil {
			return err
		}
		o.open = os.NewFile(uintptr(fd), o.name)
		info, err = o.open.Stat()
		if err != nil {
			return err
		}
	} else if info, err = os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		if _, err := os.Stat(filepath.Dir(path)); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	if err := o.refuseInputs(r.Inputs, info); err != nil {
		return err
	}
	if info != nil {
		o.kind = info.Mode().Type()
	}
	switch {
	case o.kind.IsDir():
		return errors.New("it is a directory")
	case r.Regular && (o.kind != 0 || o.open != nil):
		return errors.New("it is not a regular file")
	case o.open != nil || o.kind == fs.ModeNamedPipe:
		return nil
	case o.kind == fs.ModeDevice|fs.ModeCharDevice:
		o.open, err = os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK|syscall.O_NOCTTY, 0)
		return err
	case o.kind != 0:
		return errors.New("it is a socket or a disk")
	}
	if info != nil {
		o.old = true
		if info.Size() > 0 && !r.Force {
			if err := o.refuseForeign(r.Own); err != nil {
				return err
			}
		}
	}
	return atomicfile.CheckCreate(path)
}

// refuseInputs refuses an output that is one of the inputs or lies in one.
func (o *Output) refuseInputs(inputs []string, info fs.FileInfo) error {
	for _, input := range inputs {
		read, err := os.Stat(input)
		if err != nil {
			continue // whoever reads it says so
		}
		if info != nil && os.SameFile(info, read) {
			return usage.Errorf("cannot write %s: it is %s, which this command reads: name another file", o.name, input)
		}
		if !read.IsDir() || o.open != nil {
			continue
		}
		for dir := filepath.Dir(o.path); ; dir = filepath.Dir(dir) {
			if above, err := os.Stat(dir); err == nil && os.SameFile(above, read) {
				return usage.Errorf("cannot write %s: it lies in %s, which this command reads: name a file outside", o.name, input)
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return nil
}

// refuseForeign refuses a file that is not recognised.
func (o *Output) refuseForeign(own func(head []byte) bool) error {
	refusal := usage.Errorf("cannot write %s: it is there already: name another file, or replace it with --force", o.name)
	if own == nil {
		return refusal
	}
	f, err := infile.Open(o.path)
	if err != nil {
		return err
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, HeadBytes))
	if err != nil {
		return err
	}
	if own(head) {
		return nil
	}
	return refusal
}

// follow is where the links of a name lead, to a file that is there or not, and the
// number of the descriptor of this process that it is, or -1.
func follow(name string) (path string, descriptor int, err error) {
	name = filepath.Clean(name)
	const most = 40 // links, as in Linux
	for range most {
		dir, err := filepath.EvalSymlinks(filepath.Dir(name))
		if err != nil {
			return "", -1, err
		}
		if dir, err = filepath.Abs(dir); err != nil {
			return "", -1, err
		}
		path = filepath.Join(dir, filepath.Base(name))
		if m := descriptors.FindStringSubmatch(path); m != nil && m[1] == strconv.Itoa(os.Getpid()) {
			n, err := strconv.Atoi(m[3])
			return path, n, err
		}
		target, err := os.Readlink(path)
		if err != nil { // no link, or nothing
			return path, -1, nil
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		name = target
	}
	return "", -1, &fs.PathError{Op: "open", Path: name, Err: syscall.ELOOP}
}

// descriptors matches what /dev/stdout, /dev/fd/N and /proc/self/fd/N lead to.
var descriptors = regexp.MustCompile(`^/proc/(\d+)(/task/\d+)?/fd/(\d{1,9})$`)

// duplicate is a descriptor of the same open file, which ends with this program.
func duplicate(descriptor int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	fd, err := syscall.Dup(descriptor)
	if err != nil {
		return 0, fmt.Errorf("descriptor %d: %w", descriptor, err)
	}
	syscall.CloseOnExec(fd)
	return fd, nil
}

// Path is where the links of the output lead.
func (o *Output) Path() string { return o.path }

// Write makes the file with what write writes. A named pipe waits for a reader until ctx
// ends. Errors name the output; that it cannot be written is a usage error.
func (o *Output) Write(ctx context.Context, write func(io.Writer) error) error {
	err := o.write(ctx, write)
	if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	// Errors of a regular file name its temporary, which means nothing to the user.
	var ofPath *fs.PathError
	var ofLink *os.LinkError
	switch {
	case err == nil || errors.Is(err, context.Canceled) || usage.Is(err):
		return err
	case errors.As(err, &ofPath):
		return o.cannot(ofPath.Err)
	case errors.As(err, &ofLink):
		return o.cannot(ofLink.Err)
	}
	return fmt.Errorf("cannot write %s: %w", o.name, err)
}

func (o *Output) cannot(err error) error {
	var ofPath *fs.PathError
	if errors.As(err, &ofPath) {
		err = ofPath.Err
	}
	return usage.Errorf("cannot write %s: %w", o.name, err)
}

func (o *Output) write(ctx context.Context, write func(io.Writer) error) error {
	switch {
	case o.kind == fs.ModeNamedPipe && o.open == nil:
		var err error
		if o.open, err = openPipe(ctx, o.path); err != nil {
			return err
		}
		fallthrough
	case o.open != nil:
		// A reader that does not read holds up nobody who wants to stop.
		stop := context.AfterFunc(ctx, func() { _ = o.open.SetWriteDeadline(time.Unix(1, 0)) })
		defer stop()
		w := bufio.NewWriterSize(o.open, 1<<16)
		return cmp.Or(write(w), w.Flush(), o.open.Close())
	case o.old:
		return atomicfile.Replace(o.path, write)
	}
	return atomicfile.Create(o.path, write)
}

// openPipe opens a named pipe once it has a reader.
func openPipe(ctx context.Context, path string) (*os.File, error) {
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if !errors.Is(err, syscall.ENXIO) {
			return f, err
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}
