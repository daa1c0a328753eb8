package plot

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode"

	"nb201/internal/usage"
	"nb201/results"
	"nb201/results/benchmark"
)

// trial returns a trial whose accuracies on the training set and x-valid are the values.
func trial(dataset, schedule string, seed uint32, values ...float64) Trial {
	top1 := benchmark.Measures{Top1: benchmark.Consecutive(0, values)}
	return Trial{schedule, &benchmark.ResultsCount{
		Trial: results.Trial{Dataset: dataset, Epochs: len(values), Seed: seed}, Training: top1,
		Evaluation: []benchmark.SetMeasures{{Set: "x-valid", Measures: top1}},
	}}
}

const genotype = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|"

// text returns the texts of an SVG document, one a line, and checks that the document is
// well-formed. It leaves out the style sheet, which contains the font.
func text(t *testing.T, svg []byte) string {
	t.Helper()
	var all strings.Builder
	element := ""
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return all.String()
		}
		if err != nil {
			t.Fatal(err)
		}
		switch token := token.(type) {
		case xml.StartElement:
			element = token.Name.Local
			if element == "script" || element == "b" {
				t.Errorf("there is an element %q", element)
			}
		case xml.CharData:
			if element == "text" && len(bytes.TrimSpace(token)) > 0 {
				all.Write(append(token, '\n'))
			}
		}
	}
}

// encode returns the file of a chart.
func encode(t *testing.T, c *Chart, f Format) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := c.Write(&b, f); err != nil {
		t.Fatal(err)
	}
	if !IsPlot(b.Bytes()[:1024]) {
		t.Errorf("the %s is not recognised as a plot", f)
	}
	return b.Bytes()
}

// write writes a chart in both formats, checks both, and returns the texts of the SVG.
func write(t *testing.T, c *Chart) string {
	t.Helper()
	image, err := png.Decode(bytes.NewReader(encode(t, c, PNG)))
	if err != nil || image.Bounds().Dx() < 1000 {
		t.Errorf("the PNG is %v: %v", image.Bounds(), err)
	}
	return text(t, encode(t, c, SVG))
}

// The same data give the same files, whatever the order in which architectures are read.
func TestSameBytes(t *testing.T) {
	best := &benchmark.Best{Index: 1, Accuracy: 50, FLOPs: 3}
	a, b := benchmark.Compared{Index: 1, Accuracy: 50, FLOPs: 3}, benchmark.Compared{Index: 2, Accuracy: 40, FLOPs: 4}
	for _, f := range []Format{SVG, PNG} {
		var files [][]byte
		for _, compared := range [][]benchmark.Compared{{a, b}, {b, a}} {
			curves, err1 := Curves(5, genotype, "", []Trial{trial("cifar10", "12", 1, 10, 50), trial("cifar100", "12", 2, 20, 60)})
			costs, err2 := Costs(best, compared)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			files = append(files, slices.Concat(encode(t, curves, f), encode(t, costs, f)))
		}
		if !bytes.Equal(files[0], files[1]) {
			t.Errorf("two %s files of the same data differ", f)
		}
	}
}

