package importer

import (
	"bytes"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"nb201/data/datatest"
)

func TestReadHeading(t *testing.T) {
	for line, want := range map[string]heading{
		"label,p0,p1,p2,p3":        {header: true, names: true, label: "label"},
		" Label ,p0,p1,p2,p3":      {header: true, names: true, label: "Label"},
		"p0,p1,p2,p3,TARGET":       {header: true, names: true, label: "TARGET", place: 4},
		"y,1x1,1x2,2x1,2x2":        {header: true, names: true, label: "y"},
		"p0,p1,class,p2,p3":        {header: true, names: true, label: "class", place: 2},
		"digit,p0,p1,p2,p3":        {header: true, names: true},
		"class,label,p0,p1,p2":     {header: true, names: true}, // it is not clear which
		"0,1,2,3,4":                {header: true},
		"1,2,3,4,5":                {header: true},
		"label,0,1,2,3":            {header: true, label: "label"},
		"digit,1,2,3,4":            {header: true, label: "digit"},
		"0,1,2,3,digit":            {header: true, label: "digit", place: 4},
		",0,1,2,3,4":               {header: true, index: true},
		",label,p0,p1,p2,p3":       {header: true, names: true, index: true, label: "label"},
		"Unnamed: 0,p0,p1,p2,p3,y": {header: true, names: true, index: true, label: "y", place: 4},
		",label,0,1,2,3":           {header: true, index: true, label: "label"},
		"5,0,0,12,255":             {},
		"2,3,4,5,6":                {}, // begins with neither 0 nor 1
		"0,1,2,3,5":                {},
		"0,1,2":                    {}, // too few to decide
		"cat,12,7,0,255":           {}, // an image with a wrong label
		"label,12,7,0,255":         {},
		"5,12,x,0,255":             {},
		"0,0.1,0.2,0.3,0.4":        {},
		"0.5,0.1,0.2,0.3,0.4":      {},
		"":                         {header: true, names: true, index: true},
		"-1,0,1,2,3":               {},
	} {
		if got := readHeading(strings.Split(line, ",")); got != want {
			t.Errorf("%q: %+v, want %+v", line, got, want)
		}
	}
}

// lines returns a CSV file of 12 grey images of 2x2 pixels. Their labels, 0 and 1, are first
// or last. Each line begins with before.
func lines(header, before string, last bool) []byte {
	var out strings.Builder
	out.WriteString(header)
	for i := range 12 {
		pixels := fmt.Sprintf("%d,%d,%d,%d", 20*i, 255-i, 7, 3*i)
		out.WriteString(strings.ReplaceAll(before, "N", fmt.Sprint(i)))
		if last {
			fmt.Fprintf(&out, "%s,%d\n", pixels, i%2)
		} else {
			fmt.Fprintf(&out, "%d,%s\n", i%2, pixels)
		}
	}
	return []byte(out.String())
}

