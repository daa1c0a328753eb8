package pickle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"unicode/utf8"
)

// Reader reads pickles. It returns nil, bool, int64 (*big.Int for larger numbers), float64,
// string, []byte, *Dict, *List, Tuple, *Set, *OrderedDict, *Scalar, *Array and whatever the functions
// returned by Class return. The str of Python 2 is a string of arbitrary bytes; every other
// string is UTF-8. A frozenset is a *Set, a bytearray a []byte. A dict or set that is given
// an item twice, which no pickler does, contains it twice.
//
// An object to which a pickle refers several times is read as one object, so that the memory
// for a pickle is at most a multiple of its length. Objects may therefore contain
// themselves: a caller that descends into them must limit the depth.
type Reader struct {
	// Class returns the value for a class or a function, which must be a [Callable] if the
	// pickle calls it. Nil means [Plain].
	Class func(module, name string) (any, error)
	// Persistent returns the object of a persistent id. It may be nil.
	Persistent func(id any) (any, error)
}

// Callable is a class or a function that a pickle may call. Call must not copy its
// arguments, as a pickle can call it many times with the same ones.
type Callable interface {
	Call(args Tuple) (any, error)
}

// Stateful is an object with a __setstate__.
type Stateful interface {
	SetState(state any) error
}

// Opaque is an unknown class or function, and also every object that the pickle makes with
// it: only the name is kept.
type Opaque struct{ Name string }

// Call returns o itself, as the object.
func (o *Opaque) Call(Tuple) (any, error) { return o, nil }

// SetState ignores an object's state.
func (o *Opaque) SetState(any) error { return nil }

// Decode reads the pickle in data, of any protocol and Python version. It calls only what
// Class returns, and its memory is bounded by a constant plus a multiple of len(data). Errors
// are one short sentence that names the byte.
func (r Reader) Decode(data []byte) (any, error) {
	m := r.machine(input{buf: data})
	v, err := m.run()
	if err != nil {
		return nil, err
	}
	if m.in.pos < len(data) {
		return nil, fmt.Errorf("pickle ends after %d of %d bytes", m.in.pos, len(data))
	}
	return v, nil
}

// DecodeFrom reads the pickle at the beginning of src and returns its length in bytes. It
// may read past its end.
func (r Reader) DecodeFrom(src io.Reader) (v any, length int64, err error) {
	m := r.machine(input{src: src})
	v, err = m.run()
	return v, m.in.offset(), err
}

// Get returns the value of a key that is a string or a number, and whether d has it.
func (d Dict) Get(key any) (value any, ok bool) {
	for _, p := range d {
		if p.Key == key {
			return p.Value, true
		}
	}
	return nil, false
}

// machine executes the opcodes of a pickle, like Unpickler of Lib/pickle.py.
type machine struct {
	Reader
	in    input
	at    int64 // offset of the opcode being executed
	stack []any
	marks []int // heights of the stack at the open marks
	floor int   // the last of marks, or 0: opcodes pop nothing below it
	memo  memo
	// known holds short strings read so far, so that repeated ones are stored once.
	known  map[string]any
	start  int64 // offset of the pickle
	copied int64 // bytes and elements that builtins have copied
	made   int64 // estimated bytes of the objects made so far
	height int   // largest height of the stack so far
}

const (
	// A pickle of small objects takes several times its length in memory, but a pickle of
	// more than some megabytes consists of strings and arrays, which take about their
	// length. So objects may take base bytes, and perByte for each byte read. By contrast,
	// repetitions of the one byte that makes a dictionary take about 60 bytes each.
	base    = 48 << 20
	perByte = 2

	// Estimated sizes in bytes:
	ofWord     = 8  // a number that an interface refers to
	ofSlot     = 32 // an element of a growing slice
	ofObject   = 32 // the header of a list, dictionary, set, tuple or string
	ofCall     = 128
	ofMapEntry = 96
)

// spend counts the estimated bytes of an object.
func (m *machine) spend(n int) { m.made += int64(n) }

