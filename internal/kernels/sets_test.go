package kernels

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"nb201/internal/needs"
	"nb201/internal/usage"
)

// instructionSets are the values of [Variable].
var instructionSets = []string{"plain", "avx2", "avx512"}

// bitsOf runs testdata/bits.c with an instruction set, and returns what it prints after the set's name.
func bitsOf(t *testing.T, program, set string) string {
	t.Helper()
	c := needs.Compiled(program)
	c.Env = append(os.Environ(), Variable+"="+set)
	out, err := c.Output()
	if err != nil {
		t.Fatal(err)
	}
	name, bits, _ := strings.Cut(string(out), "\n")
	if name != set {
		t.Fatalf("%s=%s chooses %s", Variable, set, name)
	}
	return bits
}

// sumOfBits is the SHA-256 of what testdata/bits.c prints after the set's name. It may change only with
// [Version] or testdata/bits.c.
const sumOfBits = "9abbc27a2174ad57c28b58d5ff26b5ef70e71c223df9643b40a852f8ad57713f"

// TestSets checks that all instruction sets compute the same bits: those that this processor has, compiled
// as cgo does, and plain C with vectors as long as each set's, whose loops are the same.
func TestSets(t *testing.T) {
	program, emulated := build(t, "bits", "-O3"), build(t, "bits", "-O0", "-DNB201_EMULATED", "-Wno-psabi")
	want := bitsOf(t, program, "plain")
	if sum := fmt.Sprintf("%x", sha256.Sum256([]byte(want))); sum != sumOfBits {
		t.Errorf("plain C computes other bits: the sum of their hashes is %s", sum)
	}
	for _, set := range instructionSets {
		t.Run(set, func(t *testing.T) {
			needs.Instructions(t, set, Has(set))
			compareLines(t, bitsOf(t, program, set), want)
		})
		if set != "plain" {
			t.Run(set+" emulated", func(t *testing.T) { compareLines(t, bitsOf(t, emulated, set), want) })
		}
	}
}

// TestNEON checks that the compiler makes vector instructions of ARM64 from plain C.
func TestNEON(t *testing.T) {
	needs.Instructions(t, "NEON", runtime.GOARCH == "arm64")
	out, err := exec.Command(needs.CC(t), "-std=c11", "-O3", "-S", "-o", "-", "plain.c").Output()
	if err != nil {
		t.Fatal(err)
	}
	if vector, scalar := strings.Count(string(out), "\tfmla\tv"), strings.Count(string(out), "\tfmadd\ts"); vector < 500 || scalar > 0 {
		t.Errorf("plain C has %d multiply-adds of vectors and %d of single floats", vector, scalar)
	}
}

// compareLines reports the lines that differ.
func compareLines(t *testing.T, got, want string) {
	t.Helper()
	lines := strings.Split(want, "\n")
	for i, line := range strings.Split(got, "\n") {
		if i >= len(lines) || line != lines[i] {
			t.Errorf("line %d is %q, want %q", i+1, line, lines[min(i, len(lines)-1)])
		}
	}
}

// TestFused compares plain C's fused multiply-add with the library's: testdata/fused.c.
func TestFused(t *testing.T) {
	if out, err := needs.Compiled(compile(t, "fused", "-O2")).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The variable names a set that the processor has, or the command ends with a usage error.
func TestVariable(t *testing.T) {
	if best := Instructions(); !Has(best) {
		t.Errorf("the kernels use %q, which this processor lacks", best)
	}
	wrong := map[string]string{"": "", "AVX2": `"AVX2" is none of plain, avx2 and avx512`, "none": "is none of"}
	for _, set := range instructionSets {
		if wrong[set] = ""; !Has(set) {
			wrong[set] = fmt.Sprintf("this processor does not have %s; use %s", set, Instructions())
		}
	}
	for value, want := range wrong {
		t.Setenv(Variable, value)
		if err := CheckVariable(); usage.Is(err) != (want != "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s=%s: %v, want %q", Variable, value, err, want)
		}
	}
}
