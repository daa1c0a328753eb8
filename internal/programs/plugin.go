package programs

/*
#cgo linux LDFLAGS: -ldl
#include <stdlib.h>
#include <string.h>
#include "pjrt.h"
*/
import "C"

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/gomlx/go-xla/pjrt"

	"nb201/internal/atomicfile"
	"nb201/internal/crash"
	plugins "nb201/internal/plugin"
)

// plugin is a PJRT plugin whose programs pass through this package.
type plugin struct {
	path             string
	table            *C.struct_pjrt_table   // the plugin's original table
	client           atomic.Pointer[byte]   // the PJRT_Client, once created
	started          sync.Once              // for the start of cuDNN
	identity         func() ([]byte, error) // everything that all its programs depend on
	options          atomic.Pointer[Options]
	flags            atomic.Int32 // the index in options.Flags of the set in use
	recompile        atomic.Bool  // load no programs from disk, since one failed to run
	kernels          *Kernels     // for the CPU; nil on a GPU
	cudaMissing      string       // why programs for a GPU can call no kernels of cudakernels; "" if they can
	observer         atomic.Pointer[func(Program)]
	target           *target      // nil: compile for the devices of the client
	alone            sync.Mutex   // held while a program is compiled, with options.Alone
	warning          sync.Once    // for the warning that programs are not kept
	slow             sync.Once    // for the warning about a program without kernels
	loaded, compiled atomic.Int64 // numbers of programs
}

// Options sets how the programs of a plugin are compiled.
type Options struct {
	// Plugin is the SHA-256 of the plugin's file, in hex. If it is "", the file is read to
	// compute it.
	Plugin string
	// Directory is where compiled programs are kept. They are not kept if it is "", or if
	// XLA_FLAGS rules that out; see canKeep.
	Directory string
	// Flags lists sets of XLA flags to compile with, in order of preference. If XLA cannot
	// compile a program with one set, the process uses the next set from then on. Without any
	// set, XLA's defaults apply.
	Flags []Flags
	// Kernels is the number of sets in Flags, from the first on, that are only for programs for a GPU
	// that call kernels of package cudakernels.
	Kernels int
	// FullPrecision makes float32 convolutions compute in full precision; by default XLA lets a
	// GPU round their operands to TF32.
	FullPrecision bool
	// Alone compiles one program at a time. XLA chooses among kernels by timing them on the GPU,
	// and programs that are compiled side by side disturb each other's timings.
	Alone bool
}

// current is the plugin that nb201_compile serves, whose arguments do not name it. A process
// opens at most one.
var (
	opening sync.Mutex
	current *plugin
)

// Intercept makes the programs that go-xla compiles with the plugin at path, which must be
// absolute, pass through this package. Call it before go-xla loads the plugin; it may be called
// again with other options. If programs cannot be kept, one warning on stderr says why. Intercept
// ignores a file that is not a plugin, since go-xla reports why, and a process's second plugin.
func Intercept(path string, o Options) error {
	opening.Lock()
	defer opening.Unlock()
	if current == nil {
		p := open(path, o.Plugin)
		if p == nil {
			return nil
		}
		if err := p.register(nil); err != nil {
			return err
		}
		current = p
	}
	if current.path == path {
		current.setOptions(o)
	}
	return nil
}

// setOptions sets the options of all programs compiled from now on.
func (p *plugin) setOptions(o Options) {
	if !canKeep(os.Getenv("XLA_FLAGS")) {
		o.Directory = ""
	}
	if o.Directory != "" {
		go p.identity() // may read 200 MB
	}
	p.flags.Store(0)
	p.recompile.Store(false)
	p.options.Store(&o)
}

// FallbackLevel returns the current fallback level, which is 0 at first and rises when a program
// fails to compile or to run (see [FallBack]). The level determines which set of Options.Flags
// programs are compiled with, and whether programs are loaded from disk.
func FallbackLevel() int {
	opening.Lock()
	defer opening.Unlock()
	if current == nil {
		return 0
	}
	return current.fallbackLevel()
}

func (p *plugin) fallbackLevel() int {
	level := 2 * int(p.flags.Load())
	if p.recompile.Load() {
		level++
	}
	return level
}

