package results

import (
	"archive/zip"
	"bytes"
	"compress/bzip2"
	"compress/flate"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"nb201/internal/bom"
	"nb201/internal/infile"
	"nb201/internal/safetensors"
	"nb201/internal/torchfile"
	"nb201/internal/usage"
)

// Kind is what a file or directory is, by its content. The zero Kind is not known.
type Kind struct {
	Format      Format // of the benchmark that it is; "" none
	Weights     bool   // the weights of a network, as train --from takes them
	Safetensors bool   // weights in that format rather than torch's

	merged bool   // all architectures in one file
	what   string // a noun phrase
	todo   string // what to do with it
}

// Refusal is the usage error of a reader that takes no file of this kind; nil where no
// more is known than the reader says.
func (k Kind) Refusal(path string) error {
	if k.what == "" {
		return nil
	}
	return usage.Errorf("%s is %s: %s", path, k.what, k.todo)
}

// refused says what path is when it is nothing of a layout, which its name may promise;
// else it is err, with which the reader of the layout refuses it.
func refused(path string, l layout, err error) error {
	k, unreadable := Recognise(path)
	if unreadable != nil || k.Format != "" && k.Format == l.format && k.merged == l.merged {
		return err
	}
	if instead := k.Refusal(path); instead != nil {
		return instead
	}
	return err
}

