package programs

/*
#include <stdlib.h>
#include "pjrt.h"
*/
import "C"

import (
	"embed"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"time"
	"unsafe"

	"nb201/internal/infile"
	"nb201/internal/usage"
)

// Target is a GPU model that programs can be compiled for without such a GPU or its driver.
type Target struct {
	Name   string // as users write it: h100
	config string // XLA's description of the GPU, a GpuTargetConfigProto as text
}

// targets holds a description of each GPU model, with the figures of XLA's own descriptions
// (xla/backends/gpu/target_config/specs) and the versions of CUDA and cuDNN that the pinned plugin
// is built for. A driver's version is needed because XLA leaves cuDNN and loops out of command
// buffers without one.
//
//go:embed targets
var targets embed.FS

// Targets lists the GPU models.
func Targets() []Target {
	files, err := targets.ReadDir("targets")
	if err != nil {
		panic(err) // the directory is embedded
	}
	var all []Target
	for _, f := range files {
		text, err := targets.ReadFile("targets/" + f.Name())
		if err != nil {
			panic(err)
		}
		all = append(all, Target{strings.TrimSuffix(f.Name(), ".txtpb"), string(text)})
	}
	return all
}

// FindTarget returns a GPU model by its name. An unknown name is a usage error.
func FindTarget(name string) (Target, error) {
	var names []string
	for _, t := range Targets() {
		if t.Name == name {
			return t, nil
		}
		names = append(names, t.Name)
	}
	return Target{}, usage.Errorf("unknown GPU model %q; use one of %s", name, strings.Join(names, ", "))
}

// Compiled describes a program that was compiled for a [Target].
type Compiled struct {
	Module    []byte // the optimised program, a serialised HloModuleProtoWithConfig
	Thunks    string // XLA's list of thunks: what runs, in what order and in which command buffers
	Temporary int64  // bytes of GPU memory besides arguments and results
	Duration  time.Duration

	Err error // if not nil, why the other fields are missing
}

// target makes a plugin compile for a topology instead of a device.
type target struct {
	topology unsafe.Pointer
	dump     string
	report   func(Compiled)
}

// InterceptFor makes the CUDA plugin at path, which must be absolute, compile for a GPU model,
// whether or not the machine has one, and calls report with every program that it compiles.
// Programs are not kept and cannot run. Like [Intercept], call it before go-xla loads the plugin;
// it returns an error if the process already has a plugin. o.Flags must not need a GPU, as
// autotuning does. dump is an empty directory for XLA's files, which the caller removes.
func InterceptFor(path string, t Target, o Options, dump string, report func(Compiled)) error {
	opening.Lock()
	defer opening.Unlock()
	if current != nil {
		return fmt.Errorf("cannot open a second plugin in one process: %s is open already", current.path)
	}
	p := open(path, o.Plugin)
	if p == nil {
		return usage.Errorf("%s is not a PJRT plugin that this program can open", path)
	}
	topology, err := p.topology(t)
	if err != nil {
		return fmt.Errorf("the plugin %s cannot compile for the GPU model %s: %w", path, t.Name, err)
	}
	p.target = &target{topology, dump, report}
	if err := p.register(topology); err != nil {
		return err
	}
	current = p
	o.Directory, o.Alone = "", true
	var flags []Flags
	for _, set := range o.Flags {
		set = maps.Clone(set)
		set["xla_dump_to"] = dump
		flags = append(flags, set)
	}
	o.Flags = flags
	current.setOptions(o)
	return nil
}

