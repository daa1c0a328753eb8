package plugin

import (
	"cmp"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Driver returns the version of the NVIDIA driver and the names of the GPUs. The version is "" on a
// machine without a driver.
func Driver(ctx context.Context) (version string, gpus []string) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second) // nvidia-smi hangs if a GPU has failed
	defer cancel()
	output, err := exec.CommandContext(ctx, "nvidia-smi", "--query-gpu=driver_version,name", "--format=csv,noheader").Output()
	if err != nil {
		return DriverVersion(), nil
	}
	for line := range strings.Lines(string(output)) {
		driver, name, _ := strings.Cut(strings.TrimSpace(line), ", ")
		version, gpus = driver, append(gpus, name)
	}
	return version, gpus
}

// UnknownDriver is the version of a driver that does not report one, such as WSL's.
const UnknownDriver = "unknown"

// DriverVersion returns the version of the NVIDIA driver, such as "580.65.06". It comes from the
// file name of the driver's library, or else from the kernel, whose file a container may hide.
// DriverVersion returns "" if the library does not exist; nothing can use a GPU without it.
func DriverVersion() string {
	library := driverLibrary()
	if library == "" {
		return ""
	}
	text, _ := os.ReadFile("/proc/driver/nvidia/version") // gVisor and WSL do not have it
	return cmp.Or(parseDriverVersion(filepath.Base(library)), parseDriverVersion(string(text)), UnknownDriver)
}

// parseDriverVersion finds the version in a text such as "libcuda.so.580.65.06" or "NVRM version:
// NVIDIA UNIX x86_64 Kernel Module  580.65.06  Sun Jul ...".
func parseDriverVersion(text string) string {
	return regexp.MustCompile(`\b\d{3,}(\.\d+)+\b`).FindString(text)
}

// CUDAByDriver returns the CUDA devices that a driver supports, best first. It returns both for a
// driver of unknown version.
func CUDAByDriver(version string) []string {
	const firstForCUDA13 = 580
	major, _, _ := strings.Cut(version, ".")
	if n, err := strconv.Atoi(major); err == nil && n < firstForCUDA13 {
		return []string{CUDA12}
	}
	return []string{CUDA13, CUDA12}
}
