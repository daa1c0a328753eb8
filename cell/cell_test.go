package cell

import (
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"nb201/internal/golden"
	"nb201/internal/usage"
)

const published = "../testdata/published"

// allNone is the shortest genotype string, the base of the spoilt ones below.
const allNone = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"

func parse(t testing.TB, s string) Cell {
	t.Helper()
	a, err := parseCell(s)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// listing is view over all architectures in official order, joined by newlines.
func listing(view func(Cell) string) string {
	lines := make([]string, 0, Topologies)
	for _, a := range official().archs {
		lines = append(lines, view(a))
	}
	return strings.Join(lines, "\n")
}

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

func readJSON(t *testing.T, name string, v any) {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join(published, name))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
}

func TestEveryStringIsThePublishedOneBothWays(t *testing.T) {
	f, err := os.Open(filepath.Join(published, "meta_archs.txt.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	archs := strings.Split(string(text), "\n")
	if len(archs) != Topologies {
		t.Fatalf("%d published strings, want %d", len(archs), Topologies)
	}
	for i, s := range archs {
		a, err := Topology{}.ByIndex(i)
		if err != nil {
			t.Fatal(err)
		}
		if a.String() != s {
			t.Fatalf("index %d is %s, published is %s", i, a, s)
		}
		if got := parse(t, s); got != a || got.Index() != i {
			t.Fatalf("%s parses to %s, index %d, want %d", s, got, got.Index(), i)
		}
		for _, name := range []string{s, fmt.Sprint(i), fmt.Sprintf("%06d", i)} {
			if got, err := Resolve(Topology{}, name); err != nil || got != a {
				t.Fatalf("Resolve(%q) is %v, %v", name, got, err)
			}
		}
	}
}

func TestGoldenArchs(t *testing.T) {
	var vectors struct {
		Count  int
		SHA256 string `json:"sha256_joined_newline_no_trailing"`
		Archs  map[int]string
	}
	golden.Load(t, "archs.json", &vectors)
	if vectors.Count != Topologies {
		t.Errorf("%d architectures, want %d", Topologies, vectors.Count)
	}
	if got := sha(listing(Cell.String)); got != vectors.SHA256 {
		t.Errorf("SHA-256 of all strings is %s, want %s", got, vectors.SHA256)
	}
	for i, s := range vectors.Archs {
		if a, err := (Topology{}).ByIndex(i); err != nil || a.String() != s {
			t.Errorf("index %d is %s (%v), want %s", i, a, err, s)
		}
		if got := parse(t, s).Index(); got != i {
			t.Errorf("%s has index %d, want %d", s, got, i)
		}
	}
}

func TestViewsAreThoseOfThePublishedClient(t *testing.T) {
	var want struct {
		Lists   string `json:"str2lists"`
		Matrix  string `json:"str2matrix"`
		Unique  string `json:"to_unique_str"`
		Classes int
	}
	readJSON(t, "client_views.json", &want)
	lists := listing(func(a Cell) string {
		var items []string
		for _, inputs := range a.Lists() {
			for _, in := range inputs {
				items = append(items, fmt.Sprintf("%s~%d", in.Op, in.Node))
			}
		}
		return strings.Join(items, " ")
	})
	if sha(lists) != want.Lists {
		t.Error("Lists differs from str2lists")
	}
	matrices := listing(func(a Cell) string {
		var items []string
		for _, row := range a.Matrix() {
			for _, op := range row {
				items = append(items, fmt.Sprint(op))
			}
		}
		return strings.Join(items, " ")
	})
	if sha(matrices) != want.Matrix {
		t.Error("Matrix differs from str2matrix")
	}
	if sha(listing(Cell.UniqueString)) != want.Unique {
		t.Error("UniqueString differs from to_unique_str")
	}
	if want.Classes != 6466 {
		t.Errorf("the client sees %d isomorphism classes", want.Classes)
	}
}

func TestListsAndMatrix(t *testing.T) {
	// The example in the docstrings of str2lists and str2matrix.
	a := parse(t, "|nor_conv_1x1~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|")
	lists := [][]Input{
		{{NorConv1x1, 0}},
		{{None, 0}, {None, 1}},
		{{None, 0}, {None, 1}, {SkipConnect, 2}},
	}
	if got := a.Lists(); !reflect.DeepEqual(got, lists) {
		t.Errorf("Lists is %v, want %v", got, lists)
	}
	matrix := [4][4]int{{}, {2}, {}, {0, 0, 1}}
	if got := a.Matrix(); got != matrix {
		t.Errorf("Matrix is %v, want %v", got, matrix)
	}
}

func TestIsomorphismClasses(t *testing.T) {
	members := make(map[int]int)
	unique := make(map[string]int) // unique string -> class
	for i, a := range official().archs {
		class := a.Class()
		u := a.UniqueString()
		if _, seen := unique[u]; !seen {
			unique[u] = i // the first index met is the smallest
		}
		if class != unique[u] {
			t.Fatalf("architecture %d is of class %d, want %d", i, class, unique[u])
		}
		members[class]++
	}
	if len(members) != 6466 {
		t.Errorf("%d isomorphism classes, want 6466", len(members))
	}
	tests := []struct {
		a, b string
		same bool
	}{
		// Node 1 is the input itself.
		{"|skip_connect~0|+|nor_conv_3x3~0|none~1|+|none~0|none~1|avg_pool_3x3~2|",
			"|skip_connect~0|+|none~0|nor_conv_3x3~1|+|none~0|none~1|avg_pool_3x3~2|", true},
		// What leaves a dead node does not count.
		{"|none~0|+|none~0|none~1|+|skip_connect~0|avg_pool_3x3~1|none~2|",
			"|none~0|+|none~0|none~1|+|skip_connect~0|nor_conv_3x3~1|none~2|", true},
		// The same function, but the published rule keeps zeros as terms of a sum.
		{"|nor_conv_3x3~0|+|avg_pool_3x3~0|none~1|+|none~0|skip_connect~1|nor_conv_1x1~2|",
			"|avg_pool_3x3~0|+|nor_conv_3x3~0|none~1|+|none~0|nor_conv_1x1~1|skip_connect~2|", false},
		{"|none~0|+|none~0|none~1|+|skip_connect~0|none~1|avg_pool_3x3~2|",
			"|none~0|+|none~0|none~1|+|skip_connect~0|none~1|nor_conv_3x3~2|", false},
		{"|none~0|+|none~0|none~1|+|none~0|none~1|nor_conv_1x1~2|", allNone, false},
	}
	for _, tt := range tests {
		if got := parse(t, tt.a).Class() == parse(t, tt.b).Class(); got != tt.same {
			t.Errorf("one class is %v, want %v:\n%s\n%s", got, tt.same, tt.a, tt.b)
		}
	}
}

func TestParseNamesThePlace(t *testing.T) {
	tests := []struct{ in, want string }{
		{"", "byte 0: want 3 nodes joined by '+' as in |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, have 1"},
		{"|none~0|+|none~0|none~1|", "byte 24: want 3 nodes joined by '+' as in |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, have 2"},
		{allNone + "+|none~0|", "byte 47: want 3 nodes joined by '+' as in |op~0|+|op~0|op~1|+|op~0|op~1|op~2|, have 4"},
		{"none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "byte 0: node 1 must begin with '|'"},
		{"|none~0|+none~0|none~1|+|none~0|none~1|none~2|", "byte 9: node 2 must begin with '|'"},
		{"|none~0|+|none~0|none~1|+|none~0|none~1|none~2", "byte 46: node 3 must end with '|'"},
		{"|+|none~0|none~1|+|none~0|none~1|none~2|", "byte 1: node 1 must end with '|'"},
		{"|none~0|+|none~0|+|none~0|none~1|none~2|", "byte 9: want 2 edges into node 2, have 1"},
		{"|none~0|none~0|+|none~0|none~1|+|none~0|none~1|none~2|", "byte 0: want 1 edges into node 1, have 2"},
		{"||+|none~0|none~1|+|none~0|none~1|none~2|", `byte 1: edge 1<-0 is "", want operation~0`},
		{"|none~0|+|none~0|none|+|none~0|none~1|none~2|", `byte 17: edge 2<-1 is "none", want operation~1`},
		{"|none~0|+|none~0|none~1|+|none~0|none~1|max_pool_3x3~2|", `byte 40: edge 3<-2 has unknown operation "max_pool_3x3"; use one of none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3`},
		{"|none ~0|+|none~0|none~1|+|none~0|none~1|none~2|", `byte 1: edge 1<-0 has unknown operation "none "`},
		{"|none~0|+|none~1|none~0|+|none~0|none~1|none~2|", `byte 15: edge 2<-0 has input node "1", want 0`},
		{"|none~00|+|none~0|none~1|+|none~0|none~1|none~2|", `byte 6: edge 1<-0 has input node "00", want 0`},
		{allNone + "\n", "byte 48: node 3 must end with '|'"},
		{"|none~0|+|\xff\n~0|none~1|+|none~0|none~1|none~2|", `byte 10: edge 2<-0 has unknown operation "\xff\n"`},
	}
	for _, tt := range tests {
		_, err := Topology{}.Parse(tt.in)
		if err == nil {
			t.Errorf("Parse(%q) accepts it", tt.in)
			continue
		}
		if want := fmt.Sprintf("genotype string %q, %s", tt.in, tt.want); !strings.HasPrefix(err.Error(), want) {
			t.Errorf("Parse(%q):\n got %v\nwant %s", tt.in, err, want)
		}
		if !usage.Is(err) {
			t.Errorf("Parse(%q) returns %v, which is not a usage error", tt.in, err)
		}
	}
}

func TestResolveRefuses(t *testing.T) {
	tests := []struct{ in, want string }{
		{"15625", "architecture index 15625 is out of range; use 0 to 15624"},
		{"-1", "architecture index -1 is out of range; use 0 to 15624"},
		{"99999999999999999999", "architecture index 99999999999999999999 is out of range; use 0 to 15624"},
		{"", `unknown architecture ""; use an index from 0 to 15624 or a genotype string`},
		{"1e3", `unknown architecture "1e3"`},
		{"resnet", `unknown architecture "resnet"`},
		{"|none~0|", `genotype string "|none~0|", byte 8: want 3 nodes`},
	}
	for _, tt := range tests {
		if _, err := Resolve(Topology{}, tt.in); err == nil || !strings.HasPrefix(err.Error(), tt.want) || !usage.Is(err) {
			t.Errorf("Resolve(%q) gives %v, want the usage error %s", tt.in, err, tt.want)
		}
	}
}

func TestIndexOfAnImpossibleArchitecturePanics(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	Cell{5: AvgPool3x3 + 1}.Index()
}

func FuzzParse(f *testing.F) {
	for i := 0; i < Topologies; i += 1000 {
		a, _ := Topology{}.ByIndex(i)
		f.Add(a.String())
	}
	f.Add("")
	f.Add("||+||+||")
	f.Add("|none~0|+|none~0|none~1|+|none~0|none~1|none~2|+|none~0|")
	f.Add("|none~0|+|none~1|none~0|+|none~0|none~1|none~\xff|")
	f.Fuzz(func(t *testing.T, s string) {
		a, err := Topology{}.Parse(s)
		if err == nil {
			if a.String() != s {
				t.Errorf("%q reads as %s", s, a)
			}
			return
		}
		if !usage.Is(err) || strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("%q gives the error %q", s, err)
		}
		var offset int
		_, rest, _ := strings.Cut(strings.TrimPrefix(err.Error(), fmt.Sprintf("genotype string %.120q", s)), ", byte ")
		if _, err := fmt.Sscanf(rest, "%d:", &offset); err != nil || offset < 0 || offset > len(s) {
			t.Errorf("%q gives the place %q", s, rest)
		}
	})
}
