package published

import (
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"io"
	"slices"
	"strings"
	"sync"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/internal/bom"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
	"nb201/results/published/internal/pickled"
)

// Kind is what a file or directory is, by its content. The zero Kind is not known.
type Kind struct {
	Format      benchmark.Format // of the benchmark that it is; "" none
	Weights     bool             // the weights of a network, as train --from takes them
	Safetensors bool             // weights in that format rather than torch's

	merged  bool   // all architectures in one file
	damaged bool   // it cannot be read
	what    string // a noun phrase
	todo    string // what to do with it
}

// Refusal is the usage error of a reader that takes no file of this kind; nil where no
// more is known than the reader says. Of a damaged file it is results.ErrDamaged.
func (k Kind) Refusal(path string) error {
	if k.what == "" {
		return nil
	}
	err := usage.Errorf("%s is %s: %s", path, k.what, k.todo)
	if k.damaged {
		err = usage.Mark(results.ErrDamaged, err)
	}
	return err
}

// takesResults is what to do with a Kind that is a benchmark.
const takesResults = "nb201 query, verify, export and compare take it"

// content is what a file holds. A reader asks it what its format is known by; more than
// the head is read when it is asked for, once.
type content struct {
	path string
	file io.ReaderAt
	size int64
	head []byte // the first bytes
	text []byte // head, were it text: less a byte order mark and white space

	// unpacked is the beginning of what a bzip2 file holds; none of any other file, or where
	// it is damaged.
	unpacked func() []byte
	// torch is what a torch checkpoint holds; nil for any other file.
	torch func() *torchContent
	// json is the object that a JSON document holds.
	json func() (map[string]jsontext.Value, error)
}

func newContent(path string, file io.ReaderAt, size int64, head []byte) *content {
	plain, _ := bom.Strip(head) // nothing of UTF-16, which is not read
	c := &content{path: path, file: file, size: size, head: head, text: bytes.TrimSpace(plain)}
	c.unpacked = sync.OnceValue(c.readUnpacked)
	c.torch = sync.OnceValue(c.readTorch)
	c.json = sync.OnceValues(c.readJSON)
	return c
}

func (c *content) readUnpacked() []byte {
	if !bytes.HasPrefix(c.head, []byte("BZh")) {
		return nil
	}
	head := make([]byte, 64<<10)
	n, _ := io.ReadFull(bzip2.NewReader(io.NewSectionReader(c.file, 0, c.size)), head)
	return head[:n]
}

// torchContent is what a torch checkpoint holds.
type torchContent struct {
	head  []byte // of its pickle
	value any    // all but the elements of tensors; nil where that is much or damaged
}

func (c *content) readTorch() *torchContent {
	small := true
	switch {
	case bytes.HasPrefix(c.head, []byte("PK")):
		z, err := zip.NewReader(c.file, c.size)
		if err != nil || zipMember(z, "constants.pkl") != nil || zipMember(z, "data.pkl") == nil {
			return nil
		}
		const most = 8 << 20 // of one architecture or one network
		small = zipMember(z, "data.pkl").UncompressedSize64 <= most
	case !c.isPickle():
		return nil
	}
	f, err := torchfile.Open(c.path)
	if err != nil {
		return nil
	}
	defer f.Close()
	t := &torchContent{}
	section, deflated, err := f.Pickle()
	if err != nil {
		return t
	}
	start := io.Reader(section)
	if deflated {
		start = flate.NewReader(section)
	}
	if t.head, err = io.ReadAll(io.LimitReader(start, 1<<10)); err != nil || !small {
		return t
	}
	if v, err := f.Outline(); err == nil {
		t.value = v
	}
	return t
}

// zipMember finds a file in the folder of a zip file; nil where there is none.
func zipMember(z *zip.Reader, name string) *zip.File {
	i := slices.IndexFunc(z.File, func(f *zip.File) bool {
		_, within, _ := strings.Cut(f.Name, "/")
		return within == name
	})
	if i < 0 {
		return nil
	}
	return z.File[i]
}

// torchHead is how the pickle of a torch checkpoint begins; none of any other file.
func (c *content) torchHead() []byte {
	if t := c.torch(); t != nil {
		return t.head
	}
	return nil
}

// torchHas reports whether a small torch checkpoint holds a dict with these keys.
func (c *content) torchHas(keys ...string) bool {
	t := c.torch()
	if t == nil {
		return false
	}
	d, err := pickled.AsDict(t.value)
	return err == nil && !slices.ContainsFunc(keys, func(key string) bool { _, err := d.Get(key); return err != nil })
}

func (c *content) isPickle() bool { return len(c.head) > 1 && c.head[0] == 0x80 && c.head[1] <= 5 }

func (c *content) isJSON() bool {
	return bytes.HasPrefix(c.text, []byte("{")) || bytes.HasPrefix(c.text, []byte("["))
}

func (c *content) readJSON() (members map[string]jsontext.Value, err error) {
	if !c.isJSON() {
		return nil, nil
	}
	const most = 64 << 20
	text, err := io.ReadAll(io.LimitReader(io.NewSectionReader(c.file, 0, c.size), most))
	if err == nil {
		text, err = bom.Strip(text)
	}
	if err == nil {
		err = json.Unmarshal(text, &members)
	}
	return members, err
}

// jsonHas reports whether a JSON document is an object with these keys.
func (c *content) jsonHas(keys ...string) bool {
	members, err := c.json()
	return err == nil && !slices.ContainsFunc(keys, func(key string) bool { return members[key] == nil })
}