// checkMemory refuses a pickle whose objects take too much memory.
func (m *machine) checkMemory() error {
	if n := len(m.stack); n > m.height {
		m.spend((n - m.height) * ofSlot)
		m.height = n
	}
	if read := m.in.offset() - m.start; m.made > base+perByte*read {
		return fmt.Errorf("pickle needs more than %d MiB of memory for its first %d bytes, the limit; it cannot be a file of results or weights",
			(base+perByte*read)>>20, read)
	}
	return nil
}

const (
	maxKnown      = 4096 // strings in known
	maxKnownBytes = 32   // length of a string in known
	maxName       = 200  // length of the names of a module and a class, together
)

func (r Reader) machine(in input) *machine {
	if r.Class == nil {
		r.Class = Plain
	}
	return &machine{Reader: r, in: in, known: map[string]any{}}
}

// run executes opcodes up to STOP and returns the object on top of the stack.
func (m *machine) run() (any, error) {
	for {
		if stop, err := m.step(); err != nil {
			return nil, err
		} else if stop {
			return m.result()
		}
	}
}

func (m *machine) result() (any, error) {
	top, err := m.pop(1)
	if err != nil {
		return nil, err
	}
	return top[0], nil
}

// errorAt returns an error at the current opcode; what is the predicate of "pickle".
func (m *machine) errorAt(what string) error {
	return fmt.Errorf("pickle %s at byte %d", what, m.at)
}

// emptyTuple is shared by all empty tuples, which so need no memory.
var emptyTuple any = Tuple{}

// step executes one opcode and reports whether it is STOP.
func (m *machine) step() (stop bool, err error) {
	if stop, err = m.execute(); err == nil {
		err = m.checkMemory()
	}
	return stop, err
}