// FallBack raises the fallback level after a program made at level from (see [FallbackLevel])
// failed to run, with the error why. If programs were loaded from disk, where they may have been
// damaged or written by a different machine, it first makes the process compile all programs again,
// which replaces those on disk, unless the device has run out of memory. After that it changes to the
// next set of Options.Flags. It reports whether the level is now above from; if it is not, there is
// nothing else to try.
func FallBack(from int, why error) bool {
	opening.Lock()
	defer opening.Unlock()
	if current == nil {
		return false
	}
	if current.fallbackLevel() > from {
		return true // another program has fallen back
	}
	text := why.Error()
	if current.loaded.Load() > 0 && !strings.Contains(text, "RESOURCE_EXHAUSTED") && current.recompile.CompareAndSwap(false, true) {
		return true
	}
	next := current.flags.Load() + 1
	if int(next) >= len(current.options.Load().Flags) {
		return false
	}
	current.fallTo(next)
	current.recompile.Store(false) // programs on disk with these flags have not failed
	first, _, _ := strings.Cut(text, "\n")
	fmt.Fprintf(os.Stderr, "warning: a program failed to run as it was compiled; compiling it again with fewer of nb201's flags and kernels (%.200s)\n", first)
	return true
}

// fallTo sets the set of flags for programs compiled from now on, unless a later set is in use.
func (p *plugin) fallTo(set int32) {
	for {
		if now := p.flags.Load(); now >= set || p.flags.CompareAndSwap(now, set) {
			return
		}
	}
}

// canKeep reports whether programs can be kept on disk with these XLA_FLAGS. They cannot if dumps
// are requested, which only compiling writes, nor if oneDNN computes the CPU's convolutions:
// serialising such a program ends in a segmentation fault (plugin 0.11.2).
func canKeep(flags string) bool {
	return !strings.Contains(flags, "_dump_") && !strings.Contains(flags, "--xla_cpu_experimental_onednn_custom_call=true")
}

// open loads a plugin; sum is the SHA-256 of its file, or "" if that is not known. It returns nil
// if the file is not a plugin, or one whose table has another layout.
func open(path, sum string) *plugin {
	name := C.CString(path)
	defer C.free(unsafe.Pointer(name))
	table := C.pjrt_open(name)
	if table == nil || table.version.major != 0 || table.struct_size < C.sizeof_struct_pjrt_table {
		return nil
	}
	variables := os.Environ() // as XLA sees them
	p := &plugin{path: path, table: table}
	onGPU := pjrt.IsCUDAName(path)
	p.identity = sync.OnceValues(func() ([]byte, error) {
		var b bytes.Buffer
		machine := writeProcessor
		if onGPU {
			machine = func(w io.Writer) error { return writeNVIDIA(w, path) }
		}
		var err error
		if sum == "" {
			sum, _, err = plugins.HashFile(path)
		}
		fmt.Fprintln(&b, sum)
		return b.Bytes(), errors.Join(err, writeEnvironment(&b, variables), machine(&b))
	})
	if onGPU {
		p.cudaMissing = p.registerCUDAKernels()
		return p
	}
	k := p.registerKernels()
	p.kernels = &k
	return p
}

// register registers the plugin with go-xla under the path that go-xla would load it from, with a
// table whose compile function is nb201_compile. If topology is not nil, the table compiles for
// that instead of for a device.
func (p *plugin) register(topology unsafe.Pointer) error {
	table := (*C.struct_pjrt_table)(C.malloc(p.table.struct_size)) // for as long as the process lives
	C.memcpy(unsafe.Pointer(table), unsafe.Pointer(p.table), p.table.struct_size)
	table.functions[C.PJRT_CLIENT_COMPILE] = unsafe.Pointer(C.nb201_compile)
	table.functions[C.PJRT_CLIENT_CREATE] = unsafe.Pointer(C.nb201_create)
	if topology != nil {
		C.pjrt_without_device(table, topology)
	}
	return pjrt.RegisterPreloadedPlugin(p.path, uintptr(unsafe.Pointer(table)))
}

//export nb201_compile
func nb201_compile(args *C.struct_pjrt_compile_args) unsafe.Pointer { return current.compile(args) }

//export nb201_create
func nb201_create(args *C.struct_pjrt_create_args) unsafe.Pointer {
	failed := current.call(C.PJRT_CLIENT_CREATE, unsafe.Pointer(args))
	if failed == nil {
		current.client.Store((*byte)(args.client))
	}
	return failed
}

// DeviceKind returns the name that the open plugin has for its device, such as "NVIDIA H200", or ""
// if none is open.
func DeviceKind() string {
	opening.Lock()
	defer opening.Unlock()
	if current == nil || current.client.Load() == nil {
		return ""
	}
	kind, err := current.device(unsafe.Pointer(current.client.Load()))
	if err != nil {
		return "" // nothing depends on a name
	}
	return string(kind)
}

