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

// plugin is a plugin whose programs pass through this package.
type plugin struct {
	path             string
	table            *C.struct_pjrt_table   // the plugin's own
	identity         func() ([]byte, error) // everything that all its programs depend on
	options          atomic.Pointer[Options]
	flags            atomic.Int32 // the set of options.Flags that works
	anew             atomic.Bool  // no kept program is loaded: one did not run
	kernels          *Kernels     // nil on a GPU
	observer         atomic.Pointer[func(Program)]
	target           *target      // nil: it compiles for the devices of its client
	alone            sync.Mutex   // held while a program is compiled, with options.Alone
	warning          sync.Once    // of what keeps programs from being kept
	slow             sync.Once    // warns of a program without kernels
	loaded, compiled atomic.Int64 // numbers of programs
}

// Options say how the programs of a plugin are compiled.
type Options struct {
	// Plugin is the SHA-256 of the plugin's file, in hex; "" to have it read once more.
	Plugin string
	// Directory is where compiled programs are kept. With "" they are not; nor are they
	// where XLA_FLAGS rules it out, see keeps.
	Directory string
	// Flags are the sets of XLA's flags to compile with. The first is tried first, and
	// where XLA cannot compile a program with it the next: the one that works is then the
	// process's, from the first attempt on. No set at all means XLA's defaults.
	Flags []Flags
	// FullPrecision makes float32 convolutions compute in full what XLA would let a GPU
	// round to TF32.
	FullPrecision bool
	// Alone compiles one program at a time. XLA times kernels on the GPU to choose among
	// them, and programs that are compiled at the same time disturb each other's timings.
	Alone bool
}

// current is the plugin that nb201_compile serves, whose arguments do not name it. A
// process opens one.
var (
	opening sync.Mutex
	current *plugin
)

// Intercept makes the programs that go-xla compiles with the plugin at path, which is
// absolute, pass through this package. It comes before go-xla loads the plugin, and may be
// called again with other options. What keeps programs from being kept is one warning on
// stderr. A file that is not a plugin is left to go-xla, which reports why; so is a
// process's second plugin.
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
		current.use(o)
	}
	return nil
}

// use makes o the options of what is compiled from now on.
func (p *plugin) use(o Options) {
	if !keeps(os.Getenv("XLA_FLAGS")) {
		o.Directory = ""
	}
	if o.Directory != "" {
		go p.identity() // may read 200 MB
	}
	p.flags.Store(0)
	p.anew.Store(false)
	p.options.Store(&o)
}

// Way numbers the way in which programs are made now: the set of Options.Flags that they are
// compiled with, and whether kept ones are loaded. A later way has a larger number.
func Way() int {
	opening.Lock()
	defer opening.Unlock()
	if current == nil {
		return 0
	}
	return current.way()
}

func (p *plugin) way() int {
	way := 2 * int(p.flags.Load())
	if p.anew.Load() {
		way++
	}
	return way
}

// FallBack makes the process make programs in another way than the one of a number, for a
// program that was made in that and does not run. Where programs were loaded, which may have
// been damaged on disk or made by a machine that is not like this one, it has all compiled
// anew, which replaces the kept ones; then it goes on to the next set of Options.Flags. It
// reports whether there is another way.
func FallBack(from int) bool {
	opening.Lock()
	defer opening.Unlock()
	if current == nil {
		return false
	}
	if current.way() > from {
		return true // another program has fallen back
	}
	if current.loaded.Load() > 0 && current.anew.CompareAndSwap(false, true) {
		return true
	}
	next := current.flags.Load() + 1
	if int(next) >= len(current.options.Load().Flags) {
		return false
	}
	current.fallTo(next)
	fmt.Fprintln(os.Stderr, "warning: a program does not run as it was compiled; it is compiled with fewer of nb201's flags")
	return true
}

// fallTo makes a set of flags that of what is compiled from now on, unless a later one is.
func (p *plugin) fallTo(set int32) {
	for {
		if now := p.flags.Load(); now >= set || p.flags.CompareAndSwap(now, set) {
			return
		}
	}
}

// keeps reports whether programs that are compiled with some flags can be kept: not where
// dumps are asked for, which only compiling makes, and not where oneDNN has a CPU's
// convolutions: XLA's serialisation of such a program is a segmentation fault (plugin
// 0.11.2).
func keeps(flags string) bool {
	return !strings.Contains(flags, "_dump_") && !strings.Contains(flags, "--xla_cpu_experimental_onednn_custom_call=true")
}

// open loads a plugin, whose file has a SHA-256 where that is known; nil when it is none
// whose table we know.
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
		machine := processor
		if onGPU {
			machine = func(w io.Writer) error { return nvidia(w, path) }
		}
		var err error
		if sum == "" {
			sum, _, err = plugins.HashFile(path)
		}
		fmt.Fprintln(&b, sum)
		return b.Bytes(), errors.Join(err, environment(&b, variables), machine(&b))
	})
	if onGPU {
		return p
	}
	k := p.registerKernels()
	p.kernels = &k
	return p
}

// register gives go-xla the plugin, under the path that it would load it from: a table
// that compiles here, for a topology unless that is nil.
func (p *plugin) register(topology unsafe.Pointer) error {
	table := (*C.struct_pjrt_table)(C.malloc(p.table.struct_size)) // for as long as the process lives
	C.memcpy(unsafe.Pointer(table), unsafe.Pointer(p.table), p.table.struct_size)
	table.functions[C.PJRT_CLIENT_COMPILE] = unsafe.Pointer(C.nb201_compile)
	if topology != nil {
		C.pjrt_without_device(table, topology)
	}
	return pjrt.RegisterPreloadedPlugin(p.path, uintptr(unsafe.Pointer(table)))
}

