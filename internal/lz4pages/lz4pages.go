// Package lz4pages presents a Parquet file whose pages are compressed with LZ4 as an
// uncompressed one. parquet-go does not know the codec LZ4 (Hadoop's frames), and its LZ4_RAW
// loses pages that are larger than three times their compressed size, and allocates without
// bound if a page is damaged. Start at [Open].
package lz4pages

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"sync"

	"github.com/parquet-go/parquet-go/encoding/thrift"
	"github.com/parquet-go/parquet-go/format"
	"github.com/pierrec/lz4/v4"
)

// IsLZ4 reports whether c is LZ4 or LZ4_RAW.
func IsLZ4(c format.CompressionCodec) bool { return c == format.Lz4 || c == format.Lz4Raw }

// File is a Parquet file, followed by its LZ4 pages in uncompressed form and by a new footer.
// A page is uncompressed when it is read. File is safe for concurrent use.
type File struct {
	parts []part // in order of offsets, without gaps
	size  int64

	mu       sync.Mutex
	last     int    // the part of the most recently uncompressed page
	unpacked []byte // its content
}

// part is a range of bytes of a File: a copy of bytes in another file, or a page to uncompress.
type part struct {
	offset, length int64
	from           io.ReaderAt
	at             int64 // offset in from
	page           *page // nil for a copy
}

// page is a compressed page.
type page struct {
	codec  format.CompressionCodec
	stored int32 // its bytes in the file
	plain  int32 // uncompressed bytes at its beginning
	crc    int32 // of the stored bytes; 0 if unknown
}

// Open returns the File for a Parquet file of the given size and metadata. It changes meta to
// the metadata of the File.
func Open(file io.ReaderAt, size int64, meta *format.FileMetaData) (*File, error) {
	f := &File{last: -1}
	f.add(part{length: size, from: file})
	left := size // chunks do not overlap
	for g := range meta.RowGroups {
		for c := range meta.RowGroups[g].Columns {
			chunk := &meta.RowGroups[g].Columns[c]
			// The page indexes do not fit the new pages.
			chunk.OffsetIndexOffset, chunk.OffsetIndexLength, chunk.ColumnIndexOffset, chunk.ColumnIndexLength = 0, 0, 0, 0
			if IsLZ4(chunk.MetaData.Codec) {
				if left -= chunk.MetaData.TotalCompressedSize; left < 0 {
					return nil, errors.New("its columns are longer than the file")
				}
				if err := f.addChunk(file, size, &chunk.MetaData); err != nil {
					return nil, fmt.Errorf("column %d: %w", c+1, err)
				}
			}
		}
	}
	footer, err := thrift.Marshal(new(thrift.CompactProtocol), *meta)
	if err != nil {
		return nil, err
	}
	footer = append(binary.LittleEndian.AppendUint32(footer, uint32(len(footer))), "PAR1"...)
	f.addBytes(footer)
	return f, nil
}

func (f *File) add(p part) {
	p.offset = f.size
	f.parts = append(f.parts, p)
	f.size += p.length
}

func (f *File) addBytes(b []byte) { f.add(part{length: int64(len(b)), from: bytes.NewReader(b)}) }

// addChunk adds the pages of a column in a row group.
func (f *File) addChunk(file io.ReaderAt, size int64, m *format.ColumnMetaData) error {
	at := m.DataPageOffset
	if d := m.DictionaryPageOffset; d > 0 {
		at = min(at, d)
	}
	end := at + m.TotalCompressedSize
	if at < 0 || m.TotalCompressedSize < 0 || end < 0 || end > size {
		return errors.New("its pages lie outside the file")
	}
	begin := f.size
	dictionary, data := int64(0), int64(0)
	for at < end {
		header, length, err := readHeader(file, at, end)
		if err != nil {
			return fmt.Errorf("the page at byte %d: %w", at, err)
		}
		begins := at + length
		p := page{codec: m.Codec, stored: header.CompressedPageSize, crc: header.CRC}
		if v2 := &header.DataPageHeaderV2; header.Type == format.DataPageV2 && v2.Valid {
			p.plain = v2.V.DefinitionLevelsByteLength + v2.V.RepetitionLevelsByteLength
			if v2.V.IsCompressed.Valid && !v2.V.IsCompressed.V {
				p.plain = p.stored
			}
		}
		// A byte of LZ4 expands to at most 255.
		most := 255*int64(p.stored) + 64
		unpacked := int64(header.UncompressedPageSize)
		if p.stored < 0 || begins+int64(p.stored) > end || p.plain < 0 || p.plain > p.stored || unpacked < int64(p.plain) || unpacked > most {
			return fmt.Errorf("the page at byte %d has an impossible size", at)
		}
		switch {
		case header.Type == format.DictionaryPage && dictionary == 0:
			dictionary = f.size
		case data == 0:
			data = f.size
		}
		header.CompressedPageSize, header.CRC = header.UncompressedPageSize, 0
		text, err := thrift.Marshal(new(thrift.CompactProtocol), header)
		if err != nil {
			return err
		}
		f.addBytes(text)
		f.add(part{length: unpacked, from: file, at: begins, page: &p})
		at = begins + int64(p.stored)
	}
	m.Codec, m.DictionaryPageOffset, m.DataPageOffset = format.Uncompressed, dictionary, data
	m.TotalCompressedSize = f.size - begin
	m.IndexPageOffset = 0
	return nil
}

