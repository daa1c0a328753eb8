package random

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"

	"nb201/internal/golden"
	"nb201/internal/usage"
)

// collect calls draw once for each element of like.
func collect[T any](like []T, draw func() T) []T {
	got := make([]T, len(like))
	for i := range got {
		got[i] = draw()
	}
	return got
}

func TestGoldenMisc(t *testing.T) {
	var vectors struct {
		RNG map[string]struct {
			Int63        []string  `json:"int64_random_"`
			Float32      []float32 `json:"rand_float32"`
			Float64      []float64 `json:"rand_float64"`
			Uniform      []float32 `json:"uniform_-0.1_0.1"` // FMA values
			NormalFew    []float32 `json:"normal_n5"`
			NormalBlocks []float32 `json:"normal_n20"`
			PyFloat64    []float64 `json:"py_random"`
			PyRandint    []int     `json:"py_randint_0_8"`
			PyShuffle    []int     `json:"py_shuffle20"`
		}
	}
	golden.Load(t, "misc.json", &vectors)
	for seedText, want := range vectors.RNG {
		t.Run(seedText, func(t *testing.T) {
			seed, err := strconv.ParseUint(seedText, 10, 64)
			if err != nil {
				t.Fatal(err)
			}
			torch := NewTorch(seed)
			ints := collect(want.Int63, func() string { return strconv.FormatInt(torch.Int63(), 10) })
			equal(t, "int64_random_", ints, want.Int63)
			equal(t, "rand_float32", collect(want.Float32, NewTorch(seed).Float32), want.Float32)
			equal(t, "rand_float64", collect(want.Float64, NewTorch(seed).Float64), want.Float64)
			uniform := make([]float32, len(want.Uniform))
			NewTorch(seed).Uniform(uniform, -0.1, 0.1, true)
			equal(t, "uniform_", uniform, want.Uniform)
			equal(t, "normal_ of few", fewNormals(NewTorch(seed), len(want.NormalFew)), want.NormalFew)
			// torch's AVX2 kernel approximates log, sin and cos by polynomials.
			for i, got := range manyNormals(NewTorch(seed), len(want.NormalBlocks)) {
				if diff := math.Abs(float64(got) - float64(want.NormalBlocks[i])); diff > 2e-6 {
					t.Errorf("normal_ number %d is %v, want %v", i, got, want.NormalBlocks[i])
				}
			}

			python := NewPython(seed)
			equal(t, "random.random", collect(want.PyFloat64, python.Float64), want.PyFloat64)
			python = NewPython(seed)
			equal(t, "random.randint", collect(want.PyRandint, func() int { return python.Intn(9) }), want.PyRandint)
			order := identity(len(want.PyShuffle))
			NewPython(seed).Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
			equal(t, "random.shuffle", order, want.PyShuffle)
		})
	}
}

func equal[T comparable](t *testing.T, what string, got, want []T) {
	t.Helper()
	if len(want) == 0 {
		t.Errorf("%s: nothing to compare with", what)
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s is %v, want %v", what, got, want)
	}
}

func identity(n int) []int {
	order := make([]int, n)
	for i := range order {
		order[i] = i
	}
	return order
}

// fewNormals is tensor.normal_() for fewer than 16 elements: Box and Muller's
// pairs in float64. The program draws no normals; this tests Float64's stream.
func fewNormals(g *Torch, n int) []float32 {
	var z []float32
	for len(z) < n {
		u1, u2 := g.Float64(), g.Float64()
		r, theta := math.Sqrt(-2*math.Log1p(-u2)), 2*math.Pi*u1
		z = append(z, float32(r*math.Cos(theta)), float32(r*math.Sin(theta)))
	}
	return z[:n]
}

// manyNormals is tensor.normal_() for 16 and more elements: uniforms, transformed
// in blocks of 16. If the last block would be cut, it is drawn again.
func manyNormals(g *Torch, n int) []float32 {
	z := make([]float32, n)
	g.Uniform(z, 0, 1, false)
	transform := func(block []float32) {
		for i := range 8 {
			r := math.Sqrt(-2 * math.Log(1-float64(block[i])))
			sin, cos := math.Sincos(2 * math.Pi * float64(block[i+8]))
			block[i], block[i+8] = float32(r*cos), float32(r*sin)
		}
	}
	for block := range slices.Chunk(z[:n/16*16], 16) {
		transform(block)
	}
	if n%16 != 0 {
		last := z[n-16:]
		g.Uniform(last, 0, 1, false)
		transform(last)
	}
	return z
}

