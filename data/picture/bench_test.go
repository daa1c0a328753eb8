package picture

import (
	"path/filepath"
	"testing"

	"nb201/internal/needs"
)

// BenchmarkRead reads the photographs of the class directories in NB201_PICTURES, once per
// iteration, and resizes them to 32 x 32 pixels.
func BenchmarkRead(b *testing.B) {
	dir := needs.Pictures(b)
	files, err := filepath.Glob(filepath.Join(dir, "*", "*", "*.jpg"))
	if err != nil || len(files) == 0 {
		b.Fatal(len(files), err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := Read(b.Context(), files, 32, func(_ int, _ Squeezed, err error) error { return err }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*len(files))/b.Elapsed().Seconds(), "pictures/s")
}
