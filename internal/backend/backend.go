// Package backend opens the XLA backend: a PJRT plugin for the CPU or the GPU,
// loaded from its file.
package backend

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"

	"nb201/internal/crash"
	"nb201/internal/plugin"
	"nb201/internal/programs"
)

// Open loads the PJRT plugin at path and creates its client. Its programs are compiled as o
// says and kept on disk, see programs.Directory. options are go-xla's
// (`visible_devices=0`). At most one client may be open for one plugin at a time. The
// caller finalizes the backend.
func Open(path string, o programs.Options, options ...string) (compute.Backend, error) {
	dir, err := programs.Directory()
	if err != nil {
		return nil, err
	}
	o.Directory = dir
	return open(path, func(absolute string) error { return programs.Intercept(absolute, o) }, options)
}

// open loads a plugin and creates its client, after intercept has seen its path. A plugin
// that crashes, now or later, ends the process in one sentence.
func open(path string, intercept func(absolute string) error, options []string) (compute.Backend, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot locate the XLA plugin %s: %w", path, err)
	}
	crash.Watch("the XLA plugin "+absolute, "run it again, for which the compiled programs that it had loaded are removed; `nb201 doctor` says whether the plugin is damaged")
	xla.EnableAutoInstall(false)
	config := strings.Join(append([]string{absolute}, options...), ",")
	var opened compute.Backend
	if err := Catch(func() error {
		if err := intercept(absolute); err != nil {
			return err
		}
		opened, err = xla.New(config)
		return err
	}); err != nil {
		return nil, fmt.Errorf("cannot load the XLA plugin %s: %w", path, err)
	}
	return opened, nil
}

// Loaded is what a plugin that was loaded says of itself.
type Loaded struct {
	Description string
	Kernels     *programs.Kernels // that it has taken; nil on a GPU
}

// Check loads the plugin at path and lets it go again.
func Check(path string) (Loaded, error) {
	if err := plugin.CheckLibrary(path); err != nil {
		return Loaded{}, err
	}
	opened, err := Open(path, programs.Options{})
	if err != nil {
		return Loaded{}, err
	}
	defer opened.Finalize()
	loaded := Loaded{Description: opened.Description()}
	if k, ok := programs.CPUKernels(); ok {
		loaded.Kernels = &k
	}
	return loaded, nil
}

// Catch runs f and returns its error, or what it panicked with as an error: gomlx
// reports faults in graphs and buffers by panics.
func Catch(f func() error) (err error) {
	defer func() {
		switch fault := recover().(type) {
		case nil:
		case error:
			err = fault
		default:
			err = fmt.Errorf("%v", fault)
		}
	}()
	return f()
}
