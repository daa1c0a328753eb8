// Package pickle reads and writes Python pickles.
//
// [Encoder] writes protocol 2 with only the opcodes that torch's weights-only unpickler
// knows (torch/_weights_only_unpickler.py, the default of torch.load since 2.6), so that
// every reader of the published files accepts the result. The pickle libraries for Go use
// DICT, LIST and protocol 4.
//
// [Reader] reads any protocol, from untrusted bytes, in memory bounded by their length, and
// runs no code that the pickle names. For a pickle too large to read whole, [Index] records
// where the entries of its one large dict are, and [Entries] decodes them singly; no library
// does that.
package pickle

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/big"
	"unicode/utf8"
)

// Encoder writes nil, bool, int, int64, float64, string, *Array, the types below, and what a [Reader]
// returns with [Plain]. A float64 is a float in Python even if its value is integral.
type (
	// Pair is one item of a dictionary.
	Pair struct{ Key, Value any }
	// Dict is a dict, with its items in order.
	Dict []Pair
	// DictSeq writes a dict that need not fit into memory: it passes each item to emit
	// and returns emit's error.
	DictSeq func(emit func(key, value any) error) error
	// RawDict writes a dict of items encoded by [Encoder.EncodeItem]: it writes their
	// bytes, concatenated, to w, which is the Encoder's writer.
	RawDict func(w io.Writer) error
	// OrderedDict is a collections.OrderedDict. Attributes are those of the object, its
	// __dict__, and may be empty.
	OrderedDict struct{ Items, Attributes Dict }
	// List is a list.
	List []any
	// Tuple is a tuple.
	Tuple []any
	// Set is a set.
	Set []any
	// Bytes is a bytes object. It needs an opcode of protocol 3, which torch's
	// weights-only unpickler does not know, so it is for plain pickles only.
	Bytes []byte
	// Repeated is a float that occurs several times. Like a string, it is written once
	// and then referred to.
	Repeated float64
	// Global is a class or a function in a Python module.
	Global struct{ Module, Name string }
	// Reduce is the result of calling Func with Args.
	Reduce struct {
		Func Global
		Args Tuple
	}
	// PersistentID refers to an object stored outside the pickle.
	PersistentID struct{ ID any }
)

const (
	opMark       = '('
	opStop       = '.'
	opBinInt     = 'J'
	opBinInt1    = 'K'
	opBinInt2    = 'M'
	opLong1      = 0x8a
	opBinFloat   = 'G'
	opNone       = 'N'
	opTrue       = 0x88
	opFalse      = 0x89
	opBinUnicode = 'X'
	opEmptyList  = ']'
	opAppends    = 'e'
	opEmptyTuple = ')'
	opTuple      = 't'
	opTuple1     = 0x85
	opTuple2     = 0x86
	opTuple3     = 0x87
	opEmptyDict  = '}'
	opSetItem    = 's'
	opSetItems   = 'u'
	opGlobal     = 'c'
	opReduce     = 'R'
	opBuild      = 'b'
	opBinPersID  = 'Q'
	opBinGet     = 'h'
	opLongGet    = 'j'
	opBinPut     = 'q'
	opLongPut    = 'r'
	opProto      = 0x80
)

// maxNested bounds how deeply written values are nested: a value that was read may contain itself.
const maxNested = 200

// Encoder writes pickles.
type Encoder struct {
	// Convert converts a value of any other type to one that can be written. It may be nil.
	Convert func(v any) (any, error)
	// Unshared writes a repeated string again each time, which is faster and longer.
	Unshared bool
	// PlainScalars writes numpy scalars as plain numbers.
	PlainScalars bool

	w     io.Writer
	buf   []byte         // not yet written to w
	depth int            // of the value being written in its containers
	memo  map[any]uint32 // memo numbers of the strings, Globals and bits of Repeateds written so far
}

// NewEncoder returns an Encoder that writes to w in large pieces.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Encode writes v as a complete pickle. Repeated strings are written as references to their
// first occurrence.
func (e *Encoder) Encode(v any) error {
	e.memo = map[any]uint32{}
	e.buf = append(e.buf[:0], opProto, 2)
	if err := e.value(v); err != nil {
		return err
	}
	e.op(opStop)
	return e.flush(0)
}

