package pickle

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Opcodes that are read but not written (Lib/pickletools.py). Those that files of numbers
// never have are not read: Python 2 instances (INST, OBJ), the extension registry (EXT1,
// EXT2, EXT4) and out-of-band buffers (NEXT_BUFFER).
const (
	opPop             = '0'
	opPopMark         = '1'
	opDup             = '2'
	opFloat           = 'F'
	opInt             = 'I'
	opLong            = 'L'
	opLong4           = 0x8b
	opPersID          = 'P'
	opString          = 'S'
	opUnicode         = 'V'
	opBinString       = 'T'
	opShortBinString  = 'U'
	opShortBinUnicode = 0x8c
	opBinUnicode8     = 0x8d
	opBinBytes        = 'B'
	opShortBinBytes   = 'C'
	opBinBytes8       = 0x8e
	opByteArray8      = 0x96
	opAppend          = 'a'
	opDict            = 'd'
	opList            = 'l'
	opEmptySet        = 0x8f
	opAddItems        = 0x90
	opFrozenSet       = 0x91
	opNewObj          = 0x81
	opNewObjEx        = 0x92
	opStackGlobal     = 0x93
	opGet             = 'g'
	opPut             = 'p'
	opMemoize         = 0x94
	opFrame           = 0x95
)

// argument is the form of an opcode's argument: its number of bytes, or one of the constants.
type argument int8

const (
	line     argument = -2 // a line of text
	twoLines argument = -3
	counted1 argument = -11 // a number of 1 byte, and that number of bytes
	counted4 argument = -14 // the same with a number of 4 bytes
	counted8 argument = -18
)

// effect describes how an opcode changes the stack.
type effect uint8

const (
	unknown effect = iota
	none           // leaves it unchanged
	stops
	marks
	pops
	popsMark
	gathers // replaces the values since the last mark by one
	adds    // adds the values since the last mark to the one below the mark
	pushes  // adds a value
	joins1  // replaces the last value
	joins2  // replaces the last two values by one
	joins3
)

var opcodes = [256]struct {
	argument
	effect
}{
	opProto: {1, none}, opFrame: {8, none}, opStop: {0, stops},
	opMark: {0, marks}, opPop: {0, pops}, opPopMark: {0, popsMark}, opDup: {0, pushes},
	opBinPut: {1, none}, opLongPut: {4, none}, opPut: {line, none}, opMemoize: {0, none},
	opBinGet: {1, pushes}, opLongGet: {4, pushes}, opGet: {line, pushes},
	opNone: {0, pushes}, opTrue: {0, pushes}, opFalse: {0, pushes},
	opBinInt: {4, pushes}, opBinInt1: {1, pushes}, opBinInt2: {2, pushes}, opInt: {line, pushes},
	opLong: {line, pushes}, opLong1: {counted1, pushes}, opLong4: {counted4, pushes},
	opBinFloat: {8, pushes}, opFloat: {line, pushes},
	opString: {line, pushes}, opBinString: {counted4, pushes}, opShortBinString: {counted1, pushes},
	opUnicode: {line, pushes}, opBinUnicode: {counted4, pushes}, opShortBinUnicode: {counted1, pushes}, opBinUnicode8: {counted8, pushes},
	opBinBytes: {counted4, pushes}, opShortBinBytes: {counted1, pushes}, opBinBytes8: {counted8, pushes}, opByteArray8: {counted8, pushes},
	opEmptyTuple: {0, pushes}, opTuple1: {0, joins1}, opTuple2: {0, joins2}, opTuple3: {0, joins3}, opTuple: {0, gathers},
	opEmptyList: {0, pushes}, opList: {0, gathers}, opAppend: {0, joins2}, opAppends: {0, adds},
	opEmptyDict: {0, pushes}, opDict: {0, gathers}, opSetItem: {0, joins3}, opSetItems: {0, adds},
	opEmptySet: {0, pushes}, opAddItems: {0, adds}, opFrozenSet: {0, gathers},
	opGlobal: {twoLines, pushes}, opStackGlobal: {0, joins2},
	opReduce: {0, joins2}, opBuild: {0, joins2}, opNewObj: {0, joins2}, opNewObjEx: {0, joins3},
	opPersID: {line, pushes}, opBinPersID: {0, joins1},
}

// input is a pickle being read, either whole in memory or from a stream through a buffer.
type input struct {
	src  io.Reader // nil: buf is the whole pickle
	buf  []byte
	pos  int   // of the next opcode in buf
	gone int64 // bytes of the stream before buf
}

const (
	bufferSize = 1 << 18
	// maxArgument bounds the argument of an opcode in a stream, whose length is unknown.
	maxArgument = 64 << 20
)

