package pickle

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Index records where the entries of one large dictionary are in a pickle, so that they can
// be decoded singly. It is plain data, to be stored beside the pickle.
type Index struct {
	Key      string  // the dictionary's key in the outermost dictionary
	Length   int64   // of the pickle, in bytes
	Preamble Block   // everything before the entries
	Entries  []Entry // in the order of the pickle
}

// Entry is a key of the dictionary, and the block of the key and its value.
type Entry struct {
	Key int64
	Block
}

// Valid reports whether all blocks of ix are within the pickle.
func (ix *Index) Valid() bool {
	within := func(b Block) bool {
		return b.Offset >= 0 && b.Length >= 0 && b.Length <= ix.Length && b.Offset <= ix.Length-b.Length && b.FirstID <= b.EndID
	}
	return within(ix.Preamble) && !slices.ContainsFunc(ix.Entries, func(e Entry) bool { return !within(e.Block) })
}

// Block is a range of bytes in a pickle. The objects that it puts into the memo have numbers
// from FirstID to EndID-1.
type Block struct {
	Offset, Length int64 // in bytes
	FirstID, EndID uint32
}

const (
	// maxOutside bounds the bytes outside the entries, which Index decodes.
	maxOutside = 16 << 20
	// maxSlots bounds the height of the stack, and the number of entries.
	maxSlots = 1 << 20
	// maxBlocks bounds the number of blocks whose memos Entries caches.
	maxBlocks = 8
	// maxDepth bounds chains of blocks that refer to one another.
	maxDepth = 64
)

// Index reads the pickle at the beginning of src, a dictionary that contains a dictionary
// with whole numbers as keys under key. It skips the entries of the latter: value is the
// outer dictionary with an empty inner one. The memory it needs does not depend on the
// contents of the entries. If anything after the entries refers to an object in them, src
// must also be an io.ReaderAt.
func (r Reader) Index(src io.Reader, key string) (value *Dict, ix *Index, err error) {
	m := r.machine(input{src: src})
	inside := int64(-1) // bytes of the entries; -1 before them
	for {
		stop, err := m.step()
		if err != nil {
			return nil, nil, err
		}
		if stop {
			break
		}
		if m.in.offset()-max(inside, 0) > maxOutside {
			return nil, nil, fmt.Errorf("pickle has more than %d bytes, the limit, outside the entries of %q", maxOutside, key)
		}
		if inside < 0 && m.atDictOf(key) {
			start := m.in.offset()
			if ix, err = m.indexEntries(key); err != nil {
				return nil, nil, err
			}
			inside = m.in.offset() - start
		}
	}
	if ix == nil {
		return nil, nil, fmt.Errorf("it contains no dict with a dict under %q", key)
	}
	ix.Length = m.in.offset()
	top, err := m.result()
	if err != nil {
		return nil, nil, err
	}
	if value = itemsOf(top); value == nil {
		return nil, nil, errors.New("it contains no dict")
	}
	return value, ix, nil
}

// atDictOf reports whether the object on top of the stack is a new dictionary, the value of
// key in the outermost dictionary.
func (m *machine) atDictOf(key string) bool {
	n := len(m.stack)
	alone := len(m.marks) == 0 && n == 3                               // SETITEM follows
	among := len(m.marks) == 1 && m.marks[0] == 1 && n > 1 && n%2 == 1 // SETITEMS
	if !alone && !among || itemsOf(m.stack[0]) == nil || m.stack[n-2] != any(key) {
		return false
	}
	items := itemsOf(m.stack[n-1])
	return items != nil && len(*items) == 0
}

// itemsOf returns the items of a dictionary, or nil if v is not a dictionary.
func itemsOf(v any) *Dict {
	switch v := v.(type) {
	case *Dict:
		return v
	case *OrderedDict:
		return &v.Items
	}
	return nil
}