// The header says where the labels are, and the report how header and labels were read.
func TestHeaders(t *testing.T) {
	const otherwise = ", because neither a header nor --label says otherwise"
	const first, last = "labels: the first of 5 columns", "labels: the last of 5 columns"
	for _, c := range []struct {
		name, label string
		train, test []byte // without test, it is drawn
		table       string
		note        string
	}{
		{"none", "", lines("", "", false), nil, "header: none; " + first + otherwise, ""},
		{"none, label last", "last", lines("", "", true), nil, "header: none; " + last, ""},
		{"named first", "", lines("Label,a,b,c,d\n", "", false), nil, `header: skipped; ` + first + `, "Label"`, ""},
		{"named last", "", lines("\xef\xbb\xbfa,b,c,d,class\n", "", true), nil, `header: skipped; ` + last + `, "class"`, ""},
		{"named last, said so", "last", lines("a,b,c,d,Y\n", "", true), nil, `header: skipped; ` + last + `, "Y"`, ""},
		{"no name for labels, but said", "last", lines("a,b,c,d,digit\n", "", true), nil, "header: skipped; " + last, ""},
		{"numbers", "", lines("0,1,2,3,4\n", "", false), nil, "header: skipped; " + first + otherwise, ""},
		{"numbers from 1, label last", "last", lines("1,2,3,4,5\n", "", true), nil, "header: skipped; " + last, ""},
		{"numbered pixels, label last", "", lines("0,1,2,3,digit\n", "", true), nil, `header: skipped; ` + last + `, "digit"`, ""},
		{"index", "", lines(",label,0,1,2,3\n", "N,", false), nil, `header: skipped; ` + first + `, "label"`, "a.csv: its first column was ignored"},
		{"index of numbers", "", lines("Unnamed: 0,0,1,2,3,4\n", "N,", false), nil, "header: skipped; " + first + otherwise, "its first column was ignored"},
		{"one header of two", "", lines("a,b,c,d,target\n", "", true), lines("", "", true), `header: skipped in mnist_train.csv, none in mnist_test.csv; ` + last + `, "target"`, ""},
		{"another of two", "", lines("", "", true), lines("a,b,c,d,target\n", "", true), `header: none in mnist_train.csv, skipped in mnist_test.csv; ` + last + `, "target"`, ""},
		{"two headers", "", lines("label,a,b,c,d\n", "", false), lines("label,a,b,c,d\n", "", false), `header: skipped; ` + first + `, "label"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			o := options(t, dir)
			o.Size, o.Label = 4, c.label
			if c.test == nil {
				write(t, dir, map[string][]byte{"a.csv": c.train})
				o.Source, o.Test = filepath.Join(dir, "a.csv"), 0.25
			} else {
				write(t, dir, map[string][]byte{"mnist_train.csv": c.train, "mnist_test.csv": c.test, "mnist_val.csv": {}})
				c.note = "tables left out: mnist_val.csv"
			}
			report, _ := imported(t, o)
			if report.Table != c.table || !slices.Equal(report.Classes, []string{"0", "1"}) {
				t.Errorf("table %q, classes %v", report.Table, report.Classes)
			}
			want := Images{Train: 8, Test: 4}
			if c.test != nil {
				want = Images{Train: 12, Test: 12}
			}
			if report.Images != want || strings.Join(report.Notes, "; ") != c.note && (c.note == "" || !strings.Contains(strings.Join(report.Notes, "; "), c.note)) {
				t.Errorf("%+v, notes %q", report.Images, report.Notes)
			}
		})
	}
}

func TestHeadersRefused(t *testing.T) {
	for _, c := range []struct {
		name, label string
		files       map[string][]byte
		want        []string
	}{
		{"contradicts", "first", map[string][]byte{"train.csv": lines("a,b,c,d,label\n", "", true)}, []string{`train.csv: by its header the labels are in the last column ("label"), but --label puts them in the first; correct one of them`}},
		{"contradicts too", "last", map[string][]byte{"train.csv": lines("y,b,c,d,e\n", "", false)}, []string{`by its header the labels are in the first column ("y"), but --label puts them in the last`}},
		{"two headers", "", map[string][]byte{"train.csv": lines("a,b,c,d,label\n", "", true), "test.csv": lines("label,a,b,c,d\n", "", false)}, []string{`test.csv: by its header the labels are in the first column ("label"), but `, `train.csv puts them in the last`}},
		{"amid", "", map[string][]byte{"train.csv": lines("a,b,label,c,d\n", "", false)}, []string{`names column 3 of 5 "label"`}},
		{"no name for labels", "", map[string][]byte{"train.csv": lines("digit,a,b,c,d\n", "", false)}, []string{"train.csv: the header has no column label, class, target or y; say where the labels are with --label"}},
		{"a wrong label", "", map[string][]byte{"train.csv": lines("cat,9,8,7,6\n", "", false)}, []string{`train.csv: line 1 has the label "cat", which is not a whole number`}},
		{"a wrong label last", "last", map[string][]byte{"train.csv": lines("9,8,7,6,label\n", "", true)}, []string{`line 1 has the label "label", which is not a whole number`}},
		{"a wrong pixel", "", map[string][]byte{"train.csv": lines("1,9,8,x,6\n", "", false)}, []string{`line 1 has the pixel "x"`}},
		{"index without labels", "", map[string][]byte{"train.csv": []byte(",0,1,2,3,4,5,6,7,8\n0,9,8,7,6,5,4,3,2,1\n")}, []string{"the first line has 9 values after the index that pandas writes"}},
		{"UTF-16", "", map[string][]byte{"train.csv": []byte("\xff\xfe1\x00,\x009\x00")}, []string{"train.csv: the text is in UTF-16 or UTF-32"}},
		{"second file", "", map[string][]byte{"train.csv": lines("", "", false), "test.csv": append(lines("label,a,b,c,d\n", "", false), "1,2,3,4,256\n"...)}, []string{`test.csv: line 14 has the pixel "256"`}},
		{"two to train", "", map[string][]byte{"train.csv": lines("", "", false), "train.csv.gz": compress(t, lines("", "", false))}, []string{"each of train.csv, train.csv.gz could be the training set"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, c.files)
			o := options(t, dir)
			o.Size, o.Label = 4, c.label
			if c.files["test.csv"] == nil {
				o.Test = 0.25
			}
			refused(t, o, c.want...)
		})
	}
}

// Tables that people filed.
func TestTableFiles(t *testing.T) {
	o := options(t, filepath.Join("testdata", "label-last.csv"))
	o.Test = 0.25
	report, _ := imported(t, o)
	if len(report.Classes) != 10 || report.Table != `header: skipped; labels: the last of 17 columns, "label"` || report.Images != (Images{Train: 60, Test: 20}) {
		t.Errorf("%+v", report)
	}
	o = options(t, filepath.Join("testdata", "numeric-header.csv"))
	o.Test = 0.25
	report, _ = imported(t, o)
	if report.Images != (Images{Train: 8, Test: 4}) || report.Table != "header: skipped; labels: the first of 17 columns, because neither a header nor --label says otherwise" {
		t.Errorf("%+v", report)
	}
}

// Whole numbers of at most 1 are black and white, in arrays and tables, and noted.
func TestBinary(t *testing.T) {
	report, ds := imported(t, options(t, filepath.Join("testdata", "binary.npz")))
	if note := strings.Join(report.Notes, "; "); note != "the images are of type uint8 with no value above 1: they were read on a scale of 0 to 1" {
		t.Errorf("notes %q", note)
	}
	if mean := report.Mean[0]; mean < 120 || mean > 135 || slices.Max(ds.Train.Images.Pixels) != 255 {
		t.Errorf("mean %v", report.Mean)
	}
	grey := bytes.Repeat([]byte{0, 1, 1, 0}, 4*12)
	const note = "with no value above 1: they were read on a scale of 0 to 1"
	labels := collect("npy", datatest.Synth(12, 4, 2, 1), datatest.Synth(12, 4, 2, 1))["y_train.npy"]
	npys := func(train, test []byte) map[string][]byte {
		same := func(raw []byte, v byte) []byte { return append(raw, v, 0) }
		return map[string][]byte{"X_train.npy": array("u2", []int{12, 4, 4}, train, same), "y_train.npy": labels, "X_test.npy": array("u2", []int{12, 4, 4}, test, same), "y_test.npy": labels}
	}
	table := func(value string) []byte { return []byte(strings.Repeat("0,0,1,1,0\n1,1,0,0,"+value+"\n", 6)) }
	for name, files := range map[string]map[string][]byte{
		"int16": npys(grey, grey),
		"CSV":   {"train.csv": table("1"), "test.csv": table("1")},
	} {
		dir := t.TempDir()
		write(t, dir, files)
		o := options(t, dir)
		o.Size = 4
		report, ds := imported(t, o)
		if notes := strings.Join(report.Notes, "; "); !strings.Contains(notes, note) && notes != "no pixel is above 1: they were read on a scale of 0 to 1" {
			t.Errorf("%s: notes %q", name, notes)
		}
		if !near(report.Mean, [3]float64{127.5, 127.5, 127.5}) || slices.Max(ds.Train.Images.Pixels) != 255 || slices.Min(ds.Train.Images.Pixels) != 0 {
			t.Errorf("%s: mean %v", name, report.Mean)
		}
	}
	bright := slices.Clone(grey)
	bright[len(bright)-1] = 2
	for want, files := range map[string]map[string][]byte{
		"image 11 of X_test has the value 2, but must be from 0 to 1":                 npys(grey, bright),
		`test.csv: line 2 has the pixel "2", which is not a whole number from 0 to 1`: {"train.csv": table("1"), "test.csv": table("2")},
	} {
		dir := t.TempDir()
		write(t, dir, files)
		o := options(t, dir)
		o.Size = 4
		refused(t, o, want)
	}
	// One value of 2 makes all of them whole numbers of 255.
	dir := t.TempDir()
	write(t, dir, npys(bright, bright))
	if report, ds := imported(t, options(t, dir)); slices.Max(ds.Train.Images.Pixels) != 2 || strings.Contains(strings.Join(report.Notes, "; "), "with no value above 1") {
		t.Errorf("notes %q", report.Notes)
	}
}