// readHeader reads the header of the page at an offset, and returns the header's length.
func readHeader(file io.ReaderAt, at, end int64) (header format.PageHeader, length int64, err error) {
	// A header may contain the smallest and largest value of the page, so it can be long.
	for _, most := range []int64{1 << 10, 1 << 20} {
		stretch := make([]byte, min(most, end-at))
		if n, err := file.ReadAt(stretch, at); n < len(stretch) {
			return header, 0, err
		}
		header = format.PageHeader{}
		reader := new(thrift.CompactProtocol).NewReaderFromBytes(stretch)
		if err = thrift.NewDecoder(reader).Decode(&header); err == nil {
			return header, int64(reader.BytesRead()), nil
		}
	}
	return header, 0, err
}

// Size returns the size of f in bytes.
func (f *File) Size() int64 { return f.size }

// ReadAt implements io.ReaderAt.
func (f *File) ReadAt(b []byte, at int64) (n int, err error) {
	i, found := slices.BinarySearchFunc(f.parts, at, func(p part, at int64) int { return cmp.Compare(p.offset, at) })
	if !found {
		i--
	}
	for ; n < len(b) && 0 <= i && i < len(f.parts); i++ {
		p := f.parts[i]
		within := at + int64(n) - p.offset
		want := b[n:min(int64(len(b)), int64(n)+p.length-within)]
		if p.page == nil {
			got, err := p.from.ReadAt(want, p.at+within)
			if got < len(want) {
				return n + got, err
			}
			n += got
			continue
		}
		if err := f.copyPage(want, i, within); err != nil {
			return n, err
		}
		n += len(want)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

// copyPage copies bytes, from the offset within on, of the page that is the part with a
// number.
func (f *File) copyPage(b []byte, number int, within int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.last != number {
		unpacked, err := f.parts[number].unpack()
		if err != nil {
			return fmt.Errorf("the page at byte %d: %w", f.parts[number].at, err)
		}
		f.last, f.unpacked = number, unpacked
	}
	copy(b, f.unpacked[within:])
	return nil
}

func (p part) unpack() ([]byte, error) {
	stored := make([]byte, p.page.stored)
	if n, err := p.from.ReadAt(stored, p.at); n < len(stored) {
		return nil, err
	}
	if p.page.crc != 0 && crc32.ChecksumIEEE(stored) != uint32(p.page.crc) {
		return nil, errors.New("its CRC does not match")
	}
	plain := p.page.plain
	unpacked := make([]byte, p.length)
	copy(unpacked, stored[:plain])
	to, block := unpacked[plain:], stored[plain:]
	if len(block) == 0 && len(to) == 0 {
		return unpacked, nil
	}
	// Old writers used the codec LZ4 for raw blocks too.
	if p.page.codec == format.Lz4 && unpackHadoop(to, block) == nil {
		return unpacked, nil
	}
	return unpacked, unpackBlock(to, block)
}

// errBlock reports a block that is not LZ4 or has another size.
var errBlock = errors.New("its LZ4 data is damaged")

// unpackBlock uncompresses a block, which must fill to.
func unpackBlock(to, block []byte) error {
	if n, err := lz4.UncompressBlock(block, to); err != nil || n != len(to) {
		return errBlock
	}
	return nil
}

// unpackHadoop uncompresses Hadoop's frames, which must fill to. A frame is the uncompressed
// and the compressed length of a block, both big-endian, and the block.
func unpackHadoop(to, frames []byte) error {
	for len(frames) >= 8 {
		out, in := binary.BigEndian.Uint32(frames), binary.BigEndian.Uint32(frames[4:])
		frames = frames[8:]
		if out > math.MaxInt32 || int64(out) > int64(len(to)) || int64(in) > int64(len(frames)) {
			return errBlock
		}
		if err := unpackBlock(to[:out], frames[:in]); err != nil {
			return err
		}
		to, frames = to[out:], frames[in:]
	}
	if len(frames) != 0 || len(to) != 0 {
		return errBlock
	}
	return nil
}