// EncodeItem writes an item of a [RawDict]. The item refers to nothing outside itself, and
// its memo numbers overwrite those of earlier items.
func (e *Encoder) EncodeItem(key, value any) error {
	e.memo, e.buf = map[any]uint32{}, e.buf[:0]
	if err := e.setItem(key, value); err != nil {
		return err
	}
	return e.flush(0)
}

// flush writes out the buffer if it is longer than limit.
func (e *Encoder) flush(limit int) error {
	if len(e.buf) <= limit {
		return nil
	}
	_, err := e.w.Write(e.buf)
	e.buf = e.buf[:0]
	return err
}

func (e *Encoder) op(op byte) { e.buf = append(e.buf, op) }

func (e *Encoder) value(v any) error {
	if err := e.flush(1 << 16); err != nil {
		return err
	}
	if e.depth++; e.depth > maxNested {
		return fmt.Errorf("pickle: cannot write a value nested more than %d levels deep", maxNested)
	}
	defer func() { e.depth-- }()
	switch v := v.(type) {
	case nil:
		e.op(opNone)
	case bool:
		if v {
			e.op(opTrue)
		} else {
			e.op(opFalse)
		}
	case int:
		e.int(int64(v))
	case int64:
		e.int(v)
	case float64:
		e.float(math.Float64bits(v))
	case Repeated:
		if bits := math.Float64bits(float64(v)); !e.recall(bits) {
			e.float(bits)
			e.memoize(bits)
		}
	case string:
		return e.string(v)
	case Bytes:
		if len(v) > math.MaxInt32 {
			return fmt.Errorf("pickle: %d bytes are too many; the limit is %d", len(v), math.MaxInt32)
		}
		e.buf = binary.LittleEndian.AppendUint32(append(e.buf, opBinBytes), uint32(len(v)))
		e.buf = append(e.buf, v...)
	case Dict:
		e.op(opEmptyDict)
		return e.items(v)
	case DictSeq:
		e.op(opEmptyDict)
		return v(e.setItem)
	case RawDict:
		e.op(opEmptyDict)
		if err := e.flush(0); err != nil {
			return err
		}
		clear(e.memo) // the items use the same memo numbers
		return v(e.w)
	case OrderedDict:
		return e.orderedDict(v)
	case List:
		e.op(opEmptyList)
		if len(v) == 0 {
			return nil
		}
		e.op(opMark)
		if err := e.values(v...); err != nil {
			return err
		}
		e.op(opAppends)
	case Tuple:
		return e.tuple(v)
	case Set:
		return e.value(Reduce{Global{"__builtin__", "set"}, Tuple{List(v)}})
	case Global:
		e.global(v)
	case Reduce:
		if err := e.values(v.Func, v.Args); err != nil {
			return err
		}
		e.op(opReduce)
	case []byte:
		return e.value(Bytes(v))
	case *Dict:
		return e.value(*v)
	case *OrderedDict:
		return e.value(*v)
	case *List:
		return e.value(*v)
	case *Set:
		return e.value(*v)
	case *Scalar:
		if e.PlainScalars {
			return e.value(v.Value)
		}
		return e.scalar(v)
	case *Array:
		return e.array(v)
	case built:
		if err := e.values(v.object, v.state); err != nil {
			return err
		}
		e.op(opBuild)
	case PersistentID:
		if err := e.value(v.ID); err != nil {
			return err
		}
		e.op(opBinPersID)
	default:
		if e.Convert == nil {
			return fmt.Errorf("pickle: cannot write a %T", v)
		}
		known, err := e.Convert(v)
		if err != nil {
			return err
		}
		return e.value(known)
	}
	return nil
}

func (e *Encoder) values(values ...any) error {
	for _, v := range values {
		if err := e.value(v); err != nil {
			return err
		}
	}
	return nil
}

