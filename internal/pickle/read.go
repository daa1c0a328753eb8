package pickle

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"unicode/utf8"

	gopickle "github.com/nlpodyssey/gopickle/pickle"
)

// Reader says what a pickle may refer to.
type Reader struct {
	// Class returns what stands for a class or a function: a types.Callable of
	// gopickle where it is called. collections.OrderedDict is known already.
	Class func(module, name string) (any, error)
	// Persistent returns the object of a persistent id. It may be nil.
	Persistent func(id any) (any, error)
}

// Decode reads the pickle in data, of protocol 2 to 5 and by any Python, into
// gopickle's types. It takes arrays, tensors, lists, dictionaries, numbers and
// strings, runs nothing but what Class returns, and never needs more memory than a
// constant and some multiple of len(data). What is wrong with data is one short
// sentence.
func (r Reader) Decode(data []byte) (v any, err error) {
	if err := scan(data); err != nil {
		return nil, err
	}
	defer func() { // gopickle indexes without looking
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("pickle is malformed: %v", p)
		}
	}()
	u := gopickle.NewUnpickler(bytes.NewReader(data))
	u.FindClass = r.Class
	u.PersistentLoad = r.Persistent
	if v, err = u.Load(); err != nil {
		return nil, fmt.Errorf("pickle cannot be read: %.200s", err) // it may quote any object
	}
	return v, nil
}

// Opcodes that are read, besides those that are written (Lib/pickle.py).
const (
	opAppend          = 'a'
	opString          = 'T'
	opShortString     = 'U'
	opShortBinUnicode = 0x8c
	opBinUnicode8     = 0x8d
	opBinBytes        = 'B'
	opShortBinBytes   = 'C'
	opBinBytes8       = 0x8e
	opByteArray8      = 0x96
	opStackGlobal     = 0x93
	opMemoize         = 0x94
	opFrame           = 0x95
)

// arguments says, for each opcode that scan lets through, how many bytes follow it;
// a negative number is the size of a length that says so. What follows GLOBAL are
// two lines.
var arguments = map[byte]int{
	opProto: 1, opFrame: 8, opStop: 0,
	opBinPut: 1, opLongPut: 4, opMemoize: 0, opBinGet: 1, opLongGet: 4,
	opMark: 0, opEmptyDict: 0, opSetItem: 0, opSetItems: 0, opEmptyList: 0, opAppend: 0, opAppends: 0,
	opEmptyTuple: 0, opTuple: 0, opTuple1: 0, opTuple2: 0, opTuple3: 0,
	opGlobal: 0, opStackGlobal: 0, opReduce: 0, opBuild: 0, opBinPersID: 0,
	opNone: 0, opTrue: 0, opFalse: 0,
	opBinInt: 4, opBinInt1: 1, opBinInt2: 2, opLong1: -1, opBinFloat: 8,
	opShortString: -1, opString: -4, // Python 2's str
	opShortBinBytes: -1, opBinBytes: -4, opBinBytes8: -8, opByteArray8: -8,
	opShortBinUnicode: -1, opBinUnicode: -4, opBinUnicode8: -8,
}

// Bounds of what scan lets through.
const (
	maxMarks    = 100     // lists, dictionaries and tuples within one another
	maxOpcodes  = 1 << 17 // and one more for every opcodeBytes of data
	opcodeBytes = 16
	maxRepeated = 255 // bytes of a string that may be fetched from the memo
)

// scan walks over the opcodes of a pickle before gopickle sees it. gopickle
// believes every length and prints what it cannot use into its errors, so that a
// few bytes could ask for any memory. Here every length must lie within data, and
// neither objects nor repeated strings may outgrow data by more than a constant.
func scan(data []byte) error {
	opcodes, marks := 0, 0
	long := false             // the object on top may be a string longer than maxRepeated
	memo := map[uint64]bool{} // the same of the objects in the memo
	for at := 0; at < len(data); {
		op, rest := data[at], data[at+1:]
		size, known := arguments[op]
		counted := uint64(0)
		switch {
		case !known:
			return fmt.Errorf("not a pickle of arrays, lists and strings: it has %#02x at byte %d in place of an opcode", op, at)
		case op == opGlobal:
			size = twoLines(rest)
		case size < 0 && len(rest) >= -size:
			counted, size = number(rest[:-size]), -size
		}
		if size < 0 || size > len(rest) || counted > uint64(len(rest)-size) {
			return truncated(at)
		}
		argument, text := rest[:size], rest[size:][:counted]
		next := at + 1 + size + int(counted)

		switch op {
		case opStop:
			if next < len(data) {
				return fmt.Errorf("pickle ends after %d of %d bytes", next, len(data))
			}
			return nil
		case opFrame:
			if number(argument) > uint64(len(data)-next) {
				return truncated(at)
			}
		case opMark:
			marks++
		case opTuple, opAppends, opSetItems:
			marks--
		case opBinPut, opLongPut:
			memo[number(argument)] = long
		case opMemoize:
			memo[uint64(len(memo))] = long
		case opBinGet, opLongGet:
			if memo[number(argument)] {
				return fmt.Errorf("pickle repeats a long string at byte %d", at)
			}
		case opBinUnicode, opShortBinUnicode, opBinUnicode8:
			if !utf8.Valid(text) {
				return fmt.Errorf("pickle has a string at byte %d that is not UTF-8", at)
			}
		}
		switch op {
		case opProto, opFrame, opBinPut, opLongPut, opMemoize: // leave the top alone
		case opBuild, opBinPersID: // may leave any top alone
			long = true
		default:
			long = counted > maxRepeated
		}
		if opcodes++; opcodes > maxOpcodes+len(data)/opcodeBytes {
			return fmt.Errorf("pickle has more objects up to byte %d than its length allows", at)
		}
		if marks < 0 || marks > maxMarks {
			return fmt.Errorf("pickle is nested wrongly or too deep at byte %d", at)
		}
		at = next
	}
	return truncated(len(data))
}

func truncated(at int) error { return fmt.Errorf("pickle is truncated at byte %d", at) }

// twoLines is the length of the first two lines of text, or -1 when it has fewer.
func twoLines(text []byte) int {
	n := 0
	for range 2 {
		end := bytes.IndexByte(text[n:], '\n')
		if end < 0 {
			return -1
		}
		n += end + 1
	}
	return n
}

// number is a little-endian number of up to 8 bytes.
func number(b []byte) uint64 {
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:])
}
