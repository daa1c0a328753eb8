package main

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"unicode/utf8"

	"nb201/cell"
	"nb201/internal/needs"
)

func TestArch(t *testing.T) {
	want := `architecture       3
genotype           |avg_pool_3x3~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|
isomorphism class  3

  ┌┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ none ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┐
  ├───────────── skip_connect ──────────────┐                    │
  │                                         ▼                    ▼
  0 ── avg_pool_3x3 ─▶ 1 ┄┄┄┄┄┄ none ┄┄┄┄┄▶ 2 ── skip_connect ─▶ 3
                       │                                         ▲
                       └┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ none ┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┘

         dataset  classes  image   C  N   MFLOPs   Mparams
   cifar10-valid       10  32x32  16  5  7.78305  0.073306
         cifar10       10  32x32  16  5  7.78305  0.073306
        cifar100      100  32x32  16  5  7.78890  0.079156
  ImageNet16-120      120  16x16  16  5  1.95340  0.080456
`
	for _, name := range []string{"3", "|avg_pool_3x3~0|+|skip_connect~0|none~1|+|none~0|none~1|skip_connect~2|"} {
		if stdout, stderr, code := nb201("arch", name); code != 0 || stderr != "" || stdout != want {
			t.Errorf("nb201 arch %s: code %d, stderr %q, stdout\n%s\nwant\n%s", name, code, stderr, stdout, want)
		}
	}
}

// TestDrawing checks that every picture names its six operations, in 64 columns, or on a narrow
// terminal in 57.
func TestDrawing(t *testing.T) {
	for i, arch := range (cell.Topology{}).All() {
		a := arch.(cell.Cell)
		want := map[string]int{}
		for _, op := range a {
			want[op.String()]++
		}
		for width, most := range map[int]int{0: 64, 60: 57, 65: 57, 66: 64} {
			lines := drawCell(a, width)
			for op, n := range want {
				if got := strings.Count(strings.Join(lines, "\n"), " "+op+" "); got != n {
					t.Fatalf("architecture %d: %s drawn %d times, not %d:\n%s", i, op, got, n, strings.Join(lines, "\n"))
				}
			}
			for _, line := range lines {
				if utf8.RuneCountInString(line) > most {
					t.Fatalf("architecture %d: too wide: %s", i, line)
				}
			}
		}
	}
}

func TestArchJSON(t *testing.T) {
	svg := filepath.Join(t.TempDir(), "cell.svg")
	for range 2 { // the second picture replaces the first
		stdout, stderr, code := nb201("arch", "5", "--json", "--dataset", "digits", "--channels", "4", "--cells", "1", "--svg", svg)
		if code != 0 || stderr != "" {
			t.Fatalf("code %d, stderr %q", code, stderr)
		}
		want := `{"index":5,"genotype":"|nor_conv_1x1~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|avg_pool_3x3~2|",` +
			`"isomorphism_class":5,` +
			`"lists":[[{"operation":"nor_conv_1x1","node":0}],[{"operation":"skip_connect","node":0},{"operation":"nor_conv_1x1","node":1}],` +
			`[{"operation":"nor_conv_3x3","node":0},{"operation":"none","node":1},{"operation":"avg_pool_3x3","node":2}]],` +
			`"matrix":[[0,0,0,0],[2,0,0,0],[1,2,0,0],[3,0,4,0]],` +
			`"costs":[{"dataset":"digits","classes":10,"image_size_pixels":16,"channels":4,"cells":1,"flops_millions":0.277674,"params_millions":0.008758}]}`
		if got := compact(t, stdout); got != want {
			t.Errorf("got  %s\nwant %s", got, want)
		}
	}
	f, err := os.Open(svg)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for d := xml.NewDecoder(f); err == nil; {
		_, err = d.Token()
	}
	if !errors.Is(err, io.EOF) {
		t.Errorf("the picture is not XML: %v", err)
	}
}

// The tables of all architectures, in CSV and as JSON, have the costs that nb201 arch shows for one.
func TestArchAll(t *testing.T) {
	file := filepath.Join(t.TempDir(), "space.csv")
	arguments := []string{"--dataset", "digits," + ownDataset(t), "--channels", "3", "--cells", "2"}
	stdout, stderr, code := nb201(append([]string{"arch", "--all", "--csv", file}, arguments...)...)
	if want := file + ": 15625 architectures in 6466 isomorphism classes, C=3, N=2, 2 dataset keys\n"; code != 0 || stderr != "" || stdout != want {
		t.Fatalf("code %d, stderr %q, stdout %q", code, stderr, stdout)
	}
	f, err := os.Open(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	rows, err := csv.NewReader(f).ReadAll()
	if err != nil || len(rows) != 1+2*cell.Topologies {
		t.Fatalf("%d rows, %v", len(rows), err)
	}
	stdout, stderr, code = nb201(append([]string{"arch", "--all", "--json"}, arguments...)...)
	var all []archView
	if err := json.Unmarshal([]byte(stdout), &all); err != nil || len(all) != cell.Topologies || code != 0 || stderr != "" {
		t.Fatalf("%d architectures, %v, code %d, stderr %q", len(all), err, code, stderr)
	}
	for _, i := range []int{0, 1, 1462, 7812, 11472, 15624} {
		stdout, stderr, code := nb201(append([]string{"arch", strconv.Itoa(i), "--json"}, arguments...)...)
		var one archView
		if err := json.Unmarshal([]byte(stdout), &one); err != nil || code != 0 {
			t.Fatalf("%v, code %d, stderr %q", err, code, stderr)
		}
		if !reflect.DeepEqual(all[i], one) || len(one.Costs) != 2 {
			t.Errorf("the array has %+v, nb201 arch %d has %+v", all[i], i, one)
		}
		for k, c := range one.Costs {
			want := fmt.Sprint([]any{one.Index, one.Genotype, one.Class, c.Dataset, c.Channels, c.Cells, c.Classes, c.Size, c.FLOPs, c.Params})
			if got := fmt.Sprint(rows[1+2*i+k]); got != want {
				t.Errorf("the table has %s, nb201 arch %d has %s", got, i, want)
			}
		}
	}

	// What reads the table from a pipe or standard output gets nothing else.
	table, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	needs.System(t, syscall.Mkfifo(pipe, 0o666))
	read := make(chan []byte)
	go func() { text, _ := os.ReadFile(pipe); read <- text }()
	stdout, stderr, code = nb201(append([]string{"arch", "--all", "--csv", pipe}, arguments...)...)
	if got := <-read; code != 0 || stderr != "" || stdout != "" || !bytes.Equal(got, table) {
		t.Errorf("code %d, stderr %q, stdout %q, %d bytes in the pipe, %d in the file", code, stderr, stdout, len(got), len(table))
	}
}

// compact rewrites a JSON document without white space; it fails if text is anything but one
// document.
func compact(t *testing.T, text string) string {
	t.Helper()
	var document json.RawMessage
	if err := json.Unmarshal([]byte(text), &document); err != nil {
		t.Fatalf("not one JSON document: %v\n%s", err, text)
	}
	short, err := json.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(short)
}
