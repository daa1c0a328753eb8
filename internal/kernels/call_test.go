package kernels

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"nb201/internal/stablehlo"
)

const epsilon = float32(1e-5)

// calls returns calls of all kernels that programs call by the name of a function.
func calls() (all []Call) {
	x, y, w, v := []int64{5, 8, 8, 16}, []int64{5, 4, 4, 24}, []int64{3, 3, 16, 24}, []int64{24}
	for _, relu := range []string{"", "relu_"} {
		all = append(all,
			Call{"nb201." + relu + "conv_norm", epsilon, [][]int64{x, w, v, v}, [][]int64{y, v, v, v, v}},
			Call{"nb201." + relu + "conv_gradients", epsilon, [][]int64{x, w, y, v, v, v, y, v, v}, [][]int64{w}},
			Call{"nb201." + relu + "conv_gradients", epsilon, [][]int64{x, w, y, v, v, v, y, v, v}, [][]int64{w, x}},
			Call{"nb201." + relu + "conv_scaled", nil, [][]int64{x, w, v, v}, [][]int64{y}},
		)
	}
	return append(all,
		Call{"nb201.norm_factors", epsilon, [][]int64{v, v, v, v}, [][]int64{v, v}},
		Call{"nb201.norm_sums", epsilon, [][]int64{y, y, v, v}, [][]int64{v, v}},
		Call{"nb201.norm_sums", float32(0.5), [][]int64{y, y, v, v, y, v, v, y, v, v}, [][]int64{v, v, v, v}},
		Call{"nb201.mix", mixCode(0x20, 0xc1), [][]int64{y, y, v, v}, nil}, // it does not fit
		Call{"nb201.mix", mixCode(0xb0), [][]int64{x}, [][]int64{x}},
		Call{"nb201.mix", mixCode(0x10, 0xc1), [][]int64{y, y, v, v}, [][]int64{y}},
		Call{"nb201.mix", mixCode(0x10, 0x21, 0x32, 0x13, 0x14, 0x15, 0x96), [][]int64{x, x, x, x, x, x, x}, [][]int64{x}},
		Call{"nb201.mix", mixCode(0x50, 0xa0, 0xd8), [][]int64{y, {3, 3, 24, 24}, v, v, {1, 1, 24, 24}, v, v}, [][]int64{y}},
		Call{"nb201.slice", int64(7), [][]int64{{40}}, [][]int64{{33}}},
		Call{"nb201.transpose", nil, [][]int64{{3, 3, 8, 16}}, [][]int64{{3, 3, 16, 8}}},
	)
}

// mixCode returns the code of nb201.mix with a byte for each term (mix.h).
func mixCode(terms ...byte) (code int64) {
	for i, t := range terms {
		code |= int64(t) << (8 * i)
	}
	return code
}

// text returns the call as go-xla writes it.
func (c Call) text(symbol string) string {
	types := func(shapes [][]int64) string {
		var all []string
		for _, s := range shapes {
			all = append(all, "tensor<"+strings.Trim(strings.ReplaceAll(fmt.Sprint(s), " ", "x"), "[]")+"xf32>")
		}
		return strings.Join(all, ", ")
	}
	var in, out []string
	for i := range c.In {
		in = append(in, fmt.Sprintf("%%a%d", i))
	}
	for i := range c.Out {
		out = append(out, fmt.Sprintf("%%r%d", i))
	}
	made := types(c.Out)
	if len(c.Out) > 1 {
		made = "(" + made + ")"
	}
	return fmt.Sprintf("    %s = \"func.call\"(%s) { callee = @%s } : (%s) -> %s\n", strings.Join(out, ", "), strings.Join(in, ", "), symbol, types(c.In), made)
}

// TestCalls checks that calls become those of kernels with the same attribute if they fit, and that no two have the
// same name.
func TestCalls(t *testing.T) {
	seen := map[string]bool{}
	kernels := map[string]bool{}
	for _, c := range calls() {
		if seen[c.Symbol()] {
			t.Errorf("%s is the name of two calls", c.Symbol())
		}
		seen[c.Symbol()] = true
		program := c.text(c.Symbol())
		text, counts := Replace([]byte(program))
		if !c.Fits() || len(c.Out) == 0 {
			if string(text) != program || len(counts) > 0 {
				t.Errorf("%s: a call that does not fit has become\n%s", c.Symbol(), text)
			}
			continue
		}
		kernels[c.Kernel] = true
		if counts[c.Kernel] != 1 || len(counts) != 1 || !strings.Contains(string(text), `call_target_name = "`+c.Kernel+`"`) || strings.Contains(string(text), "func.call") {
			t.Errorf("%s: %v, and the program is\n%s", c.Symbol(), counts, text)
		}
		var config string
		switch n := c.Attribute.(type) {
		case float32:
			config = fmt.Sprintf("value = %.9e : f32", n)
		case int64:
			config = fmt.Sprintf("value = %d : i64", n)
		}
		if !strings.Contains(string(text), "backend_config = {"+config+"}") {
			t.Errorf("%s: the attribute is not {%s} in\n%s", c.Symbol(), config, text)
		}
	}
	if len(kernels) != 11 {
		t.Errorf("calls of %d kernels are tested", len(kernels))
	}
}

