package attempt

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"

	"nb201/internal/atomicfile"
	"nb201/results"
)

// Ending is how an attempt at a trial ended.
type Ending string

const (
	Finished Ending = "finished" // its record is published
	Done     Ending = "done"     // it was done already, or another process was faster
	Claimed  Ending = "claimed"  // another process has it
	Failed   Ending = "failed"   // the attempt counts as failed
	NoRoom   Ending = "no room"  // the campaign's disk does not take its files
	Unable   Ending = "unable"   // it could not be begun, nor, it seems, could any other
	Refused  Ending = "refused"  // the campaign does not take it, but perhaps others
	Stopped  Ending = "stopped"  // ctx was cancelled
)

// Classify says how TrainInto ended that returned err, and of what kind a Failed one is.
func Classify(ctx context.Context, campaign string, err error) (Ending, Kind) {
	var fault *Fault
	isFault := errors.As(err, &fault)
	switch {
	case err == nil:
		return Finished, ""
	case errors.Is(err, results.ErrDone):
		return Done, ""
	case errors.Is(err, ErrClaimed):
		return Claimed, ""
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return Stopped, ""
	case isFault && fault.Unable: // perhaps of the disk with the images
		return Unable, ""
	case IsNoRoom(err):
		return NoRoom, ""
	case IsOfTrial(campaign, err): // what was trained is kept in its last checkpoint
		return Refused, ""
	case isRefused(err): // likewise
		return Unable, ""
	case isFault:
		return Failed, fault.Kind
	}
	return Failed, Other
}

// IsNoRoom reports whether err is that of a disk that is full, broken or gone, of a host that
// is short of memory or of file descriptors, or of a campaign that is locked: no fault of a
// trial, and it may pass.
func IsNoRoom(err error) bool {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.ESTALE, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, results.ErrLocked} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// isRefused reports whether err is of a campaign that takes nothing from this user, or
// nothing of this size: no attempt at any trial mends that.
func isRefused(err error) bool {
	var link *atomicfile.LinkError
	if errors.As(err, &link) {
		return true
	}
	for _, cause := range []error{fs.ErrPermission, syscall.ENOTDIR, syscall.EISDIR, syscall.ELOOP, syscall.EFBIG} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// IsOfTrial reports whether err is one of isRefused that lies in the folders of one
// architecture: others may be trained.
func IsOfTrial(campaign string, err error) bool {
	var link *atomicfile.LinkError
	var ofPath *fs.PathError
	path := ""
	switch {
	case errors.As(err, &link):
		path = link.Path
	case errors.As(err, &ofPath):
		path = ofPath.Path
	}
	within, notWithin := filepath.Rel(campaign, path)
	return isRefused(err) && notWithin == nil && filepath.IsLocal(within) && filepath.Dir(within) != "."
}
