// Package backend opens the XLA backend: it finds the PJRT plugin for a device, the CPU or a GPU,
// checks its file, sets XLA's flags and loads it. Start reading at [OpenDevice].
package backend

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/gomlx/compute"
	"github.com/gomlx/go-xla/compute/xla"

	_ "nb201/internal/blocks" // memory for XLA
	"nb201/internal/crash"
	"nb201/internal/kernels"
	"nb201/internal/plugin"
	"nb201/internal/programs"
)

// Open loads the PJRT plugin at path and creates its client. Programs are compiled with o and kept
// in [programs.Directory]. options are go-xla's, such as "visible_devices=0". Only one client of a
// plugin may be open at a time. The caller finalizes the backend. A wrong value of [kernels.Variable] is a
// usage error.
func Open(path string, o programs.Options, options ...string) (compute.Backend, error) {
	if err := kernels.CheckVariable(); err != nil {
		return nil, err
	}
	dir, err := programs.Directory()
	if err != nil {
		return nil, err
	}
	o.Directory = dir
	return open(path, func(absolute string) error { return programs.Intercept(absolute, o) }, options)
}

// open calls intercept with the absolute path of a plugin, loads it and creates its client. If the
// plugin crashes, now or later, the process ends with a single sentence.
func open(path string, intercept func(absolute string) error, options []string) (compute.Backend, error) {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("cannot locate the XLA plugin %s: %w", path, err)
	}
	crash.Watch("the XLA plugin "+absolute,
		"run the command again (the compiled programs that it had loaded are removed first); `nb201 doctor` checks the plugin for damage")
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

// Loaded describes a plugin that could be loaded.
type Loaded struct {
	Description string            // by the plugin itself
	Kernels     *programs.Kernels // that it has accepted; nil on a GPU
}

// Check loads the plugin at path, closes it again and returns its description.
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

// Catch runs f and returns its error. If f panics, Catch returns the panic as an error: gomlx
// reports faults in graphs and buffers by panicking.
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
