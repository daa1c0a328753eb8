package scheduler

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/dustin/go-humanize"

	"nb201/internal/hostmem"
	"nb201/internal/quantity"
	"nb201/internal/usage"
	"nb201/scheduler/attempt"
)

// minFreeMemory is the memory in bytes that must be free before a trial starts. With less, the
// kernel would soon kill the worker.
const minFreeMemory = 512 << 20

// checkHost returns why no trial can start now, for lack of disk space or memory, or "" when
// one can.
func checkHost(dir string, minFreeDisk uint64) string {
	var disk syscall.Statfs_t
	switch err := syscall.Statfs(dir, &disk); {
	case err != nil:
		return fmt.Sprintf("cannot access the campaign's disk: %v", &os.PathError{Op: "statfs", Path: dir, Err: err})
	case disk.Bavail*uint64(disk.Bsize) < minFreeDisk:
		return fmt.Sprintf("the disk of %s has %s free, less than %s (--min-free-disk)",
			dir, humanize.IBytesN(disk.Bavail*uint64(disk.Bsize), 3), humanize.IBytesN(minFreeDisk, 3))
	case disk.Files > 0 && disk.Ffree < minFreeFiles:
		return fmt.Sprintf("the disk of %s has room for only %d more files, fewer than %d", dir, disk.Ffree, minFreeFiles)
	}
	if m, ok := hostmem.Read(os.DirFS("/")); ok {
		return checkMemory(m)
	}
	return ""
}

// checkMemory returns why no trial can start with the memory that is free, or "" when one can.
func checkMemory(m hostmem.Memory) string {
	who := "the host"
	if m.Group {
		who = "the control group (container or job) of this run"
	}
	// In a group smaller than minFreeMemory the run would otherwise wait forever.
	if need := min(minFreeMemory, m.Total/4); m.Free < need {
		return fmt.Sprintf("%s has %s of memory free, less than %s", who, humanize.IBytesN(m.Free, 3), humanize.IBytesN(need, 3))
	}
	return ""
}

// minFreeFiles is the number of inodes that must be free on the campaign's disk.
const minFreeFiles = 256

// checkDescriptors returns a usage error when the limit on open files is too low for the number
// of workers. The run needs four descriptors per worker: its log, its two pipes and its process.
func checkDescriptors(workers int) error {
	const others = 16
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil // the limit is unknown
	}
	if need := uint64(4*workers + others); need > limit.Cur {
		return usage.Errorf("a run with %s needs %d file descriptors, but the limit is %d; raise it with \"ulimit -n %d\", or use fewer workers",
			quantity.Format(workers, "worker"), need, limit.Cur, need)
	}
	return nil
}

// isNoProcess reports whether err means that the host cannot start a process for now.
func isNoProcess(err error) bool { return attempt.IsNoRoom(err) || errors.Is(err, syscall.EAGAIN) }

// probe creates, writes, syncs and removes a small file in dir, and returns what failed.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}
