package cell

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nb201/internal/golden"
	"nb201/internal/usage"
)

// widthsOf returns the architecture that a string of the size search space names.
func widthsOf(t testing.TB, text string) Widths {
	t.Helper()
	a, err := Size{}.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	return a.(Widths)
}

func TestGoldenSizeArchs(t *testing.T) {
	var vectors struct {
		Count  int
		SHA256 string `json:"sha256_joined_newline_no_trailing"`
		Archs  map[int]string
	}
	golden.Load(t, "sss_archs.json", &vectors)
	var lines []string
	for i, a := range (Size{}).All() {
		lines = append(lines, a.String())
		again, err := Size{}.Parse(a.String())
		if err != nil || again != a || a.Index() != i || a.Class() != i {
			t.Fatalf("architecture %d, %s, reads as %v, %v with index %d and class %d", i, a, again, err, a.Index(), a.Class())
		}
	}
	if len(lines) != vectors.Count || len(lines) != (Size{}).Count() || sha(strings.Join(lines, "\n")) != vectors.SHA256 {
		t.Errorf("%d strings with SHA-256 %s, want %d with %s", len(lines), sha(strings.Join(lines, "\n")), vectors.Count, vectors.SHA256)
	}
	for i, want := range vectors.Archs {
		if a, err := (Size{}).ByIndex(i); err != nil || a.String() != want {
			t.Errorf("architecture %d is %v, %v; want %s", i, a, err, want)
		}
	}
}

func TestGoldenSizeFlops(t *testing.T) {
	var vectors struct {
		Rows map[int]map[int][2]float64
	}
	golden.Load(t, "sss_flops.json", &vectors)
	for i, row := range vectors.Rows {
		a, err := Size{}.ByIndex(i)
		if err != nil {
			t.Fatal(err)
		}
		for classes, want := range row {
			n := Network{Arch: a, Classes: classes, Size: 32}
			if classes == 120 {
				n.Size = 16
			}
			if n.FLOPs() != want[0] || n.Params() != want[1] {
				t.Errorf("%s, %d classes: %v and %v, want exactly %v", a, classes, n.FLOPs(), n.Params(), want)
			}
		}
	}
}

func TestGoldenSizeStateKeys(t *testing.T) {
	var vectors struct {
		Cases []struct {
			Arch  string `json:"arch_str"`
			State [][]any
		}
	}
	golden.Load(t, "sss_state.json", &vectors)
	for _, c := range vectors.Cases {
		var got []string
		for _, tensor := range (Network{Arch: widthsOf(t, c.Arch), Classes: 10, Size: 32}).Tensors() {
			dtype := "float32"
			if tensor.Role == BNCount {
				dtype = "int64"
			}
			got = append(got, fmt.Sprint(tensor.Name, " ", tensor.Shape, " ", dtype))
		}
		var want []string
		for _, entry := range c.State {
			want = append(want, fmt.Sprintf("%v %v %v", entry...))
		}
		if len(want) == 0 || !slices.Equal(got, want) {
			t.Errorf("%s: %d tensors, want %d; first difference: %s", c.Arch, len(got), len(want), firstDifference(got, want))
		}
	}
}

// The number of tensors says which cells project: 6 more for each of two cells.
func TestProjections(t *testing.T) {
	counts := map[int]int{}
	for _, a := range (Size{}).All() {
		counts[len(Network{Arch: a, Classes: 10, Size: 32}.Tensors())]++
	}
	if counts[129] != 512 || counts[135] != 2*3584 || counts[141] != 25088 || len(counts) != 3 {
		t.Errorf("numbers of tensors: %v", counts)
	}
}

