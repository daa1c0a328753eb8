package scheduler

import (
	"errors"
	"fmt"
	"os"
	"syscall"

	"github.com/dustin/go-humanize"

	"nb201/internal/hostmem"
	"nb201/internal/progress"
	"nb201/internal/usage"
	"nb201/scheduler/attempt"
)

// minFreeMemory is the memory in bytes that must be free for a trial to begin: a
// worker that begins with less would soon be killed for it.
const minFreeMemory = 512 << 20

// checkHost tells why no trial can begin: little room on the disk of the campaign, or
// little memory. Empty: one can.
func checkHost(dir string, minFreeDisk uint64) string {
	var disk syscall.Statfs_t
	switch err := syscall.Statfs(dir, &disk); {
	case err != nil:
		return fmt.Sprintf("the campaign's disk cannot be reached: %v", &os.PathError{Op: "statfs", Path: dir, Err: err})
	case disk.Bavail*uint64(disk.Bsize) < minFreeDisk:
		return fmt.Sprintf("%s has %s free, less than %s", dir, humanize.IBytesN(disk.Bavail*uint64(disk.Bsize), 3), humanize.IBytesN(minFreeDisk, 3))
	case disk.Files > 0 && disk.Ffree < minFreeFiles:
		return fmt.Sprintf("%s can take %d more files only", dir, disk.Ffree)
	}
	if m, ok := hostmem.Read(os.DirFS("/")); ok {
		return checkMemory(m)
	}
	return ""
}

// checkMemory reports why no trial can begin for want of memory.
func checkMemory(m hostmem.Memory) string {
	who := "the host"
	if m.Group {
		who = "the control group (container or job) of this run"
	}
	// A small group would otherwise wait for ever; what fits into it can be trained.
	if need := min(minFreeMemory, m.Total/4); m.Free < need {
		return fmt.Sprintf("%s has %s of memory free, less than %s", who, humanize.IBytesN(m.Free, 3), humanize.IBytesN(need, 3))
	}
	return ""
}

// minFreeFiles is the number of files that the disk of a campaign must be able to take.
const minFreeFiles = 256

// checkDescriptors refuses to begin with more workers than the limit of open files allows: a
// worker takes four (its log, its pipes and itself).
func checkDescriptors(workers int) error {
	const others = 16
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return nil // no limit is known
	}
	if need := uint64(4*workers + others); need > limit.Cur {
		return usage.Errorf("a run of %s takes %d file descriptors, and its limit is %d: raise it (ulimit -n %d), or use fewer workers",
			progress.Quantity(workers, "worker"), need, limit.Cur, need)
	}
	return nil
}

// isNoProcess reports that the host can start no process for now.
func isNoProcess(err error) bool { return attempt.IsNoRoom(err) || errors.Is(err, syscall.EAGAIN) }

// probe tells whether a file can be made in dir, written and synced.
func probe(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return err
	}
	_, err = f.Write(make([]byte, 64<<10))
	return errors.Join(err, f.Sync(), f.Close(), os.Remove(f.Name()))
}