func TestCurves(t *testing.T) {
	trials := []Trial{
		trial("cifar10", "12", 1, 10, 50, 60), trial("cifar10", "12", 2, 20, 60, 70),
		trial("cifar100", "12", 1, 5, 20), trial("cifar100", "200", 1, 7),
	}
	for _, test := range []struct {
		set  string
		n    int // trials
		want string
	}{
		{"", 4, "architecture 5\n" + genotype + "\nmean over the seeds, in a band of one standard deviation\n"},
		{"x-valid", 2, "architecture 5\n" + genotype + "\ncifar10, schedule 12, mean over the seeds, in a band of one standard deviation\n"},
		{"train", 1, "architecture 5\n" + genotype + "\ncifar10, schedule 12\n"},
	} {
		c, err := Curves(5, genotype, test.set, trials[:test.n])
		if err != nil {
			t.Fatal(err)
		}
		got := write(t, c)
		legend := map[int]string{1: "train\n", 2: "x-valid, 2 seeds\n", 4: "cifar10, schedule 12, train, 2 seeds\n" +
			"cifar10, schedule 12, x-valid, 2 seeds\ncifar100, schedule 12, train\ncifar100, schedule 12, x-valid\n" +
			"cifar100, schedule 200, train\ncifar100, schedule 200, x-valid\n"}[test.n]
		if !strings.HasPrefix(got, test.want) || !strings.HasSuffix(got, legend) || !strings.Contains(got, "\nepoch\n0\n1\n") ||
			!strings.Contains(got, "top-1 accuracy, %\n") || c.LeftOut != 0 {
			t.Errorf("%q of %d trials shows\n%s", test.set, test.n, got)
		}
	}
	c, err := Curves(11, "8:8:8:16:32", "train", trials[:1])
	if err != nil {
		t.Fatal(err)
	}
	if got := write(t, c); !strings.HasPrefix(got, "architecture 11\n8:8:8:16:32\ncifar10, schedule 12\n") {
		t.Errorf("an architecture of the size search space shows\n%s", got)
	}
	if mean, deviation := meanAndDeviation([]float64{1, 2, 6}); mean != 3 || math.Abs(deviation-math.Sqrt(7)) > 1e-12 {
		t.Errorf("mean %v, deviation %v", mean, deviation)
	}
}

// Values that no accuracy has are left out and counted, whatever they are.
func TestImpossibleValues(t *testing.T) {
	wrong := []float64{math.NaN(), math.Inf(1), math.Inf(-1), 1e308, -1e308, 1e20, -1, 101}
	c, err := Curves(5, genotype, "train", []Trial{trial("cifar10", "12", 1, append(wrong, 50)...)})
	if err != nil || c.LeftOut != len(wrong) {
		t.Fatalf("%v, %d values left out", err, c.LeftOut)
	}
	write(t, c)
	for _, values := range [][]float64{{50}, {50, 50}, {50, math.Nextafter(50, 51)}, {0, 1e-300}, {100, 100.005}} {
		if c, err = Curves(5, genotype, "", []Trial{trial("cifar10", "12", 1, values...)}); err != nil {
			t.Fatal(err)
		}
		write(t, c)
	}
	far := trial("cifar10", "12", 1, 1)
	far.Training.Top1 = benchmark.Series{{Epoch: math.MinInt, Value: 1}, {Epoch: 3, Value: 1}, {Epoch: math.MaxInt, Value: 1}}
	if c, err = Curves(5, genotype, "train", []Trial{far}); err != nil || c.LeftOut != 2 {
		t.Fatalf("%v, %d values left out", err, c.LeftOut)
	}
	write(t, c)
	if _, err := Curves(5, genotype, "", []Trial{trial("cifar10", "12", 1, wrong...)}); !usage.Is(err) {
		t.Errorf("no value: %v", err)
	}

	best := &benchmark.Best{Index: 1, Accuracy: 1e308, FLOPs: math.NaN()}
	compared := []benchmark.Compared{{Index: 2, Accuracy: 5, FLOPs: 7}}
	for i, v := range wrong {
		compared = append(compared, benchmark.Compared{Index: 10 + i, Accuracy: v, FLOPs: 1})
	}
	for i, v := range []float64{math.NaN(), math.Inf(1), -1, 1e300} {
		compared = append(compared, benchmark.Compared{Index: 20 + i, Accuracy: 5, FLOPs: v})
	}
	if c, err = Costs(best, compared); err != nil || c.LeftOut != len(compared)-1 {
		t.Fatalf("%v, %d values left out", err, c.LeftOut)
	}
	write(t, c)
	if _, err := Costs(best, compared[1:2]); !usage.Is(err) {
		t.Errorf("no value: %v", err)
	}
}

