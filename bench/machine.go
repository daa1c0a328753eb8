package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
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