// The passes compute what FLOPs counts, and move as much as the maps are wide.
func TestPassesOfSizes(t *testing.T) {
	narrow := Network{Arch: widthsOf(t, "8:8:8:8:8"), Classes: 10, Size: 32}
	wide := Network{Arch: widthsOf(t, "64:64:64:64:64"), Classes: 10, Size: 32}
	for _, n := range []Network{narrow, wide, {Arch: widthsOf(t, "24:40:56:8:64"), Classes: 10, Size: 32}} {
		flop := 0.0
		for _, p := range n.EvaluationPasses(1, 4) {
			flop += p.FLOP / 2e6
		}
		want := n.FLOPs()
		if flop < want*(1-1e-9) || flop > want*(1+1e-9) {
			t.Errorf("%s: passes of %v MFLOPs, want %v", n.Arch, flop, want)
		}
	}
	image := 3 * 32 * 32 * 4.0
	a, b := narrow.TrainingPasses(1, 4).Traffic(), wide.TrainingPasses(1, 4).Traffic()
	if got := (b.Forward - image) / (a.Forward - image); got != 8 {
		t.Errorf("maps of 64 channels move %v times as much as those of 8", got)
	}

	// 8:8:16:8:8 in 4x4: the second cell projects, from 8 channels of 2x2 to 16.
	m := Network{Arch: widthsOf(t, "8:8:16:8:8"), Classes: 10, Size: 4}.Modules()[2]
	passes, connected := m.passes(true)
	var got []string
	for _, p := range passes {
		got = append(got, fmt.Sprintf("%s %v %d/%d", p.layer, p.backward, p.maps, p.inputs))
	}
	want := []string{ // maps read and written, and those of them with 8 channels
		"nor_conv_3x3 false 2/1", "nor_conv_3x3 true 2/0", "nor_conv_3x3 true 5/3",
		"nor_conv_3x3 false 2/1", "nor_conv_3x3 true 2/0", "nor_conv_3x3 true 5/3",
		"nor_conv_3x3 false 2/0", "nor_conv_3x3 true 2/0", "nor_conv_3x3 true 4/0",
		"skip_connect false 2/1", "skip_connect true 2/0", "skip_connect true 4/2",
		"nor_conv_3x3 false 2/0", "nor_conv_3x3 true 2/0", "nor_conv_3x3 true 5/0",
		"nor_conv_3x3 false 2/0", "nor_conv_3x3 true 2/0", "nor_conv_3x3 true 4/0",
		"sum false 3/0", "sum false 4/0",
	}
	if !slices.Equal(got, want) || !connected {
		t.Errorf("passes %q, want %q; connected %v", got, want, connected)
	}
}

func TestParseOfSizesNamesThePlace(t *testing.T) {
	for text, want := range map[string]string{
		"8:8":                    "byte 3: want 5 widths joined by ':' as in 64:64:64:64:64, have 2",
		"8:8:8:8:8:8":            "byte 9: want 5 widths joined by ':' as in 64:64:64:64:64, have 6",
		"8:8:8:8:":               `byte 8: width 5 is ""; use a multiple of 8 from 8 to 64`,
		"8:12:8:8:8":             `byte 2: width 2 is "12"`,
		"72:8:8:8:8":             `byte 0: width 1 is "72"`,
		"0:8:8:8:8":              `byte 0: width 1 is "0"`,
		"-8:8:8:8:8":             `byte 0: width 1 is "-8"`,
		"08:8:8:8:8":             `byte 0: width 1 is "08"`,
		"8:8: 8:8:8":             `byte 4: width 3 is " 8"`,
		"8:8:8:8:8\n":            `byte 8: width 5 is "8\n"`,
		"8:8:8:8:99999999999999": `byte 8: width 5 is "99999999999999"`,
	} {
		_, err := Size{}.Parse(text)
		if err == nil || !strings.HasPrefix(err.Error(), fmt.Sprintf("architecture %q, %s", text, want)) || !usage.Is(err) {
			t.Errorf("Parse(%q) gives %v, want a usage error with %s", text, err, want)
		}
	}
}