// topology makes the plugin's description of a machine with one GPU of a model.
func (p *plugin) topology(t Target) (unsafe.Pointer, error) {
	var pinned runtime.Pinner
	defer pinned.Unpin()
	text := func(s string) (*C.char, C.size_t) {
		b := append([]byte(s), 0)
		pinned.Pin(&b[0])
		return (*C.char)(unsafe.Pointer(&b[0])), C.size_t(len(s))
	}
	var options []C.struct_pjrt_named_string
	for _, o := range [][2]string{
		{"topology", "1x1x1"}, // partitions x hosts x devices per host
		{"target_config", t.config},
	} {
		v := C.struct_pjrt_named_string{struct_size: C.sizeof_struct_pjrt_named_string}
		v.name, v.name_size = text(o[0])
		v.value, v.value_size = text(o[1])
		options = append(options, v)
	}
	pinned.Pin(&options[0])
	args := C.struct_pjrt_topology_args{
		struct_size: C.sizeof_struct_pjrt_topology_args, options: &options[0], options_size: C.size_t(len(options)),
	}
	args.name, args.name_size = text("")
	err := p.error(p.call(C.PJRT_TOPOLOGY_CREATE, unsafe.Pointer(&args)))
	return args.topology, err
}

// compileFor implements PJRT_Client_Compile for the target. It reports the program and sets
// args.executable, or returns a PJRT_Error.
func (p *plugin) compileFor(args *C.struct_pjrt_compile_args) unsafe.Pointer {
	began := time.Now()
	compile := C.struct_pjrt_compile_for_args{
		struct_size: C.sizeof_struct_pjrt_compile_for_args, topology: p.target.topology,
		program: args.program, options: args.options, options_size: args.options_size,
	}
	if failed := p.call(C.PJRT_COMPILE, unsafe.Pointer(&compile)); failed != nil {
		return failed
	}
	args.executable = compile.executable
	c := Compiled{Duration: time.Since(began)}
	c.Err = p.describe(compile.executable, &c)
	p.target.report(c)
	return nil
}

// describe fills in what the plugin says about an executable, and what it has written to the
// directory of dumps, which describe empties.
func (p *plugin) describe(executable unsafe.Pointer, c *Compiled) error {
	memory := C.struct_pjrt_memory_args{struct_size: C.sizeof_struct_pjrt_memory_args, executable: executable}
	if err := p.error(p.call(C.PJRT_EXECUTABLE_MEMORY, unsafe.Pointer(&memory))); err != nil {
		return err
	}
	c.Temporary = int64(memory.temp)
	var err error
	if c.Module, err = p.optimized(executable); err != nil {
		return err
	}
	c.Thunks, err = p.target.thunks()
	return err
}

// optimized returns the executable's program after XLA's optimisations.
func (p *plugin) optimized(executable unsafe.Pointer) ([]byte, error) {
	var pinned runtime.Pinner
	defer pinned.Unpin()
	program := &C.struct_pjrt_program{struct_size: C.sizeof_struct_pjrt_program}
	pinned.Pin(program)
	args := C.struct_pjrt_optimized_args{
		struct_size: C.sizeof_struct_pjrt_optimized_args, executable: executable, program: program,
	}
	if err := p.error(p.call(C.PJRT_EXECUTABLE_OPTIMIZED_PROGRAM, unsafe.Pointer(&args))); err != nil {
		return nil, err
	}
	if program.code_size == 0 {
		return nil, errors.New("XLA: the optimised program is empty")
	}
	code := make([]byte, program.code_size)
	pinned.Pin(&code[0])
	program.code = (*C.char)(unsafe.Pointer(&code[0]))
	err := p.error(p.call(C.PJRT_EXECUTABLE_OPTIMIZED_PROGRAM, unsafe.Pointer(&args)))
	return code, err
}

// thunks reads the list of thunks of the last program compiled and empties the directory of dumps.
// XLA writes a second list if any thunk went into a command buffer; thunks prefers that one.
func (t *target) thunks() (list string, err error) {
	for _, name := range []string{"thunk_sequence.txt", "thunk_sequence_after_thunk_passes.txt"} {
		files, _ := filepath.Glob(filepath.Join(t.dump, "*."+name)) // the pattern is valid
		for _, f := range files {
			text, err := infile.Read(f, infile.MaxText)
			if err != nil {
				return "", err
			}
			list = string(text)
		}
	}
	if list == "" {
		return "", fmt.Errorf("%s: XLA has written no list of thunks", t.dump)
	}
	files, err := os.ReadDir(t.dump)
	for _, f := range files {
		err = errors.Join(err, os.RemoveAll(filepath.Join(t.dump, f.Name())))
	}
	return list, err
}
