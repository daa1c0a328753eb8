package data

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
)

// Opcodes that vet looks at (Lib/pickle.py).
const (
	opStop, opGlobal         = '.', 'c'
	opBuild                  = 'b'
	opBinPut, opLongBinPut   = 'q', 'r'
	opBinGet, opLongBinGet   = 'h', 'j'
	opProto, opFrame, opMemo = 0x80, 0x95, 0x94
)

// operands says, for each opcode that vet lets through, how many bytes follow it;
// a negative number is the size of a length that says so. The two lines of
// GLOBAL are not here.
var operands = map[byte]int{
	opProto: 1, opFrame: 8, opStop: 0,
	opBinPut: 1, opLongBinPut: 4, opMemo: 0, opBinGet: 1, opLongBinGet: 4,
	'(': 0, '}': 0, 's': 0, 'u': 0, ']': 0, 'a': 0, 'e': 0, // MARK, dict, list
	')': 0, 0x85: 0, 0x86: 0, 0x87: 0, 't': 0, // tuples
	0x93: 0, 'R': 0, opBuild: 0, // STACK_GLOBAL, REDUCE
	'N': 0, 0x88: 0, 0x89: 0, // None, True, False
	'K': 1, 'M': 2, 'J': 4, 0x8a: -1, 'G': 8, // integers, float
	'U': -1, 'T': -4, // Python 2's str
	'C': -1, 'B': -4, 0x8e: -8, 0x96: -8, // bytes, bytearray
	0x8c: -1, 'X': -4, 0x8d: -8, // Python 3's str
}

// Bounds of what vet lets through.
const (
	maxOpcodes  = 1 << 17 // and one more for every opcodeBytes of text
	opcodeBytes = 16
	maxRepeated = 255 // bytes of a string that may be fetched from the memo
)

var errTruncated = errors.New("is a truncated pickle")

// vet walks over the opcodes of a pickle before gopickle sees it. gopickle
// believes every length and prints what it cannot use into its errors, so that a
// few bytes could ask for any memory. Here every opcode must be one that arrays,
// lists, numbers and strings need, every length must lie within text, and neither
// objects nor repeated strings may outgrow text by more than a constant.
func vet(text []byte) error {
	opcodes := 0
	long := false             // the object on top may be a string longer than maxRepeated
	memo := map[uint64]bool{} // the same of the objects in the memo
	for at := 0; at < len(text); {
		op, rest := text[at], text[at+1:]
		size, known := operands[op]
		counted := uint64(0)
		switch {
		case op == opGlobal:
			for range 2 {
				end := bytes.IndexByte(rest[size:], '\n')
				if end < 0 {
					return errTruncated
				}
				size += end + 1
			}
		case !known:
			return fmt.Errorf("has %#x at byte %d, where a pickle (protocol 2 to 5) of arrays, lists and strings has an opcode", op, at)
		case size < 0:
			if len(rest) < -size {
				return errTruncated
			}
			counted, size = number(rest[:-size]), -size
		}
		if left := len(rest) - size; left < 0 || counted > uint64(left) {
			return errTruncated
		}
		operand := rest[:size]
		at += 1 + size + int(counted)
		opcodes++

		switch op {
		case opStop:
			if at < len(text) {
				return fmt.Errorf("has %d bytes after its end", len(text)-at)
			}
			return nil
		case opFrame:
			if number(operand) > uint64(len(text)-at) {
				return errTruncated
			}
		case opBinPut, opLongBinPut:
			memo[number(operand)] = long
		case opMemo:
			memo[uint64(len(memo))] = long
		case opBinGet, opLongBinGet:
			if memo[number(operand)] {
				return fmt.Errorf("repeats a long string at byte %d, as no data file does", at)
			}
		}
		switch op {
		case opProto, opFrame, opBinPut, opLongBinPut, opMemo: // leave the top alone
		case opBuild: // may leave any top alone
			long = true
		default:
			long = counted > maxRepeated
		}
		if opcodes > maxOpcodes+len(text)/opcodeBytes {
			return fmt.Errorf("holds more objects up to byte %d than a data file does", at)
		}
	}
	return errTruncated
}

// number is a little-endian number of up to 8 bytes.
func number(b []byte) uint64 {
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:])
}
