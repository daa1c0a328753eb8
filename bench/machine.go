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

// describeMachine describes this machine: processor, cores, memory and, if device is a GPU, its GPUs.
func describeMachine(device string) []string {
	described := []string{fmt.Sprintf("%s, %d cores", processor(), runtime.NumCPU())}
	if kib, err := strconv.ParseFloat(strings.TrimSuffix(procField("/proc/meminfo", "MemTotal"), " kB"), 64); err == nil {
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

// processor returns the model of the CPU.
func processor() string {
	if name := procField("/proc/cpuinfo", "model name"); name != "" {
		return name
	}
	if out, err := exec.Command("sysctl", "-n", "machdep.cpu.brand_string").Output(); err == nil {
		return strings.TrimSpace(string(out))
	}
	return runtime.GOARCH
}

// loadAverage returns the load average of the last minute, or "" if unknown.
func loadAverage() string {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return ""
	}
	average, _, _ := strings.Cut(string(text), " ")
	return average
}

// procField returns the first value of a name in a /proc file, or "".
func procField(file, name string) string {
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

// Memory is the peak memory of a program, in bytes; 0 if unknown.
type Memory struct {
	RSS    int64 `json:"peak_rss"`
	Device int64 `json:"peak_device,omitempty"` // GPU memory
}

// watchMemory starts watching a GPU's used memory. The returned function stops that and returns the
// peak increase: the memory of a program that was started meanwhile, with its CUDA context. On a CPU
// it returns 0.
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

// usedMemory returns the bytes of a GPU's memory in use by all processes, or -1 if unknown.
// (nvidia-smi does not report the use of single processes in a container.)
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

// cpuSeconds returns the CPU time that this process has used on all cores.
func cpuSeconds() float64 {
	u := resources()
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()).Seconds()
}

// resources returns the resource usage of this process.
func resources() (u syscall.Rusage) {
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err) // fails only for invalid arguments
	}
	return u
}

// peakRSS returns the peak resident memory of this process, in bytes.
func peakRSS() int64 {
	u := resources()
	return maxRSS(&u)
}

// maxRSS returns the peak resident memory from a process's *syscall.Rusage, in bytes.
func maxRSS(usage any) int64 {
	peak := usage.(*syscall.Rusage).Maxrss
	if runtime.GOOS == "darwin" {
		return peak
	}
	return peak << 10
}