func TestResolveKnowsTheSpace(t *testing.T) {
	for _, s := range Spaces() {
		for _, name := range []string{"0", strconv.Itoa(s.Count() - 1)} {
			a, err := Resolve(s, name)
			if err != nil || a.Space() != s {
				t.Errorf("%s of the %s is %v, %v", name, s.Title(), a, err)
				continue
			}
			if again, err := Parse(a.String()); err != nil || again != a {
				t.Errorf("%s parses as %v, %v", a, again, err)
			}
			for _, other := range Spaces() {
				if _, err := Resolve(other, a.String()); (err == nil) != (other == s) || err != nil && !usage.Is(err) {
					t.Errorf("%s in the %s: %v", a, other.Title(), err)
				}
			}
		}
		if _, err := Resolve(s, strconv.Itoa(s.Count())); err == nil || !strings.Contains(err.Error(), s.Title()) {
			t.Errorf("an index out of range gives %v", err)
		}
		if name, err := ParseName(s.Name().String()); err != nil || name != s.Name() || name.Space() != s || name.Check() != nil {
			t.Errorf("the name %s reads as %q, %v", s.Name(), name, err)
		}
		n := Network{Arch: s.Costliest(), Classes: 10, Size: 32}
		n.Channels, n.Cells = s.Skeleton()
		if err := n.Validate(); err != nil {
			t.Error(err)
		}
		for _, a := range s.All() {
			n.Arch = a
			if most := (Network{s.Costliest(), n.Channels, n.Cells, 10, 32}); n.Params() > most.Params() || n.FLOPs() > most.FLOPs() {
				t.Fatalf("%s costs more than %s", a, s.Costliest())
			}
		}
		if sample := s.Sample(); len(sample) < 2 || !slices.IsSorted(sample) {
			t.Errorf("the sample of the %s is %v", s.Title(), sample)
		}
	}
	for _, name := range []Name{"tss", "SSS", "x"} {
		if err := name.Check(); !usage.Is(err) {
			t.Errorf("files may contain the space %q: %v", string(name), err)
		}
	}
}

func TestSkeletonOfSizes(t *testing.T) {
	n := Network{Arch: widthsOf(t, "8:8:8:8:8"), Channels: 16, Cells: 5, Classes: 10, Size: 32}
	if err := n.Validate(); !usage.Is(err) || !strings.Contains(err.Error(), "give neither") {
		t.Errorf("C and N give %v", err)
	}
	for _, a := range []Widths{{}, {8, 8, 8, 8, 7}, {8, 8, 8, 8, 72}} {
		if err := (Network{Arch: a, Classes: 10, Size: 32}).Validate(); !usage.Is(err) {
			t.Errorf("%v gives %v", a, err)
		}
	}
}

func TestSVGOfSizes(t *testing.T) {
	for _, text := range []string{"8:8:8:8:8", "64:64:64:64:64", "24:40:56:8:64"} {
		a := widthsOf(t, text)
		svg := a.SVG()
		if !IsSVG(svg) || !bytes.Contains(svg, []byte(text)) || !bytes.Contains(svg, fmt.Appendf(nil, "Architecture %d", a.Index())) {
			t.Errorf("the drawing of %s lacks its names", text)
		}
		d := xml.NewDecoder(bytes.NewReader(svg))
		for {
			if _, err := d.Token(); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				t.Fatalf("%s: %v", text, err)
			}
		}
	}
}

func FuzzParseSizes(f *testing.F) {
	for _, text := range []string{"8:8:8:8:8", "64:64:64:64:64", "", ":::::", "8:8:8:8:8:", "\xff:8"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		a, err := Size{}.Parse(text)
		if err == nil && a.String() != text {
			t.Errorf("%q reads as %s", text, a)
		}
		if err != nil && (!usage.Is(err) || strings.ContainsAny(err.Error(), "\n\r")) {
			t.Errorf("%q gives the error %q", text, err)
		}
	})
}
