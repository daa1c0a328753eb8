package published

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"

	"nb201/internal/infile"
	"nb201/internal/safetensors"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// instead is the error of a file or directory that is not of the format, nil standing for
// none, which its name may promise; nil where no more is known of it.
func (all readers) instead(path string, f *reader) error {
	k, unreadable := all.look(path)
	if unreadable != nil || f != nil && k.Format == f.name && k.merged == f.merged {
		return nil
	}
	return k.Refusal(path)
}

// look finds out what path is: see Recognise.
func (all readers) look(path string) (Kind, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Kind{}, unreadable(err)
	}
	if info.IsDir() {
		return all.recogniseDir(path), nil
	}
	f, err := infile.Open(path)
	if err != nil {
		return Kind{}, unreadable(err)
	}
	defer f.Close()
	head := make([]byte, 1<<10)
	n, err := io.ReadFull(f, head)
	if err != nil && err != io.EOF && err != io.ErrUnexpectedEOF {
		return Kind{}, unreadable(err)
	}
	return all.recogniseFile(newContent(path, f, info.Size(), head[:n])), nil
}

func unreadable(err error) error { return usage.Errorf("cannot find out what it is: %w", err) }

// signatures are how files begin that are of no use here as they are.
var signatures = []struct{ begins, what, todo string }{
	{"version https://git-lfs.github.com/spec/", "a Git LFS pointer, which stands in place of a file that was not fetched", "fetch the file with git lfs pull"},
	{"\x1f\x8b", "a gzip archive", unpack},
	{"\xfd7zXZ\x00", "an xz archive", unpack},
	{"\x28\xb5\x2f\xfd", "a zstd archive", unpack},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive", unpack},
	{"Rar!", "a rar archive", unpack},
	{"\x93NUMPY", "a numpy array", "nb201 data import takes arrays of images; weights are read from torch and safetensors files"},
	{"\x89HDF\r\n", "an HDF5 file", "save the weights with torch or safetensors"},
}

const (
	unpack       = "unpack it and name what was in it"
	takesWeights = "nb201 train --from takes it"
)

// recogniseFile recognises a file by its head, and by more of it where that is needed.
func (all readers) recogniseFile(c *content) Kind {
	begins := strings.ToLower(string(c.text[:min(len(c.text), 15)]))
	for _, s := range signatures {
		if bytes.HasPrefix(c.head, []byte(s.begins)) {
			return Kind{what: s.what, todo: s.todo}
		}
	}
	switch {
	case c.size == 0:
		return Kind{damaged: true, what: "an empty file", todo: "fetch or copy it again"}
	case strings.HasPrefix(begins, "<!doctype html"), strings.HasPrefix(begins, "<html"):
		return Kind{what: "an HTML page, as of a download that led to a page instead of the file", todo: "fetch the file itself"}
	case strings.HasPrefix(begins, "<?xml"):
		return Kind{what: "an XML document, as a server answers in place of a file", todo: "fetch the file itself"}
	}
	for _, f := range all {
		if k, ok := f.recognise(c); ok {
			return k
		}
	}
	switch {
	case bytes.HasPrefix(c.head, []byte("PK")):
		return recogniseZip(c)
	case bytes.HasPrefix(c.head, []byte("BZh")):
		return recogniseBZ2(c)
	case isTar(c.head):
		return Kind{what: "a tar archive", todo: unpack}
	case safetensors.IsFile(c.head):
		return Kind{Weights: true, Safetensors: true, what: "a safetensors file with weights, no benchmark", todo: takesWeights}
	case c.isPickle():
		return recognisePickle(c)
	case c.isJSON():
		return recogniseJSON(c)
	}
	return Kind{}
}

func isTar(b []byte) bool {
	const at = 257
	return len(b) > at && bytes.HasPrefix(b[at:], []byte("ustar"))
}