// offset returns the offset of the next opcode in the pickle.
func (in *input) offset() int64 { return in.gone + int64(in.pos) }

// next reads an opcode and its argument, without the count or the last newline. The argument
// is valid until the next call.
func (in *input) next() (op byte, arg []byte, err error) {
	if in.pos < len(in.buf) { // most opcodes have a short argument in the buffer
		op = in.buf[in.pos]
		end := in.pos + 1 + int(opcodes[op].argument)
		if opcodes[op].effect != unknown && end > in.pos && end <= len(in.buf) {
			arg = in.buf[in.pos+1 : end]
			in.pos = end
			return op, arg, nil
		}
	}
	at := in.offset()
	op, skip, length, err := in.readHead()
	if err != nil {
		return 0, nil, err
	}
	if arg, err = in.argument(op, skip, length); err != nil {
		return 0, nil, in.readError(at, err)
	}
	in.pos += skip + length
	return op, arg, nil
}

// argument returns the argument found by readHead.
func (in *input) argument(op byte, skip, length int) ([]byte, error) {
	if err := in.fill(skip + length); err != nil {
		return nil, err
	}
	if a := opcodes[op].argument; a == line || a == twoLines {
		length--
	}
	return in.buf[in.pos+skip:][:length], nil
}

// peek returns the next opcode without reading it.
func (in *input) peek() (byte, error) {
	if err := in.fill(1); err != nil {
		return 0, in.readError(in.offset(), err)
	}
	return in.buf[in.pos], nil
}

// readHead reads an opcode and returns the length of its argument, and the number of bytes
// to skip before it, which contain the length.
func (in *input) readHead() (op byte, skip, length int, err error) {
	at := in.offset()
	if err := in.fill(1); err != nil {
		return 0, 0, 0, in.readError(at, err)
	}
	op = in.buf[in.pos]
	in.pos++
	known := opcodes[op]
	if known.effect == unknown {
		return 0, 0, 0, fmt.Errorf("not a pickle of plain values: it has %#02x at byte %d instead of an opcode", op, at)
	}
	switch a := known.argument; {
	case a >= 0:
		length = int(a)
	case a == line || a == twoLines:
		length, err = in.linesLength(int(line-a) + 1)
	default:
		if skip = int(-a - 10); len(in.buf)-in.pos < skip {
			err = in.fill(skip)
		}
		if err == nil {
			n := littleEndian(in.buf[in.pos:][:skip])
			if length = int(n); n > math.MaxInt/2 || in.src == nil && length > len(in.buf) {
				err = io.ErrUnexpectedEOF
			}
		}
	}
	if err != nil {
		return 0, 0, 0, in.readError(at, err)
	}
	return op, skip, length, nil
}

// skip skips n bytes, which need not fit into the buffer.
func (in *input) skip(n int) error {
	for {
		here := min(n, len(in.buf)-in.pos)
		in.pos += here
		if n -= here; n == 0 {
			return nil
		}
		if err := in.fill(1); err != nil {
			return err
		}
	}
}

// fill reads until buf has at least n bytes from pos on.
func (in *input) fill(n int) error {
	if len(in.buf)-in.pos >= n {
		return nil
	}
	if in.src == nil {
		return io.ErrUnexpectedEOF
	}
	if n > maxArgument {
		return fmt.Errorf("one object in it has more than %d bytes, the limit", maxArgument)
	}
	in.gone += int64(in.pos)
	rest := in.buf[in.pos:]
	if in.pos = 0; cap(in.buf) < bufferSize {
		in.buf = make([]byte, 0, max(2*cap(in.buf), len(rest), 4<<10))
	}
	in.buf = append(in.buf[:0], rest...)
	for len(in.buf) < n {
		in.buf = slices.Grow(in.buf, 1) // at most doubles what the stream has filled
		got, err := in.src.Read(in.buf[len(in.buf):cap(in.buf)])
		in.buf = in.buf[:len(in.buf)+got]
		if err == io.EOF && len(in.buf) < n {
			return io.ErrUnexpectedEOF
		}
		if err != nil && err != io.EOF {
			return err
		}
	}
	return nil
}

// linesLength returns the length of the next n lines.
func (in *input) linesLength(n int) (int, error) {
	length := 0
	for range n {
		for {
			end := bytes.IndexByte(in.buf[in.pos+length:], '\n')
			if end >= 0 {
				length += end + 1
				break
			}
			length = len(in.buf) - in.pos
			if err := in.fill(length + 1); err != nil {
				return 0, err
			}
		}
	}
	return length, nil
}

// readError describes err, which occurred while reading the opcode at the offset at.
func (in *input) readError(at int64, err error) error {
	if errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("pickle is truncated at byte %d", at)
	}
	return fmt.Errorf("pickle cannot be read after byte %d: %w", at, err)
}

