// Command pins selects the wheels that each device's XLA plugin is installed from and writes them
// to internal/plugin/pins.json. To change to another version, edit roots below and run
//
//	go generate ./internal/plugin
//
// It reads the package index that pip is configured for, which must serve JSON pages. The wheels
// are those that pip would install today on Linux on x86-64: for each project the newest release
// that every project requiring it accepts.
package main

import (
	"archive/zip"
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/textproto"
	"os"
	"os/signal"
	"path"
	"regexp"
	"slices"
	"strings"

	version "github.com/aquasecurity/go-pep440-version"
	"github.com/dustin/go-humanize"

	"nb201/internal/plugin"
	"nb201/internal/plugin/index"
)

// root describes a device's plugin, from which its wheels are resolved.
type root struct {
	device  string
	project string // the project whose wheel contains the plugin
	version string
	plugin  string // the plugin's path within the wheel
	// requiring is the project whose requirements, with the extra with-cuda, are the plugin's
	// libraries. It has the same version. It is not installed itself, since it contains only
	// Python code. If it is "", the plugin needs no libraries.
	requiring string
	also      []string // more projects to install, each as name==version
}

var roots = []root{
	{"cpu", "lammps-jax-pjrt-cpu", "0.11.2", "lammps_jax_pjrt_cpu/pjrt_c_api_cpu_plugin.so", "", nil},
	{"cuda12", "jax-cuda12-pjrt", "0.11.2", "jax_plugins/xla_cuda12/xla_cuda_plugin.so", "jax-cuda12-plugin", nil},
	{"cuda13", "jax-cuda13-pjrt", "0.11.2", "jax_plugins/xla_cuda13/xla_cuda_plugin.so", "jax-cuda13-plugin", nil},
	// The last nvcc of CUDA 12 has ptxas and libdevice in one wheel of 41 MB; for CUDA 13 they are in
	// two wheels of 122 MB.
	{"cuda13-compiler", "jax-cuda13-pjrt", "0.11.2", "jax_plugins/xla_cuda13/xla_cuda_plugin.so", "", []string{"nvidia-cuda-nvcc-cu12==12.9.86"}},
}

