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

// Kind describes what a file or directory is, by its contents. The zero Kind is unknown.
type Kind struct {
	Format      benchmark.Format // format, if it is a benchmark or a file of one; else ""
	Weights     bool             // weights of a network, as nb201 train --from reads them
	Safetensors bool             // the weights are in a safetensors file, not a torch checkpoint

	merged  bool   // a merged file
	plain   bool   // a merged file that is a plain pickle
	damaged bool   // cannot be read
	what    string // noun phrase for errors
	todo    string // advice for errors
}

// Refusal returns a usage error for a command that cannot read a file of this kind: it says
// what the file is and what to do with it. It is nil if the kind is unknown, and
// [results.ErrDamaged] if the file is damaged.
func (k Kind) Refusal(path string) error {
	if k.what == "" {
		return nil
	}
	err := usage.Errorf("%s is %s; %s", path, k.what, k.todo)
	if k.damaged {
		err = usage.Mark(results.ErrDamaged, err)
	}
	return err
}

// useResults advises what to do with a benchmark where something else is expected.
const useResults = "nb201 query, verify, export and compare read it"

// content gives the recognise functions of the formats access to a file. Anything beyond the
// first bytes is read on demand, and once.
type content struct {
	path string
	file io.ReaderAt
	size int64  // bytes
	head []byte // the first bytes
	text []byte // head as text: without a byte order mark and surrounding white space

	// unpacked returns the beginning of the unpacked contents of a bzip2 file; nil for any other
	// file, or if it is damaged.
	unpacked func() []byte
	// torch returns the contents of a torch checkpoint; nil for any other file.
	torch func() *torchContent
	// json returns the members of the object in a JSON document.
	json func() (map[string]jsontext.Value, error)
}

func newContent(path string, file io.ReaderAt, size int64, head []byte) *content {
	plain, _ := bom.Strip(head) // nil for UTF-16, which is not supported
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

// torchContent holds the contents of a torch checkpoint.
type torchContent struct {
	head  []byte // beginning of the pickle
	value any    // the pickled value, without elements of tensors; nil if it is large or damaged
}

func (c *content) readTorch() *torchContent {
	small := true
	switch {
	case bytes.HasPrefix(c.head, []byte("PK")):
		z, err := zip.NewReader(c.file, c.size)
		if err != nil || zipMember(z, "constants.pkl") != nil || zipMember(z, "data.pkl") == nil {
			return nil
		}
		const most = 8 << 20 // more than one architecture or one network needs
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

// zipMember finds a file in the top folder of a zip file, as torch.save lays it out; nil if it
// is missing.
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

// torchHead returns the beginning of the pickle in a torch checkpoint; nil for any other file.
func (c *content) torchHead() []byte {
	if t := c.torch(); t != nil {
		return t.head
	}
	return nil
}

// torchHas reports whether the file is a small torch checkpoint of a dict with these keys.
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

// jsonHas reports whether the file is a JSON object with these keys.
func (c *content) jsonHas(keys ...string) bool {
	members, err := c.json()
	return err == nil && !slices.ContainsFunc(keys, func(key string) bool { return members[key] == nil })
}