// Recognise finds out what path is. That it cannot be read at all is a usage error.
func Recognise(path string) (Kind, error) {
	info, err := os.Stat(path)
	if err != nil {
		return Kind{}, unreadable(err)
	}
	if info.IsDir() {
		return recogniseDir(path), nil
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
	return recogniseFile(path, f, info.Size(), head[:n]), nil
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
	takesResults = "nb201 query, verify, export and compare take it"
)

// recogniseFile recognises a file by its head, and by more of it where that is needed.
func recogniseFile(path string, f io.ReaderAt, size int64, head []byte) Kind {
	plain, _ := bom.Strip(head) // nothing of UTF-16, which is not read
	text := bytes.TrimSpace(plain)
	begins := strings.ToLower(string(text[:min(len(text), 15)]))
	for _, s := range signatures {
		if bytes.HasPrefix(head, []byte(s.begins)) {
			return Kind{what: s.what, todo: s.todo}
		}
	}
	switch {
	case size == 0:
		return Kind{what: "an empty file", todo: "fetch or copy it again"}
	case strings.HasPrefix(begins, "<!doctype html"), strings.HasPrefix(begins, "<html"):
		return Kind{what: "an HTML page, as of a download that led to a page instead of the file", todo: "fetch the file itself"}
	case strings.HasPrefix(begins, "<?xml"):
		return Kind{what: "an XML document, as a server answers in place of a file", todo: "fetch the file itself"}
	case bytes.HasPrefix(head, []byte("PK")):
		return recogniseZip(path, f, size)
	case bytes.HasPrefix(head, []byte("BZh")):
		return recogniseBZ2(path, io.NewSectionReader(f, 0, size))
	case bytes.HasPrefix(head, []byte("PAR1")):
		return recogniseTable(path, ".parquet", "a Parquet file")
	case isTar(head):
		return Kind{what: "a tar archive", todo: unpack}
	case safetensors.Is(head):
		return Kind{Weights: true, Safetensors: true, what: "a safetensors file with weights, no benchmark", todo: takesWeights}
	case len(head) > 1 && head[0] == 0x80 && head[1] <= 5:
		return recognisePickle(path)
	case bytes.HasPrefix(text, []byte("{")), bytes.HasPrefix(text, []byte("[")):
		return recogniseJSON(path, io.NewSectionReader(f, 0, size))
	case isTable[TrialRow](text), isTable[EpochRow](text):
		return recogniseTable(path, ".csv", "")
	}
	return Kind{}
}

func isTar(b []byte) bool {
	const at = 257
	return len(b) > at && bytes.HasPrefix(b[at:], []byte("ustar"))
}

// isTable reports whether a CSV file begins as one of our tables does.
func isTable[Row any](text []byte) bool {
	var names []string
	for _, c := range columns(reflect.TypeFor[Row]()) {
		names = append(names, c.Name)
	}
	return bytes.HasPrefix(text, []byte(strings.Join(names, ",")))
}

// recogniseTable recognises one of the two tables of a benchmark, by its name where
// nothing else is known of it.
func recogniseTable(path, extension, otherwise string) Kind {
	dir := filepath.Dir(path)
	if name := filepath.Base(path); otherwise == "" || name == TrialsTable+extension || name == EpochsTable+extension {
		return Kind{
			what: "one table of a benchmark that consists of two",
			todo: fmt.Sprintf("name the directory with %s%s and %s%s, %s", TrialsTable, extension, EpochsTable, extension, dir),
		}
	}
	return Kind{what: otherwise, todo: fmt.Sprintf("a benchmark in it is a directory with %s%s and %s%s", TrialsTable, extension, EpochsTable, extension)}
}

// recogniseZip recognises what torch.save writes, and other zip files.
func recogniseZip(path string, f io.ReaderAt, size int64) Kind {
	z, err := zip.NewReader(f, size)
	if err != nil {
		return Kind{what: "the beginning of a zip file, as torch.save writes them, of which the end is missing or damaged", todo: "fetch or copy it again"}
	}
	var pickled *zip.File
	for _, r := range z.File {
		switch _, name, _ := strings.Cut(r.Name, "/"); name {
		case "data.pkl":
			pickled = r
		case "constants.pkl":
			return Kind{what: "a TorchScript program", todo: "save its weights with torch.save(torch.jit.load(FILE).state_dict(), OTHER)"}
		}
	}
	if pickled == nil {
		return Kind{what: "a zip archive that torch.save has not written", todo: unpack}
	}
	const most = 8 << 20 // of one architecture or one network
	return recogniseTorch(path, pickled.UncompressedSize64 <= most)
}

// recogniseTorch recognises what a torch checkpoint holds, by the beginning of its pickle
// or, when that is small, by all of it.
func recogniseTorch(path string, small bool) Kind {
	f, err := torchfile.Open(path)
	if err != nil {
		return Kind{}
	}
	defer f.Close()
	section, deflated, err := f.Pickle()
	if err != nil {
		return Kind{}
	}
	start := io.Reader(section)
	if deflated {
		start = flate.NewReader(section)
	}
	head, err := io.ReadAll(io.LimitReader(start, 1<<10))
	if err != nil {
		return Kind{}
	}
	if bytes.Contains(head, []byte("meta_archs")) {
		return Kind{Format: NASBench201, merged: true, what: "a merged NAS-Bench-201 file", todo: takesResults + " when its name ends in .pth"}
	}
	if !small {
		return Kind{}
	}
	v, err := f.Outline()
	if err != nil {
		return Kind{}
	}
	has := func(keys ...string) bool {
		d, err := dictOf(v)
		return err == nil && !slices.ContainsFunc(keys, func(key string) bool { _, err := d.get(key); return err != nil })
	}
	switch {
	case has("full", "less"):
		return Kind{Format: Archive, what: "the results of one architecture, a file of a NAS-Bench-201 archive", todo: "give it its published name, such as 000123-FULL.pth"}
	case has("all_dataset_keys"):
		return Kind{Format: Runs, what: "the results of one run of the original program", todo: "give it its published name, such as arch-000123-seed-0777.pth"}
	}
	if _, err := torchfile.Weights(v); err != nil {
		return Kind{what: "a torch checkpoint of neither weights nor results", todo: err.Error()}
	}
	return Kind{Weights: true, what: "a torch checkpoint with weights, no benchmark", todo: takesWeights}
}

// recognisePickle recognises torch's legacy format, and other pickles.
func recognisePickle(path string) Kind {
	if f, err := torchfile.Open(path); err == nil {
		_ = f.Close()
		return recogniseTorch(path, true)
	}
	return Kind{what: "a Python pickle that torch.save has not written", todo: "weights in it are taken after torch.save(pickle.load(open(FILE, 'rb')), OTHER), results as bzip2 has compressed them (.pickle.pbz2)"}
}

// recogniseBZ2 recognises the files of NATS-Bench, and other compressed files.
func recogniseBZ2(path string, r io.Reader) Kind {
	head := make([]byte, 64<<10)
	n, err := io.ReadFull(bzip2.NewReader(r), head)
	head = head[:n]
	switch {
	case n == 0 && err != nil:
		return Kind{what: "a bzip2 file that is cut off or damaged", todo: "fetch or copy it again"}
	case filepath.Base(path) == natsMeta:
		return Kind{what: "the list of the architectures of a NATS-Bench directory", todo: "name the directory, " + filepath.Dir(path)}
	case head[0] == 0x80 && bytes.Contains(head, []byte("meta_archs")):
		return Kind{Format: NATS, merged: true, what: "a merged NATS-Bench file", todo: takesResults + " when its name ends in .pickle.pbz2"}
	case head[0] == 0x80 && bytes.Contains(head, []byte("all_results")):
		return Kind{Format: NATS, what: "the results of one architecture in NATS-Bench", todo: "give it its published name, such as 000123.pickle.pbz2"}
	case head[0] == 0x80:
		return Kind{}
	case isTar(head):
		return Kind{what: "a compressed tar archive", todo: unpack}
	}
	return Kind{what: "a bzip2 file", todo: unpack}
}

// recogniseJSON recognises the JSON documents that nb201 writes and takes.
func recogniseJSON(path string, r io.Reader) Kind {
	const most = 64 << 20
	text, err := io.ReadAll(io.LimitReader(r, most))
	var members map[string]jsontext.Value
	if err == nil {
		text, err = bom.Strip(text)
	}
	if err == nil {
		err = json.Unmarshal(text, &members)
	}
	has := func(keys ...string) bool {
		return !slices.ContainsFunc(keys, func(key string) bool { return members[key] == nil })
	}
	switch campaign := campaignOf(path); {
	case err != nil:
		return Kind{what: "a JSON document of no known kind, or damaged", todo: "name a benchmark, or weights of torch or safetensors"}
	case has("trial", "genotype") && campaign != "":
		return Kind{what: "the record of a trial", todo: "name its campaign, " + campaign}
	case has("trial", "genotype"):
		return Kind{what: "the record of a trial", todo: "name a campaign, the directory in whose folder trials records lie"}
	case has("settings", "parts"):
		return Kind{what: "the plan of a campaign", todo: "name its directory, " + filepath.Dir(path)}
	case has("format", "classes", "size"):
		return Kind{what: "the definition of a dataset", todo: "nb201 train --dataset takes it"}
	}
	return Kind{what: "a JSON document that is neither a record nor a plan nor the definition of a dataset", todo: "name a benchmark, or weights of torch or safetensors"}
}

// campaignOf is the campaign directory in whose folder trials or weights path lies; "" when
// it lies in none.
func campaignOf(path string) string {
	absolute, err := filepath.Abs(path)
	if err != nil {
		return ""
	}
	for up := "."; ; up = filepath.Join(up, "..") {
		dir := filepath.Join(absolute, up)
		parent := filepath.Dir(dir)
		if parent == dir {
			return ""
		}
		if name := filepath.Base(dir); name == "trials" || name == "weights" {
			if _, err := os.Stat(filepath.Join(parent, "trials")); err == nil {
				return filepath.Clean(filepath.Join(path, up, ".."))
			}
		}
	}
}

// recogniseDir recognises a benchmark, a part of one, and what lies around one.
func recogniseDir(path string) Kind {
	if layout, err := layoutOf(path); err == nil && layout.format != "" {
		return Kind{Format: layout.format, what: "a benchmark (" + string(layout.format) + ")", todo: takesResults}
	}
	if campaign := campaignOf(path); campaign != "" {
		return Kind{what: "a part of a campaign", todo: "name the campaign, " + campaign}
	}
	within := benchmarksIn(path, 2)
	switch n := len(within); {
	case n == 1:
		return Kind{what: "a directory around a benchmark", todo: "name that, " + within[0]}
	case n > 1:
		return Kind{what: "a directory of several benchmarks", todo: "name one of them: " + strings.Join(within[:min(n, 3)], ", ")}
	}
	return Kind{}
}

// benchmarksIn finds benchmarks in a directory, so many levels deep.
func benchmarksIn(dir string, levels int) []string {
	entries, err := os.ReadDir(dir)
	const most = 100
	if err != nil || len(entries) > most {
		return nil
	}
	var found []string
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			if layout, err := layoutOf(path); err == nil && layout.format != "" {
				found = append(found, path)
			} else if levels > 1 {
				found = append(found, benchmarksIn(path, levels-1)...)
			}
		} else if strings.HasSuffix(path, ".pth") || strings.HasSuffix(path, ".pickle.pbz2") {
			if k, err := Recognise(path); err == nil && k.Format != "" {
				found = append(found, path)
			}
		}
	}
	return found
}