func (m *machine) execute() (stop bool, err error) {
	m.at = m.in.offset()
	op, arg, err := m.in.next()
	if err != nil {
		return false, err
	}
	switch op {
	case opProto, opFrame: // ignored: the protocol only says which opcodes to expect, and frames are for speed
	case opStop:
		return true, nil

	case opMark:
		m.marks = append(m.marks, len(m.stack))
		m.spend(2 * ofWord)
		m.floor = len(m.stack)
		m.numbers()
	case opPop:
		if len(m.stack) > m.floor {
			m.stack = m.stack[:len(m.stack)-1]
			break
		}
		_, err = m.popMark()
	case opPopMark:
		_, err = m.popMark()
	case opDup:
		var v any
		if v, err = m.top(); err == nil {
			m.push(v)
		}

	case opBinPut, opLongPut, opPut:
		var id uint32
		if id, err = m.memoNumber(arg, op == opPut); err == nil {
			err = m.memoize(id)
		}
	case opMemoize:
		err = m.memoize(m.memo.next)
	case opBinGet, opLongGet, opGet:
		err = m.pushMemo(arg, op == opGet)

	case opNone:
		m.push(nil)
	case opTrue:
		m.push(true)
	case opFalse:
		m.push(false)
	case opBinInt1:
		m.push(int64(arg[0]))
	case opBinInt2:
		m.spend(ofWord)
		m.push(int64(binary.LittleEndian.Uint16(arg)))
	case opBinInt:
		m.spend(ofWord)
		m.push(int64(int32(binary.LittleEndian.Uint32(arg))))
	case opLong1, opLong4:
		m.spend(ofWord + len(arg))
		m.push(parseLong(arg))
	case opBinFloat:
		m.spend(ofWord)
		m.push(math.Float64frombits(binary.BigEndian.Uint64(arg)))
	case opInt, opLong, opFloat, opString, opUnicode:
		m.spend(ofObject + 2*len(arg))
		v, ok := parseText(op, arg)
		if !ok {
			return false, m.errorAt("has a malformed number or string")
		}
		m.push(v)
	case opBinString, opShortBinString:
		m.pushString(arg)
	case opBinUnicode, opShortBinUnicode, opBinUnicode8:
		if !utf8.Valid(arg) {
			return false, m.errorAt("has a string that is not UTF-8")
		}
		m.pushString(arg)
	case opBinBytes, opShortBinBytes, opBinBytes8, opByteArray8:
		m.spend(ofObject + len(arg))
		m.push(bytes.Clone(arg))

	case opEmptyTuple:
		m.push(emptyTuple)
	case opTuple1:
		err = m.tuple(1)
	case opTuple2:
		err = m.tuple(2)
	case opTuple3:
		err = m.tuple(3)
	case opTuple, opList, opDict, opFrozenSet:
		var items []any
		if items, err = m.popMark(); err != nil {
			return false, err
		}
		m.spend(ofObject + len(items)*ofSlot)
		var v any
		switch op {
		case opTuple:
			v = Tuple(slices.Clone(items))
		case opList:
			v = &List{}
		case opDict:
			v = &Dict{}
		case opFrozenSet:
			v = &Set{}
		}
		if op != opTuple && !extend(v, items) {
			return false, m.errorAt("has a key without a value")
		}
		m.push(v)
	case opEmptyList:
		m.spend(ofObject)
		m.push(new(List))
	case opEmptyDict:
		m.spend(ofObject)
		m.push(new(Dict))
	case opEmptySet:
		m.spend(ofObject)
		m.push(new(Set))
	case opAppend:
		err = m.extend(1)
	case opSetItem:
		err = m.extend(2)
	case opAppends, opSetItems, opAddItems:
		var items []any
		if items, err = m.popMark(); err == nil {
			err = m.extendTop(items)
		}

	case opGlobal:
		module, name, _ := bytes.Cut(arg, []byte{'\n'})
		err = m.pushClass(string(module), string(name))
	case opStackGlobal:
		var names []any
		if names, err = m.pop(2); err != nil {
			return false, err
		}
		module, ok1 := names[0].(string)
		name, ok2 := names[1].(string)
		if !ok1 || !ok2 {
			return false, m.errorAt("names a class by values that are not strings")
		}
		err = m.pushClass(module, name)
	case opReduce, opNewObj:
		err = m.call(2)
	case opNewObjEx:
		err = m.call(3)
	case opBuild:
		err = m.build()
	case opPersID:
		m.push(string(arg))
		err = m.pushPersistent()
	case opBinPersID:
		err = m.pushPersistent()
	}
	return false, err
}

