package kernels

import (
	"cmp"
	"fmt"
	"maps"
	"math"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// batch is the number of images of the benchmark's feature maps.
const batch = 256

// operationOfWidth describes an operation that BenchmarkWidths compares at different widths, which are
// numbers of channels.
type operationOfWidth struct {
	kernel               string
	taps, stride, spread int // 0, 1 and 1 for a normalisation
	size                 int // height and width of the larger feature map
}

// String names the operation by what it is to a network.
func (o operationOfWidth) String() string {
	name := fmt.Sprintf("%dx%d", o.taps, o.taps)
	if o.stride*o.spread > 1 {
		name += ", stride 2"
	}
	switch {
	case o.kernel == "nb201.batch_norm":
		return "batch normalisation"
	case o.kernel == "nb201.batch_norm_gradient":
		return "its gradient"
	case o.kernel == "nb201.conv_weights":
		return name + ", gradient of the weights"
	case o.spread > 1:
		return name + ", gradient of the input"
	}
	return name
}

// widthsOf are the numbers of input and output channels of a call.
type widthsOf struct{ in, out int }

// work returns 1e9 FLOP of a convolution, where a multiply-add counts two, and 1e9 bytes of a
// normalisation, which reads its one or two maps twice and writes one.
func (o operationOfWidth) work(w widthsOf) float64 {
	pixels := float64(batch * (o.size / o.stride) * (o.size / o.stride))
	switch o.kernel {
	case "nb201.batch_norm":
		return pixels * float64(3*4*w.in) / 1e9
	case "nb201.batch_norm_gradient":
		return pixels * float64(5*4*w.in) / 1e9
	}
	return pixels * float64(2*o.taps*o.taps*w.in*w.out) / 1e9
}

// turns are the work per second of each round.
type turns map[widthsOf][]float64

// ratio returns the median over the rounds of a call's rate, divided by the geometric mean of the rates
// of its neighbours: the calls with the next widths below and above that are multiples of 16.
func (t turns) ratio(w widthsOf) float64 {
	neighbours := func(width int) []int {
		switch {
		case width%16 == 0 || width == 3:
			return []int{width}
		case width == 8:
			return []int{16}
		}
		return []int{width - 8, width + 8}
	}
	var ratios []float64
	for round, rate := range t[w] {
		var logs, n float64
		for _, in := range neighbours(w.in) {
			for _, out := range neighbours(w.out) {
				if near, ok := t[widthsOf{in, out}]; ok {
					logs, n = logs+math.Log(near[round]), n+1
				}
			}
		}
		ratios = append(ratios, rate/math.Exp(logs/n))
	}
	return median(ratios)
}

func median(figures []float64) float64 {
	sorted := slices.Sorted(slices.Values(figures))
	return (sorted[(len(sorted)-1)/2] + sorted[len(sorted)/2]) / 2
}

// BenchmarkWidths compares the rates of the kernels at widths that are odd multiples of 8 with those at
// multiples of 16, on one thread: testdata/widths.c. b.N is the number of rounds. If there are several,
// it prints tables in Markdown:
//
//	go test ./internal/kernels -run '^$' -bench Widths -benchtime 5x -timeout 1h
func BenchmarkWidths(b *testing.B) {
	widths := []int{8, 16, 24, 32, 40, 48, 56, 64}
	list := strings.Trim(strings.ReplaceAll(fmt.Sprint(widths), " ", ","), "[]")
	program := build(b, "widths", "-O3") // as kernels.go asks cgo
	out, err := exec.Command(program, fmt.Sprint(b.N), fmt.Sprint(batch), "32,16,8", list).Output()
	if err != nil {
		b.Fatal(err)
	}
	all := map[operationOfWidth]turns{}
	for line := range strings.Lines(string(out)) {
		var o operationOfWidth
		var w widthsOf
		var seconds float64
		if _, err := fmt.Sscan(line, &o.kernel, &o.taps, &o.stride, &o.spread, &o.size, &w.in, &w.out, &seconds); err != nil {
			b.Fatalf("%q: %v", line, err)
		}
		if all[o] == nil {
			all[o] = turns{}
		}
		all[o][w] = append(all[o][w], o.work(w)/seconds)
	}
	operations := slices.SortedFunc(maps.Keys(all), func(a, b operationOfWidth) int {
		return cmp.Or(cmp.Compare(b.taps, a.taps), cmp.Compare(a.stride*a.spread, b.stride*b.spread), cmp.Compare(a.kernel, b.kernel),
			cmp.Compare(a.spread, b.spread), cmp.Compare(b.size, a.size))
	})
	var summary, rates strings.Builder
	for _, o := range operations {
		var odd, with8 []float64 // ratios without and with a width of 8
		byInput := map[int][]string{}
		for _, w := range slices.SortedFunc(maps.Keys(all[o]), func(a, b widthsOf) int { return cmp.Compare(a.out, b.out) }) {
			in := w.in
			if o.taps == 0 { // one row, as the numbers are equal
				in = 0
			}
			byInput[in] = append(byInput[in], fmt.Sprintf("%.0f", median(all[o][w])))
			switch {
			case w.in == 8 || w.out == 8:
				with8 = append(with8, all[o].ratio(w))
			case w.in%16 == 8 || w.out%16 == 8:
				odd = append(odd, all[o].ratio(w))
			}
		}
		fmt.Fprintf(&summary, "| %v | %d | %.2f (%.2f) | %.2f (%.2f) |\n", o, o.size, median(odd), slices.Min(odd), median(with8), slices.Min(with8))
		for _, in := range slices.Sorted(maps.Keys(byInput)) {
			fmt.Fprintf(&rates, "| %v | %d | %s | %s |\n", o, o.size, strings.TrimPrefix(fmt.Sprint(in), "0"), strings.Join(byInput[in], " | "))
		}
		if o.taps > 0 {
			b.ReportMetric(median(odd), strings.NewReplacer(" ", "-", ",", "").Replace(fmt.Sprintf("%v %d", o, o.size)))
		}
	}
	b.ReportMetric(0, "ns/op") // means nothing here
	if b.N > 1 {
		fmt.Printf("\n| operation | size | 24, 40, 56: median (least) ratio | 8: median (least) ratio |\n|---|---:|---:|---:|\n%s", &summary)
		fmt.Printf("\n| operation | size | in \\ out | %s |\n|---|---:|---:|%s\n%s\n", strings.ReplaceAll(list, ",", " | "), strings.Repeat("---:|", len(widths)), &rates)
	}
}
