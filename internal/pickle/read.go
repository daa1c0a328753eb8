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

// Reader says what a pickle may refer to. It reads nil, bool, int64 (*big.Int where 64
// bits do not do), float64, string, []byte, *Dict, *List, Tuple, *Set, *OrderedDict and
// what Class's functions return. The str of Python 2 is a string of any bytes; every
// other string is UTF-8; a frozenset is a *Set; a bytearray is a []byte. A dictionary or
// set that is given an item twice, as no pickler does, has it twice.
//
// What a pickle refers to twice is one object, so that reading needs no more memory than
// some multiple of the pickle. Objects may thus contain themselves: a consumer that
// descends must say how deep.
type Reader struct {
	// Class returns what stands for a class or a function: a Callable where the pickle
	// calls it. Nil means Plain.
	Class func(module, name string) (any, error)
	// Persistent returns the object of a persistent id. It may be nil.
	Persistent func(id any) (any, error)
}

// Callable is a class or a function that a pickle may call. Call keeps or shares its
// arguments rather than copying them, since a pickle can call often with one of them.
type Callable interface {
	Call(args Tuple) (any, error)
}

// Stateful is an object with a __setstate__.
type Stateful interface {
	SetState(state any) error
}

// Opaque stands for a class or function that is not known, and for all objects that the
// pickle makes of it: of them nothing is kept but the name.
type Opaque struct{ Name string }

// Call makes an object.
func (o *Opaque) Call(Tuple) (any, error) { return o, nil }

// SetState passes over an object's state.
func (o *Opaque) SetState(any) error { return nil }

// Decode reads the pickle in data, of any protocol and by any Python. It runs nothing
// but what Class returns, and never needs more memory than a constant and some multiple
// of len(data). What is wrong with data is one short sentence.
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

// DecodeFrom reads the pickle with which src begins, and tells its length. It reads
// ahead of it.
func (r Reader) DecodeFrom(src io.Reader) (v any, length int64, err error) {
	m := r.machine(input{src: src})
	v, err = m.run()
	return v, m.in.offset(), err
}

// Get finds the value of a key that is a string or a number.
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
	at    int64 // where the opcode being executed lies
	stack []any
	marks []int // heights of the stack at the marks that are open
	floor int   // the last of marks, or 0: opcodes take nothing from below
	memo  memo
	// known holds short strings read so far: what a pickle repeats is kept once.
	known  map[string]any
	start  int64 // where the pickle begins
	copied int64 // bytes and elements that builtins have copied
	made   int64 // bytes that the objects made so far take, by estimate
	height int   // of the stack, at most so far
}

const (
	// A pickle of small objects takes several times its length in memory; one that is
	// larger than some megabytes is made of strings and arrays, which take about as
	// much as they have bytes. So objects may take base bytes and perByte for each byte
	// read: one byte that makes a dictionary, repeated, comes to 60.
	base    = 48 << 20
	perByte = 2

	ofWord     = 8  // bytes of a number that an interface refers to
	ofSlot     = 32 // of an element of a slice that grows
	ofObject   = 32 // of a header of a list, dictionary, set, tuple or string
	ofCall     = 128
	ofMapEntry = 96
)

// spend counts bytes that an object takes.
func (m *machine) spend(n int) { m.made += int64(n) }

// afford refuses a pickle whose objects take too much memory.
func (m *machine) afford() error {
	if n := len(m.stack); n > m.height {
		m.spend((n - m.height) * ofSlot)
		m.height = n
	}
	if read := m.in.offset() - m.start; m.made > base+perByte*read {
		return fmt.Errorf("pickle takes more than %d MiB of memory for its first %d bytes: it is not a file of results or weights", (base+perByte*read)>>20, read)
	}
	return nil
}

const (
	maxKnown      = 4096 // strings in known
	maxKnownBytes = 32   // of one of them
	maxName       = 200  // bytes of the names of a module and a class of it
)

func (r Reader) machine(in input) *machine {
	if r.Class == nil {
		r.Class = Plain
	}
	return &machine{Reader: r, in: in, known: map[string]any{}}
}

// run executes opcodes up to STOP and returns the object on top.
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
	top, err := m.take(1)
	if err != nil {
		return nil, err
	}
	return top[0], nil
}

