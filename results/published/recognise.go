package published

import (
	"archive/zip"
	"bytes"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"

	"nb201/internal/infile"
	"nb201/internal/safetensors"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
	"nb201/results"
)

// checkKind returns an error that says what path is, unless that is the format f, which its name
// promises (nil if it does not promise any), or is not known.
func (all readers) checkKind(path string, f *reader) error {
	k, unreadable := all.recognisePath(path)
	if unreadable != nil || f != nil && k.Format == f.name && k.merged == f.merged && k.plain == f.plain {
		return nil
	}
	return k.Refusal(path)
}

// recognisePath finds out what a file or directory is: see Recognise.
func (all readers) recognisePath(path string) (Kind, error) {
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
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return Kind{}, unreadable(err)
	}
	return all.recogniseFile(newContent(path, f, info.Size(), head[:n])), nil
}

func unreadable(err error) error { return usage.Errorf("cannot recognise the file: %w", err) }

// signatures lists how files begin that cannot be used as they are.
var signatures = []struct{ begins, what, todo string }{
	{"version https://git-lfs.github.com/spec/", "a Git LFS pointer to a file that was not fetched", "fetch the file with git lfs pull"},
	{"\x1f\x8b", "a gzip archive", unpack},
	{"\xfd7zXZ\x00", "an xz archive", unpack},
	{"\x28\xb5\x2f\xfd", "a zstd archive", unpack},
	{"7z\xbc\xaf\x27\x1c", "a 7z archive", unpack},
	{"Rar!", "a rar archive", unpack},
	{"\x93NUMPY", "a numpy array", "nb201 data import reads arrays of images; weights must be in a torch or safetensors file"},
	{"\x89HDF\r\n", "an HDF5 file", "save the weights with torch or safetensors"},
}

const (
	unpack     = "unpack it and name the unpacked file"
	fetchAgain = "download or copy it again"
	useWeights = "pass it to nb201 train --from"
)

// recogniseFile recognises a file by its first bytes, and reads more of it if needed.
func (all readers) recogniseFile(c *content) Kind {
	begins := strings.ToLower(string(c.text[:min(len(c.text), 15)]))
	for _, s := range signatures {
		if bytes.HasPrefix(c.head, []byte(s.begins)) {
			return Kind{what: s.what, todo: s.todo}
		}
	}
	switch {
	case c.size == 0:
		return Kind{damaged: true, what: "an empty file", todo: fetchAgain}
	case strings.HasPrefix(begins, "<!doctype html"), strings.HasPrefix(begins, "<html"):
		return Kind{what: "an HTML page, perhaps that of a download instead of the file", todo: "download the file itself"}
	case strings.HasPrefix(begins, "<?xml"):
		return Kind{what: "an XML document, perhaps a server's answer instead of the file", todo: "download the file itself"}
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
		return Kind{Weights: true, Safetensors: true, what: "a safetensors file with weights, not a benchmark", todo: useWeights}
	case c.isPickle():
		return recognisePickle(c)
	case c.isJSON():
		return recogniseJSON(c)
	}
	return Kind{}
}

func isTar(b []byte) bool {
	const magicOffset = 257
	return len(b) > magicOffset && bytes.HasPrefix(b[magicOffset:], []byte("ustar"))
}

// recogniseZip recognises checkpoints written by torch.save, and other zip files.
func recogniseZip(c *content) Kind {
	switch z, err := zip.NewReader(c.file, c.size); {
	case err != nil:
		return Kind{damaged: true, what: "a zip file, as torch.save writes them, whose end is missing or damaged", todo: fetchAgain}
	case zipMember(z, "constants.pkl") != nil:
		return Kind{what: "a TorchScript program", todo: "save its weights with torch.save(torch.jit.load(FILE).state_dict(), OTHER)"}
	case zipMember(z, "data.pkl") == nil:
		return Kind{what: "a zip archive that was not written by torch.save", todo: unpack}
	}
	return recogniseWeights(c.torch())
}

// recogniseWeights recognises a torch checkpoint that is not in a published format.
func recogniseWeights(t *torchContent) Kind {
	if t == nil || t.value == nil {
		return Kind{}
	}
	if _, err := torchfile.Weights(t.value); err != nil {
		return Kind{what: "a torch checkpoint with neither weights nor results", todo: err.Error()}
	}
	return Kind{Weights: true, what: "a torch checkpoint with weights, not a benchmark", todo: useWeights}
}

// recognisePickle recognises torch's legacy format and other pickles.
func recognisePickle(c *content) Kind {
	if t := c.torch(); t != nil {
		return recogniseWeights(t)
	}
	return Kind{
		what: "a Python pickle that was not written by torch.save",
		todo: "if it holds weights, convert it with torch.save(pickle.load(open(FILE, 'rb')), OTHER); of pickles with results, it reads merged files and those that it writes for NASLib",
	}
}

// recogniseBZ2 recognises compressed files that are not in a published format.
func recogniseBZ2(c *content) Kind {
	switch head := c.unpacked(); {
	case len(head) == 0:
		return Kind{damaged: true, what: "a bzip2 file that is cut short or damaged", todo: fetchAgain}
	case head[0] == 0x80:
		return Kind{}
	case isTar(head):
		return Kind{what: "a compressed tar archive", todo: unpack}
	case strings.HasSuffix(c.path, natsExtension):
		return Kind{damaged: true, what: "a damaged file, which does not unpack to a pickle as its name promises", todo: fetchAgain}
	}
	return Kind{what: "a bzip2 file", todo: unpack}
}

// recogniseJSON recognises JSON documents that do not belong to a benchmark.
func recogniseJSON(c *content) Kind {
	const other = "name a benchmark, or a torch or safetensors file with weights"
	switch _, err := c.json(); {
	case err != nil:
		return Kind{what: "a JSON document of an unknown kind, or damaged", todo: other}
	case c.jsonHas("format", "classes", "size"):
		return Kind{what: "the definition of a dataset", todo: "pass it to nb201 train --dataset"}
	}
	return Kind{what: "a JSON document that is not a record, a plan or the definition of a dataset", todo: other}
}

// recogniseDir recognises a benchmark, a part of a campaign, and a directory that contains
// benchmarks.
func (all readers) recogniseDir(path string) Kind {
	if f, _, err := all.matchDir(path); err == nil && f != nil {
		return Kind{Format: f.name, what: "a benchmark (" + string(f.name) + ")", todo: useResults}
	}
	if campaign := results.CampaignOf(path); campaign != "" {
		return Kind{what: "part of a campaign", todo: "name the campaign, " + campaign}
	}
	found := all.findBenchmarks(path, 2)
	switch n := len(found); {
	case n == 1:
		return Kind{what: "a directory that contains a benchmark", todo: "name the benchmark, " + found[0]}
	case n > 1:
		return Kind{what: "a directory that contains several benchmarks", todo: "name one of them: " + strings.Join(found[:min(n, 3)], ", ")}
	}
	return Kind{}
}

// findBenchmarks finds benchmarks below a directory, down to the given number of levels. It
// gives up on directories with many entries.
func (all readers) findBenchmarks(dir string, levels int) []string {
	entries, err := os.ReadDir(dir)
	const most = 100
	if err != nil || len(entries) > most {
		return nil
	}
	var found []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			if f, _, err := all.matchDir(path); err == nil && f != nil {
				found = append(found, path)
			} else if levels > 1 {
				found = append(found, all.findBenchmarks(path, levels-1)...)
			}
		} else if all.matchFile(path) != nil {
			if k, err := all.recognisePath(path); err == nil && k.Format != "" {
				found = append(found, path)
			}
		}
	}
	return found
}
