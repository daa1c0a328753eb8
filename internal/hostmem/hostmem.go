// Package hostmem reports the memory that this process may use: that of the machine, or
// of the control group around the process where its limit is lower, as in a container or
// a batch job.
package hostmem

import (
	"bufio"
	"bytes"
	"cmp"
	"io/fs"
	"math"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Memory is an amount of memory in bytes.
type Memory struct {
	Total uint64 // what the machine or the group has
	Free  uint64 // what it can give without swapping or killing
	Group bool   // Free is what the control group gives, and the machine has more
}

// Read reads the memory of the machine whose file system is root; os.DirFS("/") is this
// one. It reports false where the system has no /proc/meminfo.
//
// A group's files in the page cache that were not used lately count as free, as
// they do in MemAvailable. See https://docs.kernel.org/admin-guide/cgroup-v2.html#memory
// and https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
func Read(root fs.FS) (Memory, bool) {
	kilobytes := values(root, "proc/meminfo")
	total, ok := kilobytes["MemTotal:"]
	free, available := kilobytes["MemAvailable:"]
	if !ok || !available {
		return Memory{}, false
	}
	m := Memory{Total: total << 10, Free: free << 10}
	for _, g := range groups(root) {
		limit := cmp.Or(number(root, path.Join(g, "memory.max")), number(root, path.Join(g, "memory.limit_in_bytes")))
		if limit == 0 || limit > total<<10 { // none; the first version writes it as a huge number
			continue
		}
		used := cmp.Or(number(root, path.Join(g, "memory.current")), number(root, path.Join(g, "memory.usage_in_bytes")))
		stat := values(root, path.Join(g, "memory.stat"))
		used -= min(used, cmp.Or(stat["total_inactive_file"], stat["inactive_file"]))
		if left := limit - min(limit, used); left < m.Free {
			m.Free, m.Group = left, true
		}
		m.Total = min(m.Total, limit)
	}
	return m, true
}

// Kills returns how many processes the kernel has killed since it started because memory
// ran out, on the machine whose file system is root; 0 where the system does not count them.
func Kills(root fs.FS) uint64 { return values(root, "proc/vmstat")["oom_kill"] }

// groups lists the directories of the control groups that limit this process's memory,
// of either version: its own and those above it.
func groups(root fs.FS) []string {
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return nil
	}
	var dirs []string
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3)
		if len(fields) != 3 {
			continue
		}
		var mount string
		switch {
		case fields[1] == "":
			mount = "sys/fs/cgroup"
		case slices.Contains(strings.Split(fields[1], ","), "memory"):
			mount = "sys/fs/cgroup/memory"
		default:
			continue
		}
		// In a container the path may be that of the host: then only the mount is there.
		for below := path.Clean("/" + fields[2]); ; below = path.Dir(below) {
			dirs = append(dirs, path.Join(mount, below))
			if below == "/" {
				break
			}
		}
	}
	return dirs
}

// number reads a file of one number; 0 where there is none, or "max".
func number(root fs.FS, name string) uint64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0
	}
	n, err := strconv.ParseUint(string(bytes.TrimSpace(text)), 10, 64)
	if err != nil || n == math.MaxUint64 {
		return 0
	}
	return n
}

// values reads a file whose lines are a name and a number.
func values(root fs.FS, name string) map[string]uint64 {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return nil
	}
	found := map[string]uint64{}
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) > 1 {
			if n, err := strconv.ParseUint(fields[1], 10, 64); err == nil {
				found[fields[0]] = n
			}
		}
	}
	return found
}