func main() {
	output := flag.String("o", "pins.json", "write the pins to `FILE`")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *output); err != nil {
		fmt.Fprintln(os.Stderr, "pins:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, output string) error {
	settings, err := index.ReadSettings(os.Getenv)
	if err != nil {
		return err
	}
	client, err := index.New(settings)
	if err != nil {
		return err
	}
	pins := map[string]plugin.Pin{}
	for _, r := range roots {
		wheels, err := resolve(ctx, client, r)
		if err != nil {
			return fmt.Errorf("%s: %w", r.device, err)
		}
		pin := plugin.Pin{Platform: "linux/amd64", Version: r.version, Plugin: r.plugin, Wheels: wheels}
		download, unpacked := pin.Size()
		fmt.Printf("%s: %d wheels, %s, %s unpacked\n", r.device, len(wheels), humanize.IBytes(uint64(download)), humanize.IBytes(uint64(unpacked)))
		pins[r.device] = pin
	}
	text, err := json.MarshalIndent(pins, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(output, append(text, '\n'), 0o644)
}

// resolve returns the wheel with the plugin, followed by those that it needs, sorted by project.
func resolve(ctx context.Context, client *index.Client, r root) ([]plugin.Wheel, error) {
	main, _, err := choose(ctx, client, r.project, []string{"==" + r.version})
	if err != nil {
		return nil, err
	}
	wheels := []plugin.Wheel{main}
	for _, text := range r.also {
		project, specifier, _, err := parseRequirement(text, false)
		if err != nil {
			return nil, err
		}
		wheel, _, err := choose(ctx, client, project, []string{specifier})
		if err != nil {
			return nil, err
		}
		wheels = append(wheels, wheel)
	}
	if r.requiring == "" {
		return wheels, nil
	}
	required := map[string][]string{r.requiring: {"==" + r.version}} // project to the specifiers of all that require it
	chosen := map[string]plugin.Wheel{}
	for queue := []string{r.requiring}; len(queue) > 0; queue = queue[1:] {
		project := queue[0]
		wheel, requirements, err := choose(ctx, client, project, required[project])
		if err != nil {
			return nil, err
		}
		chosen[project] = wheel
		for _, requirement := range requirements {
			name, specifiers, applies, err := parseRequirement(requirement, project == r.requiring)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", wheel.File, err)
			}
			if !applies || name == r.project || slices.Contains(required[name], specifiers) {
				continue
			}
			// A project that has been chosen already is chosen again, with all specifiers.
			required[name] = append(required[name], specifiers)
			queue = append(queue, name)
		}
	}
	delete(chosen, r.requiring)
	for _, w := range chosen {
		wheels = append(wheels, w)
	}
	slices.SortFunc(wheels[1:], func(a, b plugin.Wheel) int { return cmp.Compare(a.Project, b.Project) })
	return wheels, nil
}

// wheelName matches a wheel's file name and captures project, version, Python, ABI and platforms.
var wheelName = regexp.MustCompile(`^([^-]+)-([^-]+)(?:-\d[^-]*)?-([^-]+)-([^-]+)-([^-]+)\.whl$`)

// choose returns the newest wheel of a project that the specifiers accept, and its requirements.
func choose(ctx context.Context, client *index.Client, project string, specifiers []string) (plugin.Wheel, []string, error) {
	none := func(err error) (plugin.Wheel, []string, error) {
		return plugin.Wheel{}, nil, fmt.Errorf("%s %s: %w", project, strings.Join(specifiers, ","), err)
	}
	accepted := make([]version.Specifiers, 0, len(specifiers))
	for _, text := range specifiers {
		if text == "" {
			continue
		}
		s, err := version.NewSpecifiers(text)
		if err != nil {
			return none(err)
		}
		accepted = append(accepted, s)
	}
	var best index.File
	var newest version.Version
	files, err := client.Files(ctx, project)
	if err != nil && !errors.Is(err, index.ErrNone) {
		return none(err)
	}
	for _, f := range files {
		parts := wheelName.FindStringSubmatch(f.Name)
		if parts == nil || f.Yanked || f.Refused != nil || !strings.Contains(parts[5], "manylinux") || !strings.HasSuffix(parts[5], "x86_64") {
			continue
		}
		v, err := version.Parse(parts[2])
		refuses := func(s version.Specifiers) bool { return !s.Check(v) }
		if err != nil || v.IsPreRelease() || slices.ContainsFunc(accepted, refuses) {
			continue
		}
		if best.Name == "" || v.GreaterThan(newest) {
			best, newest = f, v
		}
	}
	if best.Name == "" {
		return none(errors.New("the index has no such wheel for Linux on x86-64"))
	}
	if best.SHA256 == "" || best.Size == 0 {
		return none(fmt.Errorf("the index does not give the SHA-256 and size of %s; set PIP_INDEX_URL to one with JSON pages", best.Name))
	}
	c, err := inspect(ctx, client, best)
	if err != nil {
		return none(err)
	}
	return plugin.Wheel{
		Project: project, File: best.Name, SHA256: best.SHA256, Size: best.Size, Unpacked: c.unpacked, Record: c.record,
	}, c.requirements, nil
}

// content describes the content of a wheel.
type content struct {
	unpacked     int64  // total bytes of its files
	record       string // SHA-256 of its RECORD, in hex
	requirements []string
}

// inspect reads a wheel's directory, RECORD and metadata, which are at its end, without downloading
// the rest.
func inspect(ctx context.Context, client *index.Client, f index.File) (content, error) {
	none := func(err error) (content, error) { return content{}, fmt.Errorf("%s: %w", f.Name, err) }
	n := min(f.Size, 4<<20)
	end, err := client.ReadTail(ctx, f.URL, int(n))
	if err != nil {
		return content{}, err
	}
	archive, err := zip.NewReader(tail{bytes.NewReader(end), f.Size - n}, f.Size)
	if err != nil {
		return none(err)
	}
	var c content
	for _, entry := range archive.File {
		c.unpacked += int64(entry.UncompressedSize64)
		dir, name := path.Split(entry.Name)
		if !strings.HasPrefix(f.Name, strings.TrimSuffix(dir, ".dist-info/")+"-") || name != "METADATA" && name != "RECORD" {
			continue
		}
		text, err := read(entry)
		if err != nil {
			return none(err)
		}
		if name == "RECORD" {
			sum := sha256.Sum256(text)
			c.record = hex.EncodeToString(sum[:])
			continue
		}
		head, _, _ := bytes.Cut(text, []byte("\n\n"))
		for line := range strings.Lines(string(head)) {
			if key, value, _ := strings.Cut(line, ":"); textproto.CanonicalMIMEHeaderKey(key) == "Requires-Dist" {
				c.requirements = append(c.requirements, strings.TrimSpace(value))
			}
		}
	}
	if c.record == "" {
		return none(errors.New("it has no RECORD"))
	}
	return c, nil
}

func read(entry *zip.File) ([]byte, error) {
	r, err := entry.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	return io.ReadAll(r)
}

// tail makes the end of a file, from offset on, look like the whole file.
type tail struct {
	end    *bytes.Reader
	offset int64
}

func (t tail) ReadAt(p []byte, at int64) (int, error) {
	if at < t.offset {
		return 0, fmt.Errorf("byte %d is before the part that was fetched, which begins at byte %d", at, t.offset)
	}
	return t.end.ReadAt(p, at-t.offset)
}

// requirementText matches PEP 508's "name[extras] (specifiers); marker".
var requirementText = regexp.MustCompile(`^([A-Za-z0-9._-]+)\s*(?:\[[^\]]*\])?\s*\(?([^();]*)\)?\s*(?:;\s*(.*))?$`)

// parseRequirement parses a requirement; withCUDA says whether the extra with-cuda is requested. It
// returns an error for an unknown marker rather than guess whether it applies.
func parseRequirement(text string, withCUDA bool) (project, specifiers string, applies bool, err error) {
	parts := requirementText.FindStringSubmatch(text)
	if parts == nil {
		return "", "", false, fmt.Errorf("cannot read the requirement %q", text)
	}
	applies = true
	if parts[3] != "" {
		for clause := range strings.SplitSeq(parts[3], " and ") {
			switch strings.ReplaceAll(strings.TrimSpace(clause), "'", `"`) {
			case `sys_platform == "linux"`, `platform_system == "Linux"`, `platform_machine == "x86_64"`:
			case `extra == "with-cuda"`:
				applies = applies && withCUDA
			default:
				if !strings.HasPrefix(clause, "extra ==") {
					return "", "", false, fmt.Errorf("unknown marker in the requirement %q", text)
				}
				applies = false
			}
		}
	}
	return strings.ToLower(parts[1]), strings.TrimSpace(parts[2]), applies, nil
}
