package pickle

import (
	"errors"
	"fmt"
	"io"
	"slices"
)

// Items decodes the items of the dictionary that the pickle at the beginning of src consists of, one at a time, and
// passes each to emit with the place of its bytes. The items must be written singly and refer to nothing outside
// themselves, as [Encoder.EncodeItem] writes them. The memory that it needs is that of one item. It ends with the
// first error of emit.
func (r Reader) Items(src io.Reader, emit func(item Pair, offset, length int64) error) error {
	m := r.machine(input{src: src})
	begin := int64(0)
	for {
		stop, err := m.step()
		if err != nil {
			return err
		}
		if stop {
			if top, err := m.result(); err != nil || itemsOf(top) == nil {
				return errors.Join(errors.New("it contains no dict"), err)
			}
			return nil
		}
		if len(m.stack) != 1 || len(m.marks) > 0 || itemsOf(m.stack[0]) == nil {
			continue
		}
		items := itemsOf(m.stack[0])
		for _, item := range *items {
			if err := emit(item, begin, m.in.offset()-begin); err != nil {
				return err
			}
		}
		if n := len(*items); n > 1 {
			return fmt.Errorf("pickle has %d items at once at byte %d, not one at a time", n, begin)
		} else if n == 1 {
			*items = nil
			m.memo, m.made, m.known = memo{}, 0, map[string]any{}
		}
		begin = m.in.offset()
	}
}

// DecodeItem decodes the bytes of one item, which [Reader.Items] placed.
func (r Reader) DecodeItem(data []byte) (item Pair, err error) {
	v, err := r.Decode(slices.Concat([]byte{opProto, 2, opEmptyDict}, data, []byte{opStop}))
	if err != nil {
		return item, err
	}
	items := itemsOf(v)
	if items == nil || len(*items) != 1 {
		return item, errors.New("pickle: the bytes are not those of one item of a dict")
	}
	return (*items)[0], nil
}
