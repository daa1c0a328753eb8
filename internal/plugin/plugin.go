// Package plugin installs, finds and checks XLA plugins.
//
// A plugin is a shared library that compiles and runs programs on one kind of device through
// XLA's PJRT interface; go-xla loads it from its file. The devices are cpu, cuda12 and cuda13
// (NVIDIA GPUs, by the CUDA release that the plugin is built with), and cuda, which selects the
// one of the latter two that fits the driver.
//
// Plugins come in Python wheels, which are zip files on a package index. A [Pin] fixes the names
// and SHA-256 of a device's wheels (pins.json). [Install] unpacks them into one directory as pip
// would, so that the plugin finds its libraries beside it; [Find] finds an installed plugin, and
// [Verify] checks its files. For a CUDA plugin, [FindToolkit] finds the tools that it compiles
// with, and [Preload] loads its libraries.
package plugin

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"nb201/internal/usage"
	"nb201/internal/userdir"
)

// The devices that a plugin is for.
const (
	CPU    = "cpu"
	CUDA12 = "cuda12"
	CUDA13 = "cuda13"
	CUDA   = "cuda" // CUDA13 or CUDA12

	// CUDA13Compiler is the plugin of CUDA13 with the tools to compile programs, but without
	// the libraries to run them. It works on machines without a GPU.
	CUDA13Compiler = "cuda13-compiler"
)

// Devices lists the devices to train on that [Install] has plugins for.
func Devices() []string { return []string{CPU, CUDA12, CUDA13} }

// Plugin is a plugin on this machine.
type Plugin struct {
	Device  string `json:"device"`
	Path    string `json:"path,omitempty"`    // absolute
	Version string `json:"version,omitempty"` // of the plugin's wheel or project; "" if unknown
	Source  Source `json:"source,omitempty"`
	// Options holds go-xla's options that follow the path in GOMLX_BACKEND, "a=b,c=d".
	Options string `json:"options,omitempty"`
}

// Name returns the plugin's file name and version, for people and records.
func (p Plugin) Name() string { return strings.TrimSpace(filepath.Base(p.Path) + " " + p.Version) }

// Source is how a plugin got onto this machine, or how it was named.
type Source string

// The sources that [Find] searches.
const (
	FromSetup       Source = "nb201 setup"
	FromEnvironment Source = "GOMLX_BACKEND"
	FromGoXLA       Source = "go-xla" // its installer, or by hand in a directory that it searches
)

// Find returns the plugin for a device: the one that GOMLX_BACKEND names, else the one that
// [Install] installed, else one in the directories that go-xla searches. For [CUDA] the machine
// must have a driver, unless GOMLX_BACKEND names the plugin; the plugin itself then reports what is
// missing. Its errors are usage errors.
func Find(device string) (Plugin, error) {
	if device == CUDA {
		driver := DriverVersion()
		best := CUDAByDriver(driver)[0]
		if p, err := fromEnvironment(best); err != nil || p.Path != "" {
			return p, err
		}
		if driver == "" {
			return Plugin{}, usage.Errorf("no NVIDIA driver found (libcuda.so.1 is missing); use --device cpu, or install the driver, " +
				"or start the container with its GPUs (docker run --gpus all)")
		}
		return findFirst(device, CUDAByDriver(driver))
	}
	if !slices.Contains(Devices(), device) {
		return Plugin{}, usage.Errorf("unknown device %q; use one of %s", device, strings.Join(Devices(), ", "))
	}
	return findFirst(device, []string{device})
}

// findFirst returns the first plugin found for any of the devices; name is what the user calls
// them.
func findFirst(name string, devices []string) (Plugin, error) {
	for _, search := range []func(device string) (Plugin, error){fromEnvironment, fromSetup, fromGoXLA} {
		for _, d := range devices {
			if p, err := search(d); err != nil || p.Path != "" {
				return p, err
			}
		}
	}
	return Plugin{}, usage.Errorf("no XLA plugin for device %s; run `%s`", name, SetupCommand(devices[0]))
}