// recogniseZip recognises what torch.save writes, and other zip files.
func recogniseZip(c *content) Kind {
	switch z, err := zip.NewReader(c.file, c.size); {
	case err != nil:
		return Kind{damaged: true, what: "the beginning of a zip file, as torch.save writes them, of which the end is missing or damaged", todo: "fetch or copy it again"}
	case zipMember(z, "constants.pkl") != nil:
		return Kind{what: "a TorchScript program", todo: "save its weights with torch.save(torch.jit.load(FILE).state_dict(), OTHER)"}
	case zipMember(z, "data.pkl") == nil:
		return Kind{what: "a zip archive that torch.save has not written", todo: unpack}
	}
	return recogniseWeights(c.torch())
}

// recogniseWeights recognises a torch checkpoint of no format by whether it holds weights.
func recogniseWeights(t *torchContent) Kind {
	if t == nil || t.value == nil {
		return Kind{}
	}
	if _, err := torchfile.Weights(t.value); err != nil {
		return Kind{what: "a torch checkpoint of neither weights nor results", todo: err.Error()}
	}
	return Kind{Weights: true, what: "a torch checkpoint with weights, no benchmark", todo: takesWeights}
}

// recognisePickle recognises torch's legacy format, and other pickles.
func recognisePickle(c *content) Kind {
	if t := c.torch(); t != nil {
		return recogniseWeights(t)
	}
	return Kind{what: "a Python pickle that torch.save has not written", todo: "weights in it are taken after torch.save(pickle.load(open(FILE, 'rb')), OTHER), results as bzip2 has compressed them (.pickle.pbz2)"}
}

// recogniseBZ2 recognises compressed files of no format.
func recogniseBZ2(c *content) Kind {
	switch head := c.unpacked(); {
	case len(head) == 0:
		return Kind{damaged: true, what: "a bzip2 file that is cut off or damaged", todo: "fetch or copy it again"}
	case head[0] == 0x80:
		return Kind{}
	case isTar(head):
		return Kind{what: "a compressed tar archive", todo: unpack}
	}
	return Kind{what: "a bzip2 file", todo: unpack}
}

// recogniseJSON recognises JSON documents of no benchmark.
func recogniseJSON(c *content) Kind {
	switch _, err := c.json(); {
	case err != nil:
		return Kind{what: "a JSON document of no known kind, or damaged", todo: "name a benchmark, or weights of torch or safetensors"}
	case c.jsonHas("format", "classes", "size"):
		return Kind{what: "the definition of a dataset", todo: "nb201 train --dataset takes it"}
	}
	return Kind{what: "a JSON document that is neither a record nor a plan nor the definition of a dataset", todo: "name a benchmark, or weights of torch or safetensors"}
}

// recogniseDir recognises a benchmark, a part of one, and what lies around one.
func (all readers) recogniseDir(path string) Kind {
	if f, _, err := all.ofDir(path); err == nil && f != nil {
		return Kind{Format: f.name, what: "a benchmark (" + string(f.name) + ")", todo: takesResults}
	}
	if campaign := campaignOf(path); campaign != "" {
		return Kind{what: "a part of a campaign", todo: "name the campaign, " + campaign}
	}
	within := all.within(path, 2)
	switch n := len(within); {
	case n == 1:
		return Kind{what: "a directory around a benchmark", todo: "name that, " + within[0]}
	case n > 1:
		return Kind{what: "a directory of several benchmarks", todo: "name one of them: " + strings.Join(within[:min(n, 3)], ", ")}
	}
	return Kind{}
}

// within finds benchmarks in a directory, down to the given number of levels.
func (all readers) within(dir string, levels int) []string {
	entries, err := os.ReadDir(dir)
	const most = 100
	if err != nil || len(entries) > most {
		return nil
	}
	var found []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			if f, _, err := all.ofDir(path); err == nil && f != nil {
				found = append(found, path)
			} else if levels > 1 {
				found = append(found, all.within(path, levels-1)...)
			}
		} else if all.ofFile(path) != nil {
			if k, err := all.look(path); err == nil && k.Format != "" {
				found = append(found, path)
			}
		}
	}
	return found
}