func TestGoldenRandperm(t *testing.T) {
	type call struct {
		First  []int32 `json:"first64"`
		SHA256 string
	}
	var vectors struct {
		Randperm []struct {
			Seed         uint64
			N            int
			Call0, Call1 *call // two calls on one generator
		}
	}
	golden.Load(t, "order.json", &vectors)
	if len(vectors.Randperm) == 0 {
		t.Error("no vectors")
	}
	for _, c := range vectors.Randperm {
		g := NewTorch(c.Seed)
		for i, want := range []*call{c.Call0, c.Call1} {
			if want == nil {
				continue
			}
			perm := g.Perm(c.N)
			raw, err := binary.Append(nil, binary.LittleEndian, perm)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(raw)
			if !slices.Equal(perm[:len(want.First)], want.First) || hex.EncodeToString(sum[:]) != want.SHA256 {
				t.Errorf("randperm(%d) of seed %d, call %d, begins %v, want %v", c.N, c.Seed, i, perm[:8], want.First[:8])
			}
		}
	}
}

func TestTorchKeepsTheLow32BitsOfASeed(t *testing.T) {
	for _, seed := range []uint64{0, 777, 1<<32 - 1} {
		if got, want := NewTorch(seed|1<<40).Uint64(), NewTorch(seed).Uint64(); got != want {
			t.Errorf("seed %d with a high bit draws %d, want %d", seed, got, want)
		}
		if NewPython(seed|1<<40).Float64() == NewPython(seed).Float64() {
			t.Errorf("CPython's seed %d loses a high bit", seed)
		}
	}
}

func TestPermIsAPermutation(t *testing.T) {
	g := NewTorch(1)
	for _, n := range []int{0, 1, 2, 3, 16, 1000} {
		perm := g.Perm(n)
		slices.Sort(perm)
		for i, v := range perm {
			if int(v) != i {
				t.Fatalf("Perm(%d) sorted has %d at %d", n, v, i)
			}
		}
		if len(perm) != n {
			t.Errorf("Perm(%d) has %d elements", n, len(perm))
		}
	}
}

func TestPermDrawsOneWordLessThanItsLength(t *testing.T) {
	for _, n := range []int{1, 2, 700} {
		a, b := NewTorch(5), NewTorch(5)
		a.Perm(n)
		b.Skip(n - 1)
		if a.Uint32() != b.Uint32() {
			t.Errorf("Perm(%d) does not draw %d words", n, n-1)
		}
	}
}

func TestIntn(t *testing.T) {
	generators := map[string]func(int) int{"Torch": NewTorch(3).Intn, "Python": NewPython(3).Intn}
	for name, intn := range generators {
		for _, n := range []int{1, 2, 5, 9, 16, 1 << 20} {
			seen := make(map[int]bool)
			for range 40 * min(n, 16) {
				v := intn(n)
				if v < 0 || v >= n {
					t.Fatalf("%s.Intn(%d) gives %d", name, n, v)
				}
				seen[v] = true
			}
			if n <= 16 && len(seen) != n {
				t.Errorf("%s.Intn(%d) never gives some of its values: %v", name, n, seen)
			}
		}
	}
}

func TestUniformRoundsAsTold(t *testing.T) {
	const n = 5000
	for _, bound := range []float64{1. / 3, 0.1, 0.19245008972987526, 1} {
		x, once, twice := make([]float32, n), make([]float32, n), make([]float32, n)
		NewTorch(7).Uniform(x, 0, 1, true)
		NewTorch(7).Uniform(once, -bound, bound, true)
		NewTorch(7).Uniform(twice, -bound, bound, false)
		lo := float32(-bound)
		width := float32(bound) - lo
		differ := 0
		for i := range n {
			if want := exactFMA(x[i], width, lo); once[i] != want {
				t.Fatalf("rounded once: %v*%v%v is %v, want %v", x[i], width, lo, once[i], want)
			}
			if want := exactFMA(1, exactFMA(x[i], width, 0), lo); twice[i] != want {
				t.Fatalf("rounded twice: %v*%v%v is %v, want %v", x[i], width, lo, twice[i], want)
			}
			if once[i] != twice[i] {
				differ++
			}
		}
		if bound == 0.1 && differ < n/4 {
			t.Errorf("only %d of %d values distinguish the roundings", differ, n)
		}
	}
}

