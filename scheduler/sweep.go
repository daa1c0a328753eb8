package scheduler

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"

	"nb201/internal/atomicfile"
	"nb201/results"
	"nb201/scheduler/attempt"
	"nb201/scheduler/state"
)

// sweep removes what killed processes left behind: checkpoints and failure notes of finished
// trials, and the state files of dead runs on this host. It leaves everything else alone, such
// as files whose name is not a trial's and files behind a symbolic link.
func sweep(c results.Campaign, host string) error {
	remove := map[string]func(string, results.Trial) error{"running/*/*/*": attempt.Tidy, "failed/*/*/*.json": attempt.Forget}
	return c.Within(func(root atomicfile.Root) error {
		for glob, remove := range remove {
			// Unlike root.FS, os.DirFS opens only directories, so that a named pipe cannot block it.
			paths, err := fs.Glob(os.DirFS(c.Dir), glob)
			if err != nil {
				return err
			}
			for _, path := range paths {
				_, name, _ := strings.Cut(strings.TrimSuffix(path, ".json"), "/")
				t, ok := results.ParsePath(name)
				if !ok || root.CheckLinks(path) != nil {
					continue
				}
				if done, _ := c.Done(t); !done {
					continue
				}
				if err := remove(c.Dir, t); err != nil {
					return err
				}
			}
		}
		return sweepStates(root, c.Dir, host)
	})
}

// sweepStates removes the state files of this host's runs whose process is gone.
func sweepStates(root atomicfile.Root, campaign, host string) error {
	states, err := fs.Glob(os.DirFS(campaign), "running/*.json*") // also NAME.json.tmp, a write that was interrupted
	if err != nil {
		return err
	}
	for _, name := range states {
		rest, ours := strings.CutPrefix(name, "running/"+host+"-")
		var pid int
		if _, err := fmt.Sscanf(rest, "%d.json", &pid); !ours || err != nil || root.CheckLinks(name) != nil || state.Alive(pid) {
			continue
		}
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
