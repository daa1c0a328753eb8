package plugin

import (
	"context"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Driver returns the version of the NVIDIA driver and the names of the GPUs, or ""
// and none on a machine without.
func Driver(ctx context.Context) (version string, gpus []string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // A GPU in trouble makes it hang.
	defer cancel()
	output, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader").Output()
	if err != nil {
		return driverVersion(), nil
	}
	for line := range strings.Lines(string(output)) {
		driver, name, _ := strings.Cut(strings.TrimSpace(line), ", ")
		version, gpus = driver, append(gpus, name)
	}
	return version, gpus
}

// driverVersion is the version of the NVIDIA driver that the kernel has, or "".
func driverVersion() string {
	text, err := os.ReadFile("/proc/driver/nvidia/version")
	if err != nil {
		return ""
	}
	return parseDriverVersion(string(text))
}

// parseDriverVersion reads "NVRM version: NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul ...".
func parseDriverVersion(text string) string {
	return regexp.MustCompile(`\b\d{3,}(\.\d+)+\b`).FindString(text)
}

// CUDAByDriver returns the CUDA devices that a driver can serve, the best first;
// both for an unknown driver.
func CUDAByDriver(version string) []string {
	const firstForCUDA13 = 580
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < firstForCUDA13 {
		return []string{CUDA12}
	}
	return []string{CUDA13, CUDA12}
}
