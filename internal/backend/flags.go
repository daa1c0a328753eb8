package backend

import (
	"maps"
	"os"
	"runtime"
	"slices"
	"strings"

	"nb201/internal/infile"
)

// cpuFlags returns XLA's flags for the CPU plugin that plugin.Install installs. Another plugin may not
// know them, and would end the process. YNNPACK computes elementwise operations, since XLA compiles a
// function for each operation that is left to it. It does not compute sums and products of matrices, and XLA uses
// no newer instructions of x86-64 than AVX2, because both choose the order of sums by the processor. Figures are in
// docs/performance.md.
func cpuFlags() map[string]string {
	flags := map[string]string{"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_ELTWISE"}
	if runtime.GOARCH == "amd64" {
		flags["xla_cpu_max_isa"] = "AVX2"
	}
	return flags
}

// setFlags adds flags to XLA_FLAGS, which a plugin reads when it is loaded. It does not change
// flags that are set there already.
func setFlags(flags map[string]string) error {
	set := strings.Fields(os.Getenv("XLA_FLAGS"))
	if len(set) > 0 && !strings.HasPrefix(set[0], "--") {
		return nil // XLA_FLAGS names a file of flags
	}
	all := set
	for _, name := range slices.Sorted(maps.Keys(flags)) {
		if !slices.ContainsFunc(set, hasName(name)) {
			all = append(all, "--"+name+"="+flags[name])
		}
	}
	return os.Setenv("XLA_FLAGS", strings.Join(all, " "))
}

// xlaFlags returns the flags in XLA_FLAGS, or in the file that it names.
func xlaFlags() []string {
	text := os.Getenv("XLA_FLAGS")
	if text != "" && !strings.HasPrefix(strings.TrimSpace(text), "-") {
		file, _ := infile.Read(text, infile.MaxText) // XLA reports a file that cannot be read
		text = string(file)
	}
	return strings.Fields(text)
}

// hasName returns a function that reports whether a flag has this name.
func hasName(name string) func(flag string) bool {
	return func(flag string) bool { return flag == "--"+name || strings.HasPrefix(flag, "--"+name+"=") }
}
