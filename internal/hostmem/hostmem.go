// Package hostmem reports how much memory this process may use: the machine's, or less if the
// process runs in a control group with a lower limit, such as a container or a batch job.
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
	Total uint64 // of the machine, or the limit of the control group if that is lower
	Free  uint64 // available without swapping or killing
	Group bool   // the control group's limit, and not the machine, determines Free
}

// Read reads the memory of the machine whose file system is root, os.DirFS("/") for this one. It
// returns false if the system has no /proc/meminfo.
//
// A group's files in the page cache that were not used lately count as free, as they do in
// MemAvailable. See https://docs.kernel.org/admin-guide/cgroup-v2.html#memory and
// https://docs.kernel.org/admin-guide/cgroup-v1/memory.html.
func Read(root fs.FS) (Memory, bool) {
	kilobytes := readTable(root, "proc/meminfo")
	total, ok := kilobytes["MemTotal:"]
	free, available := kilobytes["MemAvailable:"]
	if !ok || !available {
		return Memory{}, false
	}
	m := Memory{Total: total << 10, Free: free << 10}
	for _, g := range groups(root) {
		limit := cmp.Or(readNumber(root, path.Join(g, "memory.max")), readNumber(root, path.Join(g, "memory.limit_in_bytes")))
		if limit == 0 || limit > total<<10 { // no limit; cgroup v1 writes that as a huge number
			continue
		}
		used := cmp.Or(readNumber(root, path.Join(g, "memory.current")), readNumber(root, path.Join(g, "memory.usage_in_bytes")))
		stat := readTable(root, path.Join(g, "memory.stat"))
		used -= min(used, cmp.Or(stat["total_inactive_file"], stat["inactive_file"]))
		if left := limit - min(limit, used); left < m.Free {
			m.Free, m.Group = left, true
		}
		m.Total = min(m.Total, limit)
	}
	return m, true
}

// Kills returns the number of processes that the kernel has killed since boot because memory ran
// out, on the machine whose file system is root. It returns 0 if the system does not count them.
func Kills(root fs.FS) uint64 { return readTable(root, "proc/vmstat")["oom_kill"] }

// groups lists the directories of the control groups, v1 or v2, that limit this process's memory:
// its own group and those above it.
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
		// In a container this may be the path on the host; then only the root of the mount exists.
		for below := path.Clean("/" + fields[2]); ; below = path.Dir(below) {
			dirs = append(dirs, path.Join(mount, below))
			if below == "/" {
				break
			}
		}
	}
	return dirs
}

// readNumber reads a file that contains one number. It returns 0 if the file does not exist or does
// not contain a number, such as "max".
func readNumber(root fs.FS, name string) uint64 {
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

// readTable reads a file whose lines consist of a name and a number.
func readTable(root fs.FS, name string) map[string]uint64 {
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