// Compiler returns a plugin that compiles for a GPU, on any machine: one for [CUDA13] that
// GOMLX_BACKEND names or [Install] installed, else [CUDA13Compiler]. Its errors are usage errors.
func Compiler() (Plugin, error) {
	p, err := fromEnvironment(CUDA13)
	for _, device := range []string{CUDA13, CUDA13Compiler} {
		if err == nil && p.Path == "" {
			p, err = fromSetup(device)
		}
	}
	if err == nil && p.Path == "" {
		err = usage.Errorf("no XLA plugin that compiles for a GPU; run `%s`", SetupCommand(CUDA13Compiler))
	}
	return p, err
}

// SetupCommand returns the command that installs the plugin for a device.
func SetupCommand(device string) string {
	switch device {
	case CPU:
		return "nb201 setup"
	case CUDA13Compiler:
		return "nb201 setup --device cuda13 --compiler"
	}
	return "nb201 setup --device " + device
}

// fromEnvironment returns the plugin in GOMLX_BACKEND=xla:PATH[,OPTIONS], or a zero Plugin if that
// is not set or names a plugin for another device. gomlx's other values, which are for other programs,
// are ignored: xla, xla:NAME for a plugin by name, and its backend go.
func fromEnvironment(device string) (Plugin, error) {
	value := os.Getenv("GOMLX_BACKEND")
	backend, config, _ := strings.Cut(value, ":")
	path, options, _ := strings.Cut(config, ",")
	switch {
	case value == "", backend == "go":
		return Plugin{}, nil
	case backend != "xla":
		return Plugin{}, usage.Errorf("GOMLX_BACKEND is %q; use xla:PATH, with the absolute path of an XLA plugin", value)
	case !strings.ContainsAny(path, "/."), takenForCUDA(path) != (device != CPU):
		return Plugin{}, nil
	}
	if !filepath.IsAbs(path) {
		return Plugin{}, usage.Errorf("GOMLX_BACKEND names the XLA plugin by the relative path %s; use the absolute path", path)
	}
	if !isFile(path) {
		return Plugin{}, usage.Errorf("GOMLX_BACKEND names the XLA plugin %s, which does not exist; correct or unset the variable", path)
	}
	return Plugin{Device: device, Path: path, Version: wheelVersion(path), Source: FromEnvironment, Options: options}, nil
}

// wheelVersion returns the version of the wheel that pip installed the plugin at path from, or "" if
// that is unknown. A wheel's RECORD, in a directory beside its packages, lists its files.
func wheelVersion(path string) string {
	dir, name := filepath.Split(path)
	for range 3 { // the plugin is in a package in a package
		records, _ := filepath.Glob(filepath.Join(dir, "*pjrt*-*.dist-info", "RECORD"))
		for _, record := range records {
			text, err := os.ReadFile(record)
			if err == nil && strings.Contains("\n"+string(text), "\n"+name+",") {
				_, version, _ := strings.Cut(strings.TrimSuffix(filepath.Base(filepath.Dir(record)), ".dist-info"), "-")
				return version
			}
		}
		dir = filepath.Clean(dir)
		name = filepath.Base(dir) + "/" + name
		dir = filepath.Dir(dir)
	}
	return ""
}

// releasePattern matches the CUDA release in the names that JAX's wheels have for their directories.
var releasePattern = regexp.MustCompile(`(?:^|[^a-z])(cuda1[23])(?:[^0-9]|$)`)

// Release returns the device of a CUDA plugin, [CUDA12] or [CUDA13], or [CUDA] if its path does not
// name the release. GOMLX_BACKEND can name a plugin of either.
func (p Plugin) Release() string {
	if p.Source != FromEnvironment {
		return p.Device
	}
	if m := releasePattern.FindAllStringSubmatch(p.Path, -1); m != nil {
		return m[len(m)-1][1]
	}
	return CUDA
}

// takenForCUDA reports whether go-xla takes the plugin at path for a CUDA plugin. It goes by the
// whole path (pjrt.IsCUDAName).
func takenForCUDA(path string) bool {
	upper := strings.ToUpper(path)
	return strings.Contains(upper, "CUDA") || strings.Contains(upper, "NVIDIA")
}

// takenForCPU reports whether go-xla takes the plugin at path for a CPU plugin
// ((*pjrt.Plugin).IsCPU).
func takenForCPU(path string) bool { return strings.Contains(strings.ToUpper(path), "CPU") }

