package slurm

import (
	"bufio"
	"context"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"nb201/internal/usage"
)

// limits holds a cluster's limits on jobs.
type limits struct {
	arraySize int // MaxArraySize: one more than the highest element number
	jobs      int // MaxJobCount: jobs that the controller accepts; each element counts as one
}

// readLimits asks the cluster for its limits.
func readLimits(ctx context.Context) (limits, error) {
	text, err := runProgram(ctx, "", "scontrol", "show", "config")
	if err != nil {
		return limits{}, err
	}
	return parseLimits(text)
}

// parseLimits parses the output of "scontrol show config".
func parseLimits(text string) (limits, error) {
	var l limits
	for name, value := range map[string]*int{"MaxArraySize": &l.arraySize, "MaxJobCount": &l.jobs} {
		n, err := strconv.Atoi(configValue(text, name))
		if err != nil {
			return limits{}, usage.Errorf("scontrol show config does not report %s; check that scontrol is Slurm's", name)
		}
		*value = n
	}
	return l, nil
}

// configValue returns the value of a setting in the output of "scontrol show config", or "".
func configValue(text, name string) string {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// maxElements returns how many elements an array may have while queued jobs are in the queue. It
// leaves half of the remaining room to other users. Chunk I is element I, so number 0 is unused.
func (l limits) maxElements(queued int) int { return max(0, min(l.arraySize-1, (l.jobs-queued)/2)) }

// chunkCount returns the number of chunks for a plan with the given number of units: asked, or, if
// that is 0, as many as the cluster accepts, and never more than units.
func (l limits) chunkCount(units, asked, queued int) (int, error) {
	most := l.maxElements(queued)
	switch {
	case asked < 0:
		return 0, usage.Errorf("--elements %d: use at least 1", asked)
	case l.arraySize < 2:
		return 0, usage.Errorf("this cluster does not accept job arrays (MaxArraySize is %d); ask its administrator", l.arraySize)
	case most < 1:
		return 0, usage.Errorf("the cluster has %d jobs in its queue and accepts %d (MaxJobCount); try again later", queued, l.jobs)
	case asked > most:
		return 0, usage.Errorf("--elements %d: use at most %d on this cluster (MaxArraySize is %d, MaxJobCount is %d, %d jobs are in the queue)",
			asked, most, l.arraySize, l.jobs, queued)
	case asked > 0:
		most = asked
	}
	return min(most, units), nil
}

// otherHosts returns the hosts of a partition's nodes except this one. An empty partition means all
// nodes.
func otherHosts(ctx context.Context, partition string) ([]string, error) {
	args := []string{"--noheader", "--Node", "--format=%n"}
	if partition != "" {
		args = append(args, "--partition="+partition)
	}
	text, err := runProgram(ctx, "", "sinfo", args...)
	if err != nil {
		return nil, err
	}
	host, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return namesExcept(host, text), nil
}

// namesExcept returns the host names in text, sorted and without duplicates, except host. It
// compares names without their domain.
func namesExcept(host, text string) []string {
	short := func(name string) string { name, _, _ = strings.Cut(name, "."); return name }
	names := slices.DeleteFunc(strings.Fields(text), func(name string) bool { return short(name) == short(host) })
	slices.Sort(names)
	return slices.Compact(names)
}

// checkShared returns a usage error when dir is on a local disk of this host and others is not
// empty.
func checkShared(dir string, others []string) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return usage.Errorf("cannot determine the file system of %s: %w", dir, err)
	}
	kind := localFileSystem(int64(disk.Type))
	if kind == "" || len(others) == 0 {
		return nil
	}
	name := others[0]
	if n := len(others); n > 1 {
		name += " to " + others[n-1]
	}
	return usage.Errorf("campaign %s is on a local file system of this host (%s), but elements run on others (%s); "+
		"move it to a file system that all hosts share, or use --shared if this host exports it", dir, kind, name)
}

// localFileSystem returns the name of a file system type that resides on a disk, or in the memory,
// of one host, and "" for others, such as NFS, Lustre, GPFS, BeeGFS and Ceph. The numbers are the
// f_type of statfs(2).
func localFileSystem(kind int64) string {
	switch kind {
	case 0xEF53:
		return "ext4"
	case 0x58465342:
		return "XFS"
	case 0x9123683E:
		return "Btrfs"
	case 0x2FC12FC1:
		return "ZFS"
	case 0x01021994, 0x858458F6:
		return "tmpfs"
	case 0x794C7630:
		return "overlayfs"
	}
	return ""
}