// wrong describes what is wrong at the current opcode.
func (m *machine) wrong(what string) error {
	return fmt.Errorf("pickle %s at byte %d", what, m.at)
}

// emptyTuple is the one tuple that needs no memory.
var emptyTuple any = Tuple{}

// step executes one opcode and reports whether it is STOP.
func (m *machine) step() (stop bool, err error) {
	if stop, err = m.execute(); err == nil {
		err = m.afford()
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
	case opProto, opFrame: // a protocol tells only which opcodes to expect; frames are for speed
	case opStop:
		return true, nil

	case opMark:
		m.marks = append(m.marks, len(m.stack))
		m.spend(2 * ofWord)
		m.floor = len(m.stack)
	case opPop:
		if len(m.stack) > m.floor {
			m.stack = m.stack[:len(m.stack)-1]
			break
		}
		_, err = m.takeMark()
	case opPopMark:
		_, err = m.takeMark()
	case opDup:
		var v any
		if v, err = m.top(); err == nil {
			m.push(v)
		}

	case opBinPut, opLongPut, opPut:
		var id uint32
		if id, err = m.id(arg, op == opPut); err == nil {
			err = m.keep(id)
		}
	case opMemoize:
		err = m.keep(m.memo.next)
	case opBinGet, opLongGet, opGet:
		err = m.get(arg, op == opGet)

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
		m.push(long(arg))
	case opBinFloat:
		m.spend(ofWord)
		m.push(math.Float64frombits(binary.BigEndian.Uint64(arg)))
	case opInt, opLong, opFloat, opString, opUnicode:
		m.spend(ofObject + 2*len(arg))
		v, ok := text(op, arg)
		if !ok {
			return false, m.wrong("has a malformed number or string")
		}
		m.push(v)
	case opBinString, opShortBinString:
		m.pushString(arg)
	case opBinUnicode, opShortBinUnicode, opBinUnicode8:
		if !utf8.Valid(arg) {
			return false, m.wrong("has a string that is not UTF-8")
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
		if items, err = m.takeMark(); err != nil {
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
			return false, m.wrong("has a key without a value")
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
		if items, err = m.takeMark(); err == nil {
			err = m.extendTop(items)
		}

	case opGlobal:
		module, name, _ := bytes.Cut(arg, []byte{'\n'})
		err = m.class(string(module), string(name))
	case opStackGlobal:
		var names []any
		if names, err = m.take(2); err != nil {
			return false, err
		}
		module, ok1 := names[0].(string)
		name, ok2 := names[1].(string)
		if !ok1 || !ok2 {
			return false, m.wrong("names a class by something else than strings")
		}
		err = m.class(module, name)
	case opReduce, opNewObj:
		err = m.call(2)
	case opNewObjEx:
		err = m.call(3)
	case opBuild:
		err = m.build()
	case opPersID:
		m.push(string(arg))
		err = m.persistent()
	case opBinPersID:
		err = m.persistent()
	}
	return false, err
}

func (m *machine) push(v any) { m.stack = append(m.stack, v) }

// top is the last value on the stack.
func (m *machine) top() (any, error) {
	if len(m.stack) == m.floor {
		return nil, m.wrong("finds its stack empty")
	}
	return m.stack[len(m.stack)-1], nil
}

// take removes the last n values from the stack. They are valid until the next push.
func (m *machine) take(n int) ([]any, error) {
	at := len(m.stack) - n
	if at < m.floor {
		return nil, m.wrong("finds its stack empty")
	}
	values := m.stack[at:]
	m.stack = m.stack[:at]
	return values, nil
}

// takeMark removes the values down to the last mark, and the mark.
func (m *machine) takeMark() ([]any, error) {
	n := len(m.marks) - 1
	if n < 0 {
		return nil, m.wrong("is nested wrongly")
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
	items, err := m.take(n)
	if err != nil {
		return err
	}
	m.spend(ofObject + n*ofWord)
	m.push(Tuple(slices.Clone(items)))
	return nil
}

func (m *machine) extend(n int) error {
	items, err := m.take(n)
	if err != nil {
		return err
	}
	return m.extendTop(items)
}

// extendTop adds items to the container on top.
func (m *machine) extendTop(items []any) error {
	container, err := m.top()
	if err != nil {
		return err
	}
	m.spend(len(items) * ofSlot)
	if !extend(container, items) {
		return m.wrong("adds items to something that takes no such items")
	}
	return nil
}

// extend adds items to a list or a set, or pairs of them to a dictionary.
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
	case *Opaque: // of what it holds nothing is kept
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

func (m *machine) class(module, name string) error {
	if len(module)+len(name) > maxName || strings.ContainsFunc(module+name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return m.wrong("has a malformed name of a class")
	}
	c, err := m.Class(module, name)
	if err != nil {
		return m.located(err)
	}
	m.spend(ofObject + len(module) + len(name))
	m.push(c)
	return nil
}

// located says where another's error arose.
func (m *machine) located(err error) error {
	return fmt.Errorf("pickle at byte %d: %w", m.at, err)
}

// call replaces a function and its arguments by the result: REDUCE and NEWOBJ, or
// NEWOBJ_EX with arguments by name, which nothing here has.
func (m *machine) call(n int) error {
	values, err := m.take(n)
	if err != nil {
		return err
	}
	args, ok := values[1].(Tuple)
	if n == 3 {
		named, isDict := values[2].(*Dict)
		ok = ok && isDict && len(*named) == 0
	}
	if !ok {
		return m.wrong("calls something with malformed arguments")
	}
	m.spend(ofCall)
	var v any
	switch f := values[0].(type) {
	case builtin:
		v, err = f(m, args)
	case Callable:
		v, err = f.Call(args)
	default:
		return m.wrong("calls something that is no function")
	}
	if err != nil {
		return m.located(err)
	}
	m.push(v)
	return nil
}

// build gives the object on top its state.
func (m *machine) build() error {
	values, err := m.take(1)
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
			return m.wrong("has an OrderedDict with malformed attributes")
		}
		v.Attributes = slices.Clip(*attributes)
	case Stateful:
		if err := v.SetState(state); err != nil {
			return m.located(err)
		}
	default:
		return m.wrong("sets the state of something that has none")
	}
	return nil
}

func (m *machine) persistent() error {
	id, err := m.take(1)
	if err != nil {
		return err
	}
	if m.Persistent == nil {
		return m.wrong("refers to an object outside of it")
	}
	v, err := m.Persistent(id[0])
	if err != nil {
		return m.located(err)
	}
	m.push(v)
	return nil
}

// charge counts what a builtin copies. In an honest pickle nothing is copied twice, so
// that it is less than was read.
func (m *machine) charge(n int) error {
	if m.copied += int64(n); m.copied > m.in.offset()-m.start {
		return errors.New("it copies one object again and again")
	}
	return nil
}

// id is the number of a memo entry.
func (m *machine) id(arg []byte, isText bool) (uint32, error) {
	if id, ok := memoID(arg, isText); ok {
		return id, nil
	}
	return 0, m.wrong("has a malformed memo number")
}

// keep puts the value on top into the memo.
func (m *machine) keep(id uint32) error {
	v, err := m.top()
	if err != nil {
		return err
	}
	m.spend(m.memo.put(id, v))
	return nil
}

// get pushes a value of the memo.
func (m *machine) get(arg []byte, isText bool) error {
	id, err := m.id(arg, isText)
	if err != nil {
		return err
	}
	v, ok := m.memo.get(id)
	if !ok && m.memo.outside != nil {
		if v, err = m.memo.outside(id); err != nil {
			return m.located(err)
		}
		m.memo.put(id, v)
	} else if !ok {
		return m.wrong("refers to an object that it has not kept")
	}
	m.push(v)
	return nil
}

// memo holds the objects that a pickle may refer to again. Pickles number them one
// after the other.
type memo struct {
	first  uint32 // number of dense[0]
	dense  []any
	sparse map[uint32]any // those out of order
	next   uint32         // number of the next object that MEMOIZE keeps
	// outside finds an object that is not here; it may be nil.
	outside func(id uint32) (any, error)
}

// hole stands in dense where nothing was kept.
type hole struct{}

// put keeps v, and returns how many bytes that takes, by estimate.
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