// TestOtherCalls changes calls so that no kernel fits; they must then stay as they are.
func TestOtherCalls(t *testing.T) {
	for _, c := range calls() {
		if !c.Fits() {
			continue
		}
		symbol := c.Symbol()
		change := func(edit func(c *Call)) Call {
			c.In, c.Out = slices.Clone(c.In), slices.Clone(c.Out)
			edit(&c)
			return c
		}
		_, attribute, _ := strings.Cut(symbol, "__")
		_, attribute, _ = strings.Cut(attribute, "__")
		attribute, shapes, _ := strings.Cut(attribute, "__")
		kernel := strings.TrimPrefix(c.Kernel, "nb201.")
		type test struct{ what, program string }
		tests := []test{
			{"an unknown kernel", change(func(c *Call) { c.Kernel = "nb201.conv_normal" }).text(prefix + "conv_normal__" + attribute + "__" + shapes)},
			{"a kernel in capitals", c.text(prefix + strings.ToUpper(kernel) + "__" + attribute + "__" + shapes)},
			{"no shapes", c.text(prefix + kernel + "__" + attribute)},
			{"a name without attribute and shapes", c.text(prefix + kernel)},
			{"only the prefix", c.text(prefix)},
			{"another prefix", c.text("x" + symbol)},
			{"a damaged name", c.text(symbol[:len(symbol)-1] + "y")},
			{"the end of a name missing", c.text(symbol[:len(symbol)-1])},
			{"a longer name", c.text(symbol + "_8")},
			{"a part more", c.text(symbol + "__")},
			{"another type of attribute", c.text(prefix + kernel + "__g" + strings.TrimLeft(attribute, "fi") + "__" + shapes)},
			{"an attribute without digits", c.text(prefix + kernel + "__f__" + shapes)},
			{"a long attribute", c.text(prefix + kernel + "__f13727c5ac0000__" + shapes)},
			{"an attribute in capitals", c.text(prefix + kernel + "__f3727C5AC__" + shapes)},
			{"NaN", c.text(prefix + kernel + "__f7fc00000__" + shapes)},
			{"infinity", c.text(prefix + kernel + "__f7f800000__" + shapes)},
			{"a negative number", c.text(prefix + kernel + "__fb727c5ac__" + shapes)},
			{"two attributes", strings.Replace(c.text(symbol), "{ callee", "{ no_inline = true, callee", 1)},
			{"a name in quotes", strings.Replace(c.text(symbol), "@"+symbol, `@"`+symbol+`"`, 1)},
			{"another dialect", strings.Replace(c.text(symbol), "func.call", "funk.call", 1)},
			{"an indirect call", strings.Replace(c.text(symbol), "func.call", "func.call_indirect", 1)},
			{"another element type", strings.Replace(c.text(symbol), "xf32>", "xf64>", 1)},
			{"a comment", "// " + c.text(symbol)},
		}
		for what, other := range map[string]Call{
			"one argument more":   change(func(c *Call) { c.In = append(c.In, []int64{8}) }),
			"one argument less":   change(func(c *Call) { c.In = c.In[1:] }),
			"one result more":     change(func(c *Call) { c.Out = append(c.Out, []int64{8}) }),
			"many arguments":      change(func(c *Call) { c.In = append(c.In, slices.Repeat([][]int64{{24}}, 40)...) }),
			"another type":        change(func(c *Call) { c.Attribute = map[bool]any{true: int64(7), false: epsilon}[c.Attribute == any(epsilon)] }),
			"a shape of 5 axes":   change(func(c *Call) { c.In[0] = []int64{1, 1, 1, 1, 16} }),
			"empty arrays":        change(func(c *Call) { c.In[0] = slices.Repeat([]int64{0}, len(c.In[0])) }),
			"another first shape": change(func(c *Call) { c.In[0] = slices.Repeat([]int64{6}, len(c.In[0])) }),
			"other results":       change(func(c *Call) { c.Out[0] = append([]int64{80}, c.Out[0][1:]...) }),
			"enormous arrays":     change(func(c *Call) { c.In[0] = slices.Repeat([]int64{1 << 30}, len(c.In[0])) }),
		} {
			tests = append(tests, test{what, other.text(other.Symbol())}, test{what + " under the same name", other.text(symbol)})
		}
		for _, test := range tests {
			if text, counts := Replace([]byte(test.program)); len(counts) > 0 || string(text) != test.program {
				t.Errorf("%s: %s has become\n%s", symbol, test.what, text)
			}
		}
	}
	for _, relu := range []string{"", "relu_"} { // of images with 3 channels
		x, w, v := []int64{2, 4, 4, 3}, []int64{3, 3, 3, 8}, []int64{8}
		y := []int64{2, 4, 4, 8}
		norm := Call{"nb201." + relu + "conv_norm", epsilon, [][]int64{x, w, v, v}, [][]int64{y, v, v, v, v}}
		scaled := Call{"nb201." + relu + "conv_scaled", nil, [][]int64{x, w, v, v}, [][]int64{y}}
		ofWeights := Call{"nb201." + relu + "conv_gradients", epsilon, [][]int64{x, w, y, v, v, v, y, v, v}, [][]int64{w}}
		ofInput := Call{"nb201." + relu + "conv_gradients", epsilon, ofWeights.In, [][]int64{w, x}}
		for _, c := range []Call{norm, scaled, ofWeights, ofInput} {
			if want := relu == "" && len(c.Out) != 2; c.Fits() != want {
				t.Errorf("%s fits: %v", c.Symbol(), !want)
			}
		}
	}
}