// Names from files are shown as text.
func TestHostileNames(t *testing.T) {
	const name = "</text><script>alert(1)</script>&\"'\x1b[2J\u202e\x00\xff\ufffe画像\n]]>"
	hostile := trial(name, name, 1, 10, 20)
	hostile.Evaluation[0].Set = name
	c, err := Curves(5, name, "", []Trial{hostile, trial("x", strings.Repeat("long", 1000), 1, 5)})
	if err != nil {
		t.Fatal(err)
	}
	best := &benchmark.Best{Index: 1, Genotype: name, Dataset: name, Set: name, HP: name, Accuracy: 50, FLOPs: 3}
	costs, err := Costs(best, []benchmark.Compared{{Index: 1, Accuracy: 50, FLOPs: 3}})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []*Chart{c, costs} {
		got := write(t, c)
		const shown = `</text><script>alert(1)</script>&"'\x1b[2J\u202e\x00\xff\ufffe画像\n]]>`
		if !strings.Contains(got, shown) || strings.ContainsFunc(got, func(r rune) bool { return r != '\n' && !unicode.IsGraphic(r) }) {
			t.Errorf("the names are shown as\n%q", got)
		}
	}
}

func TestTooManyCurves(t *testing.T) {
	var trials []Trial
	for i := range MostLines + 1 {
		trials = append(trials, trial(fmt.Sprint("d", i), "12", 1, 10, 20))
	}
	if _, err := Curves(5, genotype, "train", trials); !usage.Is(err) || !strings.Contains(err.Error(), "36 curves") {
		t.Errorf("36 curves: %v", err)
	}
	c, err := Curves(5, genotype, "train", trials[1:])
	if err != nil {
		t.Fatal(err)
	}
	write(t, c)
	looks := map[string]bool{}
	for i := range MostLines {
		looks[fmt.Sprint(palette()[i%len(palette())], dashes()[i%len(dashes())])] = true
	}
	if len(looks) != MostLines {
		t.Errorf("%d lines have %d looks", MostLines, len(looks))
	}
}

// The chart of all architectures marks the best one, has labels that differ, and is not large.
func TestCosts(t *testing.T) {
	var compared []benchmark.Compared
	for i := range 15_625 {
		compared = append(compared, benchmark.Compared{Index: 15_624 - i, Accuracy: 84.8 + 0.1*math.Sin(float64(i)), FLOPs: 8 + float64(i*i%212)})
	}
	best := &benchmark.Best{
		Index: 7, Genotype: genotype, Dataset: "cifar10-valid", Set: "x-valid", HP: "12", Accuracy: 84.9, FLOPs: 100.25, Compared: len(compared),
	}
	c, err := Costs(best, compared)
	if err != nil {
		t.Fatal(err)
	}
	got := write(t, c)
	for _, want := range []string{
		"15625 architectures on x-valid after training on cifar10-valid with schedule 12\n", "best: architecture 7\n" + genotype + "\n",
		"\nMFLOPs\n", "\n84.72\n84.80\n84.88\n", "\narchitecture 7: 84.90 %, 100.25 MFLOPs\n",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the chart lacks %q:\n%s", want, got)
		}
	}
	if n := len(encode(t, c, SVG)); n > 3e6 {
		t.Errorf("the SVG has %d bytes", n)
	}
}

func TestFormatOf(t *testing.T) {
	for name, want := range map[string]Format{"a.svg": SVG, "dir.png/b.PNG": PNG, "c.pdf": "", "svg": "", "": "", "d.svg.gz": ""} {
		got, err := FormatOf(name)
		if got != want || (err == nil) != (want != "") || err != nil && (!usage.Is(err) || !strings.Contains(err.Error(), ".svg or .png")) {
			t.Errorf("%q: %q, %v", name, got, err)
		}
	}
	for _, head := range []string{"", "<?xml version=\"1.0\"?>\n<svg", "\x89PNG\r\n\x1a\n" + strings.Repeat("x", 100)} {
		if IsPlot([]byte(head)) {
			t.Errorf("%q is recognised as a plot", head)
		}
	}
}