// fromSetup returns the plugin that Install installed, or a zero Plugin.
func fromSetup(device string) (Plugin, error) {
	pin := Pins()[device]
	root, err := Root()
	if err != nil || !pin.fitsPlatform() {
		return Plugin{}, nil // without a directory for plugins there is no installed one
	}
	p := pin.plugin(root, device)
	if !isFile(p.Path) {
		return Plugin{}, nil
	}
	return p, checkPath(p)
}

// plugin returns the Pin's plugin as it is installed under root.
func (p Pin) plugin(root, device string) Plugin {
	path := filepath.Join(root, p.Directory(device), filepath.FromSlash(p.Plugin))
	return Plugin{Device: device, Path: path, Version: p.Version, Source: FromSetup}
}

// checkPath returns a usage error if go-xla would take the plugin, by its path, for one for another
// device.
func checkPath(p Plugin) error {
	if takenForCUDA(p.Path) != (p.Device != CPU) || takenForCPU(p.Path) != (p.Device == CPU) {
		return usage.Errorf("the path of the %s plugin would be %s, which go-xla would take for another device's; "+
			"set NB201_HOME to a directory without cpu, cuda or nvidia in its path", p.Device, p.Path)
	}
	return nil
}

// Root returns the directory that [Install] installs plugins in: "pjrt" in $NB201_HOME, which
// defaults to "nb201" in $XDG_DATA_HOME or in ".local/share" of [userdir.Home]. Its errors are usage
// errors.
func Root() (string, error) {
	home := os.Getenv("NB201_HOME")
	if home == "" {
		data := os.Getenv("XDG_DATA_HOME")
		if !filepath.IsAbs(data) {
			user, err := userdir.Home()
			if err != nil {
				return "", usage.Errorf("no directory for plugins (%w); set NB201_HOME to one", err)
			}
			data = filepath.Join(user, ".local", "share")
		}
		home = filepath.Join(data, "nb201")
	}
	home, err := filepath.Abs(home)
	if err != nil {
		return "", err
	}
	return filepath.Join(home, "pjrt"), nil
}

// goXLAName matches a plugin's file name as go-xla does (pjrt's pathToPluginName), and captures its
// device and version.
var goXLAName = regexp.MustCompile(`^(?:pjrt_c_api_|pjrt[-_]plugin[-_])(cpu|cuda)(?:_(v?[0-9.]+))?(?:_plugin)?\.(?:so|dylib|dll)$`)

// fromGoXLA returns a plugin in the directories that go-xla searches, except those of the system's
// loader, or a zero Plugin.
func fromGoXLA(device string) (Plugin, error) {
	for _, dir := range goXLADirectories() {
		entries, err := os.ReadDir(dir)
		if err != nil {
			continue // most of them do not exist
		}
		for _, entry := range entries {
			parts := goXLAName.FindStringSubmatch(entry.Name())
			path := filepath.Join(dir, entry.Name())
			if parts == nil || (parts[1] == CPU) != (device == CPU) || !isFile(path) {
				continue
			}
			// The libraries identify a CUDA plugin's release: CUDA 13 keeps them in one directory, cu13.
			if parts[1] == CUDA && isDirectory(filepath.Join(dir, "cu13")) != (device == CUDA13) {
				continue
			}
			version := parts[2]
			if target, err := os.Readlink(path); err == nil && goXLAName.MatchString(filepath.Base(target)) {
				version = goXLAName.FindStringSubmatch(filepath.Base(target))[2]
			}
			return Plugin{Device: device, Path: path, Version: strings.TrimPrefix(version, "v"), Source: FromGoXLA}, nil
		}
	}
	return Plugin{}, nil
}

func goXLADirectories() []string {
	if paths, set := os.LookupEnv("PJRT_PLUGIN_LIBRARY_PATH"); set {
		return slices.DeleteFunc(filepath.SplitList(paths), func(dir string) bool { return !filepath.IsAbs(dir) })
	}
	var bases []string
	if own, err := goXLAHome(); err == nil {
		bases = append(bases, own)
	}
	if user, err := os.UserHomeDir(); err == nil {
		bases = append(bases, filepath.Join(user, ".local", "lib", "gomlx", "pjrt"))
	}
	bases = append(bases, "/usr/local/lib/go-xla", "/usr/local/lib/gomlx/pjrt")
	var directories []string
	for _, base := range bases {
		directories = append(directories, base, filepath.Join(base, "nvidia"))
	}
	return directories
}

func isFile(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular()
}

func isDirectory(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.IsDir()
}