// exactFMA is x*y+z computed without error and rounded once.
func exactFMA(x, y, z float32) float32 {
	exact := func(v float32) *big.Float { return new(big.Float).SetPrec(700).SetFloat64(float64(v)) }
	p := new(big.Float).SetPrec(700).Mul(exact(x), exact(y))
	r, _ := p.Add(p, exact(z)).Float32()
	return r
}

func checkFMA(t *testing.T, x, y, z float32) {
	t.Helper()
	if got, want := fma32(x, y, z), exactFMA(x, y, z); got != want {
		t.Errorf("%v*%v+%v is %v, want %v", x, y, z, got, want)
	}
}

func TestFMA32(t *testing.T) {
	// A product next to the middle of two neighbouring float32, by less than float64 can
	// represent: rounding the sum first to float64 and then to float32 would take it for
	// the middle and go to the even neighbour.
	above := [2]float32{8384513, 8392705}     // product 2^46+1
	below := [2]float32{1<<23 - 1, 1<<23 + 1} // product 2^46-1
	for _, scale := range []float32{0x1p-70, 0x1p-100, 0x1p-20, -0x1p-70} {
		for _, z := range []float32{0x1p70, 0x1p70 + 0x1p47, -0x1p70, -0x1p70 - 0x1p47} {
			for _, f := range [][2]float32{above, below, {1 << 23, 1 << 23}} {
				checkFMA(t, f[0]*scale, f[1], z*scale)
				checkFMA(t, -f[0]*scale, f[1], z*scale)
			}
		}
	}
	if got, naive := fma32(above[0]*0x1p-70, above[1], 1), float32(float64(above[0])*0x1p-70*float64(above[1])+1); got == naive {
		t.Errorf("the middle case gives %v, as two roundings do", got)
	}
	// All finite bit patterns: wild exponents, subnormal and overflowing results.
	r := rand.New(rand.NewPCG(1, 2))
	finite := func() float32 {
		for {
			if v := math.Float32frombits(r.Uint32()); !math.IsNaN(float64(v)) && !math.IsInf(float64(v), 0) {
				return v
			}
		}
	}
	for range 50_000 {
		checkFMA(t, finite(), finite(), finite())
	}
	// Operands of like size, some cancelling: every bit of the sum counts.
	for range 50_000 {
		x, y := 2*r.Float32()-1, 2*r.Float32()-1
		checkFMA(t, x, y, 2*r.Float32()-1)
		checkFMA(t, x, y, -x*y)
		checkFMA(t, x, y, 0x1p-20*r.Float32())
	}
}

func TestProfileByName(t *testing.T) {
	for _, want := range Profiles() {
		if got, err := ProfileByName(want.Name); err != nil || got != want {
			t.Errorf("%s: %+v, %v", want.Name, got, err)
		}
	}
	_, err := ProfileByName("2018")
	if err == nil || !usage.Is(err) || !strings.Contains(err.Error(), `"2018"; use one of 2019, 1.7, modern`) {
		t.Errorf("2018 gives %v", err)
	}
}

// A generator restored from its state continues as if it had never stopped, before and after
// each of its words.
func TestState(t *testing.T) {
	torch, python := NewTorch(777), NewPython(777)
	for i := range 2 * stateSize {
		state := torch.AppendState(nil)
		again, err := RestoreTorch(state)
		if err != nil || len(state) != StateSize {
			t.Fatalf("%d bytes of torch's state: %v", len(state), err)
		}
		other, err := RestorePython(python.AppendState([]byte("before"))[len("before"):])
		if err != nil {
			t.Fatal(err)
		}
		if got, want := again.Uint32(), torch.Uint32(); got != want {
			t.Fatalf("torch's draw %d is %d, want %d", i, got, want)
		}
		if got, want := other.Intn(1<<31), python.Intn(1<<31); got != want {
			t.Fatalf("CPython's draw %d is %d, want %d", i, got, want)
		}
	}
	state := torch.AppendState(nil)
	wrong := slices.Clone(state)
	binary.LittleEndian.PutUint32(wrong[4*stateSize:], stateSize+1)
	for _, state := range [][]byte{nil, state[1:], append(state, 0), wrong} {
		if _, err := RestoreTorch(state); err == nil {
			t.Errorf("a wrong state of %d bytes is restored", len(state))
		}
	}
}
