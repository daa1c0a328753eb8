package hostmem

import (
	"os"
	"testing"
	"testing/fstest"

	"nb201/internal/needs"
)

func files(texts map[string]string) fstest.MapFS {
	fsys := fstest.MapFS{"proc/meminfo": {Data: []byte("MemTotal:       16777216 kB\nMemFree:         1000 kB\nMemAvailable:    8388608 kB\n")}}
	for name, text := range texts {
		fsys[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return fsys
}

func TestRead(t *testing.T) {
	const gib = 1 << 30
	for name, c := range map[string]struct {
		files map[string]string
		want  Memory
	}{
		"no groups": {nil, Memory{16 * gib, 8 * gib, false}},
		"version 2": {map[string]string{
			"proc/self/cgroup":                   "0::/a/job\n",
			"sys/fs/cgroup/a/job/memory.max":     "4294967296\n",
			"sys/fs/cgroup/a/job/memory.current": "3221225472\n",
			"sys/fs/cgroup/a/job/memory.stat":    "anon 1\ninactive_file 1073741824\nactive_file 77\n",
		}, Memory{4 * gib, 2 * gib, true}},
		"version 2, a group above is tighter": {map[string]string{
			"proc/self/cgroup":                   "0::/a/job\n",
			"sys/fs/cgroup/a/job/memory.max":     "max\n",
			"sys/fs/cgroup/a/job/memory.current": "3221225472\n",
			"sys/fs/cgroup/a/memory.max":         "6442450944\n",
			"sys/fs/cgroup/a/memory.current":     "6442450944\n",
		}, Memory{6 * gib, 0, true}},
		"version 2, in a container that sees the host's path": {map[string]string{
			"proc/self/cgroup":             "0::/../host/path\n",
			"sys/fs/cgroup/memory.max":     "1073741824\n",
			"sys/fs/cgroup/memory.current": "4096\n",
		}, Memory{gib, gib - 4096, true}},
		"version 1": {map[string]string{
			"proc/self/cgroup": "5:cpu,cpuacct:/x\n4:memory:/job\n0::/\n",
			"sys/fs/cgroup/memory/job/memory.limit_in_bytes": "2147483648\n",
			"sys/fs/cgroup/memory/job/memory.usage_in_bytes": "1610612736\n",
			"sys/fs/cgroup/memory/job/memory.stat":           "inactive_file 5\ntotal_inactive_file 1073741824\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":     "9223372036854771712\n",
		}, Memory{2 * gib, 3 * gib / 2, true}},
		"a limit that is no number, a line that is none": {map[string]string{
			"proc/self/cgroup":         "nonsense\n0::/\n",
			"sys/fs/cgroup/memory.max": "lots\n",
		}, Memory{16 * gib, 8 * gib, false}},
	} {
		t.Run(name, func(t *testing.T) {
			if got, ok := Read(files(c.files)); !ok || got != c.want {
				t.Errorf("%+v, %v; want %+v", got, ok, c.want)
			}
		})
	}
	if got, ok := Read(fstest.MapFS{}); ok {
		t.Errorf("without /proc: %+v", got)
	}
}

func TestReadThisMachine(t *testing.T) {
	_, err := os.Stat("/proc/meminfo")
	needs.System(t, err)
	m, ok := Read(os.DirFS("/"))
	if !ok || m.Total == 0 || m.Free == 0 || m.Free > m.Total {
		t.Errorf("%+v, %v", m, ok)
	}
}

func TestKills(t *testing.T) {
	fsys := files(map[string]string{"proc/vmstat": "nr_free_pages 77\noom_kill 6\noom_kill_other 9\n"})
	if n := Kills(fsys); n != 6 {
		t.Errorf("%d kills, want 6", n)
	}
	if n := Kills(fstest.MapFS{}); n != 0 {
		t.Errorf("without /proc: %d kills", n)
	}
}
