package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"regexp"
	"strings"

	"nb201/configs"
	"nb201/internal/backend"
	"nb201/internal/plugin"
	"nb201/internal/usage"
)

// openDevice opens a device for a precision, after checkXLAFlagsFor accepted XLA_FLAGS.
func openDevice(ctx context.Context, d backend.Device, precision configs.Precision) (*backend.Opened, error) {
	if err := checkXLAFlagsFor(ctx, d); err != nil {
		return nil, err
	}
	return backend.OpenDevice(d, precision)
}

// checkXLAFlagsFor calls checkXLAFlags for the plugin of a device, if one is installed.
func checkXLAFlagsFor(ctx context.Context, d backend.Device) error {
	found, err := plugin.Find(d.Kind())
	if err != nil {
		return nil // opening the device reports what is missing
	}
	return checkXLAFlags(ctx, found.Path)
}

// checkXLAFlags refuses, as a usage error, a value of XLA_FLAGS that the XLA plugin at path does not
// accept. The plugin would end this process while it is loaded, so another process loads it first.
func checkXLAFlags(ctx context.Context, path string) error {
	flags := strings.TrimSpace(os.Getenv("XLA_FLAGS"))
	if flags == "" {
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	_, stderr, err := loadInProcess(ctx, self, path)
	if err == nil {
		return nil
	}
	for _, wrong := range wrongFlags {
		if m := wrong.pattern.FindStringSubmatch(stderr); m != nil {
			what := strings.TrimSpace(m[len(m)-1])
			if len(m) == 1 {
				what = flags
			}
			return usage.Errorf("XLA_FLAGS %s %s; correct or unset it", wrong.what, what)
		}
	}
	return nil // the flags are not the reason: opening the device reports it
}

// wrongFlags lists what XLA prints before it ends the process (tsl/xla parse_flags_from_env.cc), and
// what each message means.
var wrongFlags = []struct {
	pattern *regexp.Regexp
	what    string
}{
	{regexp.MustCompile(`Unknown flags? in XLA_FLAGS: (.*)`), "contains a flag that the XLA plugin does not know:"},
	{regexp.MustCompile(`Could not open file "([^"]*)" to read flags`),
		"does not begin with -- and is therefore taken as a file name; the file cannot be opened:"},
	{regexp.MustCompile(`Flag parsing failed`), "contains a value that XLA does not accept:"},
}

// loadInProcess loads the plugin at path in a new process of the program self, because a damaged
// plugin may end the process that loads it. It returns what the process printed.
func loadInProcess(ctx context.Context, self, path string) (stdout, stderr string, err error) {
	var out, errs bytes.Buffer
	child := exec.CommandContext(ctx, self, "doctor", "--load", path)
	child.Stdout, child.Stderr = &out, &errs
	err = child.Run()
	return strings.TrimSpace(out.String()), strings.TrimSpace(errs.String()), err
}