func (e *Encoder) int(v int64) {
	switch {
	case 0 <= v && v < 1<<8:
		e.buf = append(e.buf, opBinInt1, byte(v))
	case 0 <= v && v < 1<<16:
		e.buf = binary.LittleEndian.AppendUint16(append(e.buf, opBinInt2), uint16(v))
	case math.MinInt32 <= v && v <= math.MaxInt32:
		e.buf = binary.LittleEndian.AppendUint32(append(e.buf, opBinInt), uint32(v))
	default:
		e.buf = binary.LittleEndian.AppendUint64(append(e.buf, opLong1, 8), uint64(v))
	}
}

func (e *Encoder) float(bits uint64) {
	e.buf = binary.BigEndian.AppendUint64(append(e.buf, opBinFloat), bits)
}

func (e *Encoder) string(s string) error {
	if !e.Unshared && e.recall(s) {
		return nil
	}
	if !utf8.ValidString(s) || len(s) > math.MaxInt32 {
		return fmt.Errorf("pickle: a string of %d bytes is too long (limit %d) or not UTF-8: %.40q", len(s), math.MaxInt32, s)
	}
	e.buf = binary.LittleEndian.AppendUint32(append(e.buf, opBinUnicode), uint32(len(s)))
	e.buf = append(e.buf, s...)
	if !e.Unshared {
		e.memoize(s)
	}
	return nil
}

func (e *Encoder) global(g Global) {
	if !e.recall(g) {
		e.buf = fmt.Appendf(e.buf, "%c%s\n%s\n", opGlobal, g.Module, g.Name)
		e.memoize(g)
	}
}

// memoize puts the value just written into the reader's memo.
func (e *Encoder) memoize(v any) {
	at := uint32(len(e.memo))
	e.memo[v] = at
	e.memoOp(opBinPut, opLongPut, at)
}

// recall writes a reference to v and returns true, if v is in the reader's memo.
func (e *Encoder) recall(v any) bool {
	at, ok := e.memo[v]
	if ok {
		e.memoOp(opBinGet, opLongGet, at)
	}
	return ok
}

// memoOp writes the short or the long form of an opcode that has a memo number.
func (e *Encoder) memoOp(short, long byte, at uint32) {
	if at < 1<<8 {
		e.buf = append(e.buf, short, byte(at))
		return
	}
	e.buf = binary.LittleEndian.AppendUint32(append(e.buf, long), at)
}

func (e *Encoder) items(items Dict) error {
	if len(items) == 0 {
		return nil
	}
	e.op(opMark)
	for _, item := range items {
		if err := e.values(item.Key, item.Value); err != nil {
			return err
		}
	}
	e.op(opSetItems)
	return nil
}

func (e *Encoder) setItem(key, value any) error {
	if err := e.values(key, value); err != nil {
		return err
	}
	e.op(opSetItem)
	return nil
}

func (e *Encoder) orderedDict(v OrderedDict) error {
	if err := e.value(Reduce{Func: Global{"collections", "OrderedDict"}}); err != nil {
		return err
	}
	if err := e.items(v.Items); err != nil {
		return err
	}
	if len(v.Attributes) == 0 {
		return nil
	}
	if err := e.value(v.Attributes); err != nil {
		return err
	}
	e.op(opBuild)
	return nil
}

func (e *Encoder) tuple(items Tuple) error {
	if len(items) > 3 {
		e.op(opMark)
	}
	if err := e.values(items...); err != nil {
		return err
	}
	e.op([...]byte{opEmptyTuple, opTuple1, opTuple2, opTuple3, opTuple}[min(len(items), 4)])
	return nil
}

// Describe names the type, and for scalars the value, of a value that was read, in Python's
// terms.
func Describe(v any) string {
	switch v := Unwrap(v).(type) {
	case nil:
		return "None"
	case bool:
		if v {
			return "True"
		}
		return "False"
	case int64, float64, *big.Int:
		return fmt.Sprintf("the number %.40s", fmt.Sprint(v))
	case string:
		return fmt.Sprintf("the string %.40q", v)
	case []byte:
		return "a string of bytes"
	case *List:
		return "a list"
	case Tuple:
		return "a tuple"
	case *Dict, *OrderedDict:
		return "a dict"
	case *Set:
		return "a set"
	case *Array:
		return "a numpy array"
	}
	return "an object"
}