// indexEntries skips the entries of the new dictionary on top of the stack. Afterwards, m's
// memo finds the objects of the entries and the preamble by decoding them.
func (m *machine) indexEntries(key string) (*Index, error) {
	ix := &Index{Key: key}
	w := walker{in: &m.in, ix: ix}
	ready := false // the preamble has ended
	for {
		op, err := m.in.peek()
		if err != nil {
			return nil, err
		}
		if opcodes[op].effect == none { // it puts the dictionary into the memo
			if _, err := m.step(); err != nil {
				return nil, err
			}
			continue
		}
		if !ready {
			ready = true
			ix.Preamble = Block{Length: m.in.offset(), EndID: m.memo.next}
			w.next = m.memo.next
		}
		switch {
		case op == opMark:
			m.in.pos++
			err = w.skipEntries(opSetItems)
		case isWhole(op):
			err = w.skipEntries(opSetItem)
		default:
			src, _ := m.in.src.(io.ReaderAt)
			entries := m.Entries(src, ix)
			before := m.memo
			entries.memos[preamble] = &before
			m.memo = memo{first: w.next, next: w.next, outside: entries.outside(len(ix.Entries), 0)}
			return ix, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// walker skips opcodes. For each value on the stack, it tracks the offset of the first
// opcode that makes the value.
type walker struct {
	in    *input
	ix    *Index
	next  uint32 // number that MEMOIZE gives the next object
	slots []slot
	marks []mark
}

// slot is a value on the stack.
type slot struct {
	start          int64
	firstID, endID uint32 // memo numbers of its parts
	isWhole        bool
	whole          int64 // the value, if isWhole
}

type mark struct {
	height int // of the stack
	start  int64
}

// skipEntries skips entries up to the opcode end, which adds them to the dictionary.
func (w *walker) skipEntries(end byte) error {
	w.slots, w.marks = w.slots[:0], w.marks[:0]
	for {
		at := w.in.offset()
		op, skip, length, err := w.in.readHead()
		if err != nil {
			return err
		}
		if op == end && len(w.marks) == 0 && (end == opSetItems || len(w.slots) == 2) {
			return w.addEntries(at)
		}
		var arg []byte
		isKey := len(w.marks) == 0 && isWhole(op)
		if isKey || opcodes[op].effect == none {
			if arg, err = w.in.argument(op, skip, length); err != nil {
				return w.in.readError(at, err)
			}
		}
		if !w.apply(op, arg, at) || len(w.slots) > maxSlots || len(w.marks) > maxSlots {
			return fmt.Errorf("pickle is malformed, or nested too deeply, at byte %d", at)
		}
		if isKey {
			top := &w.slots[len(w.slots)-1]
			top.whole, top.isWhole = parseWhole(op, arg)
		}
		if err := w.in.skip(skip + length); err != nil {
			return w.in.readError(at, err)
		}
	}
}

// apply changes the stack as an opcode does. It reports false if the stack does not allow it.
func (w *walker) apply(op byte, arg []byte, at int64) bool {
	floor := 0
	if n := len(w.marks); n > 0 {
		floor = w.marks[n-1].height
	}
	switch effect := opcodes[op].effect; effect {
	case none:
		return w.memoize(op, arg)
	case pushes:
		w.slots = append(w.slots, slot{start: at})
	case joins1, joins2, joins3:
		n := int(effect-joins1) + 1
		return w.join(len(w.slots)-n, floor)
	case marks:
		w.marks = append(w.marks, mark{len(w.slots), at})
	case pops:
		if len(w.slots) > floor {
			w.drop(len(w.slots) - 1)
			return true
		}
		fallthrough
	case popsMark, gathers, adds:
		n := len(w.marks) - 1
		if n < 0 {
			return false
		}
		start := w.marks[n].start
		w.marks = w.marks[:n]
		switch effect {
		case gathers:
			w.slots = slices.Insert(w.slots, floor, slot{start: start})
			return w.join(floor, floor)
		case adds:
			below := 0
			if n > 0 {
				below = w.marks[n-1].height
			}
			return w.join(floor-1, below)
		}
		w.drop(floor)
	default:
		return false
	}
	return true
}

// drop removes the values from at on. Their memo numbers go to the value below.
func (w *walker) drop(at int) {
	if at > 0 {
		for _, s := range w.slots[at:] {
			w.slots[at-1].include(s.firstID, s.endID)
		}
	}
	w.slots = w.slots[:at]
}

// join replaces the values from at on by one. It reports false if at is below the floor.
func (w *walker) join(at, floor int) bool {
	if at < floor || at >= len(w.slots) {
		return false
	}
	s := &w.slots[at]
	for _, part := range w.slots[at+1:] {
		s.include(part.firstID, part.endID)
	}
	s.isWhole = false
	w.slots = w.slots[:at+1]
	return true
}

// memoize records the memo number of the value on top, if the opcode gives it one.
func (w *walker) memoize(op byte, arg []byte) bool {
	id, ok := w.next, true
	switch op {
	case opBinPut, opLongPut:
		id, ok = parseMemoNumber(arg, false)
	case opPut:
		id, ok = parseMemoNumber(arg, true)
	case opMemoize:
	default:
		return true
	}
	if !ok || len(w.slots) == 0 {
		return false
	}
	w.next = max(w.next, id+1)
	w.slots[len(w.slots)-1].include(id, id+1)
	return true
}

func (s *slot) include(firstID, endID uint32) {
	switch {
	case firstID == endID:
	case s.firstID == s.endID:
		s.firstID, s.endID = firstID, endID
	default:
		s.firstID, s.endID = min(s.firstID, firstID), max(s.endID, endID)
	}
}

// addEntries adds the keys and values on the stack, which end at end, to the index.
func (w *walker) addEntries(end int64) error {
	if len(w.slots)%2 != 0 {
		return fmt.Errorf("pickle has a key without a value at byte %d", end)
	}
	if len(w.ix.Entries)+len(w.slots)/2 > maxSlots {
		return fmt.Errorf("pickle has more than %d entries in %q", maxSlots, w.ix.Key)
	}
	for i := 0; i < len(w.slots); i += 2 {
		key, value := w.slots[i], w.slots[i+1]
		if !key.isWhole {
			return fmt.Errorf("pickle has a key in %q that is not a whole number at byte %d", w.ix.Key, key.start)
		}
		next := end
		if i+2 < len(w.slots) {
			next = w.slots[i+2].start
		}
		key.include(value.firstID, value.endID)
		w.ix.Entries = append(w.ix.Entries, Entry{key.whole, Block{key.start, next - key.start, key.firstID, key.endID}})
	}
	return nil
}

// Entries decodes entries of an indexed dictionary, one at a time. It is safe for concurrent
// use. Entries may share objects with one another, so they must not be changed.
type Entries struct {
	reader  Reader
	src     io.ReaderAt // nil if the pickle cannot be read again
	ix      *Index
	numbers map[int64]int // of entries, by key
	mu      sync.Mutex
	memos   map[int]*memo // of blocks that others have referred to, by number
}

// preamble is the number of the block before the first entry.
const preamble = -1

// Entries returns the entries of ix, which was made from the pickle src. It reads nothing;
// Decode does.
func (r Reader) Entries(src io.ReaderAt, ix *Index) *Entries {
	e := &Entries{reader: r, src: src, ix: ix, numbers: make(map[int64]int, len(ix.Entries)), memos: map[int]*memo{}}
	for i, entry := range ix.Entries {
		e.numbers[entry.Key] = i
	}
	return e
}

// Decode decodes the value of key. It also decodes the blocks of the pickle to which the
// value refers, and caches them for later calls.
func (e *Entries) Decode(key int64) (any, error) {
	number, ok := e.numbers[key]
	if !ok {
		return nil, fmt.Errorf("pickle has no entry %d in %q", key, e.ix.Key)
	}
	m, err := e.execute(e.block(number), e.outside(number, 0))
	if err != nil {
		return nil, err
	}
	if len(m.stack) != 2 || len(m.marks) > 0 || m.stack[0] != any(key) {
		return nil, fmt.Errorf("pickle has no entry %d at byte %d: its index was made from another file", key, e.block(number).Offset)
	}
	return m.stack[1], nil
}

// buffers holds buffers of inputs for the next block: decoding blocks in turn would
// otherwise allocate more for them than for what is decoded.
var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// execute executes the opcodes of one block.
func (e *Entries) execute(b Block, outside func(id uint32) (any, error)) (*machine, error) {
	if e.src == nil {
		return nil, errors.New("it refers back into its entries, which cannot be read from this source")
	}
	if b.Offset < 0 || b.Length < 0 {
		return nil, errors.New("the index of the pickle is damaged")
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer) // no value keeps an argument: see [input.next]
	m := e.reader.machine(input{src: io.NewSectionReader(e.src, b.Offset, b.Length), buf: buffer[:0], gone: b.Offset})
	m.start = b.Offset
	m.memo = memo{first: b.FirstID, next: b.FirstID, outside: outside}
	for m.in.offset() < b.Offset+b.Length {
		stop, err := m.step()
		if err != nil {
			return nil, err
		}
		if stop {
			return nil, m.errorAt("ends within an entry")
		}
	}
	return m, nil
}

// outside returns a function that finds objects that are not in an entry's own memo: in the
// last block before the entry that has an object of that number. depth counts the blocks in
// the chain of references.
func (e *Entries) outside(number, depth int) func(id uint32) (any, error) {
	return func(id uint32) (any, error) {
		if depth > maxDepth {
			return nil, fmt.Errorf("it refers to an object through more than %d others", maxDepth)
		}
		for i := number - 1; i >= preamble; i-- {
			b := e.block(i)
			if id < b.FirstID || id >= b.EndID {
				continue
			}
			memo, err := e.memo(i, depth)
			if err != nil {
				return nil, err
			}
			if v, ok := memo.get(id); ok {
				return v, nil
			}
		}
		return nil, fmt.Errorf("it refers to object %d, which is not in its memo", id)
	}
}

func (e *Entries) block(number int) Block {
	if number == preamble {
		return e.ix.Preamble
	}
	return e.ix.Entries[number].Block
}

// memo returns the memo of a block, after its execution.
func (e *Entries) memo(number, depth int) (*memo, error) {
	e.mu.Lock()
	known := e.memos[number]
	e.mu.Unlock()
	if known != nil {
		return known, nil
	}
	m, err := e.execute(e.block(number), e.outside(number, depth+1))
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for other := range e.memos { // any will do
		if len(e.memos) > maxBlocks && other != preamble {
			delete(e.memos, other)
		}
	}
	e.memos[number] = &m.memo
	return &m.memo, nil
}