// numbers executes opcodes that push numbers and known objects, as long as they follow one another in the
// buffer. Dicts of numbers are most of a benchmark; this does the same as [machine.execute] for each, without
// the cost of a step. It leaves the rest, and all that is malformed, to execute.
func (m *machine) numbers() {
	const longest = 1 + 8 // bytes of an opcode and its argument
	in := &m.in
	for len(in.buf)-in.pos >= longest {
		at := in.buf[in.pos:][:longest]
		switch at[0] {
		case opBinFloat:
			m.spend(ofWord)
			m.push(math.Float64frombits(binary.BigEndian.Uint64(at[1:])))
			in.pos += 9
		case opBinInt1:
			m.push(int64(at[1]))
			in.pos += 2
		case opBinInt2:
			m.spend(ofWord)
			m.push(int64(binary.LittleEndian.Uint16(at[1:])))
			in.pos += 3
		case opBinGet, opLongGet:
			id, length := uint32(at[1]), 2
			if at[0] == opLongGet {
				id, length = binary.LittleEndian.Uint32(at[1:]), 5
			}
			v, ok := m.memo.get(id)
			if !ok {
				return
			}
			m.push(v)
			in.pos += length
		default:
			return
		}
	}
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

// top returns the last value on the stack.
func (m *machine) top() (any, error) {
	if len(m.stack) == m.floor {
		return nil, m.errorAt("pops an empty stack")
	}
	return m.stack[len(m.stack)-1], nil
}

// pop removes the last n values from the stack. They are valid until the next push.
func (m *machine) pop(n int) ([]any, error) {
	at := len(m.stack) - n
	if at < m.floor {
		return nil, m.errorAt("pops an empty stack")
	}
	values := m.stack[at:]
	m.stack = m.stack[:at]
	return values, nil
}

// popMark removes the last mark and the values above it, and returns the values.
func (m *machine) popMark() ([]any, error) {
	n := len(m.marks) - 1
	if n < 0 {
		return nil, m.errorAt("has no open mark")
	}
	values := m.stack[m.floor:]
	m.stack = m.stack[:m.floor]
	m.marks = m.marks[:n]
	m.floor = 0
	if n > 0 {
		m.floor = m.marks[n-1]
	}
	return values, nil
}

func (m *machine) pushString(b []byte) {
	if len(b) > maxKnownBytes {
		m.spend(ofObject + len(b))
		m.push(string(b))
		return
	}
	v, ok := m.known[string(b)]
	if !ok {
		m.spend(ofObject + len(b))
		s := string(b)
		v = s
		if len(m.known) < maxKnown {
			m.known[s] = v
		}
	}
	m.push(v)
}

func (m *machine) tuple(n int) error {
	items, err := m.pop(n)
	if err != nil {
		return err
	}
	m.spend(ofObject + n*ofWord)
	m.push(Tuple(slices.Clone(items)))
	return nil
}

func (m *machine) extend(n int) error {
	items, err := m.pop(n)
	if err != nil {
		return err
	}
	return m.extendTop(items)
}

// extendTop adds items to the container on top of the stack.
func (m *machine) extendTop(items []any) error {
	container, err := m.top()
	if err != nil {
		return err
	}
	m.spend(len(items) * ofSlot)
	if !extend(container, items) {
		return m.errorAt("adds items to an object that cannot have them")
	}
	return nil
}

// extend adds items to a list or a set, or keys and values in turn to a dictionary. It
// reports false if that is impossible.
func extend(container any, items []any) bool {
	switch c := container.(type) {
	case *List:
		*c = append(*c, items...)
	case *Set:
		*c = append(*c, items...)
	case *Dict:
		return c.extend(items)
	case *OrderedDict:
		return c.Items.extend(items)
	case *Opaque: // its contents are dropped
	default:
		return false
	}
	return true
}

func (d *Dict) extend(items []any) bool {
	if len(items)%2 != 0 {
		return false
	}
	*d = slices.Grow(*d, len(items)/2)
	for i := 0; i < len(items); i += 2 {
		*d = append(*d, Pair{items[i], items[i+1]})
	}
	return true
}

// pushClass pushes the value of a class or function.
func (m *machine) pushClass(module, name string) error {
	if len(module)+len(name) > maxName || strings.ContainsFunc(module+name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return m.errorAt("has a malformed class name")
	}
	c, err := m.Class(module, name)
	if err != nil {
		return m.locate(err)
	}
	m.spend(ofObject + len(module) + len(name))
	m.push(c)
	return nil
}

// locate adds the offset of the current opcode to an error.
func (m *machine) locate(err error) error {
	return fmt.Errorf("pickle at byte %d: %w", m.at, err)
}

// call replaces a function and its arguments by the result: n is 2 for REDUCE and NEWOBJ,
// and 3 for NEWOBJ_EX, whose keyword arguments must be empty.
func (m *machine) call(n int) error {
	values, err := m.pop(n)
	if err != nil {
		return err
	}
	args, ok := values[1].(Tuple)
	if n == 3 {
		named, isDict := values[2].(*Dict)
		ok = ok && isDict && len(*named) == 0
	}
	if !ok {
		return m.errorAt("calls a function with malformed arguments")
	}
	m.spend(ofCall)
	var v any
	switch f := values[0].(type) {
	case builtin:
		v, err = f(m, args)
	case Callable:
		v, err = f.Call(args)
	default:
		return m.errorAt("calls an object that is not a function")
	}
	if err != nil {
		return m.locate(err)
	}
	m.push(v)
	return nil
}

// build sets the state of an object: BUILD.
func (m *machine) build() error {
	values, err := m.pop(1)
	if err != nil {
		return err
	}
	state := values[0]
	object, err := m.top()
	if err != nil {
		return err
	}
	switch v := object.(type) {
	case *OrderedDict:
		attributes, ok := state.(*Dict)
		if !ok || v.Attributes != nil {
			return m.errorAt("has an OrderedDict with malformed attributes")
		}
		v.Attributes = slices.Clip(*attributes)
	case Stateful:
		if err := v.SetState(state); err != nil {
			return m.locate(err)
		}
	default:
		return m.errorAt("sets the state of an object that has none")
	}
	return nil
}

// pushPersistent replaces a persistent ID by its object.
func (m *machine) pushPersistent() error {
	id, err := m.pop(1)
	if err != nil {
		return err
	}
	if m.Persistent == nil {
		return m.errorAt("refers to an object outside the pickle")
	}
	v, err := m.Persistent(id[0])
	if err != nil {
		return m.locate(err)
	}
	m.push(v)
	return nil
}

// chargeCopy counts the bytes or elements that a builtin copies. An honest pickle copies
// nothing twice, so their number is at most the number of bytes read.
func (m *machine) chargeCopy(n int) error {
	if m.copied += int64(n); m.copied > m.in.offset()-m.start {
		return errors.New("it copies one object many times")
	}
	return nil
}

// memoNumber returns the memo number in an opcode's argument.
func (m *machine) memoNumber(arg []byte, isText bool) (uint32, error) {
	if id, ok := parseMemoNumber(arg, isText); ok {
		return id, nil
	}
	return 0, m.errorAt("has a malformed memo number")
}

// memoize puts the value on top of the stack into the memo.
func (m *machine) memoize(id uint32) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	m.spend(m.memo.put(id, v))
	return nil
}

