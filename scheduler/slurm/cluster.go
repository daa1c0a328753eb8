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

// limits are what a cluster takes.
type limits struct {
	arraySize int // MaxArraySize: one more than the highest number of an element
	jobs      int // MaxJobCount: jobs that the controller holds, of which each element is one
}

func readLimits(ctx context.Context) (limits, error) {
	text, err := call(ctx, "", "scontrol", "show", "config")
	if err != nil {
		return limits{}, err
	}
	return parseLimits(text)
}

// parseLimits reads what "scontrol show config" prints.
func parseLimits(text string) (limits, error) {
	var l limits
	for name, value := range map[string]*int{"MaxArraySize": &l.arraySize, "MaxJobCount": &l.jobs} {
		n, err := strconv.Atoi(setting(text, name))
		if err != nil {
			return limits{}, usage.Errorf("scontrol show config tells no %s: is this Slurm?", name)
		}
		*value = n
	}
	return l, nil
}

// setting is the value of a setting in what "scontrol show config" prints.
func setting(text, name string) string {
	for lines := bufio.NewScanner(strings.NewReader(text)); lines.Scan(); {
		if key, value, ok := strings.Cut(lines.Text(), "="); ok && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// elements is how many elements an array may have beside the jobs that are in the queue. It
// leaves half of the room to others. Chunk I is element I, so that number 0 is not used.
func (l limits) elements(queued int) int { return max(0, min(l.arraySize-1, (l.jobs-queued)/2)) }

// chunks is the number of chunks for a plan of so many units: as many as the user asked
// for (asked; 0: as many as the cluster takes).
func (l limits) chunks(units, asked, queued int) (int, error) {
	most := l.elements(queued)
	switch {
	case asked < 0:
		return 0, usage.Errorf("--elements %d: use at least 1", asked)
	case l.arraySize < 2:
		return 0, usage.Errorf("this cluster takes no arrays (MaxArraySize %d): ask its administrator", l.arraySize)
	case most < 1:
		return 0, usage.Errorf("the cluster has %d jobs in its queue and takes %d (MaxJobCount): try again later", queued, l.jobs)
	case asked > most:
		return 0, usage.Errorf("--elements %d: use at most %d here, for MaxArraySize is %d, MaxJobCount %d, and %d jobs are in the queue",
			asked, most, l.arraySize, l.jobs, queued)
	case asked > 0:
		most = asked
	}
	return min(most, units), nil
}

// otherHosts lists the hosts of a partition's nodes, of all when it is empty, besides this
// one.
func otherHosts(ctx context.Context, partition string) ([]string, error) {
	args := []string{"--noheader", "--Node", "--format=%n"}
	if partition != "" {
		args = append(args, "--partition="+partition)
	}
	text, err := call(ctx, "", "sinfo", args...)
	if err != nil {
		return nil, err
	}
	own, err := os.Hostname()
	if err != nil {
		return nil, err
	}
	return besides(own, text), nil
}

// besides lists the names in text, once each, that are not those of host.
func besides(host, text string) []string {
	short := func(name string) string { name, _, _ = strings.Cut(name, "."); return name }
	names := slices.DeleteFunc(strings.Fields(text), func(name string) bool { return short(name) == short(host) })
	slices.Sort(names)
	return slices.Compact(names)
}

// checkShared refuses a directory on a disk of this host alone when there are other hosts.
func checkShared(dir string, others []string) error {
	var disk syscall.Statfs_t
	if err := syscall.Statfs(dir, &disk); err != nil {
		return usage.Errorf("cannot tell the file system of %s: %w", dir, err)
	}
	kind := ownDisk(int64(disk.Type))
	if kind == "" || len(others) == 0 {
		return nil
	}
	name := others[0]
	if n := len(others); n > 1 {
		name += " to " + others[n-1]
	}
	return usage.Errorf("campaign %s is on %s, a disk of this host, and elements run on others (%s): move it to a file system that all hosts share, or, if this host exports it, say --shared", dir, kind, name)
}

// ownDisk names a kind of file system that is on a disk, or in the memory, of one host; ""
// for others, such as NFS, Lustre, GPFS, BeeGFS, Ceph. The numbers are statfs(2)'s.
func ownDisk(kind int64) string {
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