//export nb201_compile
func nb201_compile(args *C.struct_pjrt_compile_args) unsafe.Pointer { return current.compile(args) }

// compile is PJRT_Client_Compile: it sets args.executable or returns a PJRT_Error.
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
	if o.FullPrecision {
		text = inFull(text)
	}
	code := C.CBytes(text)
	defer C.free(code)
	args.program.code, args.program.code_size = (*C.char)(code), C.size_t(len(text))

	var refused unsafe.Pointer // the first set's error: the later ones follow from giving up flags
	for set := p.flags.Load(); ; set++ {
		var flags Flags
		if int(set) < len(o.Flags) {
			flags = o.Flags[set]
		}
		failed := p.compileWith(flags, given.options, given.options_size, args, o)
		switch {
		case failed == nil:
			if refused != nil {
				p.fallTo(set)
				why, _, _ := strings.Cut(p.error(refused).Error(), "\n")
				fmt.Fprintf(os.Stderr, "warning: XLA refuses flags that nb201 compiles with; without them programs may run slower (%s)\n", why)
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

// compileWith compiles a program with flags beside the given options, or loads it where it
// is kept.
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
	tuned = tuned && !filepath.IsAbs(cache) // that is a directory of the user's
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
	if !p.anew.Load() {
		if program := s.load(k); program != nil {
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
			flags[AutotuneCache] = dir // of our copy
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

// key identifies what a compilation with some options makes, and device what the plugin
// compiles for.
func (p *plugin) key(args *C.struct_pjrt_compile_args, options []byte) (k key, device [sha256.Size]byte, err error) {
	identity, err := p.identity()
	if err != nil {
		return k, device, err
	}
	platform, err1 := p.text(C.PJRT_CLIENT_PLATFORM_NAME, args.client)
	version, err2 := p.text(C.PJRT_CLIENT_PLATFORM_VERSION, args.client)
	kind, err3 := p.device(args.client)
	if err := errors.Join(err1, err2, err3); err != nil {
		return k, device, err
	}
	device = sum(identity, platform, version, kind)
	return sum(identity, platform, version, kind,
		view(args.program.format, args.program.format_size),
		options,
		view(args.program.code, args.program.code_size),
	), device, nil
}

// sum is the SHA-256 of parts, each with its length.
func sum(parts ...[]byte) (s [sha256.Size]byte) {
	h := sha256.New()
	for _, part := range parts {
		fmt.Fprintf(h, "%d\n", len(part))
		h.Write(part)
	}
	h.Sum(s[:0])
	return s
}

// device is the kind of a client's first device.
func (p *plugin) device(client unsafe.Pointer) ([]byte, error) {
	devices := C.struct_pjrt_list_args{struct_size: C.sizeof_struct_pjrt_list_args, object: client}
	if err := p.error(p.call(C.PJRT_CLIENT_ADDRESSABLE_DEVICES, unsafe.Pointer(&devices))); err != nil {
		return nil, err
	}
	if devices.length == 0 {
		return nil, errors.New("there is no device")
	}
	description, err := p.part(C.PJRT_DEVICE_GET_DESCRIPTION, *(*unsafe.Pointer)(devices.first))
	if err != nil {
		return nil, err
	}
	return p.text(C.PJRT_DEVICE_DESCRIPTION_KIND, description)
}

// load makes an executable of a program, or nil.
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

// serialize calls use with the program of a loaded executable, which is use's until it
// returns.
func (p *plugin) serialize(loaded unsafe.Pointer, use func(program []byte) error) error {
	executable, err := p.part(C.PJRT_LOADED_EXECUTABLE_GET_EXECUTABLE, loaded)
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

func (p *plugin) call(place C.int, args unsafe.Pointer) unsafe.Pointer {
	return C.pjrt_call(p.table, place, args)
}

// part is what a function gets of an object.
func (p *plugin) part(place C.int, object unsafe.Pointer) (unsafe.Pointer, error) {
	args := C.struct_pjrt_get_args{struct_size: C.sizeof_struct_pjrt_get_args, object: object}
	err := p.error(p.call(place, unsafe.Pointer(&args)))
	return args.part, err
}

// text is what a function says of an object; the object owns it.
func (p *plugin) text(place C.int, object unsafe.Pointer) ([]byte, error) {
	args := C.struct_pjrt_list_args{struct_size: C.sizeof_struct_pjrt_list_args, object: object}
	err := p.error(p.call(place, unsafe.Pointer(&args)))
	return view((*C.char)(args.first), args.length), err
}

func (p *plugin) destroy(place C.int, object unsafe.Pointer) {
	args := C.struct_pjrt_destroy_args{struct_size: C.sizeof_struct_pjrt_destroy_args, object: object}
	// Nothing is to be done of a failure.
	_ = p.error(p.call(place, unsafe.Pointer(&args)))
}

// error makes an error of a PJRT_Error, which it frees; nil of NULL.
func (p *plugin) error(failed unsafe.Pointer) error {
	if failed == nil {
		return nil
	}
	message, _ := p.text(C.PJRT_ERROR_MESSAGE, failed) // it never fails
	err := fmt.Errorf("XLA: %s", message)
	p.destroy(C.PJRT_ERROR_DESTROY, failed)
	return err
}

// view is C's memory as Go's.
func view(first *C.char, length C.size_t) []byte {
	return unsafe.Slice((*byte)(unsafe.Pointer(first)), length)
}
