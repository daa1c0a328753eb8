package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"nb201/internal/backend"
	"nb201/internal/plugin"
	"nb201/internal/usage"
)

// openDevice opens a device after checkXLAFlags.
func openDevice(ctx context.Context, d backend.Device, tf32 bool) (*backend.Opened, error) {
	if err := checkXLAFlagsFor(ctx, d); err != nil {
		return nil, err
	}
	return backend.OpenDevice(d, tf32)
}

// checkXLAFlagsFor is checkXLAFlags for the plugin of a device, if there is one.
func checkXLAFlagsFor(ctx context.Context, d backend.Device) error {
	found, err := plugin.Find(d.Kind())
	if err != nil {
		return nil // opening the device says what is missing
	}
	return checkXLAFlags(ctx, found.Path)
}

// checkXLAFlags refuses an XLA_FLAGS at which the XLA plugin would end the process as it is
// loaded: it loads the plugin in another process first.
func checkXLAFlags(ctx context.Context, path string) error {
	flags := strings.TrimSpace(os.Getenv("XLA_FLAGS"))
	if flags == "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, stderr, err := loadIn(ctx, self, path)
	if err == nil {
		return nil
	}
	for _, wrong := range wrongFlags {
		if m := wrong.pattern.FindStringSubmatch(stderr); m != nil {
			what := strings.TrimSpace(m[len(m)-1])
			if len(m) == 1 {
				what = flags
			}
			return usage.Errorf("XLA_FLAGS %s %s: correct it, or unset it", wrong.what, what)
		}
	}
	return nil // it is not the flags: opening the device says what it is
}

// wrongFlags are what XLA says at its end (tsl/xla parse_flags_from_env.cc), and what that
// means.
var wrongFlags = []struct {
	pattern *regexp.Regexp
	what    string
}{
	{regexp.MustCompile(`Unknown flags? in XLA_FLAGS: (.*)`), "has what the XLA plugin does not know:"},
	{regexp.MustCompile(`Could not open file "([^"]*)" to read flags`), "does not begin with -- and is read as the name of a file, which cannot be opened:"},
	{regexp.MustCompile(`Flag parsing failed`), "has a value that XLA does not take:"},
}

// loadIn loads a plugin in a process of the program self: a broken one ends its process.
func loadIn(ctx context.Context, self, path string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	child := exec.CommandContext(ctx, self, "doctor", "--load", path)
	child.Stdout, child.Stderr = &out, &errs
	err = child.Run()
	return strings.TrimSpace(out.String()), strings.TrimSpace(errs.String()), err
}
