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

// Ending says how an attempt at a trial ended.
type Ending string

// The endings of attempts.
const (
	FinishedHere    Ending = "finished" // this attempt published the record
	AlreadyFinished Ending = "done"     // the trial was finished before, or another process published it first
	Claimed         Ending = "claimed"  // another process is training the trial
	Failed          Ending = "failed"   // the attempt counts as a failed one
	NoRoom          Ending = "no room"  // the host or the campaign's disk is short of room, or the campaign is locked
	Unable          Ending = "unable"   // the trial could not begin, and probably no other can
	Refused         Ending = "refused"  // the campaign does not accept this trial's files; others may work
	Stopped         Ending = "stopped"  // ctx was cancelled
)

// Classify returns how a call of TrainInto that returned err ended and, if it [Failed], the kind
// of failure.
func Classify(ctx context.Context, campaign string, err error) (Ending, Kind) {
	var fault *Fault
	isFault := errors.As(err, &fault)
	switch {
	case err == nil:
		return FinishedHere, ""
	case errors.Is(err, results.ErrDone):
		return AlreadyFinished, ""
	case errors.Is(err, ErrClaimed):
		return Claimed, ""
	case ctx.Err() != nil && errors.Is(err, ctx.Err()):
		return Stopped, ""
	case isFault && fault.Unable: // before IsNoRoom, as it may be an error of the disk with the images
		return Unable, ""
	case IsNoRoom(err):
		return NoRoom, ""
	case AffectsOneArch(campaign, err): // the last checkpoint keeps what was trained
		return Refused, ""
	case isRefused(err): // likewise
		return Unable, ""
	case isFault:
		return Failed, fault.Kind
	}
	return Failed, OtherError
}

// IsNoRoom reports whether err comes from a disk that is full, faulty or gone, a host short of
// memory or file descriptors, or a locked campaign ([results.ErrLocked]). The trial is not at
// fault, and the condition may pass.
func IsNoRoom(err error) bool {
	for _, cause := range []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EIO, syscall.EROFS, syscall.ESTALE, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, results.ErrLocked} {
		if errors.Is(err, cause) {
			return true
		}
	}
	return false
}

// isRefused reports whether err comes from a campaign that this user cannot write to, or that
// does not accept a file of this size. Retrying does not help.
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

// AffectsOneArch reports whether err comes from a file that cannot be written (see isRefused) in
// the folders of a single architecture, so that others may still be trained.
func AffectsOneArch(campaign string, err error) bool {
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