// TestConvolutionShapes checks which shapes the convolutions with normalisation accept.
func TestConvolutionShapes(t *testing.T) {
	for _, c := range []struct {
		what    string
		x, w, y []int64
		fits    bool
	}{
		{"stride 1", []int64{2, 4, 6, 8}, []int64{3, 3, 8, 16}, []int64{2, 4, 6, 16}, true},
		{"stride 2", []int64{2, 4, 6, 8}, []int64{3, 3, 8, 16}, []int64{2, 2, 3, 16}, true},
		{"1x1", []int64{2, 4, 6, 8}, []int64{1, 1, 8, 16}, []int64{2, 4, 6, 16}, true},
		{"a spread input", []int64{2, 4, 6, 8}, []int64{3, 3, 8, 16}, []int64{2, 8, 12, 16}, false},
		{"1x1 of stride 2", []int64{2, 4, 6, 8}, []int64{1, 1, 8, 16}, []int64{2, 2, 3, 16}, false},
		{"stride 2 of an odd map", []int64{2, 5, 5, 8}, []int64{3, 3, 8, 16}, []int64{2, 2, 2, 16}, false},
		{"stride 2 on one axis", []int64{2, 4, 4, 8}, []int64{3, 3, 8, 16}, []int64{2, 2, 4, 16}, false},
		{"stride 4", []int64{2, 8, 8, 8}, []int64{3, 3, 8, 16}, []int64{2, 2, 2, 16}, false},
		{"2x2", []int64{2, 4, 4, 8}, []int64{2, 2, 8, 16}, []int64{2, 4, 4, 16}, false},
		{"3x1", []int64{2, 4, 4, 8}, []int64{3, 1, 8, 16}, []int64{2, 4, 4, 16}, false},
		{"weights of other inputs", []int64{2, 4, 4, 8}, []int64{3, 3, 16, 16}, []int64{2, 4, 4, 16}, false},
		{"weights of other outputs", []int64{2, 4, 4, 8}, []int64{3, 3, 8, 8}, []int64{2, 4, 4, 16}, false},
		{"12 outputs", []int64{2, 4, 4, 8}, []int64{3, 3, 8, 12}, []int64{2, 4, 4, 12}, false},
		{"12 inputs", []int64{2, 4, 4, 12}, []int64{3, 3, 12, 8}, []int64{2, 4, 4, 8}, false},
		{"no outputs", []int64{2, 4, 4, 8}, []int64{3, 3, 8, 0}, []int64{2, 4, 4, 0}, false},
		{"other images", []int64{2, 4, 4, 8}, []int64{3, 3, 8, 16}, []int64{3, 4, 4, 16}, false},
		{"negative sizes", []int64{-2, -4, 4, 8}, []int64{3, 3, 8, 16}, []int64{-2, -4, 4, 16}, false},
		{"more than memory holds", []int64{1 << 30, 1 << 30, 1 << 30, 8}, []int64{3, 3, 8, 16}, []int64{1 << 30, 1 << 30, 1 << 30, 16}, false},
		{"three axes", []int64{4, 4, 8}, []int64{3, 3, 8, 16}, []int64{4, 4, 16}, false},
	} {
		v := c.y[len(c.y)-1:]
		for _, call := range []Call{
			{"nb201.relu_conv_norm", epsilon, [][]int64{c.x, c.w, v, v}, [][]int64{c.y, v, v, v, v}},
			{"nb201.relu_conv_scaled", nil, [][]int64{c.x, c.w, v, v}, [][]int64{c.y}},
			{"nb201.relu_conv_gradients", epsilon, [][]int64{c.x, c.w, c.y, v, v, v, c.y, v, v}, [][]int64{c.w, c.x}},
		} {
			if call.Fits() != c.fits {
				t.Errorf("%s: %s fits: %v", c.what, call.Kernel, !c.fits)
			}
		}
	}
}