// littleEndian returns a little-endian number of up to 8 bytes.
func littleEndian(b []byte) uint64 {
	var wide [8]byte
	copy(wide[:], b)
	return binary.LittleEndian.Uint64(wide[:])
}

// parseMemoNumber parses the argument of an opcode that puts an object into the memo or gets
// it from there.
func parseMemoNumber(arg []byte, isText bool) (uint32, bool) {
	if !isText {
		if len(arg) == 1 { // most are small
			return uint32(arg[0]), true
		}
		return uint32(littleEndian(arg)), true
	}
	id, err := strconv.ParseUint(string(arg), 10, 32)
	return uint32(id), err == nil
}

// isWhole reports whether an opcode pushes a whole number.
func isWhole(op byte) bool {
	switch op {
	case opBinInt1, opBinInt2, opBinInt, opLong1, opLong4, opInt, opLong:
		return true
	}
	return false
}

// parseWhole parses the argument of an opcode of a whole number, and reports whether it fits
// into 64 bits.
func parseWhole(op byte, arg []byte) (int64, bool) {
	switch op {
	case opBinInt1, opBinInt2:
		return int64(littleEndian(arg)), true
	case opBinInt:
		return int64(int32(littleEndian(arg))), true
	case opLong1, opLong4:
		v, ok := parseLong(arg).(int64)
		return v, ok
	case opInt, opLong:
		v, _ := parseText(op, arg)
		i, ok := v.(int64)
		return i, ok
	}
	return 0, false
}

// parseLong parses a number of any size in little-endian two's complement. It returns an
// int64 if possible, else a *big.Int.
func parseLong(b []byte) any {
	if len(b) <= 8 {
		var wide [8]byte
		if len(b) > 0 && b[len(b)-1]&0x80 != 0 {
			wide = [8]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
		}
		copy(wide[:], b)
		return int64(binary.LittleEndian.Uint64(wide[:]))
	}
	digits := slices.Clone(b)
	slices.Reverse(digits)
	v := new(big.Int).SetBytes(digits)
	if digits[0]&0x80 != 0 {
		v.Sub(v, new(big.Int).Lsh(big.NewInt(1), uint(8*len(b))))
	}
	if v.IsInt64() {
		return v.Int64()
	}
	return v
}

// parseText parses the argument of an opcode of protocol 0, whose arguments are text.
func parseText(op byte, arg []byte) (any, bool) {
	const maxDigits = 4300 // Python's limit too
	s := string(arg)
	switch op {
	case opInt, opLong:
		if op == opInt && (s == "00" || s == "01") {
			return s == "01", true
		}
		if op == opLong {
			s = strings.TrimSuffix(s, "L")
		}
		if i, err := strconv.ParseInt(s, 10, 64); err == nil {
			return i, true
		}
		if len(s) > maxDigits {
			return nil, false
		}
		return new(big.Int).SetString(s, 10)
	case opFloat:
		f, err := strconv.ParseFloat(s, 64)
		return f, err == nil || errors.Is(err, strconv.ErrRange)
	case opString:
		if n := len(s); n < 2 || s[0] != s[n-1] || s[0] != '\'' && s[0] != '"' {
			return nil, false
		}
		b, ok := unescape(s[1:len(s)-1], `\'"abfnrtvx`)
		return string(b), ok
	default: // opUnicode: bytes are code points, with escapes for others
		var b strings.Builder
		for i := 0; i < len(s); i++ {
			b.WriteRune(rune(s[i]))
		}
		u, ok := unescape(b.String(), "uU")
		return string(u), ok && utf8.Valid(u)
	}
}

// unescape replaces the escapes of Python's string literals whose letters are in known.
func unescape(s, known string) ([]byte, bool) {
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' || i+1 == len(s) || strings.IndexByte(known, s[i+1]) < 0 {
			b = append(b, s[i])
			continue
		}
		i++
		if at := strings.IndexByte("abfnrtv", s[i]); at >= 0 {
			b = append(b, "\a\b\f\n\r\t\v"[at])
			continue
		}
		digits := map[byte]int{'x': 2, 'u': 4, 'U': 8}[s[i]]
		if digits == 0 {
			b = append(b, s[i])
			continue
		}
		if i+digits >= len(s) {
			return nil, false
		}
		code, err := strconv.ParseUint(s[i+1:][:digits], 16, 32)
		if err != nil || code > utf8.MaxRune {
			return nil, false
		}
		if i += digits; digits == 2 {
			b = append(b, byte(code))
		} else {
			b = utf8.AppendRune(b, rune(code))
		}
	}
	return b, true
}
