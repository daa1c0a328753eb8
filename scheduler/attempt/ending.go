package scheduler

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"syscall"
	"time"

	"nb201/internal/atomicfile"
	"nb201/internal/torchfile"
	"nb201/results"
)

// Publish puts what a trial left into the campaign: see Campaign.PublishOrKeep. Hours of
// training are not thrown away for a full disk: as long as the campaign has no room, or is
// locked by a process that does not go on, Publish calls waiting with the reason and tries
// again every so often, until ctx is cancelled.
func Publish(ctx context.Context, c results.Campaign, r *results.Record, weights torchfile.StateDict, every time.Duration, waiting func(error) error) error {
	for {
		err := c.PublishOrKeep(r, weights)
		if !isNoRoom(err) {
			return err
		}
		if err := waiting(err); err != nil {
			return err
		}
		sleep(ctx, every)
		if err := ctx.Err(); err != nil {
			return err
		}
	}
}

// isNoRoom reports whether err is that of a disk that is full, broken or gone, of a host that
// is short of memory or of file descriptors, or of a campaign that is locked: no fault of a
// trial, and it may pass.
func isNoRoom(err error) bool {
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

// isOfTrial reports whether err is one of isRefused that lies in the folders of one
// architecture: others may be trained.
func isOfTrial(campaign string, err error) bool {
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
