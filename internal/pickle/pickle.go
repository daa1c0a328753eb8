// Package pickle writes Python pickles that every reader of the published files
// accepts, and reads them back.
//
// A pickle is written in protocol 2 with only the opcodes that torch's
// weights-only unpickler (torch/_weights_only_unpickler.py, the default of
// torch.load since 2.6) knows: that is why it is written by hand, since the pickle
// libraries for Go use DICT, LIST and protocol 4. Reading is left to gopickle, behind
// a check of the opcodes, which has to do for any bytes.
package pickle

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"unicode/utf8"
)

// The values that Encoder writes are nil, bool, int, int64, float64, string and
// the types below. A float64 stays a float in Python even when it is integral.
type (
	// Pair is one item of a dictionary.
	Pair struct{ Key, Value any }
	// Dict is a dict, in this order.
	Dict []Pair
	// DictSeq is a dict whose items are made while it is written, so that it need
	// not fit into memory; it passes each item to emit and returns emit's error.
	DictSeq func(emit func(key, value any) error) error
	// OrderedDict is a collections.OrderedDict with attributes of its own, if any.
	OrderedDict struct{ Items, Attributes Dict }
	// List is a list.
	List []any
	// Tuple is a tuple.
	Tuple []any
	// Set is a set.
	Set []any
	// Global is a class or a function of a Python module.
	Global struct{ Module, Name string }
	// Reduce is what Func returns for Args.
	Reduce struct {
		Func Global
		Args Tuple
	}
	// PersistentID stands for an object that is stored outside the pickle.
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

// Encoder writes pickles.
type Encoder struct {
	// Convert turns a value of any other type into one that can be written. It may
	// be nil.
	Convert func(v any) (any, error)

	w       io.Writer
	buf     []byte            // not yet written to w
	strings map[string]uint32 // where those written so far are in the memo
	globals map[Global]uint32
}

// NewEncoder returns an Encoder that writes to w, in large pieces.
func NewEncoder(w io.Writer) *Encoder { return &Encoder{w: w} }

// Encode writes v as one whole pickle. A string that occurs again is written as a
// reference to its first occurrence.
func (e *Encoder) Encode(v any) error {
	e.strings, e.globals = map[string]uint32{}, map[Global]uint32{}
	e.buf = append(e.buf[:0], opProto, 2)
	if err := e.value(v); err != nil {
		return err
	}
	e.op(opStop)
	return e.flush(0)
}

// flush writes the buffer out once it is longer than limit.
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
		e.op(opBinFloat)
		e.buf = binary.BigEndian.AppendUint64(e.buf, math.Float64bits(v))
	case string:
		return e.string(v)
	case Dict:
		e.op(opEmptyDict)
		return e.items(v)
	case DictSeq:
		e.op(opEmptyDict)
		return v(e.setItem)
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
	case PersistentID:
		if err := e.value(v.ID); err != nil {
			return err
		}
		e.op(opBinPersID)
	default:
		if e.Convert == nil {
			return fmt.Errorf("pickle: no Python form for a %T", v)
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

func (e *Encoder) string(s string) error {
	if at, ok := e.strings[s]; ok {
		e.memo(opBinGet, opLongGet, at)
		return nil
	}
	if !utf8.ValidString(s) || len(s) > math.MaxInt32 {
		return fmt.Errorf("pickle: a string of %d bytes is too long or not UTF-8: %.40q", len(s), s)
	}
	e.buf = binary.LittleEndian.AppendUint32(append(e.buf, opBinUnicode), uint32(len(s)))
	e.buf = append(e.buf, s...)
	e.strings[s] = e.put()
	return nil
}

func (e *Encoder) global(g Global) {
	if at, ok := e.globals[g]; ok {
		e.memo(opBinGet, opLongGet, at)
		return
	}
	e.buf = fmt.Appendf(e.buf, "%c%s\n%s\n", opGlobal, g.Module, g.Name)
	e.globals[g] = e.put()
}

// put has the reader keep the value just written, and tells under which number.
func (e *Encoder) put() uint32 {
	at := uint32(len(e.strings) + len(e.globals))
	e.memo(opBinPut, opLongPut, at)
	return at
}

func (e *Encoder) memo(short, long byte, at uint32) {
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
