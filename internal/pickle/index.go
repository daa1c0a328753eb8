package pickle

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
)

// Index tells where the entries of one large dictionary lie in a pickle, so that they can
// be decoded alone. It is plain data, to be kept beside the pickle.
type Index struct {
	Key      string  // under which the pickle has the dictionary
	Length   int64   // of the pickle, in bytes
	Preamble Block   // what precedes the entries
	Entries  []Entry // in the order of the pickle
}

// Entry is a key of the dictionary, and where the key and its value lie.
type Entry struct {
	Key int64
	Block
}

// Valid reports whether all blocks of ix lie within its pickle.
func (ix *Index) Valid() bool {
	within := func(b Block) bool {
		return b.Offset >= 0 && b.Length >= 0 && b.Length <= ix.Length && b.Offset <= ix.Length-b.Length && b.FirstID <= b.EndID
	}
	return within(ix.Preamble) && !slices.ContainsFunc(ix.Entries, func(e Entry) bool { return !within(e.Block) })
}

// Block is a part of a pickle. It numbers the objects that it keeps in the memo from
// FirstID to below EndID.
type Block struct {
	Offset, Length int64 // in bytes
	FirstID, EndID uint32
}

const (
	// maxOutside bounds the bytes outside the entries, which Index decodes.
	maxOutside = 16 << 20
	// maxSlots bounds the values that are open at a time, and the entries.
	maxSlots = 1 << 20
	// maxBlocks bounds the blocks whose objects Entries keeps.
	maxBlocks = 8
	// maxDepth bounds the blocks that refer to one another.
	maxDepth = 64
)

// Index reads the pickle with which src begins, of a dictionary that has a dictionary of
// whole numbers under key, without keeping the latter's entries: value is everything
// else, with an empty dictionary in their place. The memory that it needs does not
// depend on what lies in the entries. Where something behind the entries refers to an
// object within them, src must be an io.ReaderAt as well.
func (r Reader) Index(src io.Reader, key string) (value *Dict, ix *Index, err error) {
	m := r.machine(input{src: src})
	inside := int64(-1) // bytes of entries; -1: before them
	for {
		stop, err := m.step()
		if err != nil {
			return nil, nil, err
		}
		if stop {
			break
		}
		if m.in.offset()-max(inside, 0) > maxOutside {
			return nil, nil, fmt.Errorf("pickle has more than %d bytes outside the entries of %q", maxOutside, key)
		}
		if inside < 0 && m.opens(key) {
			start := m.in.offset()
			if ix, err = m.index(key); err != nil {
				return nil, nil, err
			}
			inside = m.in.offset() - start
		}
	}
	if ix == nil {
		return nil, nil, fmt.Errorf("it holds no dict that has a dict under %q", key)
	}
	ix.Length = m.in.offset()
	top, err := m.result()
	if err != nil {
		return nil, nil, err
	}
	if value = itemsOf(top); value == nil {
		return nil, nil, errors.New("it holds no dict")
	}
	return value, ix, nil
}

// opens tells whether the object on top is a new dictionary, the value of key in the
// outermost dictionary.
func (m *machine) opens(key string) bool {
	n := len(m.stack)
	alone := len(m.marks) == 0 && n == 3                               // SETITEM follows
	among := len(m.marks) == 1 && m.marks[0] == 1 && n > 1 && n%2 == 1 // SETITEMS
	if !alone && !among || itemsOf(m.stack[0]) == nil || m.stack[n-2] != any(key) {
		return false
	}
	items := itemsOf(m.stack[n-1])
	return items != nil && len(*items) == 0
}

// itemsOf is what a dictionary holds; nil of anything else.
func itemsOf(v any) *Dict {
	switch v := v.(type) {
	case *Dict:
		return v
	case *OrderedDict:
		return &v.Items
	}
	return nil
}