// compile implements PJRT_Client_Compile: it sets args.executable or returns a PJRT_Error.
func (p *plugin) compile(args *C.struct_pjrt_compile_args) unsafe.Pointer {
	o := p.options.Load()
	if o.Alone {
		p.alone.Lock()
		defer p.alone.Unlock()
	}
	given, program := *args, *args.program
	defer func() {
		args.options, args.options_size = given.options, given.options_size
		*args.program = program
	}()
	text := view(program.code, program.code_size)
	if p.kernels != nil {
		text = p.withKernels(text)
	}
	var refused unsafe.Pointer // the first set's error, which is returned if no set works
	for set := p.flags.Load(); ; set++ {
		var flags Flags
		if int(set) < len(o.Flags) {
			flags = o.Flags[set]
		}
		written := text
		if int(set) < o.Kernels {
			var calls bool
			if written, calls = p.withCUDAKernels(text, o); !calls && int(set)+1 < len(o.Flags) {
				continue
			}
		}
		if o.FullPrecision {
			written = requestFullPrecision(written)
		}
		code := C.CBytes(written)
		args.program.code, args.program.code_size = (*C.char)(code), C.size_t(len(written))
		failed := p.compileWith(flags, given.options, given.options_size, args, o)
		C.free(code)
		switch {
		case failed == nil:
			if refused != nil {
				p.fallTo(set)
				why, _, _ := strings.Cut(p.error(refused).Error(), "\n")
				fmt.Fprintf(os.Stderr, "warning: XLA refused flags or kernels that nb201 compiles with; programs may run slower without them (%s)\n", why)
			}
			return nil
		case refused == nil:
			refused = failed
		default:
			_ = p.error(failed) // frees it
		}
		if int(set)+1 >= len(o.Flags) {
			return refused
		}
	}
}

// compileWith loads a program from disk, or compiles it with flags added to the given options and
// keeps it.
func (p *plugin) compileWith(flags Flags, options *C.char, size C.size_t, args *C.struct_pjrt_compile_args, o *Options) unsafe.Pointer {
	given := view(options, size)
	call := func(flags Flags) unsafe.Pointer {
		whole := flags.appendTo(given)
		memory := C.CBytes(whole)
		defer C.free(memory)
		args.options, args.options_size = (*C.char)(memory), C.size_t(len(whole))
		if p.target != nil {
			return p.compileFor(args)
		}
		return p.call(C.PJRT_CLIENT_COMPILE, unsafe.Pointer(args))
	}
	cache, tuned := flags[AutotuneCache]
	tuned = tuned && !filepath.IsAbs(cache) // an absolute path is the user's own directory
	if tuned {
		flags = flags.without(AutotuneCache)
	}
	if o.Directory == "" {
		return call(flags)
	}
	k, device, err := p.key(args, append(flags.appendTo(given), cache...))
	if err != nil {
		p.warn(err)
		return call(flags)
	}
	s := store{o.Directory, Limit}
	if !p.recompile.Load() {
		if program := s.load(k); program != nil {
			if p.kernels == nil {
				p.started.Do(func() { p.startCUDNN(args, flags.without(AutotuneCache).appendTo(given)) })
			}
			crash.Suspect(s.path(k))
			if args.executable = p.load(args.client, program); args.executable != nil {
				p.loaded.Add(1)
				return nil
			}
			s.remove(k)
		}
	}
	if tuned {
		dir := filepath.Join(o.Directory, "autotune", fmt.Sprintf("%s-%x", cache, device[:8]))
		if err := atomicfile.MkdirAll(dir); err != nil {
			p.warn(err)
		} else {
			flags[AutotuneCache] = dir // without has made a copy
		}
	}
	if failed := call(flags); failed != nil {
		return failed
	}
	p.compiled.Add(1)
	if err := p.serialize(args.executable, func(program []byte) error { return s.save(k, program) }); err != nil {
		p.warn(err)
	}
	return nil
}

func (p *plugin) warn(err error) {
	p.warning.Do(func() { fmt.Fprintf(os.Stderr, "warning: compiled programs are not kept: %v\n", err) })
}

// key returns the key of the program that a compilation with some options makes, and a hash of
// the device and everything else that all programs of the plugin depend on.
func (p *plugin) key(args *C.struct_pjrt_compile_args, options []byte) (k key, device [sha256.Size]byte, err error) {
	identity, err := p.identity()
	if err != nil {
		return k, device, err
	}
	platform, err1 := p.getText(C.PJRT_CLIENT_PLATFORM_NAME, args.client)
	version, err2 := p.getText(C.PJRT_CLIENT_PLATFORM_VERSION, args.client)
	kind, err3 := p.device(args.client)
	if err := errors.Join(err1, err2, err3); err != nil {
		return k, device, err
	}
	device = hashParts(identity, platform, version, kind)
	return hashParts(identity, platform, version, kind,
		view(args.program.format, args.program.format_size),
		options,
		view(args.program.code, args.program.code_size),
	), device, nil
}

