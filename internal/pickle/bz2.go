package pickle

import (
	"bytes"
	"compress/bzip2"
	"errors"
	"fmt"
	"io"

	"nb201/internal/infile"
	"nb201/internal/usage"
)

// ReadBZ2 reads and decompresses the bzip2 file at path, to at most limit bytes. Errors are
// usage errors that name the file.
func ReadBZ2(path string, limit int64) ([]byte, error) {
	f, err := infile.Open(path)
	if err != nil {
		return nil, usage.Errorf("cannot read pickle: %w", err)
	}
	defer f.Close()
	data, err := decompress(f, limit)
	if err != nil {
		return nil, usage.Errorf("cannot read %s: %w", path, err)
	}
	return data, nil
}

func decompress(r io.Reader, limit int64) ([]byte, error) {
	var b bytes.Buffer
	n, err := io.Copy(&b, io.LimitReader(bzip2.NewReader(r), limit+1))
	switch {
	case errors.Is(err, io.ErrUnexpectedEOF):
		return nil, errors.New("it is truncated; fetch or export it again")
	case err != nil:
		return nil, err
	case n > limit:
		return nil, fmt.Errorf("it decompresses to more than %d bytes, the limit", limit)
	}
	return b.Bytes(), nil
}