// isMix is [mix.h]'s definition of codes, and returns the number of sources, the one bits of those that are normalised, and
// the number of convolved terms.
func isMix(code int64) (sources int, normalised uint, convolved int, ok bool) {
	var used, plain uint
	sums, last := 0, false
	for left := uint64(code); left != 0; left >>= 8 {
		of, kind := int(left&15), left>>4&7
		if kind == 5 {
			convolved++
		}
		switch {
		case kind == 0, kind > 5, of >= 8+sums, of >= 8 && kind == 4:
			return 0, 0, 0, false
		case of < 8 && kind == 4:
			normalised |= 1 << of
			used |= 1 << of
		case of < 8:
			plain |= 1 << of
			used |= 1 << of
		}
		last = left&0x80 != 0
		if last {
			sums++
		}
	}
	for used>>sources != 0 {
		sources++
	}
	return sources, normalised, convolved, last && normalised&plain == 0 && used == 1<<sources-1 && uint64(code)>>56 == 0
}

// TestMixCodes checks that nb201.mix accepts those codes that mean something, with their number of arguments.
func TestMixCodes(t *testing.T) {
	x, v := []int64{1, 1, 1, 8}, []int64{8}
	accepted := 0
	check := func(code int64) {
		sources, normalised, convolved, ok := isMix(code)
		var in [][]int64
		for s := range sources {
			in = append(in, x)
			if normalised>>s&1 != 0 {
				in = append(in, v, v)
			}
		}
		for range convolved {
			in = append(in, []int64{3, 3, 8, 8}, v, v)
		}
		if fits := (Call{"nb201.mix", code, in, [][]int64{x}}).Fits(); fits != ok {
			t.Fatalf("code %#x with %d arguments fits: %v", uint64(code), len(in), fits)
		}
		if ok {
			accepted++
			for _, other := range [][][]int64{in[1:], append(in[:len(in):len(in)], x), append(in[:len(in):len(in)], v)} {
				if (Call{"nb201.mix", code, other, [][]int64{x}}).Fits() {
					t.Fatalf("code %#x fits %d arguments", uint64(code), len(other))
				}
			}
		} else {
			for args := 1; args < 4; args++ {
				if (Call{"nb201.mix", code, slices.Repeat([][]int64{x}, args), [][]int64{x}}).Fits() {
					t.Fatalf("code %#x, which is wrong, fits %d arguments", uint64(code), args)
				}
			}
		}
	}
	for code := range int64(1 << 16) {
		check(code)
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		var code int64
		for i := range 1 + random.IntN(8) { // often right
			term := (1+random.IntN(5))<<4 | []int{0, 0, 0, 1, 1, 2, 8, 8, 9, 13}[random.IntN(10)]
			if random.IntN(3) == 0 {
				term |= 0x80
			}
			if random.IntN(30) == 0 {
				term = random.IntN(256)
			}
			code |= int64(term) << (8 * i)
		}
		check(code)
		check(code | int64(random.IntN(2))<<(8*random.IntN(7)+7))
		check(int64(random.Uint64()))
	}
	if accepted < 1000 {
		t.Errorf("only %d codes were right", accepted)
	}
}

// TestSymbol checks that names have the bits of attributes.
func TestSymbol(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for range 1000 {
		c := Call{Kernel: "nb201.slice", Attribute: int64(random.Uint64()), In: [][]int64{{9}}, Out: [][]int64{{1, 2}, {}}}
		want := fmt.Sprintf("nb201__slice__i%016x__9_1x2_", uint64(c.Attribute.(int64)))
		if random.IntN(2) == 0 {
			bits := random.Uint32()
			c.Attribute = math.Float32frombits(bits)
			if want = fmt.Sprintf("nb201__slice__f%08x__9_1x2_", bits); c.Attribute != c.Attribute {
				continue // a NaN may change its bits
			}
		}
		if c.Symbol() != want {
			t.Errorf("the name is %s, not %s", c.Symbol(), want)
		}
	}
}

