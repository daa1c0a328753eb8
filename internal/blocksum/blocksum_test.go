package blocksum

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"testing"
)

func random(n int) []byte {
	b := make([]byte, n)
	rand.NewChaCha8([32]byte{byte(n)}).Read(b)
	return b
}

// hashed hashes content, written in pieces of different lengths.
func hashed(t *testing.T, content []byte) Sums {
	t.Helper()
	w := NewWriter()
	for i := 1; len(content) > 0; i = i*3 + 1 {
		n := min(i, len(content))
		if got, err := w.Write(content[:n]); got != n || err != nil {
			t.Fatal(got, err)
		}
		content = content[n:]
	}
	if s := w.Sums(); !s.Valid() {
		t.Fatalf("%d bytes have %d of hashes", s.Length, len(s.Hashes))
	}
	return w.Sums()
}

func TestWhole(t *testing.T) {
	for _, size := range []int{0, 1, Block - 1, Block, Block + 1, 3*Block + 77} {
		content := random(size)
		r := NewReader(bytes.NewReader(append(bytes.Clone(content), "more"...)), hashed(t, content))
		var group sync.WaitGroup
		for range 4 {
			group.Go(func() {
				got, err := io.ReadAll(io.NewSectionReader(r, 0, 1<<40))
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes: read %d, %v", size, len(got), err)
				}
			})
		}
		group.Wait()
		for _, at := range []int{-1, 0, size / 2, size, size + 5} {
			got := make([]byte, 10)
			n, err := r.ReadAt(got, int64(at))
			if at < 0 {
				if err == nil || errors.Is(err, io.EOF) {
					t.Errorf("at %d: %v", at, err)
				}
				continue
			}
			want := content[min(at, size):min(at+10, size)]
			if !bytes.Equal(got[:n], want) || errors.Is(err, io.EOF) != (len(want) < 10) || err != nil && !errors.Is(err, io.EOF) {
				t.Errorf("%d bytes at %d: %d, %v", size, at, n, err)
			}
		}
	}
}

// A changed byte is detected when its block is read, and only then.
func TestDamage(t *testing.T) {
	content := random(2*Block + 100)
	sums := hashed(t, content)
	for _, c := range []struct {
		name string
		at   int // the byte that is changed, or the length to which the file is cut
		cut  bool
	}{
		{"first byte", 0, false}, {"last byte", len(content) - 1, false}, {"first of a block", Block, false}, {"last of a block", 2*Block - 1, false},
		{"cut", 2*Block + 99, true}, {"cut at a block", Block, true},
	} {
		damaged := bytes.Clone(content)
		if c.cut {
			damaged = damaged[:c.at]
		} else {
			damaged[c.at] ^= 1
		}
		r := NewReader(bytes.NewReader(damaged), sums)
		if _, err := r.ReadAt(make([]byte, 1), int64(c.at/Block*Block)); !errors.Is(err, ErrDamaged) {
			t.Errorf("%s: %v", c.name, err)
		}
		for number := range c.at / Block {
			got := make([]byte, Block)
			if _, err := r.ReadAt(got, int64(number*Block)); err != nil || !bytes.Equal(got, content[number*Block:][:Block]) {
				t.Errorf("%s: block %d: %v", c.name, number, err)
			}
		}
	}
}

func TestValid(t *testing.T) {
	for _, c := range []struct {
		length int64
		hashes int
		valid  bool
	}{
		{0, 0, true}, {1, 32, true}, {Block, 32, true}, {Block + 1, 64, true},
		{1, 0, false}, {0, 32, false}, {Block + 1, 32, false}, {1, 33, false}, {-1, 0, false}, {-Block, 0, false}, {1<<63 - 1, 32, false},
	} {
		if got := (Sums{c.length, make([]byte, c.hashes)}).Valid(); got != c.valid {
			t.Errorf("%d bytes, %d of hashes: %v", c.length, c.hashes, got)
		}
	}
}

type failing struct{}

func (failing) ReadAt([]byte, int64) (int, error) { return 0, errors.New("no such device") }

// A read error is not damage.
func TestFailing(t *testing.T) {
	_, err := NewReader(failing{}, hashed(t, random(10))).ReadAt(make([]byte, 1), 0)
	if err == nil || errors.Is(err, ErrDamaged) {
		t.Error(err)
	}
}