// hashParts returns the SHA-256 of parts, each preceded by its length.
func hashParts(parts ...[]byte) (s [sha256.Size]byte) {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d\n", len(part))
		h.Write(part)
	}
	h.Sum(s[:0])
	return s
}

// device returns the kind of a client's first device.
func (p *plugin) device(client unsafe.Pointer) ([]byte, error) {
	devices := C.struct_pjrt_list_args{struct_size: C.sizeof_struct_pjrt_list_args, object: client}
	if err := p.error(p.call(C.PJRT_CLIENT_ADDRESSABLE_DEVICES, unsafe.Pointer(&devices))); err != nil {
		return nil, err
	}
	if devices.length == 0 {
		return nil, errors.New("the plugin's client has no device")
	}
	description, err := p.getPart(C.PJRT_DEVICE_GET_DESCRIPTION, *(*unsafe.Pointer)(devices.first))
	if err != nil {
		return nil, err
	}
	return p.getText(C.PJRT_DEVICE_DESCRIPTION_KIND, description)
}

// load makes an executable from a serialised program. It returns nil if XLA does not accept it.
func (p *plugin) load(client unsafe.Pointer, program []byte) unsafe.Pointer {
	var pinned runtime.Pinner
	defer pinned.Unpin()
	pinned.Pin(unsafe.SliceData(program))
	args := C.struct_pjrt_load_args{
		struct_size: C.sizeof_struct_pjrt_load_args, client: client,
		bytes: (*C.char)(unsafe.Pointer(unsafe.SliceData(program))), bytes_size: C.size_t(len(program)),
	}
	if err := p.error(p.call(C.PJRT_EXECUTABLE_DESERIALIZE_AND_LOAD, unsafe.Pointer(&args))); err != nil {
		return nil
	}
	return args.executable
}

// serialize serialises a loaded executable and calls use with the bytes, which are valid until
// use returns.
func (p *plugin) serialize(loaded unsafe.Pointer, use func(program []byte) error) error {
	executable, err := p.getPart(C.PJRT_LOADED_EXECUTABLE_GET_EXECUTABLE, loaded)
	if err != nil {
		return err
	}
	defer p.destroy(C.PJRT_EXECUTABLE_DESTROY, executable)
	args := C.struct_pjrt_serialize_args{struct_size: C.sizeof_struct_pjrt_serialize_args, executable: executable}
	if err := p.error(p.call(C.PJRT_EXECUTABLE_SERIALIZE, unsafe.Pointer(&args))); err != nil {
		return err
	}
	defer C.pjrt_delete(&args)
	return use(view(args.bytes, args.bytes_size))
}

// call calls the function at a place of the plugin's table.
func (p *plugin) call(place C.int, args unsafe.Pointer) unsafe.Pointer {
	return C.pjrt_call(p.table, place, args)
}

// getPart calls a function that returns an object belonging to another one.
func (p *plugin) getPart(place C.int, object unsafe.Pointer) (unsafe.Pointer, error) {
	args := C.struct_pjrt_get_args{struct_size: C.sizeof_struct_pjrt_get_args, object: object}
	err := p.error(p.call(place, unsafe.Pointer(&args)))
	return args.part, err
}

// getText calls a function that returns a text about an object, which owns it.
func (p *plugin) getText(place C.int, object unsafe.Pointer) ([]byte, error) {
	args := C.struct_pjrt_list_args{struct_size: C.sizeof_struct_pjrt_list_args, object: object}
	err := p.error(p.call(place, unsafe.Pointer(&args)))
	return view((*C.char)(args.first), args.length), err
}

func (p *plugin) destroy(place C.int, object unsafe.Pointer) {
	args := C.struct_pjrt_destroy_args{struct_size: C.sizeof_struct_pjrt_destroy_args, object: object}
	// There is nothing to do about a failure.
	_ = p.error(p.call(place, unsafe.Pointer(&args)))
}

// error turns a PJRT_Error into an error and frees it. It returns nil for NULL.
func (p *plugin) error(failed unsafe.Pointer) error {
	if failed == nil {
		return nil
	}
	message, _ := p.getText(C.PJRT_ERROR_MESSAGE, failed) // never fails
	err := fmt.Errorf("XLA: %s", message)
	p.destroy(C.PJRT_ERROR_DESTROY, failed)
	return err
}

// view returns C memory as a byte slice, without copying it.
func view(first *C.char, length C.size_t) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(first)), length)
}
