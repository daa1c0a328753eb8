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

// Decode reads the pickle in data into gopickle's types. It refuses opcodes that
// torch's weights-only unpickler refuses, and never needs much more memory than a
// fixed multiple of len(data). Its errors name the offset in data when the bytes
// are no pickle.
func (r Reader) Decode(data []byte) (v any, err error) {
	if err := scan(data); err != nil {
		return nil, err
	}
	// gopickle panics on some malformed pickles (an odd number of dictionary
	// items, a key without a hash).
	defer func() {
		if p := recover(); p != nil {
			v, err = nil, fmt.Errorf("malformed pickle: %v", p)
		}
	}()
	u := gopickle.NewUnpickler(bytes.NewReader(data))
	u.FindClass = r.Class
	u.PersistentLoad = r.Persistent
	return u.Load()
}

// Lengths of an opcode's argument that are not fixed.
const (
	lines2 = -1 // two lines
	count1 = -2 // one byte of length, then so many bytes
	count4 = -3 // four bytes of length, then so many bytes
)

// arguments gives the length of the argument of every opcode allowed.
var arguments = map[byte]int{
	opProto: 1, opStop: 0, opMark: 0, opGlobal: lines2, opReduce: 0, opBuild: 0, opNewObj: 0,
	opAppend: 0, opAppends: 0, opSetItem: 0, opSetItems: 0,
	opTuple: 0, opTuple1: 0, opTuple2: 0, opTuple3: 0,
	opNone: 0, opTrue: 0, opFalse: 0,
	opEmptyTuple: 0, opEmptyList: 0, opEmptyDict: 0, opEmptySet: 0,
	opBinInt: 4, opBinInt1: 1, opBinInt2: 2, opLong1: count1, opBinFloat: 8,
	opBinUnicode: count4, opShortStr: count1, opBinPersID: 0,
	opBinGet: 1, opLongGet: 4, opBinPut: 1, opLongPut: 4,
}

// maxMarks bounds how deep lists, dictionaries and tuples may be nested.
const maxMarks = 100

// scan checks that data holds one whole pickle of allowed opcodes, so that no
// length and no nesting in it makes a reader reserve much more than is there.
func scan(data []byte) error {
	marks := 0
	for at := 0; at < len(data); {
		op := data[at]
		n, ok := arguments[op]
		if !ok {
			return fmt.Errorf("pickle opcode %#02x at offset %d is not allowed", op, at)
		}
		if op == opStop {
			if at != len(data)-1 {
				return fmt.Errorf("pickle ends at offset %d, before the end of its %d bytes", at, len(data))
			}
			return nil
		}
		switch op {
		case opMark:
			marks++
		case opTuple, opAppends, opSetItems:
			marks--
		}
		if marks < 0 || marks > maxMarks {
			return fmt.Errorf("pickle nested wrongly or too deep at offset %d", at)
		}
		rest := data[at+1:]
		switch {
		case n == lines2:
			n = 0
			for range 2 {
				end := bytes.IndexByte(rest[n:], '\n')
				if end < 0 {
					return fmt.Errorf("pickle cut off in a name at offset %d", at)
				}
				n += end + 1
			}
		case n == count1 && len(rest) >= 1:
			n = 1 + int(rest[0])
		case n == count4 && len(rest) >= 4:
			n = 4 + int(binary.LittleEndian.Uint32(rest))
		}
		if n < 0 || n > len(rest) {
			return fmt.Errorf("pickle cut off at offset %d", at)
		}
		if op == opBinUnicode && !utf8.Valid(rest[4:n]) {
			return fmt.Errorf("string at offset %d is not UTF-8", at)
		}
		at += 1 + n
	}
	return fmt.Errorf("pickle cut off at offset %d: no STOP", len(data))
}