// index passes over the entries of the new dictionary on top. Behind them, m's memo is
// what they and the preamble keep.
func (m *machine) index(key string) (*Index, error) {
	ix := &Index{Key: key}
	w := walker{in: &m.in, ix: ix}
	ready := false // the preamble has ended
	for {
		op, err := m.in.peek()
		if err != nil {
			return nil, err
		}
		if opcodes[op].effect == none { // it keeps the dictionary
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
			err = w.entries(opSetItems)
		case isWhole(op):
			err = w.entries(opSetItem)
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

// walker passes over opcodes and knows, for each value on the stack, where the opcodes
// begin that make it.
type walker struct {
	in    *input
	ix    *Index
	next  uint32 // number of the next object that MEMOIZE keeps
	slots []slot
	marks []mark
}

// slot is a value on the stack.
type slot struct {
	start          int64
	firstID, endID uint32 // numbers of what its parts keep in the memo
	isWhole        bool
	whole          int64 // the value, if isWhole
}

type mark struct {
	height int // of the stack
	start  int64
}

// entries passes over entries up to the opcode that sets them.
func (w *walker) entries(end byte) error {
	w.slots, w.marks = w.slots[:0], w.marks[:0]
	for {
		at := w.in.offset()
		op, skip, length, err := w.in.head()
		if err != nil {
			return err
		}
		if op == end && len(w.marks) == 0 && (end == opSetItems || len(w.slots) == 2) {
			return w.set(at)
		}
		var arg []byte
		isKey := len(w.marks) == 0 && isWhole(op)
		if isKey || opcodes[op].effect == none {
			if arg, err = w.in.argument(op, skip, length); err != nil {
				return w.in.cut(at, err)
			}
		}
		if !w.apply(op, arg, at) || len(w.slots) > maxSlots || len(w.marks) > maxSlots {
			return fmt.Errorf("pickle is nested wrongly, or too deep, at byte %d", at)
		}
		if isKey {
			top := &w.slots[len(w.slots)-1]
			top.whole, top.isWhole = whole(op, arg)
		}
		if err := w.in.skip(skip + length); err != nil {
			return w.in.cut(at, err)
		}
	}
}

// apply has an opcode change the stack.
func (w *walker) apply(op byte, arg []byte, at int64) bool {
	floor := 0
	if n := len(w.marks); n > 0 {
		floor = w.marks[n-1].height
	}
	switch effect := opcodes[op].effect; effect {
	case none:
		return w.keep(op, arg)
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

// drop removes the values from at on. What they keep in the memo stays.
func (w *walker) drop(at int) {
	if at > 0 {
		for _, s := range w.slots[at:] {
			w.slots[at-1].include(s.firstID, s.endID)
		}
	}
	w.slots = w.slots[:at]
}

// join makes one value of those from at on, none of them below the floor.
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

// keep notes under which number the value on top is kept.
func (w *walker) keep(op byte, arg []byte) bool {
	id, ok := w.next, true
	switch op {
	case opBinPut, opLongPut:
		id, ok = memoID(arg, false)
	case opPut:
		id, ok = memoID(arg, true)
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

// set makes entries of the keys and values on the stack, which end at end.
func (w *walker) set(end int64) error {
	if len(w.slots)%2 != 0 || len(w.ix.Entries)+len(w.slots)/2 > maxSlots {
		return fmt.Errorf("pickle has a key without a value, or too many, at byte %d", end)
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

// Entries decodes entries of an indexed dictionary, one at a time. It is safe for
// concurrent use. Entries may share objects with one another: do not change them.
type Entries struct {
	reader  Reader
	src     io.ReaderAt // nil: not to be read again
	ix      *Index
	numbers map[int64]int // of entries, by key
	mu      sync.Mutex
	memos   map[int]*memo // of blocks that others have referred to, by number
}

// preamble is the number of the block before the first entry.
const preamble = -1

// Entries returns the entries of ix, which was made of the pickle src. Nothing is read
// before Decode.
func (r Reader) Entries(src io.ReaderAt, ix *Index) *Entries {
	e := &Entries{reader: r, src: src, ix: ix, numbers: make(map[int64]int, len(ix.Entries)), memos: map[int]*memo{}}
	for i, entry := range ix.Entries {
		e.numbers[entry.Key] = i
	}
	return e
}

// Decode decodes the value of key. What it refers to elsewhere in the pickle is decoded
// too, and kept for the next.
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
		return nil, fmt.Errorf("pickle has no entry %d at byte %d: its index is of another file", key, e.block(number).Offset)
	}
	return m.stack[1], nil
}

// execute executes the opcodes of a block alone.
func (e *Entries) execute(b Block, outside func(id uint32) (any, error)) (*machine, error) {
	if e.src == nil {
		return nil, errors.New("something behind the entries refers into them")
	}
	if b.Offset < 0 || b.Length < 0 {
		return nil, errors.New("the index of the pickle is damaged")
	}
	m := e.reader.machine(input{src: io.NewSectionReader(e.src, b.Offset, b.Length), gone: b.Offset})
	m.start = b.Offset
	m.memo = memo{first: b.FirstID, next: b.FirstID, outside: outside}
	for m.in.offset() < b.Offset+b.Length {
		stop, err := m.step()
		if err != nil {
			return nil, err
		}
		if stop {
			return nil, m.wrong("ends")
		}
	}
	return m, nil
}

// outside returns how an entry finds objects that it does not keep itself: in the last
// block before it that keeps one of that number. Depth counts the blocks that have
// referred to one another.
func (e *Entries) outside(number, depth int) func(id uint32) (any, error) {
	return func(id uint32) (any, error) {
		if depth > maxDepth {
			return nil, errors.New("it refers to an object through too many others")
		}
		for i := number - 1; i >= preamble; i-- {
			b := e.block(i)
			if id < b.FirstID || id >= b.EndID {
				continue
			}
			kept, err := e.kept(i, depth)
			if err != nil {
				return nil, err
			}
			if v, ok := kept.get(id); ok {
				return v, nil
			}
		}
		return nil, fmt.Errorf("it refers to object %d, which it has not kept", id)
	}
}

func (e *Entries) block(number int) Block {
	if number == preamble {
		return e.ix.Preamble
	}
	return e.ix.Entries[number].Block
}

// kept returns what a block keeps in the memo.
func (e *Entries) kept(number, depth int) (*memo, error) {
	e.mu.Lock()
	kept := e.memos[number]
	e.mu.Unlock()
	if kept != nil {
		return kept, nil
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