// TestRemoveFunctions removes functions from programs that also have others.
func TestRemoveFunctions(t *testing.T) {
	const (
		stands = `  func.func @nb201__mix__i00000000000000b0__1x1x1x8_1x1x1x8(%arg0: tensor<1x1x1x8xf32>) -> tensor<1x1x1x8xf32> {
    %0 = "stablehlo.reduce"(%arg0) ({
      ^bb0(%a: tensor<f32>) :
        "stablehlo.return"(%a) : (tensor<f32>) -> ()
    }) { dimensions = array<i64: 0> } : (tensor<1x1x1x8xf32>) -> tensor<1x1x1x8xf32>
    "stablehlo.return"(%0) : (tensor<1x1x1x8xf32>) -> ()
  }
`
		other = `  func.func @nb201_mix(%arg0: tensor<8xf32>) -> tensor<8xf32> {
    %0 = "stablehlo.while"(%arg0) ({
      ^cond(%a: tensor<8xf32>) :
        "stablehlo.return"(%a) : (tensor<8xf32>) -> ()
    }, {
      ^body(%a: tensor<8xf32>) :
        "stablehlo.return"(%a) : (tensor<8xf32>) -> ()
    }) : (tensor<8xf32>) -> tensor<8xf32>
    "stablehlo.return"(%0) : (tensor<8xf32>) -> ()
  }
`
		main = `  func.func @main(%arg0: tensor<1x1x1x8xf32>) -> tensor<1x1x1x8xf32> {
    %0 = "func.call"(%arg0) { callee = @nb201__mix__i00000000000000b0__1x1x1x8_1x1x1x8 } : (tensor<1x1x1x8xf32>) -> tensor<1x1x1x8xf32>
    "stablehlo.return"(%0) : (tensor<1x1x1x8xf32>) -> ()
  }
`
	)
	odd := strings.Replace(stands, "nb201__mix", "nb201__odd", 1) // whose calls stay, so that XLA refuses them
	for _, functions := range [][]string{
		{main}, {stands, main}, {main, stands}, {stands, odd, other, main}, {other, stands, main, odd}, {stands, stands}, {other, main},
	} {
		var kept []string
		for _, f := range functions {
			if f != stands && f != odd {
				kept = append(kept, f)
			}
		}
		const before, after = "module @m attributes { mhlo.num_replicas = 1 } {\n", "}\n"
		got := string(RemoveFunctions([]byte(before + strings.Join(functions, "\n") + after)))
		want := before + strings.Join(kept, "") + after
		if strings.ReplaceAll(got, "\n\n", "\n") != want && strings.ReplaceAll(got, "\n", "") != strings.ReplaceAll(want, "\n", "") {
			t.Errorf("the program has become\n%s\nnot\n%s", got, want)
		}
	}
	if replaced, counts := Replace([]byte(main)); counts["nb201.mix"] != 1 || strings.Contains(string(replaced), prefix) {
		t.Errorf("%v, and the program is\n%s", counts, replaced)
	}
}

// FuzzCalls looks for a name that makes Replace panic, or that it takes for a call that has another name.
func FuzzCalls(f *testing.F) {
	for _, c := range calls() {
		f.Add(c.Symbol(), c.text("NAME"))
	}
	f.Fuzz(func(t *testing.T, symbol, program string) {
		program = strings.ReplaceAll(program, "NAME", symbol)
		text, counts := Replace([]byte(program))
		if len(counts) == 0 && string(text) != program {
			t.Errorf("%q has become %q", program, text)
		}
		stablehlo.Replace([]byte(program), func(o *stablehlo.Operation, _ string) (stablehlo.Replacement, bool) {
			if name, _, ok := findCall(o); ok && !strings.HasPrefix(o.Attributes["callee"], "@"+prefix+strings.TrimPrefix(name, "nb201.")+"__") {
				t.Errorf("%q is a call of %s", program, name)
			}
			return stablehlo.Replacement{}, false
		})
		kept := string(RemoveFunctions([]byte(program)))
		if !strings.Contains(program, "func.func @"+prefix) && kept != program {
			t.Errorf("%q has become %q without its functions", program, kept)
		}
		if again := string(RemoveFunctions([]byte(kept))); again != kept {
			t.Errorf("%q has become %q", kept, again)
		}
	})
}
