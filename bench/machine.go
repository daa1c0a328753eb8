package main

import (
	"cmp"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// machine says what the figures were taken on: processor, cores, memory, and the
// GPUs where the device is one.
func machine(device string) []string {
	described := []string{fmt.Sprintf("%s, %d cores", processor(), runtime.NumCPU())}
	if kib, err := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64); err == nil {
		described[0] += fmt.Sprintf(", %.0f GiB", kib/(1<<20))
	}
	if strings.HasPrefix(device, "cuda") {
		out, err := exec.Command("nvidia-smi", "--query-gpu=name,memory.total,driver_version", "--format=csv,noheader").Output()
		if err != nil {
			return append(described, "GPU unknown: nvidia-smi: "+err.Error())
		}
		described = append(described, strings.Split(strings.TrimSpace(string(out)), "\n")...)
	}
	return described
}

func processor() string {
	if name := field("/proc/cpuinfo", "model name"); name != "" {
		return name
	}
	if out, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil {
		return strings.TrimSpace(string(out))
	}
	return runtime.GOARCH
}

// load is the load average of the last minute; empty where it is not known.
func load() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	average, _, _ := strings.Cut(string(text), " ")
	return average
}

// field is the first value of a name in a /proc file; empty where there is none.
func field(file, name string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(text)) {
		if key, value, found := strings.Cut(line, ":"); found && strings.TrimSpace(key) == name {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// Memory is the most that a program has taken, in bytes; 0 where it is not known.
type Memory struct {
	RSS    int64 `json:"peak_rss"`
	Device int64 `json:"peak_device,omitempty"` // of a GPU
}

// watchMemory watches how much more of a GPU's memory is in use than now. The function it
// returns ends that and gives the most that it saw: what a program took that began
// meanwhile, its CUDA context included. That is 0 on a CPU.
func watchMemory(device string) (end func() int64) {
	before := usedMemory(device)
	if before < 0 {
		return func() int64 { return 0 }
	}
	most, stop, stopped := before, make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				most = max(most, usedMemory(device))
				return
			case <-time.After(time.Second):
				most = max(most, usedMemory(device))
			}
		}
	}()
	return func() int64 {
		close(stop)
		<-stopped
		return most - before
	}
}

// usedMemory is how many bytes of a GPU's memory are in use by all processes, or -1. (What
// a process uses is not to be had everywhere: in a container nvidia-smi does not know it.)
func usedMemory(device string) int64 {
	kind, index, _ := strings.Cut(device, ":")
	if kind != "cuda" {
		return -1
	}
	out, err := exec.Command("nvidia-smi", "--query-gpu=memory.used", "--format=csv,noheader,nounits", "-i", cmp.Or(index, "0")).Output()
	if err != nil {
		return -1
	}
	mib, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		return -1
	}
	return mib << 20
}

// cpuSeconds is what this process has used of all cores.
func cpuSeconds() float64 {
	u := resources()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

func resources() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // only for arguments out of range
	}
	return u
}

// peakRSS is the most memory that this process held, in bytes.
func peakRSS() int64 {
	u := resources()
	return maxRSS(&u)
}

// maxRSS is the most memory that a process held, in bytes.
func maxRSS(usage any) int64 {
	peak := usage.(*syscall.Rusage).Maxrss
	if runtime.GOOS == "darwin" {
		return peak
	}
	return peak << 10
}
