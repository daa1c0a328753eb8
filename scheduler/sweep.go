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

// sweep removes what killed processes left of trials that are done, and the states of
// runs on this host that are no more. Whatever else lies there stays: a name that no
// trial has, and what is behind a link.
func sweep(campaign, host string) error {
	remove := map[string]func(string, results.Trial) error{"running/*/*/*": attempt.Tidy, "failed/*/*/*.json": attempt.Forget}
	return results.Campaign{Dir: campaign}.Within(func(root atomicfile.Root) error {
		for glob, remove := range remove {
			// os.DirFS opens directories alone: it does not wait at a named pipe, as root.FS does.
			places, err := fs.Glob(os.DirFS(campaign), glob)
			if err != nil {
				return err
			}
			for _, place := range places {
				_, name, _ := strings.Cut(strings.TrimSuffix(place, ".json"), "/")
				t, ok := results.ParsePath(name)
				if !ok || root.CheckLinks(place) != nil {
					continue
				}
				if done, _ := (results.Campaign{Dir: campaign}).Done(t); !done {
					continue
				}
				if err := remove(campaign, t); err != nil {
					return err
				}
			}
		}
		return sweepStates(root, campaign, host)
	})
}

// sweepStates removes the states of this host's runs that are no more.
func sweepStates(root atomicfile.Root, campaign, host string) error {
	states, err := fs.Glob(os.DirFS(campaign), "running/*.json*") // whole ones, and one that was being written
	if err != nil {
		return err
	}
	for _, name := range states {
		of, ours := strings.CutPrefix(name, "running/"+host+"-")
		var pid int
		if _, err := fmt.Sscanf(of, "%d.json", &pid); !ours || err != nil || root.CheckLinks(name) != nil || state.Alive(pid) {
			continue
		}
		if err := root.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}