// pushMemo pushes a value from the memo.
func (m *machine) pushMemo(arg []byte, isText bool) error {
	id, err := m.memoNumber(arg, isText)
	if err != nil {
		return err
	}
	v, ok := m.memo.get(id)
	if !ok && m.memo.outside != nil {
		if v, err = m.memo.outside(id); err != nil {
			return m.locate(err)
		}
		m.memo.put(id, v)
	} else if !ok {
		return m.errorAt("refers to an object that is not in its memo")
	}
	m.push(v)
	return nil
}

// memo holds the objects that a pickle may refer to again. Pickles number them
// consecutively.
type memo struct {
	first  uint32 // number of dense[0]
	dense  []any
	sparse map[uint32]any // objects with numbers out of order
	next   uint32         // number that MEMOIZE gives the next object
	// outside finds an object that is not in the memo; it may be nil.
	outside func(id uint32) (any, error)
}

// hole marks an empty element of dense.
type hole struct{}

// put stores v, and returns the estimated bytes that this takes.
func (m *memo) put(id uint32, v any) (spent int) {
	before := len(m.dense)
	m.next = max(m.next, id+1)
	const gap = 16
	switch at := int64(id) - int64(m.first); {
	case 0 <= at && at < int64(len(m.dense)):
		m.dense[at] = v
	case 0 <= at && at <= int64(len(m.dense)+gap):
		for int64(len(m.dense)) < at {
			m.dense = append(m.dense, hole{})
		}
		m.dense = append(m.dense, v)
	default:
		if m.sparse == nil {
			m.sparse = map[uint32]any{}
		}
		m.sparse[id] = v
		return ofMapEntry
	}
	return (len(m.dense) - before) * ofSlot
}

func (m *memo) get(id uint32) (any, bool) {
	if at := int64(id) - int64(m.first); 0 <= at && at < int64(len(m.dense)) {
		if v := m.dense[at]; v != any(hole{}) {
			return v, true
		}
	}
	v, ok := m.sparse[id]
	return v, ok
}
