// Package outfile writes the files that a user names for output. A regular file appears, or
// is replaced, complete; a symbolic link remains, and its target is replaced; pipes, devices
// and descriptors of the process are written to.
//
// [Check] runs before the work begins. It refuses to overwrite the files that the command
// reads, and files that the command may not have made.
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

// Rules says what an output may replace.
type Rules struct {
	// Inputs lists the files and directories that the command reads. They, and files
	// inside the directories, are never replaced, even with Force.
	Inputs []string
	// Own reports, from the beginning of a file, whether an earlier call of the command
	// made the file. Nil means that none did.
	Own func(head []byte) bool
	// Force allows replacing any other regular file.
	Force bool
	// Regular refuses pipes, devices and descriptors, for output that is read back.
	Regular bool
}

// HeadBytes is the number of bytes at the beginning of a file that Rules.Own is given.
const HeadBytes = 1 << 10

// Output is a place that [Check] has found writable.
type Output struct {
	name string // as given by the user
	path string // with symbolic links resolved
	kind fs.FileMode
	open *os.File // a device or a descriptor; nil if Write opens the file
	old  bool     // a regular file exists and may be replaced
}

// Check checks that name can be written to under the rules. Errors are usage errors that
// name it.
func Check(name string, r Rules) (*Output, error) {
	o := &Output{name: name}
	if err := o.check(r); err != nil {
		if usage.Is(err) {
			return nil, err
		}
		return nil, o.writeError(err)
	}
	return o, nil
}

func (o *Output) check(r Rules) error {
	if o.name == "" {
		return errors.New("the name is empty")
	}
	path, descriptor, err := resolve(o.name)
	if err != nil {
		return err
	}
	o.path = path
	var info fs.FileInfo
	if descriptor >= 0 {
		// Use the descriptor itself, as opening its path would write from the start of the file.
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

// refuseInputs refuses an output that is one of the inputs or inside one.
func (o *Output) refuseInputs(inputs []string, info fs.FileInfo) error {
	for _, input := range inputs {
		read, err := os.Stat(input)
		if err != nil {
			continue // whoever reads it reports the error
		}
		if info != nil && os.SameFile(info, read) {
			return usage.Errorf("cannot write %s: it is %s, which this command reads; name another file", o.name, input)
		}
		if !read.IsDir() || o.open != nil {
			continue
		}
		for dir := filepath.Dir(o.path); ; dir = filepath.Dir(dir) {
			if above, err := os.Stat(dir); err == nil && os.SameFile(above, read) {
				return usage.Errorf("cannot write %s: it is inside %s, which this command reads; name a file elsewhere", o.name, input)
			}
			if dir == filepath.Dir(dir) {
				break
			}
		}
	}
	return nil
}

// refuseForeign refuses an existing file that the command may not have made.
func (o *Output) refuseForeign(own func(head []byte) bool) error {
	refusal := usage.Errorf("cannot write %s: it already exists; name another file, or replace it with --force", o.name)
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

// resolve resolves the symbolic links in a name, whose file need not exist. If the result is
// a descriptor of this process, it returns the descriptor's number, else -1.
func resolve(name string) (path string, descriptor int, err error) {
	name = filepath.Clean(name)
	const most = 40 // links, the limit of Linux
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
		if err != nil { // not a link, or no file
			return path, -1, nil
		}
		if !filepath.IsAbs(target) {
			target = filepath.Join(dir, target)
		}
		name = target
	}
	return "", -1, &fs.PathError{Op: "open", Path: name, Err: syscall.ELOOP}
}

// descriptors matches the targets of /dev/stdout, /dev/fd/N and /proc/self/fd/N.
var descriptors = regexp.MustCompile(`^/proc/(\d+)(/task/\d+)?/fd/(\d{1,9})$`)

// duplicate returns another descriptor of the same open file, which child processes do not
// inherit.
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

// Path returns the path of the output, with symbolic links resolved.
func (o *Output) Path() string { return o.path }

// Regular reports whether the output is a regular file, rather than a pipe, a device or a descriptor
// of this process, which may be standard output.
func (o *Output) Regular() bool { return o.kind == 0 && o.open == nil }

// Write writes the output with the content that write writes. A named pipe waits for a
// reader until ctx ends. Errors name the output; failures to write it are usage errors.
func (o *Output) Write(ctx context.Context, write func(io.Writer) error) error {
	err := o.write(ctx, write)
	if ctx.Err() != nil && errors.Is(err, os.ErrDeadlineExceeded) {
		return ctx.Err()
	}
	// Errors of a regular file name its temporary file, which means nothing to the user.
	var ofPath *fs.PathError
	var ofLink *os.LinkError
	switch {
	case err == nil || errors.Is(err, context.Canceled) || usage.Is(err):
		return err
	case errors.As(err, &ofPath):
		return o.writeError(ofPath.Err)
	case errors.As(err, &ofLink):
		return o.writeError(ofLink.Err)
	}
	return fmt.Errorf("cannot write %s: %w", o.name, err)
}

func (o *Output) writeError(err error) error {
	var ofPath *fs.PathError
	if errors.As(err, &ofPath) {
		err = ofPath.Err
	}
	dir := filepath.Dir(o.name)
	if _, missing := os.Stat(dir); errors.Is(err, fs.ErrNotExist) && errors.Is(missing, fs.ErrNotExist) {
		err = fmt.Errorf("the directory %s does not exist; create it", dir)
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
		// A reader that does not read must not delay cancellation.
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
